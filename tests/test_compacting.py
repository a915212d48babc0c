"""Compacting gives back room, changes no answer, and leaves the index whole however it ends."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import apsw
import numpy as np
import pytest
from contracts.store import D, entry, record, unit
from failing_disk import FailingDisk

from ragkit import stores
from ragkit.errors import StoreBusy, StoreError, StoreFull
from ragkit.kb import KnowledgeBase
from ragkit.stores import compacting, texts
from ragkit.stores.sqlite import SqliteStore

K = {"k1": 1.2, "b": 0.75}


def opened(path: Path, **options: Any) -> SqliteStore:
    return stores.open(path, "code", "a", D, **options)


def vector(i: int, j: int) -> Any:
    """Of chunk j of file i: like no other."""
    return unit(*np.random.default_rng((i, j)).standard_normal(D))


def fill(store: SqliteStore, files: range, chunks: int = 20) -> None:
    for i in files:
        store.replace(
            record(str(i)),
            [entry(str(i), j, f"all f{i} c{j} " * 9, vector(i, j)) for j in range(chunks)],
        )


@pytest.fixture
def holey(tmp_path: Path) -> Path:
    """A complete index of which most was deleted, closed."""
    path = tmp_path / "x.db"
    store = opened(path)
    fill(store, range(100))
    store.delete([str(i) for i in range(100) if i % 10])
    store.complete()
    store.close()
    return path


def answers(store: SqliteStore) -> list[Any]:
    """What is found by words and by vectors, and everything that is there."""
    return [
        *(store.matching([f"f{i}", f"c{i}"], 20, **K) for i in range(0, 100, 7)),
        *(store.nearest(unit(i, 1), 20) for i in range(0, 100, 7)),
        *(store.chunks(path) for path in sorted(store.records())),
        store.statistics().embeddings,
    ]


def test_room_is_given_back_and_no_answer_changes(holey: Path) -> None:
    store = opened(holey)
    before = answers(store)
    done = stores.compact(holey)
    assert done.before.free > 0
    assert done.after.total <= done.before.total - done.before.free
    assert done.after.free == done.after.log == 0
    assert done.after.total == holey.stat().st_size == store.sizes().total
    assert answers(store) == before, "in a store that was open all the while"
    assert store.check() == []
    store.close()
    store = opened(holey)
    assert answers(store) == before
    fill(store, range(200, 220))
    store.delete(["0", "200"])
    assert store.check() == []
    store.close()


def test_a_second_time_there_is_nothing_to_do(holey: Path) -> None:
    first = stores.compact(holey)
    assert stores.compact(holey).after == first.after


def test_vectors_that_no_text_has_are_kept_unless_they_are_to_be_forgotten(holey: Path) -> None:
    store = opened(holey)
    spare, used = (entry("x", j, "x", vector(i, j)).key for i, j in ((1, 1), (10, 1)))
    assert spare is not None
    assert used is not None
    stores.compact(holey)
    assert set(store.known([spare, used])) == {spare, used}
    stores.compact(holey, prune=True)
    assert set(store.known([spare, used])) == {used}
    assert store.check() == []
    store.close()


def test_texts_that_an_older_ragkit_stored_plain_are_compressed(holey: Path) -> None:
    store = opened(holey)
    other = apsw.Connection(str(holey))
    plain = [(texts.unpacked(text), i) for i, text in other.execute("select id, text from texts_1")]
    plain = [(i, text) for text, i in plain]
    for i, text in plain:
        other.execute("update texts_1 set text = ? where id = ?", (text, i))
    lone = b"\xed\xa0\x80 half a pair" * 9
    other.execute("update texts_1 set text = ? where id = ?", (lone, plain[0][0]))
    other.close()
    before = answers(store)
    stores.compact(holey)
    assert answers(store) == before
    other = apsw.Connection(str(holey))
    assert other.execute("select count(*) from texts_1 where typeof(text) = 'text'").get == 0
    assert other.execute("select count(*) from texts_1 where text = ?", (lone,)).get == 0
    other.close()
    store.close()


def test_codes_are_found_where_a_whole_block_of_them_was_deleted(tmp_path: Path) -> None:
    path = tmp_path / "x.db"
    store = opened(path)
    fill(store, range(8), chunks=400)
    store.delete([str(i) for i in range(5)])
    before = answers(store)
    done = stores.compact(path)
    assert done.after.codes < done.before.codes
    assert stores.compact(path).after == done.after
    assert answers(store) == before
    fill(store, range(8), chunks=40)
    assert_all_found(store)
    store.close()


def test_blocks_of_codes_that_a_vacuum_moved_are_mended(tmp_path: Path) -> None:
    path = tmp_path / "x.db"
    store = opened(path)
    fill(store, range(8), chunks=400)
    store.delete([str(i) for i in range(5)])
    other = apsw.Connection(str(path))
    other.execute("update codes_1_vector_chunks00 set _rowid_ = _rowid_ - 1")
    other.close()
    stores.compact(path)
    fill(store, range(8), chunks=40)
    assert_all_found(store)
    store.close()


def assert_all_found(store: SqliteStore) -> None:
    """Of 8 files of 40 chunks, each is nearest to its own vector; also for a new reader."""
    assert store.check() == []
    for asked in (store, stores.open(store.path, "code", "a", D, read_only=True)):
        for i in range(8):
            for j in range(40):
                [(chunk, _)] = asked.nearest(vector(i, j), 1)
                assert (chunk.path, chunk.index) == (str(i), j)
    asked.close()


def test_a_build_with_other_settings_leaves_no_room_of_the_older_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(compacting, "LEAST", 10_000)
    path = tmp_path / "x.db"
    store = opened(path)
    fill(store, range(40))
    store.complete()
    before = answers(store)
    size = store.sizes().total
    again = stores.open(path, "code", "b", D)
    fill(again, range(40))
    again.complete()
    stores.compact(path, prune=True)  # without the older one, which is kept
    assert again.sizes().total <= size * 1.1
    assert again.sizes().free == 0
    assert answers(again) == before
    assert again.check() == []
    store.close()
    again.close()


def test_where_a_build_cannot_give_back_room_it_is_complete_all_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(compacting, "LEAST", 10_000)
    path = tmp_path / "x.db"
    for fingerprint in ("a", "b"):  # the former goes with what follows, and leaves room
        older = stores.open(path, "code", fingerprint, D)
        fill(older, range(40))
        older.complete()
        older.close()
    disk = FailingDisk()  # below what is opened from here on
    try:
        store = stores.open(path, "code", "c", D)
        fill(store, range(40))
        writes = 0
        while not store.is_complete:
            writes += 1
            with suppress(StoreFull), disk.failing(writes, apsw.FullError, apsw.SQLITE_FULL):
                store.complete()
    finally:
        disk.unregister()
    assert disk.failed > 0, "there was more to be written than what completes it"
    assert store.check() == []
    assert len(answers(store)[0]) > 0
    store.close()


def test_others_read_on_meanwhile(holey: Path) -> None:
    late = apsw.Connection(str(holey))
    late.execute("begin")
    [(chunks,)] = late.execute("select count(*) from chunks_1").fetchall()
    store = opened(holey)
    before = answers(store)
    ended = threading.Event()
    wrong = []

    def read() -> None:
        while not ended.is_set():
            if answers(store) != before:
                wrong.append("another answer")

    readers = [threading.Thread(target=read) for _ in range(2)]
    for reader in readers:
        reader.start()
    for _ in range(2):
        done = stores.compact(holey)
    ended.set()
    for reader in readers:
        reader.join()
    assert wrong == []
    assert done.after.free == 0
    assert late.execute("select count(*) from chunks_1").get == chunks, "its state is still there"
    late.close()
    stores.compact(holey)
    assert store.sizes().log == 0, "the log goes once nobody reads an older state"
    store.close()


def test_while_another_process_writes_it_is_refused(holey: Path) -> None:
    other = apsw.Connection(str(holey))
    other.execute("begin immediate")
    with pytest.raises(StoreBusy, match="another process is writing"):
        stores.compact(holey, wait=0)
    other.execute("rollback")
    other.close()
    stores.compact(holey)


def test_of_no_database_there_is_nothing_to_compact(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="no such database"):
        stores.compact(tmp_path / "x.db")
    assert list(tmp_path.iterdir()) == []


def test_an_empty_index_is_compacted(tmp_path: Path) -> None:
    store = opened(tmp_path / "x.db")
    store.complete()
    stores.compact(tmp_path / "x.db", prune=True)
    assert store.check() == []
    store.close()


def test_an_index_without_vectors_is_compacted(tmp_path: Path) -> None:
    store = stores.open(tmp_path / "x.db", "code", "a", None)
    store.replace(record("a"), [entry("a", 0, "one two")])
    stores.compact(tmp_path / "x.db")
    assert [c.path for c, _ in store.matching(["one"], 9, **K)] == ["a"]
    store.close()


COMPACT = """
import sys
from pathlib import Path
from ragkit import stores
print("ready", flush=True)
while True:
    stores.compact(Path(sys.argv[1]), prune=True)
