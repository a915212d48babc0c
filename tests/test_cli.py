"""The command line as people and programs meet it."""

from __future__ import annotations

import json
import os
import pty
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Ragkit = Callable[..., Any]


def test_a_search_without_any_set_up_answers(ragkit: Ragkit, project: Path) -> None:
    done = ragkit("search", "is_squirrel", project)
    assert done.code == 0
    first, *rest = done.out.splitlines()
    place, _, symbol = first.partition("  ")
    assert place.startswith("src/feeder.py:")
    assert "Feeder" in symbol
    assert any("def is_squirrel" in line for line in rest)
    assert "\x1b" not in done.out + done.err, "no colour where it is not a terminal"
    assert done.err == ""


def test_hits_no_hit_and_errors_have_their_exit_codes(ragkit: Ragkit, project: Path) -> None:
    assert ragkit("search", "squirrel", project).code == 0
    nothing = ragkit("search", "!!!", project)
    assert (nothing.code, nothing.out) == (1, "")
    assert nothing.err.startswith("no hit: ")
    missing = ragkit("search", "squirrel", project / "nowhere")
    assert missing.code == 2
    assert missing.err.startswith("error: ")
    assert "no such file or folder" in missing.err
    assert "try: " in missing.err


def test_json_has_the_documented_shape(ragkit: Ragkit, project: Path) -> None:
    done = ragkit("search", "squirrels weight", project, "--json", "--limit", 2)
    answer = json.loads(done.out)
    assert set(answer) == {
        "version", "query", "knowledge_base", "root", "hits", "degraded", "seconds",
        "generation", "indexed_at", "stale", "looked_at_all",
    }  # fmt: skip
    assert answer["version"] == 1
    assert answer["root"] == str(project)
    assert [hit["rank"] for hit in answer["hits"]] == [1, 2]
    for hit in answer["hits"]:
        assert set(hit) == {
            "rank", "path", "start_line", "end_line", "context", "score", "scores", "text",
            "freshness",
        }  # fmt: skip
        text = (project / hit["path"]).read_text()
        lines = "\n".join(text.split("\n")[hit["start_line"] - 1 : hit["end_line"]])
        assert hit["text"] in lines
    assert set(answer["seconds"]) >= {"bm25", "chunked-embeddings", "fusion", "rules"}


def test_json_without_a_hit_is_still_json(ragkit: Ragkit, project: Path) -> None:
    done = ragkit("search", "???", project, "--json")
    assert done.code == 1
    assert json.loads(done.out)["hits"] == []


def test_files_prints_each_path_once(ragkit: Ragkit, project: Path) -> None:
    done = ragkit("search", "squirrel feeder weigh", project, "--files")
    names = done.out.split()
    assert names[0] == "src/feeder.py"
    assert len(names) == len(set(names))
    assert all((project / name).is_file() for name in names)


def test_limit_and_context_bound_what_is_shown(ragkit: Ragkit, project: Path) -> None:
    one = ragkit("search", "squirrel", project, "--limit", 1, "--context", 0).out
    assert len(one.splitlines()) == 2
    wide = ragkit("search", "squirrel", project, "--limit", 1, "--context", 50).out
    assert len(wide.splitlines()) > 3


def test_explain_shows_scores_ranks_and_times(ragkit: Ragkit, project: Path) -> None:
    out = ragkit("search", "squirrel", project, "--explain").out
    assert "bm25 " in out
    assert "chunked-embeddings " in out
    assert "(#1)" in out
    assert "times: bm25 " in out


def test_search_sees_the_file_as_it_is_now(ragkit: Ragkit, project: Path) -> None:
    ragkit("search", "squirrel", project)
    (project / "notes" / "todo.txt").write_text("Ask the ornithologist about plumage.\n")
    assert ragkit("search", "plumage", project, "--files").out.startswith("notes/todo.txt")


def test_no_refresh_answers_from_what_is_indexed(ragkit: Ragkit, project: Path) -> None:
    ragkit("index", project)
    (project / "notes" / "todo.txt").write_text("Ask the ornithologist about plumage.\n")
    done = ragkit("search", "sunflower", project, "--no-refresh", "--files")
    assert done.out.startswith("notes/todo.txt")


