"""What a watcher tells."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

from ragkit.events import Event

if TYPE_CHECKING:
    from ragkit.indexer import Summary


@dataclass(frozen=True, slots=True)
class Swept:
    """One walk, in which something was done."""

    knowledge_base: str
    summaries: tuple[Summary, ...]
    events: tuple[Event, ...]
    seconds: float


@dataclass(frozen=True, slots=True)
class Watching:
    """From now on, every change is noticed."""

    knowledge_base: str
    root: str
    polls: bool
    """Whether by looking at everything again and again."""


@dataclass(frozen=True, slots=True)
class Standby:
    """Another process watches a database; this one takes over when that one ends."""

    database: str
    holder: str


@dataclass(frozen=True, slots=True)
class Trouble:
    """Something keeps it from working as it should; what is indexed stays, and it goes on."""

    what: str
    remedy: str = ""


@dataclass(frozen=True, slots=True)
class Well:
    """What was trouble is none any more."""

    what: str


Told: TypeAlias = Swept | Watching | Standby | Trouble | Well
Tell: TypeAlias = Callable[[Told], None]
