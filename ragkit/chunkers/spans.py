"""Spans of a document's text become its chunks."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from ragkit.types import Chunk, Document


class Span(NamedTuple):
    """A chunk to be: character offsets and its context."""

    start: int
    end: int
    context: str = ""


def chunks(document: Document, spans: Iterable[Span]) -> list[Chunk]:
    """The chunks of these spans: whitespace around them is left out, but not the indentation of
    their first line; a span of whitespace alone is no chunk. Starts must not decrease.
    """
    text = document.text
    result: list[Chunk] = []
    counted, line = 0, 1  # newlines are counted once: from the start of a chunk to the next start
    for start, end, context in spans:
        piece = text[start:end]
        first = start + len(piece) - len(piece.lstrip())
        if first == end:
            continue
        end = start + len(piece.rstrip())
        start = max(start, text.rfind("\n", start, first) + 1)
        line += text.count("\n", counted, start)
        counted = start
        piece = text[start:end]
        last = line + piece.count("\n")
        result.append(Chunk(document.path, len(result), piece, start, end, line, last, context))
    return result
