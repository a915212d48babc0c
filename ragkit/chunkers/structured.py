"""Which chunker cuts which language along its structure."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from ragkit.chunkers import code, markup
from ragkit.chunkers.outlines import OUTLINES
from ragkit.chunkers.symbols import RULES
from ragkit.types import Chunk

CHUNKERS: Mapping[str, Callable[..., list[Chunk] | None]] = {
    **dict.fromkeys(RULES, code.chunk),
    **dict.fromkeys(OUTLINES, markup.chunk),
}
"""Language → f(document, size=…): its chunks without overlap, or None where it cannot tell."""

CODE = frozenset(RULES)
"""The languages that are source code."""
