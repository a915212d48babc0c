"""The log of documents that changed, by which readers keep up what their filters let through.

It is of documents, so it goes on where `changes` of an index stands still: a file that is only
noted again, with another time, changes what a filter lets through. Its clock is the id of its last
row.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterable
from dataclasses import dataclass

import apsw

from ragkit.stores.connection import query, value

KEPT = 1_000
"""Rows that the log keeps: a reader that missed more reads everything."""

LOGGED = 10_000
"""Ids that one row has at most; after a larger change every reader reads everything."""


@dataclass(frozen=True, slots=True)
class Changed:
    """What a reader looks at again."""

    documents: frozenset[int]
    """Those that were written, noted or removed."""
    chunks: frozenset[int]
    """Those that were removed; such an id may be of another chunk by now."""
    embeddings: frozenset[int]
    """Those that the removed chunks used."""


def log(
    connection: apsw.Connection,
    index: int,
    documents: Iterable[int],
    chunks: Iterable[int] = (),
    embeddings: Iterable[int] = (),
) -> None:
    """Tell readers of documents that change, and what they have no more."""
    row = [array("q", ids) for ids in (documents, chunks, embeddings)]
    if sum(map(len, row)) > LOGGED:
        restart(connection, index, clock(connection, index))
        return
    table = f"filed_{index}"
    values = [ids.tobytes() for ids in row]
    connection.execute(
        f"insert into {table}(documents, chunks, embeddings) values(?, ?, ?)", values
    )
    last = connection.last_insert_rowid()
    connection.execute(f"delete from {table} where id <= ?", (last - KEPT,))


def restart(connection: apsw.Connection, index: int, clock: int) -> None:
    """Leave a gap behind this clock: no reader can follow over it."""
    connection.execute(f"delete from filed_{index}")
    connection.execute(f"insert into filed_{index} values(?, x'', x'', x'')", (clock + 2,))


def clock(connection: apsw.Connection, index: int) -> int:
    """Another, higher number after any change of the documents."""
    return int(value(connection, f"select coalesce(max(id), 0) from filed_{index}"))


def since(connection: apsw.Connection, index: int, clock: int) -> Changed | None:
    """What changed after this clock; None where the log does not reach back to it."""
    first = value(connection, f"select min(id) from filed_{index}")
    if first is not None and first > clock + 1:
        return None
    rows = query(
        connection,
        f"select documents, chunks, embeddings from filed_{index} where id > ?",
        (clock,),
    )
    documents, chunks, embeddings = ([row[i] for row in rows] for i in range(3))
    return Changed(_together(documents), _together(chunks), _together(embeddings))


def _together(packed: Iterable[bytes]) -> frozenset[int]:
    ids = array("q")
    for some in packed:
        ids.frombytes(some)
    return frozenset(ids)
