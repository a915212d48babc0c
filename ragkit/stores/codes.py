"""The codes of an index: a vec0 table on the disk, and a snapshot of it in memory.

All threads of a store share one snapshot. A log of what is listed and unlisted lets it follow the
changes of other processes at the price of what changed.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Hashable, Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import apsw

from ragkit.stores import changes, scan, schema, signs
from ragkit.stores.connection import query, value
from ragkit.stores.scan import Candidates, Coding, Segment
from ragkit.stores.vectors import unpacked

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from ragkit.types import Vector, Vectors

FOLLOWED = 1_000
"""Changes that are followed one by one, at least; of more than a hundredth of all, none."""

HELD = 96_000_000
"""Bytes of int8 rows that a snapshot holds; of more, none, and each search reads them. Signs are
held however many they are: a million take as much."""

BATCH = 4_096
"""Rows that are coded at once."""


NARROW = 96
"""Dimensions up to which an int8 row takes no more room than the signs that would do."""

WIDE = range(512, 1024)
"""Dimensions of which there are enough for their own signs to do, and not too many."""

SUMS = 768
"""Whose signs do where there are fewer dimensions, or more."""


def first_coding(dimensions: int) -> Coding:
    """What an index is begun with, before there is anything to measure: see `fitting`."""
    if dimensions <= NARROW:
        return Coding("int8")
    return Coding("bit", 0 if dimensions in WIDE else SUMS, breadth=4)


def coding(connection: apsw.Connection, index: int) -> Coding:
    """How the codes of the index are made."""
    sql = "select kind, sums, breadth from codings where index_id = ?"
    [found] = query(connection, sql, (index,))
    return Coding(*found)


def create(
    connection: apsw.Connection, index: int, dimensions: int, made: Coding, rows: int | None = None
) -> None:
    """An empty table for codes of this kind, in the place of one that may be there.

    `rows` is how many rows the coding was measured on.
    """
    connection.execute(f"drop table if exists codes_{index}")
    octets = made.octets(dimensions)
    column = f"bit[{8 * octets}]" if made.kind == "bit" else f"int8[{octets}]"
    connection.execute(schema.CODES.format(i=index, column=column))
    keep_coding(connection, index, made, rows)


def keep_coding(
    connection: apsw.Connection, index: int, made: Coding, rows: int | None = None
) -> None:
    """Remember how the index is coded, and on how many rows that was measured."""
    connection.execute(
        "insert or replace into codings values(?, ?, ?, ?, ?)",
        (index, made.kind, made.sums, made.breadth, rows),
    )


def enlist(
    connection: apsw.Connection, index: int, dimensions: int, embeddings: Iterable[int]
) -> list[int]:
    """Code embeddings, so that they are found; those that were. A zero vector stays out."""
    import numpy as np

    made = coding(connection, index)
    ids = sorted(embeddings)
    coded: list[int] = []
    for at in range(0, len(ids), BATCH):
        found = query(
            connection,
            "select e.id, e.vector from json_each(?) j join embeddings e on e.id = j.value",
            (json.dumps(ids[at : at + BATCH]),),
        )
        vectors = unpacked([row[1] for row in found], dimensions)
        some = vectors.any(axis=1)
        kept = [found[place][0] for place in np.flatnonzero(some)]
        connection.executemany(
            f"insert into codes_{index}(id, code) values(?, {_CASTS[made.kind]}(?))",
            zip(kept, _coded(vectors[some], made), strict=True),
        )
        coded += kept
    return coded


_CASTS = {"bit": "vec_bit", "int8": "vec_int8"}


def _coded(vectors: Vectors, made: Coding) -> list[bytes]:
    if not len(vectors):
        return []
    codes = signs.octets(vectors, made.sums) if made.kind == "bit" else quantised(vectors)
    return [row.tobytes() for row in codes]


def quantised(vectors: Vectors) -> NDArray[np.int8]:
    """(n, d) float32 → (n, d) int8: each row scaled to fill the range; none may be all zeros."""
    import numpy as np

    scale = 127 / np.abs(vectors).max(axis=1, keepdims=True)
    codes: NDArray[np.int8] = np.rint(vectors * scale).astype(np.int8)
    return codes


def listed(connection: apsw.Connection, index: int) -> list[int]:
    """Embeddings that have codes, ascending."""
    found = query(connection, f"select rowid from codes_{index}_rowids order by rowid")
    return [embedding for (embedding,) in found]


def unlist(connection: apsw.Connection, index: int, embeddings: Iterable[int]) -> None:
    """Embeddings that are not to be found any more."""
    connection.executemany(f"delete from codes_{index} where id = ?", [(e,) for e in embeddings])


def rewrite(connection: apsw.Connection, index: int, dimensions: int) -> None:
    """Write the codes anew, without holes; readers need not know.

    vec0 uses the place of a deleted row again only when all rows of its block are gone.
    """
    ids = listed(connection, index)
    made = coding(connection, index)
    sql = "select rows from codings where index_id = ?"
    create(connection, index, dimensions, made, value(connection, sql, (index,)))
    enlist(connection, index, dimensions, ids)


def holes(connection: apsw.Connection, index: int) -> tuple[int, int]:
    """Rows of the codes' table, and places in it that are empty."""
    rows = _rows(connection, index)
    places = value(connection, f"select coalesce(sum(size), 0) from codes_{index}_chunks")
    return rows, places - rows


def log(
    connection: apsw.Connection,
    index: int,
    generation: int,
    listed: Iterable[int],
    unlisted: Iterable[int],
) -> None:
    """Tell readers what this generation lists and unlists."""
    rows = [(generation, e, 1) for e in listed] + [(generation, e, 0) for e in unlisted]
    connection.executemany(
        f"insert into listed_{index}(generation, embedding, listed) values(?, ?, ?)", rows
    )
    changes.trim(connection, f"listed_{index}")


