"""From texts to vectors over HTTP: one request's worth of texts, until each is done or given up.

What a failure asks for is in `failures.Trouble`. A request that fails because of one of its texts
is taken apart until that text is alone; whether it is the text's fault or the server's is decided
by what the server did since, or else by a short text that no sound server refuses.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from ragkit.errors import ModelError
from ragkit.models.answers import Garbled, unit, vectors_of
from ragkit.models.batching import Gauge, Job
from ragkit.models.failures import Failure, Trouble, error_of, failure_of
from ragkit.models.flow import Closed, Flow
from ragkit.models.http import Client, Reply, Unanswered
from ragkit.models.retrying import RETRIES, Refused, patiently, pause

if TYPE_CHECKING:
    from ragkit.types import Vectors

PROBE: Final = "A short text that every model can embed."

_RESTART: Final = 7.0
"""Pauses (1 + 2 + 4) that a server is given to come back."""


@dataclass(frozen=True, slots=True)
class Patience:
    """How long to wait for what, in seconds."""

    load: float = 330.0
    """The first answer, and one after an idle time: the server may load the model for it, and
    gives up loading when we leave."""
    answer: float = 120.0
    """Any other answer."""
    deadline: float = 330.0
    """All retries of a request together, counted from its last progress …"""
    query: float = 60.0
    """… and those of a query, which somebody waits for."""
    pause: float = 1.0
    """Before the second attempt; then twice as long each time."""
    idle: float = 240.0
    """After so long without an answer the model may have been unloaded."""


@dataclass(frozen=True, slots=True)
class Limits:
    """What a server takes, as far as it is known beforehand."""

    tokens: int | None = None
    """Of one text."""
    context: int | None = None
    """Of all that is under way together; None for models without such a common memory."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where the texts go, and what is known of the model there."""

    client: Client
    path: str
    model: str
    limits: Limits
    size: Callable[[int], int]
    """How many of so many dimensions to keep; raises ModelError where it cannot be cut so."""
    reconfigure: Callable[[], Limits] | None = None
    """Tells the server its limits once more, when it has lost them."""


@dataclass(frozen=True, slots=True)
class Settled:
    """Texts that are done: rows (n, d) of unit vectors, zeros for those that have failed."""

    jobs: list[Job]
    vectors: Vectors


