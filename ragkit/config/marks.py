"""What a configuration key promises beyond its type: `Annotated[int, AtLeast(1)]`.

The decoder enforces these marks and the JSON Schema states them, so a bound is written once.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final, NamedTuple, Protocol, TypeVar, runtime_checkable


@dataclass(frozen=True, slots=True)
class Between:
    """A number's bounds, both included; None: no bound."""

    low: float | None = None
    high: float | None = None


@dataclass(frozen=True, slots=True)
class Only:
    """The key belongs to some values of its mapping's `type` and is an error for the others."""

    types: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Needed:
    """Some values of its mapping's `type` cannot do without the key."""

    types: tuple[str, ...]
    example: str
    """A value to begin with, for the remedy."""


@dataclass(frozen=True, slots=True)
class Also:
    """Another spelling: a key (for a field) or a word (for a choice).

    A field's other spelling is accepted with a warning, a choice's without: both of its words are
    documented.
    """

    name: str
    means: str = ""


@dataclass(frozen=True, slots=True)
class Moved:
    """An old place of another key; accepted with a warning."""

    to: str


@dataclass(frozen=True, slots=True)
class Mark:
    """A mark that needs no more than its name."""

    name: str


GIVEN: Final = Mark("given")
"""Not a key of the file: the decoder fills it in (see `Decoder.section`)."""
DURATION: Final = Mark("duration")
"""Seconds, written as `90`, `30m` or `1m30s`."""
NONEMPTY: Final = Mark("nonempty")
"""A text or a list with something in it."""
ZERO_UNSETS: Final = Mark("zero unsets")
"""A written 0 means the default, as docker-agent has it."""


class Problem(NamedTuple):
    """What a value has wrong: the key below it (dotted, "" for itself), and what to do."""

    key: str
    text: str
    remedy: str = ""


@runtime_checkable
class Checked(Protocol):
    """A section with rules that tie its keys together."""

    def problems(self) -> Iterator[Problem]: ...


T = TypeVar("T")


def hidden(default: T) -> T:
    """A field that says where a value was written: it plays no part in equality or repr."""
    value: T = field(default=default, compare=False, repr=False)
    return value
