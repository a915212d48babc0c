"""Rules on a fused ranking: what words and vectors cannot know about files, names and queries.

Each rule gives every hit a factor: above 1 lifts it, below 1 lowers it, and 1 means that the rule
has nothing to say. The product of the factors is applied to the hit's share of the best score, as
the ranking's span has it: 1 for the first hit, and near 0 for the last of many. So a rule weighs
the same on reciprocal ranks, on cosines and on sums of BM25 scores, and scores stay on the scale
that they came on.

Each factor stays in the hit's scores, as `rule.<name>`, where it is not 1.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import TypeAlias

from ragkit.ranking import rules
from ragkit.ranking.asked import Asked
from ragkit.types import Hit

__all__ = ["RULES", "Asked", "balance", "ranked"]

Rule: TypeAlias = Callable[[Asked, Sequence[Hit], Sequence[float]], list[float]]
"""What is asked, the hits and their shares in; one factor for each hit out."""

RULES: Mapping[str, Rule] = {
    "definitions": rules.definitions,
    "symbols": rules.symbols,
    "headings": rules.headings,
    "names": rules.names,
    "phrases": rules.phrases,
    "files": rules.files,
    "noise": rules.noise,
    "coherence": rules.coherence,
}
"""By their names in `results.ranking`, in the order in which they are applied."""

_FEW = 20
"""Of as many hits, the last has half the share of the first; the more there are, the less it has.
The last of a few candidates is hardly worse than the first: no fusion has gone far down."""

_WORDS = 0.07
"""What a point of BM25 weighs …"""

_NAMED = 1.8
"""… and how many times as much where the query names code."""


def ranked(query: str, hits: Sequence[Hit], off: Collection[str] = ()) -> list[Hit]:
    """The hits in the order that all rules but those `off` give them, best first.

    Stable: hits that end with equal scores keep the order that they came in, and where no rule has
    anything to say, the very same hits come back.
    """
    if not hits:
        return []
    asked = Asked.of(query)
    shares, unit = _shares([hit.score for hit in hits])
    said: list[dict[str, float]] = [{} for _ in hits]
    products = [1.0] * len(hits)
    for name, rule in RULES.items():
        if name in off:
            continue
        lifted = [share * product for share, product in zip(shares, products, strict=True)]
        for i, factor in enumerate(rule(asked, hits, lifted)):
            if factor != 1:
                said[i][f"rule.{name}"] = factor
                products[i] *= factor
    if not any(said):
        return list(hits)
    found = [
        Hit(hit.chunk, hit.score + unit * share * (product - 1), {**hit.scores, **own})
        if own
        else hit
        for hit, share, product, own in zip(hits, shares, products, said, strict=True)
    ]
    found.sort(key=lambda hit: -hit.score)
    return found


def _shares(scores: Sequence[float]) -> tuple[list[float], float]:
    """Each score's share of the best, and what a share of 1 is in scores."""
    low, high = min(scores), max(scores)
    if high == low:
        return [1.0] * len(scores), abs(high) or 1.0
    unit = (high - low) / (1 - _FEW / (_FEW + len(scores)))
    return [1 - (high - score) / unit for score in scores], unit


def balance(query: str) -> float:
    """What a point of BM25 weighs beside a vector ranking scaled to 1, by what the query is like.

    Who names code means these very words.
    """
    return _WORDS * (_NAMED if Asked.of(query).identifiers else 1.0)
