"""Measures of a ranking, and what a mean over queries is worth.

Relevance is yes or no. A ranking that holds an item twice counts it once, at its first place.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence

import numpy as np

SEED = 0
RESAMPLES = 10_000


def ndcg(ranking: Sequence[str], relevant: Collection[str], k: int) -> float:
    """Normalised discounted cumulative gain of the first k, in [0, 1].

    The sum of 1 / log2(rank + 1) over the relevant items, divided by that of the best ranking
    there could be. 0 where nothing is relevant. Järvelin & Kekäläinen, TOIS 2002.
    """
    gained = sum(_discount(rank) for rank in _places(ranking, relevant, k))
    possible = sum(_discount(rank) for rank in range(1, min(len(relevant), k) + 1))
    return gained / possible if possible else 0.0


def recall(ranking: Sequence[str], relevant: Collection[str], k: int) -> float:
    """Share of the relevant items among the first k, in [0, 1]; 0 where nothing is relevant."""
    return len(_places(ranking, relevant, k)) / len(relevant) if relevant else 0.0


def reciprocal_rank(ranking: Sequence[str], relevant: Collection[str], k: int) -> float:
    """1 / rank of the first relevant item, 0 if none is among the first k. Its mean is MRR@k."""
    places = _places(ranking, relevant, k)
    return 1 / places[0] if places else 0.0


def interval(values: Sequence[float]) -> tuple[float, float]:
    """95 % percentile-bootstrap interval of the mean of one value a query, low and high.

    The queries are drawn anew, with replacement, 10,000 times from a fixed seed: equal values give
    an equal interval. Of paired differences it is the interval of the mean difference; where it
    excludes 0, the two systems differ by more than the choice of queries explains. Raises
    ValueError without values.
    """
    if not values:
        raise ValueError("the interval of no values is undefined")
    sample = np.asarray(values, dtype=np.float64)
    drawn = np.random.default_rng(SEED).integers(len(sample), size=(RESAMPLES, len(sample)))
    low, high = np.percentile(sample[drawn].mean(axis=1), [2.5, 97.5])
    return float(low), float(high)


def differences(system: Sequence[float], baseline: Sequence[float]) -> list[float]:
    """`system` minus `baseline`, query by query. Raises ValueError if the lengths differ."""
    return [ours - theirs for ours, theirs in zip(system, baseline, strict=True)]


def _places(ranking: Sequence[str], relevant: Collection[str], k: int) -> list[int]:
    """Ranks, from 1 to k, of the relevant items, each item once."""
    distinct = dict.fromkeys(ranking)
    return [rank for rank, item in enumerate(distinct, start=1) if rank <= k and item in relevant]


def _discount(rank: int) -> float:
    return 1 / math.log2(rank + 1)
