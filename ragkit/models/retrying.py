"""Patience with a server: what is worth trying again, when, and for how long in all."""

from __future__ import annotations

import random
import time
from collections import Counter
from collections.abc import Callable, Mapping
from typing import Final

from ragkit.models.failures import Failure, Trouble, failure_of
from ragkit.models.http import Reply, Unanswered

FIRST_PAUSE = 1.0
"""Seconds before the second attempt; each further pause is twice as long."""

LONGEST_PAUSE = 30.0

RETRIES: Final[Mapping[Trouble, int]] = {
    Trouble.BUSY: 1_000,  # that is, until the deadline
    Trouble.OVERLOADED: 1_000,
    Trouble.TRANSIENT: 4,
    Trouble.SLOW: 1,
    Trouble.DIED: 1,
}
"""How often each trouble is tried again; what is not named here, never."""


class Refused(Exception):
    """The server did not do it, and more attempts are of no use or no time is left for them."""

    def __init__(self, failure: Failure) -> None:
        super().__init__(failure.message or failure.trouble.name)
        self.failure = failure


def patiently(
    attempt: Callable[[], Reply],
    *,
    deadline: float,
    restarts: int = 0,
    sleep: Callable[[float], object] = time.sleep,
    clock: Callable[[], float] = time.monotonic,
) -> Reply:
    """The first 2xx answer that `attempt` brings. Raises Refused.

    `deadline` is in seconds from now, for all attempts and pauses together. A server that nobody
    can connect to is tried `restarts` more times: worth it where it answered a moment ago.
    """
    until = clock() + deadline
    retries = {**RETRIES, Trouble.UNREACHABLE: restarts}
    seen: Counter[Trouble] = Counter()
    while True:
        try:
            reply = attempt()
            if 200 <= reply.status < 300:
                return reply
            failure = failure_of(reply)
        except Unanswered as error:
            failure = failure_of(error)
        seen[failure.trouble] += 1
        wait = pause(seen.total() - 1, failure)
        if seen[failure.trouble] > retries.get(failure.trouble, 0) or clock() + wait >= until:
            raise Refused(failure)
        sleep(wait)


def pause(retry: int, failure: Failure, *, first: float = FIRST_PAUSE) -> float:
    """Seconds to wait before a retry, counted from 0: what the server asks for, else 1, 2, 4, …

    A quarter of chance keeps several clients from coming back all at once.
    """
    if failure.wait is not None:
        return failure.wait
    return min(first * 2.0 ** min(retry, 30), LONGEST_PAUSE) * (1 + random.random() / 4)
