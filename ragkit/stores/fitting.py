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
from dataclasses import dataclass
from typing import TYPE_CHECKING

import apsw

from ragkit.stores import changes, codes, rows, scan
from ragkit.stores.connection import query, value
from ragkit.stores.scan import Coding
from ragkit.stores.vectors import unpacked

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from ragkit.types import Vector, Vectors

LEAST = 2_000
"""Rows from which on it is worth measuring."""

SAMPLE = 8_192
"""Rows that queries are made of."""

QUERIES = 64
"""Queries of each of two sorts that are made up and asked."""

MOVED = 0.9
"""How far half of them are from the rows that they are made of, whose length is 1: the best answers
then have the cosines that those of questions have."""

SAME = 0.99999
"""Cosine from which on a row is the query itself."""

BATCH = 4_096
"""Rows that are compared with all queries at once."""

WANTED: Mapping[int, float] = {10: 0.996, 50: 0.95}
"""Of the best so many stored rows, the share that must be found. Of ten, more than the 0.99 that is
promised: rounding to int8 costs some, and the queries of users are others. Of fifty less, as who
needs them all asks for more."""

HOLES = 4_096
"""Places of deleted codes that are worth no rewriting."""

BITS = (
    *((0.04, 1), (0.08, 1), (0.04, 2), (0.08, 2)),
    *((0.04, 3), (0.08, 3), (0.16, 2), (0.16, 3), (0.04, 4), (0.16, 4)),
)
"""Searches by signs, the cheapest first: (share, breadth) of a Coding."""

ROWS = (0.05, 0.1, 0.2, 0.4)
"""Shares of int8 rows that a search by signs leaves."""


DEPTHS = sorted(
    {
        scan.CLOSER * Coding("bit", None, 1.0, breadth).left(limit)
        for limit in WANTED
        for _, breadth in BITS
    }
)
"""Rows that the second step leaves in all of these searches."""


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
    without, *_ = standings = [
        _standing(connection, ids, queries, truth, centre) for centre in (None, sample.mean(axis=0))
    ]
    for share, breadth in BITS:
        for one in standings:
            coding = Coding("bit", one.centre, share, breadth)
            if one.finds_enough(coding):
                return coding
    shares = (Coding("int8", None, share, 1) for share in ROWS)
    return next(filter(without.finds_enough, shares), Coding("int8", None, 1.0, 1))


@dataclass(frozen=True, slots=True)
class _Standing:
    """How the best rows of each query come out in a search by signs above a centre."""

    centre: Vector | None
    count: int
    """Rows in all."""
    tailed: bool
    """Whether the first step reads some of the words only."""
    places: NDArray[np.int64]
    """(queries, 2 + DEPTHS, k) as in `scan.standing`, of the k best rows, best first."""

    def finds_enough(self, coding: Coding) -> bool:
        """Whether as many of the best rows are left as are wanted."""
        import numpy as np

        for limit, wanted in WANTED.items():
            first, second, *thirds = self.places[:, :, :limit].swapaxes(0, 1)
            left = coding.left(limit)
            enough = scan.CLOSER * left
            kept = max(enough, int(self.count * coding.share))
            if coding.kind == "int8":
                there = second < kept
            else:
                there = (second < enough) & (thirds[DEPTHS.index(enough)] < left)
                if self.tailed:
                    there &= first < kept
            # of either sort of query
            if min(half.mean() for half in np.split(there, 2)) < wanted:
                return False
        return True


def _standing(
    connection: apsw.Connection,
    ids: Sequence[int],
    queries: Vectors,
    truth: NDArray[np.intp],
    centre: Vector | None,
) -> _Standing:
    import numpy as np

    segments = [
        scan.of_bits(some, scan.signs(vectors, centre))
        for some, vectors in _batches(connection, ids, queries.shape[1], scan.SEGMENT)
    ]
    places = [
        scan.standing(segments, one, centre, best, DEPTHS)
        for one, best in zip(queries, truth, strict=True)
    ]
    return _Standing(centre, len(ids), segments[0].tail.shape[1] > 0, np.stack(places))


def _queries(sample: Vectors) -> Vectors:
    """(2·QUERIES, d) unit rows: rows of the sample, and ones moved along differences of others.

    The former stand for queries that nothing in the index is very like, as a row's own place does
    not count among its answers.
    """
    import numpy as np

    chance = np.random.default_rng(0)
    bases, ones, others = chance.integers(0, len(sample), (3, QUERIES))
    apart = sample[ones] - sample[others]
    apart /= np.maximum(np.linalg.norm(apart, axis=1, keepdims=True), 1e-6)
    moved = sample[bases] + MOVED * apart
    moved /= np.maximum(np.linalg.norm(moved, axis=1, keepdims=True), 1e-6)
    return np.concatenate((sample[bases], moved))


def _truth(connection: apsw.Connection, ids: Sequence[int], queries: Vectors) -> NDArray[np.intp]:
    """(queries, k) places in `ids` of the rows nearest to each, best first, by comparing all.

    Rows that are the query itself are not among them.
    """
    import numpy as np

    most = max(WANTED)
    best = np.empty((len(queries), 0), np.float32)
    places = np.empty((len(queries), 0), np.intp)
    at = 0
    for _, vectors in _batches(connection, ids, queries.shape[1], BATCH):
        scores = queries @ vectors.T
        scores[scores > SAME] = -1
        scores = np.concatenate((best, scores), axis=1)
        some = np.broadcast_to(np.arange(at, at + len(vectors)), (len(queries), len(vectors)))
        among = np.concatenate((places, some), axis=1)
        order = np.argpartition(-scores, most - 1, axis=1)[:, :most]
        best, places = np.take_along_axis(scores, order, 1), np.take_along_axis(among, order, 1)
        at += len(vectors)
    return np.take_along_axis(places, np.argsort(-best, axis=1, kind="stable"), 1)


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
