"""The query walk: search each index, fuse, cut.

    query → strategy.search … → fuse → deduplicate → limit

A strategy that fails is left out and named; only when all fail is there an error.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from ragkit.errors import QueryError, RagkitError
from ragkit.events import Degraded
from ragkit.types import Hit, Index, Strategy

Fusion: TypeAlias = Callable[[Mapping[str, Sequence[Hit]]], list[Hit]]
"""Rankings by strategy name in, one ranking out."""


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
    deduplicate: bool = True,
) -> Answer:
    """Search all indexes and return at most `limit` hits, best first.

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
            rankings[strategy.name] = strategy.search(index.store, query, candidates)
        except RagkitError as error:
            errors.append(error)
            degraded.append(Degraded(strategy.name, error.message))
        stages.append((strategy.name, time.perf_counter() - started))
    if errors and not rankings:
        raise errors[0]
    started = time.perf_counter()
    hits = fuse(rankings)
    if deduplicate:
        hits = list(distinct(hits))
    stages.append(("fusion", time.perf_counter() - started))
    return Answer(query, hits[:limit], tuple(stages), tuple(degraded))


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
