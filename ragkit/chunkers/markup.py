"""Markup: sections by their headings, packed up to size; fences and tables whole where they fit.

The context is the heading path, `Guide > Install`. What is too large is cut at blank lines, then
at lines, then at words. Chunks do not overlap, and together hold all that is not whitespace.

Only headings and blocks matter here, so lines are scanned, not parsed.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from typing import NamedTuple

from ragkit.chunkers.packing import GLUED, Atom, pack
from ragkit.chunkers.spans import chunks
from ragkit.types import Chunk, Document

_BLOCK = 10  # depth of a block; headings have their level, 1 … 9


class Line(NamedTuple):
    """A line that begins something."""

    start: int
    """Character offset."""
    level: int
    """Of the heading from 1, or 0 for a block."""
    title: str = ""
    glued: bool = False


def chunk(document: Document, *, size: int) -> list[Chunk]:
    """The document in chunks of at most `size` characters."""
    text = document.text
    outline = OUTLINES[document.language or "markdown"]
    return chunks(document, pack(text, _atoms(outline(text)), size=size, small=size // 3))


def _atoms(lines: Iterator[Line]) -> list[Atom]:
    atoms = [Atom(0, 0)]
    path: list[tuple[int, str]] = []
    scope: tuple[str, ...] = ()
    under_heading = False
    for line in lines:
        if line.level:
            while path and path[-1][0] >= line.level:
                path.pop()
            path.append((line.level, line.title))
            scope = tuple(title for _, title in path if title)
            depth = min(line.level, _BLOCK - 1)
            under_heading = True
        else:
            depth = _BLOCK + GLUED * (under_heading or line.glued)
            under_heading = False
        atoms.append(Atom(line.start, depth, scope))
    return atoms


_FENCE = re.compile(r"[ \t>]*(`{3,}(?!.*`)|~{3,})")
_ATX = re.compile(r" {0,3}(#{1,6})(?:[ \t]+(.*?))??(?:[ \t]+#+)?[ \t]*$")
_SETEXT = re.compile(r" {0,3}(=+|-+)[ \t]*$")
_NOT_A_TITLE = re.compile(r"[ \t]*(?:[-*+>|]|\d+[.)]|$)|    ")


def markdown(text: str) -> Iterator[Line]:
    """Headings (ATX and Setext) and blocks; nothing inside front matter and fences is either."""
    fence = ""
    blank = True
    titled = -1  # start of the line before, if it can be the title of a Setext heading
    for start, line in _lines(text, _front_matter(text)):
        if fence:
            if line.strip(" \t>").startswith(fence) and not line.strip(" \t>" + fence[0]):
                fence, blank = "", True
            continue
        opened = _FENCE.match(line)
        heading = None if opened else _ATX.match(line)
        underline = _SETEXT.match(line) if titled >= 0 else None
        if opened:
            fence = opened[1]
            yield Line(start, 0, glued=not blank)
        elif heading:
            yield Line(start, len(heading[1]), _plain(heading[2] or ""))
        elif underline:
            yield Line(titled, 1 if underline[1][0] == "=" else 2, _plain(text[titled:start]))
        elif blank and line.strip():
            yield Line(start, 0, glued=line[0] in " \t")
        titled = -1 if opened or heading or underline or _NOT_A_TITLE.match(line) else start
        blank = not line.strip() or bool(heading or underline)


def _front_matter(text: str) -> int:
    """Where the YAML between `---` lines at the top ends, or 0."""
    found = re.match(r"---[ \t]*\n(?s:.*?)^(?:---|\.\.\.)[ \t]*(?:\n|\Z)", text, re.MULTILINE)
    return found.end() if found else 0


def _lines(text: str, start: int = 0) -> Iterator[tuple[int, str]]:
    while start < len(text):
        newline = text.find("\n", start)
        end = len(text) if newline < 0 else newline
        yield start, text[start:end]
        start = end + 1


def _plain(title: str) -> str:
    """A title without its markup: links, code marks, emphasis and {#anchors}."""
    title = re.sub(r"!?\[([^\]]*)\](?:\([^)]*\)|\[[^\]]*\])?", r"\1", title)
    title = re.sub(r"\{[#.:][^}]*\}", "", title)
    return " ".join(title.replace("`", "").replace("**", "").strip("#*_ \t\n").split())


OUTLINES: Mapping[str, Callable[[str], Iterator[Line]]] = {"markdown": markdown}
