"""Codes of an index in memory, and the search among them.

A code says less than the vector that it stands for, and is much smaller: sign bits (see `signs`),
or a row of int8 where these are not enough (see `fitting`). A search by signs looks at all of them,
by Hamming distance; then, at the nearest, with the query as it is, against bits that stand for ±1.
A search by int8 rows multiplies all of them with the query. What is left is compared exactly by the
caller.

Rows are kept in segments that are never changed: a change makes new segments of those that it
touches, so that searches under way keep theirs.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, TypeAlias, TypeVar

from ragkit.stores import signs

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from ragkit.types import Vector

    Codes: TypeAlias = NDArray[np.uint8] | NDArray[np.int8]
    """(n, octets) signs as in `signs.octets`, or (n, d) int8."""

Kind: TypeAlias = Literal["bit", "int8"]

SEGMENT = 65_536
"""Rows of a segment at most."""

YOUNG = 4_096
"""Rows of the last segment before it is put together with the one before: what an addition
copies."""

MANY = 20_000_000
"""Bytes of codes that are worth starting threads for."""

THREADS = 4
"""That look at once, at most: beyond, they wait for the memory."""

ROOM = 4_096
"""Rows whose bits are spread out at once."""

CLOSER = 4
"""How many times the rows that are left are looked at with the query as it is."""


@dataclass(frozen=True, slots=True)
class Coding:
    """How an index's vectors are coded, and how far a search looks."""

    kind: Kind
    sums: int = 0
    """Of how many sums of a vector's values the signs are kept; 0 for those of the values."""
    breadth: int = 1
    """How many times the least number of rows a search by signs leaves."""

    def left(self, limit: int) -> int:
        """Rows that are left to be compared exactly, so that the best `limit` are among them."""
        if self.kind == "int8":
            return 2 * limit + 32
        return (60 + 4 * limit) * self.breadth

    def octets(self, dimensions: int) -> int:
        """Bytes of a code."""
        return dimensions if self.kind == "int8" else signs.octets_of(dimensions, self.sums)


@dataclass(frozen=True, slots=True)
class Segment:
    """Codes of some embeddings."""

    ids: NDArray[np.int32]
    """(n,); 0 for a row that is gone."""
    codes: Codes
    lengths: NDArray[np.float32]
    """(n,) of int8 rows, at least 1; (0,) of signs."""

    def __len__(self) -> int:
        return len(self.ids)


def of_bits(ids: NDArray[np.int64], octets: signs.Octets) -> Segment:
    """A segment of (n,) ids and (n, octets) signs."""
    import numpy as np

    return Segment(ids.astype(np.int32), np.ascontiguousarray(octets), np.empty(0, np.float32))


def of_rows(ids: NDArray[np.int64], rows: NDArray[np.int8]) -> Segment:
    """A segment of (n,) ids and (n, d) int8 rows."""
    import numpy as np

    lengths = np.empty(len(rows), np.float32)
    for at in range(0, len(rows), ROOM):
        some = rows[at : at + ROOM].astype(np.float32)
        lengths[at : at + ROOM] = np.sqrt(np.einsum("ij,ij->i", some, some))
    return Segment(ids.astype(np.int32), np.ascontiguousarray(rows), np.maximum(lengths, 1))


def without(segments: Sequence[Segment], gone: NDArray[np.int32]) -> list[Segment]:
    """The segments, with the rows of these ids marked as gone."""
    import numpy as np

    if not len(gone):
        return list(segments)
    marks = np.zeros(int(gone.max()) + 2, np.bool_)
    marks[gone] = True
    left = []
    for part in segments:
        places = _admitted(part.ids, marks)
        if len(places):
            ids = part.ids.copy()
            ids[places] = 0
            part = replace(part, ids=ids)
        left.append(part)
    return left


def joined(parts: Sequence[Segment]) -> Segment:
    """Segments as one."""
    import numpy as np

    codes: Any = [part.codes for part in parts]
    return Segment(
        np.concatenate([part.ids for part in parts]),
        np.concatenate(codes),
        np.concatenate([part.lengths for part in parts]),
    )


def added(segments: Sequence[Segment], new: Segment) -> list[Segment]:
    """The segments and a new one; small ones at the end are put together."""
    *before, last = [*segments, new]
    while before and len(before[-1]) + len(last) <= SEGMENT:
        if len(before[-1]) > YOUNG > len(last):
            break
        last = joined([before.pop(), last])
    return [*before, last]


