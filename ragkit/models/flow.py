"""How much a server is asked for at once: more while all goes well, half when it is overwhelmed.

Additive increase, multiplicative decrease, as networks do it (Chiu & Jain 1989).
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

QUESTIONS: Final = 2.0
"""Seconds after an urgent request in which the next one is expected."""


class Closed(Exception):
    """Nobody wants any more answers."""


class Flow:
    """The requests under way to one server."""

    def __init__(self, most: int, context: int | None) -> None:
        """`most`: requests at once. `context`: tokens of all of them together; None: they need no
        common memory."""
        self.changed = threading.Condition(threading.RLock())
        """Guards all that is shared between threads; told of everything that others wait for."""
        self.closed = False
        self._most = most
        self._context = context
        self._width = 1.0  # requests that may be under way; the first answer teaches much
        self._requests = 0
        self._tokens = 0
        self._patient = 0  # retries that wait for their turn: they go before new work
        self._quiet_until = 0.0
        self._asked_at = float("-inf")  # when the last urgent request began
        self._halved_at = 0.0

    def headroom(self) -> float:
        """Tokens that a new request may have now; 0 where none may begin. Hold `changed`."""
        if self._patient or self._requests >= self._breadth() or self.quiet() > 0:
            return 0
        if self._context is None:
            return float("inf")
        return max(self._context - self._tokens, 0 if self._requests else 1)

    @contextmanager
    def slot(self, tokens: int, *, urgent: bool = False) -> Iterator[None]:
        """Wait for a turn and hold it. An urgent request waits only where the server said to.

        Raises Closed.
        """
        with self.changed:
            self._patient += not urgent
            try:
                while not self._may_go(tokens, urgent):
                    self.changed.wait(self.quiet() or None)
            finally:
                self._patient -= not urgent
                self.changed.notify_all()
            self._requests += not urgent
            self._tokens += tokens
            if urgent:
                self._asked_at = time.monotonic()
        try:
            yield
        finally:
            with self.changed:
                self._requests -= not urgent
                self._tokens -= tokens
                self.changed.notify_all()

    def eased(self) -> None:
        """A request was answered."""
        with self.changed:
            self._width = min(self._width + 1 / int(self._width), float(self._most))
            self.changed.notify_all()

    def overwhelmed(self, began: float) -> None:
        """A request that began then was too much; those of the same moment count as one."""
        with self.changed:
            if began >= self._halved_at:
                self._halved_at = time.monotonic()
                self._width = max(1.0, self._width / 2)

    def quieten(self, seconds: float) -> None:
        """Begin no request for so long."""
        with self.changed:
            self._quiet_until = max(self._quiet_until, time.monotonic() + seconds)

    def close(self) -> None:
        """Whoever waits for a turn gets Closed."""
        with self.changed:
            self.closed = True
            self.changed.notify_all()

    def _may_go(self, tokens: int, urgent: bool) -> bool:
        if self.closed:
            raise Closed
        if self.quiet() > 0:
            return False
        if urgent or not self._requests:
            return True
        fits = self._context is None or self._tokens + tokens <= self._context
        return fits and self._requests < self._breadth()

    def _breadth(self) -> int:
        """Requests that may be under way. Servers take them in order, so where questions come, no
        question waits for more than one other request."""
        asked = time.monotonic() - self._asked_at < QUESTIONS
        return 1 if asked else int(self._width)

    def quiet(self) -> float:
        """Seconds for which no request may begin."""
        return max(0.0, self._quiet_until - time.monotonic())
