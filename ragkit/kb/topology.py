"""The files that earlier answers came from, and what is near them, get a little more.

docker-agent's `topology_prior`: a conversation that has been about some folder most likely still
is. Near is measured by the words of the paths.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Hashable, Iterable, Sequence
from dataclasses import replace
from typing import Final

from ragkit.config.rag import Source
from ragkit.kb.prefetch import state_of
from ragkit.retriever import Rules
from ragkit.types import Hit, Index

WEIGHT: Final = 0.05
HISTORY: Final = 32


class Topology:
    """Remembers the files of earlier answers and prefers what is near them. Thread-safe."""

    def __init__(self, weight: float = WEIGHT, history: int = HISTORY) -> None:
        """`weight`: what a file gains at most, as a share of the best hit's score; `history`: most
        files remembered."""
        self._weight = weight
        self._history = history
        self._state: Hashable = None
        self._seen: dict[str, frozenset[str]] = {}
        self._changing = threading.Lock()

    def after(self, rules: Rules) -> Rules:
        """The rules, and then this one."""
        return lambda query, hits: self.prefer(rules(query, hits))

    def prefer(self, hits: Sequence[Hit]) -> list[Hit]:
        """The hits with what their files gain, best first, ties by their old order.

        How near a file is to an earlier one, from 0 to 1, is among a hit's scores as `topology`.
        """
        with self._changing:
            seen = list(self._seen.values())
        if not seen or not hits:
            return list(hits)
        most = self._weight * max(abs(hit.score) for hit in hits)
        near = {path: _nearness(path, seen) for path in {hit.chunk.path for hit in hits}}
        preferred = [
            replace(hit, score=hit.score + most * share, scores={**hit.scores, "topology": share})
            for hit in hits
            for share in (near[hit.chunk.path],)
        ]
        return sorted(preferred, key=lambda hit: -hit.score)  # stable

    def remember(self, hits: Iterable[Hit], indexes: Sequence[Index]) -> None:
        """An answer had these hits; when the indexes have changed since the last, all that was
        before is forgotten. Of too many files, the first remembered go. Raises StoreError."""
        state = state_of(indexes)
        with self._changing:
            if self._state != state:
                self._state = state
                self._seen.clear()
            for hit in hits:
                self._seen.setdefault(hit.chunk.path, _words(hit.chunk.path))
            while len(self._seen) > self._history:
                del self._seen[next(iter(self._seen))]


def topology(source: Source) -> Topology | None:
    """What a knowledge base remembers of its answers' files; None where it does not."""
    settings = source.results.topology_prior
    if settings is None or not settings.enabled:
        return None
    return Topology(settings.weight or WEIGHT, settings.max_source_history or HISTORY)


def _nearness(path: str, seen: Sequence[frozenset[str]]) -> float:
    """Jaccard similarity of its words with those of the nearest path seen; 1 for the same."""
    words = _words(path)
    return max(len(words & other) / len(words | other) for other in seen) if words else 0.0


def _words(path: str) -> frozenset[str]:
    return frozenset(re.findall(r"[^\W_]+", path.lower()))
