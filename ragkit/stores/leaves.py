"""Inverted lists read from FTS5's own pages, many times as fast as its rows.

FTS5 keeps a list as the differences of ascending ids, each a variable-length integer, in the leaf
pages of its segments; `fts5_index.c` in SQLite's source describes the format, which is part of
SQLite's file format, and so stays. Here the pages are found as FTS5 finds them, and whole pages
are decoded in numpy. Where a file is of a format that is not known here, Unknown is raised, and
the caller asks FTS5.

A table must be contentless with deletes and have `detail=none`: then deleted ids are listed by
segment, in tables of `tombstones`, and a list has no marks of deletion and no positions.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import TYPE_CHECKING

import apsw

from ragkit.stores.connection import value

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

VERSIONS = (4, 5)
"""Of FTS5's format, as its table of settings has it."""

_STRUCTURE = 10  # the id of the record that lists the segments
_SECOND = b"\xff\x00\x00\x01"  # what the record of a table with tombstones has after its cookie
_SEGMENT = 37  # a page's id is its segment's, shifted, and its number
_TOMBSTONES = 1 << 16  # what is added to the number of a segment for its tombstones
_HEADER = 4  # bytes before the content of a page
_TERM = b"0"  # before every term that is no prefix


class Unknown(Exception):
    """The pages are not as this module knows them."""


@dataclass(frozen=True, slots=True)
class Segment:
    """A sorted run of terms and their lists."""

    id: int
    first: int
    """Its first page."""
    last: int
    graves: NDArray[np.int64]
    """(n,) ascending ids that were deleted from it."""


@dataclass(frozen=True, slots=True)
class Leaves:
    """The segments of a table, in one state of it."""

    table: str
    segments: tuple[Segment, ...]


def read(connection: apsw.Connection, table: str) -> Leaves:
    """The segments of an FTS5 table. Raises Unknown."""
    version = value(connection, f"select v from {table}_config where k = 'version'")
    if version not in VERSIONS:
        raise Unknown(f"version {version}")
    record = _page(connection, table, _STRUCTURE)
    if record[4:8] != _SECOND:
        raise Unknown("no tombstones")
    numbers = _integers(record, 8)
    try:
        levels = next(numbers)
        next(numbers), next(numbers)  # how many segments, how often written
        segments = []
        for _ in range(levels):
            next(numbers)  # how many are being merged
            for _ in range(next(numbers)):
                segment, first, last, _, _, graves, _, _ = (next(numbers) for _ in range(8))
                buried = _graves(connection, table, segment, graves)
                segments.append(Segment(segment, first, last, buried))
    except (StopIteration, ValueError, RuntimeError) as error:
        raise Unknown("the list of segments is cut off") from error
    return Leaves(table, tuple(segments))


def between(
    connection: apsw.Connection, leaves: Leaves, low: str, high: str
) -> Iterator[tuple[str, NDArray[np.int64]]]:
    """Terms from `low` to `high` and the ids of the rows that hold them, ascending.

    By segment: a term comes once for each that has it. Raises Unknown.
    """
    bounds = _TERM + low.encode(), _TERM + high.encode()
    for segment in leaves.segments:
        if segment.first:
            for term, ids in _of_segment(connection, leaves.table, segment, *bounds):
                yield term[1:].decode(), _left(ids, segment.graves)


def _left(ids: NDArray[np.int64], graves: NDArray[np.int64]) -> NDArray[np.int64]:
    import numpy as np

    if not len(graves):
        return ids
    places = np.searchsorted(graves, ids).clip(max=len(graves) - 1)
    kept: NDArray[np.int64] = ids[graves[places] != ids]
    return kept


def _of_segment(
    connection: apsw.Connection, table: str, segment: Segment, low: bytes, high: bytes
) -> Iterator[tuple[bytes, NDArray[np.int64]]]:
    page = value(
        connection,
        f"select pgno >> 1 from {table}_idx where segid = ? and term <= ? "
        "order by term desc limit 1",
        (segment.id, low),
    )
    page = max(page or 0, segment.first)
    term, parts = b"", []
    while page <= segment.last:
        leaf = _page(connection, table, (segment.id << _SEGMENT) + page)
        offsets = _offsets(leaf)
        first = offsets[0] if offsets else _content_end(leaf)
        if term and first > _HEADER:  # the rest of the last page's last list
            parts.append(leaf[_HEADER:first])
        for found, begin, end in _lists(leaf, offsets, low):
            if term:
                yield term, decoded(parts)
            term, parts = found, [leaf[begin:end]]
            if term > high:
                return
        page += 1
    if term:
        yield term, decoded(parts)


