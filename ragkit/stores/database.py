"""One index of a database file, and how it is read and written: each time in one transaction.

Writes come from one thread; every searching thread reads through a connection of its own, and sees
the index as it was when its read began.
"""

from __future__ import annotations

import threading
import time
import weakref
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Literal, TypeAlias

import apsw

from ragkit.errors import StoreError, StoreMismatch
from ragkit.stores import connection as connections
from ragkit.stores import schema
from ragkit.stores.reader import Reader

Precision: TypeAlias = Literal["int8", "float32"]
"""How vectors are stored: a row of int8 and its scale, or as the model gave them."""


class Database:
    """An index's place in a file: its name, its fingerprint, its connections."""

    def __init__(
        self,
        path: Path,
        name: str,
        fingerprint: str,
        dimensions: int | None,
        *,
        read_only: bool = False,
        create: bool = True,
        wait: float = 5.0,
        precision: Precision = "int8",
    ) -> None:
        self.path = path
        self.name = name
        self.fingerprint = fingerprint
        self.dimensions = dimensions
        self.precision: Precision = precision
        self._read_only = read_only
        self._wait = wait
        self._writer: apsw.Connection | None = None
        self._local = threading.local()
        self._readers: weakref.WeakSet[Reader] = weakref.WeakSet()
        self._closed = False
        self._seen = False  # whether this index was in the file once
        self._changed = False  # whether this store wrote chunks that `complete` has not seen
        if not (connections.exists(path) or create or read_only):
            raise StoreError(f"{path}: no such database", remedy="run `ragkit index`")
        with self._reading():
            pass

    def close(self) -> None:
        """Close every connection; a second call does nothing."""
        self._closed = True
        with connections.translated(self.path):
            for reader in list(self._readers):
                reader.sql.close()
            if self._writer is not None:
                self._writer.close()

    # ── transactions ──

    @contextmanager
    def _reading(self) -> Iterator[tuple[Reader, int | None]]:
        """This thread's reader and the index's id, None before its first write; one snapshot."""
        # subtle: known before there is a reader, as another thread may make the index meanwhile
        seen = self._seen
        with connections.translated(self.path):
            reader = self._reader()
            try:
                reader.sql.execute("begin")
                yield reader, self._index(reader.sql, seen)
            finally:
                with suppress(apsw.Error):  # an I/O error has ended the transaction already
                    reader.sql.execute("rollback")

    def _reader(self) -> Reader:
        if self._closed:
            raise StoreError(f"{self.path}: the store is closed")
        reader: Reader | None = getattr(self._local, "reader", None)
        if reader is None or (not reader.sql.filename and connections.exists(self.path)):
            reader = Reader(connections.reader(self.path, wait=self._wait))
            self._local.reader = reader
            self._readers.add(reader)
        return reader

    @contextmanager
    def _writing(self) -> Iterator[tuple[apsw.Connection, int]]:
        """The writer and the index's id, in one transaction that is undone by any exception."""
        if self._closed:
            raise StoreError(f"{self.path}: the store is closed")
        if self._read_only:
            raise StoreError(f"{self.path}: was opened for reading only")
        with connections.translated(self.path):
            if self._writer is None:
                self._writer = connections.writer(self.path, wait=self._wait)
            writer = self._writer
            try:
                writer.execute("begin immediate")
                index = self._index(writer, self._seen)
                if index is None:
                    index = self._create(writer)
                yield writer, index
                writer.execute("commit")
            except BaseException:
                with suppress(apsw.Error):  # a full disk has rolled back already
                    writer.execute("rollback")
                raise

    def _index(self, connection: apsw.Connection, seen: bool) -> int | None:
        """The id of this index; None before its first write. `seen`: it was there before."""
        found = connections.query(
            connection,
            "select id, dimensions from indexes where name = ? and fingerprint = ?",
            (self.name, self.fingerprint),
        )
        if not found and seen:
            raise StoreMismatch(
                f"{self.path}: index {self.name} was replaced by one with other settings",
                remedy="start again",
            )
        if not found:
            return None
        [(index, dimensions)] = found
        if dimensions != self.dimensions:
            raise StoreMismatch(
                f"{self.path}: index {self.name} has vectors of {dimensions} dimensions, "
                f"not {self.dimensions}",
                remedy="remove the file, then run `ragkit index`",
            )
        self._seen = True
        return int(index)

    def _create(self, writer: apsw.Connection) -> int:
        writer.execute(
            "insert into indexes(name, fingerprint, dimensions, created) values(?, ?, ?, ?)",
            (self.name, self.fingerprint, self.dimensions, time.time()),
        )
        index = writer.last_insert_rowid()
        schema.create_index(writer, index, self.dimensions)
        return index
