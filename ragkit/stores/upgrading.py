"""Files of an older ragkit are brought up to this one's tables, in place; nothing is lost."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress

import apsw

from ragkit.stores import schema


def upgrade(connection: apsw.Connection) -> None:
    """Bring the tables of an older ragkit up to this one's; other processes may do the same.

    Each version is one transaction: a process that is killed leaves the file at one of them.
    """
    while (version := connection.pragma("user_version")) < schema.VERSION:
        connection.execute("begin immediate")
        try:
            if connection.pragma("user_version") == version:  # nobody else was faster
                _STEPS[version](connection)
                connection.execute(f"pragma user_version = {version + 1}")
            connection.execute("commit")
        except BaseException:
            with suppress(apsw.Error):  # a full disk has rolled back already
                connection.execute("rollback")
            raise


def _descriptions(connection: apsw.Connection) -> None:
    connection.execute(schema.DESCRIPTIONS)


def _small_and_followed(connection: apsw.Connection) -> None:
    """Version 3: vectors and texts take less room, and readers follow changes by logs."""
    _words_followed(connection)
    _vectors_made_small(connection)
    for index in schema.indexes(connection):
        connection.execute(schema.FILED.format(i=index.id))


def _vectors_made_small(connection: apsw.Connection) -> None:
    import numpy as np

    from ragkit.stores import codes, vectors  # which know connections, which know this
    from ragkit.stores.connection import query

    after = 0
    some = "select id, vector from embeddings where id > ? order by id limit 4096"
    while found := query(connection, some, (after,)):
        after = found[-1][0]
        small = [
            (vectors.packed(np.frombuffer(vector, np.float32), "int8"), row)
            for row, vector in found
        ]
        connection.executemany("update embeddings set vector = ? where id = ?", small)
    connection.execute(schema.CODINGS)
    for index in schema.indexes(connection):
        if index.dimensions is None:
            continue
        connection.execute(schema.LISTED.format(i=index.id))
        codes.create(connection, index.id, index.dimensions, codes.first_coding(index.dimensions))
        used = f"select distinct embedding from chunks_{index.id} where embedding is not null"
        ids = [embedding for (embedding,) in query(connection, used)]
        codes.enlist(connection, index.id, index.dimensions, ids)


def _words_followed(connection: apsw.Connection) -> None:
    from ragkit.stores import words  # which knows connections, which know this

    for index in schema.indexes(connection):
        connection.execute(schema.WORDED.format(i=index.id))
        words.place_all(connection, index.id)
        words.restart(connection, index.id)


_STEPS: dict[int, Callable[[apsw.Connection], None]] = {1: _descriptions, 2: _small_and_followed}
"""Version of a file → what makes it one of the next version."""
