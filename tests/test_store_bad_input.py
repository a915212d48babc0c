"""What a store is given that it cannot take: vectors that are none, files of other versions."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any, TypeAlias

import apsw
import numpy as np
import old_databases
import pytest
from contracts.store import D, chunk, entry, paths, record, unit

from ragkit import stores
from ragkit.errors import StoreError, StoreFull, StoreMismatch
from ragkit.stores import schema, upgrading
from ragkit.stores.sqlite import SqliteStore
from ragkit.types import Entry, Record

FILES: list[tuple[Record, list[Entry]]] = [
    (record(name, "d"), [entry(name, j, f"x x w{j}", unit(i + 1, j)) for j in range(9)])
    for i, name in enumerate(["a.py", "b.py", "ü.md"])
]


def opened(path: Path, fingerprint: str = "a", **options: Any) -> SqliteStore:
    return stores.open(path, "code", fingerprint, D, **options)


# ── vectors ──

NO_VECTORS: dict[str, Any] = {
    "NaN": np.array([np.nan] + [0.5] * (D - 1), np.float32),
    "infinity": np.full(D, -np.inf, np.float32),
    "infinity as float32": np.full(D, 1e300),
    "a length beyond float32": np.full(D, 3e38, np.float32),
    "one value too few": np.ones(D - 1, np.float32),
    "one value too many": np.ones(D + 1, np.float32),
    "a row of a table": np.ones((1, D), np.float32),
}

Use: TypeAlias = Callable[[SqliteStore, Any], object]

USES: dict[str, Use] = {
    "replace": lambda store, vector: store.replace(
        record("b"), [entry("b", 0, "x", unit(3)), Entry(chunk("b", 1, "x"), "x", b"k", vector)]
    ),
    "keep": lambda store, vector: store.keep({b"fine": unit(4), b"k": vector}),
    "nearest": lambda store, vector: store.nearest(vector, 5),
}


@pytest.mark.parametrize("precision", ["int8", "float32"])
@pytest.mark.parametrize("vector", NO_VECTORS.values(), ids=NO_VECTORS)
@pytest.mark.parametrize("use", USES)
def test_what_is_no_vector_of_the_index_is_refused_whole(
    tmp_path: Path, use: str, vector: Any, precision: Any
) -> None:
    with closing(opened(tmp_path / "x.db", precision=precision)) as store:
        store.replace(record("a"), [entry("a", 0, "x", unit(1))])
        with pytest.raises(StoreError, match="vector") as raised:
            USES[use](store, vector)
        assert raised.value.remedy
        assert isinstance(raised.value, StoreMismatch) == (vector.shape != (D,))
        assert list(store.records()) == ["a"]
        assert store.known([b"fine", b"k"]) == {}
        assert paths(store.nearest(unit(1), 5)) == [("a", 0)]
        assert store.check() == []


@pytest.mark.parametrize("vector", [np.zeros(D), np.full(D, 1e-40), np.full(D, 1e-300)])
def test_a_vector_that_is_next_to_nothing_is_like_nothing(tmp_path: Path, vector: Any) -> None:
    with closing(opened(tmp_path / "x.db")) as store:
        store.replace(record("a"), [Entry(chunk("a", 0, "t"), "x", b"k", vector)])
        assert store.nearest(unit(1), 5) == []
        assert store.nearest(vector, 5) == []
        assert paths(store.matching(["x"], 5)) == [("a", 0)]
        assert store.check() == []


@pytest.mark.parametrize("size", [1e-12, 1e12])
def test_vectors_of_any_length_have_cosines(tmp_path: Path, size: float) -> None:
    with closing(opened(tmp_path / "x.db")) as store:
        store.replace(record("a"), [entry("a", 0, "x", unit(1, 1) * np.float32(size))])
        for exact in (False, True):
            [(_, cosine)] = store.nearest(unit(1) * np.float32(size), 5, exact=exact)
            assert cosine == pytest.approx(0.5**0.5, abs=1e-6)


def test_models_of_two_lengths_in_one_file_stay_apart(tmp_path: Path) -> None:
    with (
        closing(opened(tmp_path / "x.db")) as one,
        closing(stores.open(tmp_path / "x.db", "docs", "b", D + 2)) as other,
    ):
        longer = np.ones(D + 2, np.float32)
        one.replace(record("a"), [Entry(chunk("a", 0, "t"), "x", b"one", unit(1))])
        other.replace(record("b"), [Entry(chunk("b", 0, "t"), "x", b"two", longer)])
        with pytest.raises(StoreMismatch, match="dimensions"):
            one.nearest(longer, 5)
        with pytest.raises(StoreMismatch, match="dimensions"):
            stores.open(tmp_path / "x.db", "docs", "b", D)
        with pytest.raises(StoreMismatch, match="under the same key") as raised:
            other.replace(record("c"), [Entry(chunk("c", 0, "t"), "x", b"one", longer)])
        assert raised.value.remedy
        assert other.known([b"one"]) == {}
        assert paths(one.nearest(unit(1), 5)) == [("a", 0)]
        assert paths(other.nearest(longer, 5)) == [("b", 0)]
        assert one.check() == other.check() == []


# ── files of other versions ──


@pytest.fixture(params=[1, 2])
def old(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """A database of an older version, with three files."""
    path = tmp_path / "old" / "x.db"
    path.parent.mkdir()
    old_databases.make(path, request.param, "code", "a", D, FILES)
    return path


def version(path: Path) -> object:
    database = apsw.Connection(str(path))
    found = database.pragma("user_version")
    database.close()
    return found


def content(store: SqliteStore) -> object:
    return (
        store.records(),
        {path: store.chunks(path) for path in store.records()},
        store.matching(["x", "w3"], 100),
        store.nearest(unit(1, 1), 100),
        store.is_complete,
    )


def test_an_older_file_is_brought_up_to_date_and_nothing_is_lost(old: Path) -> None:
    with closing(opened(old.with_name("new.db"))) as new:
        for seen, entries in FILES:
            new.replace(seen, entries)
        new.complete()
        expected = content(new)
    with closing(opened(old)) as store:
        assert content(store) == expected
        assert store.check() == []
        keys = [e.key or b"" for _, entries in FILES for e in entries]
        assert set(store.known(keys)) == set(keys)
        store.keep_descriptions({b"d": "of now"})
        store.replace(record("b.py", "e"), [entry("b.py", 0, "new", unit(7))])
        assert paths(store.matching(["new"], 5)) == [("b.py", 0)]
        assert store.check() == []
    assert version(old) == schema.VERSION


def test_an_older_file_that_may_only_be_read_says_what_brings_it_up_to_date(old: Path) -> None:
    before = old.read_bytes()
    with pytest.raises(StoreError, match="made by an older ragkit") as raised:
        opened(old, read_only=True)
    assert "ragkit index" in raised.value.remedy
    assert [index.fingerprint for index in stores.indexes(old)] == ["a"]
    assert old.read_bytes() == before


def test_an_older_file_in_a_place_that_may_not_be_written_stays_as_it_is(
    old: Path, permissions_bind: None
) -> None:
    before = old.read_bytes()
    old.chmod(0o444)
    old.parent.chmod(0o555)
    with pytest.raises(StoreError, match="may not be written") as raised:
        opened(old)
    assert raised.value.remedy
    old.parent.chmod(0o755)
    assert old.read_bytes() == before


def test_a_reader_follows_when_another_brings_the_file_up_to_date(old: Path) -> None:
    with closing(opened(old, "other", read_only=True)) as reader:  # not an index of the old file
        with closing(opened(old)) as store:
            expected = content(store)
        assert not reader.is_complete
        with closing(opened(old, read_only=True)) as again:
            assert content(again) == expected


def test_an_upgrade_that_finds_no_room_leaves_the_older_file(
    old: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = version(old)
    assert before in (1, 2)
    steps = dict(upgrading._STEPS)

    def full(connection: apsw.Connection) -> None:
        connection.pragma("max_page_count", connection.pragma("page_count"))
        try:
            steps[2](connection)
        finally:
            connection.pragma("max_page_count", 1_000_000)

    monkeypatch.setitem(upgrading._STEPS, 2, full)
    with pytest.raises(StoreFull, match="no space left"):
        opened(old)
    assert version(old) == 2
    monkeypatch.undo()
    with closing(opened(old)) as store:
        assert store.check() == []
        assert len(store.matching(["x"], 100)) == 27
