"""Any sequence of writes leaves the SQLite store equal to a dictionary."""

from __future__ import annotations

import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from contracts.store import D, bm25, entry, paths, record, unit
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from ragkit import stores
from ragkit.types import Entry

PATHS = st.sampled_from(["a", "b", "c/d", "e"])
TEXTS = st.lists(
    st.tuples(
        st.lists(st.sampled_from("uvwxyz"), min_size=1, max_size=5).map(" ".join),
        st.sampled_from([None, (), (1,), (1, 1), (1, 2), (2, 1), (-1, 3)]),
    ),
    max_size=4,
)


class StoreAsDictionary(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.folder = tempfile.TemporaryDirectory()
        self.path = Path(self.folder.name, "x.db")
        self.store = stores.open(self.path, "code", "a", D)
        self.model: dict[str, tuple[str, list[Entry]]] = {}
        self.vectors: dict[bytes, Any] = {}
        self.count = 0

    def teardown(self) -> None:
        self.store.close()
        self.folder.cleanup()

    def digest(self) -> str:
        self.count += 1
        return str(self.count)

    @rule(path=PATHS, texts=TEXTS)
    def replace(self, path: str, texts: list[tuple[str, tuple[float, ...] | None]]) -> None:
        entries = [
            entry(path, i, text, None if values is None else unit(*values))
            for i, (text, values) in enumerate(texts)
        ]
        digest = self.digest()
        self.store.replace(record(path, digest), entries)
        self.model[path] = (digest, entries)
        self.vectors |= {e.key: e.vector for e in entries if e.key is not None}

    @rule(path=PATHS)
    def note(self, path: str) -> None:
        digest = self.digest()
        self.store.note(record(path, digest))
        self.model[path] = (digest, self.model.get(path, ("", []))[1])

    @rule(gone=st.lists(PATHS, max_size=3))
    def delete(self, gone: list[str]) -> None:
        self.store.delete(gone)
        for path in gone:
            self.model.pop(path, None)

    @rule()
    def complete(self) -> None:
        self.store.complete()

    @rule()
    def clear(self) -> None:
        self.store.clear()
        self.model.clear()

    @rule()
    def reopen(self) -> None:
        self.store.close()
        self.store = stores.open(self.path, "code", "a", D)

    def entries(self) -> Iterable[Entry]:
        return (e for _, entries in self.model.values() for e in entries)

    @invariant()
    def holds_the_same(self) -> None:
        digests = {path: r.digest for path, r in self.store.records().items()}
        assert digests == {path: digest for path, (digest, _) in self.model.items()}
        for path, (_, entries) in self.model.items():
            assert self.store.chunks(path) == [e.chunk for e in entries]
        known = self.store.known(list(self.vectors))
        assert known.keys() == self.vectors.keys()
        assert all(np.array_equal(known[key], self.vectors[key]) for key in known)
        counted = self.store.statistics()
        entries = list(self.entries())
        assert counted.chunks == counted.words == len(entries)
        assert counted.vectors == sum(e.vector is not None for e in entries)
        assert self.store.check() == []

    @invariant()
    def finds_the_same(self) -> None:
        entries = list(self.entries())
        place = {(e.chunk.path, e.chunk.index): e for e in entries}
        found = self.store.matching(["u", "z"], 100, k1=1.2, b=0.75)
        scores = bm25([e.words or "" for e in entries], ["u", "z"]) if entries else []
        expected = {
            (e.chunk.path, e.chunk.index): s for e, s in zip(entries, scores, strict=True) if s
        }
        assert {p: s for p, (_, s) in zip(paths(found), found, strict=True)} == pytest.approx(
            expected, rel=1e-5
        )
        near = paths(self.store.nearest(unit(1, 1), 100))
        assert sorted(near) == sorted(
            p for p, e in place.items() if e.vector is not None and e.vector.any()
        )


TestStoreAsDictionary = StoreAsDictionary.TestCase
TestStoreAsDictionary.settings = settings(max_examples=15, stateful_step_count=12, deadline=None)