@dataclass(frozen=True, slots=True)
class _Part:
    """Some or all rows of a segment."""

    segment: Segment
    places: NDArray[np.intp] | None
    """(n,) ascending; None for all rows."""

    def __len__(self) -> int:
        return len(self.segment) if self.places is None else len(self.places)

    @property
    def codes(self) -> Codes:
        codes = self.segment.codes
        return codes if self.places is None else codes.take(self.places, axis=0)

    @property
    def ids(self) -> NDArray[np.int32]:
        ids = self.segment.ids
        return ids if self.places is None else ids.take(self.places)

    @property
    def lengths(self) -> NDArray[np.float32]:
        lengths = self.segment.lengths
        return lengths if self.places is None else lengths.take(self.places)


class Candidates(NamedTuple):
    """Rows that may be the nearest, in no order."""

    ids: NDArray[np.int32]
    """(k,)"""
    likeness: NDArray[np.float32]
    """(k,) higher for what seems nearer, on a scale of the query's own."""


def candidates(
    segments: Sequence[Segment],
    vector: Vector,
    coding: Coding,
    limit: int,
    among: NDArray[np.bool_] | None = None,
) -> Candidates:
    """Rows that may be the `limit` nearest to the (d,) vector.

    With `among`, whether an id is admitted, by id and False at its end, only of those.
    """
    import numpy as np

    if among is None:
        parts = [_Part(segment, None) for segment in segments if len(segment)]
    else:
        parts = [_Part(segment, _admitted(segment.ids, among)) for segment in segments]
        parts = [part for part in parts if len(part)]
    if not parts:
        return Candidates(np.empty(0, np.int32), np.empty(0, np.float32))
    left = coding.left(limit)
    if coding.kind == "int8":
        ids = np.concatenate([part.ids for part in parts])
        likeness = np.concatenate(_each(parts, _likeness, _rounded(vector)))
    else:
        query = signs.values(vector[None], coding.sums)[0]
        chosen = _nearest(parts, query, CLOSER * left)
        ids = _ids(parts, chosen)
        chosen, ids = chosen[ids > 0], ids[ids > 0]
        likeness = _sums(parts, chosen, query)
    if len(ids) > left:
        best = np.argpartition(likeness, len(ids) - left)[len(ids) - left :]
        ids, likeness = ids[best], likeness[best]
    return Candidates(ids[ids > 0], likeness[ids > 0])


def together(some: Sequence[Candidates]) -> Candidates:
    """Candidates of one query among several parts of the rows."""
    import numpy as np

    ids = [np.empty(0, np.int32), *(one.ids for one in some)]
    likeness = [np.empty(0, np.float32), *(one.likeness for one in some)]
    return Candidates(np.concatenate(ids), np.concatenate(likeness))


def standing(
    segments: Sequence[Segment],
    vector: Vector,
    sums: int,
    rows: NDArray[np.intp],
    depths: Sequence[int],
) -> NDArray[np.int64]:
    """(1 + depths, k): after how many others each of these rows comes out, in steps of a search.

    By signs, and then by the query as it is where the first step left as many as each of the
    ascending `depths`. `rows` count over all segments.
    """
    import numpy as np

    parts = [_Part(segment, None) for segment in segments]
    query = signs.values(vector[None], sums)[0]
    distances = np.concatenate(_each(parts, _distances, _octets(query)))
    found = np.full((1 + len(depths), len(rows)), len(distances), np.int64)
    below = np.concatenate(([0], np.cumsum(np.bincount(distances))))
    found[0] = below[distances[rows]]
    chosen = _lowest(distances, depths[-1])
    likeness = -_sums(parts, chosen, query)
    order = np.argsort(distances[chosen], kind="stable")
    chosen, likeness = chosen[order], likeness[order]
    for step, depth in enumerate(depths, start=1):
        best = np.sort(likeness[:depth])
        for i, row in enumerate(rows):
            at = np.flatnonzero(chosen[:depth] == row)
            if len(at):
                found[step, i] = np.searchsorted(best, likeness[at[0]])
    return found


def _admitted(ids: NDArray[np.int32], among: NDArray[np.bool_]) -> NDArray[np.intp]:
    import numpy as np

    # an id beyond the end is read as the end, which is False
    return np.flatnonzero(np.take(among, ids, mode="clip"))


def _nearest(parts: Sequence[_Part], query: Vector, count: int) -> NDArray[np.intp]:
    """About `count` rows whose signs are nearest to the query's, ascending; all where fewer are."""
    import numpy as np

    rows = sum(map(len, parts))
    if rows <= count:
        return np.arange(rows)
    return _lowest(np.concatenate(_each(parts, _distances, _octets(query))), count)


def _octets(query: Vector) -> signs.Octets:
    """(1, octets) signs of what is asked, as it was made by `signs.values`."""
    return signs.octets(query[None], 0)


