"""Connections to a database file, and SQLite's errors in ragkit's words."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from importlib.util import find_spec
from pathlib import Path
from typing import Any, TypeAlias
from urllib.parse import quote

import apsw

from ragkit.errors import MissingExtra, StoreBusy, StoreError, StoreFull
from ragkit.stores import schema, upgrading

PAGE_SIZE = 8192
"""Bytes. Seven vectors of 256 dimensions fill a page of 8,192; in one of 4,096, a quarter of the
page stays empty beside three."""

CACHE_KIB = 4_096
"""Page cache of a connection, and each thread has one. With eight times as much, indexing and
searching 40,000 chunks took as long: the operating system holds the same pages."""


Values: TypeAlias = Sequence[str | bytes | int | float | None]


def query(connection: apsw.Connection, sql: str, values: Values = ()) -> list[tuple[Any, ...]]:
    """All rows of a statement; their types are those of its columns."""
    return connection.execute(sql, values).fetchall()


def value(connection: apsw.Connection, sql: str, values: Values = ()) -> Any:
    """The first column of the first row; None without a row."""
    return connection.execute(sql, values).get


@contextmanager
def translated(path: Path) -> Iterator[None]:
    """Raise what SQLite raises inside as a StoreError that names the file and a way out."""
    try:
        yield
    except apsw.Error as error:
        raise _translation(path, error) from error


def _translation(path: Path, error: apsw.Error) -> StoreError:
    match error:
        case apsw.BusyError() | apsw.LockedError():
            return StoreBusy(
                f"{path}: another process is writing", remedy="wait for it to end, and try again"
            )
        case apsw.FullError():
            return StoreFull(
                f"{path}: no space left on the disk; the last change was undone",
                remedy="free some space, or put the database on another disk",
            )
        case apsw.NotADBError():
            return StoreError(
                f"{path}: not a ragkit database", remedy="give another path, or remove the file"
            )
        case apsw.CorruptError():
            return StoreError(
                f"{path}: the database is damaged ({error})",
                remedy="remove the file, then run `ragkit index`",
            )
        case apsw.ReadOnlyError():
            return StoreError(
                f"{path}: the database may not be written",
                remedy="allow writing to the file and its folder, or give another path",
            )
        case apsw.CantOpenError() | apsw.PermissionsError() | apsw.AuthError():
            return StoreError(
                f"{path}: the database cannot be opened ({error})",
                remedy="check the permissions of the file and its folder, or give another path",
            )
    return StoreError(
        f"{path}: {error}", remedy="check the disk; if that is sound, remove the file and index"
    )


def writer(path: Path, *, wait: float) -> apsw.Connection:
    """A connection that may write, to a database that is ragkit's.

    A missing file is made, with its folder. Nothing is changed in a file that turns out not to be
    ours. Raises StoreError.
    """
    if not exists(path):
        _make_folder(path.parent)
    connection = _connect(path, apsw.SQLITE_OPEN_READWRITE | apsw.SQLITE_OPEN_CREATE, wait)
    try:
        if schema.is_empty(connection, path):
            _found(connection)
        upgrading.upgrade(connection)
        connection.execute("pragma synchronous = normal")
        connection.execute("pragma journal_size_limit = 16777216")
    except BaseException:
        connection.close()
        raise
    return connection


def reader(path: Path, *, wait: float) -> apsw.Connection:
    """A connection that only reads; of a database in memory where there is nothing to read yet.

    Works in a folder that may not be written, too, unless a writer that was killed left changes
    there which only a writer can bring in. Raises StoreError.
    """
    if exists(path):
        try:
            connection = _ours(path, wait)
        except (apsw.CantOpenError, apsw.ReadOnlyError):
            connection = _ours(path, wait, immutable=True)
        if connection:
            return connection
    connection = apsw.Connection(":memory:")
    schema.create(connection)
    return connection


def _ours(path: Path, wait: float, *, immutable: bool = False) -> apsw.Connection | None:
    """A reader of a file that is ragkit's; None where it is empty.

    In a folder that may not be written, SQLite cannot make the file in which readers and writers
    agree. As nobody can write there, readers may go without it: the file is `immutable`.
    """
    log = path.with_name(path.name + "-wal")
    if immutable and log.exists() and log.stat().st_size:
        raise StoreError(
            f"{path}: has unfinished changes, and its folder may not be written",
            remedy="allow writing to the folder once, or copy both files elsewhere",
        )
    connection = _connect(path, apsw.SQLITE_OPEN_READONLY, wait, immutable=immutable)
    try:
        if not schema.is_empty(connection, path):
            return connection
    except BaseException:
        connection.close()
        raise
    connection.close()
    return None


def exists(path: Path) -> bool:
    """Whether there is a file. Raises StoreError for anything but a file, and where none may be."""
    try:
        mode = path.stat().st_mode
    except (FileNotFoundError, NotADirectoryError):
        return False
    except OSError as error:
        raise StoreError(
            f"{path}: cannot be opened: {error.strerror}",
            remedy="check the permissions of its folders, or give another path",
        ) from error
    if stat.S_ISREG(mode):
        return True
    kind = "a folder" if stat.S_ISDIR(mode) else "not a file"
    raise StoreError(f"{path}: is {kind}", remedy="give the path of a file")


def _make_folder(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StoreError(
            f"{folder}: cannot make this folder: {error.strerror}",
            remedy="give a path where files may be made",
        ) from error


def _connect(path: Path, flags: int, wait: float, *, immutable: bool = False) -> apsw.Connection:
    name = "file:" + quote(os.fsencode(path.absolute()))
    if immutable:
        name += "?immutable=1"
    connection = apsw.Connection(name, flags=flags | apsw.SQLITE_OPEN_URI)
    connection.set_busy_timeout(round(wait * 1000))
    _load_vec0(connection)
    connection.execute(f"pragma cache_size = -{CACHE_KIB}")
    return connection


def _load_vec0(connection: apsw.Connection) -> None:
    # `import sqlite_vec` would import numpy too; all that is needed is where its library lies.
    package = find_spec("sqlite_vec")
    if package is None or package.origin is None:
        raise MissingExtra("storing vectors needs sqlite-vec", remedy="pip install sqlite-vec")
    connection.enable_load_extension(True)
    connection.load_extension(str(Path(package.origin).with_name("vec0")), "sqlite3_vec_init")
    connection.enable_load_extension(False)


def _found(connection: apsw.Connection) -> None:
    """Make an empty file ours; another process may be doing the same."""
    connection.execute(f"pragma page_size = {PAGE_SIZE}")
    connection.execute("pragma journal_mode = wal")
    connection.execute("begin immediate")
    try:
        if not connection.pragma("application_id"):
            schema.create(connection)
        connection.execute("commit")
    except BaseException:
        with suppress(apsw.Error):  # Ctrl-C may come when all is committed
            connection.execute("rollback")
        raise
