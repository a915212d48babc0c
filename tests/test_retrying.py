"""Patience: what is tried again, when, and when it ends."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from ragkit.models.failures import Failure, Trouble
from ragkit.models.http import Reply, Unanswered
from ragkit.models.retrying import LONGEST_PAUSE, Refused, patiently, pause

OK = Reply(200, {}, b"{}")
BUSY = Reply(503, {}, b"Loading model")
GONE = Unanswered("http://127.0.0.1:1: nothing listens there", "refused")
BROKE = Unanswered("http://127.0.0.1:1: the connection broke off", "reset")


class Clock:
    """Time that passes only in sleep."""

    def __init__(self) -> None:
        self.now = 100.0
        self.slept: list[float] = []

    def __call__(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += seconds


def server(*answers: Reply | Unanswered) -> Callable[[], Reply]:
    """Gives these answers, the last one for ever."""
    left = list(answers)

    def attempt() -> Reply:
        answer = left.pop(0) if len(left) > 1 else left[0]
        if isinstance(answer, Unanswered):
            raise answer
        return answer

    return attempt


def ask(*answers: Reply | Unanswered, deadline: float = 60.0, restarts: int = 0) -> Clock:
    clock = Clock()
    attempt = server(*answers)
    try:
        assert (
            patiently(attempt, deadline=deadline, restarts=restarts, sleep=clock.sleep, clock=clock)
            is OK
        )
    except Refused as error:
        clock.refused = error.failure  # type: ignore[attr-defined]
    return clock


def test_a_good_answer_comes_at_once() -> None:
    assert ask(OK).slept == []
    assert patiently(server(Reply(202, {}, b"")), deadline=1).status == 202


def test_pauses_double() -> None:
    slept = ask(BUSY, BUSY, BUSY, BUSY, OK).slept
    for seconds, least in zip(slept, (1, 2, 4, 8), strict=True):
        assert least <= seconds <= least * 1.25


def test_a_server_that_says_how_long_is_taken_at_its_word() -> None:
    wait = Reply(429, {"retry-after": "3"}, b"")
    assert ask(wait, wait, OK).slept == [3.0, 3.0]


def test_the_deadline_is_for_all_attempts_together() -> None:
    clock = ask(BUSY, deadline=60)
    assert clock.refused.trouble is Trouble.BUSY
    assert sum(clock.slept) < 60


def test_a_wait_beyond_the_deadline_is_not_begun() -> None:
    clock = ask(Reply(429, {"retry-after": "3600"}, b"slow down"), deadline=60)
    assert clock.slept == []
    assert clock.refused == Failure(Trouble.BUSY, 429, "slow down", wait=3600.0)


def test_a_broken_connection_is_tried_four_times_more() -> None:
    assert len(ask(BROKE, deadline=1e6).slept) == 4
    assert len(ask(Reply(502, {}, b""), deadline=1e6).slept) == 4
    assert len(ask(BROKE, BROKE, OK).slept) == 2


def test_a_server_that_was_there_is_given_time_to_restart() -> None:
    assert len(ask(GONE, GONE, OK, restarts=3).slept) == 2
    assert ask(GONE, restarts=3).refused.trouble is Trouble.UNREACHABLE


def test_a_server_that_never_answered_is_not_waited_for() -> None:
    assert ask(GONE).slept == []


@pytest.mark.parametrize(
    "answer",
    [
        Reply(404, {}, b"model not found"),
        Reply(400, {}, b"invalid request"),
        Reply(401, {}, b""),
        Reply(500, {}, b"input (513 tokens) is too large to process"),
        Reply(501, {}, b""),
    ],
)
def test_what_would_happen_again_is_not_tried_again(answer: Reply) -> None:
    assert ask(answer, OK).slept == []


def test_a_model_that_died_is_tried_once_more() -> None:
    died = Reply(500, {}, b'{"type":"error","message":"terminated unexpectedly"}')
    assert len(ask(died, deadline=1e6).slept) == 1


def test_refused_carries_what_the_server_said() -> None:
    with pytest.raises(Refused, match="no such thing") as refused:
        patiently(server(Reply(400, {}, b"no such thing")), deadline=1)
    assert refused.value.failure.status == 400


def test_pauses_have_an_end() -> None:
    failure = Failure(Trouble.BUSY)
    for retry in (5, 10, 100_000):
        assert pause(retry, failure) <= LONGEST_PAUSE * 1.25
