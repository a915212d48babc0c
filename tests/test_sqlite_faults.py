"""What breaks around a SQLite store: each gets one clear message, and the file stays as it was."""

from __future__ import annotations

import os
import random
import signal
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import apsw
import pytest
from contracts.store import D, entry, paths, record, unit

from ragkit import stores
from ragkit.errors import StoreBusy, StoreError, StoreFull, StoreMismatch
from ragkit.stores import fitting, rows
from ragkit.stores.sqlite import SqliteStore

K = {"k1": 1.2, "b": 0.75}


def opened(path: Path, fingerprint: str = "a", **options: Any) -> SqliteStore:
    return stores.open(path, "code", fingerprint, D, **options)


@pytest.fixture
def built(tmp_path: Path) -> Path:
    """A complete index of ten files, closed."""
    path = tmp_path / "x.db"
    store = opened(path)
    for i in range(10):
        store.replace(record(str(i)), [entry(str(i), j, "x " * j, unit(i, j)) for j in range(20)])
    store.complete()
    store.close()
    return path


# ── files that are not ours ──


def text(path: Path) -> None:
    path.write_text("notes about birds\n" * 1000)


def foreign(path: Path) -> None:
    other = sqlite3.connect(path)
    other.execute("create table birds(name)")
    other.commit()
    other.close()


def newer(path: Path) -> None:
    opened(path).note(record("a"))
    other = apsw.Connection(str(path))
    other.execute("pragma user_version = 999")
    other.close()


def folder(path: Path) -> None:
    path.mkdir()


def special(path: Path) -> None:
    if not hasattr(os, "mkfifo"):
        pytest.skip("no such files here")
    os.mkfifo(path)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (text, "not a ragkit database"),
        (foreign, "another program"),
        (newer, "newer ragkit"),
        (folder, "is a folder"),
        (special, "is not a file"),
    ],
)
def test_a_file_that_is_not_ours_is_refused_and_left_alone(
    tmp_path: Path, make: Callable[[Path], None], message: str
) -> None:
    path = tmp_path / "x.db"
    make(path)
    before = path.read_bytes() if path.is_file() else None
    for options in ({}, {"read_only": True}, {"create": False}):
        with pytest.raises(StoreError, match=message) as raised:
            opened(path, **options)
        assert raised.value.remedy
        assert str(path) in raised.value.message
    assert before is None or path.read_bytes() == before


def test_an_empty_file_becomes_a_database(tmp_path: Path) -> None:
    path = tmp_path / "x.db"
    path.touch()
    opened(path).note(record("a"))
    assert list(opened(path).records()) == ["a"]


@pytest.mark.parametrize("kept", [0.02, 0.3, 0.6, 0.95])
def test_a_truncated_file_is_called_damaged(built: Path, kept: float) -> None:
    content = built.read_bytes()
    built.write_bytes(content[: int(len(content) * kept)])
    with pytest.raises(StoreError, match=r"damaged|not a ragkit database") as raised:
        _every_page(built)
    assert raised.value.remedy


def test_an_overwritten_page_is_found_by_check(built: Path) -> None:
    with built.open("r+b") as file:
        size = file.seek(0, os.SEEK_END)
        file.seek(size // 8192 // 2 * 8192)
        file.write(b"\xff" * 8192)
    assert opened(built).check() != []


def _every_page(path: Path) -> None:
    store = opened(path)
    assert store.check() == []


def test_rows_that_disagree_are_found_by_check(built: Path) -> None:
    other = apsw.Connection(str(built))
    other.execute("delete from texts_1 where id = 1; delete from embeddings where id = 3")
    other.close()
    assert [line.split(" ", 1)[1] for line in opened(built).check()] == [
        "chunks without their text",
        "chunks whose embedding is missing",
    ]


# ── places that cannot be written ──


def test_missing_folders_are_made_at_the_first_write_only(tmp_path: Path) -> None:
    path = tmp_path / "not" / "yet" / "x.db"
    store = opened(path)
    assert store.records() == {}
    assert not path.parent.exists()
    store.note(record("a"))
    assert list(store.records()) == ["a"]


def test_without_create_a_missing_file_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="no such database"):
        opened(tmp_path / "x.db", create=False)
    assert not (tmp_path / "x.db").exists()


