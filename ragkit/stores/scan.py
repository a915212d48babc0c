"""Codes of an index in memory, and the search among them.

A code says less than the vector that it stands for, and is much smaller. Every row has sign bits,
one a dimension; where these are not enough (see `fitting`), also an int8 row. A search looks at all
bits first, by Hamming distance; then, at the nearest, with the query as it is: against bits that
stand for ±1, or against int8 rows. What is left is compared exactly by the caller.

Rows are kept in segments that are never changed: a change makes new segments of those that it
touches, so that searches under way keep theirs.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal, TypeAlias

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from ragkit.types import Vector

    Words: TypeAlias = NDArray[np.uint64]
    """64 signs in each, the first in the lowest bit."""

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
"""That count at once, at most: beyond, they wait for the memory."""

ROOM = 4_096
"""Rows that are turned into float32 at once."""

CLOSER = 6
"""How many times the rows that are left are looked at with the query as it is."""


@dataclass(frozen=True, slots=True)
class Coding:
    """How an index's vectors are coded, and how far a search looks."""

    kind: Kind
    centre: Vector | None
    """(d,) what is taken from a unit vector before its signs are: a mean of the data, or nothing.
    Where all vectors lie to one side, many signs say nothing without it."""
    share: float
    """Of all int8 rows, how many the comparison of bits leaves."""
    breadth: int
    """How many times the least number of rows a search by bits leaves."""

    def left(self, limit: int) -> int:
        """Rows that are left to be compared exactly, so that the best `limit` are among them."""
        if self.kind == "int8":
            return 2 * limit + 32
        return (60 + 4 * limit) * self.breadth


@dataclass(frozen=True, slots=True)
class Segment:
    """Codes of some embeddings."""

    ids: NDArray[np.int32]
    """(n,); 0 for a row that is gone."""
    words: Words
    """(words, n): signs; of all rows the first word, then of all the second."""
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

    return Segment(
        ids.astype(np.int32),
        np.ascontiguousarray(words.T),
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
        np.concatenate([part.words for part in parts], axis=1),
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

    def words(self, some: slice) -> Words:
        """(words, n) signs of some rows of this part."""
        words = self.segment.words
        return words[:, some] if self.places is None else words.take(self.places[some], axis=1)

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
    """(1 + depths, k): after how many others each of these rows comes out, in steps of a search.

    By bits, and then by the query as it is where the first step left as many as each of the
    ascending `depths`. `rows` count over all segments.
    """
    import numpy as np

    parts = [_Part(segment, None) for segment in segments]
    query = signs(vector[None] / np.linalg.norm(vector), centre)[0]
    distances = np.concatenate(_distances(parts, query))
    found = np.full((1 + len(depths), len(rows)), len(distances), np.int64)
    below = np.concatenate(([0], np.cumsum(np.bincount(distances))))
    found[0] = below[distances[rows]]
    chosen = _lowest(distances, depths[-1])
    chosen = chosen[np.argsort(distances[chosen], kind="stable")]
    products = -_products(parts, np.sort(chosen), vector)[np.argsort(np.argsort(chosen))]
    for step, depth in enumerate(depths, start=1):
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
    """The rows that the comparison of bits leaves, ascending."""
    import numpy as np

    count, kept = sum(map(len, parts)), CLOSER * left
    if coding.kind == "int8":
        kept = max(kept, int(count * coding.share))
    if count <= kept:
        return np.arange(count)
    return _lowest(np.concatenate(_distances(parts, query)), kept)


def _distances(parts: Sequence[_Part], query: Words) -> list[NDArray[np.uint16]]:
    """Hamming distances of each part's rows; several threads count where that is worth it."""
    threads = min(THREADS, os.cpu_count() or 1, len(parts))
    if threads == 1 or sum(map(len, parts)) < MANY:
        return _counted(parts, query)
    size = -(-len(parts) // threads)
    groups = [parts[at : at + size] for at in range(0, len(parts), size)]
    with ThreadPoolExecutor(len(groups)) as pool:
        others = [pool.submit(_counted, group, query) for group in groups[1:]]
        return sum((other.result() for other in others), _counted(groups[0], query))


def _counted(parts: Sequence[_Part], query: Words) -> list[NDArray[np.uint16]]:
    import numpy as np

    words = query[:, None]
    block = min(BLOCK, max(map(len, parts)))
    differ = np.empty((len(query), block), np.uint64)
    counts = np.empty((len(query), block), np.uint8)
    found = []
    for part in parts:
        distances = np.empty(len(part), np.uint16)
        for at in range(0, len(part), block):
            some = slice(at, min(at + block, len(part)))
            n = some.stop - at
            np.bitwise_xor(part.words(some), words, out=differ[:, :n])
            np.bitwise_count(differ[:, :n], out=counts[:, :n])
            _added_up(counts[:, :n], distances[some])
        found.append(distances)
    return found


def _added_up(counts: NDArray[np.uint8], out: NDArray[np.uint16]) -> None:
    """The sums of (words, n) counts into (n,) `out`: by threes first, which fit into a byte."""
    import numpy as np

    whole = len(counts) // 3 * 3
    threes = counts[:whole].reshape(-1, 3, counts.shape[1])
    if whole:
        np.add.reduce(
            np.add.reduce(threes, axis=1, dtype=np.uint8), axis=0, dtype=np.uint16, out=out
        )
    else:
        out[:] = 0
    for row in counts[whole:]:
        np.add(out, row, out=out)


def _lowest(values: NDArray[np.uint16], count: int) -> NDArray[np.intp]:
    """Places of about the `count` lowest values, and not fewer; ascending."""
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
    if len(found) > 1.5 * count:  # the sample was unlucky
        found = found[np.sort(np.argpartition(values[found], count)[:count])]
    return found


def _products(
    parts: Sequence[_Part], chosen: NDArray[np.intp], vector: Vector
) -> NDArray[np.float32]:
    """(k,) inner products of the vector with the codes of the chosen rows."""
    import numpy as np

    if len(parts[0].segment.lengths):
        products = [_of_rows(segment, rows, vector) for segment, rows in _split(parts, chosen)]
        return np.concatenate(products)
    words = [segment.words.take(rows, axis=1) for segment, rows in _split(parts, chosen)]
    return _of_signs(np.concatenate(words, axis=1).T, vector)


def _of_rows(segment: Segment, rows: NDArray[np.intp], vector: Vector) -> NDArray[np.float32]:
    import numpy as np

    products = np.empty(len(rows), np.float32)
    for at in range(0, len(rows), ROOM):
        some = rows[at : at + ROOM]
        codes = segment.rows.take(some, axis=0).astype(np.float32)
        # not a matrix product: threads of a BLAS library cost more than so little work
        np.einsum("ij,j->i", codes, vector, out=products[at : at + ROOM])
        products[at : at + ROOM] /= segment.lengths.take(some)
    return products


def _of_signs(words: Words, vector: Vector) -> NDArray[np.float32]:
    """A bit b stands for 2b - 1, which only moves all products alike: sums of what bits select.

    What each byte selects is looked up.
    """
    import numpy as np

    values = np.zeros((8 * words.shape[1], 8), np.float32)
    values.ravel()[: len(vector)] = vector
    bits = np.unpackbits(np.arange(256, dtype=np.uint8)[:, None], axis=1, bitorder="little")
    selected = (values @ bits.T.astype(np.float32)).ravel()
    octets = (
        np.ascontiguousarray(words).view(np.uint8) + np.arange(len(values), dtype=np.intp) * 256
    )
    products: NDArray[np.float32] = selected.take(octets).sum(axis=1)
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