"""


@pytest.mark.skipif(os.name != "posix", reason="no such signals")
@pytest.mark.parametrize("end", [signal.SIGINT, signal.SIGKILL])
def test_whatever_ends_it_the_index_is_whole(holey: Path, end: signal.Signals) -> None:
    store = opened(holey)
    stores.compact(holey, prune=True)
    before = answers(store)
    for i in range(8):
        command = [sys.executable, "-c", COMPACT, str(holey)]
        with subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
        ) as process:
            assert process.stdout is not None
            process.stdout.readline()
            with suppress(subprocess.TimeoutExpired):
                process.wait(0.01 + i * 0.017)
            process.send_signal(end)
            process.wait(5)
        assert store.check() == []
        assert answers(store) == before
    store.close()


@pytest.mark.parametrize(
    ("error", "code"),
    [(apsw.FullError, apsw.SQLITE_FULL), (apsw.IOError, apsw.SQLITE_IOERR_WRITE)],
)
def test_a_disk_that_fails_at_any_write_loses_nothing(
    holey: Path, error: type[apsw.Error], code: int
) -> None:
    store = opened(holey)
    before = answers(store)
    disk = FailingDisk()
    failures = []
    try:
        for n in (*range(10), *range(10, 400, 23)):
            fill(store, range(5))  # something to do
            try:
                with disk.failing(n, error, code):
                    stores.compact(holey)
            except StoreError as raised:
                failures.append(raised)
            assert store.check() == []
    finally:
        disk.unregister()
    assert len(failures) > 10
    assert all(failure.remedy for failure in failures)
    assert all(isinstance(e, StoreFull) == (error is apsw.FullError) for e in failures)
    store.delete([str(i) for i in range(1, 5)])
    fill(store, range(1))
    stores.compact(holey)
    assert answers(store) == before
    store.close()


def interrupted(path: Path, after: float) -> bool:
    """Compact and press Ctrl-C after so many seconds: whether that was before it had ended."""
    ended = False
    timer = threading.Timer(after, signal.raise_signal, (signal.SIGINT,))
    try:
        timer.start()
        stores.compact(path)
        ended = True
        timer.join()
    except KeyboardInterrupt:
        timer.join()
    return not ended


def test_ctrl_c_is_heard_within_a_statement(holey: Path) -> None:
    store = opened(holey)
    fill(store, range(100))
    before = answers(store)
    assert any([interrupted(holey, n / 1000) for n in range(1, 30, 3)])
    assert answers(store) == before
    assert store.check() == []
    store.close()


def test_the_command_says_what_it_gave_back(
    ragkit: Callable[..., Any], project: Path, cache: Path
) -> None:
    never = ragkit("compact", project)
    assert never.code == 2
    assert "no such database" in never.err
    assert "ragkit index" in never.err
    assert not list(cache.iterdir())
    ragkit("index", project)
    text = ragkit("compact", project)
    assert text.code == 0
    assert " MB before, " in text.out
    done = json.loads(ragkit("compact", project, "--prune", "--json").out)["databases"]
    [database] = done
    assert Path(database["database"]).parent == cache
    assert sum(database["after"].values()) == Path(database["database"]).stat().st_size
    status = json.loads(ragkit("status", project, "--json").out)["indexes"][0]
    assert status["sizes"] == database["after"]
    assert ragkit("search", "is_squirrel", project).code == 0


def test_in_python_it_is_a_method(project: Path, cache: Path) -> None:
    with KnowledgeBase.open(project) as kb:
        kb.index()
        before = kb.search("squirrel")
        [done] = kb.compact(prune=True)
        assert Path(done.database).stat().st_size == done.after.total
        assert kb.search("squirrel") == before
