"""Which codes an index needs, decided by what they find of its own data.

How many of the nearest rows a search by signs finds depends on the data: on the dimensions, on how
far a mean shifts all signs, on how many rows there are to be told apart. So it is measured when an
index is complete, and again when it has grown or shrunk to twice or half of what was measured: some
queries made of the data, the truth by comparing all rows, and then the cheapest search that finds
enough of it. Where no search by signs does, the codes are int8 rows.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

import apsw

from ragkit.stores import changes, codes, rows, scan
from ragkit.stores.connection import query, value
from ragkit.stores.scan import Coding, Segment
from ragkit.stores.vectors import unpacked

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from ragkit.types import Vectors

LEAST = 2_000
"""Rows from which on it is worth measuring."""

SAMPLE = 8_192
"""Rows that queries are made of."""

QUERIES = 96
"""Queries that are made up and asked."""

MOVED = 0.9
"""How far they are from the rows that they are made of, whose length is 1: the best answers of such
queries have the cosines that those of questions have."""

BATCH = 4_096
"""Rows that are compared with all queries at once."""

WANTED: Mapping[int, float] = {10: 0.996, 50: 0.98}
"""Of the best so many stored rows, the share that must be found. Of ten, more than the 0.99 that is
promised: rounding to int8 costs some, and the queries of users are others."""

HOLES = 4_096
"""Places of deleted codes that are worth no rewriting."""

BITS = (
    *((0.04, 1), (0.08, 1), (0.04, 2), (0.08, 2)),
    *((0.04, 3), (0.08, 3), (0.16, 2), (0.16, 3), (0.04, 4), (0.16, 4)),
)
"""Searches by signs, the cheapest first: (share, breadth) of a Coding."""

ROWS = (0.05, 0.1, 0.2, 0.4)
"""Shares of int8 rows that a search by signs leaves."""

ALL_ROWS = Coding("int8", None, 1.0, 1)


def fit(connection: apsw.Connection, index: int, dimensions: int) -> None:
    """Measure which codes are good enough where that may have changed; write others if need be.

    Also writes codes anew where more than half of their table is holes.
    """
    count, empty = codes.holes(connection, index)
    measured = value(connection, "select rows from codings where index_id = ?", (index,)) or 0
    if count < LEAST or measured / 2 < count < measured * 2:
        if empty > count + HOLES:
            codes.rewrite(connection, index, dimensions)
        return
    made = codes.coding(connection, index)
    found = _chosen(connection, index, dimensions)
    if _written_alike(made, found):
        codes.keep_coding(connection, index, found, count)
    else:
        listed = codes.listed(connection, index)
        codes.create(connection, index, dimensions, found, count)
        codes.enlist(connection, index, dimensions, listed)
    # readers must not go on with what they know of the older codes
    changes.void(connection, f"listed_{index}", rows.advance(connection, index))


def _written_alike(one: Coding, other: Coding) -> bool:
    """Whether codes made in these two ways are the same bytes."""
    if "int8" in (one.kind, other.kind):
        return one.kind == other.kind
    return one.centre is other.centre is None


def _chosen(connection: apsw.Connection, index: int, dimensions: int) -> Coding:
    """The cheapest coding that finds what is wanted; all int8 rows where none does."""
    ids = codes.listed(connection, index)
    sample = _vectors(connection, ids[:: max(1, len(ids) // SAMPLE)], dimensions)
    queries = _queries(sample)
    truth = _truth(connection, ids, queries)
    found: list[tuple[int, Coding]] = []
    for centre in (None, sample.mean(axis=0)):
        segments = [
            scan.of_bits(np_ids, scan.signs(vectors, centre))
            for np_ids, vectors in _batches(connection, ids, dimensions, scan.SEGMENT)
        ]
        tailed = segments[0].tail.shape[1] > 0
        codings = [
            Coding("bit", centre, share, breadth)
            for share, breadth in BITS
            if tailed or share == BITS[0][0]
        ]
        found += _first_good(codings, segments, queries, truth)
        if found and found[0][0] == 0:
            break  # nothing is cheaper
    if found:
        return min(found, key=lambda one: one[0])[1]
    segments = [
        scan.of_rows(np_ids, codes.quantised(vectors))
        for np_ids, vectors in _batches(connection, ids, dimensions, scan.SEGMENT)
    ]
    shares = [Coding("int8", None, share, 1) for share in ROWS]
    return next((c for _, c in _first_good(shares, segments, queries, truth)), ALL_ROWS)


def _first_good(
    codings: Sequence[Coding],
    segments: Sequence[Segment],
    queries: Vectors,
    truth: NDArray[np.int64],
) -> list[tuple[int, Coding]]:
    """The first coding that finds what is wanted, and its place; [] for none."""
    for place, coding in enumerate(codings):
        if all(
            _recall(segments, coding, limit, queries, truth) >= wanted
            for limit, wanted in WANTED.items()
        ):
            return [(place, coding)]
    return []


def _recall(
    segments: Sequence[Segment],
    coding: Coding,
    limit: int,
    queries: Vectors,
    truth: NDArray[np.int64],
) -> float:
    """Of each query's best `limit` rows the share that is among the candidates."""
    import numpy as np

    found = 0
    for query_vector, best in zip(queries, truth, strict=True):
        ids = scan.candidates(segments, query_vector, coding, limit)
        found += int(np.isin(best[:limit], ids).sum())
    return found / (limit * len(queries))