def test_a_folder_that_cannot_be_made_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(StoreError, match="file") as raised:
        opened(tmp_path / "file" / "x.db").note(record("a"))
    assert raised.value.remedy


def test_a_store_for_reading_leaves_no_trace_and_refuses_to_write(
    built: Path, tmp_path: Path
) -> None:
    missing = opened(tmp_path / "none.db", read_only=True)
    assert missing.records() == {}
    assert not missing.is_complete
    assert not (tmp_path / "none.db").exists()
    before = built.read_bytes()
    store = opened(built, read_only=True)
    assert store.statistics().chunks == 200
    with pytest.raises(StoreError, match="reading only"):
        store.note(record("a"))
    store.close()
    assert built.read_bytes() == before


@pytest.mark.parametrize("folder", [0o777, 0o555])
def test_a_read_only_file_can_be_searched_and_says_that_it_cannot_be_written(
    built: Path, folder: int, permissions_bind: None
) -> None:
    built.chmod(0o444)
    built.parent.chmod(folder)
    store = opened(built)
    assert store.statistics().chunks == 200
    assert paths(store.matching(["x"], 1, **K)) == [("0", 19)]
    assert len(store.nearest(unit(1), 5)) == 5
    with pytest.raises(StoreError, match="may not be written") as raised:
        store.note(record("a"))
    assert raised.value.remedy
    store.close()
    built.parent.chmod(0o755)


def test_a_folder_that_may_not_be_entered_is_an_error(
    tmp_path: Path, permissions_bind: None
) -> None:
    secret = tmp_path / "secret"
    secret.mkdir(mode=0o000)
    with pytest.raises(StoreError, match="cannot be opened") as raised:
        opened(secret / "x.db")
    assert raised.value.remedy
    secret.chmod(0o700)


def test_a_full_disk_undoes_the_change_and_says_so(built: Path) -> None:
    store = opened(built)
    store.note(record("0", "touched"))
    writer = store._writer
    assert writer is not None
    pages = writer.pragma("page_count")
    writer.execute(f"pragma max_page_count = {pages}")
    before = store.statistics()
    large = [entry("new", i, f"word{i} " * 50, unit(i, 3)) for i in range(2000)]
    with pytest.raises(StoreFull, match="no space left") as raised:
        store.replace(record("new"), large)
    assert raised.value.remedy
    assert store.statistics() == before
    assert store.check() == []
    writer.execute("pragma max_page_count = 1000000")
    store.replace(record("new"), large)
    assert store.check() == []


# ── several at once ──


def test_a_sync_that_changes_nothing_writes_nothing(built: Path) -> None:
    writing, idle = opened(built), opened(built, wait=0.05)
    with writing._writing():
        idle.complete()
    assert idle._writer is None


def test_a_second_writer_waits_and_then_says_that_another_is_writing(built: Path) -> None:
    first, second = opened(built), opened(built, wait=0.05)
    with first._writing():
        with pytest.raises(StoreBusy, match="another process") as raised:
            second.note(record("b"))
        assert raised.value.remedy
        assert second.statistics().chunks == 200
    second.note(record("b"))
    assert "b" in first.records()


def test_a_search_sees_the_old_file_or_the_new_one(tmp_path: Path) -> None:
    store = opened(tmp_path / "x.db")
    seen: list[Any] = []
    stop = threading.Event()

    def search() -> None:
        while not stop.is_set():
            found = store.matching(["x"], 50, **K)
            near = store.nearest(unit(1), 50)
            seen.extend([{c.text[-1] for c, _ in found}, len(found), len(near)])

    def version(n: int) -> None:
        store.replace(
            record("a", str(n)), [entry("a", i, f"x {n % 2}", unit(1, n)) for i in range(9)]
        )

    version(0)
    with ThreadPoolExecutor(3) as pool:
        searches = [pool.submit(search) for _ in range(3)]
        for n in range(1, 60):
            version(n)
        stop.set()
    for done in searches:
        done.result()
    assert set(seen[1::3]) == {9}
    assert set(seen[2::3]) == {9}
    assert all(len(texts) == 1 for texts in seen[0::3])


