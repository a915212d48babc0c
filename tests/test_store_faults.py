"""Disks that fail, processes that are killed, files that go away: one clear error, nothing lost."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any, TypeAlias

import apsw
import numpy as np
import pytest
from contracts.store import D, entry, paths, record, unit
from failing_disk import FailingDisk

from ragkit import stores
from ragkit.errors import StoreBusy, StoreError, StoreFull, StoreMismatch
from ragkit.stores import connection
from ragkit.stores.sqlite import SqliteStore
from ragkit.types import Chunk, Entry

Change: TypeAlias = Callable[[SqliteStore], None]


def opened(path: Path, fingerprint: str = "a", **options: Any) -> SqliteStore:
    return stores.open(path, "code", fingerprint, D, **options)


def fill(store: SqliteStore, files: range = range(6)) -> None:
    for i in files:
        entries = [entry(str(i), j, f"x w{j}", unit(i + 1, j)) for j in range(9)]
        store.replace(record(str(i)), entries)


@pytest.fixture
def built(tmp_path: Path) -> Path:
    """A complete index of six files, closed; a pack of others beside it."""
    path = tmp_path / "built" / "x.db"
    other = opened(tmp_path / "other.db")
    rows = np.random.default_rng(1).standard_normal((300, D)).astype(np.float32)
    other.replace(
        record("others"),
        [
            Entry(Chunk("others", i, "x", i, i + 1, 1, 1), "x", b"%016d" % i, row)
            for i, row in enumerate(rows)
        ],
    )
    other.pack(path.parent / "pack", "m")
    other.close()
    store = opened(path)
    fill(store)
    store.complete()
    store.close()
    return path


@pytest.fixture
def disk() -> Iterator[FailingDisk]:
    failing = FailingDisk()
    yield failing
    failing.unregister()


def content(store: SqliteStore) -> object:
    """All that a user can see of a store."""
    return (
        store.records(),
        {path: store.chunks(path) for path in store.records()},
        paths(store.matching(["x"], 1000)),
        store.nearest(unit(1, 1), 1000),
        store.is_complete,
    )


# ── a disk that fails ──


def add(store: SqliteStore) -> None:
    entries = [entry("new", i, f"x new{i} " * 20, unit(i, 9)) for i in range(20)]
    store.replace(record("new"), entries)


def unpack(store: SqliteStore) -> None:
    store.unpack(store.path.parent / "pack", "m")


CHANGES: dict[str, Change] = {
    "replace": add,
    "replace by nothing": lambda store: store.replace(record("1", "1"), []),
    "keep": lambda store: store.keep({b"key": unit(5, 6)}),
    "delete": lambda store: store.delete(["0", "1", "2"]),
    "clear": lambda store: store.clear(),
    "complete": lambda store: store.complete(),
    "unpack": unpack,
    "keep_recipe": lambda store: store.keep_recipe("x" * 20_000),
}

FAILURES: dict[str, tuple[type[apsw.Error], int, str]] = {
    "full": (apsw.FullError, apsw.SQLITE_FULL, "no space left"),
    "write": (apsw.IOError, apsw.SQLITE_IOERR_WRITE, "disk failed (SQLITE_IOERR_WRITE"),
    "sync": (apsw.IOError, apsw.SQLITE_IOERR_FSYNC, "disk failed (SQLITE_IOERR_FSYNC"),
}

PLACES = 5
"""Of the writes of a change, how many are tried beside the first and the last ones."""


def failure_of(change: Change, store: SqliteStore) -> StoreError | None:
    try:
        change(store)
    except StoreError as error:
        return error
    return None


def prepared(built: Path, path: Path, change: str) -> SqliteStore:
    """A store of a copy; where it is to be completed, of other settings than the one before."""
    shutil.copytree(built.parent, path.parent)
    store = opened(path, "b" if change == "complete" else "a")
    if change == "complete":
        fill(store, range(2))
    return store


@pytest.mark.parametrize("failure", FAILURES)
@pytest.mark.parametrize("change", CHANGES)
def test_a_disk_that_fails_at_any_write_undoes_the_change_and_says_so(
    built: Path, tmp_path: Path, disk: FailingDisk, change: str, failure: str
) -> None:
    error, code, message = FAILURES[failure]
    with closing(prepared(built, tmp_path / "all" / "x.db", change)) as store:
        with disk.failing(1_000_000, error, code):
            CHANGES[change](store)
        writes = 1_000_000 - disk.left
        done = content(store)
    assert writes > 3
    for n in sorted({0, 1, writes - 2, writes - 1, *range(0, writes, writes // PLACES + 1)}):
        path = tmp_path / str(n) / "x.db"
        with closing(prepared(built, path, change)) as store:
            before = content(store)
            with disk.failing(n, error, code):
                raised = failure_of(CHANGES[change], store)
            if raised:
                assert isinstance(raised, StoreFull) == (failure == "full")
                assert message in raised.message
                assert raised.remedy
                assert content(store) == before
            assert store.check() == []
            CHANGES[change](store)  # the same store goes on where the disk works again
            assert content(store) == done
        with closing(opened(path, store.fingerprint)) as again:
            assert again.check() == []
            assert content(again) == done


@pytest.mark.parametrize("failure", FAILURES)
def test_a_database_that_cannot_be_made_is_made_when_the_disk_works(
    tmp_path: Path, disk: FailingDisk, failure: str
) -> None:
    error, code, _ = FAILURES[failure]
    for n in range(0, 40, 7):
        with closing(opened(tmp_path / str(n) / "x.db")) as store:
            with disk.failing(n, error, code):
                raised = failure_of(add, store)
            assert raised is None or raised.remedy
            fill(store)
            assert store.check() == []
            assert store.statistics().chunks in (54, 74)


def test_a_disk_that_fails_while_it_is_read_says_so_and_harms_nothing(
    built: Path, disk: FailingDisk
) -> None:
    with closing(opened(built)) as store:
        whole = content(store)
    seen = set()
    for n in range(0, 60, 5):
        with closing(opened(built)) as store:
            code = apsw.SQLITE_IOERR_READ
            with disk.failing(n, apsw.IOError, code, frozenset({"read"})):
                try:
                    assert content(store) == whole
                except StoreError as raised:
                    seen.add(raised.message)
                    assert raised.remedy  # noqa: PT017
            assert content(store) == whole
    undone = "a change that was not complete is undone"
    assert seen == {f"{built}: the disk failed (SQLITE_IOERR_READ: as told); {undone}"}


def test_a_disk_without_room_for_anything_is_searched_all_the_same(built: Path) -> None:
    resource = pytest.importorskip("resource")
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    # no file may grow beyond this, and what readers and writers share takes 32 kB
    resource.setrlimit(resource.RLIMIT_FSIZE, (16_384, limits[1]))
    try:
        with closing(opened(built)) as store:
            assert store.matching(["x"], 1)
            with pytest.raises(StoreFull, match="no space left") as raised:
                add(store)
            assert raised.value.remedy
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    with closing(opened(built)) as store:
        assert store.check() == []


# ── places where readers and writers cannot agree ──


@pytest.fixture
def unshared(request: pytest.FixtureRequest) -> Iterator[None]:
    """A file system without shared memory, as some network drives are."""
    system = f"{apsw.vfs_names()[0]}-dotfile"
    if system not in apsw.vfs_names():
        pytest.skip("not with this system's SQLite")
    disk = apsw.VFS("unshared", system, makedefault=True)
    yield
    disk.unregister()


def test_a_drive_without_shared_memory_is_named_as_the_cause(
    built: Path, tmp_path: Path, unshared: None
) -> None:
    for path in (built, tmp_path / "new.db"):
        with pytest.raises(StoreError, match="share memory") as raised, closing(opened(path)) as s:
            s.note(record("a"))
        assert "RAGKIT_CACHE_DIR" in raised.value.remedy
        assert str(path) in raised.value.message


def test_locks_that_never_come_are_busy_and_point_to_the_drive(built: Path, tmp_path: Path) -> None:
    holder = apsw.Connection(str(built))
    holder.execute("pragma locking_mode = exclusive; begin immediate").fetchall()
    for read_only in (False, True):
        with pytest.raises(StoreBusy, match="another process") as raised:
            opened(built, wait=0.01, read_only=read_only)
        assert "local disk" in raised.value.remedy
    holder.execute("rollback")
    holder.close()
    with closing(opened(built)) as store:
        assert store.check() == []


# ── files that go away, and others that come ──


def test_a_removed_file_is_missed_once_and_then_the_store_begins_anew(built: Path) -> None:
    with closing(opened(built)) as store:
        assert store.matching(["x"], 1)
        remove(built)
        with pytest.raises(StoreMismatch, match="was removed while it was open") as raised:
            store.matching(["x"], 1)
        assert raised.value.remedy
        assert store.matching(["x"], 1) == []
        assert store.records() == {}
        fill(store)
        assert store.check() == []
        assert store.statistics().documents == 6


def test_another_process_may_build_anew_while_the_removed_file_is_open(built: Path) -> None:
    with closing(opened(built)) as old:
        add(old)
        old.complete()
        built.unlink()  # and not its log, as people do; that must not come into the new file
        with closing(opened(built)) as new:
            fill(new, range(3))
            assert new.check() == []
            expected = content(new)
            assert content(old) == expected, "it follows"
            fill(old, range(3, 4))
        assert len(old.records()) == 4
    with closing(opened(built)) as new:
        assert new.check() == []
        assert len(new.records()) == 4


def test_half_a_sync_is_not_continued_in_another_file(built: Path, tmp_path: Path) -> None:
    with closing(opened(built)) as store:
        fill(store, range(2))
        remove(built)
        with pytest.raises(StoreMismatch, match="while it was open"):
            fill(store, range(2, 4))
        assert not built.exists()
        fill(store, range(2))  # from the beginning
        other = tmp_path / "other" / "x.db"
        with closing(opened(other)) as another:
            fill(another, range(5))
        remove(built)
        other.rename(built)
        with pytest.raises(StoreMismatch, match="replaced by another file"):
            fill(store, range(2, 4))
        assert len(store.records()) == 5


def test_a_file_that_is_replaced_is_searched_from_then_on(built: Path, tmp_path: Path) -> None:
    other = tmp_path / "other" / "x.db"
    with closing(opened(other)) as store:
        store.replace(record("new"), [entry("new", 0, "x other", unit(1, 2))])
        for i in range(5):  # as many changes as the first file saw
            store.replace(record(str(i)), [])
        store.complete()
        expected = content(store)
    with closing(opened(built)) as store:
        before = content(store)
        remove(built)
        other.rename(built)
        assert content(store) == expected != before


def test_a_copy_that_is_put_back_is_told_from_the_file_that_went_on(
    built: Path, tmp_path: Path
) -> None:
    copy = tmp_path / "copy.db"
    shutil.copy(built, copy)

    def changed(store: SqliteStore, by: float) -> object:  # both ways as many changes
        store.replace(record("0", "1"), [entry("0", 0, f"x {by}", unit(1, by))])
        store.complete()
        return content(store)

    with closing(opened(built)) as store, closing(opened(built)) as other:
        assert changed(store, 0.5) == content(other)
        remove(built)
        copy.rename(built)
        with closing(opened(built)) as another:
            expected = changed(another, -0.5)
        assert content(other) == content(store) == expected


def remove(path: Path) -> None:
    for end in ("", "-wal", "-shm"):
        path.with_name(path.name + end).unlink(missing_ok=True)


def test_a_folder_that_may_not_be_written_is_read_as_others_change_it(
    built: Path, permissions_bind: None
) -> None:
    built.parent.chmod(0o555)
    with closing(opened(built)) as store:
        before = content(store)
        built.parent.chmod(0o755)
        with closing(opened(built)) as writer:
            add(writer)
            expected = content(writer)
        built.parent.chmod(0o555)
        assert content(store) == expected != before
    built.parent.chmod(0o755)


def test_a_file_that_a_newer_ragkit_upgrades_while_it_is_open_is_left_alone(built: Path) -> None:
    with closing(opened(built)) as store:
        add(store)
        newer = apsw.Connection(str(built))
        newer.execute("pragma user_version = 999")
        newer.close()
        for change in (add, content):
            with pytest.raises(StoreError, match="newer ragkit") as raised:
                change(store)
            assert raised.value.remedy


def test_a_database_in_another_journal_mode_is_put_back(built: Path) -> None:
    other = apsw.Connection(str(built))
    other.execute("pragma journal_mode = delete")
    other.close()
    with closing(opened(built)) as store:
        assert store.matching(["x"], 1)
        add(store)
        assert store.check() == []
    other = apsw.Connection(str(built))
    assert other.pragma("journal_mode") == "wal"
    other.close()


FOUND = """
import os, signal, sys
import apsw
from ragkit.stores import schema
founding = apsw.Connection(sys.argv[1])
founding.execute("pragma page_size = 8192")
founding.execute("pragma cache_size = 1")  # so that pages are written before the commit
founding.execute("begin exclusive")
schema.create(founding)
os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="no SIGKILL there")
@pytest.mark.parametrize("read_only", [True, False])
def test_a_process_that_was_killed_while_it_founded_the_file_leaves_an_empty_one(
    tmp_path: Path, read_only: bool
) -> None:
    path = tmp_path / "x.db"
    subprocess.run([sys.executable, "-c", FOUND, str(path)], check=False)
    assert path.with_name("x.db-journal").stat().st_size > 0
    store = stores.open(path, "code", "a", D, read_only=read_only)
    assert store.records() == {}
    assert store.check() == []
    store.close()
    writer = stores.open(path, "code", "a", D)
    writer.note(record("a"))
    assert set(writer.records()) == {"a"}
    writer.close()