def test_no_refresh_without_an_index_says_so(ragkit: Ragkit, project: Path, cache: Path) -> None:
    done = ragkit("search", "squirrel", project, "--no-refresh")
    assert done.code == 2
    assert "nothing is indexed yet" in done.err
    assert "ragkit index" in done.err
    assert not list(cache.iterdir()), "looking leaves nothing behind"


def test_a_file_can_be_searched_alone(ragkit: Ragkit, project: Path) -> None:
    done = ragkit("search", "camera", project / "README.md", "--files")
    assert done.out == "README.md\n"


@pytest.mark.parametrize(
    ("query", "words"), [("", "empty"), ("  ", "empty")], ids=["empty", "blank"]
)
def test_an_empty_query_is_an_error(ragkit: Ragkit, project: Path, query: str, words: str) -> None:
    done = ragkit("search", query, project)
    assert done.code == 2
    assert words in done.err


def test_a_query_of_stop_words_is_searched_as_it_stands(ragkit: Ragkit, project: Path) -> None:
    assert ragkit("search", "after that the", project).code == 0


def test_a_very_long_query_is_answered(ragkit: Ragkit, project: Path) -> None:
    done = ragkit("search", "squirrel weight " * 6_000, project, "--files")
    assert done.code == 0
    assert "src/feeder.py" in done.out


def test_an_empty_folder_has_no_hit_and_says_why(ragkit: Ragkit, tmp_path: Path) -> None:
    done = ragkit("search", "anything", tmp_path)
    assert done.code == 1
    assert "nothing to index" in done.err


def test_index_tells_what_it_did(ragkit: Ragkit, project: Path) -> None:
    done = ragkit("index", project)
    assert done.code == 0
    assert done.out.startswith("birdhouse: 5 files, 5 indexed; ")
    again = json.loads(ragkit("index", project, "--json").out)["summaries"][0]
    assert (again["indexed"], again["chunks"], again["embedded"]) == (0, 0, 0)


def test_a_dry_run_lists_files_in_and_out_and_writes_nothing(
    ragkit: Ragkit, project: Path, cache: Path
) -> None:
    done = ragkit("index", project, "--dry-run")
    assert done.code == 0
    assert "src/feeder.py" in done.out
    assert "debug.log: ignored (.gitignore:1: *.log)" in done.out
    assert "largest:" in done.out
    assert "5 files to read" in done.out
    assert "warning: src/ holds" in done.out
    assert not list(cache.iterdir())
    plan = json.loads(ragkit("index", project, "--dry-run", "--json").out)["plans"][0]
    assert plan["chunks"] == sum(file["chunks"] for file in plan["files"])
    assert plan["seconds"] > 0


def test_status_is_counted_on_the_disk(ragkit: Ragkit, project: Path, cache: Path) -> None:
    never = json.loads(ragkit("status", project, "--json").out)["indexes"][0]
    assert (never["statistics"]["documents"], never["files"], never["complete"]) == (0, 5, False)
    assert not list(cache.iterdir()), "looking leaves nothing behind"
    ragkit("index", project)
    (project / "notes" / "todo.txt").unlink()
    (project / "new.txt").write_text("new")
    now = json.loads(ragkit("status", project, "--json").out)["indexes"][0]
    assert "new.txt" in now["stale"]
    assert now["gone"] == ["notes/todo.txt"]
    assert Path(now["database"]).parent == cache
    text = ragkit("status", project).out
    assert "5 indexed of 5 on the disk" in text
    assert "embedded/static" in text
    assert now["database"] in text


def test_an_unreadable_configuration_is_one_message(ragkit: Ragkit, project: Path) -> None:
    (project / "ragkit.yaml").write_text("rag:\n  code:\n    strategies: [\n")
    done = ragkit("search", "squirrel", project)
    assert done.code == 2
    assert done.err.count("error: ") == 1
    assert "ragkit.yaml" in done.err


