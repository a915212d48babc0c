"""What happens during a walk, told to a listener; how it looks is the listener's business."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

from ragkit.types import Skip


@dataclass(frozen=True, slots=True)
class Waiting:
    """Another process works on a database that is to be indexed; this one waits for it."""

    database: str
    holder: str
    """Which process, by its number and what it is called."""


@dataclass(frozen=True, slots=True)
class Scanned:
    """The folders have been walked."""

    index: str
    found: int
    """Files that belong in the index."""
    stale: int
    """Those of them that must be read."""
    stale_bytes: int
    gone: int
    """Indexed files that no longer belong."""


@dataclass(frozen=True, slots=True)
class Skipped:
    """A file or folder stays out, and why."""

    index: str
    skip: Skip
    size: int = 0
    """Bytes that were read to find out; 0 where its name or size said enough."""


@dataclass(frozen=True, slots=True)
class Embedding:
    """A model server has embedded some texts; the files that they come from may not be done."""

    index: str
    texts: int


@dataclass(frozen=True, slots=True)
class Described:
    """A chat model has described some chunks; the files that they come from may not be done."""

    index: str
    texts: int


@dataclass(frozen=True, slots=True)
class Shortened:
    """A file is indexed, and a model did less with some of its chunks than it was asked to.

    It took less than the whole, or did not describe them.
    """

    index: str
    path: str
    reason: str


@dataclass(frozen=True, slots=True)
class Indexed:
    """A file is in the index as it is on the disk."""

    index: str
    path: str
    size: int
    """Bytes."""
    chunks: int
    embedded: int
    """Chunks whose vector had to be computed."""


@dataclass(frozen=True, slots=True)
class Unchanged:
    """A file was read again and holds what is already indexed."""

    index: str
    path: str
    size: int


@dataclass(frozen=True, slots=True)
class Failed:
    """A file could not be indexed; what was indexed of it stays."""

    index: str
    path: str
    size: int
    reason: str


@dataclass(frozen=True, slots=True)
class Removed:
    """A file is no longer in the index."""

    index: str
    path: str


@dataclass(frozen=True, slots=True)
class Degraded:
    """A stage of a query failed; the answer was made without it."""

    stage: str
    reason: str


Event: TypeAlias = (
    Waiting
    | Scanned
    | Skipped
    | Embedding
    | Described
    | Indexed
    | Shortened
    | Unchanged
    | Failed
    | Removed
    | Degraded
)
Listener: TypeAlias = Callable[[Event], None]


def ignore(event: Event) -> None:
    """The listener that does nothing."""
