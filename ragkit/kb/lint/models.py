"""Which keys of `models:` and `providers:` do something, and for what."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Final, TypeAlias

from ragkit.config.models import Model
from ragkit.errors import ConfigError
from ragkit.kb.lint.finding import State

if TYPE_CHECKING:
    from ragkit.config import Configuration

Told: TypeAlias = tuple[State, str, str]
"""(state, words, chapter of docs/compat.md or "")."""

_PLACE: Final = ("provider", "type", "model", "base_url", "token_key", "first_available")
_WRITING: Final = ("temperature", "max_tokens", "top_p")
_AGENTS: Final = "for agents, which this version checks and does not run"


def tasks_of(configuration: Configuration) -> Mapping[str, frozenset[str]]:
    """Model → what knowledge bases use it for: embedding, chat, reranking, as far as any does."""
    found: dict[str, set[str]] = {name: set() for name in configuration.models}

    def use(reference: str | None, task: str) -> None:
        if reference in found:
            found[reference].add(task)
            for inner in configuration.models[reference].first_available:
                use(inner, task)

    for source in configuration.sources:
        for settings in source.strategies:
            use(settings.embedding_model, "embedding")
            use(settings.chat_model, "chat")
        if source.results.reranking:
            use(source.results.reranking.model, "reranking")
    return {name: frozenset(tasks) for name, tasks in found.items()}


def by_agents(configuration: Configuration) -> frozenset[str]:
    """Models that agents, or other models, name."""
    references: set[str] = set()
    for agent in configuration.agents.values():
        references.update(part.strip() for part in agent.model.split(","))
        references.update(agent.fallback.models if agent.fallback else ())
        references.update((agent.compaction_model or "",))
        for toolset in agent.toolsets:
            references.update((toolset.model or "", *toolset.models))
    for model in configuration.models.values():
        references.update(route.model for route in model.routing)
        references.update((*model.first_available, model.title_model or ""))
    return frozenset(references)


def told(model: Model, field: str, tasks: frozenset[str]) -> Told:
    """What becomes of a key of a model that a knowledge base uses."""
    if field in _PLACE or field.startswith("provider_opts"):
        return "honoured", "", ""
    if field == "max_tokens" and model.provider == "dmr" and tasks <= {"embedding", "reranking"}:
        words = "is no context size here; `provider_opts.context_size` is"
        return "differs", words, "models"
    if field in _WRITING:
        if tasks & {"chat", "reranking"}:
            return "honoured", "", ""
        return "ignored", "a model that embeds writes nothing", ""
    return "ignored", _AGENTS, "agents"


def rewritten(model: Model) -> Iterator[str]:
    """What is sent to Docker Model Runner otherwise than it is written, a sentence each."""
    if model.provider != "dmr":
        return
    from ragkit.models.dmr.options import options_of

    try:
        yield from options_of(model.provider_opts).notices
    except ConfigError:
        return  # told as a mistake
