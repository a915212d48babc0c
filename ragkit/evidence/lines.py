"""A file's lines, put together again from its chunks: nothing but the index is read."""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from ragkit.evidence.tokens import tokens_of
from ragkit.types import Chunk
from ragkit.whole_files import joined

LONGEST_LINE = 1_000
"""Characters; a longer line is taken in pieces, since none may be worth a whole budget."""

_BROKEN = 4.0  # tokens that a word has more than its two parts, at most
_PIECE = 400  # characters of such a piece, about
_WORD_END = re.compile(r"\s+")


@dataclass(frozen=True, slots=True)
class Lines:
    """A file's text in units that are shown whole or not at all: its lines, long ones in pieces."""

    text: str
    starts: tuple[int, ...]
    """Character offset of each unit, ascending; the first is 0."""
    numbers: tuple[int, ...]
    """The line that each unit lies in, from 1."""
    _tokens: dict[int, float] = field(default_factory=dict)

    def tokens(self, unit: int) -> float:
        """What a unit costs, with a line break behind it: one is written even if it has none."""
        if unit not in self._tokens:
            end = self.starts[unit + 1] if unit + 1 < len(self.starts) else len(self.text)
            text = self.text[self.starts[unit] : end]
            broken = not text[-1:].isspace() and end < len(self.text)
            self._tokens[unit] = tokens_of(text.removesuffix("\n") + "\n") + _BROKEN * broken
        return self._tokens[unit]

    def lines_in(self, first: int, last: int) -> int:
        """How many lines the units first … last are of."""
        return self.numbers[last] - self.numbers[first] + 1

    def covering(self, chunk: Chunk) -> range:
        """The units that a chunk of this file touches; at least one."""
        first = bisect_right(self.starts, chunk.start) - 1
        last = bisect_right(self.starts, max(chunk.end - 1, chunk.start)) - 1
        return range(first, last + 1)

    def between(self, first: int, last: int) -> tuple[int, int]:
        """Where the text of the units first … last lies, its last line break left out."""
        start = self.starts[first]
        end = self.starts[last + 1] if last + 1 < len(self.starts) else len(self.text)
        return start, end - self.text.endswith("\n", start, end)


def lines_of(chunks: Sequence[Chunk]) -> Lines:
    """The lines of a file that has these chunks, in order of their starts; empty for none.

    White space between chunks is as `joined` has it. Before the first, all is white space, so that
    offsets and line numbers are those of the file.
    """
    text = ""
    if chunks:
        first = chunks[0]
        known = first.index == 0  # then `joined` begins at the beginning
        above = 0 if known else first.start_line - 1
        text = " " * (0 if known else first.start - above) + "\n" * above + joined(chunks)
    starts, numbers = [], []
    for number, start, end in _numbered(text):
        for piece in _pieces(text, start, end):
            starts.append(piece)
            numbers.append(number)
    return Lines(text, tuple(starts), tuple(numbers))


def _numbered(text: str) -> Iterator[tuple[int, int, int]]:
    """(number, start, end) of each line, its line break included."""
    start, number = 0, 1
    while start < len(text):
        found = text.find("\n", start)
        end = len(text) if found < 0 else found + 1
        yield number, start, end
        start, number = end, number + 1


def _pieces(text: str, start: int, end: int) -> Iterator[int]:
    """Where the units of a line begin."""
    yield start
    if end - start <= LONGEST_LINE:
        return
    while end - start > _PIECE + _PIECE // 2:
        space = _WORD_END.search(text, start + _PIECE, start + _PIECE + _PIECE // 4)
        start = space.end() if space else start + _PIECE
        yield start
