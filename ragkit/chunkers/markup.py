"""Text under headings: sections packed up to size, fences and tables whole where they fit.

The context is the path of headings, `Guide > Install`; small neighbours share a chunk, under the
headings that both are under. What is too large is cut at blank lines, then at lines, then at
words. Chunks do not overlap, and together hold all that is not whitespace.
"""

from __future__ import annotations

from collections.abc import Iterable

from ragkit.chunkers.outlines import OUTLINES, Line
from ragkit.chunkers.packing import GLUED, Atom, pack
from ragkit.chunkers.spans import chunks
from ragkit.types import Chunk, Document

_BLOCK = 10  # depth of a block; headings have their level, 1 … 9


def chunk(document: Document, *, size: int) -> list[Chunk]:
    """The document in chunks of at most `size` characters; its language is one of `OUTLINES`."""
    text = document.text
    outline = OUTLINES[document.language or ""]
    return chunks(document, pack(text, _atoms(outline(text)), size=size, small=size // 3))


def _atoms(lines: Iterable[Line]) -> list[Atom]:
    atoms = [Atom(0, 0)]
    path: list[tuple[int, str]] = []  # level and title of the headings above
    scope: tuple[str, ...] = ()
    under_heading = False
    for line in lines:
        if line.level:
            while path and path[-1][0] >= line.level:
                path.pop()
            path.append((line.level, line.title))
            scope = tuple(title for _, title in path if title)
            depth = min(line.level, _BLOCK - 1) + GLUED * line.glued
        else:
            depth = _BLOCK + GLUED * (under_heading or line.glued)
        under_heading = bool(line.title)
        atoms.append(Atom(line.start, depth, scope))
    return atoms