def test_init_check_and_search_go_together(
    ragkit: Ragkit, project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(project)
    assert ragkit("check").code == 2, "nothing to check yet"
    assert ragkit("init").code == 0
    assert ragkit("init").code == 2, "what is there is not overwritten"
    checked = ragkit("check")
    assert checked.code == 0, checked.err
    done = ragkit("search", "is_squirrel", "--files")
    assert done.out.startswith("src/feeder.py")


def test_what_is_not_built_yet_is_an_error_with_its_line(ragkit: Ragkit, project: Path) -> None:
    config = project / "agent.yaml"
    config.write_text(
        "rag:\n  code:\n    docs: [src]\n    strategies:\n"
        "      - type: chunked-embeddings\n        embedding_model: anthropic/voyage\n"
    )
    for arguments in (("check", config), ("search", "x", "--config", config)):
        done = ragkit(*arguments)
        assert done.code == 2
        assert "agent.yaml:5" in done.err
        assert "models of anthropic are not built yet" in done.err


def test_a_configured_database_lies_where_the_file_says(
    ragkit: Ragkit, project: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (project / "agent.yaml").write_text(
        "rag:\n  code:\n    docs: [./src]\n    strategies:\n"
        "      - type: bm25\n        database: ./code.db\n"
    )
    monkeypatch.chdir("/")
    done = ragkit("search", "is_squirrel", "--config", project / "agent.yaml", "--files")
    assert done.out == "src/feeder.py\n"
    assert (project / "code.db").is_file()
    assert not list(cache.iterdir())


def test_several_knowledge_bases_are_indexed_together_and_searched_by_name(
    ragkit: Ragkit, project: Path
) -> None:
    config = project / "agent.yaml"
    config.write_text(
        "rag:\n  code:\n    docs: [src]\n    strategies: [{type: bm25}]\n"
        "  notes:\n    docs: [notes]\n    strategies: [{type: bm25}]\n"
    )
    assert len(ragkit("index", "--config", config).out.splitlines()) == 2
    which = ragkit("search", "seeds", "--config", config)
    assert which.code == 2
    assert "code, notes" in which.err
    done = ragkit("search", "seeds", "--config", config, "--kb", "notes", "--files")
    assert done.out == "notes/todo.txt\n"
    wrong = ragkit("search", "seeds", "--config", config, "--kb", "note")
    assert wrong.code == 2
    assert "code, notes" in wrong.err


def test_the_schema_is_json(ragkit: Ragkit) -> None:
    assert json.loads(ragkit("config", "schema").out)["type"] == "object"


def start(*arguments: str, **options: object) -> subprocess.Popen[bytes]:
    """The real program, in a process of its own."""
    command = [sys.executable, "-m", "ragkit", *arguments]
    return subprocess.Popen(command, **options)  # type: ignore[call-overload, no-any-return]


def test_a_terminal_gets_a_bar_and_colours(project: Path) -> None:
    leader, follower = pty.openpty()
    process = start("search", "squirrel", str(project), stdout=follower, stderr=follower)
    os.close(follower)
    seen = b""
    while True:
        try:
            part = os.read(leader, 4096)
        except OSError:  # the other side is closed
            break
        if not part:
            break
        seen += part
    os.close(leader)
    assert process.wait() == 0
    assert b"indexing" in seen
    assert b"\x1b[31m\x1b[1msquirrel" in seen


def test_a_reader_that_has_enough_is_no_error(project: Path) -> None:
    process = start(
        "search", "squirrel", str(project), "--context", "100", stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )  # fmt: skip
    assert process.stdout is not None
    assert process.stderr is not None
    process.stdout.close()
    assert process.stderr.read() == b""
    assert process.wait() in (0, 1)
    process.stderr.close()


def test_an_interrupt_keeps_what_is_done(project: Path) -> None:
    for number in range(400):
        (project / f"file{number}.txt").write_text(f"line of file {number}\n" * 2_000)
    process = start("index", str(project), stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    database = Path(os.environ["RAGKIT_CACHE_DIR"])
    while not any(file.suffix == ".db-wal" and file.stat().st_size for file in database.iterdir()):
        assert process.poll() is None
    process.send_signal(signal.SIGINT)
    _, err = process.communicate()
    assert process.returncode == 130, err
    assert b"Traceback" not in err
    done = subprocess.run(
        [sys.executable, "-m", "ragkit", "index", str(project)], capture_output=True, check=True
    )
    assert b"405 files" in done.stdout
