"""Threads that wait, and the one that takes what they bring."""

from __future__ import annotations

import threading
from collections.abc import Callable
from functools import partial

import pytest

from ragkit.crew import Crew


def test_results_and_what_is_told_come_to_the_callers_thread() -> None:
    heard: list[tuple[int, str]] = []
    with Crew(3) as crew:

        def task(number: int) -> int:
            crew.tell(number)
            return number * 10

        def hear(number: int) -> None:
            heard.append((number, threading.current_thread().name))

        done = list(crew.done((partial(task, n) for n in range(50)), hear))
    assert sorted(done) == [n * 10 for n in range(50)]
    assert sorted(heard) == [(n, threading.current_thread().name) for n in range(50)]


def test_no_more_tasks_are_taken_than_threads_and_one() -> None:
    taken = 0

    def tasks() -> object:
        nonlocal taken
        for _ in range(100):
            taken += 1
            yield lambda: None

    with Crew(2) as crew:
        for ended, _ in enumerate(crew.done(tasks(), print), 1):  # type: ignore[arg-type]
            assert taken <= ended + 3


def test_the_first_failure_is_raised_and_all_that_was_told_before_is_heard() -> None:
    heard: list[str] = []
    with Crew(1) as crew:

        def good() -> None:
            crew.tell("kept")

        def bad() -> None:
            crew.tell("kept too")
            raise ValueError("the server died")

        tasks: list[Callable[[], None]] = [good, bad, good, good]
        with pytest.raises(ValueError, match="the server died"):
            list(crew.done(tasks, heard.append))
    assert heard == ["kept", "kept too"]


def test_a_caller_that_leaves_early_stops_the_crew() -> None:
    begun: list[int] = []
    release = threading.Event()
    with Crew(1) as crew:

        def task(number: int) -> int:
            begun.append(number)
            if number:
                release.wait(5)
                crew.tell("nobody listens")
            return number

        results = crew.done((partial(task, n) for n in range(10)), print)
        assert next(results) == 0
        results.close()  # type: ignore[attr-defined]
        release.set()
    assert begun in ([0], [0, 1])
