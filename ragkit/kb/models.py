"""From the models that a configuration names to the machines that speak to them."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final, TypeAlias

from ragkit.config.models import Model
from ragkit.config.rag import Source, StrategySettings
from ragkit.errors import ConfigError, ModelError
from ragkit.strategies.chunked_embeddings import Embedding
from ragkit.types import Embedded, Embedder, Kind, Strategy

if TYPE_CHECKING:
    from ragkit.types import Vectors

Hear: TypeAlias = Callable[[str], None]
"""Takes what a model does otherwise than the file says, a sentence each, from any thread."""

AUTO_CHAT: Final = "ai/qwen3"
"""What `auto` describes with, on Docker Model Runner: docker-agent's choice there."""

CHAT_ONLY: Final = ("anthropic", "google", "amazon-bedrock", "azure", "github-copilot", "minimax")
"""Providers without an OpenAI-compatible endpoint for embeddings."""


def unheard(notice: str) -> None:
    """Nobody wants to know."""


@dataclass(frozen=True, slots=True)
class Absent:
    """An embedder whose model cannot be asked at the moment: the words of the index still answer.

    It stays absent for as long as its knowledge base is open. When its server comes back it might
    have other weights, and vectors of two models must never meet.
    """

    name: str
    error: ModelError

    @property
    def fingerprint(self) -> str:
        raise self._again()

    @property
    def dimensions(self) -> int:
        raise self._again()

    def embed(self, texts: Sequence[str], kind: Kind) -> Vectors:
        raise self._again()

    def stream(self, texts: Sequence[str], kind: Kind) -> Iterator[Embedded]:
        raise self._again()

    def close(self) -> None:
        """It holds nothing."""

    def _again(self) -> ModelError:
        """The same error anew: an exception that is raised twice drags its old traceback along."""
        error = self.error
        again = type(error).__new__(type(error))
        again.__dict__.update(error.__dict__)
        again.args = error.args
        return again


def absent(strategies: Sequence[Strategy]) -> list[ModelError]:
    """Why models of these strategies cannot be asked."""
    embedders = [s.embedder for s in strategies if isinstance(s, Embedding)]
    return [embedder.error for embedder in embedders if isinstance(embedder, Absent)]


def resolved(source: Source, reference: str) -> Model:
    """The model that a reference means, its own provider's place and key filled in.

    Of `first_available`, the first that has its key or needs none; where none has, the last, whose
    use then says what is missing. Raises ConfigError.
    """
    model = source.model(reference)
    if model.first_available:
        candidates = [source.model(name) for name in model.first_available]
        model = next((one for one in candidates if _has_key(source, one)), candidates[-1])
    return _placed(source, model)


def _placed(source: Source, model: Model) -> Model:
    """With what its provider has for all of its models."""
    provider = source.providers.get(model.provider)
    if provider is not None:
        model = replace(
            model,
            provider=provider.provider or "openai",
            base_url=model.base_url or provider.base_url,
            token_key=model.token_key or provider.token_key,
            provider_opts={**provider.provider_opts, **model.provider_opts},
        )
    if model.base_url and "$" in model.base_url:
        model = replace(model, base_url=_expanded(model.base_url, model.name))
    return model


_VARIABLE: Final = re.compile(r"\$\{(?:env\.)?(\w+)\}|\$(\w+)")


def _expanded(text: str, name: str) -> str:
    """With the values of `${env.NAME}`, `${NAME}` and `$NAME`. Raises ConfigError."""

    def value(match: re.Match[str]) -> str:
        variable = match[1] or match[2]
        if (found := os.environ.get(variable)) is None:
            raise ConfigError(
                f"models.{name}: base_url: {variable} is not set", remedy=f"set {variable}"
            )
        return found

    return _VARIABLE.sub(value, text)


def _has_key(source: Source, model: Model) -> bool:
    """Whether nothing is missing that it could be asked; its server may be down all the same."""
    try:
        model = _placed(source, model)
    except ConfigError:  # a variable that is not set
        return False
    if model.provider in ("dmr", "embedded", "ollama", "auto"):
        return True
    if model.base_url and not model.token_key:
        return True
    return bool(os.environ.get(model.token_key or f"{model.provider.upper()}_API_KEY"))


def chat_model(source: Source, settings: StrategySettings) -> Model:
    """The model that a strategy describes with. Raises ConfigError."""
    model = resolved(source, settings.chat_model or "auto")
    if model.provider == "embedded":
        raise ConfigError(
            f"{settings.name}: chat_model: {model.name} makes vectors, not words",
            remedy=f"name a chat model, such as dmr/{AUTO_CHAT}",
        )
    return replace(model, provider="dmr", model=AUTO_CHAT) if model.provider == "auto" else model


def can_embed(model: Model) -> bool:
    """Whether this version speaks to the provider's embedding models."""
    return model.provider not in CHAT_ONLY


def embedder_of(source: Source, settings: StrategySettings, hear: Hear) -> Embedder:
    """The embedder of a strategy; nothing is asked of its server yet.

    `hear` gets what will be otherwise than the file says, when that is known. Raises ConfigError,
    ModelError.
    """
    model = resolved(source, settings.embedding_model or "auto")
    if model.provider in ("auto", "embedded"):
        return embedded(model.model, hear)
    if model.provider == "dmr":
        from ragkit.models import dmr

        return dmr.embedder(
            model.model,
            base_url=model.base_url,
            options=model.provider_opts,
            dimensions=settings.vector_dimensions,
            batch=settings.embedding_batch_size,
            concurrency=settings.max_embedding_concurrency,
            hear=hear,
        )
    from ragkit.models import openai

    return openai.embedder(
        model.model,
        provider=model.provider,
        base_url=model.base_url,
        token_key=model.token_key,
        dimensions=settings.vector_dimensions,
        batch=settings.embedding_batch_size,
        concurrency=settings.max_embedding_concurrency,
    )


def embedded(name: str, hear: Hear) -> Embedder:
    """A model that runs in this process; `auto` takes the one that needs nothing. ModelError."""
    if name == "minilm":
        from ragkit.models.embedded import MiniLMEmbedder

        return MiniLMEmbedder(notice=hear)
    from ragkit.models.embedded import StaticEmbedder

    return StaticEmbedder()


def waits(source: Source, settings: StrategySettings) -> bool:
    """Whether its vectors come from somewhere else, or so slowly that the walk waits for them."""
    if settings.type == "bm25":
        return False
    if settings.type == "semantic-embeddings":
        return True
    model = resolved(source, settings.embedding_model or "auto")
    return (model.provider, model.model) not in (("auto", "auto"), ("embedded", "static"))


def served(source: Source) -> dict[str | None, list[str]]:
    """References of its models that Docker Model Runner serves, by the `base_url` configured."""
    references = [s.embedding_model or "auto" for s in source.strategies if s.type != "bm25"]
    if source.results.reranking:
        references.append(source.results.reranking.model)
    models = [resolved(source, reference) for reference in references]
    models += [chat_model(source, s) for s in source.strategies if s.chat_model]
    found: dict[str | None, list[str]] = {}
    for model in models:
        if model.provider == "dmr":
            found.setdefault(model.base_url, []).append(model.model)
    return {url: list(dict.fromkeys(models)) for url, models in found.items()}
