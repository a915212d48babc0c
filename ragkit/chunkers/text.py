"""Plain text: windows of `size` characters that overlap, cut at words if asked.

The windows of docker-agent, with its losses repaired: where a window holds no boundary to cut at,
the next one begins `overlap` characters before the cut, not at the next word. Chinese and Japanese
punctuation is a boundary too. Time is linear in the text for a fixed size and overlap.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from ragkit.chunkers.spans import Span, chunks
from ragkit.types import Chunk, Document

_SPACE = " \t\n\r\u3000"
_STOPS = "。！？；，、"
_GAP = re.compile(f"[{_SPACE}]+|[{_STOPS}][{_SPACE}]*")
_RUN = re.compile(f"[{_SPACE}]*")


def chunk(document: Document, *, size: int, overlap: int, words: bool) -> list[Chunk]:
    """The document in windows of at most `size` characters; `words`: cut between words."""
    text = document.text
    found = windows(text, 0, len(text), size=size, overlap=overlap, words=words)
    return chunks(document, (Span(start, end) for start, end in found))


def normalised(size: int, overlap: int) -> tuple[int, int]:
    """The size and overlap that docker-agent would use for these."""
    if size <= 0:
        size = 1000
    overlap = max(overlap, 0)
    if overlap >= size:
        overlap = size // 2
    return size, overlap


def windows(
    text: str, start: int, stop: int, *, size: int, overlap: int, words: bool
) -> Iterator[tuple[int, int]]:
    """Windows over text[start:stop], without the whitespace around them: (start, end) offsets.

    Each has at most `size` characters, none is empty, and every character that is not whitespace
    is in one. With `words`, a window ends before whitespace or behind a full stop where one of its
    last characters (a fifth of `size`, at least 50 and at most 500) allows it.
    """
    size, overlap = normalised(size, overlap)
    while start < stop:
        end = min(start + size, stop)
        boundary = _boundary(text, start, end, size) if words and end < stop else -1
        if boundary > 0:
            end = boundary
        piece = text[start:end]
        first = start + len(piece) - len(piece.lstrip())
        if first < end:
            yield first, start + len(piece.rstrip())
        if end >= stop:
            return
        following = max(end - overlap, start + 1)
        if boundary > 0:
            # subtle: the cut itself is a boundary, so the next window never begins behind it
            gap = _GAP.search(text, following, end)
            following = _after(text, gap.end() if gap else end)
        start = following


def _boundary(text: str, start: int, end: int, size: int) -> int:
    """The last place in (start, end] near `end` where a word or sentence ends, or -1."""
    reach = min(max((size + 1) // 5, 50), 500)
    for at in range(end, max(end - reach, start), -1):
        if text[at] in _SPACE:
            while at > start and text[at - 1] in _SPACE:
                at -= 1
            return at if at > start else -1
        if text[at - 1] in _STOPS:
            return at
    return -1


def _after(text: str, at: int) -> int:
    """`at`, behind the whitespace there."""
    run = _RUN.match(text, at)
    return run.end() if run else at
