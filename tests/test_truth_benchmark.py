"""The promises that benchmarks/truth measures, in small: edits, kills, crowds and packs."""

from __future__ import annotations

import random
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from benchmarks import report_truth, results
from benchmarks.truth import __main__ as parts
from benchmarks.truth import crash, freshness, packs, scale, sharing, state, trees
from ragkit import KnowledgeBase


def test_after_any_edits_an_index_is_that_of_a_scratch_build(tmp_path: Path) -> None:
    size = freshness.Size(files=20, edits=12, between=6, saves=1, seed=3)
    found = freshness.measure(tmp_path, size)
    for way in ("watch", "refresh"):
        assert found[way]["problems"] == []
        assert found[way]["comparisons"] == 3
        assert found[way]["differences"] == found[way]["misplaced"] == 0
    assert found["save_s"]["max"] < freshness.LONGEST


def test_a_kill_at_any_instant_leaves_an_index_that_goes_on(tmp_path: Path) -> None:
    found = crash.measure(tmp_path, crash.Size(files=12, kills=1, every=1))
    assert [kills["problems"] for kills in found["commands"].values()] == [[]] * 6
    assert found["failures"] == 0
    assert found["kills"] + sum(not kills["kills"] for kills in found["commands"].values()) == 6


def test_readers_beside_a_writer_see_whole_files_and_no_error(tmp_path: Path) -> None:
    found = sharing.measure(tmp_path, sharing.Size(files=10, new=30, readers=(2,), quiet=0.5))
    (run,) = found["runs"].values()
    assert run["problems"] == []
    assert run["errors"] == run["parts"] == 0
    assert run["looks"] > 0
    assert run["chunks_of_new"] > 30, "one chunk a file would prove nothing"


@pytest.mark.skipif(shutil.which("git") is None, reason="needs git")
def test_a_pack_has_what_has_not_changed_since(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    repository = tmp_path / "repository"
    trees.grow(repository, 20, random.Random(1), (1, 3))
    (repository / ".git").rmdir()

    def git(*arguments: str) -> None:
        who = ("-c", "user.name=a", "-c", "user.email=a@example.org")
        subprocess.run(["git", "-C", str(repository), *who, *arguments], check=True)

    git("init", "--quiet")
    for number in range(2):
        (repository / "top0" / "sub0" / "new.md").write_text(f"# The {number}th time\n")
        git("add", ".")
        git("commit", "--quiet", "-m", str(number))
    monkeypatch.setattr(packs.processes, "REPOSITORY", repository)
    found = packs.measure(tmp_path, packs.Size(back=(1,), releases=False))
    assert found["back"]["1"]["embedded"] == 1
    assert found["back"]["1"]["share_of_chunks"] == 1 - 1 / found["back"]["1"]["chunks"]


def test_what_is_compared_can_be_told_apart(tmp_path: Path) -> None:
    root = tmp_path / "tree"
    trees.grow(root, 4, random.Random(1), (20, 30))
    path = root / "top0" / "sub0" / "file0.py"
    with KnowledgeBase(state.at(root, tmp_path / "x.db")) as kb:
        kb.index()
        before = state.state_of(kb, trees.QUERIES)
        assert before.differences(state.from_scratch(root, trees.QUERIES)) == []
        hits = kb.search("def kernel", limit=50)
        assert state.misplaced(root, hits) == []
        path.write_text("\n" + path.read_text())
        moved = [hit for hit in hits if hit.chunk.path == "top0/sub0/file0.py"]
        assert len(state.misplaced(root, hits)) == len(moved) > 0
        changed = before.differences(state.from_scratch(root, trees.QUERIES))
        assert any("chunk" in what for what in changed)
    one = next(iter(before.vectors))
    worse = replace(before, vectors={**before.vectors, one: b""})
    assert before.differences(worse) == [f"vector {one}"]


def test_a_part_that_is_measured_again_leaves_the_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(results, "FOLDER", tmp_path)
    assert report_truth.table().count("Not measured yet.") == len(parts.PARTS)
    told: Sequence[tuple[str, dict[str, object]]] = (
        ("scale", {"trees": {}, "ratio_files": 10, "ratio_first": 11}),
        ("crash", {"commands": {}, "failures": 2, "kills": 3}),
        ("scale", {"trees": {}, "ratio_files": 10, "ratio_first": 12}),
    )
    for name, found in told:
        parts.merged(name, scale.QUICK, found, 1.0)
    table = report_truth.table()
    assert "2 of 3" in table
    assert "12.0 times" in table
    assert "11.0 times" not in table
    assert parts.broken({"crash": {"failures": 2}, "x": {"y": {"parts": 1, "kills": 9}}}) == 3