@dataclass(frozen=True, slots=True)
class State:
    """Of an index, in one transaction."""

    index: int
    created: float
    """Tells an index from an older one of the same id."""
    generation: int
    file: Hashable = None
    """Tells it from the one that another file has, of which it may be a copy."""

    def same_index(self, other: State) -> bool:
        """Whether both are states of one index."""
        return (self.index, self.created, self.file) == (other.index, other.created, other.file)


@dataclass(frozen=True, slots=True)
class Snapshot:
    """Codes of an index in one state."""

    state: State
    dimensions: int
    coding: Coding
    segments: tuple[Segment, ...]
    live: int
    """Rows that are not gone."""


class Codes:
    """What a store remembers of its codes, for all its threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._latest: Snapshot | None = None

    def candidates(
        self,
        connection: apsw.Connection,
        state: State,
        vector: Vector,
        limit: int,
        among: NDArray[np.bool_] | None = None,
    ) -> Candidates | None:
        """Embeddings that may be the `limit` nearest, as the connection's transaction sees them.

        None where a later state is known already: the caller begins a new transaction. `among` is
        as in `scan.candidates`.
        """
        found = self._segments(connection, state, len(vector))
        if found is None:
            return None
        made, segments = found
        if isinstance(segments, tuple):
            return scan.candidates(segments, vector, made, limit, among)
        return scan.together(
            [scan.candidates([part], vector, made, limit, among) for part in segments]
        )

    def _segments(
        self, connection: apsw.Connection, state: State, dimensions: int
    ) -> tuple[Coding, Iterable[Segment]] | None:
        """How the index is coded, and its codes: all, or as they are read where that is too much.

        None for a state that is not the latest.
        """
        with self._lock:
            latest = self._latest
            if latest and not latest.state.same_index(state):
                latest = None
            if latest and latest.state.generation > state.generation:
                return None
            if latest and latest.state.generation < state.generation:
                latest = _followed(connection, latest, state)
            if latest is None:
                self._latest = None  # to be let go before the new one is read
                made = coding(connection, state.index)
                read = _read(connection, state.index, dimensions, made)
                if made.kind == "int8" and _rows(connection, state.index) * dimensions > HELD:
                    return made, read
                segments = tuple(read)
                latest = Snapshot(state, dimensions, made, segments, sum(map(len, segments)))
            self._latest = latest
            return latest.coding, latest.segments


def _rows(connection: apsw.Connection, index: int) -> int:
    return int(value(connection, f"select count(*) from codes_{index}_rowids"))


def _read(
    connection: apsw.Connection, index: int, dimensions: int, made: Coding
) -> Iterator[Segment]:
    """All codes of the index, read where vec0 keeps them."""
    import numpy as np

    ids: list[NDArray[np.int64]] = []
    codes: list[Any] = []
    gathered = 0
    for validity, rowids, block in connection.execute(
        f"select c.validity, c.rowids, v.vectors from codes_{index}_chunks c "
        f'join codes_{index}_vector_chunks00 v on v."rowid" = c.chunk_id'
    ):
        live = np.unpackbits(np.frombuffer(validity, np.uint8), bitorder="little").view(np.bool_)
        ids.append(np.frombuffer(rowids, np.int64)[live])
        codes.append(_shaped(block, dimensions, made)[live])
        gathered += len(ids[-1])
        if gathered + len(live) > scan.SEGMENT:
            yield _segment(np.concatenate(ids), np.concatenate(codes), made)
            ids, codes, gathered = [], [], 0
    if gathered:
        yield _segment(np.concatenate(ids), np.concatenate(codes), made)


def _shaped(block: bytes, dimensions: int, made: Coding) -> scan.Codes:
    """Codes as vec0 gives them → (n, octets)."""
    import numpy as np

    if made.kind == "bit":
        return np.frombuffer(block, np.uint8).reshape(-1, made.octets(dimensions))
    return np.frombuffer(block, np.int8).reshape(-1, dimensions)


def _segment(ids: NDArray[np.int64], codes: NDArray[Any], made: Coding) -> Segment:
    if made.kind == "bit":
        return scan.of_bits(ids, codes)
    return scan.of_rows(ids, codes)


def _followed(connection: apsw.Connection, latest: Snapshot, state: State) -> Snapshot | None:
    """The snapshot brought up to this state; None where reading everything costs less."""
    import numpy as np

    index = state.index
    logged = changes.since(
        connection, f"listed_{index}", latest.state.generation, "embedding, listed"
    )
    if logged is None or len(logged) > max(FOLLOWED, latest.live // 100):
        return None
    touched = dict(logged)
    segments = scan.without(latest.segments, np.fromiter(touched, np.int32, len(touched)))
    listed = [embedding for embedding, there in touched.items() if there]
    live = sum(int(np.count_nonzero(part.ids)) for part in segments) + len(listed)
    if sum(map(len, segments)) > 1.25 * live + FOLLOWED:
        return None  # too many are gone
    if listed:
        found = query(  # `cross`: vec0 looks up one id at a time, and goes through all for several
            connection,
            f"select c.id, c.code from json_each(?) j cross join codes_{index} c on c.id = j.value",
            (json.dumps(listed),),
        )
        ids = np.fromiter((row[0] for row in found), np.int64, len(found))
        block = b"".join([row[1] for row in found])
        codes = _shaped(block, latest.dimensions, latest.coding)
        segments = scan.added(segments, _segment(ids, codes, latest.coding))
    return Snapshot(state, latest.dimensions, latest.coding, tuple(segments), live)
