"""Any sequence of writes by two stores of one file leaves each equal to a dictionary."""

from __future__ import annotations

import tempfile
import threading
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np
import pytest
from contracts.store import FILTERS, LANGUAGES, D, bm25, entry, filtered_record, paths, unit
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from ragkit import stores
from ragkit.stores import filed
from ragkit.types import ANYTHING, Chunk, Entry, Filter, Record

FILES = st.builds(filtered_record, st.integers(0, 4), st.sampled_from(LANGUAGES), st.integers(0, 5))
PATHS = st.sampled_from([filtered_record(number, None, 0).path for number in range(5)])
VECTORS = st.sampled_from([None, (), (1,), (1, 1), (1, 2), (2, 1), (-1, 3), (-1, -1)])
TEXTS = st.lists(
    st.tuples(st.lists(st.sampled_from("uvwxyz"), min_size=1, max_size=5).map(" ".join), VECTORS),
    max_size=4,
)
WHO = st.integers(0, 1)


class StoreAsDictionary(RuleBasedStateMachine):
    """Two stores take turns at writing; what one remembers must follow what the other wrote."""

    precision: ClassVar[Literal["int8", "float32"]] = "int8"
    dimensions: ClassVar[int] = D
    log: ClassVar[tuple[int, int]] = (filed.KEPT, filed.LOGGED)
    """Rows that the log of documents keeps, and the most ids of one."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = tempfile.TemporaryDirectory()
        self.path = Path(self.folder.name, "x.db")
        self.model: dict[str, tuple[Record, list[Entry]]] = {}
        self.vectors: dict[bytes, Any] = {}
        self.count = 0
        self.usual = filed.KEPT, filed.LOGGED
        filed.KEPT, filed.LOGGED = self.log
        self.stores = [self.opened(), self.opened()]

    def opened(self) -> Any:
        return stores.open(self.path, "code", "a", self.dimensions, precision=self.precision)

    def teardown(self) -> None:
        filed.KEPT, filed.LOGGED = self.usual
        for store in self.stores:
            store.close()
        self.folder.cleanup()

    def vector(self, values: tuple[float, ...]) -> Any:
        """These values again and again."""
        times = self.dimensions // D
        return np.tile(unit(*values), times) / np.sqrt(times, dtype=np.float32)

    def seen(self, file: Record) -> Record:
        """The file with a digest that it never had."""
        self.count += 1
        return Record(file.path, str(self.count), 1, file.mtime_ns, file.language)

    # ── writes ──

    @rule(who=WHO, file=FILES, texts=TEXTS)
    def replace(self, who: int, file: Record, texts: list[Any]) -> None:
        entries = [
            entry(file.path, i, text, None if values is None else self.vector(values))
            for i, (text, values) in enumerate(texts)
        ]
        record = self.seen(file)
        self.stores[who].replace(record, entries)
        self.model[file.path] = (record, entries)
        self.vectors |= {e.key: e.vector for e in entries if e.key is not None}

    @rule(who=WHO, file=FILES)
    def note(self, who: int, file: Record) -> None:
        record = self.seen(file)
        self.stores[who].note(record)
        self.model[file.path] = (record, self.model.get(file.path, (record, []))[1])

    @rule(who=WHO, gone=st.lists(PATHS, max_size=3))
    def delete(self, who: int, gone: list[str]) -> None:
        self.stores[who].delete(gone)
        for path in gone:
            self.model.pop(path, None)

    @rule(who=WHO, values=VECTORS.filter(bool))
    def keep(self, who: int, values: tuple[float, ...]) -> None:
        vector = self.vector(values)
        self.stores[who].keep({b"kept" + vector.tobytes(): vector})
        self.vectors[b"kept" + vector.tobytes()] = vector

    @rule(who=WHO)
    def complete(self, who: int) -> None:
        self.stores[who].complete()
        assert all(store.is_complete for store in self.stores)

    @rule(who=WHO)
    def clear(self, who: int) -> None:
        self.stores[who].clear()
        self.model.clear()
        assert not any(store.is_complete for store in self.stores)

    @rule(who=WHO)
    def reopen(self, who: int) -> None:
        self.stores[who].close()
        self.stores[who] = self.opened()

    # ── searches: rules, so that what is remembered is now of this state, now of an old one ──

    @rule(who=WHO, which=st.sampled_from(FILTERS), words=st.lists(st.sampled_from("uvz")))
    def matching(self, who: int, which: Any, words: list[str]) -> None:
        where, means = which
        found = self.stores[who].matching(words, 100, where, k1=1.2, b=0.75)
        every = list(self.entries(lambda _: True))
        scores = bm25([e.words or "" for e in every], words) if every else []
        expected = {
            (e.chunk.path, e.chunk.index): score
            for e, score in zip(every, scores, strict=True)
            if score and means(self.model[e.chunk.path][0])
        }
        assert {p: s for p, (_, s) in zip(paths(found), found, strict=True)} == pytest.approx(
            expected, rel=1e-5
        )

    @rule(
        who=WHO,
        which=st.sampled_from(FILTERS),
        query=VECTORS.filter(bool),
        limit=st.integers(1, 20),
        exact=st.booleans(),
    )
    def nearest(
        self, who: int, which: Any, query: tuple[float, ...], limit: int, exact: bool
    ) -> None:
        where, means = which
        vector = self.vector(query)
        found = self.stores[who].nearest(vector, limit, where, exact=exact)
        known = self.stores[who].known(list(self.vectors))
        cosines = {
            (e.chunk.path, e.chunk.index): cosine(known[e.key], vector)
            for e in self.entries(means)
            if e.key is not None and e.vector is not None and e.vector.any()
        }
        assert len(set(paths(found))) == len(found) == min(limit, len(cosines))
        scores = [score for _, score in found]
        best = sorted(cosines.values(), reverse=True)[:limit]
        assert scores == pytest.approx(best, abs=1e-6)
        assert scores == pytest.approx([cosines[place] for place in paths(found)], abs=1e-6)
        order = [(-score, chunk.path, chunk.start) for chunk, score in found]
        assert order == sorted(order)

    @invariant()
    def holds_the_same(self) -> None:
        for store in self.stores:
            assert store.records() == {path: record for path, (record, _) in self.model.items()}
            known = store.known(list(self.vectors))
            assert known.keys() == self.vectors.keys()
            assert all(self.same(known[key], self.vectors[key]) for key in known)
        for path, (_, entries) in self.model.items():
            assert self.stores[0].chunks(path) == [e.chunk for e in entries]
        counted = self.stores[1].statistics()
        entries = list(self.entries(lambda _: True))
        assert counted.chunks == counted.words == len(entries)
        assert counted.vectors == sum(e.vector is not None for e in entries)
        assert self.stores[self.count % 2].check() == []

    def same(self, stored: Any, vector: Any) -> bool:
        """Whether a stored vector is what this one is rounded to at this precision."""
        step = float(np.abs(vector).max()) / 127 if self.precision == "int8" else 0.0
        return bool(np.allclose(stored, vector, rtol=0, atol=0.51 * step))

    def entries(self, means: Callable[[Record], bool]) -> Iterable[Entry]:
        return (e for record, entries in self.model.values() for e in entries if means(record))


def cosine(one: Any, other: Any) -> float:
    one, other = one.astype(np.float64), other.astype(np.float64)
    return float(one @ other / np.linalg.norm(one) / np.linalg.norm(other))


class OfFloats(StoreAsDictionary):
    precision = "float32"


class OfSigns(StoreAsDictionary):
    """Of so many dimensions that signs find the candidates."""

    dimensions = 512


class WithShortLog(StoreAsDictionary):
    log = (2, 3)


MANY = settings(max_examples=12, stateful_step_count=15, deadline=None)
FEW = settings(max_examples=6, stateful_step_count=15, deadline=None)

TestStoreAsDictionary = StoreAsDictionary.TestCase
TestStoreAsDictionary.settings = MANY
TestStoreOfFloatsAsDictionary = OfFloats.TestCase
TestStoreOfFloatsAsDictionary.settings = FEW
TestStoreOfSignsAsDictionary = OfSigns.TestCase
TestStoreOfSignsAsDictionary.settings = FEW
TestStoreWithShortLogAsDictionary = WithShortLog.TestCase
TestStoreWithShortLogAsDictionary.settings = FEW


# ── threads ──

GO = Filter(languages=("go",))


@pytest.mark.parametrize("where", [ANYTHING, GO], ids=["all", "filtered"])
def test_threads_see_each_file_in_one_version_while_another_store_writes(
    tmp_path: Path, where: Filter
) -> None:
    """Version v of a file has v % 3 + 1 chunks, and is in Go where v is odd."""
    searched, writing = (stores.open(tmp_path / "x.db", "code", "a", D) for _ in range(2))
    done = threading.Event()
    failed: list[BaseException] = []
    seen: set[int] = set()

    def write() -> None:
        for version in range(1, 61):
            for path in "ab":
                entries = [
                    entry(path, i, f"version v{version}", unit(1, i, version))
                    for i in range(version % 3 + 1)
                ]
                language = "go" if version % 2 else "python"
                writing.replace(Record(path, str(version), 1, version, language), entries)

    def look() -> None:
        searches: list[Callable[[], list[tuple[Chunk, float]]]] = [
            lambda: searched.nearest(unit(1), 50, where),
            lambda: searched.nearest(unit(1), 50, where, exact=True),
            lambda: searched.matching(["version"], 50, where, k1=1.2, b=0.75),
        ]
        while not done.is_set():
            for search in searches:
                found = search()
                for path in "ab":
                    texts = [chunk.text for chunk, _ in found if chunk.path == path]
                    versions = {int(text.rpartition("v")[2]) for text in texts}
                    assert len(versions) <= 1
                    for version in versions:
                        assert len(texts) == version % 3 + 1
                        assert where is ANYTHING or version % 2
                        seen.add(version)

    def watched(task: Callable[[], None]) -> None:
        try:
            task()
        except BaseException as error:
            failed.append(error)

    threads = [threading.Thread(target=watched, args=(look,)) for _ in range(3)]
    for thread in threads:
        thread.start()
    watched(write)
    done.set()
    for thread in threads:
        thread.join()
    for store in (searched, writing):
        store.close()
    assert failed == []
    assert len(seen) > 3, "the threads looked while it was written"
