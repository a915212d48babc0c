"""What lint finds."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

State: TypeAlias = Literal["mend", "differs", "ignored", "honoured"]
"""mend: it is wrong, or does not do what it looks like. differs: it works otherwise than in
docker-agent. ignored: it has no effect. honoured: it works as it is written."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing about one key of a file."""

    state: State
    file: str
    line: int
    """From 1."""
    key: str
    """Dotted, as in `rag.code.results.limit`."""
    text: str
    """What about it; "" for an honoured one."""
    remedy: str = ""
    """What to do; "" where nothing is to be done."""
    see: str = ""
    """Where the documentation says more: `docs/compat.md#limits`."""

    def __str__(self) -> str:
        text = f": {self.text}" if self.text else ""
        return f"{self.file}:{self.line}: {self.key}{text}"
