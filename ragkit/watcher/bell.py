"""A bell: it collects where something happened, and says so when it is quiet again."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

QUIET = 0.15
"""Seconds without an event after which what was heard of is looked at: one save is several."""

SOON = 0.6
"""Seconds after the first event at which it is looked at in any case, where few places are."""

FEW = 50
"""Places that are few. More are a change of branch or an installation, which is waited for."""

LATE = 5.0
"""Seconds for which more are waited for at most."""


class Bell:
    """Collects places that something was heard of, from any thread, until it is quiet."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._rung = threading.Condition()
        self._places: set[str] = set()
        self._first = self._last = 0.0

    def ring(self, *places: str) -> None:
        """Something happened there."""
        with self._rung:
            self._last = self._clock()
            if not self._places:
                self._first = self._last
            self._places.update(places)
            self._rung.notify_all()

    def heard(self, timeout: float) -> set[str]:
        """What it was rung for, once that is over; nothing after `timeout` seconds."""
        ends = self._clock() + timeout
        with self._rung:
            while True:
                now = self._clock()
                due = self._due() if self._places else ends
                if self._places and now >= due:
                    places, self._places = self._places, set()
                    return places
                if now >= ends:
                    return set()
                self._rung.wait(max(0.001, min(due, ends) - now))

    def _due(self) -> float:
        most = SOON if len(self._places) <= FEW else LATE
        return min(self._last + QUIET, self._first + most)
