"""From settings to the order of hits: how rankings are fused, and which rules follow."""

from __future__ import annotations

from dataclasses import asdict
from functools import partial

from ragkit import fusion, ranking
from ragkit.config.rag import Fusion as FusionSettings
from ragkit.config.rag import Source
from ragkit.retriever import Fusion, Rules


def fusing(source: Source, query: str = "") -> Fusion:
    """The fusion that the results of a knowledge base ask for; only ragkit's own minds the query.

    A fusion that is written, in any part, is exactly that.
    """
    settings = source.results.fusion
    if settings == FusionSettings():
        by_words = {s.name: s.type == "bm25" for s in source.strategies}
        weight = ranking.balance(query)
        return partial(
            fusion.balanced,
            weights={name: weight if words else 1.0 for name, words in by_words.items()},
            scaled=[name for name, words in by_words.items() if not words],
        )
    weights = {strategy.name: 1.0 for strategy in source.strategies} | dict(settings.weights or {})
    match settings.strategy:
        case "weighted":
            return partial(fusion.weighted, weights=weights)
        case "max":
            return fusion.maximum
        case "convex":
            return partial(fusion.convex, weights=weights)
        case _:
            return partial(fusion.rrf, k=settings.k)


def ruling(source: Source) -> Rules:
    """The rules that the results of a knowledge base leave on."""
    off = frozenset(name for name, on in asdict(source.results.ranking).items() if not on)
    return partial(ranking.ranked, off=off)