class Sender:
    """Sends texts and learns what the server takes. Thread-safe."""

    def __init__(
        self, place: Place, gauge: Gauge, flow: Flow, patience: Patience, native: int | None
    ) -> None:
        """`native`: dimensions that the model is known to give."""
        self.native = native
        self._place = place
        self._gauge = gauge
        self._flow = flow
        self._patience = patience
        self._stopped = threading.Event()
        self._format: str | None = "base64"
        self._answered = float("-inf")  # when the last vectors came
        self.sound = False
        """Whether any vector was fit to be one: until then nothing is known to work."""
        self._misses = 0  # requests that failed since
        self._gone: float | None = None  # since when nobody listens
        self._mending = threading.Lock()
        self._mended: float | None = None  # when the server was configured again

    def settle(self, jobs: Sequence[Job], *, urgent: bool = False) -> Iterator[Settled]:
        """Each text once, as it gets done. Raises ModelError when the server is of no more use,
        and flow.Closed."""
        patience = self._patience.query if urgent else self._patience.deadline
        until = time.monotonic() + patience
        todo = deque([list(jobs)])
        while todo:
            group, *more = self._parts(todo.popleft())
            todo.extendleft(reversed(more))
            began = time.monotonic()
            try:
                vectors = self._ask(group, urgent)
            except Refused as refused:
                again = self._after(group, refused.failure, began, until, urgent)
                if failed := [job for job in group if job.failed]:
                    yield self._given_up(failed)
            else:
                until = time.monotonic() + patience
                settled, again = self._checked(group, vectors)
                if settled.jobs:
                    yield settled
            # at the end, so that the sound ones go first: they tell that the server lives
            todo.extend(again)

    def probe(self) -> int:
        """Dimensions of the model, by a short text. Raises ModelError, and flow.Closed."""
        place = self._place
        job = Job(b"", PROBE, 0)
        try:
            reply = patiently(
                lambda: self._send([job], urgent=True),
                deadline=self._patience.deadline,
                sleep=lambda seconds: self._rest(seconds * self._patience.pause),
            )
            raw = self._read(reply, [job])
        except Refused as refused:
            raise self._error(refused.failure) from None
        if not unit(raw, raw.shape[1])[1].all():
            raise ModelError(
                f"{place.client.endpoint}: {place.model} is broken: its vectors are zeros or not "
                "numbers",
                remedy="pull the model again, or take another quantisation of it",
            )
        self.sound = True
        return int(raw.shape[1])

    def stop(self) -> None:
        """End all pauses; whoever waits gets flow.Closed."""
        self._stopped.set()
        self._flow.close()

    def _parts(self, jobs: Sequence[Job]) -> list[list[Job]]:
        with self._flow.changed:
            return self._gauge.parts(jobs)

    def _ask(self, jobs: Sequence[Job], urgent: bool) -> Vectors:
        """Raw vectors (n, d). Raises Refused for whatever may be tried again, else ModelError."""
        try:
            reply = self._send(jobs, urgent)
        except Unanswered as error:
            raise Refused(failure_of(error)) from None
        if not 200 <= reply.status < 300:
            raise Refused(failure_of(reply))
        return self._read(reply, jobs)

    def _send(self, jobs: Sequence[Job], urgent: bool) -> Reply:
        place = self._place
        body: dict[str, object] = {"model": place.model, "input": [job.text for job in jobs]}
        if self._format:
            body["encoding_format"] = self._format
        with self._flow.changed:
            tokens = sum(map(self._gauge.tokens, jobs))
        with self._flow.slot(tokens, urgent=urgent):
            idle = time.monotonic() - self._answered > self._patience.idle
            timeout = self._patience.load if idle else self._patience.answer
            return place.client.send("POST", place.path, body, timeout=timeout)

    def _read(self, reply: Reply, jobs: Sequence[Job]) -> Vectors:
        """The answer's raw vectors, and what is to be learnt from it."""
        try:
            raw, tokens = vectors_of(reply.json(), len(jobs))
        except (Garbled, ModelError) as error:
            raise Refused(Failure(Trouble.TRANSIENT, reply.status, str(error))) from None
        dimensions = raw.shape[1]
        with self._flow.changed:
            if self.native is None:
                self._place.size(dimensions)
                self.native = dimensions
            if tokens is not None and jobs[0].key:
                self._gauge.learn(jobs, tokens)
        if dimensions != self.native:
            raise ModelError(
                f"{self._place.client.endpoint}: {self._place.model} gave vectors of "
                f"{dimensions} dimensions where {self.native} are expected",
                remedy="the model behind this name has changed: start again",
            )
        self._answered = time.monotonic()
        self._misses = 0
        self._gone = None
        self._flow.eased()
        return raw

    def _checked(self, group: list[Job], raw: Vectors) -> tuple[Settled, list[list[Job]]]:
        """The texts that have got vectors, and those to be asked for once more, each alone."""
        vectors, fine = unit(raw, self._place.size(raw.shape[1]))
        self.sound = self.sound or bool(fine.any())
        if not self.sound:
            self.probe()  # either it says that the model is broken, or it is these texts
        done: list[int] = []
        again: list[list[Job]] = []
        for row, job in enumerate(group):
            job.odd += not fine[row]
            if job.odd == 1 and not fine[row]:
                again.append([job])
                continue
            if not fine[row]:
                job.failed = f"{self._place.model} gives a vector of zeros or not of numbers for it"
            done.append(row)
        return Settled([group[row] for row in done], vectors[done]), again

    def _given_up(self, jobs: list[Job]) -> Settled:
        import numpy as np

        native = self.native or self.probe()
        return Settled(jobs, np.zeros((len(jobs), self._place.size(native)), np.float32))

    def _after(
        self, group: list[Job], failure: Failure, began: float, until: float, urgent: bool
    ) -> list[list[Job]]:
        """What to send after a failure, in order; texts that are given up have `failed` set.

        Raises ModelError where nothing will help.
        """
        self._misses += 1
        for job in group:
            job.since = job.since or began
        if failure.trouble is Trouble.INPUT_TOO_LONG:
            return self._too_long(group, failure, began)
        for job in group:
            job.misses += 1
        if len(group) == 1:
            group[0].alone[failure.trouble] += 1
        match failure.trouble:
            case Trouble.BODY_TOO_LARGE:
                with self._flow.changed:
                    self._gauge.learn_too_large(group)
                return self._halves(group) or self._give_up(group[0], failure, urgent)
            case Trouble.REFUSED:
                return self._refused(group, failure, urgent)
        if failure.trouble is Trouble.UNREACHABLE:
            wait = self._until_restarted(failure, urgent)
        elif failure.trouble in RETRIES or (
            failure.trouble is Trouble.NOT_LOADED and max(job.misses for job in group) == 1
        ):
            retry = min(self._misses, max(job.misses for job in group)) - 1
            wait = pause(retry, failure, first=self._patience.pause)
        else:
            raise self._error(failure)
        if time.monotonic() + wait >= until:
            raise self._error(failure)
        return self._later(group, failure, began, wait, urgent)

    def _later(
        self, group: list[Job], failure: Failure, began: float, wait: float, urgent: bool
    ) -> list[list[Job]]:
        """After a failure that may pass: the same again, or less of it."""
        trouble = failure.trouble
        if trouble in (Trouble.SLOW, Trouble.BUSY, Trouble.OVERLOADED):
            self._flow.overwhelmed(began)
        if trouble in (Trouble.BUSY, Trouble.UNREACHABLE):
            self._flow.quieten(wait)  # for all, and the next turn comes after it
            return [group]
        most = min(RETRIES.get(trouble, 1), 2 if urgent else 6)
        if len(group) == 1 and group[0].alone[trouble] > most:
            return self._give_up(group[0], failure, urgent)
        self._rest(wait)
        if trouble is Trouble.NOT_LOADED:
            return [group]
        if trouble is Trouble.TRANSIENT:
            if failure.status == 200 and self._answered < 0:
                self.probe()  # a server of another kind may answer here
            misses = max(job.misses for job in group)
            if misses == 1 or (misses <= most and not self._answered_since(group[0])):
                return [group]
            self._doubt(group[0])
        return self._halves(group) or [group]

    def _until_restarted(self, failure: Failure, urgent: bool) -> float:
        """Seconds to wait for a server that answered before. Raises ModelError."""
        now = time.monotonic()
        self._gone = self._gone or now
        first = self._patience.pause
        gone = now - self._gone
        if urgent or self._answered < 0 or gone >= _RESTART * first:
            raise self._error(failure)
        return gone + first  # 1, 2, 4: as long as it has been gone, and once more

    def _refused(self, group: list[Job], failure: Failure, urgent: bool) -> list[list[Job]]:
        words = failure.message.lower()
        asked = self._format or group[0].misses == 1  # another request may have learnt it first
        if asked and ("encoding_format" in words or "base64" in words):
            self._format = None
            return [group]
        if self._answered < 0 and len(group) > 1:
            self.probe()  # not a text's fault, if the server refuses everything
        return self._halves(group) or self._give_up(group[0], failure, urgent)

    def _too_long(self, group: list[Job], failure: Failure, began: float) -> list[list[Job]]:
        if self._mend(failure, began):
            return [group]
        with self._flow.changed:
            if failure.limit:
                self._gauge.learn_limit(failure.limit, told=True)
            if len(group) == 1:
                return self._shortened(group[0], failure)
            parts = self._gauge.parts(group)
            return parts if len(parts) > 1 else self._gauge.suspects(group)

    def _shortened(self, job: Job, failure: Failure) -> list[list[Job]]:
        """Cut by the numbers that the server gave, else in half."""
        share = 0.5
        if failure.tokens:
            self._gauge.learn([job], failure.tokens)
        if failure.tokens and failure.limit:
            share = min(0.9 * failure.limit / failure.tokens, 0.9)
        elif not failure.limit:
            self._gauge.learn_limit(self._gauge.tokens(job), told=False)
        if job.shorten(int(len(job.text) * share), failure.limit):
            return [[job]]
        job.failed = self._error(failure).message
        return []

    def _mend(self, failure: Failure, began: float) -> bool:
        """Whether the server had lost its configuration and has got it again since `began`."""
        place = self._place
        configured = place.limits.tokens
        if not (place.reconfigure and failure.limit and configured):
            return False
        if failure.limit >= configured:
            return False
        with self._mending:
            if self._mended is None:
                place.reconfigure()
                self._mended = time.monotonic()
            return began < self._mended

    def _give_up(self, job: Job, failure: Failure, urgent: bool) -> list[list[Job]]:
        """Nothing more for this text. Raises ModelError where it is not the text's fault."""
        if urgent:
            raise self._error(failure)  # who asks for it waits: no time to find out more
        self._doubt(job)
        job.failed = self._error(failure).message
        return []

    def _doubt(self, job: Job) -> None:
        """Raises ModelError where the server takes nothing any more, not only this text."""
        if not self._answered_since(job):
            self.probe()

    def _answered_since(self, job: Job) -> bool:
        return job.since is not None and self._answered > job.since

    def _halves(self, group: list[Job]) -> list[list[Job]]:
        """[] for one text: it has no halves."""
        middle = len(group) // 2
        return [group[:middle], group[middle:]] if middle else []

    def _rest(self, seconds: float) -> None:
        if self._stopped.wait(seconds):
            raise Closed

    def _error(self, failure: Failure) -> ModelError:
        return error_of(failure, model=self._place.model, where=self._place.client.endpoint)
