"""Processes that read, chunk and embed while this one writes.

Only the command line uses them: a script that imports ragkit would have to guard its `__main__`
for that, and a library must not ask it to.
"""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Callable
from concurrent.futures import Executor, Future
from types import TracebackType
from typing import ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")

MOST = 4
"""More would wait for the one that writes, and each takes some 100 MB."""


class Workers(Executor):
    """A process pool that is started by the first piece of work."""

    def __init__(self) -> None:
        self._pool: Executor | None = None

    def submit(self, fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        if self._pool is None:
            # 40 ms that a refresh without changes saves
            from concurrent.futures import ProcessPoolExecutor
            from multiprocessing import get_context

            self._pool = ProcessPoolExecutor(
                min(os.cpu_count() or 1, MOST),
                # forking a process that has threads (numpy's, SQLite's) may hang the child
                mp_context=get_context("spawn"),
                initializer=_begin,
            )
        return self._pool.submit(fn, *args, **kwargs)

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        if self._pool is not None:
            self._pool.shutdown(wait, cancel_futures=cancel_futures)

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Wait for what is under way; after Ctrl-C for nothing: what it makes is not stored."""
        if self._pool is not None and kind is not None and issubclass(kind, KeyboardInterrupt):
            _abandoned.append(self._pool)
            return
        self.shutdown()


_abandoned: list[Executor] = []


def leave(code: int) -> None:
    """End this process now if it has workers that nobody waits for; they end with it.

    Python itself would wait at its end for all that they were given.
    """
    if _abandoned:
        from multiprocessing import util

        if tidy := getattr(util, "_run_finalizers", None):
            tidy(0)  # else their semaphores are said to be leaked
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def _begin() -> None:
    """Let the parent write first, leave Ctrl-C to it, and end when it ends, however that was."""
    import signal
    from multiprocessing import connection, parent_process

    if hasattr(os, "nice"):
        os.nice(5)  # all wait for the one that writes: it is to have a core whenever it can use one
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    parent = parent_process()

    def watch() -> None:
        if parent is not None:
            connection.wait([parent.sentinel])
            os._exit(1)

    threading.Thread(target=watch, daemon=True).start()
