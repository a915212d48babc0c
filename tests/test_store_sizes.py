"""What a database takes, by part: nothing is left out and nothing counted twice."""

from __future__ import annotations

from pathlib import Path

import apsw
from contracts.store import D, entry, record, unit

from ragkit import stores
from ragkit.stores import connection
from ragkit.stores.sqlite import SqliteStore
from ragkit.types import Sizes


def filled(path: Path, name: str = "code", files: int = 30) -> SqliteStore:
    store = stores.open(path, name, "a", D)
    for i in range(files):
        store.replace(
            record(str(i)), [entry(str(i), j, f"w{i} x{j} " * 20, unit(i, j)) for j in range(20)]
        )
    return store


def bytes_of(path: Path) -> int:
    log = path.with_name(path.name + "-wal")
    return path.stat().st_size + (log.stat().st_size if log.exists() else 0)


def test_the_parts_are_all_that_is_on_the_disk(tmp_path: Path) -> None:
    path = tmp_path / "x.db"
    store, other = filled(path), filled(path, "notes", files=3)
    store.keep_descriptions({b"key": "what it does " * 50})
    sizes = store.sizes()
    assert sizes.total == store.statistics().size == bytes_of(path)
    for part in Sizes.__slots__:
        assert getattr(sizes, part) >= 0
    assert min(sizes.texts, sizes.words, sizes.codes, sizes.vectors, sizes.chunks) > 0
    assert min(sizes.documents, sizes.descriptions, sizes.others, sizes.log) > 0
    seen_from_there = other.sizes()
    assert seen_from_there.total == sizes.total
    assert seen_from_there.vectors == sizes.vectors, "one table for the whole file"
    assert seen_from_there.texts < sizes.texts < seen_from_there.others
    store.close()
    other.close()


def test_every_table_of_an_index_has_its_part(tmp_path: Path) -> None:
    store = filled(tmp_path / "x.db")
    assert store.sizes().rest <= 8 * connection.PAGE_SIZE, "the list of indexes, and the schema"
    store.close()


def test_deleted_files_leave_free_room(tmp_path: Path) -> None:
    store = filled(tmp_path / "x.db")
    before = store.sizes()
    store.delete([str(i) for i in range(30)])
    after = store.sizes()
    assert after.free > before.free
    assert after.total == bytes_of(tmp_path / "x.db")
    store.close()


def test_of_no_database_everything_is_nothing(tmp_path: Path) -> None:
    store = stores.open(tmp_path / "x.db", "code", "a", D, read_only=True)
    assert store.sizes() == Sizes()
    assert store.sizes().total == 0
    store.close()
    (tmp_path / "x.db").touch()
    store = stores.open(tmp_path / "x.db", "code", "a", D, read_only=True)
    assert store.sizes().total == 0
    store.close()


def test_an_index_that_was_never_written_owns_nothing_of_the_file(tmp_path: Path) -> None:
    filled(tmp_path / "x.db").close()
    store = stores.open(tmp_path / "x.db", "code", "other settings", D)
    sizes = store.sizes()
    assert (sizes.texts, sizes.words, sizes.codes, sizes.chunks, sizes.documents) == (0,) * 5
    assert sizes.total == bytes_of(tmp_path / "x.db")
    store.close()


def test_the_files_indexed_are_counted_in_bytes(tmp_path: Path) -> None:
    store = filled(tmp_path / "x.db", files=12)
    store.note(record("failed", outcome="failed", reason="unreadable"))
    assert store.statistics().source == 10 * 1 + 2 * 2, "a record's size here: of its path"
    store.close()


def test_the_parts_are_those_of_sqlite_itself(tmp_path: Path) -> None:
    store = filled(tmp_path / "x.db")
    sizes = store.sizes()
    store.close()
    other = apsw.Connection(str(tmp_path / "x.db"))
    sql = "select sum(pgsize) from dbstat where name glob ?"
    assert sizes.texts == other.execute(sql, ("texts_1*",)).get
    assert sizes.vectors == sum(
        other.execute(sql, (name,)).get for name in ("embeddings", "sqlite_autoindex_embeddings_1")
    )
    other.close()
