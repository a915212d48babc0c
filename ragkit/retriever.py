"""The query walk: search each index, fuse, rerank, cut.

    query → strategy.search … → fuse → rules → deduplicate → rerank → limit

A strategy that fails is left out and named; only when all fail is there an error. Where the
reranker fails, the fused order stays, and the answer says so.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TypeAlias

from ragkit.errors import QueryError, RagkitError
from ragkit.events import Degraded
from ragkit.strategies.chunked_embeddings import embedded_text
from ragkit.types import ANYTHING, Filter, Hit, Index, Reranker, Strategy

Fusion: TypeAlias = Callable[[Mapping[str, Sequence[Hit]]], list[Hit]]
"""Rankings by strategy name in, one ranking out."""

Rules: TypeAlias = Callable[[str, Sequence[Hit]], list[Hit]]
"""Query and fused ranking in, the ranking in its new order out; what they did is in the scores."""

Trace: TypeAlias = Callable[[str, Sequence[Hit]], None]
"""Is told after each stage its name and the hits that it left, best first: the strategies' names,
fusion, rules, deduplication, reranking, limit. A stage that failed or is off is not told."""


def untraced(stage: str, hits: Sequence[Hit]) -> None:
    """The trace that nobody reads."""


@dataclass(frozen=True, slots=True)
class Reranking:
    """A model that orders the best candidates again, and how much of its word counts."""

    reranker: Reranker
    top_k: int = 0
    """Candidates that it reads, best first; 0: all. The others come after those that it kept."""
    threshold: float = 0.0
    """Least score, from 0 to 1, of a hit that it read."""


@dataclass(frozen=True, slots=True)
class Answer:
    """The hits of one query, and how they came about."""

    query: str
    hits: list[Hit]
    stages: tuple[tuple[str, float], ...]
    """(stage, seconds), in the order that they ran."""
    degraded: tuple[Degraded, ...] = ()


def retrieve(
    query: str,
    indexes: Sequence[Index],
    *,
    fuse: Fusion,
    limit: int,
    rules: Rules | None = None,
    deduplicate: bool = True,
    reranking: Reranking | None = None,
    where: Filter = ANYTHING,
    trace: Trace = untraced,
) -> Answer:
    """Search what `where` lets through of all indexes; at most `limit` hits, best first.

    Each strategy gives as many candidates as it is set to, or `limit` where that is more.
    Raises QueryError for a query without text, and the first strategy's error if all fail.
    """
    if not query.strip():
        raise QueryError("the query is empty", remedy="say what to look for")
    stages: list[tuple[str, float]] = []
    degraded: list[Degraded] = []
    errors: list[RagkitError] = []
    rankings: dict[str, list[Hit]] = {}
    for index, strategy in _searches(indexes):
        started = time.perf_counter()
        try:
            candidates = max(strategy.limit, limit)
            rankings[strategy.name] = strategy.search(index.store, query, candidates, where)
            trace(strategy.name, rankings[strategy.name])
        except RagkitError as error:
            errors.append(error)
            degraded.append(Degraded(strategy.name, error.message))
        stages.append((strategy.name, time.perf_counter() - started))
    if errors and not rankings:
        raise errors[0]
    started = time.perf_counter()
    hits = fuse(rankings)
    stages.append(("fusion", time.perf_counter() - started))
    trace("fusion", hits)
    if rules:
        started = time.perf_counter()
        hits = rules(query, hits)
        stages.append(("rules", time.perf_counter() - started))
        trace("rules", hits)
    if deduplicate:
        hits = list(distinct(hits))
        trace("deduplication", hits)
    if reranking and hits:
        started = time.perf_counter()
        try:
            hits = reranked(query, hits, reranking)
            trace("reranking", hits)
        except RagkitError as error:
            degraded.append(Degraded("reranking", error.message))
        stages.append(("reranking", time.perf_counter() - started))
    trace("limit", hits[:limit])
    return Answer(query, hits[:limit], tuple(stages), tuple(degraded))


def reranked(query: str, hits: Sequence[Hit], reranking: Reranking) -> list[Hit]:
    """The hits that the model read and found good enough, by its score, ties by their old order.

    Those beyond `top_k` follow in their old order; their scores are on another scale, so the two
    are never mixed, and where a threshold asks for a score they are left out. Raises ModelError.
    """
    count = reranking.top_k or len(hits)
    read, unread = hits[:count], hits[count:]
    texts = [embedded_text(hit.chunk) for hit in read]
    scores = reranking.reranker.rerank(query, texts)
    pairs = [pair for pair in zip(scores, read, strict=True) if pair[0] >= reranking.threshold]
    pairs.sort(key=lambda pair: -pair[0])  # stable: equal scores keep the fused order
    scored = [
        replace(
            hit,
            score=score,
            scores={**hit.scores, "reranking": score, "reranking.rank": rank},
        )
        for rank, (score, hit) in enumerate(pairs, 1)
    ]
    return scored if reranking.threshold > 0 else [*scored, *unread]


def distinct(hits: Iterable[Hit]) -> Iterator[Hit]:
    """Hits whose text no better hit has; surrounding white space does not count."""
    seen: set[str] = set()
    for hit in hits:
        text = hit.chunk.text.strip()
        if text not in seen:
            seen.add(text)
            yield hit


def _searches(indexes: Sequence[Index]) -> Iterator[tuple[Index, Strategy]]:
    for index in indexes:
        for strategy in index.strategies:
            yield index, strategy
