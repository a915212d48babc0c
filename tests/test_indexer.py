"""The index walk, on real files and a real database."""

from __future__ import annotations

import os
import shutil
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from ragkit import KnowledgeBase
from ragkit.errors import QueryError
from ragkit.events import Event, Failed, Indexed, Removed, Scanned, Skipped, Unchanged
from ragkit.types import Record

LONG_AGO = 1_600_000_000


def settle(root: Path) -> None:
    """Make every file old, so that its stamp can be trusted."""
    for path in root.rglob("*"):
        if path.is_file():
            os.utime(path, (LONG_AGO, LONG_AGO))


@pytest.fixture
def kb(project: Path) -> Iterator[KnowledgeBase]:
    settle(project)
    with KnowledgeBase.open(project) as kb:
        yield kb


def indexed(kb: KnowledgeBase, **options: object) -> list[Event]:
    """The events of one walk."""
    seen: list[Event] = []
    kb.index(seen.append, **options)  # type: ignore[arg-type]
    return seen


def paths(events: list[Event], kind: type) -> set[str]:
    return {event.path for event in events if isinstance(event, kind)}  # type: ignore[attr-defined]


def rows(kb: KnowledgeBase) -> list[tuple[str, int, str, str]]:
    """Everything that the index shows, in order."""
    store = kb.indexes[0].store
    return [
        (chunk.path, chunk.start, chunk.text, chunk.context)
        for path in sorted(store.records())
        for chunk in store.chunks(path)
    ]


def test_the_first_walk_indexes_every_file(kb: KnowledgeBase) -> None:
    seen = indexed(kb)
    assert paths(seen, Indexed) == {
        ".gitignore", "README.md", "notes/todo.txt", "src/feeder.py", "src/storage.go",
    }  # fmt: skip
    assert all(event.embedded == event.chunks for event in seen if isinstance(event, Indexed))
    assert [event.skip.path for event in seen if isinstance(event, Skipped)]


def test_indexing_twice_does_the_work_once(kb: KnowledgeBase) -> None:
    indexed(kb)
    before = rows(kb)
    seen = indexed(kb)
    assert not [e for e in seen if isinstance(e, Indexed | Unchanged | Failed | Removed)]
    assert rows(kb) == before


def test_a_touched_file_is_read_but_not_indexed_again(kb: KnowledgeBase, project: Path) -> None:
    indexed(kb)
    os.utime(project / "README.md", (LONG_AGO + 9, LONG_AGO + 9))
    seen = indexed(kb)
    assert paths(seen, Unchanged) == {"README.md"}
    assert not paths(seen, Indexed)
    assert not paths(indexed(kb), Unchanged), "its new stamp is remembered"


def test_a_file_written_just_now_is_looked_at_again(kb: KnowledgeBase, project: Path) -> None:
    """An edit within one tick of the clock leaves the stamp as it was; git calls this racy."""
    (project / "fresh.txt").write_text("one")
    indexed(kb)
    assert "fresh.txt" in paths(indexed(kb), Unchanged)


def test_an_edit_embeds_only_the_chunks_that_changed(kb: KnowledgeBase, project: Path) -> None:
    sections = [f"# Part {n}\n\n{'sentence ' * 150}{n}\n" for n in range(8)]
    (project / "long.md").write_text("\n".join(sections))
    settle(project)
    indexed(kb)
    sections[3] = sections[3].replace("sentence", "argument")
    (project / "long.md").write_text("\n".join(sections))
    (event,) = (e for e in indexed(kb) if isinstance(e, Indexed))
    assert event.path == "long.md"
    assert event.chunks >= 8
    assert event.embedded == 1


def test_a_renamed_file_embeds_nothing(kb: KnowledgeBase, project: Path) -> None:
    indexed(kb)
    (project / "src").rename(project / "source")
    seen = indexed(kb)
    assert paths(seen, Removed) == {"src/feeder.py", "src/storage.go"}
    assert paths(seen, Indexed) == {"source/feeder.py", "source/storage.go"}
    assert sum(e.embedded for e in seen if isinstance(e, Indexed)) == 0


def test_a_copy_embeds_nothing(kb: KnowledgeBase, project: Path) -> None:
    indexed(kb)
    shutil.copytree(project / "src", project / "copy")
    settle(project)
    seen = indexed(kb)
    assert paths(seen, Indexed) == {"copy/feeder.py", "copy/storage.go"}
    assert sum(e.embedded for e in seen if isinstance(e, Indexed)) == 0


