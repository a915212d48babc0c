"""SQLite's errors in ragkit's words: what went wrong with which file, and a way out."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import apsw

from ragkit.errors import StoreBusy, StoreError, StoreFull

LOCAL = "put the database on a local disk: set RAGKIT_CACHE_DIR, or `database` in the configuration"

_UNSHARED = frozenset(
    {
        apsw.SQLITE_IOERR_SHMOPEN,
        apsw.SQLITE_IOERR_SHMMAP,
        apsw.SQLITE_IOERR_SHMLOCK,
        apsw.SQLITE_IOERR_LOCK,
        apsw.SQLITE_IOERR_UNLOCK,
        apsw.SQLITE_IOERR_RDLOCK,
        apsw.SQLITE_IOERR_CHECKRESERVEDLOCK,
        apsw.SQLITE_PROTOCOL,
        apsw.SQLITE_NOLFS,
    }
)
"""What SQLite raises where processes cannot agree on who writes."""


@contextmanager
def translated(path: Path) -> Iterator[None]:
    """Raise what SQLite raises inside as a StoreError that names the file and a way out."""
    try:
        yield
    except apsw.Error as error:
        raise _translation(path, error) from error


def unshared(path: Path, what: str) -> StoreError:
    """The error of a place where readers and writers cannot agree; `what` SQLite said of it."""
    return StoreError(
        f"{path}: its file system cannot lock files or share memory between processes, "
        f"as some network drives cannot ({what})",
        remedy=LOCAL,
    )


def _translation(path: Path, error: apsw.Error) -> StoreError:
    code = getattr(error, "extendedresult", 0)
    if code in _UNSHARED:
        return unshared(path, _named(error))
    if code == apsw.SQLITE_IOERR_SHMSIZE:  # 32 kB that there is no room for
        error = apsw.FullError(str(error))
    match error:
        case apsw.BusyError() | apsw.LockedError():
            return StoreBusy(
                f"{path}: another process is writing",
                remedy="wait for it to end, and try again; if there is none, the file system may "
                f"be unable to lock files: {LOCAL}",
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
        case apsw.CorruptError() | apsw.FormatError():
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
        case apsw.IOError():
            return StoreError(
                f"{path}: the disk failed ({_named(error)}); a change that was not complete "
                "is undone",
                remedy="check the disk, its connection and your quota; then try again",
            )
        case apsw.NoMemError():
            return StoreError(f"{path}: out of memory", remedy="end other programs, and try again")
        case apsw.ThreadingViolationError() | apsw.ConnectionClosedError():
            return closed(path)
    return StoreError(
        f"{path}: {error}", remedy="check the disk; if that is sound, remove the file and index"
    )


def closed(path: Path) -> StoreError:
    """The error of a store that is used after `close`, or while another thread closes it."""
    return StoreError(f"{path}: the store is closed", remedy="open it again")


def too_new(path: Path, version: int, known: int) -> StoreError:
    """The error of a file whose tables this ragkit does not know."""
    return StoreError(
        f"{path}: made by a newer ragkit (schema {version}, this one knows {known})",
        remedy="upgrade ragkit, or give another path",
    )


def _named(error: apsw.Error) -> str:
    """The error with SQLite's name of it, by which it can be looked up."""
    code = getattr(error, "extendedresult", 0)
    codes = apsw.mapping_extended_result_codes | apsw.mapping_result_codes
    return f"{codes.get(code, code)}: {error}"
