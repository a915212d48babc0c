"""What a system must offer to be measured."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, TypeAlias

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from benchmarks.storing.data import Data

    Floats: TypeAlias = NDArray[np.float32]

DOCUMENT = 20
"""Rows of one document: it is replaced as a whole. Row `i` belongs to document `i // 20`."""

SHARDS = 100
"""Folders over which the documents are dealt out one by one."""

SHARES = {"1 %": 1, "10 %": 10}
"""Filters by what they let through: the first so many shards."""

BATCH = 20_000
"""Rows handed over at one time while building."""


def shard(row: int) -> int:
    """The folder in which a row's document lies."""
    return row // DOCUMENT % SHARDS


class System:
    """A system under test: `build` in one process; `open` and what follows in others.

    `folder` is its own; what `build` leaves there is all that `open` finds. Raise `Unsuited` where
    something cannot be done at all.
    """

    name: ClassVar[str]
    package: ClassVar[str]
    """The distribution whose version counts."""
    imports: ClassVar[Sequence[str]] = ()
    """Modules to import before the clock of the first answer starts."""
    efforts: ClassVar[Sequence[int]] = (0,)
    """Settings from quick to thorough; measured in order until one finds 99 of 100."""
    effort_name: ClassVar[str] = ""
    follows: ClassVar[bool] = False
    """Whether an open reader in another process sees a change at its next question."""
    note: ClassVar[str] = ""

    def __init__(self, folder: Path, data: Data) -> None:
        self.folder = folder
        self.data = data
        self.effort = self.efforts[0]
        self.bytes: int | None = None
        """What its tables take, where `folder` also holds other things; known after `build`."""
        self.parts: dict[str, int] = {}
        """Bytes by what they hold, where it tells; known after `build`."""

    def build(self) -> None:
        raise NotImplementedError

    def open(self, writable: bool) -> None:
        """Get ready to answer; without `writable`, other readers and a writer may be there."""
        raise NotImplementedError

    def set_effort(self, effort: int) -> None:
        self.effort = effort

    def search(self, query: Floats, limit: int, shards: int | None = None) -> Any:
        """The best rows, among those of the first so many shards if told so, as it likes."""
        raise NotImplementedError

    def rows(self, answer: Any) -> Sequence[int]:
        """The rows of an answer, best first; not on the clock."""
        return answer  # type: ignore[no-any-return]

    def replace(self, document: int, vectors: Floats) -> None:
        """Put other vectors in the place of a document's, and make it last."""
        raise Unsuited("rows cannot be replaced")

    def save(self) -> None:
        """Write what `replace` left in memory only; nothing for a database."""

    def processes(self) -> Sequence[int]:
        """Other processes that work for it, such as a server's."""
        return ()

    def close(self) -> None:
        """Let everything go."""


class Unsuited(Exception):
    """What this system cannot do, in words for a table."""


def ids_of(document: int) -> list[int]:
    """The rows of a document."""
    return list(range(document * DOCUMENT, (document + 1) * DOCUMENT))
