"""Which codes an index needs, decided by what they find of its own data.

How many of the nearest rows a search by signs finds depends on the data: on the dimensions, on how
far a mean shifts all signs, on how many rows there are to be told apart. So it is measured when an
index is complete, and again when it has grown or shrunk to twice or half of what was measured: some
queries made of the data, the truth by comparing all rows, and then the cheapest search that finds
enough of it. Where no search by signs does, the codes are int8 rows.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import product
from typing import TYPE_CHECKING

import apsw

from ragkit.stores import changes, codes, rows, scan
from ragkit.stores.connection import query, value
from ragkit.stores.scan import Coding, Segment
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

ASIDE = 0.3
"""Mean cosine of two rows from which on all rows lie to one side, and a centre is worth trying."""

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

ROWS = (0.05, 0.1, 0.2, 0.4)
"""Shares of int8 rows that a search by signs leaves, short of all."""


DEPTHS = sorted(
    {
        scan.CLOSER * Coding("bit", None, 1.0, breadth).left(limit)
        for limit in WANTED
        for breadth in BREADTHS
    }
)
"""Rows that the comparison of bits leaves in these searches."""


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
    centre = sample.mean(axis=0)
    centres = (None, centre) if centre @ centre > ASIDE else (None,)
    queries = _queries(sample)
    truth, signs = _read(connection, ids, queries, centres)
    standings = [
        _standing(segments, queries, truth, centre)
        for segments, centre in zip(signs, centres, strict=True)
    ]
    codings = [
        Coding("bit", centre, 1.0, breadth) for centre, breadth in product(centres, BREADTHS)
    ]
    codings += [Coding("int8", None, share, 1) for share in ROWS]
    by_centre = dict(zip(map(id, centres), standings, strict=True))
    for coding in sorted(codings, key=partial(_cost, len(ids), dimensions)):
        if by_centre[id(coding.centre)].finds_enough(coding):
            return coding
    return Coding("int8", None, 1.0, 1)


def _cost(count: int, dimensions: int, coding: Coding) -> float:
    """Milliseconds that a search takes with one coding and not with another; as measured."""
    if coding.kind == "bit":
        return coding.breadth * 0.5
    values = count * dimensions
    unheld = values * 1e-6 if values > codes.HELD else 0
    return 0.3 + values * coding.share * 4e-7 + unheld


@dataclass(frozen=True, slots=True)
class _Standing:
    """How the best rows of each query come out in a search by signs above a centre."""

    centre: Vector | None
    count: int
    """Rows in all."""
    places: NDArray[np.int64]
    """(queries, 1 + DEPTHS, k) as in `scan.standing`, of the k best rows, best first."""

    def finds_enough(self, coding: Coding) -> bool:
        """Whether as many of the best rows are left as are wanted."""
        for limit, wanted in WANTED.items():
            first, *seconds = self.places[:, :, :limit].swapaxes(0, 1)
            left = coding.left(limit)
            enough = scan.CLOSER * left
            if coding.kind == "int8":
                there = first < max(enough, int(self.count * coding.share))
            else:
                there = (first < enough) & (seconds[DEPTHS.index(enough)] < left)
            if there.mean() < wanted:
                return False
        return True


def _standing(
    segments: Sequence[Segment], queries: Vectors, truth: NDArray[np.intp], centre: Vector | None
) -> _Standing:
    import numpy as np

    places = [
        scan.standing(segments, one, centre, best, DEPTHS)
        for one, best in zip(queries, truth, strict=True)
    ]
    return _Standing(centre, sum(map(len, segments)), np.stack(places))


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


def _read(
    connection: apsw.Connection,
    ids: Sequence[int],
    queries: Vectors,
    centres: Sequence[Vector | None],
) -> tuple[NDArray[np.intp], list[list[Segment]]]:
    """(queries, k) places in `ids` of the rows nearest to each, best first, by comparing all.

    Rows that are the query itself are not among them. And, for each centre, the signs.
    """
    import numpy as np

    most = max(WANTED)
    best = np.empty((len(queries), 0), np.float32)
    places = np.empty((len(queries), 0), np.intp)
    signs: list[list[Segment]] = [[] for _ in centres]
    for at in range(0, len(ids), BATCH):
        vectors = _vectors(connection, ids[at : at + BATCH], queries.shape[1])
        numbers = np.arange(at, at + len(vectors))
        for segments, centre in zip(signs, centres, strict=True):
            new = scan.of_bits(numbers, scan.signs(vectors, centre))
            segments[:] = scan.added(segments, new)
        scores = queries @ vectors.T
        scores[scores > SAME] = -1
        scores = np.concatenate((best, scores), axis=1)
        some = np.broadcast_to(numbers, (len(queries), len(vectors)))
        among = np.concatenate((places, some), axis=1)
        order = np.argpartition(-scores, most - 1, axis=1)[:, :most]
        best, places = np.take_along_axis(scores, order, 1), np.take_along_axis(among, order, 1)
    order = np.argsort(-best, axis=1, kind="stable")
    return np.take_along_axis(places, order, 1), signs


def _vectors(connection: apsw.Connection, ids: Sequence[int], dimensions: int) -> Vectors:
    """(n, d) unit rows, in the order of the ids."""
    import numpy as np

    sql = "select vector from json_each(?) j join embeddings e on e.id = j.value order by j.key"
    found = unpacked([row for (row,) in query(connection, sql, (json.dumps(ids),))], dimensions)
    unit: Vectors = found / np.maximum(np.linalg.norm(found, axis=1, keepdims=True), 1e-12)
    return unit
