"""The exact comparison: candidates are read until hardly any of the rest can be among the best."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import apsw
import numpy as np
import pytest
from contracts.store import record
from test_codes import put
from test_scan import clustered

from ragkit import stores
from ragkit.stores import scan, signs, vectors
from ragkit.stores.scan import Candidates, Coding
from ragkit.types import Chunk, Entry

CODING = Coding("bit", 0, 8)


@pytest.fixture(scope="module")
def stored(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A connection to 6,000 rows, their ids, and the rows as they are stored."""
    path: Path = tmp_path_factory.mktemp("vectors") / "x.db"
    store = stores.open(path, "code", "a", 512)
    rows = clustered(6_000, 512)
    for at in range(0, len(rows), 1_000):
        put(store, f"{at}", rows[at : at + 1_000])
    store.close()
    connection = apsw.Connection(str(path))
    found = connection.execute("select id, vector from embeddings order by id").fetchall()
    yield connection, np.array([i for i, _ in found]), vectors.unpacked([v for _, v in found], 512)
    connection.close()


def exact(stored: Any, query: Any, limit: int) -> list[int]:
    _, ids, rows = stored
    cosines = (rows @ query) / np.linalg.norm(rows, axis=1)
    best: list[int] = ids[np.argsort(-cosines)[:limit]].tolist()
    return best


@pytest.mark.parametrize("limit", [1, 10, 50])
def test_few_candidates_are_read_and_as_good_as_nothing_is_missed(
    stored: Any, limit: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    connection, ids, rows = stored
    segment = scan.of_bits(ids, signs.octets(rows, 0))
    read = []
    compared = vectors._compared

    def counted(connection: Any, some: Any, vector: Any) -> Any:
        read.append(len(some))
        return compared(connection, some, vector)

    monkeypatch.setattr(vectors, "_compared", counted)
    hits = []
    queries = clustered(40, 512, seed=3)
    for query in queries:
        some = scan.candidates([segment], query, CODING, limit)
        found = vectors.best(connection, some, query, limit)
        hits.append(len(set(exact(stored, query, limit)) & set(found)) / limit)
    assert np.mean(hits) >= 0.99
    assert sum(read) < 0.6 * CODING.left(limit) * len(queries)


def test_candidates_that_say_nothing_are_all_read(stored: Any) -> None:
    connection, ids, _ = stored
    some = Candidates(ids.astype(np.int32), np.zeros(len(ids), np.float32))
    for query in clustered(5, 512, seed=4):
        assert set(vectors.best(connection, some, query, 10)) >= set(exact(stored, query, 10))


def test_likeness_that_misleads_costs_time_and_no_rows(stored: Any) -> None:
    connection, ids, rows = stored
    for query in clustered(5, 512, seed=5):
        some = Candidates(ids.astype(np.int32), (-rows @ query).astype(np.float32))
        assert set(vectors.best(connection, some, query, 10)) >= set(exact(stored, query, 10))


def test_all_that_tie_with_the_last_are_found(tmp_path: Path) -> None:
    store = stores.open(tmp_path / "x.db", "code", "a", 64)
    rows = np.repeat(clustered(20, 64), 30, axis=0)  # thirty of each
    entries = [
        Entry(Chunk("a", i, "text", i, i + 4, 1, 1), None, b"%d" % i, row)
        for i, row in enumerate(rows)
    ]
    store.replace(record("a"), entries)
    found = [c.index for c, _ in store.nearest(rows[65], 45)]
    assert found[:30] == list(range(60, 90))
    assert len(found) == 45
    store.close()


def test_nothing_is_compared_where_there_are_no_candidates(stored: Any) -> None:
    none = Candidates(np.empty(0, np.int32), np.empty(0, np.float32))
    assert vectors.best(stored[0], none, clustered(1, 512)[0], 10) == {}
