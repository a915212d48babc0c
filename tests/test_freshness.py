"""A search brings in what has changed as there is time, and no hit points where it is not."""

from __future__ import annotations

import json
import os
import random
import shutil
import threading
import time
from pathlib import Path
from typing import Any

import pytest
from test_cli import Ragkit

from ragkit import KnowledgeBase
from ragkit.claims import Claim
from ragkit.errors import StoreBusy
from ragkit.events import Indexed
from ragkit.types import Hit


@pytest.fixture
def indexed(project: Path) -> Any:
    """A knowledge base that is indexed and not refreshed any more."""
    with KnowledgeBase.open(project) as kb:
        kb.index()
    with KnowledgeBase.open(project, read_only=True) as kb:
        yield kb


def best(kb: KnowledgeBase, query: str) -> Hit:
    return kb.search(query)[0]


def lines(root: Path, hit: Hit) -> str:
    """What is on the disk where a hit points to."""
    chunk = hit.chunk
    text = (root / chunk.path).read_text().split("\n")
    return "\n".join(text[chunk.start_line - 1 : chunk.end_line])


def test_what_nobody_touched_is_fresh(indexed: KnowledgeBase, project: Path) -> None:
    answer = indexed.answer("is_squirrel weigh")
    assert {hit.freshness for hit in answer.hits} == {"fresh"}
    assert answer.generation == indexed.indexes[0].store.generation
    assert answer.indexed_at == pytest.approx(time.time(), abs=60)
    os.utime(project / "src" / "feeder.py")  # touched, and the same
    assert best(indexed, "is_squirrel weigh").freshness == "fresh"


def test_lines_of_a_text_that_moved_are_put_right(indexed: KnowledgeBase, project: Path) -> None:
    before = best(indexed, "is_squirrel weigh")
    path = project / "src" / "feeder.py"
    path.write_text("# a new line\n" * 7 + path.read_text())
    after = best(indexed, "is_squirrel weigh")
    assert after.freshness == "fresh"
    assert after.chunk.start_line == before.chunk.start_line + 7
    assert after.chunk.text.strip("\n") in lines(project, after)
    pack = indexed.pack("is_squirrel weigh", 500)
    (passage,) = [p for p in pack.passages if p.path == "src/feeder.py"][:1]
    assert passage.freshness == "fresh"
    text = path.read_text().split("\n")[passage.start_line - 1 : passage.end_line]
    assert "\n".join(text).strip("\n") == passage.text.strip("\n")


def test_a_text_that_is_gone_is_told(indexed: KnowledgeBase, project: Path) -> None:
    path = project / "src" / "feeder.py"
    path.write_text(path.read_text().replace("250", "300").replace("Grams", "Ounces"))
    states = {h.chunk.path: h.freshness for h in indexed.search("is_squirrel weigh")}
    assert states["src/feeder.py"] == "changed"
    path.unlink()
    assert best(indexed, "is_squirrel weigh").freshness == "deleted"
    path.mkdir()
    assert best(indexed, "is_squirrel weigh").freshness == "changed"


def test_of_equal_texts_the_nearest_is_meant(project: Path) -> None:
    path = project / "twice.py"
    block = "def flutter():\n    return 'flap flap flap'\n"
    path.write_text(block + "\n\nx = 1\n" * 200 + "\n" + block)
    with KnowledgeBase.open(project) as kb:
        kb.index()
        before = [h.chunk.start_line for h in kb.search("flutter") if h.chunk.path == "twice.py"]
        path.write_text("#\n" + path.read_text())
        after = [h for h in kb.search("flutter") if h.chunk.path == "twice.py"]
    assert [hit.chunk.start_line - 1 for hit in after] == before
    assert {hit.freshness for hit in after} == {"fresh"}


