"""Hits made whole files, out of what the index holds of them.

The chunks of a file hold all of its text, as it was read when it was indexed, but for white space
between them; how much that was, and how many lines, their places tell. So no file is opened here,
and the text, its lines and the hit's place always belong together, also where the file has changed,
or gone, since.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from typing import Final

from ragkit.types import Chunk, Hit, Store

LARGEST: Final = 200_000
"""Characters of one file that are given, some 50,000 tokens; of a larger one, those around its best
hit."""


def first_of_each_file(hits: Iterable[Hit]) -> Iterator[Hit]:
    """The best hit of each file, in order."""
    seen: set[str] = set()
    for hit in hits:
        if hit.chunk.path not in seen:
            seen.add(hit.chunk.path)
            yield hit


def whole(hit: Hit, stores: Sequence[Store], largest: int = LARGEST) -> tuple[Hit, str]:
    """The hit with its whole file as text, and a note where that is not all of it, "" as a rule.

    Score and history stay the hit's. Raises StoreError.
    """
    path = hit.chunk.path
    chunks = next((chunks for store in stores if (chunks := _holding(store, hit))), [hit.chunk])
    size = max(chunk.end for chunk in chunks)
    shown = _around(chunks, hit.chunk, largest)
    text, last = joined(shown), shown[-1]
    chunk = Chunk(path, 0, text, last.end - len(text), last.end, _first_line(shown), last.end_line)
    note = ""
    if shown[0].start > chunks[0].start or last.end < size:
        lines = f"{chunk.start_line}-{chunk.end_line}"
        note = f"{path}: {size:,} characters are too many; lines {lines} are given"
    return replace(hit, chunk=chunk), note


def joined(chunks: Sequence[Chunk]) -> str:
    """The text that neighbouring chunks of a document cover, in order, what they share given once.

    White space between them comes back as spaces and line feeds, as much as there was; so does what
    is before the very first chunk. What was behind the last is not known.
    """
    first = chunks[0]
    text, end, line = [], first.start, first.start_line
    if first.index == 0:
        end, line = 0, 1
    for chunk in chunks:
        gap = chunk.start - end
        if gap > 0:
            feeds = min(chunk.start_line - line, gap)
            # chunks hold their first indentation: the spaces go where a line is empty, if one is
            text.append("\n" * (feeds - 1) + " " * (gap - feeds) + "\n" * min(feeds, 1))
        if chunk.end > end:
            text.append(chunk.text[max(0, -gap) :])
            end, line = chunk.end, chunk.end_line
    return "".join(text)


def _first_line(chunks: Sequence[Chunk]) -> int:
    return 1 if chunks[0].index == 0 else chunks[0].start_line


def _holding(store: Store, hit: Hit) -> list[Chunk]:
    """The chunks of the hit's file in the store that it came from; [] in any other."""
    chunks = store.chunks(hit.chunk.path)
    same = any((c.start, c.end) == (hit.chunk.start, hit.chunk.end) for c in chunks)
    return sorted(chunks, key=lambda chunk: (chunk.start, chunk.end)) if same else []


def _around(chunks: Sequence[Chunk], best: Chunk, largest: int) -> Sequence[Chunk]:
    """As many neighbours of the best chunk as fit, by turns before and after it."""
    at = next(n for n, c in enumerate(chunks) if (c.start, c.end) == (best.start, best.end))
    starts = [0 if chunk.index == 0 else chunk.start for chunk in chunks]
    first, last = at, at + 1
    while True:
        grown = False
        if last < len(chunks) and chunks[last].end - starts[first] <= largest:
            last, grown = last + 1, True
        if first > 0 and chunks[last - 1].end - starts[first - 1] <= largest:
            first, grown = first - 1, True
        if not grown:
            return chunks[first:last]
