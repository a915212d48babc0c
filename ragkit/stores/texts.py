"""Chunks' texts as they are stored: compressed, each by itself, where that makes it smaller.

A hit is read without its neighbours, and deflate takes code and prose to a third all the same.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator

import apsw

from ragkit.stores.connection import query

LEVEL = 6
"""Of zlib. Its streams begin with `MARK`; those of other levels would begin otherwise."""

MARK = b"x\x9c"
"""No UTF-8 begins like this, so texts that were stored as plain bytes are told apart."""

SHORTEST = 64
"""Bytes below which no text is worth a try: headers take as much as could be won."""


def packed(text: str) -> str | bytes:
    """The text as it is stored; `unpacked` gives it back, half surrogate pairs and all."""
    plain = text.encode("utf-8", "surrogatepass")
    if len(plain) >= SHORTEST:
        small = zlib.compress(plain, LEVEL)
        if len(small) < len(plain):
            return small
    try:
        plain.decode()
    except UnicodeDecodeError:  # what is no Unicode cannot be stored as text
        return plain
    return text


def unpacked(stored: str | bytes) -> str:
    """The text that `packed` was given, or that an older ragkit stored as it was.

    Raises apsw.CorruptError for bytes that are neither.
    """
    if isinstance(stored, str):
        return stored
    try:
        plain = zlib.decompress(stored) if stored.startswith(MARK) else stored
        return plain.decode("utf-8", "surrogatepass")
    except (zlib.error, UnicodeDecodeError) as error:
        raise apsw.CorruptError(f"a chunk's text: {error}") from error


def pack_plain(connection: apsw.Connection, index: int) -> None:
    """Compress the texts of an index that an older ragkit stored; in the caller's transaction."""
    for batch in _plain(connection, index):
        connection.executemany(
            f"update texts_{index} set text = ? where id = ?",
            [(packed(unpacked(text)), i) for i, text in batch],
        )


def _plain(connection: apsw.Connection, index: int) -> Iterator[list[tuple[int, str | bytes]]]:
    """Ids and texts that are stored as they are and could be compressed, some at a time."""
    sql = (
        f"select id, text from texts_{index} where id > ? and length(text) >= {SHORTEST} "
        "and substr(cast(text as blob), 1, 2) <> ? order by id limit 1000"
    )
    last = -1
    while batch := query(connection, sql, (last, MARK)):
        yield batch
        last = batch[-1][0]
