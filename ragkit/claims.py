"""Who works on a database: one process at a time, and all others can say which.

A claim is the operating system's lock of a file beside the database, so it ends with the process
that has it, however that ends. What is in the file tells who that is. The file itself stays: a lock
on a file that was deleted would keep nobody out.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from ragkit.errors import StoreBusy

SUFFIXES = {"index": ".index-lock", "watch": ".watch-lock"}
"""What can be claimed: to bring a database up to date now, and to keep it so from now on."""

AGAIN = 0.1
"""Seconds between two looks whether a claim is free."""


@dataclass(frozen=True, slots=True)
class Holder:
    """The process that has a claim, as far as it has told."""

    process: int | None
    command: str
    """`ragkit watch`, or the name of a script."""
    since: float | None
    """Seconds since the epoch."""

    def __str__(self) -> str:
        who = f"process {self.process}" if self.process else "another process"
        command = f" ({self.command})" if self.command else ""
        since = time.strftime(", since %H:%M:%S", time.localtime(self.since)) if self.since else ""
        return f"{who}{command}{since}"


class Waiting(Protocol):
    """Is told once whom a claim is waiting for."""

    def __call__(self, database: Path, holder: Holder) -> None: ...


@contextmanager
def claimed(
    databases: Sequence[Path],
    what: str,
    *,
    wait: float | None = None,
    waiting: Waiting = lambda database, holder: None,
) -> Iterator[None]:
    """Have the claim on databases inside, all or none of them.

    `wait` is for how many seconds it is waited for each; None: as long as it takes. Raises
    StoreBusy, which names who has it.
    """
    with ExitStack() as held:
        for database in sorted(databases):  # in one order, so that two never wait for each other
            claim = Claim(database, what)
            held.callback(claim.release)
            _take(claim, wait, waiting)
        yield


def _take(claim: Claim, wait: float | None, waiting: Waiting) -> None:
    ends = None if wait is None else time.monotonic() + wait
    told = False
    while not claim.take():
        holder = claim.holder()
        if ends is not None and time.monotonic() >= ends:
            raise StoreBusy(
                f"{claim.database}: {holder} is working on it", remedy="wait for it to end"
            )
        if not told:
            waiting(claim.database, holder)
            told = True
        time.sleep(AGAIN)


class Claim:
    """A claim on one database, which this process may have or not."""

    def __init__(self, database: Path, what: str) -> None:
        self.database = database
        self.path = database.with_name(database.name + SUFFIXES[what])
        self._file: int | None = None

    def take(self) -> bool:
        """Take it if nobody has it; whether this process has it now.

        Where no file can be made or locked, SQLite cannot write either, and says so better: there
        it counts as taken.
        """
        while self._file is None:
            try:
                self.path.parent.mkdir(parents=True, exist_ok=True)
                file = os.open(self.path, os.O_RDWR | os.O_CREAT, 0o666)
            except OSError:
                return True
            try:
                if not _lock(file):
                    os.close(file)
                    return False
            except OSError:
                os.close(file)
                return True
            if not _is_at(file, self.path):  # removed meanwhile: another may lock the next one
                os.close(file)
                continue
            self._file = file
            self._tell(file)
        return True

    def release(self) -> None:
        """Let it go; nothing happens where this process does not have it."""
        if self._file is not None:
            with suppress(OSError):
                os.ftruncate(self._file, 0)
            os.close(self._file)  # and with it the lock
            self._file = None

    def holder(self) -> Holder:
        """Who has it."""
        with suppress(OSError, ValueError, TypeError, AttributeError):
            told = json.loads(self.path.read_text("utf-8"))
            return Holder(int(told["process"]), str(told["command"]), float(told["since"]))
        return Holder(None, "", None)

    def _tell(self, file: int) -> None:
        told = {"process": os.getpid(), "command": _command(), "since": time.time()}
        with suppress(OSError):  # a full disk: who it is remains unsaid
            os.ftruncate(file, 0)
            os.write(file, json.dumps(told).encode())


def _command() -> str:
    """What this process is called: `ragkit watch`. Arguments may be private and stay out."""
    name = Path(sys.argv[0]).name if sys.argv else ""
    if name in ("__main__.py", "ragkit", "ragkit.exe"):
        return " ".join(["ragkit", *(a for a in sys.argv[1:2] if a.isalpha())])
    return name if name not in ("", "-c", "-m") else "python"


def _is_at(file: int, path: Path) -> bool:
    """Whether an open file is the one that lies at the path."""
    try:
        return os.path.samestat(os.fstat(file), os.stat(path))
    except OSError:
        return False


if sys.platform == "win32":
    import msvcrt

    _FAR = 1 << 30
    """Behind all that is told: what is locked cannot be read."""

    def _lock(file: int) -> bool:
        os.lseek(file, _FAR, os.SEEK_SET)
        try:
            msvcrt.locking(file, msvcrt.LK_NBLCK, 1)
        except PermissionError:
            return False
        finally:
            os.lseek(file, 0, os.SEEK_SET)
        return True

else:
    import fcntl

    def _lock(file: int) -> bool:
        """Lock the file unless another has; whether it is locked now. Raises OSError."""
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True