def test_a_change_by_another_process_is_seen_by_the_next_search(built: Path) -> None:
    reader, writer = opened(built), opened(built)
    assert reader.matching(["new"], 5, **K) == []
    writer.replace(record("n"), [entry("n", 0, "new", unit(7, 7, 7))])
    assert paths(reader.matching(["new"], 5, **K)) == [("n", 0)]
    assert paths(reader.nearest(unit(7, 7, 7), 1)) == [("n", 0)]


WRITE = """
import random, sys
from pathlib import Path
sys.path[:0] = {path!r}
from contracts.store import D, entry, record, unit
from ragkit import stores
store = stores.open(Path({database!r}), "code", "a", D, wait=30)
n = {seed}
print("go", flush=True)
while True:
    n += 1
    path = str(n % 7)
    if n % 5:
        entries = [entry(path, i, f"x w{{n}}", unit(n, i)) for i in range(n % 13)]
        store.replace(record(path, str(n)), entries)
    else:
        store.delete([path])
    if n % 11 == 0:
        store.complete()
"""


def test_a_killed_writer_leaves_a_sound_index(tmp_path: Path) -> None:
    path = tmp_path / "x.db"
    chance = random.Random(5)
    for seed in range(4):
        script = WRITE.format(path=sys.path, database=str(path), seed=seed * 1000)
        with subprocess.Popen(
            [sys.executable, "-c", script], stdout=subprocess.PIPE, text=True
        ) as writer:
            assert writer.stdout is not None
            writer.stdout.readline()
            with pytest.raises(subprocess.TimeoutExpired):
                writer.wait(chance.uniform(0.005, 0.15))
            writer.send_signal(signal.SIGKILL if os.name == "posix" else signal.SIGTERM)
        store = opened(path)
        assert store.check() == []
        counted = store.statistics()
        assert counted.chunks == counted.words == counted.vectors
        assert counted.chunks == len(store.matching(["x"], 1000, **K))
        store.replace(record("k"), [entry("k", 0, "x", unit(1))])
        store.delete(["k"])
        store.close()


def test_processes_may_make_the_same_database_at_the_same_time(tmp_path: Path) -> None:
    path = tmp_path / "x.db"
    stored = [opened(path, wait=10) for _ in range(4)]
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda n: stored[n].note(record(str(n))), range(4)))
    assert sorted(stored[0].records()) == ["0", "1", "2", "3"]
    assert len(stored[0].indexes()) == 1


# ── what is kept, and for how long ──


def test_spare_embeddings_are_dropped_oldest_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rows, "SPARE_EMBEDDINGS", 4)
    store = opened(tmp_path / "x.db")
    gone = [entry(str(i), 0, "x", unit(1, i)) for i in range(9)]
    for e in gone:
        store.replace(record(e.chunk.path), [e])
    live = [entry("live", i, "x", unit(1, -i - 1)) for i in range(3)]
    store.replace(record("live"), live)
    for e in gone:
        store.delete([e.chunk.path])
    store.complete()
    assert set(store.known([e.key or b"" for e in gone])) == {e.key for e in gone[-4:]}
    assert len(store.known([e.key or b"" for e in live])) == 3
    assert store.check() == []


def test_holes_left_by_deleted_vectors_are_closed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fitting, "HOLES", 1500)
    store = opened(tmp_path / "x.db")
    kept = [entry("kept", i, "x", unit(1, i)) for i in range(3)]
    for n in range(4):
        store.replace(record("kept", str(n)), kept)
        store.replace(record("big"), [entry("big", i, "x", unit(n + 2, i)) for i in range(1000)])
    assert _places(store) >= 4096
    store.delete(["big"])
    store.complete()
    assert _places(store) == 1024
    assert store.check() == []
    assert paths(store.nearest(unit(1), 3)) == [("kept", 0), ("kept", 1), ("kept", 2)]


def _places(store: SqliteStore) -> int:
    other = apsw.Connection(str(store.path))
    try:
        return int(other.execute("select sum(size) from codes_1_chunks").get or 0)
    finally:
        other.close()


def test_another_number_of_dimensions_is_a_mismatch(built: Path) -> None:
    with pytest.raises(StoreMismatch, match="dimensions"):
        stores.open(built, "code", "a", D + 1)
