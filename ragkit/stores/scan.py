"""Codes of an index in memory, and the search among them.

A code says less than the vector that it stands for, and is much smaller. Every row has sign bits,
one a dimension; where these are not enough (see `fitting`), also an int8 row. A search is a
cascade, in which each step looks closer at what the one before left:

1. the first words of bits of all rows, by Hamming distance,
2. all their bits, where there are more words,
3. the query as it is against bits that stand for ±1, or against int8 rows.

What is left is compared exactly by the caller. Rows are kept in segments that are never changed: a
change makes new segments of those that it touches, so that searches under way keep theirs.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Literal, TypeAlias, TypeVar

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from ragkit.types import Vector

    Words: TypeAlias = NDArray[np.uint64]
    """64 signs in each, the first in the lowest bit."""

_Result = TypeVar("_Result")

Kind: TypeAlias = Literal["bit", "int8"]

SEGMENT = 65_536
"""Rows of a segment at most."""

YOUNG = 4_096
"""Rows of the last segment before it is put together with the one before: what an addition
copies."""

BLOCK = 32_768
"""Rows whose words are compared at once: they fit into a core's second cache."""

MANY = 200_000
"""Rows that are worth starting threads for."""

THREADS = 4
"""That look at once, at most: beyond, they wait for the memory."""

ROOM = 4_096
"""Rows that are turned into float32 at once."""

CLOSER = 6
"""How many times the rows that the last step leaves it is given."""


@dataclass(frozen=True, slots=True)
class Coding:
    """How an index's vectors are coded, and how far a search looks."""

    kind: Kind
    centre: Vector | None
    """(d,) what is taken from a unit vector before its signs are: a mean of the data, or nothing.
    Where all vectors lie to one side, many signs say nothing without it."""
    share: float
    """Of all rows, how many the first step leaves."""
    breadth: int
    """How many times the least number of rows the last step leaves."""

    def left(self, limit: int) -> int:
        """Rows that the last step leaves, so that the best `limit` are among them."""
        if self.kind == "int8":
            return 2 * limit + 32
        return (60 + 4 * limit) * self.breadth


@dataclass(frozen=True, slots=True)
class Segment:
    """Codes of some embeddings."""

    ids: NDArray[np.int32]
    """(n,); 0 for a row that is gone."""
    head: Words
    """(words, n): the first words of each row; of all rows the first, then of all the second."""
    tail: Words
    """(n, others): the other words of each row."""
    rows: NDArray[np.int8]
    """(n, d), or (n, 0) where bits are enough."""
    lengths: NDArray[np.float32]
    """(n,) of the int8 rows, at least 1; or (0,)."""

    def __len__(self) -> int:
        return len(self.ids)


