"""A disk that fails when it is told to, under every database that SQLite opens."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import apsw

WRITES = frozenset({"write", "truncate", "sync", "delete"})


class FailingDisk(apsw.VFS):
    """The operating system's file system, except that the nth operation and all after it may fail.

    While it stands, it is SQLite's default; shared memory and locks are those of the system.
    """

    def __init__(self) -> None:
        self.system = apsw.vfs_names()[0]
        self.error: Exception | None = None
        self.operations = WRITES
        self.left = 0
        self.failed = 0
        self._counting = threading.Lock()
        super().__init__("failing", self.system, makedefault=True)

    @contextmanager
    def failing(
        self, after: int, error: type[apsw.Error], code: int, operations: frozenset[str] = WRITES
    ) -> Iterator[None]:
        """Inside, `after` operations work; those that follow raise the error of this code."""
        self.left, self.failed, self.operations = after, 0, operations
        self.error = error("as told")
        self.error.extendedresult = code  # type: ignore[attr-defined]
        try:
            yield
        finally:
            self.error = None

    def count(self, operation: str) -> None:
        """One more operation begins. Raises what was asked for."""
        with self._counting:
            if self.error is None or operation not in self.operations:
                return
            if self.left:
                self.left -= 1
                return
            self.failed += 1
            error = type(self.error)(*self.error.args)
            error.extendedresult = self.error.extendedresult  # type: ignore[attr-defined]
        raise error

    def xOpen(self, name: Any, flags: list[int]) -> apsw.VFSFile:
        return _File(self, name, flags)

    def excepthook(self, *raised: object) -> bool:
        """What SQLite passes over, as when it tidies up after a failure, is no news."""
        return True

    def xDelete(self, filename: str, syncdir: bool) -> None:
        self.count("delete")
        super().xDelete(filename, syncdir)


class _File(apsw.VFSFile):
    def __init__(self, disk: FailingDisk, name: Any, flags: list[int]) -> None:
        self._disk = disk
        # SQLite tries to lock for writing as it closes a file, and what it passes over where that
        # was opened for reading only, apsw would raise
        if flags[0] & apsw.SQLITE_OPEN_READONLY:
            flags = [flags[0] ^ apsw.SQLITE_OPEN_READONLY | apsw.SQLITE_OPEN_READWRITE, 0]
        super().__init__(disk.system, name, flags)

    def excepthook(self, *raised: object) -> bool:
        """As for the disk."""
        return True

    def xRead(self, amount: int, offset: int) -> bytes:
        self._disk.count("read")
        read: bytes = super().xRead(amount, offset)
        return read

    def xWrite(self, data: bytes, offset: int) -> None:
        self._disk.count("write")
        super().xWrite(data, offset)

    def xTruncate(self, newsize: int) -> None:
        self._disk.count("truncate")
        super().xTruncate(newsize)

    def xSync(self, flags: int) -> None:
        self._disk.count("sync")
        super().xSync(flags)