def _lists(leaf: bytes, offsets: Sequence[int], low: bytes) -> Iterator[tuple[bytes, int, int]]:
    """The terms of a page that are not below `low`, and where their lists begin and end.

    A term is stored as what it has in common with the one before, and the rest. `common` is how
    far the term before, which is below `low`, agrees with it: a term that shares more with the one
    before is below, too.
    """
    common, term = 0, b""  # the term before, once one is not below
    for i, offset in enumerate(offsets):
        shared = 0
        if i:
            shared = leaf[offset]
            if common < shared < 0x80 and not term:  # most of them
                continue
            shared, offset = _integer(leaf, offset)
            if shared > common and not term:
                continue
        length, offset = _integer(leaf, offset)
        begin = offset + length
        found = (term or low)[:shared] + leaf[offset:begin]
        if term or found >= low:
            term = found
            yield term, begin, offsets[i + 1] if i + 1 < len(offsets) else _content_end(leaf)
        else:
            common = _agreement(found, low)


def _agreement(one: bytes, other: bytes) -> int:
    """How many bytes two strings begin with together."""
    for i, (a, b) in enumerate(zip(one, other, strict=False)):
        if a != b:
            return i
    return min(len(one), len(other))


def _content_end(leaf: bytes) -> int:
    return leaf[2] << 8 | leaf[3]


def _offsets(leaf: bytes) -> list[int]:
    """Where the terms of a page begin. Raises Unknown."""
    end = _content_end(leaf)
    if end == len(leaf):  # a page of one list
        return []
    steps = leaf[end:]
    of_a_byte = steps.isascii()
    found = list(accumulate(steps if of_a_byte else _integers(leaf, end)))
    if end > len(leaf) or (found and not _HEADER <= found[0] <= found[-1] < end):
        raise Unknown("a page of terms")
    return found


def _integer(data: bytes, at: int) -> tuple[int, int]:
    """A variable-length integer, and where it ends. Raises Unknown."""
    number = 0
    for i in range(at, min(at + 8, len(data))):
        number = number << 7 | data[i] & 0x7F
        if data[i] < 0x80:
            return number, i + 1
    raise Unknown("an integer is cut off")


def _integers(data: bytes, at: int) -> Iterator[int]:
    while at < len(data):
        number, at = _integer(data, at)
        yield number


def decoded(parts: Sequence[bytes]) -> NDArray[np.int64]:
    """A list's ids from its parts, each of another page: the first, then differences.

    All parts are decoded at once, as most are small. Raises Unknown.
    """
    import numpy as np

    parts = [part for part in parts if part]
    raw = np.frombuffer(b"".join(parts), np.uint8)
    begins = np.cumsum([0, *map(len, parts[:-1])])
    last = raw < 0x80
    if last.all():
        steps = raw.astype(np.int64)
    else:
        if not last[begins[1:] - 1].all() or not last[-1]:
            raise Unknown("a list is cut off")
        steps = _integers_of(raw, last)
        begins = np.cumsum(last)[begins] - last[begins]
    firsts = steps[begins]
    steps[begins] = 1
    if not steps.all():
        raise Unknown("a list has marks of deletion")
    steps[begins] = 0
    ids = np.cumsum(steps)
    ids += np.repeat(firsts - ids[begins], np.diff(begins, append=len(ids)))
    return ids


def _integers_of(raw: NDArray[np.uint8], last: NDArray[np.bool_]) -> NDArray[np.int64]:
    """Variable-length integers, from bytes and which of them end one. Raises Unknown."""
    import numpy as np

    steps = (raw & 0x7F).astype(np.int64)
    leading = np.flatnonzero(~last)
    # those that follow another one come a round later, when that one is added up
    for _ in range(8):
        if not len(leading):
            return steps[last]
        late = np.zeros(len(leading), np.bool_)
        late[1:] = leading[1:] == leading[:-1] + 1
        now = leading[~late]
        steps[now + 1] += steps[now] << 7
        leading = leading[late]
    raise Unknown("an integer is too long")


def _graves(connection: apsw.Connection, table: str, segment: int, pages: int) -> NDArray[np.int64]:
    """The ids in a segment's tombstones: hash tables of big-endian keys, 0 for a free place."""
    import numpy as np

    found = []
    for page in range(pages):
        data = _page(connection, table, (segment + _TOMBSTONES << _SEGMENT) + page)
        if data[0] not in (4, 8):
            raise Unknown("tombstones")
        keys = np.frombuffer(data[8:], f">u{data[0]}").astype(np.int64)
        found.append(keys[keys > 0])
        if data[1]:  # whether 0 itself is deleted; no id is 0
            found.append(np.zeros(1, np.int64))
    return np.sort(np.concatenate(found)) if found else np.empty(0, np.int64)


def _page(connection: apsw.Connection, table: str, page: int) -> bytes:
    found = value(connection, f"select block from {table}_data where id = ?", (page,))
    if not isinstance(found, bytes) or len(found) < 4:
        raise Unknown(f"page {page}")
    return found
