"""Rankings in, one ranking out.

Every method takes the rankings by their strategies' names, best hit first, and returns one ranking
of distinct hits. Two hits are the same if they show the same characters of the same file: (path,
start, end). Strategies may chunk differently, so a chunk's number says nothing across them.

A fused hit carries the whole history: the scores it came with, for each ranking `<name>` (its
score) and `<name>.rank` (from 1), and the fused score under the method's name. Ties are broken by
(path, start, end), so neither the order of the mapping nor that of a hash decides anything.

A single ranking keeps its order and its scores, whatever the method: there is nothing to fuse, and
a cosine says more than 1/61. Its hits get the history all the same.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TypeAlias

from ragkit.errors import ConfigError
from ragkit.types import Hit

Rankings: TypeAlias = Mapping[str, Sequence[Hit]]
_Place: TypeAlias = tuple[str, int, int]


def rrf(rankings: Rankings, k: int = 60) -> list[Hit]:
    """Reciprocal rank fusion: the sum of 1 / (k + rank), rank from 1, best first.

    Looks at ranks alone, so it fuses what has no comparable scores. `k` > 0; a larger one trusts
    the first places less. Cormack, Clarke, Büttcher, SIGIR 2009.
    """
    return _fuse(rankings, "rrf", lambda name, hit, rank: 1 / (k + rank))


def weighted(rankings: Rankings, weights: Mapping[str, float]) -> list[Hit]:
    """The sum of weight times score, best first; a ranking without the hit adds nothing.

    Raises ConfigError if a ranking has no weight.
    """
    _check_weights(rankings, weights)
    return _fuse(rankings, "weighted", lambda name, hit, rank: weights[name] * hit.score)


def maximum(rankings: Rankings) -> list[Hit]:
    """The best score that any ranking gave, best first."""
    return _fuse(rankings, "max", lambda name, hit, rank: hit.score, total=max)


def convex(
    rankings: Rankings, weights: Mapping[str, float], floors: Mapping[str, float] | None = None
) -> list[Hit]:
    """The weighted mean of each ranking's scores scaled to [0, 1], best first.

    A ranking's scores are scaled so that its best hit has 1 and its floor 0. The floor is the
    lowest score in the ranking unless `floors` names one, such as the least that is possible: 0 for
    BM25, -1 for a cosine. The observed one is the default, because rankings end at some depth: a
    hit that just missed the end counts 0, and so then does the last one that made it. Where all
    scores are equal, all are 1. The method and its merits: Bruch, Gai, Ingber, TOIS 2023,
    arXiv 2210.11934.

    Raises ConfigError if a ranking has no weight, or if the weights sum to 0.
    """
    _check_weights(rankings, weights)
    whole = sum(weights[name] for name in rankings)
    if rankings and not whole > 0:
        raise ConfigError(
            "the fusion weights sum to 0", remedy="give at least one strategy a weight above 0"
        )
    bounds = {}
    for name, hits in rankings.items():
        scores = [hit.score for hit in hits]
        low = (floors or {}).get(name, min(scores, default=0.0))
        bounds[name] = (low, max(scores, default=0.0))

    def share(name: str, hit: Hit, rank: int) -> float:
        low, high = bounds[name]
        scaled = (hit.score - low) / (high - low) if high > low else 1.0
        return weights[name] / whole * min(max(scaled, 0.0), 1.0)

    return _fuse(rankings, "convex", share)


def balanced(
    rankings: Rankings, weights: Mapping[str, float], scaled: Mapping[str, float]
) -> list[Hit]:
    """ragkit's own: scores without a common scale, such as BM25's, beside cosines; best first.

    A ranking that is `scaled` counts 1 for its best hit and that share for its last, since that one
    is still nearer than what is not in it, and models differ in how near their cosines lie. The
    others' scores count as they are: a BM25 score is a sum over the words of the query, so a long
    query, which says much by its words, leans on words, and a short one on meaning.
    A ranking without a weight counts 1.
    """
    bounds = {}
    for name in scaled:
        scores = [hit.score for hit in rankings.get(name, ())]
        bounds[name] = (min(scores, default=0.0), max(scores, default=0.0))

    def part(name: str, hit: Hit, rank: int) -> float:
        weight = weights.get(name, 1.0)
        if name not in scaled:
            return weight * hit.score
        low, high = bounds[name]
        share = (hit.score - low) / (high - low) if high > low else 1.0
        return weight * (scaled[name] + (1 - scaled[name]) * share)

    return _fuse(rankings, "balanced", part)


def _check_weights(rankings: Rankings, weights: Mapping[str, float]) -> None:
    if rankings and not weights:
        raise ConfigError(
            "weighted fusion requires strategy weights", remedy="add `weights:` to the fusion"
        )
    for name in rankings:
        if name not in weights:
            raise ConfigError(
                f"missing weight for strategy: {name}", remedy=f"add `{name}: 1.0` to its weights"
            )


def _fuse(
    rankings: Rankings,
    method: str,
    part: Callable[[str, Hit, int], float],
    total: Callable[[list[float]], float] = sum,
) -> list[Hit]:
    """Collect each place's parts over the rankings, in the order of their names, and total them."""
    found: dict[_Place, tuple[Hit, list[float], dict[str, float]]] = {}
    for name in sorted(rankings):
        rank_of = f"{name}.rank"
        met: set[_Place] = set()
        for rank, hit in enumerate(rankings[name], start=1):
            place = _place(hit)
            if place in met:
                continue
            met.add(place)
            if place not in found:
                found[place] = (hit, [], {})
            _, parts, history = found[place]
            parts.append(part(name, hit, rank))
            history.update(hit.scores)
            history[name] = hit.score
            history[rank_of] = float(rank)
    fused = []
    for hit, parts, history in found.values():
        score = history[method] = total(parts)
        fused.append(Hit(hit.chunk, hit.score if len(rankings) == 1 else score, history))
    if len(rankings) > 1:
        fused.sort(key=lambda hit: (-hit.score, _place(hit)))
    return fused


def _place(hit: Hit) -> _Place:
    return hit.chunk.path, hit.chunk.start, hit.chunk.end