@pytest.mark.skipif(sys.platform == "win32", reason="no SIGKILL there")
def test_where_that_cannot_be_undone_the_file_is_not_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "x.db"
    subprocess.run([sys.executable, "-c", FOUND, str(path)], check=False)
    monkeypatch.setattr(connection, "_may_make_files", lambda folder: False)
    with pytest.raises(StoreError, match="unfinished changes"):
        stores.open(path, "code", "a", D, read_only=True)


@pytest.mark.parametrize("failure", FAILURES)
def test_a_rollback_that_fails_leaves_the_index_that_answered(
    built: Path, disk: FailingDisk, failure: str
) -> None:
    error, code, message = FAILURES[failure]
    with closing(opened(built, "b")) as store:
        fill(store, range(2))
        store.complete()
    failed = 0
    for n in range(40):
        before = stores.indexes(built)
        with disk.failing(n, error, code):
            try:
                stores.roll_back(built, "code")
            except StoreError as raised:
                failed += 1
                assert message in raised.message  # noqa: PT017
        after = stores.indexes(built)
        assert [index.complete for index in after] in ([True, False], [False, True])
        assert [index.kept for index in after] == [not index.complete for index in after]
        if not disk.failed:
            assert after != before
    assert failed > 2
    with closing(opened(built)) as store:
        assert store.check() == []
