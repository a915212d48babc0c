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

from ragkit.errors import StoreBusy, StoreError, StoreMismatch
from ragkit.stores import codes, failures, lists, schema
from ragkit.stores import connection as connections
from ragkit.stores.admitted import Filtered
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
        self._filtered = Filtered()
        self._readers: weakref.WeakSet[Reader] = weakref.WeakSet()
        self._codes = codes.Codes()
        self._closed = False
        self._seen: connections.File | None = None  # the file in which this index was found last
        self._writes_to: connections.File | None = None
        self._log_bound = connections.LOG_BYTES
        self._changed = False  # whether this store wrote chunks that `complete` has not seen
        self._inverted = lists.Shared()
        if not (connections.exists(path) or create or read_only):
            raise StoreError(f"{path}: no such database", remedy="run `ragkit index`")
        with self._reading():
            pass

    def close(self) -> None:
        """Close every connection; a second call does nothing.

        A thread that searches meanwhile closes its own, and raises StoreError or ends its search.
        """
        self._closed = True
        with connections.translated(self.path):
            for connection in [*(reader.sql for reader in list(self._readers)), self._writer]:
                if connection is not None:
                    _close(connection)

    # ── transactions ──

    @contextmanager
    def _reading(self) -> Iterator[tuple[Reader, int | None]]:
        """This thread's reader and the index's id, None before its first write; one snapshot."""
        # subtle: known before there is a reader, as another thread may make the index meanwhile
        seen = self._seen
        with connections.translated(self.path):
            reader, file = self._reader()
            try:
                reader.sql.execute("begin")
                yield reader, self._index(reader.sql, file, seen)
            except apsw.Error:
                self._refuse_overwritten(file)
                raise
            finally:
                with suppress(apsw.Error):  # an I/O error has ended the transaction already
                    reader.sql.execute("rollback")
                if self._closed:
                    _close(reader.sql)
            self._refuse_overwritten(file)

    def _reader(self) -> tuple[Reader, connections.File | None]:
        """This thread's reader, and of which file: the one that lies at the path now."""
        if self._closed:
            raise failures.closed(self.path)
        reader: Reader | None = getattr(self._local, "reader", None)
        file: connections.File | None = getattr(self._local, "file", None)
        if reader is None or file != connections.which(self.path, closely=_closely(file)):
            self._let_go_of_reader()
            connection, file = connections.reader(self.path, wait=self._wait)
            if not self._read_only and connection.pragma("user_version") < schema.VERSION:
                connection.close()
                connections.writer(self.path, wait=self._wait).close()  # brings it up to ours
                connection, file = connections.reader(self.path, wait=self._wait)
            reader = Reader(connection, file, self._filtered)
            self._local.reader, self._local.file = reader, file
            self._readers.add(reader)
        return reader, file

    def _let_go_of_reader(self) -> None:
        """This thread's next read has a connection of its own."""
        reader: Reader | None = getattr(self._local, "reader", None)
        self._local.reader = None
        if reader is not None:
            reader.sql.close()

    def _refuse_overwritten(self, file: connections.File | None) -> None:
        """Raise StoreBusy where a file that is read without SQLite's locks changed meanwhile."""
        if _closely(file) and file != connections.which(self.path, closely=True):
            raise StoreBusy(
                f"{self.path}: changed while it was read", remedy="try again; the change is done"
            )

    @contextmanager
    def _writing(self) -> Iterator[tuple[apsw.Connection, int]]:
        """The writer and the index's id, in one transaction that is undone by any exception."""
        if self._closed:
            raise failures.closed(self.path)
        if self._read_only:
            raise StoreError(f"{self.path}: was opened for reading only")
        seen = self._seen
        with connections.translated(self.path):
            writer, file = self._same_writer(seen)
            try:
                writer.execute("begin immediate")
                index = self._index(writer, file, seen)
                if index is None:
                    index = self._create(writer)
                yield writer, index
                writer.execute("commit")
            except BaseException:
                with suppress(apsw.Error):  # a full disk has rolled back already
                    writer.execute("rollback")
                raise
            self._bound_log(writer)

    def _bound_log(self, writer: apsw.Connection) -> None:
        """Begin the log anew where it is long; where readers hold it, when it has grown as much."""
        if connections.log_size(self.path) >= self._log_bound:
            connections.begin_log_anew(writer, self._wait)
            left = connections.log_size(self.path)
            self._log_bound = left + connections.LOG_BYTES

    def _same_writer(
        self, seen: connections.File | None
    ) -> tuple[apsw.Connection, connections.File | None]:
        """The writer, and of which file. Raises StoreMismatch where half of a sync went to another.

        That file was removed or replaced. To go on in the new one would call it complete with what
        was written there alone.
        """
        here = connections.which(self.path)
        if self._writer is not None and self._writes_to != here:
            self._writer.close()
            self._writer = None
            if self._changed:
                self._changed = False
                raise self._replaced(here)
        if here is None and seen is not None:
            raise self._replaced(here)
        if self._writer is None:
            self._writer = connections.writer(self.path, wait=self._wait)
            self._writes_to = here or connections.which(self.path)
        return self._writer, self._writes_to

    def _index(
        self,
        connection: apsw.Connection,
        file: connections.File | None,
        seen: connections.File | None,
    ) -> int | None:
        """The id of this index; None before its first write. `seen`: where it was before."""
        version = connection.pragma("user_version")
        if version > schema.VERSION:
            raise failures.too_new(self.path, version, schema.VERSION)
        found = connections.query(
            connection,
            "select id, dimensions from indexes where name = ? and fingerprint = ?",
            (self.name, self.fingerprint),
        )
        if not found and seen is not None:
            if file is not None and file[:2] == seen[:2]:
                raise StoreMismatch(
                    f"{self.path}: index {self.name} was replaced by one with other settings",
                    remedy="start again",
                )
            raise self._replaced(file)
        if not found:
            return None
        [(index, dimensions)] = found
        if dimensions != self.dimensions:
            raise StoreMismatch(
                f"{self.path}: index {self.name} has vectors of {dimensions} dimensions, "
                f"not {self.dimensions}",
                remedy="remove the file, then run `ragkit index`",
            )
        if version < schema.VERSION:
            raise StoreError(
                f"{self.path}: made by an older ragkit (schema {version}, this one reads "
                f"{schema.VERSION})",
                remedy="run `ragkit index` once, which brings it up to date",
            )
        self._seen = file
        return int(index)

    def _replaced(self, file: connections.File | None) -> StoreMismatch:
        self._seen = None  # said once; then the store is as if it were opened now
        what = "removed" if file is None else "replaced by another file"
        return StoreMismatch(
            f"{self.path}: was {what} while it was open", remedy="start again: `ragkit index`"
        )

    def _create(self, writer: apsw.Connection) -> int:
        writer.execute(
            "insert into indexes(name, fingerprint, dimensions, created) values(?, ?, ?, ?)",
            (self.name, self.fingerprint, self.dimensions, time.time()),
        )
        index = writer.last_insert_rowid()
        self._make(writer, index)
        return index

    def _make(self, writer: apsw.Connection, index: int) -> None:
        """The empty tables of the index."""
        schema.create_index(writer, index, self.dimensions)
        if self.dimensions is not None:
            codes.create(writer, index, self.dimensions, codes.first_coding(self.dimensions))


def _close(connection: apsw.Connection) -> None:
    """Close it, unless another thread is using it."""
    with suppress(apsw.ThreadingViolationError):
        connection.close()


def _closely(file: connections.File | None) -> bool:
    """Whether the file is one that may change without SQLite telling its reader."""
    return file is not None and len(file) > 2
