"""Rules on a fused ranking: what words and vectors cannot know about files, names and queries.

Each rule gives every hit a factor: above 1 lifts it, below 1 lowers it, and 1 means that the rule
has nothing to say. The product of the factors is applied to the hit's share of the ranking's span,
from `_LEAST` for the last hit to 1 for the first. So a rule weighs the same on reciprocal ranks, on
cosines and on sums of BM25 scores, and scores stay on the scale that they came on.

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
    "names": rules.names,
    "files": rules.files,
    "noise": rules.noise,
    "coherence": rules.coherence,
}
"""By their names in `results.ranking`, in the order in which they are applied."""

_LEAST = 0.05
"""The last hit's share: with none, no rule could ever lift it."""


_WORDS = 0.1
"""What a point of BM25 weighs."""


def ranked(query: str, hits: Sequence[Hit], off: Collection[str] = ()) -> list[Hit]:
    """The hits in the order that all rules but those `off` give them, best first.

    Stable: hits that end with equal scores keep the order that they came in, and where no rule has
    anything to say, the very same hits come back.
    """
    if not hits:
        return []
    asked = Asked.of(query)
    scores = [hit.score for hit in hits]
    low, span = min(scores), max(scores) - min(scores)
    if span > 0:
        shares = [_LEAST + (1 - _LEAST) * (score - low) / span for score in scores]
    else:
        span, shares = abs(low) or 1.0, [1.0] * len(hits)
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
        Hit(hit.chunk, hit.score + span * share * (product - 1), {**hit.scores, **own})
        if own
        else hit
        for hit, share, product, own in zip(hits, shares, products, said, strict=True)
    ]
    found.sort(key=lambda hit: -hit.score)
    return found


def balance(query: str) -> float:
    """What a BM25 score weighs beside a vector ranking scaled to 1, by what the query is like."""
    return _WORDS
