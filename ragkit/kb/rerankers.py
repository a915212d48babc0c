"""From the model that a configuration names to the one that reranks, and how it does.

A model made for reranking has an endpoint of its own (`native`); a chat model is asked in words
(`chat`). Where the file does not say which, the model's name, its server's kind and at last the
server itself do: nothing is asked before the first query.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Final, Literal, TypeAlias

from ragkit.config.models import Model
from ragkit.config.rag import Reranking as Settings
from ragkit.config.rag import Source
from ragkit.errors import ConfigError, ModelBusy, ModelError, ModelNotFound, ModelUnreachable
from ragkit.kb.models import CHAT_ONLY, Hear, resolved, unheard
from ragkit.reranking import Reranking
from ragkit.types import Reranker

if TYPE_CHECKING:
    from ragkit.models.chat import RemoteChat
    from ragkit.models.dmr.models import ServedChat, ServedReranker
    from ragkit.models.reranking import RemoteReranker

Score: TypeAlias = Literal["auto", "logit", "probability"]

SMALL_ROOM: Final = 9_000
"""Characters of a request to a chat model on this machine: its context is often 4,096 tokens, and
some servers cut what is longer without a word."""

_RERANKERS: Final = re.compile(r"rank|cross-?encoder|ms-marco", re.IGNORECASE)
"""Names of models that were made for reranking."""

_THINKERS: Final = re.compile(r"(?:^|/)(?:gpt-5|o\d)", re.IGNORECASE)
"""Models of OpenAI that refuse to be told a temperature."""


def reranking(source: Source, hear: Hear = unheard) -> Reranking | None:
    """The reranking that the results of a knowledge base ask for, None without one; nothing is
    asked of any server yet. Raises ConfigError, ModelError."""
    settings = source.results.reranking
    if settings is None:
        return None
    return Reranking(
        _reranker(resolved(source, settings.model), settings, hear),
        top_k=settings.top_k,
        threshold=settings.threshold,
        blend=settings.blend,
        budget=settings.budget or 0.0,
    )


def can_rerank(model: Model) -> bool:
    """Whether this version can ask the provider's models at all."""
    if model.provider in ("auto", "embedded"):
        return False
    return model.provider not in CHAT_ONLY or model.base_url is not None


def task_of(model: Model, settings: Settings) -> Literal["reranking", "completion"] | None:
    """What the model will have to do; None where its file or its server decides."""
    if settings.method == "native" or (settings.method == "auto" and _is_named_so(model)):
        return "reranking"
    if settings.method == "chat" or _only_chats(model, settings):
        return "completion"
    return None


def _reranker(model: Model, settings: Settings, hear: Hear) -> Reranker:
    """The reranker; what only its server can tell is found out by the first query."""
    name = f"{model.provider}/{model.model}"
    score, prompt = _score(model), _prompt(model)

    def chat() -> Reranker:
        return _chat(model, settings.criteria, prompt, hear)

    def native() -> RemoteReranker:
        return _served(model, score)

    task = task_of(model, settings)
    if task == "reranking":
        return _on_runner(model, hear) if model.provider == "dmr" else Chosen(name, native)
    if task == "completion":
        return chat() if model.provider == "dmr" else Chosen(name, chat)
    if model.provider == "dmr":
        runner = _on_runner(model, hear)
        return Chosen(name, lambda: _as_its_file_says(runner, chat))
    return Chosen(name, lambda: _as_it_does(native(), chat))


def _is_named_so(model: Model) -> bool:
    return bool(_RERANKERS.search(model.model)) and not _is_cloud(model)


def _only_chats(model: Model, settings: Settings) -> bool:
    """Whether it must be a chat model: its place has no other, or is to get words."""
    words = settings.criteria.strip() or model.provider_opts.get("rerank_prompt")
    return _is_cloud(model) or (model.provider != "dmr" and bool(words))


def _is_cloud(model: Model) -> bool:
    """Whether it is at a provider's own place: none of those has an endpoint for reranking."""
    return model.provider != "dmr" and model.base_url is None


