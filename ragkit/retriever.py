"""The query walk: search each index, fuse, rerank, cut.

    query → strategy.search … → fuse → rules → deduplicate → rerank → limit → whole files

A strategy that fails is left out and named; only when all fail is there an error. Where the
reranker fails, the fused order stays, and the answer says so.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import islice
from typing import Final, TypeAlias

from ragkit.duplicates import CLOSELY, distinct
from ragkit.errors import QueryError, RagkitError
from ragkit.events import Degraded
from ragkit.reranking import Reranking, rerank
from ragkit.types import ANYTHING, Filter, Hit, Index, Strategy
from ragkit.whole_files import first_of_each_file, whole

__all__ = ["Answer", "Fusion", "Reranking", "Rules", "Trace", "distinct", "retrieve", "untraced"]

Fusion: TypeAlias = Callable[[Mapping[str, Sequence[Hit]]], list[Hit]]
"""Rankings by strategy name in, one ranking out."""

Rules: TypeAlias = Callable[[str, Sequence[Hit]], list[Hit]]
"""Query and fused ranking in, the ranking in its new order out; what they did is in the scores."""

Trace: TypeAlias = Callable[[str, Sequence[Hit]], None]
"""Is told after each stage its name and the hits that it left, best first: the strategies' names,
fusion, rules, deduplication, reranking, threshold, limit. A stage that failed or is off is not
told; one that is repeated with more candidates is told again."""

DEEPEST: Final = 64
"""Candidates of a strategy at most, for each hit asked, where repetitions must be made up for."""


def untraced(stage: str, hits: Sequence[Hit]) -> None:
    """The trace that nobody reads."""


@dataclass(frozen=True, slots=True)
class Answer:
    """The hits of one query, and how they came about."""

    query: str
    hits: list[Hit]
    stages: tuple[tuple[str, float], ...]
    """(stage, seconds), in the order that they ran."""
    degraded: tuple[Degraded, ...] = ()
    generation: int = -1
    """Of the index that answered: another number after any change. Of several, their sum."""
    indexed_at: float | None = None
    """When a file was last indexed before that, in seconds since the epoch."""


def retrieve(
    query: str,
    indexes: Sequence[Index],
    *,
    fuse: Fusion,
    limit: int,
    rules: Rules | None = None,
    deduplicate: bool = True,
    reranking: Reranking | None = None,
    whole_files: bool = False,
    where: Filter = ANYTHING,
    trace: Trace = untraced,
) -> Answer:
    """Search what `where` lets through of all indexes; at most `limit` hits, best first.

    Each strategy gives as many candidates as it is set to, or `limit` where that is more; still
    more where repetitions would leave the answer short. With `whole_files` every hit is a whole
    file, each file once. Raises QueryError for a query without text, and the first strategy's error
    if all fail.
    """
    if not query.strip():
        raise QueryError("the query is empty", remedy="say what to look for")
    walk = _Walk(query, trace)
    least = limit
    while True:
        rankings, asked = walk.search(indexes, least, where)
        hits = walk.fuse(fuse, rules, rankings)
        if deduplicate:
            with walk.stage("deduplication"):
                # without a second stage, nobody sees more than the first few
                hits = distinct(hits, CLOSELY if reranking or whole_files else min(limit, CLOSELY))
            trace("deduplication", hits)
        found = len({hit.chunk.path for hit in hits} if whole_files else hits)
        is_cut = any(len(ranking) >= asked[name] for name, ranking in rankings.items())
        if found >= limit or not is_cut or least >= DEEPEST * limit:
            break
        least = _deeper(max(asked.values()), found, limit)
    if reranking and hits:
        hits = walk.rerank(hits, reranking)
    if whole_files:
        hits = walk.whole(hits, indexes, limit)
    trace("limit", hits[:limit])
    return Answer(query, hits[:limit], tuple(walk.seconds.items()), walk.notes())


@dataclass(slots=True)
class _Walk:
    """One query on its way, and what there is to tell of it."""

    query: str
    trace: Trace
    seconds: dict[str, float] = field(default_factory=dict)
    """Of each stage, in the order that they began."""
    failed: dict[str, RagkitError] = field(default_factory=dict)
    """Strategies that the last search had to do without."""
    degraded: list[Degraded] = field(default_factory=list)
    """What went otherwise than asked after the search."""

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Take the time of what is done inside."""
        started = time.perf_counter()
        try:
            yield
        finally:
            self.seconds[name] = self.seconds.get(name, 0.0) + time.perf_counter() - started

    def search(
        self, indexes: Sequence[Index], least: int, where: Filter
    ) -> tuple[dict[str, list[Hit]], dict[str, int]]:
        """Rankings by strategy, and how many hits each could have had. Raises as `retrieve`."""
        rankings: dict[str, list[Hit]] = {}
        asked: dict[str, int] = {}
        self.failed.clear()
        for index, strategy in _searches(indexes):
            name, count = strategy.name, max(strategy.limit, least)
            try:
                with self.stage(name):
                    rankings[name] = strategy.search(index.store, self.query, count, where)
            except RagkitError as error:
                self.failed[name] = error
                continue
            asked[name] = count
            self.trace(name, rankings[name])
        if self.failed and not rankings:
            raise next(iter(self.failed.values()))
        return rankings, asked

    def fuse(
        self, fuse: Fusion, rules: Rules | None, rankings: Mapping[str, Sequence[Hit]]
    ) -> list[Hit]:
        """One ranking, ruled."""
        with self.stage("fusion"):
            hits = fuse(rankings)
        self.trace("fusion", hits)
        if rules:
            with self.stage("rules"):
                hits = rules(self.query, hits)
            self.trace("rules", hits)
        return hits

    def rerank(self, hits: list[Hit], reranking: Reranking) -> list[Hit]:
        """In the reranker's order; as they are where it fails."""
        with self.stage("reranking"):
            try:
                reranked = rerank(self.query, hits, reranking)
            except RagkitError as error:
                self.degraded.append(Degraded("reranking", error.message))
                return hits
        if reranked.note:
            self.degraded.append(Degraded("reranking", reranked.note))
        self.trace("reranking", [*reranked.hits, *reranked.refused])
        if reranked.refused:
            self.trace("threshold", reranked.hits)
        return reranked.hits

    def whole(self, hits: Sequence[Hit], indexes: Sequence[Index], limit: int) -> list[Hit]:
        """The files of the best hits."""
        stores = [index.store for index in indexes]
        files = []
        with self.stage("whole files"):
            for hit in islice(first_of_each_file(hits), limit):
                file, note = whole(hit, stores)
                files.append(file)
                if note:
                    self.degraded.append(Degraded("whole files", note))
        return files

    def notes(self) -> tuple[Degraded, ...]:
        """All that went otherwise than asked."""
        searches = (Degraded(name, error.message) for name, error in self.failed.items())
        return (*searches, *self.degraded)


def _deeper(asked: int, found: int, limit: int) -> int:
    """How many candidates should give `limit` hits where `asked` gave fewer; at most 4 times."""
    return min(asked + asked * (limit - found) * 5 // (4 * max(found, 1)) + 8, 4 * asked)


def _searches(indexes: Sequence[Index]) -> Iterator[tuple[Index, Strategy]]:
    for index in indexes:
        for strategy in index.strategies:
            yield index, strategy