def test_what_another_process_indexes_meanwhile_is_no_proof_of_what_was_found(
    indexed: KnowledgeBase, project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = project / "src" / "feeder.py"
    retrieved = KnowledgeBase._retrieved

    def slowly(self: KnowledgeBase, *given: Any, **options: Any) -> Any:
        found = retrieved(self, *given, **options)
        path.write_text("def nothing_of_it():\n    return 'a grebe'\n")
        with KnowledgeBase.open(project) as other:
            other.index()
        return found

    monkeypatch.setattr(KnowledgeBase, "_retrieved", slowly)
    states = {h.chunk.path: h.freshness for h in indexed.search("is_squirrel weigh")}
    assert states["src/feeder.py"] == "changed"


def test_no_returned_line_differs_from_the_disk_after_random_edits(
    indexed: KnowledgeBase, project: Path
) -> None:
    chance = random.Random(7)
    queries = ["squirrels weight", "SaveCount", "camera port", "sunflower seeds", "installer"]
    for _ in range(60):
        path = project / chance.choice(["README.md", "src/feeder.py", "src/storage.go"])
        text = path.read_text().split("\n")
        at = chance.randrange(len(text) + 1)
        if chance.random() < 0.6:
            text.insert(at, f"new {chance.randrange(99)}")
        elif len(text) > 3:
            del text[min(at, len(text) - 1)]
        path.write_text("\n".join(text))
        for hit in indexed.search(chance.choice(queries)):
            if hit.freshness == "fresh":
                assert hit.chunk.text.strip("\n") in lines(project, hit)


# ── refresh within a budget ──


def changed(project: Path, count: int) -> None:
    for i in range(count):
        (project / f"f{i:03}.txt").write_text(f"The pelican number {i} dives for fish.\n" * 40)


def test_what_there_is_no_time_for_is_named_and_comes_next_time(
    ragkit: Ragkit, project: Path
) -> None:
    ragkit("index", project)
    changed(project, 300)
    done = ragkit("search", "pelican", project, "--refresh", "1ms", "--json")
    told = json.loads(done.out or "{}")
    assert told["looked_at_all"] is False
    assert "no time to look at all files; --refresh full" in done.err
    done = ragkit("search", "pelican", project, "--refresh", "full", "--json")
    told = json.loads(done.out)
    assert told["stale"] == []
    assert told["looked_at_all"] is True
    assert {hit["freshness"] for hit in told["hits"]} == {"fresh"}
    assert told["generation"] > 0


def test_files_that_there_was_no_time_for_are_named(project: Path) -> None:
    with KnowledgeBase.open(project) as kb:
        kb.index()
        changed(project, 300)

        def slowly(event: object) -> None:
            if isinstance(event, Indexed):
                time.sleep(1.6)

        (summary,) = kb.index(slowly, budget=1.5)
        assert summary.whole
        assert summary.indexed == 1
        assert sum(path.startswith("f") for path in summary.left) == 299
        (summary,) = kb.index()
        assert (summary.indexed, summary.left) == (299, ())


def test_the_first_index_is_built_whole_whatever_the_budget(ragkit: Ragkit, project: Path) -> None:
    changed(project, 100)
    done = ragkit("search", "pelican", project, "--refresh", "1ms", "--files")
    assert done.code == 0
    assert "not indexed yet" not in done.err


def test_off_looks_at_no_file_but_those_of_the_hits(ragkit: Ragkit, project: Path) -> None:
    ragkit("index", project)
    (project / "notes" / "todo.txt").unlink()
    done = ragkit("search", "sunflower seeds", project, "--refresh", "off")
    assert "its file is gone" in done.out
    (project / "notes" / "todo.txt").write_text("Other things.\n")
    assert "changed since" in ragkit("search", "sunflower", project, "--no-refresh").out


@pytest.mark.parametrize("budget", ["", "0s", "3", "2 s", "soon", "-1s", "1h"])
def test_a_budget_that_is_none_is_refused(ragkit: Ragkit, project: Path, budget: str) -> None:
    done = ragkit("search", "squirrel", project, "--refresh", budget)
    assert done.code == 2
    assert "300ms" in done.err


def test_a_whole_index_answers_while_another_process_indexes(
    ragkit: Ragkit, project: Path, cache: Path
) -> None:
    ragkit("index", project)
    (database,) = cache.glob("*.db")
    claim = Claim(database, "index")
    assert claim.take()
    try:
        done = ragkit("search", "squirrel", project, "--refresh", "100ms")
        assert done.code == 0
        assert f"process {os.getpid()}" in done.err
        with KnowledgeBase.open(project) as kb, pytest.raises(StoreBusy, match="is working on it"):
            kb.index(wait=0.1)
    finally:
        claim.release()


def test_two_that_index_at_once_take_turns(project: Path) -> None:
    changed(project, 50)
    summaries: list[Any] = []

    def index() -> None:
        with KnowledgeBase.open(project) as kb:
            summaries.extend(kb.index())

    threads = [threading.Thread(target=index) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(summary.indexed for summary in summaries) == [0, 0, 55]
    assert sum(summary.embedded for summary in summaries) == max(s.embedded for s in summaries)


def test_a_budget_of_a_walk_leaves_what_was_there(project: Path) -> None:
    with KnowledgeBase.open(project) as kb:
        kb.index()
        changed(project, 200)
        shutil.rmtree(project / "notes")
        (summary,) = kb.index(budget=0.0)
        assert not summary.whole
        assert summary.removed == 0, "what was not looked at is not gone"
        assert kb.search("sunflower seeds")[0].freshness == "deleted"
        (summary,) = kb.index()
        assert summary.left == ()
        assert summary.whole
        assert not [hit for hit in kb.search("sunflower seeds") if "notes" in hit.chunk.path]


# ── clocks, and files that change while they are read ──


def test_a_clock_that_jumps_hides_no_change(project: Path) -> None:
    path = project / "notes" / "todo.txt"
    with KnowledgeBase.open(project) as kb:
        kb.index()
        for when in (time.time() + 10_000, time.time() - 10**8, 1.0, time.time() + 3 * 10**8):
            path.write_text(f"A bittern booms at {when:.0f}.\n")
            os.utime(path, (when, when))
            kb.index()
            assert f"{when:.0f}" in kb.search("bittern booms")[0].chunk.text
            path.write_text(f"A bittern stays at {when:.0f}.\n")  # the same length and time
            os.utime(path, (when, when))
        kb.index()


def test_a_file_that_changes_while_it_is_read_is_read_again(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from ragkit.files import content

    path = project / "notes" / "todo.txt"
    read = content._read_up_to

    def meanwhile(*given: Any) -> bytes:
        data = read(*given)
        if b"sunflower" in data:
            path.write_text("Somebody was faster: a kingfisher.\n")
        return data

    with KnowledgeBase.open(project) as kb:
        monkeypatch.setattr(content, "_read_up_to", meanwhile)
        kb.index()
        monkeypatch.undo()
        kb.index()
        assert kb.search("kingfisher")[0].freshness == "fresh"
        assert "sunflower" not in {word for h in kb.search("sunflower") for word in h.chunk.text}


def test_a_file_that_becomes_a_folder_or_loses_its_permission(project: Path) -> None:
    path = project / "notes" / "todo.txt"
    with KnowledgeBase.open(project) as kb:
        kb.index()
        path.unlink()
        path.mkdir()
        (path / "inside.txt").write_text("An avocet wades.\n")
        kb.index()
        assert kb.search("avocet")[0].chunk.path == "notes/todo.txt/inside.txt"
        assert "notes/todo.txt" not in kb.indexes[0].store.records()


def test_roots_that_overlap_have_each_file_once(project: Path) -> None:
    (project / "ragkit.yaml").write_text(
        "rag:\n  one: {docs: [., ./src, src/feeder.py], strategies: [{type: bm25, limit: 9}]}\n"
        "  two: {docs: [./src], strategies: [{type: bm25, limit: 9}]}\n"
    )
    for name, count in (("one", 1), ("two", 1)):
        with KnowledgeBase.open(config=project / "ragkit.yaml", name=name) as kb:
            kb.index()
            hits = kb.search("is_squirrel", limit=9)
            assert [h.chunk.path for h in hits].count("src/feeder.py") == count
