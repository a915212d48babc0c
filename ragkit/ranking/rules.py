"""The rules. Each takes what is asked, the hits and their shares; it gives a factor for each hit.

The constants were chosen by measurement, see benchmarks/ablation.py.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from ragkit.ranking import paths
from ragkit.ranking.asked import Asked
from ragkit.types import Hit

_DEFINED = 0.4
_STEM = 0.3
_FILE = 0.5
_COHERENT = 0.1
_OTHERS = 3
"""Chunks of a file, besides its best, that speak for it."""


def definitions(asked: Asked, hits: Sequence[Hit], shares: Sequence[float]) -> list[float]:
    """Lift chunks that define a symbol which the query names."""
    wanted = asked.identifiers or (asked.names if asked.kind == "symbol" else frozenset())
    if not wanted:
        return [1.0] * len(hits)
    return [1.0 if wanted.isdisjoint(defined(hit)) else 1 + _DEFINED for hit in hits]


def defined(hit: Hit) -> list[str]:
    """The symbols that a chunk of code defines, without their scopes, as its context has them."""
    last = hit.chunk.context.rpartition(" > ")[2]
    return [name.rpartition(".")[2].rpartition(" ")[2] for name in last.split(", ")] if last else []


def names(asked: Asked, hits: Sequence[Hit], shares: Sequence[float]) -> list[float]:
    """Lift files whose name the query says: by the share of the name's words that it has."""
    found = []
    for hit in hits:
        stem = paths.stem_terms(hit.chunk.path)
        matched = len(stem & asked.words)
        found.append(1 + _STEM * matched / len(stem) if matched else 1.0)
    return found


def files(asked: Asked, hits: Sequence[Hit], shares: Sequence[float]) -> list[float]:
    """Lift chunks of files that fit the query as a whole, by the BM25 score of the file.

    Strategies say it, as `<name>.file` in a hit's scores; where none does, there is nothing to say.
    """
    scores: dict[str, float] = {}
    for hit in hits:
        for key, score in hit.scores.items():
            if key.endswith(".file"):
                path = hit.chunk.path
                scores[path] = max(score, scores.get(path, 0.0))
    best = max(scores.values(), default=0.0)
    if best <= 0:
        return [1.0] * len(hits)
    return [1 + _FILE * max(scores.get(hit.chunk.path, 0.0), 0.0) / best for hit in hits]


def noise(asked: Asked, hits: Sequence[Hit], shares: Sequence[float]) -> list[float]:
    """Lower tests, examples, vendored and generated files, … unless the query asks for them."""
    wanted = paths.asked_for(asked)
    return [
        1.0 if (kind := paths.kind(hit.chunk.path)) in wanted else paths.FACTORS[kind]
        for hit in hits
    ]


def coherence(asked: Asked, hits: Sequence[Hit], shares: Sequence[float]) -> list[float]:
    """Lift the chunks of a file by the shares of its next best ones."""
    order = sorted(range(len(hits)), key=lambda i: -shares[i])
    seen: Counter[str] = Counter()
    others: dict[str, float] = {}
    for i in order:
        path = hits[i].chunk.path
        if 0 < seen[path] <= _OTHERS:
            others[path] = others.get(path, 0.0) + shares[i]
        seen[path] += 1
    return [1 + _COHERENT * others.get(hit.chunk.path, 0.0) / _OTHERS for hit in hits]