def test_a_deleted_file_leaves_nothing_behind(kb: KnowledgeBase, project: Path) -> None:
    indexed(kb)
    (project / "src" / "feeder.py").unlink()
    assert paths(indexed(kb), Removed) == {"src/feeder.py"}
    assert all("squirrel" not in hit.chunk.text for hit in kb.search("is_squirrel"))
    counted = kb.status()[0].statistics
    assert counted.chunks == counted.words == counted.vectors


def test_a_file_that_comes_under_an_ignore_rule_goes(kb: KnowledgeBase, project: Path) -> None:
    indexed(kb)
    (project / ".gitignore").write_text("*.log\nnotes/\n")
    assert paths(indexed(kb), Removed) == {"notes/todo.txt"}


def test_what_cannot_be_decoded_fails_alone_and_keeps_what_it_had(
    kb: KnowledgeBase, project: Path
) -> None:
    notebook = project / "plot.ipynb"
    notebook.write_text('{"cells": [{"cell_type": "markdown", "source": ["count the birds"]}]}')
    indexed(kb)
    before = rows(kb)
    notebook.write_text('{"cells": [{"cell_type": "markdown", "sour')
    (project / "new.txt").write_text("a new neighbour")
    seen = indexed(kb)
    (failed,) = (e for e in seen if isinstance(e, Failed))
    assert failed.path == "plot.ipynb"
    assert failed.reason
    assert "new.txt" in paths(seen, Indexed)
    assert [row for row in rows(kb) if row[0] != "new.txt"] == before
    (record,) = kb.status()[0].failed
    assert (record.path, record.reason) == ("plot.ipynb", failed.reason)
    settle(project)
    indexed(kb)
    assert not [e for e in indexed(kb) if isinstance(e, Failed)], "its content is known to be bad"
    assert [record.path for record in kb.status()[0].failed] == ["plot.ipynb"]


def test_a_file_that_could_not_be_opened_is_tried_again(kb: KnowledgeBase, project: Path) -> None:
    store = kb.indexes[0].store
    indexed(kb)
    stat = (project / "README.md").stat()
    store.note(Record("README.md", "", stat.st_size, stat.st_mtime_ns, None, "failed", "locked"))
    assert paths(indexed(kb), Indexed | Unchanged) == {"README.md"}  # type: ignore[arg-type]
    assert not kb.status()[0].failed


def test_a_file_that_turns_binary_leaves_the_index(kb: KnowledgeBase, project: Path) -> None:
    indexed(kb)
    (project / "notes" / "todo.txt").write_bytes(b"\0\1\2" * 100)
    seen = indexed(kb)
    assert [e.skip.rule for e in seen if isinstance(e, Skipped) and e.size] == ["binary"]
    assert not [row for row in rows(kb) if row[0] == "notes/todo.txt"]
    settle(project)
    indexed(kb)
    assert not [e for e in indexed(kb) if isinstance(e, Skipped) and e.size], "read once, not again"


def test_a_missing_root_does_not_empty_the_index(kb: KnowledgeBase, project: Path) -> None:
    indexed(kb)
    before = rows(kb)
    project.rename(project.with_name("away"))
    with pytest.raises(QueryError, match="no such folder"):
        kb.index()
    assert rows(kb) == before


def test_rebuilding_reads_everything_and_embeds_nothing(kb: KnowledgeBase) -> None:
    first = indexed(kb)
    before = rows(kb)
    seen = indexed(kb, rebuild=True)
    assert paths(seen, Indexed) == paths(first, Indexed)
    assert sum(e.embedded for e in seen if isinstance(e, Indexed)) == 0
    assert rows(kb) == before


def test_an_executor_builds_the_same_index(project: Path, cache: Path) -> None:
    for number in range(30):
        (project / f"more{number}.txt").write_text(f"file {number}\n" * 2_000)
    settle(project)
    built = []
    with ThreadPoolExecutor(3) as executor:
        for chosen in (None, executor):
            with KnowledgeBase.open(project) as kb:
                kb.index(executor=chosen)
                built.append((rows(kb), Counter(h.chunk.location for h in kb.search("squirrel"))))
            for file in cache.iterdir():
                file.unlink()
    assert built[0] == built[1]


def test_the_first_event_says_how_much_there_is_to_do(kb: KnowledgeBase, project: Path) -> None:
    first = indexed(kb)[0]
    assert isinstance(first, Scanned)
    assert first.found == first.stale == 5
    assert first.stale_bytes == sum(
        (project / path).stat().st_size for path in kb.indexes[0].store.records()
    )


def test_a_root_that_cannot_be_read_does_not_empty_the_index(
    kb: KnowledgeBase, project: Path, permissions_bind: None
) -> None:
    indexed(kb)
    before = rows(kb)
    project.chmod(0)
    try:
        indexed(kb)
        assert rows(kb) == before
    finally:
        project.chmod(0o755)
