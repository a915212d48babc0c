"""One post office for all threads that want texts embedded: texts of several calls share requests,
and a text that several ask for is sent once."""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Sequence
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING, Final

from ragkit.errors import ModelError
from ragkit.models.batching import Gauge, Job
from ragkit.models.flow import Closed, Flow
from ragkit.models.sending import Sender, Settled
from ragkit.types import Embedded

if TYPE_CHECKING:
    from ragkit.types import Vector

REMEMBERED_BYTES: Final = 8 * 1024 * 1024
"""Of vectors that were made lately: a text that comes again is not sent again."""

_IDLE = 2.0  # seconds after which a thread without work ends


class Call:
    """Somebody who waits for texts."""

    def __init__(self) -> None:
        self.closed = False
        self._news: SimpleQueue[Embedded | Exception] = SimpleQueue()

    def hear(self, news: Embedded | Exception) -> None:
        if not self.closed:
            self._news.put(news)

    def next(self) -> Embedded:
        """Waits for some texts to be done. Raises what went wrong."""
        while True:
            try:
                # subtle: on Windows, a wait without an end cannot be interrupted by Ctrl-C
                news = self._news.get(timeout=1.0)
            except Empty:
                continue
            if isinstance(news, Exception):
                raise news
            return news


class Dispatcher:
    """Threads that send what is in the pool; they start with work and end when there is none.

    They are daemons: an interrupted program ends at once, whatever a server is doing.
    """

    def __init__(self, sender: Sender, gauge: Gauge, flow: Flow, threads: int) -> None:
        self._sender = sender
        self._gauge = gauge
        self._flow = flow
        self._most = threads
        self._changed = flow.changed
        self._jobs: dict[bytes, Job] = {}  # by key: all that are not done
        self._pool: dict[bytes, Job] = {}  # those of them that no request has yet, oldest first
        self._done: OrderedDict[bytes, tuple[Vector, str]] = OrderedDict()
        self._done_bytes = 0
        self._threads: set[threading.Thread] = set()
        self._idle = 0
        self._busy = 0

    def submit(self, call: Call, jobs: Sequence[tuple[int, Job]]) -> None:
        """Have texts sent for a call; each comes with its position there."""
        with self._changed:
            for job in self._new(call, jobs):
                self._pool[job.key] = job
            self._staff()
            self._changed.notify_all()

    def send_now(self, call: Call, jobs: Sequence[tuple[int, Job]]) -> None:
        """The same in the caller's own thread and before all that waits."""
        with self._changed:
            new = self._new(call, jobs)
        if not new:
            return
        try:
            self._run(new, urgent=True)
        finally:
            with self._changed:  # interrupted: others may wait for the same text
                left = {job.key: job for job in new if self._jobs.get(job.key) is job}
                self._pool |= left
                self._staff()

    def leave(self, call: Call) -> None:
        """The call wants nothing more; texts that only it waits for are not sent."""
        with self._changed:
            call.closed = True
            for job in list(self._pool.values()):
                job.waiting = [(other, at) for other, at in job.waiting if other is not call]
                if not job.waiting:
                    del self._pool[job.key], self._jobs[job.key]

    def close(self) -> None:
        """Send nothing more; who waits gets an error. Threads end, the latest with their answer."""
        self._sender.stop()
        with self._changed:
            self._fail(list(self._jobs.values()), _closed())
            threads = list(self._threads)
        for thread in threads:
            thread.join(0.2)

    def _new(self, call: Call, jobs: Sequence[tuple[int, Job]]) -> list[Job]:
        """Those that nobody has asked for; the call waits for all. Hold the lock."""
        if self._flow.closed:
            raise _closed()
        new: list[Job] = []
        known: list[tuple[int, Vector, str]] = []
        for position, job in jobs:
            if found := self._done.get(job.key):
                self._done.move_to_end(job.key)
                known.append((position, *found))
                continue
            same = self._jobs.setdefault(job.key, job)
            same.waiting.append((call, position))
            if same is job:
                new.append(job)
        if known:
            call.hear(_remembered(known))
        return new

    def _staff(self) -> None:
        """One thread more where there is work for it. Hold the lock."""
        if self._pool and not self._idle and len(self._threads) < self._most:
            thread = threading.Thread(target=self._work, name="ragkit-embedding", daemon=True)
            self._threads.add(thread)
            thread.start()

    def _work(self) -> None:
        while jobs := self._take():
            self._run(jobs)
            with self._changed:
                self._busy -= 1
                self._changed.notify_all()

    def _take(self) -> list[Job]:
        """The next request; [] when the thread shall end."""
        with self._changed:
            self._idle += 1
            until = time.monotonic() + _IDLE
            jobs: list[Job] = []
            while not self._flow.closed:
                room = self._room()
                if room > 0:
                    jobs = self._gauge.fill(self._pool.values(), room)
                    break
                if not self._pool and time.monotonic() >= until:
                    break
                self._changed.wait(min(self._flow.quiet() or _IDLE, _IDLE))
            self._idle -= 1
            for job in jobs:
                del self._pool[job.key]
            if jobs:
                self._busy += 1
                self._staff()
            else:
                self._threads.discard(threading.current_thread())
            return jobs

    def _room(self) -> float:
        """Tokens that may be sent now. Hold the lock."""
        # a server that does not do its work should find out with few requests
        unproven = self._busy and not self._sender.sound
        return self._flow.headroom() if self._pool and not unproven else 0

    def _run(self, jobs: list[Job], *, urgent: bool = False) -> None:
        """Send these and hand out what comes; what goes wrong is told to those who wait."""
        try:
            for settled in self._sender.settle(jobs, urgent=urgent):
                self._deliver(settled)
        except Closed:
            with self._changed:
                self._fail(jobs, _closed())
        except Exception as error:
            with self._changed:
                # a server that takes no more documents has nothing for those that wait either
                self._fail([*jobs, *(() if urgent else self._pool.values())], error)

    def _deliver(self, settled: Settled) -> None:
        rows: dict[Call, list[tuple[int, int]]] = {}
        with self._changed:
            for row, job in enumerate(settled.jobs):
                self._jobs.pop(job.key, None)
                if not job.failed:
                    self._remember(job, settled.vectors[row])
                for call, position in job.waiting:
                    rows.setdefault(call, []).append((position, row))
            self._changed.notify_all()
        for call, places in rows.items():
            jobs = [(position, settled.jobs[row]) for position, row in places]
            call.hear(
                Embedded(
                    tuple(position for position, _ in places),
                    settled.vectors[[row for _, row in places]],
                    {position: job.cut for position, job in jobs if job.cut and not job.failed},
                    {position: job.failed for position, job in jobs if job.failed},
                )
            )

    def _fail(self, jobs: Sequence[Job], error: Exception) -> None:
        """Who waits for any of these gets the error. Hold the lock."""
        calls: dict[Call, None] = {}
        for job in jobs:
            if self._jobs.get(job.key) is job:
                del self._jobs[job.key]
                self._pool.pop(job.key, None)
                calls |= dict.fromkeys(call for call, _ in job.waiting)
        for call in calls:
            call.hear(error)

    def _remember(self, job: Job, vector: Vector) -> None:
        # subtle: a row of the request's matrix would keep all of the matrix
        self._done[job.key] = (vector.copy(), job.cut)
        self._done_bytes += vector.nbytes
        while self._done_bytes > REMEMBERED_BYTES:
            _, (oldest, _) = self._done.popitem(last=False)
            self._done_bytes -= oldest.nbytes


def _remembered(known: Sequence[tuple[int, Vector, str]]) -> Embedded:
    import numpy as np

    return Embedded(
        tuple(position for position, _, _ in known),
        np.stack([vector for _, vector, _ in known]),
        {position: cut for position, _, cut in known if cut},
    )


def _closed() -> ModelError:
    return ModelError("the embedding model has been closed", remedy="open it again")
