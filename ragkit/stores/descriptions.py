"""What chat models wrote of chunks, by a hash of all that they were asked."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import apsw

from ragkit.stores.connection import query, value
from ragkit.stores.rows import from_sql, to_sql

SPARE = 50_000
"""Descriptions that are kept beside one for each chunk of the file: those of other branches, of
texts that may come back."""


def known(connection: apsw.Connection, keys: Sequence[bytes]) -> dict[bytes, str]:
    """The descriptions of those keys that are stored; none in a file of an older ragkit."""
    if not value(connection, "select 1 from sqlite_schema where name = 'descriptions'"):
        return {}
    found: dict[bytes, str] = {}
    for start in range(0, len(keys), 500):
        some = keys[start : start + 500]
        marks = ",".join("?" * len(some))
        sql = f"select key, text from descriptions where key in ({marks})"
        found |= {key: from_sql(text) for key, text in query(connection, sql, some)}
    return found


def keep(connection: apsw.Connection, described: Mapping[bytes, str], now: float) -> None:
    """Store descriptions under their keys; one that is there already is now the latest."""
    connection.executemany(
        "insert into descriptions(key, used, text) values(?1, ?2, ?3) "
        "on conflict(key) do update set (used, text) = (?2, ?3)",
        [(key, now, to_sql(text)) for key, text in described.items()],
    )


def prune(connection: apsw.Connection, indexes: Sequence[int]) -> None:
    """Drop those that were written longest ago, where more are kept than the bound allows."""
    count = value(connection, "select count(*) from descriptions")
    if count <= SPARE:
        return
    chunks = sum(value(connection, f"select count(*) from chunks_{i}") for i in indexes)
    connection.execute(
        "delete from descriptions where key in "
        "(select key from descriptions order by used, key limit max(0, ?))",
        (count - SPARE - chunks,),
    )
