"""Connections to a database file, and which file that is."""

from __future__ import annotations

import os
import stat
import time
from collections.abc import Sequence
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path
from typing import Any, TypeAlias
from urllib.parse import quote

import apsw

from ragkit.errors import MissingExtra, StoreError
from ragkit.stores import schema, upgrading
from ragkit.stores.failures import translated, unshared

__all__ = [
    "begin_log_anew",
    "exists",
    "log_size",
    "query",
    "reader",
    "translated",
    "value",
    "which",
    "writer",
]

PAGE_SIZE = 8192
"""Bytes. Seven vectors of 256 dimensions fill a page of 8,192; in one of 4,096, a quarter of the
page stays empty beside three."""

CACHE_KIB = 4_096
"""Page cache of a connection, and each thread has one. With eight times as much, indexing and
searching 40,000 chunks took as long: the operating system holds the same pages."""


LOG_BYTES = 33_554_432
"""Of the log, from which on a writer waits for readers so that it can begin anew. Where there is
always one at it, SQLite goes on at its end forever: 60 MB after 230 writes beside 100 readers."""

LOG_WAIT = 2.0
"""Seconds that readers have for it. It takes as long as one of them reads: milliseconds, and with
100 readers on two cores 0.9 s."""

Values: TypeAlias = Sequence[str | bytes | int | float | None]

File: TypeAlias = tuple[int, ...]
"""Which file lies at a path: its device and number there, and where nobody can write to it in
SQLite's way, also the size and time of it and of its log, by which a change shows."""


def query(connection: apsw.Connection, sql: str, values: Values = ()) -> list[tuple[Any, ...]]:
    """All rows of a statement; their types are those of its columns."""
    return connection.execute(sql, values).fetchall()


def value(connection: apsw.Connection, sql: str, values: Values = ()) -> Any:
    """The first column of the first row; None without a row."""
    return connection.execute(sql, values).get


def writer(path: Path, *, wait: float) -> apsw.Connection:
    """A connection that may write, to a database that is ragkit's, of this version.

    A missing file is made, with its folder. Nothing is changed in a file that turns out not to be
    ours. Raises StoreError.
    """
    if not exists(path):
        _make_folder(path.parent)
    connection = _connect(path, apsw.SQLITE_OPEN_READWRITE | apsw.SQLITE_OPEN_CREATE, wait)
    try:
        if schema.is_empty(connection, path):
            _found(connection, path)
        # also one that another program, or a process that was killed, left in another mode
        if (mode := connection.pragma("journal_mode", "wal")) != "wal":
            raise unshared(path, f"journal mode {mode}")
        upgrading.upgrade(connection)
        connection.execute("pragma synchronous = normal")
        connection.execute("pragma journal_size_limit = 16777216")
    except BaseException:
        connection.close()
        raise
    return connection


def reader(path: Path, *, wait: float) -> tuple[apsw.Connection, File | None]:
    """A connection that only reads, and of which file; of none where nothing is to be read yet.

    Works in a folder that may not be written and on a full disk, too, unless a writer that was
    killed left changes there which only a writer can bring in. Raises StoreError.
    """
    while exists(path):
        immutable = False
        try:
            file = which(path)
            connection = _ours(path, wait)
        except (apsw.CantOpenError, apsw.ReadOnlyError, apsw.IOError) as error:
            code = getattr(error, "extendedresult", 0)
            if code == apsw.SQLITE_READONLY_ROLLBACK and _may_make_files(path.parent):
                _undo(path, wait)
                continue
            full = code == apsw.SQLITE_IOERR_SHMSIZE and not log_size(path)
            if isinstance(error, apsw.IOError) and not full:
                raise
            if not full and _may_make_files(path.parent):
                raise unshared(path, str(error)) from error
            immutable, file = True, which(path, closely=True)
            connection = _ours(path, wait, immutable=True)
        if connection is None:
            break
        if file == which(path, closely=immutable):
            return connection, file
        connection.close()  # replaced while it was opened
    connection = apsw.Connection(":memory:")
    schema.create(connection)
    return connection, None


def _undo(path: Path, wait: float) -> None:
    """Undo what a process had begun that was killed while it founded the file.

    Then there is no log yet but a journal, which SQLite brings in before anything is read, and only
    where it may write. Raises apsw.Error where it cannot.
    """
    connection = _connect(path, apsw.SQLITE_OPEN_READWRITE, wait)
    try:
        connection.pragma("user_version")
    finally:
        connection.close()


def _ours(path: Path, wait: float, *, immutable: bool = False) -> apsw.Connection | None:
    """A reader of a file that is ragkit's; None where it is empty.

    In a folder that may not be written, or for want of 32 kB, SQLite cannot make the file in which
    readers and writers agree. Readers go without it there: the file is `immutable`, as far as
    `which` does not tell.
    """
    if immutable and (log_size(path) or _size(path.with_name(path.name + "-journal"))):
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
    return which(path) is not None


def which(path: Path, *, closely: bool = False) -> File | None:
    """Which file lies there, None for none; `closely`, so that a change of its content shows.

    Raises StoreError for anything but a file, and where none may be.
    """
    try:
        found = os.stat(path)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise StoreError(
            f"{path}: cannot be opened: {error.strerror}",
            remedy="check the permissions of its folders, or give another path",
        ) from error
    if not stat.S_ISREG(found.st_mode):
        kind = "a folder" if stat.S_ISDIR(found.st_mode) else "not a file"
        raise StoreError(f"{path}: is {kind}", remedy="give the path of a file")
    if not closely:
        return found.st_dev, found.st_ino
    return found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns, log_size(path)


def log_size(path: Path) -> int:
    """Bytes of the log beside the file; 0 where there is none."""
    return _size(path.with_name(path.name + "-wal"))


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0


def begin_log_anew(connection: apsw.Connection, wait: float) -> None:
    """Bring all of the log into the file and empty it, unless readers hold on to it for too long.

    `wait` is what the writing connection goes back to. What was committed is safe either way.
    """
    # where readers are threads of this process, SQLite gives up at once
    connection.set_busy_timeout(50)
    end = time.monotonic() + LOG_WAIT
    try:
        while time.monotonic() < end:
            with suppress(apsw.BusyError):
                connection.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_TRUNCATE)
                return
            time.sleep(0.002)
    except apsw.Error:
        pass  # a disk that is full now, say: the log stays, and the next write says so
    finally:
        connection.set_busy_timeout(round(wait * 1000))


def _may_make_files(folder: Path) -> bool:
    """Whether this process may make files in the folder."""
    effective = os.access in os.supports_effective_ids
    return os.access(folder, os.W_OK | os.X_OK, effective_ids=effective)


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


def _found(connection: apsw.Connection, path: Path) -> None:
    """Make an empty file ours; another process may be doing the same.

    An empty file has no log, so what lies beside it is of a file that was removed, perhaps while
    other processes still have that one open. They may keep theirs; to share it would mix the two.
    """
    connection.execute(f"pragma page_size = {PAGE_SIZE}")
    connection.execute("begin exclusive")
    try:
        if not connection.pragma("application_id"):
            for end in ("-wal", "-shm"):
                path.with_name(path.name + end).unlink(missing_ok=True)
            schema.create(connection)
        connection.execute("commit")
    except BaseException:
        with suppress(apsw.Error):  # Ctrl-C may come when all is committed
            connection.execute("rollback")
        raise
