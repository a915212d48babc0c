"""How deep a strategy has an expected file, where it is not among the candidates."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

from ragkit.kb.expected import Expected
from ragkit.kb.explanation import Step
from ragkit.strategies.bm25 import BM25
from ragkit.strategies.chunked_embeddings import ChunkedEmbeddings
from ragkit.strategies.semantic_embeddings import SemanticEmbeddings
from ragkit.types import Chunk, Entry, Filter, Hit, Index, Strategy

WORDS = 8
"""Words of a query that are listed; of a pasted page, all would be no help."""


@dataclass(frozen=True, slots=True)
class Depth:
    """Where one strategy has the expected file."""

    step: Step
    verdict: str = ""
    """candidates: too deep, or nowhere; threshold; failed; "" where it is among the candidates."""


def ranked_in(hits: Sequence[Hit], sought: Expected) -> int | None:
    """Rank, from 1, of the first hit that shows what is sought."""
    return next((n for n, hit in enumerate(hits, 1) if sought.is_in(hit.chunk)), None)


def step_of(
    stage: str, hits: Sequence[Hit], rank: int | None, detail: str = "", *, kept: bool = True
) -> Step:
    """The step of a stage that has it at this rank, or nowhere."""
    if rank is None:
        return Step(stage, False, of=len(hits), detail=detail)
    hit = hits[rank - 1]
    chunk = hit.chunk
    lines = (chunk.start_line, chunk.end_line)
    context = chunk.context
    return Step(stage, kept, rank, len(hits), hit.score, chunk.path, lines, context, detail)


def depth_of(
    strategy: Strategy,
    index: Index,
    query: str,
    sought: Expected,
    where: Filter,
    given: Sequence[Hit],
    limit: int,
) -> Depth:
    """Look for it among the hits that the strategy gave, then among all that it could give.

    Raises as the strategy's search.
    """
    if rank := ranked_in(given, sought):
        words = _words(strategy, query, [given[rank - 1].chunk])
        return Depth(step_of(strategy.name, given, rank, words))

    def search(strategy: Strategy, where: Filter) -> list[Hit]:
        everything = index.store.statistics().chunks
        return strategy.search(index.store, query, everything, where)

    def missed(verdict: str, hits: Sequence[Hit], rank: int, why: str) -> Depth:
        words = _words(strategy, query, [hits[rank - 1].chunk])
        detail = "; ".join(part for part in (why, words) if part)
        return Depth(step_of(strategy.name, hits, rank, detail, kept=False), verdict)

    hits = search(strategy, where)
    if rank := ranked_in(hits, sought):
        if rank <= len(given):  # among its candidates, if every vector had been compared
            return missed("candidates", hits, rank, "missed by the quick look; --exact finds it")
        last = f", the last with {given[-1].score:.3f}" if given else ""
        return missed("candidates", hits, rank, f"beyond its {len(given)} candidates{last}")
    free = _unbounded(strategy)
    hits = search(free, where)
    if rank := ranked_in(hits, sought):
        why = f"below its threshold {_threshold(strategy):g}"
        if rank <= max(strategy.limit, limit):
            return missed("threshold", hits, rank, why)
        why += f", and beyond its {strategy.limit} candidates"
        return missed("candidates", hits, rank, why)
    chunks = [chunk for chunk in index.store.chunks(sought.path) if sought.is_in(chunk)]
    detail = _words(strategy, query, chunks) if chunks else "no word of the query"
    return Depth(step_of(strategy.name, hits, None, detail), "candidates")


_SCORING: Final = (BM25, ChunkedEmbeddings, SemanticEmbeddings)
"""The strategies that have a threshold."""


def _threshold(strategy: Strategy) -> float:
    return strategy.threshold if isinstance(strategy, _SCORING) else 0.0


def _unbounded(strategy: Strategy) -> Strategy:
    """The same strategy without its threshold."""
    if isinstance(strategy, _SCORING):
        return replace(strategy, threshold=-1.0)  # no cosine and no BM25 score is below
    return strategy


def _words(strategy: Strategy, query: str, chunks: Sequence[Chunk]) -> str:
    """`has a, b; lacks c`: words of the query in these chunks; "" for what is not of words."""
    if not isinstance(strategy, BM25):
        return ""
    asked = strategy.words_asked(query)
    if not asked:
        return "the query has no word"
    found = {word for chunk in chunks for word in strategy.words_of(Entry(chunk)).split()}
    said = []
    for verb, words in (
        ("has", [word for word in asked if word in found]),
        ("lacks", [word for word in asked if word not in found]),
    ):
        if words:
            more = f" and {len(words) - WORDS} more" if len(words) > WORDS else ""
            said.append(f"{verb} {', '.join(words[:WORDS])}{more}")
    return "; ".join(said)
