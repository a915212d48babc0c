"""From the chat model that a strategy names to the one that describes chunks."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from ragkit.config.models import Model
from ragkit.config.prompts import prompt
from ragkit.config.rag import Source, StrategySettings
from ragkit.errors import ModelError, ModelUnreachable
from ragkit.kb.models import CHAT_ONLY, Hear, chat_model
from ragkit.strategies.describing import PROMPT, PROMPT_WITH_FACTS, Describer
from ragkit.types import Chat, Delta, Message, Tool

if TYPE_CHECKING:
    from ragkit.models.chat import RemoteChat
    from ragkit.models.dmr.models import ServedChat
    from ragkit.models.speaking import Sampling

TEMPERATURE: Final = 0.1
"""Where the file names none: nearly the same words each time, and not the loops of 0."""

MOST_TOKENS: Final = 2_048
"""Of an answer, where the file names none. Most of it is room for models that think first: what is
said is stopped far earlier, see `describing.LONGEST`."""

_THINKERS: Final = re.compile(r"(?:^|/)(?:gpt-5|o\d)", re.IGNORECASE)
"""Models of OpenAI that refuse to be told a temperature."""


def can_describe(model: Model) -> bool:
    """Whether this version speaks to the provider's chat models."""
    # a place that is written is one with OpenAI's interface; minimax has that for chats alone
    there = model.base_url is not None or model.provider == "minimax"
    return there or model.provider not in CHAT_ONLY


def describer_of(source: Source, settings: StrategySettings, hear: Hear) -> Describer:
    """The describer of a strategy; nothing is asked of its server yet.

    Raises ConfigError. A chat that cannot even be set up, such as for want of a key, says so when
    it is asked.
    """
    model = chat_model(source, settings)
    text = settings.semantic_prompt or (PROMPT_WITH_FACTS if settings.ast_context else PROMPT)
    asked = prompt(text)
    if settings.ast_context and "ast_context" not in asked.names:
        words = "ast_context: true has no effect without ${ast_context} in the semantic_prompt"
        hear(f"{settings.name}: {words}")
    sampling = _sampling(model)
    chat: Chat
    try:
        chat = _chat(model, sampling, hear)
    except ModelError as error:  # a search does without it
        chat = Unavailable(f"{model.provider}/{model.model}", error)
    return Describer(
        chat,
        asked,
        identity=f"{model.provider}/{model.model} {json.dumps(sampling.body(), sort_keys=True)}",
        ast_context=settings.ast_context,
        concurrency=settings.max_embedding_concurrency,
    )


@dataclass(frozen=True, slots=True)
class Unavailable:
    """A chat model that cannot be asked, and why."""

    name: str
    error: ModelError

    def chat(
        self,
        messages: Sequence[Message],
        tools: Sequence[Tool] = (),
        *,
        schema: Mapping[str, object] | None = None,
    ) -> Iterator[Delta]:
        raise ModelUnreachable(self.error.message, self.error.remedy)

    def close(self) -> None:
        """It holds nothing."""


def _sampling(model: Model) -> Sampling:
    from ragkit.models.speaking import Sampling

    usual = None if _THINKERS.search(model.model) else TEMPERATURE
    return Sampling(
        temperature=usual if model.temperature is None else model.temperature,
        max_tokens=model.max_tokens or MOST_TOKENS,
        top_p=model.top_p,
        frequency_penalty=model.frequency_penalty,
        presence_penalty=model.presence_penalty,
    )


def _chat(model: Model, sampling: Sampling, hear: Hear) -> ServedChat | RemoteChat:
    if model.provider == "dmr":
        from ragkit.models import dmr

        return dmr.chat(
            model.model,
            base_url=model.base_url,
            options=_without_thought(model),
            sampling=sampling,
            track_usage=False,
            hear=hear,
        )
    from ragkit.models import openai

    extra = model.provider_opts.get("extra_body")
    return openai.chat(
        model.model,
        provider=model.provider,
        base_url=model.base_url,
        token_key=model.token_key,
        sampling=sampling,
        track_usage=False,
        extra_body=extra if isinstance(extra, Mapping) else None,
    )


def _without_thought(model: Model) -> dict[str, Any]:
    """The options of a model of Docker Model Runner, which shall not think for four sentences.

    llama.cpp and vLLM hand `chat_template_kwargs` to the model's template; those that cannot
    think, and those that cannot help it, know nothing of `enable_thinking`. Who says how much the
    model may think is not overruled.
    """
    options = dict(model.provider_opts)
    body = dict(options.get("extra_body") or {})
    said = {"reasoning-budget", "reasoning_budget"} & options.keys()
    if model.thinking_budget is None and not said and "chat_template_kwargs" not in body:
        options["extra_body"] = {**body, "chat_template_kwargs": {"enable_thinking": False}}
    return options
