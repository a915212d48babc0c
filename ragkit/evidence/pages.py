"""How many hits a budget holds, and which lines of them are one passage."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from ragkit import lexical
from ragkit.errors import QueryError
from ragkit.evidence.context import together
from ragkit.evidence.cursor import Position
from ragkit.evidence.lines import lines_of
from ragkit.evidence.tokens import tokens_of
from ragkit.types import Chunk, Hit

LEAST_CUT = 4
"""Units of a hit that are worth beginning with at the end of a page."""


class Part(NamedTuple):
    """Units of a file that a hit brings to a page, ascending; they need not be neighbours."""

    rank: int
    """The hit's place in the ranking, from 0."""
    units: Sequence[int]


class Run(NamedTuple):
    """Neighbouring units of a file on one page."""

    first: int
    last: int
    ranks: tuple[int, ...]
    """The hits that bring them, best first."""
    tokens: int


def head(path: str, start_line: int, end_line: int, context: str) -> str:
    """`path:start-end  Store > replace`."""
    location = f"{path}:{start_line}-{end_line}"
    return f"{location}  {context}" if context else location


class Source:
    """One file of a ranking: its lines, and which of them each of its hits is the first to have."""

    def __init__(self, path: str, hits: Sequence[tuple[int, Hit]], chunks: Sequence[Chunk]) -> None:
        """`hits` are those of this file with their ranks, best first; `chunks` are all it has."""
        self.path = path
        self._hits = dict(hits)
        self.lines = lines_of(chunks)
        self.new: dict[int, list[int]] = {}
        """By rank: the units that no better hit has."""
        own = [hit.chunk for hit in self._hits.values()]
        fits = all(self.lines.text[chunk.start : chunk.end] == chunk.text for chunk in own)
        if not fits:  # the file was indexed again since it was searched: what was found is shown
            self.lines = lines_of(sorted(own, key=lambda chunk: (chunk.start, -chunk.end)))
        self._taken: set[int] = set()
        for rank, hit in hits:
            covered = self.lines.covering(hit.chunk)
            self.new[rank] = [unit for unit in covered if unit not in self._taken]
            self._taken.update(covered)
        if not fits:  # and nothing is known of what lies between
            self._taken.update(range(len(self.lines.starts)))

    def runs(self, parts: Sequence[Part], widest: int) -> list[Run]:
        """The units of these parts by place, neighbours in one run.

        A gap between two that is in no hit goes with them where showing it costs no more than
        another head would, or where it is of at most `widest` lines.
        """
        owners = {unit: part.rank for part in parts for unit in part.units}
        found: list[tuple[int, int, set[int]]] = []
        for unit in sorted(owners):
            if found and (unit == found[-1][1] + 1 or self._bridged(found[-1][1], unit, widest)):
                first, _, ranks = found.pop()
                found.append((first, unit, ranks | {owners[unit]}))
            else:
                found.append((unit, unit, {owners[unit]}))
        return [self._priced(first, last, tuple(sorted(ranks))) for first, last, ranks in found]

    def _bridged(self, last: int, first: int, widest: int) -> bool:
        """Whether the gap between two units is shown too."""
        gap = range(last + 1, first)
        if not self._taken.isdisjoint(gap):
            return False
        if self.lines.numbers[first] - self.lines.numbers[last] - 1 <= widest:
            return True
        return sum(map(self.lines.tokens, gap)) <= _LEAST_HEAD

    def _priced(self, first: int, last: int, ranks: tuple[int, ...]) -> Run:
        body = sum(self.lines.tokens(unit) for unit in range(first, last + 1))
        # and the line breaks of the head and of the empty line between passages
        top = tokens_of(self.head(first, last, ranks) + "\n\n")
        return Run(first, last, ranks, math.ceil(top + body))

    def head(self, first: int, last: int, ranks: Sequence[int]) -> str:
        """What stands over the units first … last."""
        numbers = self.lines.numbers
        return head(self.path, numbers[first], numbers[last], self.context(ranks))

    def context(self, ranks: Sequence[int]) -> str:
        """That of the hits of these ranks, in the order of their lines."""
        chunks = sorted((self._hits[rank].chunk for rank in ranks), key=lambda chunk: chunk.start)
        return together([chunk.context for chunk in chunks])

    def showing(self, run: Run, until: int) -> list[int]:
        """Ranks below `until` of the hits that the run shows lines of, best first."""
        ranks = (rank for rank in self._hits if rank < until)
        shown = range(run.first, run.last + 1)
        covered = {rank: self.lines.covering(self._hits[rank].chunk) for rank in ranks}
        return [
            rank
            for rank, units in covered.items()
            if units.start < shown.stop and shown.start < units.stop
        ]

    def best_unit(self, units: Sequence[int], query: str) -> int:
        """Index of the one that has most of the query's words; the first of several."""
        starts, text = self.lines.starts, self.lines.text
        ends = [*starts[1:], len(text)]
        told = [lexical.weight(text[starts[unit] : ends[unit]], query) for unit in units]
        return told.index(max(told))


