"""Embeddings that all databases of a user share: one more file, up to a size.

It saves what models would be asked for again: by a second clone or worktree, other settings for the
same files, a database that was deleted. It is a convenience: whatever is wrong with the file, walks
go on without it.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import apsw

from ragkit.errors import StoreError
from ragkit.stores import connection as connections
from ragkit.stores import vectors
from ragkit.stores.connection import value

if TYPE_CHECKING:
    from ragkit.types import Vector

WAIT = 1.0
"""Seconds for which another process that writes to it is waited for."""

DAY = 86_400.0
"""Seconds within which a second use is not written down: what was used last is kept longest."""

ROOM = 0.8
"""Of the size that it is cut down to where it has outgrown it."""


class SharedEmbeddings:
    """Vectors by key, as int8 rows. From any thread, never an error."""

    def __init__(self, path: Path, limit: int) -> None:
        """`limit` is in bytes; the file is made by the first that is kept."""
        self.path = path
        self._limit = limit
        self._lock = threading.Lock()
        self._connection: apsw.Connection | None = None
        self._broken = False

    def known(self, keys: Sequence[bytes], dimensions: int) -> dict[bytes, Vector]:
        """Those of the vectors that are there; that they were used is remembered."""
        with self._lock, suppress(apsw.Error, StoreError, OSError):
            if (self._connection is None and not self.path.exists()) or self._broken:
                return {}
            connection = self._opened()
            found = vectors.known(connection, keys, dimensions, "int8")
            now = time.time()
            with suppress(apsw.BusyError):
                connection.executemany(
                    f"update embeddings set used = {now!r} where key = ? and used < {now - DAY!r}",
                    [(key,) for key in found],
                )
            return found
        return {}

    def keep(self, embedded: Mapping[bytes, Vector]) -> None:
        """Keep vectors, and let those go that were used longest ago where there is no room."""
        with self._lock, suppress(apsw.Error, StoreError, OSError):
            if self._broken or not embedded:
                return
            connection = self._opened()
            with connection:
                vectors.keep(connection, embedded, "int8", time.time())
                self._cut_down(connection)

    def close(self) -> None:
        """Close the file; it is opened again when it is needed."""
        with self._lock:
            if self._connection is not None:
                self._connection.close()
                self._connection = None

    def _opened(self) -> apsw.Connection:
        if self._connection is None:
            try:
                self._connection = connections.writer(self.path, wait=WAIT)
            except BaseException:
                self._broken = True  # and is not tried again and again
                raise
        return self._connection

    def _cut_down(self, connection: apsw.Connection) -> None:
        page = connection.pragma("page_size")
        used = (connection.pragma("page_count") - connection.pragma("freelist_count")) * page
        if used <= self._limit:
            return
        count = value(connection, "select count(*) from embeddings")
        surplus = int(count * (1 - ROOM * self._limit / used)) + 1
        connection.execute(
            "delete from embeddings where id in (select id from embeddings order by used, id "
            "limit ?)",
            (surplus,),
        )