def _rounded(vector: Vector) -> NDArray[np.int8]:
    """(1, d) int8: the values scaled to fill the range."""
    import numpy as np

    largest = float(np.abs(vector).max()) or 1.0
    rounded: NDArray[np.int8] = np.rint(vector * (127 / largest)).astype(np.int8)
    return rounded[None]


_Found = TypeVar("_Found")


def _each(
    parts: Sequence[_Part], look: Callable[[_Part, Any], _Found], query: object
) -> list[_Found]:
    """What each part's rows are to the query; several threads look where that is worth it."""
    threads = min(THREADS, _cores(), len(parts))
    if threads < 2 or sum(len(part) * part.segment.codes.shape[1] for part in parts) < MANY:
        return [look(part, query) for part in parts]
    size = -(-len(parts) // threads)
    groups = [parts[at : at + size] for at in range(0, len(parts), size)]

    def of(group: Sequence[_Part]) -> list[_Found]:
        return [look(part, query) for part in group]

    with ThreadPoolExecutor(len(groups)) as pool:
        others = [pool.submit(of, group) for group in groups[1:]]
        return sum((other.result() for other in others), of(groups[0]))


def _cores() -> int:
    """Cores that this process may use."""
    allowed = getattr(os, "sched_getaffinity", None)
    return len(allowed(0)) if allowed else os.cpu_count() or 1


def _distances(part: _Part, query: signs.Octets) -> NDArray[np.uint16]:
    """(n,) Hamming distances."""
    import numpy as np
    import simsimd

    found = simsimd.cdist(query, part.codes, "hamming", dtype="bin8", out_dtype="float32")
    distances: NDArray[np.uint16] = np.asarray(found)[0].astype(np.uint16)
    return distances


def _likeness(part: _Part, query: NDArray[np.int8]) -> NDArray[np.float32]:
    """(n,) inner products with int8 rows, over their lengths; rows that are gone are like none."""
    import numpy as np

    products = _products(query, part.codes) / part.lengths
    products[part.ids == 0] = -np.inf
    return products


def _products(query: NDArray[np.int8], rows: Codes) -> NDArray[np.float32]:
    """(n,) inner products of (1, d) with (n, d) int8."""
    import numpy as np
    import simsimd

    found = simsimd.cdist(query, rows, "dot", out_dtype="float32")
    products: NDArray[np.float32] = np.asarray(found)[0]
    return products


def _sums(parts: Sequence[_Part], chosen: NDArray[np.intp], query: Vector) -> NDArray[np.float32]:
    """(k,) of the chosen rows: what their bits select of the query, summed up.

    A bit b stands for 2b - 1, which only moves and stretches all sums alike.
    """
    import numpy as np

    codes: Any = [segment.codes.take(rows, axis=0) for segment, rows in _split(parts, chosen)]
    if not codes:
        return np.empty(0, np.float32)
    octets = np.concatenate(codes)
    asked = np.zeros((1, 8 * octets.shape[1]), np.int8)
    asked[:, : len(query)] = _rounded(query)
    found = [
        _products(asked, signs.unpacked(octets[at : at + ROOM]))
        for at in range(0, len(octets), ROOM)
    ]
    return np.concatenate(found)


def _lowest(values: NDArray[np.uint16], count: int) -> NDArray[np.intp]:
    """Places of the `count` lowest values, and of those that tie with the last; ascending."""
    import numpy as np

    if len(values) <= count:
        return np.arange(len(values))
    # a hundred of those that are wanted tell where the bound is to a tenth of them
    every = max(1, len(values) // max(4_096, 100 * len(values) // count))
    sample = values[::every]
    rank = min(len(sample) - 1, int(len(sample) * count / len(values) * 1.1) + 2)
    bound = int(np.partition(sample, rank)[rank])
    while len(found := np.flatnonzero(values <= bound)) < count:
        bound += 1
    some = values[found]
    lowest: NDArray[np.intp] = found[some <= np.partition(some, count - 1)[count - 1]]
    return lowest


def _ids(parts: Sequence[_Part], chosen: NDArray[np.intp]) -> NDArray[np.int32]:
    import numpy as np

    found = [segment.ids.take(rows) for segment, rows in _split(parts, chosen)]
    return np.concatenate([np.empty(0, np.int32), *found])


def _split(
    parts: Sequence[_Part], chosen: NDArray[np.intp]
) -> Iterator[tuple[Segment, NDArray[np.intp]]]:
    """Ascending rows of all parts, as rows of their segments."""
    import numpy as np

    ends = np.cumsum([len(part) for part in parts])
    bounds = [0, *np.searchsorted(chosen, ends).tolist()]
    for i, part in enumerate(parts):
        if bounds[i] < bounds[i + 1]:
            rows = chosen[bounds[i] : bounds[i + 1]] - (int(ends[i]) - len(part))
            yield part.segment, rows if part.places is None else part.places[rows]
