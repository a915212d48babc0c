"""What can go wrong on the way, on demand."""

from __future__ import annotations

import fnmatch
import json
import random
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol

from .serving import Response

DIED = (
    '{"type":"error","code":null,"message":"llama.cpp terminated unexpectedly: llama.cpp failed: '
    'signal: killed","param":null,"sequence_number":1}'
)


@dataclass(frozen=True)
class Fault:
    """One failure of one request."""

    name: str
    how: Literal["answer", "reset", "hang", "half", "change"] = "answer"
    status: int = 500
    body: str = ""
    headers: tuple[tuple[str, str], ...] = ()
    change: Callable[[Any], Any] | None = None
    """What is made of the JSON value of the true answer."""

    @property
    def works(self) -> bool:
        """Whether the request is still carried out."""
        return self.how in ("half", "change")

    def answer(self) -> Response:
        """In place of the true one."""
        return Response(self.status, self.body.encode(), dict(self.headers))

    def apply(self, response: Response) -> Response:
        """To the true one, where the request was carried out."""
        whole = response.body if isinstance(response.body, bytes) else b"".join(response.body)
        if self.how == "half":
            return Response(response.status, whole, response.headers, kept=0.5)
        if not whole:  # a preload, say, has no value that could be changed
            return response
        assert self.change is not None
        value = self.change(json.loads(whole))
        # NaN is not JSON, and yet what a broken model's answer holds
        return Response(response.status, json.dumps(value).encode(), response.headers)


TEXT = (("Content-Type", "text/plain; charset=utf-8"),)
JSON = (("Content-Type", "application/json"),)

EMPTY_500 = Fault("500")
RUNNER_DIED = Fault("died", body=DIED + "\n", headers=TEXT)
BAD_GATEWAY = Fault("502", status=502)
UNAVAILABLE = Fault("503", status=503, body="service unavailable\n", headers=TEXT)
LOADING = Fault(
    "loading",
    status=503,
    body='{"error":{"code":503,"message":"Loading model","type":"unavailable_error"}}',
    headers=JSON,
)
DISABLED = Fault("disabled", body="unable to load runner: backend loading disabled\n", headers=TEXT)
OVERFLOW = Fault(
    "overflow",
    body='{"error":{"code":500,"message":"Context size has been exceeded.","type":"server_error"}}',
    headers=JSON,
)
RESET = Fault("reset", "reset")
"""The connection breaks without an answer."""
HANG = Fault("hang", "hang")
"""No answer comes until the client leaves."""
HALF = Fault("half", "half")
"""Half of the true answer, and then the connection ends."""


def too_many(seconds: int | str = 0) -> Fault:
    """429 with Retry-After."""
    return Fault("429", status=429, body="slow down\n", headers=(("Retry-After", str(seconds)),))


def replies(status: int, body: str, content_type: str = "text/plain; charset=utf-8") -> Fault:
    return Fault(f"{status}", status=status, body=body, headers=(("Content-Type", content_type),))


def changes(change: Callable[[Any], Any]) -> Fault:
    """The true answer's JSON value, changed."""
    return Fault("changed", "change", change=change)


USUAL = (EMPTY_500, BAD_GATEWAY, RESET, HANG, too_many(0))
"""One of each kind that a client must outlive."""


class Named(Protocol):
    method: str
    path: str


def matches(pattern: str, request: Named) -> bool:
    """Whether a glob over the path, or over method and path, takes this request."""
    subject = f"{request.method} {request.path}" if " " in pattern else request.path
    return fnmatch.fnmatchcase(subject, pattern)


class Faults:
    """Which requests fail next, and how. Thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._rules: list[_Rule] = []

    def add(self, pattern: str, faults: Sequence[Fault], *, rate: float | None, seed: int) -> None:
        with self._lock:
            self._rules.append(_Rule(pattern, list(faults), rate, random.Random(seed)))

    def clear(self) -> None:
        with self._lock:
            self._rules.clear()

    def next(self, request: Named) -> Fault | None:
        """For this request; None: it goes well."""
        with self._lock:
            for rule in self._rules:
                if matches(rule.pattern, request):
                    fault = rule.next()
                    if fault is not None:
                        return fault
        return None


@dataclass
class _Rule:
    pattern: str
    faults: list[Fault]
    rate: float | None
    chance: random.Random

    def next(self) -> Fault | None:
        if self.rate is None:
            return self.faults.pop(0) if self.faults else None
        if self.chance.random() >= self.rate:
            return None
        return self.chance.choice(self.faults)