def _queries(sample: Vectors) -> Vectors:
    """(QUERIES, d) unit rows near rows of the sample, moved along differences of others."""
    import numpy as np

    chance = np.random.default_rng(0)
    bases, ones, others = chance.integers(0, len(sample), (3, QUERIES))
    apart = sample[ones] - sample[others]
    apart /= np.maximum(np.linalg.norm(apart, axis=1, keepdims=True), 1e-6)
    queries = sample[bases] + MOVED * apart
    found: Vectors = queries / np.maximum(np.linalg.norm(queries, axis=1, keepdims=True), 1e-6)
    return found


def _truth(connection: apsw.Connection, ids: Sequence[int], queries: Vectors) -> NDArray[np.int64]:
    """(queries, k) ids of the rows nearest to each, best first, by comparing all."""
    import numpy as np

    most = max(WANTED)
    best_ids = np.zeros((len(queries), 0), np.int64)
    best = np.zeros((len(queries), 0), np.float32)
    for some, vectors in _batches(connection, ids, queries.shape[1], BATCH):
        scores = np.concatenate((best, queries @ vectors.T), axis=1)
        all_ids = np.concatenate((best_ids, np.broadcast_to(some, (len(queries), len(some)))), 1)
        order = np.argsort(-scores, axis=1, kind="stable")[:, :most]
        best = np.take_along_axis(scores, order, 1)
        best_ids = np.take_along_axis(all_ids, order, 1)
    return best_ids


def _batches(
    connection: apsw.Connection, ids: Sequence[int], dimensions: int, size: int
) -> Iterator[tuple[NDArray[np.int64], Vectors]]:
    """Ids and (n, d) unit rows."""
    import numpy as np

    for at in range(0, len(ids), size):
        some = ids[at : at + size]
        yield np.array(some, np.int64), _vectors(connection, some, dimensions)


def _vectors(connection: apsw.Connection, ids: Sequence[int], dimensions: int) -> Vectors:
    """(n, d) unit rows, in the order of the ids."""
    import numpy as np

    sql = "select vector from json_each(?) j join embeddings e on e.id = j.value order by j.key"
    found = unpacked([row for (row,) in query(connection, sql, (json.dumps(ids),))], dimensions)
    unit: Vectors = found / np.maximum(np.linalg.norm(found, axis=1, keepdims=True), 1e-12)
    return unit