def _as_its_file_says(native: ServedReranker, chat: Callable[[], Reranker]) -> Reranker:
    """The reranker where a model's file says how its tokens are pooled: that of a model which was
    made to go on with a text does not. Raises ModelError."""
    from ragkit.models.dmr.records import NONE

    if native.model.pooling not in (None, NONE):
        return native
    native.close()
    return chat()


def _as_it_does(native: RemoteReranker, chat: Callable[[], Reranker]) -> Reranker:
    """The reranker where it can tell an answer from nonsense. Raises ModelError."""
    try:
        native.self_check()
    except (ModelBusy, ModelNotFound, ModelUnreachable):
        native.close()
        raise
    except ModelError:
        native.close()
        return chat()
    return native


class Chosen:
    """A reranker that is made when it is first used. Thread-safe.

    What fails then, such as a key that is not set, is an error of that query and not of the
    knowledge base; the next one tries again.
    """

    def __init__(self, name: str, choose: Callable[[], Reranker]) -> None:
        self.name = name
        self._choose = choose
        self._choosing = threading.Lock()
        self._chosen: Reranker | None = None

    def rerank(self, query: str, texts: Sequence[str]) -> list[float]:
        """One score from 0 to 1 for each text, in order. Raises ModelError."""
        with self._choosing:
            if self._chosen is None:
                self._chosen = self._choose()
        return self._chosen.rerank(query, texts)

    def close(self) -> None:
        """Let connections go."""
        if self._chosen:
            self._chosen.close()


def _on_runner(model: Model, hear: Hear) -> ServedReranker:
    from ragkit.models import dmr

    return dmr.reranker(
        model.model, base_url=model.base_url, options=model.provider_opts, hear=hear
    )


def _served(model: Model, score: Score) -> RemoteReranker:
    """A reranker of a server with OpenAI's interface. Raises ModelError."""
    from ragkit.models import openai

    return openai.reranker(
        model.model,
        provider=model.provider,
        base_url=model.base_url,
        token_key=model.token_key,
        score=score,
    )


def _chat(model: Model, criteria: str, prompt: str, hear: Hear) -> Reranker:
    """A chat model that scores. Raises ModelError."""
    from ragkit.models.judging import ROOM, ChatReranker

    is_near = model.provider in ("dmr", "ollama")
    room = SMALL_ROOM if is_near else ROOM
    return ChatReranker(_machine(model, hear), criteria=criteria, prompt=prompt, room=room)


def _machine(model: Model, hear: Hear) -> ServedChat | RemoteChat:
    """The chat, at temperature 0 unless the file names another. Raises ModelError."""
    from ragkit.models.speaking import Sampling

    calm = None if _THINKERS.search(model.model) else 0.0
    sampling = Sampling(
        temperature=calm if model.temperature is None else model.temperature,
        max_tokens=model.max_tokens,
        top_p=model.top_p,
    )
    if model.provider == "dmr":
        from ragkit.models import dmr

        return dmr.chat(
            model.model,
            base_url=model.base_url,
            options=model.provider_opts,
            sampling=sampling,
            hear=hear,
        )
    from ragkit.models import openai

    return openai.chat(
        model.model,
        provider=model.provider,
        base_url=model.base_url,
        token_key=model.token_key,
        sampling=sampling,
    )


def _score(model: Model) -> Score:
    """What the numbers of a reranker are, as its options say. Raises ConfigError."""
    said = model.provider_opts.get("rerank_score", "auto")
    for score in ("auto", "logit", "probability"):
        if said == score:
            return score
    raise ConfigError(
        f"models.{model.name}.provider_opts.rerank_score: {said!r} is unknown",
        remedy="one of auto, logit, probability",
    )


def _prompt(model: Model) -> str:
    """What a chat model is told in the place of ragkit's own words. Raises ConfigError."""
    said = model.provider_opts.get("rerank_prompt", "")
    if not isinstance(said, str):
        raise ConfigError(
            f"models.{model.name}.provider_opts.rerank_prompt: {said!r} is not a text",
            remedy="write it in quotes",
        )
    return said
