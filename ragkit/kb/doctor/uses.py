"""Which models a configuration uses, and what for."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal, TypeAlias

from ragkit.config.models import Model
from ragkit.config.rag import Source, StrategySettings
from ragkit.kb.models import chat_model, resolved
from ragkit.kb.rerankers import task_of

if TYPE_CHECKING:
    from ragkit.config import Configuration

Task: TypeAlias = Literal["embedding", "reranking", "completion"]
"""As the modes of Docker Model Runner are called."""


@dataclass(frozen=True, slots=True)
class Use:
    """A model and one task of it."""

    model: Model
    """Its provider is a known one; place and key are those of the file's `providers:`."""
    task: Task
    places: tuple[str, ...]
    """Where the configuration says so: `rag.code`, `agents.root`, …"""
    strategies: tuple[tuple[Source, StrategySettings], ...] = ()
    """Those that embed with it."""
    undecided: bool = False
    """Whether it may turn out to rerank as a chat model."""

    @property
    def name(self) -> str:
        """`provider/model`, whatever the configuration calls it."""
        model = self.model
        return model.name if model.provider == "auto" else f"{model.provider}/{model.model}"


def uses(configuration: Configuration) -> list[Use]:
    """Every model that knowledge bases and agents of the file use, each once a task, in order."""
    found: dict[tuple[str, ...], Use] = {}
    for use in _named(configuration):
        model = use.model
        options = repr(sorted(model.provider_opts.items()))
        key = (use.task, model.provider, model.model, model.base_url or "", options)
        first = found.get(key)
        found[key] = use if first is None else _joined(first, use)
    return list(found.values())


def _joined(first: Use, second: Use) -> Use:
    places = tuple(dict.fromkeys((*first.places, *second.places)))
    return replace(first, places=places, strategies=first.strategies + second.strategies)


def _named(configuration: Configuration) -> Iterator[Use]:
    for source in configuration.sources:
        place = source.key or f"rag.{source.name}"
        for settings in source.strategies:
            if settings.type == "bm25":
                continue
            model = resolved(source, settings.embedding_model or "auto")
            yield Use(model, "embedding", (place,), ((source, settings),))
            if settings.chat_model:
                yield Use(chat_model(source, settings), "completion", (place,))
        if reranking := source.results.reranking:
            model = resolved(source, reranking.model)
            task = task_of(model, reranking)
            yield Use(model, task or "reranking", (place,), undecided=task is None)
    # references of agents are looked up as those of a knowledge base are
    around = Source("", "", models=configuration.models, providers=configuration.providers)
    for name, agent in configuration.agents.items():
        references = [part.strip() for part in agent.model.split(",")] if agent.model else []
        references += agent.fallback.models if agent.fallback else ()
        for reference in references:
            yield Use(resolved(around, reference), "completion", (f"agents.{name}",))
