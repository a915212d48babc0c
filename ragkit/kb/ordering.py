"""From settings to the order of hits: how rankings are fused, and which rules follow."""

from __future__ import annotations

from dataclasses import asdict
from functools import partial

from ragkit import fusion, ranking
from ragkit.config.rag import Fusion as FusionSettings
from ragkit.config.rag import Source, StrategySettings
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
            scaled={s.name: _last(source, s) for s in source.strategies if s.type != "bm25"},
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


def _last(source: Source, strategy: StrategySettings) -> float:
    """What the last of its candidates counts, where the best counts 1: less for a finer model.

    A static model hardly tells its best candidates apart, one that reads words in their context
    does. Both values were chosen by measurement, see docs/retrieval.md.
    """
    model = source.model(strategy.embedding_model or "auto")
    coarse = model.provider == "auto" or (model.provider, model.model) == ("embedded", "static")
    return 0.6 if coarse else 0.3


def ruling(source: Source) -> Rules:
    """The rules that the results of a knowledge base leave on."""
    off = frozenset(name for name, on in asdict(source.results.ranking).items() if not on)
    return partial(ranking.ranked, off=off)
