"""Evidence for a reader with a budget: the best hits as runs of lines that do not overlap.

    hits, best first → units of lines → as many as fit → passages

Hits are taken in their order until one does not fit; of that one, what fits around the lines that
answer best. What lies close together in a file becomes one passage. The rest is reached by a
cursor, which begins behind all that was shown: over one walk, every line of every hit comes exactly
once.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from ragkit.events import Degraded
from ragkit.evidence import cursor as cursors
from ragkit.evidence.cursor import START, Position
from ragkit.evidence.pages import Page, Run, Source, head
from ragkit.evidence.tokens import tokens_of
from ragkit.types import Chunk, Freshness, Hit

__all__ = ["Pack", "Passage", "pack", "tokens_of"]

GAP = 3
"""Lines between two passages that are shown too, where the budget has room for them."""


@dataclass(frozen=True, slots=True)
class Passage:
    """A run of lines from one file: `text` is that of the lines, as they were indexed."""

    path: str
    start_line: int
    end_line: int
    context: str
    """Enclosing symbols or headings, those of all its hits together; "" at the top."""
    text: str
    score: float
    """Of its best hit."""
    tokens: int
    """Estimated, of the head and the text; see `head`."""
    hits: tuple[Hit, ...]
    """The hits that it shows lines of, best first."""
    ranks: tuple[int, ...]
    """Theirs, from 1, in the ranking that the passages come from."""
    start: int
    """Character offsets into the file's text, half-open. Only a line of over 1,000 characters is
    ever shown in part."""
    end: int
    is_cut: bool = False
    """Whether one of its hits has lines that are not on this page, nor on one before."""
    freshness: Freshness = "fresh"
    """As of a hit."""

    @property
    def location(self) -> str:
        """`path:start-end`, as editors and agents like it."""
        return f"{self.path}:{self.start_line}-{self.end_line}"

    @property
    def head(self) -> str:
        """The line that stands over the text; it is in `tokens`, with an empty line."""
        return head(self.path, self.start_line, self.end_line, self.context)


@dataclass(frozen=True, slots=True)
class Pack:
    """One page of evidence."""

    query: str
    passages: tuple[Passage, ...]
    """Best first; none where nothing was found, or nothing is left."""
    tokens: int
    """Estimated, of all passages with their heads; at most `max_tokens`."""
    max_tokens: int
    cursor: str
    """Goes on behind this page; "" at the end."""
    left_out: int
    """Hits that are still to come, the one that was cut included; better ones may have shown their
    lines."""
    degraded: tuple[Degraded, ...] = ()
    stages: tuple[tuple[str, float], ...] = ()
    """(stage, seconds) of the search, in the order that they ran."""
    generation: int = -1
    """As of an answer; so is the next."""
    indexed_at: float | None = None


def pack(
    query: str,
    hits: Sequence[Hit],
    chunks: Callable[[str], Sequence[Chunk]],
    *,
    max_tokens: int,
    question: str = "",
    cursor: str = "",
    gap: int = GAP,
) -> Pack:
    """The best of `hits` that fits, or what comes after `cursor`.

    `hits` is the whole ranking, best first; `chunks` gives all chunks of a file in order.
    `question` is all that decides about the ranking, so that a cursor is known to belong to it.
    Raises QueryError for a cursor that does not, and for a budget that not even one line fits in.
    """
    position, is_same = cursors.read(cursor, question, hits) if cursor else (START, True)
    page = Page(query, hits, chunks, max_tokens, gap)
    after = page.fill(position)
    passages = tuple(_passage(page, source, run, after) for source, run in page.runs())
    left = len(hits) - after.hits
    changed = Degraded("cursor", "the index has changed since the page before")
    return Pack(
        query=query,
        passages=passages,
        tokens=sum(passage.tokens for passage in passages),
        max_tokens=max_tokens,
        cursor=cursors.written(after, question, hits) if left else "",
        left_out=left,
        degraded=() if is_same else (changed,),
    )


def _passage(page: Page, source: Source, run: Run, after: Position) -> Passage:
    start, end = source.lines.between(run.first, run.last)
    until = after.hits + (after.last > 0)
    ranks = source.showing(run, until)
    return Passage(
        path=source.path,
        start_line=source.lines.numbers[run.first],
        end_line=source.lines.numbers[run.last],
        context=source.context(run.ranks),
        text=source.lines.text[start:end],
        score=page.hits[run.ranks[0]].score,
        tokens=run.tokens,
        hits=tuple(page.hits[rank] for rank in ranks),
        ranks=tuple(rank + 1 for rank in ranks),
        start=start,
        end=end,
        is_cut=after.last > 0 and after.hits in ranks,
    )
