"""Which codes an index needs, decided by what they find of its own data.

How many of the nearest rows a search by signs finds depends on the data: on the dimensions and how
unequal they are, on how much alike rows are, on how many rows there are to be told apart. So it is
measured when an index is complete, and again when it has grown or shrunk to twice or half of what
was measured: some queries made of the data, the truth by comparing all rows, and then the cheapest
search that finds enough of it. Signs are tried from few to many; where none are enough, the codes
are int8 rows, all of which are looked at.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import apsw

from ragkit.stores import changes, codes, rows, scan, signs
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

QUERIES = 64
"""Queries of each of two sorts that are made up and asked."""

MOVED = 0.9
"""How far half of them are from the rows that they are made of, whose length is 1: the best answers
then have the cosines that those of questions have."""

SAME = 0.99999
"""Cosine from which on a row is the query itself."""

BATCH = 4_096
"""Rows that are compared with all queries at once."""

WANTED: Mapping[int, float] = {10: 0.998, 50: 0.96}
"""Of the best so many stored rows, the share that must be found. Of ten, more than the 0.99 that is
promised: rounding to int8 costs some, and the queries of users are others. Of fifty less, as who
needs them all asks for more."""

HOLES = 4_096
"""Places of deleted codes that are worth no rewriting."""

BREADTHS = (1, 2, 3, 4, 6, 8, 12, 16)
"""Of searches by signs that are thought of: see Coding."""

GOOD = 8
"""Breadth up to which no more signs are tried: more of them cost room, and few of the rows that are
left are read (see `vectors.best`)."""

SUMS = (codes.SUMS, 960, 1280, 1920)
"""Signs that are thought of, beside those of the values. Not 1,024: rows of 128 bytes are compared
at half the speed of others, wherever they lie."""

DEPTHS = sorted(
    {
        scan.CLOSER * Coding("bit", breadth=breadth).left(limit)
        for limit in WANTED
        for breadth in BREADTHS
    }
)
"""Rows that the comparison of signs leaves in these searches."""


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
    return (one.kind, one.sums) == (other.kind, other.sums)


def _thought_of(dimensions: int) -> list[int]:
    """Sums whose signs are worth trying, the cheapest first; none where int8 rows are as short."""
    if dimensions <= codes.NARROW:
        return []
    own = [0] if dimensions in codes.WIDE else []
    return sorted((*own, *SUMS), key=lambda sums: (signs.octets_of(dimensions, sums), sums))


def _chosen(connection: apsw.Connection, index: int, dimensions: int) -> Coding:
    """The first signs with which a short look finds what is wanted, or else the shortest look.

    All int8 rows where none finds it.
    """
    ids = codes.listed(connection, index)
    sample = _vectors(connection, ids[:: max(1, len(ids) // SAMPLE)], dimensions)
    queries = _queries(sample)
    truth = None
    best = Coding("int8")
    for sums in _thought_of(dimensions):
        if truth is None:
            truth = _truth(connection, ids, queries)
        standing = _standing(_signs(connection, ids, dimensions, sums), queries, truth, sums)
        breadth = standing.breadth()
        if breadth and (best.kind == "int8" or breadth < best.breadth):
            best = Coding("bit", sums, breadth)
        if breadth and breadth <= GOOD:
            break
    return best


@dataclass(frozen=True, slots=True)
class _Standing:
    """How the best rows of each query come out in a search by signs."""

    places: NDArray[np.int64]
    """(queries, 1 + DEPTHS, k) as in `scan.standing`, of the k best rows, best first."""

    def breadth(self) -> int | None:
        """The least with which as many of the best rows are left as are wanted; None for none."""
        return next((breadth for breadth in BREADTHS if self._finds_enough(breadth)), None)

    def _finds_enough(self, breadth: int) -> bool:
        for limit, wanted in WANTED.items():
            first, *seconds = self.places[:, :, :limit].swapaxes(0, 1)
            left = Coding("bit", breadth=breadth).left(limit)
            nearest = scan.CLOSER * left
            there = (first < nearest) & (seconds[DEPTHS.index(nearest)] < left)
            if there.mean() < wanted:
                return False
        return True


def _standing(
    segments: Sequence[Segment], queries: Vectors, truth: NDArray[np.intp], sums: int
) -> _Standing:
    import numpy as np

    places = [
        scan.standing(segments, one, sums, best, DEPTHS)
        for one, best in zip(queries, truth, strict=True)
    ]
    return _Standing(np.stack(places))


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
    for at in range(0, len(ids), BATCH):
        vectors = _vectors(connection, ids[at : at + BATCH], queries.shape[1])
        scores = queries @ vectors.T
        scores[scores > SAME] = -1
        scores = np.concatenate((best, scores), axis=1)
        some = np.broadcast_to(np.arange(at, at + len(vectors)), (len(queries), len(vectors)))
        among = np.concatenate((places, some), axis=1)
        order = np.argpartition(-scores, most - 1, axis=1)[:, :most]
        best, places = np.take_along_axis(scores, order, 1), np.take_along_axis(among, order, 1)
    order = np.argsort(-best, axis=1, kind="stable")
    return np.take_along_axis(places, order, 1)


def _signs(
    connection: apsw.Connection, ids: Sequence[int], dimensions: int, sums: int
) -> list[Segment]:
    """The rows' signs, in the order of the ids."""
    import numpy as np

    segments: list[Segment] = []
    for at in range(0, len(ids), BATCH):
        vectors = _vectors(connection, ids[at : at + BATCH], dimensions)
        numbers = np.arange(at, at + len(vectors))
        segments = scan.added(segments, scan.of_bits(numbers, signs.octets(vectors, sums)))
    return segments


def _vectors(connection: apsw.Connection, ids: Sequence[int], dimensions: int) -> Vectors:
    """(n, d) unit rows, in the order of the ids."""
    import numpy as np

    sql = "select vector from json_each(?) j join embeddings e on e.id = j.value order by j.key"
    found = unpacked([row for (row,) in query(connection, sql, (json.dumps(ids),))], dimensions)
    unit: Vectors = found / np.maximum(np.linalg.norm(found, axis=1, keepdims=True), 1e-12)
    return unit
