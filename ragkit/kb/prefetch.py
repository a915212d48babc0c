"""Answers kept for queries that come again, for as long as the index is what it was."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Hashable, Sequence
from dataclasses import replace
from typing import Final

from ragkit.config.rag import Source
from ragkit.retriever import Answer
from ragkit.types import Filter, Index

STAGE: Final = "prefetch"
"""The one stage of an answer that was kept."""


class Prefetch:
    """The last answers, by query, limit and filter; the oldest go first. Thread-safe."""

    def __init__(self, entries: int) -> None:
        """`entries`: most answers kept."""
        self._entries = entries
        self._state: Hashable = None
        self._answers: dict[Hashable, Answer] = {}
        self._changing = threading.Lock()

    def get(
        self,
        query: str,
        limit: int,
        where: Filter,
        indexes: Sequence[Index],
        find: Callable[[], Answer],
        *,
        exact: bool = False,
    ) -> Answer:
        """The answer to a query: kept, or found now where the indexes have changed since.

        White space does not make another query, being `exact` does. An answer that had to do
        without something is not kept, nor one that depends on when files were changed. Raises
        StoreError, and what `find` raises.
        """
        started = time.perf_counter()
        key, state = (" ".join(query.split()), limit, where, exact), state_of(indexes)
        with self._changing:
            if self._state != state:
                self._state = state
                self._answers.clear()
            kept = self._answers.get(key)
        if kept is not None:
            seconds = time.perf_counter() - started
            return replace(kept, query=query, hits=list(kept.hits), stages=((STAGE, seconds),))
        found = find()
        if not (found.degraded or _is_of_its_time(where)):
            with self._changing:
                if self._state == state:
                    self._keep(key, found)
        return found

    def _keep(self, key: Hashable, answer: Answer) -> None:
        self._answers[key] = replace(answer, hits=list(answer.hits))
        while len(self._answers) > self._entries:
            del self._answers[next(iter(self._answers))]


def prefetching(source: Source) -> Prefetch | None:
    """What a knowledge base keeps of its answers; None where it keeps none."""
    settings = source.results.prefetch
    return Prefetch(settings.max_entries) if settings and settings.enabled else None


def state_of(indexes: Sequence[Index]) -> Hashable:
    """Changes with any change of what is indexed, by any process. Raises StoreError."""
    return tuple(index.store.generation for index in indexes)


def _is_of_its_time(where: Filter) -> bool:
    """Whether a file that is merely touched may change what it lets through."""
    return where.modified_after is not None or any(map(_is_of_its_time, where.also))
