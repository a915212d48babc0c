"""Logs of changes, by which readers bring what they remember up to date instead of reading it anew.

A log is a table of an index: `log(id integer primary key, generation integer, …)`. Every write adds
its rows under the generation that it makes. Old rows are trimmed; a reader that cannot
follow from where it stands reads everything.
"""

from __future__ import annotations

from typing import Any

import apsw

from ragkit.stores.connection import query, value

KEPT = 20_000
"""Rows that a log keeps: a reader that missed more reads everything."""


def since(
    connection: apsw.Connection, log: str, generation: int, columns: str
) -> list[tuple[Any, ...]] | None:
    """What changed after this generation, in order; None where the log does not reach back to it.

    The log's first row is of a generation that may have lost rows to trimming, unless it is the
    first that was ever written: row 1. A log that was begun anew has no such row.
    """
    first = query(connection, f"select id, generation from {log} order by id limit 1")
    if not first:
        return None
    [(row, reaches)] = first
    if row > 1 and reaches > generation:
        return None
    return query(
        connection, f"select {columns} from {log} where generation > ? order by id", (generation,)
    )


def void(connection: apsw.Connection, log: str, generation: int) -> None:
    """Let nobody follow over this generation: what readers remember from before it is void."""
    last = value(connection, f"select max(id) from {log}") or 1
    connection.execute(f"delete from {log}")
    sql = f"insert into {log}(id, generation) values(?, ?)"
    connection.execute(sql, (last + 1, generation))


def trim(connection: apsw.Connection, log: str, kept: int = KEPT) -> None:
    """Forget all but the last rows; the last one stays always, so that ids go on rising."""
    connection.execute(
        f"delete from {log} where id <= (select max(id) from {log}) - ?", (max(kept, 1),)
    )
