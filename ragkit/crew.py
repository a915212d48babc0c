"""Threads that wait for servers while one thread, the caller's, takes what they bring."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Iterator
from queue import Empty, SimpleQueue
from types import TracebackType
from typing import Any, Literal, TypeAlias, TypeVar

T = TypeVar("T")

GRACE = 0.5
"""Seconds that a failure waits for what other threads are just getting."""

_News: TypeAlias = tuple[Literal["told", "done", "failed"], Any]


class Stopped(Exception):
    """Told to a task whose crew has been stopped: nobody waits for what it does."""


class Crew:
    """A few threads for tasks that mostly wait; to be used as a context manager.

    They are daemons: an interrupted program ends at once, whatever a server is doing.
    """

    def __init__(self, size: int) -> None:
        self.size = size
        self._todo: SimpleQueue[Callable[[], object] | None] = SimpleQueue()
        self._news: SimpleQueue[_News] = SimpleQueue()
        self._stopped = threading.Event()
        self._threads = [threading.Thread(target=self._work, daemon=True) for _ in range(size)]

    def tell(self, message: object) -> None:
        """From inside a task: hand something to the caller's thread before the task is done."""
        self._news.put(("told", message))
        if self._stopped.is_set():
            raise Stopped

    def done(self, tasks: Iterable[Callable[[], T]], hear: Callable[[Any], None]) -> Iterator[T]:
        """What the tasks return, as they get done; `hear` is called with what they tell.

        No more tasks are taken than threads and one, so that as much waits for the caller at most.
        The first exception of a task is raised; what was told before it has been heard.
        """
        waiting = iter(tasks)
        under_way = 0
        try:
            while True:
                while under_way <= self.size and (task := next(waiting, None)) is not None:
                    self._todo.put(task)
                    under_way += 1
                if not under_way:
                    return
                what, value = self._news.get()
                if what == "told":
                    hear(value)
                elif what == "failed":
                    self._gather()
                    raise value
                else:
                    under_way -= 1
                    yield value
        except BaseException:
            self.stop()
            for message in self._unheard():
                hear(message)
            raise

    def stop(self) -> None:
        """Begin no task any more; those under way end when they next tell something."""
        self._stopped.set()
        for _ in self._threads:
            self._todo.put(None)

    def __enter__(self) -> Crew:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.stop()
        if error is None:
            for thread in self._threads:
                thread.join()

    def _work(self) -> None:
        while (task := self._todo.get()) is not None:
            if self._stopped.is_set():
                return
            try:
                self._news.put(("done", task()))
            except Stopped:
                return
            except BaseException as error:
                self._news.put(("failed", error))

    def _gather(self) -> None:
        """Let the other threads tell what they have just got, for a moment."""
        self.stop()
        until = time.monotonic() + GRACE
        for thread in self._threads:
            thread.join(max(0.0, until - time.monotonic()))

    def _unheard(self) -> Iterator[object]:
        while True:
            try:
                what, value = self._news.get_nowait()
            except Empty:
                return
            if what == "told":
                yield value
