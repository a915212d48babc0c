"""What an examination finds, and how one is timed."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from time import perf_counter
from typing import Literal, TypeAlias, TypeVar

State: TypeAlias = Literal["ok", "warning", "failure", "skipped"]
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at, and how it is."""

    check: str
    """What was looked at, for programs: `runner.place`, `model.embedding`, …"""
    subject: str
    """Whose it is: `Docker Model Runner`, or a model as the configuration names it."""
    state: State
    """warning: it works, and not as well as it could; skipped: not looked at, or not needed."""
    detail: str
    remedy: str = ""
    """What to do, one step a line; "" where nothing is to be done."""
    seconds: float | None = None
    """How long what was tried took; None where nothing was."""
    data: Mapping[str, object] = field(default_factory=dict)
    """The figures of the detail."""


def timed(work: Callable[[], T]) -> tuple[T, float]:
    """What it returns, and the seconds that it took."""
    begun = perf_counter()
    value = work()
    return value, perf_counter() - begun
