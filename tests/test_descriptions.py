"""Descriptions in the store: kept, found again, let go; and the databases from before them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import apsw
import pytest

from ragkit import stores
from ragkit.stores import connection, descriptions
from ragkit.stores.sqlite import SqliteStore
from ragkit.types import Chunk, Entry, Record

Opened = Callable[..., SqliteStore]


@pytest.fixture
def opened(tmp_path: Path) -> Iterator[Opened]:
    """A store of the same file each time."""
    all_of_them: list[SqliteStore] = []

    def open_one(fingerprint: str = "x", *, read_only: bool = False) -> SqliteStore:
        store = stores.open(tmp_path / "x.db", "files", fingerprint, None, read_only=read_only)
        all_of_them.append(store)
        return store

    yield open_one
    for store in all_of_them:
        store.close()


def put(store: SqliteStore, path: str) -> None:
    entry = Entry(Chunk(path, 0, "text", 0, 4, 1, 1), words="text")
    store.replace(Record(path, "d", 4, 1), [entry])


def test_descriptions_are_found_by_their_keys_whatever_they_hold(opened: Opened) -> None:
    store = opened()
    texts = {b"a": "It counts birds.", b"b": "", b"c": "中文 🎉 \x00 \udc80", b"d": "'; drop"}
    store.keep_descriptions(texts)
    assert store.descriptions([*texts, b"unknown"]) == texts
    store.keep_descriptions({b"a": "It counts more."})
    assert opened().descriptions([b"a"]) == {b"a": "It counts more."}


def test_more_keys_than_a_statement_takes(opened: Opened) -> None:
    store = opened()
    texts = {n.to_bytes(4): str(n) for n in range(1_700)}
    store.keep_descriptions(texts)
    assert store.descriptions(list(texts)) == texts
    assert store.descriptions([]) == {}


def test_descriptions_outlive_the_index_that_they_were_made_for(opened: Opened) -> None:
    first = opened("old settings")
    put(first, "a.py")
    first.keep_descriptions({b"a": "It counts birds."})
    first.clear()
    second = opened("new settings")
    put(second, "a.py")
    second.complete()
    assert second.descriptions([b"a"]) == {b"a": "It counts birds."}


def test_those_that_were_kept_first_are_let_go_first(
    opened: Opened, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(descriptions, "SPARE", 3)
    store = opened()
    for n in range(8):
        store.keep_descriptions({bytes([n]): str(n)})
    put(store, "a.py")
    put(store, "b.py")
    store.keep_descriptions({bytes([0]): "0"})  # asked for again: the latest now
    store.complete()
    kept = store.descriptions([bytes([n]) for n in range(8)])
    assert sorted(kept.values()) == ["0", "4", "5", "6", "7"], "two chunks, and three to spare"


def test_a_look_that_began_before_the_first_write_finds_nothing_yet(
    opened: Opened, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = opened()
    real = connection.reader

    def slow(path: Path, *, wait: float) -> tuple[apsw.Connection, connection.File | None]:
        found = real(path, wait=wait)
        store.keep_descriptions({b"a": "It counts birds."})  # by the thread that writes
        store.keep_descriptions({b"b": "It counts more."})
        return found

    monkeypatch.setattr(connection, "reader", slow)
    with ThreadPoolExecutor(1) as thread:
        assert thread.submit(store.descriptions, [b"a"]).result() == {}
        monkeypatch.undo()
        assert thread.submit(store.descriptions, [b"a"]).result() == {b"a": "It counts birds."}
