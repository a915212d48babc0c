"""Whatever is wrong: one message that says what and what to do, exit code 2, the index unharmed."""

from __future__ import annotations

import json
import os
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Ragkit = Callable[..., Any]


def database(ragkit: Ragkit, project: Path) -> Path:
    """The project's database, built."""
    assert ragkit("index", project).code == 0
    return Path(json.loads(ragkit("status", project, "--json").out)["indexes"][0]["database"])


def refused(done: Any, *words: str) -> None:
    """One error, its remedy, exit code 2, no traceback."""
    assert done.code == 2, done
    assert done.out == ""
    assert done.err.count("error: ") == 1
    assert done.err.count("  try: ") == 1
    assert "Traceback" not in done.err
    for word in words:
        assert word in done.err, done.err


@pytest.mark.parametrize(
    "command", [["search", "x"], ["index"], ["index", "--dry-run"], ["status"]]
)
def test_a_missing_path(ragkit: Ragkit, tmp_path: Path, command: list[str]) -> None:
    refused(ragkit(*command, tmp_path / "nowhere"), "nowhere", "no such file or folder")


def test_a_folder_with_nothing_that_can_be_indexed(ragkit: Ragkit, tmp_path: Path) -> None:
    (tmp_path / "photo.jpg").write_bytes(b"\xff\xd8\xff\0")
    (tmp_path / "data.bin").write_bytes(bytes(1000))
    (tmp_path / "empty.txt").touch()
    done = ragkit("search", "anything", tmp_path)
    assert done.code == 1
    assert "nothing to index" in done.err
    assert "--dry-run" in done.err
    out = ragkit("index", tmp_path, "--dry-run").out
    for name in ("photo.jpg: binary", "data.bin: binary", "empty.txt: empty"):
        assert name in out


def test_a_home_folder_is_not_indexed_by_accident(
    ragkit: Ragkit, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    refused(ragkit("search", "x"), "is not a project")
    (tmp_path / "note.txt").write_text("x marks the spot")
    assert ragkit("search", "x marks", tmp_path).code == 0, "named, it is meant"


def test_pipes_and_huge_files_are_left_out_and_named(ragkit: Ragkit, project: Path) -> None:
    os.mkfifo(project / "pipe.txt")
    with (project / "huge.txt").open("wb") as file:
        file.truncate(2_000_000_000)
    out = ragkit("index", project, "--dry-run").out
    assert "pipe.txt: special" in out
    assert "huge.txt: too-large" in out
    assert ragkit("search", "squirrel", project).code == 0


def test_files_that_cannot_be_decoded_are_named_and_the_rest_is_indexed(
    ragkit: Ragkit, project: Path
) -> None:
    (project / "broken.ipynb").write_text("{not json")
    done = ragkit("index", project)
    assert done.code == 0
    assert "not indexed: broken.ipynb" in done.err
    assert "1 failed" in done.out
    assert "broken.ipynb" in ragkit("status", project).out


def test_files_without_permission_are_named_and_the_rest_is_indexed(
    ragkit: Ragkit, project: Path, permissions_bind: None
) -> None:
    (project / "README.md").chmod(0)
    done = ragkit("index", project)
    assert done.code == 0
    assert "not indexed: README.md" in done.err
    assert "4 indexed, 1 failed" in done.out
    (project / "README.md").chmod(0o644)
    assert "1 indexed" in ragkit("index", project).out


def test_a_folder_that_cannot_be_entered_keeps_what_is_indexed_of_it(
    ragkit: Ragkit, project: Path, permissions_bind: None
) -> None:
    assert ragkit("index", project).code == 0
    (project / "src").chmod(0)
    try:
        assert "removed" not in ragkit("index", project).out
        done = ragkit("search", "is_squirrel", project, "--files")
    finally:
        (project / "src").chmod(0o755)
    assert done.out.startswith("src/feeder.py")


def test_another_programs_database_is_left_alone(ragkit: Ragkit, project: Path) -> None:
    (project / "ragkit.yaml").write_text(
        "rag:\n  code:\n    docs: [src]\n    strategies: [{type: bm25, database: ./theirs.db}]\n"
    )
    theirs = project / "theirs.db"
    connection = sqlite3.connect(theirs)
    connection.execute("create table birds(name)")
    connection.commit()
    connection.close()
    before = theirs.read_bytes()
    refused(ragkit("search", "squirrel", project), "theirs.db")
    assert theirs.read_bytes() == before
    theirs.write_text("not a database at all, but a text that is long enough to look at\n" * 20)
    refused(ragkit("search", "squirrel", project), "theirs.db")


def test_a_database_of_a_newer_version_is_left_alone(ragkit: Ragkit, project: Path) -> None:
    path = database(ragkit, project)
    connection = sqlite3.connect(path)
    connection.execute("pragma user_version = 9999")
    connection.commit()
    connection.close()
    before = path.read_bytes()
    refused(ragkit("search", "squirrel", project), str(path), "newer")
    assert path.read_bytes() == before


def test_a_truncated_database_is_recognised(ragkit: Ragkit, project: Path) -> None:
    path = database(ragkit, project)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    refused(ragkit("search", "squirrel", project), str(path))


def test_a_database_that_may_not_be_written_still_answers(
    ragkit: Ragkit, project: Path, cache: Path, permissions_bind: None
) -> None:
    assert ragkit("index", project).code == 0
    for path in (*cache.iterdir(), cache):
        path.chmod(0o555 if path.is_dir() else 0o444)
    done = ragkit("search", "squirrel", project, "--no-refresh", "--files")
    assert "src/feeder.py" in done.out, done.err
    (project / "new.txt").write_text("new")
    refused(ragkit("index", project), str(cache))
    cache.chmod(0o755)


def test_yaml_that_is_not_yaml_and_keys_that_are_none(ragkit: Ragkit, project: Path) -> None:
    config = project / "ragkit.yaml"
    for text, words in (
        ("rag: [unclosed\n", ("ragkit.yaml:",)),
        ("rag:\n\tcode: x\n", ("ragkit.yaml:2",)),
        ("- a\n- b\n", ("ragkit.yaml",)),
        ("", ("ragkit.yaml",)),
        (
            "rag:\n  code:\n    strategies:\n      - type: bm25\n        treshold: 1\n",
            ("ragkit.yaml:5", "treshold", "threshold"),
        ),
        (
            "rag:\n  code:\n    strategies:\n      - type: bm25\n        limit: many\n",
            ("ragkit.yaml:5", "limit"),
        ),
    ):
        config.write_text(text)
        refused(ragkit("search", "squirrel", project), *words)
    config.write_bytes(b"\xff\xfe\x00rag")
    refused(ragkit("check", config), "ragkit.yaml")
    refused(ragkit("check", project / "none.yaml"), "none.yaml")


def test_a_query_of_any_bytes_is_no_syntax_error(ragkit: Ragkit, project: Path) -> None:
    for query in ('"', "a AND (b", "NEAR(", "col:x", "*", "-x", "a\x00b", "🐦", "' OR 1=1 --"):
        assert ragkit("search", "--", query, project).code in (0, 1), query


def test_a_usage_error_is_exit_code_2(ragkit: Ragkit, project: Path) -> None:
    for arguments in (["search"], ["search", "x", project, "--limit", "0"], ["nonsense"]):
        done = ragkit(*arguments)
        assert done.code == 2
        assert "Error" in done.err
