"""Making a database as small as what it holds, while others read it.

Whatever ends it, Ctrl-C, a kill or a full disk, the database is whole: each step is a transaction.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import apsw

from ragkit.errors import StoreError, StoreFull
from ragkit.stores import codes, fitting, migrating, rows, schema, sizes, texts
from ragkit.stores import connection as connections
from ragkit.stores.connection import value
from ragkit.types import Sizes

STEPS = 20_000
"""Instructions of SQLite's machine, a few milliseconds, after which Ctrl-C is listened for."""

BLOCK = 1_024
"""Codes that vec0 keeps together; the last block is seldom full."""

HOLES = 0.05
"""Places of deleted codes, as a share of the codes, that are worth writing all of them anew."""


FREE = 0.1
"""Share of a file that is free after a build, and that is worth writing it anew."""

LEAST = 1_000_000
"""Bytes that are worth it."""


@dataclass(frozen=True, slots=True)
class Compacted:
    """What a database took before and after, over all its indexes."""

    database: str
    before: Sizes
    after: Sizes
    seconds: float


def compact(path: Path, *, prune: bool = False, wait: float = 5.0) -> Compacted:
    """Give back the room in the database at `path` that nothing needs.

    Lists of words are merged into one, codes are written anew where many were deleted, texts that
    an older ragkit stored plain are compressed, and the file is written anew without holes. With
    `prune`, indexes of earlier settings are dropped, and vectors of texts that no chunk has any
    more are forgotten; the next time such a text comes, it is embedded again. `wait` is for how
    many seconds another writer is waited for.

    Raises StoreError where there is no database, StoreBusy while another process writes, StoreFull
    where the disk cannot take a second copy for as long as this takes.
    """
    began = time.monotonic()
    if not connections.exists(path):
        raise StoreError(f"{path}: no such database", remedy="run `ragkit index`")
    with connections.translated(path):
        connection = connections.writer(path, wait=wait)
        try:
            before = sizes.measure(connection, path)
            with _interruptible(connection):
                _compacted(connection, path, before, prune)
            return Compacted(
                str(path), before, sizes.measure(connection, path), time.monotonic() - began
            )
        finally:
            connection.close()


def give_back(connection: apsw.Connection, path: Path) -> None:
    """Write the file anew where a good part of it is free; as it is, where that cannot be done.

    For a writer after a build, which leaves the room of what it replaced: codes of another kind,
    an index of other settings.
    """
    page, pages = connection.pragma("page_size"), connection.pragma("page_count")
    free = connection.pragma("freelist_count")
    if free * page < LEAST or free < FREE * pages:
        return
    with suppress(StoreError), connections.translated(path), _interruptible(connection):
        try:
            _rewritten(connection)
        finally:
            _checkpointed(connection)


def _compacted(connection: apsw.Connection, path: Path, before: Sizes, prune: bool) -> None:
    try:
        with connections.translated(path):
            _tidied(connection, prune)
            _rewritten(connection)
    except StoreFull as error:
        raise StoreFull(
            f"{path}: no space left to compact it; nothing is lost",
            remedy=f"free about {before.total / 1e6:,.0f} MB beside the file, and as much where "
            "temporary files are kept (TMPDIR)",
        ) from error
    finally:
        connection.set_busy_timeout(500)
        _checkpointed(connection)


def _rewritten(connection: apsw.Connection) -> None:
    connection.execute("vacuum")
    _mended(connection)


def _checkpointed(connection: apsw.Connection) -> None:
    """Bring the log into the file, as far as readers of an older state let it go."""
    with suppress(apsw.Error):
        connection.execute("pragma wal_checkpoint(truncate)")


@contextmanager
def _interruptible(connection: apsw.Connection) -> Iterator[None]:
    """SQLite would work on through Ctrl-C; Python hears it where it is called."""
    connection.set_progress_handler(lambda: False, STEPS)
    try:
        yield
    finally:
        connection.set_progress_handler(None)


def _tidied(connection: apsw.Connection, prune: bool) -> None:
    """Each table as small as it can be; the room that this frees is in the file yet."""
    with _transaction(connection):
        indexes = schema.indexes(connection)
        if prune:
            migrating.drop_kept(connection)
            indexes = schema.indexes(connection)
            rows.forget_unused(connection, [index.id for index in indexes])
        for index in indexes:
            texts.pack_plain(connection, index.id)
            connection.execute(f"insert into words_{index.id}(words_{index.id}) values('optimize')")
            if index.dimensions is None:
                continue
            fitting.fit(connection, index.id, index.dimensions)  # of an older ragkit's, the first
            if _is_holey(connection, index.id):
                codes.rewrite(connection, index.id, index.dimensions)


def _mended(connection: apsw.Connection) -> None:
    """Write codes anew that VACUUM moved."""
    embedded = [index for index in schema.indexes(connection) if index.dimensions is not None]
    if any(_is_moved(connection, index.id) for index in embedded):
        _tidied(connection, prune=False)


@contextmanager
def _transaction(connection: apsw.Connection) -> Iterator[None]:
    """A write, undone by any exception."""
    connection.execute("begin immediate")
    try:
        yield
        connection.execute("commit")
    except BaseException:
        with suppress(apsw.Error):  # a full disk has rolled back already
            connection.execute("rollback")
        raise


def _is_holey(connection: apsw.Connection, index: int) -> bool:
    """Whether a good part of the codes' places is empty, or blocks are not where vec0 looks."""
    count, empty = codes.holes(connection, index)
    return empty >= BLOCK + HOLES * count or _is_moved(connection, index)


def _is_moved(connection: apsw.Connection, index: int) -> bool:
    """Whether blocks of codes are not where vec0 looks for them, by a rowid that it did not name.

    SQLite keeps such rowids in a VACUUM as far as is known, and promises nothing.
    """
    sql = f'select 1 from codes_{index}_vector_chunks00 where _rowid_ <> "rowid" limit 1'
    return value(connection, sql) is not None