def words_of(dimensions: int) -> int:
    """64-bit words of a row's signs."""
    return -(-dimensions // 64)


def signs(vectors: NDArray[np.float32] | NDArray[np.int8], centre: Vector | None) -> Words:
    """(n, d) unit vectors → (n, words) signs: 1 where a value is above the centre's, or 0."""
    import numpy as np

    above = vectors > (0 if centre is None else centre)
    missing = words_of(vectors.shape[1]) * 64 - vectors.shape[1]
    if missing:
        above = np.pad(above, ((0, 0), (0, missing)))
    return np.packbits(above, axis=1, bitorder="little").view(np.uint64)


def of_bits(ids: NDArray[np.int64], words: Words) -> Segment:
    """A segment of (n,) ids and (n, words) signs."""
    import numpy as np

    # a third of the words tells most rows apart, and four is the least that does
    first = max(4, words.shape[1] // 3) if words.shape[1] > 6 else words.shape[1]
    return Segment(
        ids.astype(np.int32),
        np.ascontiguousarray(words[:, :first].T),
        np.ascontiguousarray(words[:, first:]),
        np.empty((len(ids), 0), np.int8),
        np.empty(0, np.float32),
    )


def of_rows(ids: NDArray[np.int64], rows: NDArray[np.int8]) -> Segment:
    """A segment of (n,) ids and (n, d) int8 rows, with their signs."""
    import numpy as np

    lengths = np.empty(len(rows), np.float32)
    for at in range(0, len(rows), ROOM):
        some = rows[at : at + ROOM].astype(np.float32)
        lengths[at : at + ROOM] = np.sqrt(np.einsum("ij,ij->i", some, some))
    return Segment(
        ids.astype(np.int32),
        np.ascontiguousarray(signs(rows, None).T),
        np.empty((len(ids), 0), np.uint64),
        np.ascontiguousarray(rows),
        np.maximum(lengths, 1),
    )


def without(segments: Sequence[Segment], gone: NDArray[np.int32]) -> list[Segment]:
    """The segments, with the rows of these ids marked as gone."""
    import numpy as np

    left = []
    for part in segments:
        if len(gone) and part.ids.max(initial=0) >= gone.min():
            places = np.flatnonzero(np.isin(part.ids, gone))
            if len(places):
                ids = part.ids.copy()
                ids[places] = 0
                part = replace(part, ids=ids)
        left.append(part)
    return left


def joined(parts: Sequence[Segment]) -> Segment:
    """Segments as one."""
    import numpy as np

    return Segment(
        np.concatenate([part.ids for part in parts]),
        np.concatenate([part.head for part in parts], axis=1),
        np.concatenate([part.tail for part in parts]),
        np.concatenate([part.rows for part in parts]),
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

    def of(self, chosen: NDArray[np.intp]) -> NDArray[np.intp]:
        """Rows of the segment for rows of this part."""
        return chosen if self.places is None else self.places[chosen]


def candidates(
    segments: Sequence[Segment],
    vector: Vector,
    coding: Coding,
    limit: int,
    among: NDArray[np.bool_] | None = None,
) -> NDArray[np.int32]:
    """(k,) ids of the rows that may be the `limit` nearest to the (d,) vector, in no order.

    With `among`, whether an id is admitted, by id and False at its end, only of those.
    """
    import numpy as np

    if among is None:
        parts = [_Part(segment, None) for segment in segments if len(segment)]
    else:
        parts = [_Part(segment, _admitted(segment.ids, among)) for segment in segments]
    count, left = sum(map(len, parts)), coding.left(limit)
    if count <= left:
        chosen: NDArray[np.intp] = np.arange(count)
    else:
        query = signs(vector[None] / np.linalg.norm(vector), coding.centre)[0]
        chosen = _by_signs(parts, query, coding, left)
        chosen = chosen[_ids(parts, chosen) > 0]
    if len(chosen) > left:
        products = _products(parts, chosen, vector)
        chosen = chosen[np.argpartition(-products, left)[:left]]
        chosen.sort()
    ids = _ids(parts, chosen)
    return ids[ids > 0]


def standing(
    segments: Sequence[Segment],
    vector: Vector,
    centre: Vector | None,
    rows: NDArray[np.intp],
    depths: Sequence[int],
) -> NDArray[np.int64]:
    """(2 + depths, k): after how many others each of these rows comes out, in steps of a search.

    In the first step, the second, and the third where the second left as many as each of the
    ascending `depths`. `rows` count over all segments.
    """
    import numpy as np

    parts = [_Part(segment, None) for segment in segments]
    query = signs(vector[None] / np.linalg.norm(vector), centre)[0]
    heads = np.concatenate([_head_distances(part, query) for part in parts])
    tails = [_words_distances(segment.tail, query[len(segment.head) :]) for segment in segments]
    whole = heads + np.concatenate(tails)
    found = np.full((2 + len(depths), len(rows)), len(heads), np.int64)
    for step, distances in enumerate((heads, whole)):
        below = np.concatenate(([0], np.cumsum(np.bincount(distances))))
        found[step] = below[distances[rows]]
    chosen = _lowest(whole, depths[-1])
    chosen = chosen[np.argsort(whole[chosen], kind="stable")]
    products = -_products(parts, np.sort(chosen), vector)[np.argsort(np.argsort(chosen))]
    for step, depth in enumerate(depths, start=2):
        best = np.sort(products[:depth])
        for i, row in enumerate(rows):
            at = np.flatnonzero(chosen[:depth] == row)
            if len(at):
                found[step, i] = np.searchsorted(best, products[at[0]])
    return found


def _admitted(ids: NDArray[np.int32], among: NDArray[np.bool_]) -> NDArray[np.intp]:
    import numpy as np

    # an id beyond the end is read as the end, which is False
    return np.flatnonzero(np.take(among, ids, mode="clip"))


def _by_signs(parts: Sequence[_Part], query: Words, coding: Coding, left: int) -> NDArray[np.intp]:
    """The rows that the steps which compare signs leave, ascending."""
    import numpy as np

    count = sum(map(len, parts))
    tailed = parts[0].segment.tail.shape[1] > 0
    enough = CLOSER * left
    kept = max(enough, int(count * coding.share)) if tailed or coding.kind == "int8" else enough
    if count <= kept and not tailed:
        return np.arange(count)
    bound = _bound(parts, query, kept)
    while True:
        near = _each(partial(_near, query=query, bound=bound), parts)
        if sum(len(rows) for rows, _ in near) >= min(enough, count):
            break
        bound += 1 + bound // 32  # the sample was unlucky
    starts = np.cumsum([0, *map(len, parts)])
    chosen = np.concatenate([rows + start for (rows, _), start in zip(near, starts, strict=False)])
    if coding.kind == "int8" or len(chosen) <= enough:
        return chosen
    return chosen[_lowest(np.concatenate([distances for _, distances in near]), enough)]


def _bound(parts: Sequence[_Part], query: Words, kept: int) -> int:
    """The distance of first words up to which about so many rows lie, by a sample of them."""
    import numpy as np

    count = sum(map(len, parts))
    if count <= kept:
        return 64 * len(query)
    # a hundred of those that are kept tell where the bound is to a tenth of them
    every = max(1, count // max(4_096, 100 * count // kept))
    sample = np.concatenate([_head_distances(part, query, every) for part in parts])
    rank = min(len(sample) - 1, int(len(sample) * kept / count * 1.1) + 2)
    return int(np.partition(sample, rank)[rank])


def _near(part: _Part, query: Words, bound: int) -> tuple[NDArray[np.intp], NDArray[np.uint16]]:
    """Rows of a part whose first words differ in so many bits at most, and how many bits differ."""
    import numpy as np

    heads = _head_distances(part, query)
    rows = np.flatnonzero(heads <= bound)
    distances = heads[rows]
    tail = part.segment.tail
    if tail.shape[1]:
        words = tail.take(part.of(rows), axis=0)
        distances += _words_distances(words, query[len(part.segment.head) :])
    return rows, distances


def _each(work: Callable[[_Part], _Result], parts: Sequence[_Part]) -> list[_Result]:
    """The work on every part; by several threads where that is worth starting them."""
    threads = min(THREADS, os.cpu_count() or 1, len(parts))
    if threads == 1 or sum(map(len, parts)) < MANY:
        return list(map(work, parts))
    with ThreadPoolExecutor(threads) as pool:
        return list(pool.map(work, parts))


def _head_distances(part: _Part, query: Words, every: int = 1) -> NDArray[np.uint16]:
    """Hamming distances of the first words; of every so many rows."""
    import numpy as np

    head = part.segment.head
    if part.places is not None:
        places = part.places[::every]
    elif every > 1:
        head, places = head[:, ::every], None
    else:
        places = None
    count = head.shape[1] if places is None else len(places)
    words = query[: len(head), None]
    distances = np.empty(count, np.uint16)
    differ = np.empty((len(head), min(BLOCK, count)), np.uint64)
    counts = np.empty(differ.shape, np.uint8)
    for at in range(0, count, BLOCK):
        n = min(BLOCK, count - at)
        some = slice(at, at + n)
        block = head[:, some] if places is None else head.take(places[some], axis=1)
        np.bitwise_xor(block, words, out=differ[:, :n])
        np.bitwise_count(differ[:, :n], out=counts[:, :n])
        np.add.reduce(counts[:, :n], axis=0, dtype=np.uint16, out=distances[some])
    return distances


def _words_distances(words: Words, query: Words) -> NDArray[np.uint16]:
    """(n, m) words → (n,) Hamming distances from m."""
    import numpy as np

    total = np.zeros(len(words), np.uint16)
    # word by word: NumPy is slow along so short an axis
    for at, word in enumerate(query):
        total += np.bitwise_count(words[:, at] ^ word)
    return total


def _lowest(values: NDArray[np.uint16], count: int) -> NDArray[np.intp]:
    """Places of the `count` lowest values, and of those that tie with the last; ascending."""
    import numpy as np

    if len(values) <= count:
        return np.arange(len(values))
    bound = np.partition(values, count)[count]
    return np.flatnonzero(values <= bound)


def _products(
    parts: Sequence[_Part], chosen: NDArray[np.intp], vector: Vector
) -> NDArray[np.float32]:
    """(k,) inner products of the vector with the codes of the chosen rows."""
    import numpy as np

    products = np.empty(len(chosen), np.float32)
    end = 0
    for segment, all_rows in _split(parts, chosen):
        for at in range(0, len(all_rows), ROOM):
            rows = all_rows[at : at + ROOM]
            begin, end = end, end + len(rows)
            if len(segment.lengths):
                codes = segment.rows.take(rows, axis=0).astype(np.float32)
                products[begin:end] = np.einsum("ij,j->i", codes, vector) / segment.lengths.take(
                    rows
                )
                continue
            words = (segment.head.take(rows, axis=1).T, segment.tail.take(rows, axis=0))
            bits = np.unpackbits(
                np.concatenate(words, axis=1).view(np.uint8), axis=1, bitorder="little"
            )
            # a bit b stands for 2b - 1, which only moves all products alike
            # not a matrix product: threads of a BLAS library cost more than so little work
            floats = bits[:, : len(vector)].astype(np.float32)
            products[begin:end] = np.einsum("ij,j->i", floats, vector)
    return products


def _ids(parts: Sequence[_Part], chosen: NDArray[np.intp]) -> NDArray[np.int32]:
    import numpy as np

    found = [segment.ids.take(rows) for segment, rows in _split(parts, chosen)]
    return np.concatenate(found) if found else np.empty(0, np.int32)


def _split(
    parts: Sequence[_Part], chosen: NDArray[np.intp]
) -> Iterator[tuple[Segment, NDArray[np.intp]]]:
    """Ascending rows of all parts, as rows of their segments."""
    import numpy as np

    ends = np.cumsum([len(part) for part in parts])
    bounds = [0, *np.searchsorted(chosen, ends).tolist()]
    for i, part in enumerate(parts):
        if bounds[i] < bounds[i + 1]:
            first = int(ends[i]) - len(part)
            yield part.segment, part.of(chosen[bounds[i] : bounds[i + 1]] - first)