_LEAST_HEAD = 10.0
"""Tokens that a head has at least."""


@dataclass(slots=True)
class Page:
    """Hits, as far as a budget holds them."""

    query: str
    hits: Sequence[Hit]
    chunks: Callable[[str], Sequence[Chunk]]
    """All chunks of a file, in order."""
    max_tokens: int
    gap: int
    """Lines between two passages that are shown where there is room for them."""
    _sources: dict[str, Source] = field(default_factory=dict)
    _parts: dict[str, list[Part]] = field(default_factory=dict)
    _tokens: dict[str, int] = field(default_factory=dict)
    """Of the parts of each file."""

    def fill(self, position: Position) -> Position:
        """Take what fits from `position` on; the position behind it.

        Raises QueryError where not even one line fits.
        """
        rank, first, last = position.hits, position.first, position.last
        while rank < len(self.hits):
            new = self.source(rank).new[rank]
            rest = [*new[:first], *new[last:]]
            if rest and not self._take(rank, rest):
                first, last = self._cut(rank, new, first, last)
                return Position(rank, first, last)
            rank, first, last = rank + 1, 0, 0
        return Position(rank)

    def runs(self) -> list[tuple[Source, Run]]:
        """What was taken, by its best hits, with as wide gaps as there is room for."""
        for widest in range(self.gap, -1, -1):
            found = [
                (source, run)
                for path, parts in self._parts.items()
                for source in [self._sources[path]]
                for run in source.runs(parts, widest)
            ]
            if widest == 0 or sum(run.tokens for _, run in found) <= self.max_tokens:
                break
        return sorted(found, key=lambda pair: (pair[1].ranks[0], pair[1].first))

    def source(self, rank: int) -> Source:
        """The file of a hit."""
        path = self.hits[rank].chunk.path
        if path not in self._sources:
            own = [(i, hit) for i, hit in enumerate(self.hits) if hit.chunk.path == path]
            self._sources[path] = Source(path, own, self.chunks(path))
        return self._sources[path]

    def _tried(self, rank: int, units: Sequence[int]) -> tuple[list[Part], int, int]:
        """With these units of a hit: the parts of its file, their tokens, those of the page."""
        source = self.source(rank)
        parts = [*self._parts.get(source.path, ()), Part(rank, units)]
        tokens = sum(run.tokens for run in source.runs(parts, 0))
        others = sum(self._tokens.values()) - self._tokens.get(source.path, 0)
        return parts, tokens, others + tokens

    def _take(self, rank: int, units: Sequence[int]) -> bool:
        """Add units of a hit if they fit."""
        parts, tokens, total = self._tried(rank, units)
        if total > self.max_tokens:
            return False
        path = self.hits[rank].chunk.path
        self._parts[path], self._tokens[path] = parts, tokens
        return True

    def _cut(self, rank: int, new: Sequence[int], first: int, last: int) -> tuple[int, int]:
        """Take what fits of a hit that does not fit as a whole.

        `new` are its units, of which first … last - 1 were shown before; what is shown then.
        Raises QueryError where the page is empty and remains so.
        """
        shown: tuple[int, int] | None = None
        for start, end in self._widening(rank, new, first, last):
            units = _without(new, start, end, first, last)
            if self._tried(rank, units)[2] > self.max_tokens:
                break
            shown = start, end
        if shown is None and not self._parts:
            raise self._too_small(rank, new, first, last)
        least = min(LEAST_CUT, len(new) - (last - first)) if self._parts else 1
        if shown is None or len(units := _without(new, *shown, first, last)) < least:
            return first, last
        self._take(rank, units)
        return shown

    def _widening(
        self, rank: int, new: Sequence[int], first: int, last: int
    ) -> Iterator[tuple[int, int]]:
        """Spans of `new`, each of one unit more: from the best line to both sides.

        Where a part was shown before, what follows it comes next, then what goes before it.
        """
        alternating = last == 0
        if alternating:
            first = self.source(rank).best_unit(new, self.query)
            last = first + 1
            yield first, last
        while first > 0 or last < len(new):
            if last < len(new):
                last += 1
                yield first, last
            if first > 0 and (alternating or last == len(new)):
                first -= 1
                yield first, last

    def _too_small(self, rank: int, new: Sequence[int], first: int, last: int) -> QueryError:
        start, end = next(self._widening(rank, new, first, last))
        least = self._tried(rank, _without(new, start, end, first, last))[2]
        return QueryError(
            f"{self.max_tokens} tokens are too few for any evidence",
            remedy=f"give {least} or more",
        )


def _without(new: Sequence[int], start: int, end: int, first: int, last: int) -> list[int]:
    """What start … end has of `new` besides first … last, which it holds or is apart from."""
    return [unit for i, unit in enumerate(new[start:end], start) if not first <= i < last]
