"""`provider_opts` of a model of Docker Model Runner, read."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal, TypeAlias

from ragkit.errors import ConfigError
from ragkit.models.dmr.flags import rewritten
from ragkit.models.dmr.records import Speculative, seconds

Score: TypeAlias = Literal["auto", "logit", "probability"]

_SCORES: Final[Mapping[str, Score]] = {
    "": "auto",
    "auto": "auto",
    "logit": "logit",
    "probability": "probability",
}

_KNOWN: Final = frozenset(
    {
        "runtime_flags",
        "raw_runtime_flags",
        "speculative_draft_model",
        "speculative_num_tokens",
        "speculative_acceptance_rate",
        "context_size",
        "mode",
        "keep_alive",
        "rerank_prompt",
        "rerank_score",
        "reasoning-budget",
        "reasoning_budget",
        "hf_overrides",
        "gpu_memory_utilization",
        "supports_images",
        "supports_pdf",
        "extra_body",
    }
)


@dataclass(frozen=True, slots=True)
class Options:
    """How the user wants a model to be run; None or empty where nothing is said."""

    context_size: int | None = None
    """Tokens; -1 for all that the model takes."""
    runtime_flags: tuple[str, ...] = ()
    """As they are sent, one token each."""
    keep_alive: str | None = None
    """A duration as Go writes it."""
    speculative: Speculative | None = None
    reasoning_budget: int | None = None
    vllm: Mapping[str, object] | None = None
    rerank_prompt: str = ""
    rerank_score: Score = "auto"
    extra_body: Mapping[str, object] | None = None
    """Goes into each chat request as it is."""
    notices: tuple[str, ...] = ()
    """What was understood otherwise than written, in words."""

    @property
    def is_set(self) -> bool:
        """Whether the runner has to be told anything."""
        return any(
            value not in (None, ())
            for value in (
                self.context_size,
                self.runtime_flags,
                self.keep_alive,
                self.speculative,
                self.reasoning_budget,
                self.vllm,
            )
        )


def options_of(provider_opts: Mapping[str, object]) -> Options:
    """The options, numbers in texts included. Raises ConfigError with the key."""
    given = _Given(provider_opts)
    flags, notices = _flags(provider_opts)
    kept, kept_notice = _keep_alive(provider_opts.get("keep_alive"))
    unknown = [
        f"provider_opts.{key}: Docker Model Runner has no such option; it is ignored"
        for key in provider_opts
        if key not in _KNOWN
    ]
    context = given.whole("context_size")
    if context is not None and context < 1 and context != -1:
        raise _wrong("context_size", context, "a number of tokens, or -1 for all the model takes")
    score = given.text("rerank_score").strip()
    if score not in _SCORES:
        raise _wrong("rerank_score", score, "one of auto, logit, probability")
    return Options(
        context_size=context,
        runtime_flags=flags,
        keep_alive=kept,
        speculative=_speculative(given),
        reasoning_budget=given.whole("reasoning-budget", "reasoning_budget"),
        vllm=_vllm(given),
        rerank_prompt=given.text("rerank_prompt"),
        rerank_score=_SCORES[score],
        extra_body=given.mapping("extra_body"),
        notices=(*notices, *kept_notice, *unknown),
    )


@dataclass(frozen=True, slots=True)
class _Given:
    """The options as written, and their kinds checked as they are read."""

    values: Mapping[str, object]

    def text(self, key: str) -> str:
        value = self.values.get(key)
        if value is not None and not isinstance(value, str):
            raise _wrong(key, value, "a text")
        return value or ""

    def whole(self, *keys: str) -> int | None:
        for key in keys:
            value = self.values.get(key)
            if isinstance(value, str) and re.fullmatch(r"\s*[+-]?\d+\s*", value):
                value = int(value)
            if isinstance(value, int) and not isinstance(value, bool):
                return value
            if value is not None:
                raise _wrong(key, value, "a whole number")
        return None

    def number(self, key: str) -> float | None:
        value = self.values.get(key)
        if isinstance(value, str):
            try:
                value = float(value)
            except ValueError:
                raise _wrong(key, value, "a number") from None
        if value is None or (isinstance(value, int | float) and not isinstance(value, bool)):
            return None if value is None else float(value)
        raise _wrong(key, value, "a number")

    def mapping(self, key: str) -> Mapping[str, object] | None:
        value: Any = self.values.get(key)
        if value is not None and not isinstance(value, Mapping):
            raise _wrong(key, value, "keys and values")
        return dict(value) if value else None


def _flags(given: Mapping[str, object]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    for key in ("runtime_flags", "raw_runtime_flags"):
        value = given.get(key)
        if isinstance(value, str | list | tuple):
            return rewritten(value)
        if value is not None:
            raise _wrong(key, value, "a list or a text")
    return (), ()


def _speculative(given: _Given) -> Speculative | None:
    found = Speculative(
        given.text("speculative_draft_model").strip(),
        given.whole("speculative_num_tokens"),
        given.number("speculative_acceptance_rate"),
    )
    return found if found != Speculative() else None


def _vllm(given: _Given) -> Mapping[str, object] | None:
    values = {
        "hf-overrides": given.mapping("hf_overrides"),
        "gpu-memory-utilization": given.number("gpu_memory_utilization"),
    }
    return {key: value for key, value in values.items() if value is not None} or None


def _keep_alive(value: object) -> tuple[str | None, tuple[str, ...]]:
    """A duration as the runner reads it, and what was made of a number."""
    if value is None:
        return None, ()
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        raise _wrong("keep_alive", value, 'a duration such as "30m", or -1 for ever')
    text = str(value).strip()
    if re.fullmatch(r"[+-]?\d+(\.\d+)?", text) and text not in ("0", "-1"):
        sent = "-1" if text.startswith("-") else f"{text}s"
        return sent, (f"keep_alive: {text} is sent as {sent}",)
    if seconds(text) is None:
        raise _wrong("keep_alive", value, 'a duration such as "30m", or -1 for ever')
    return text, ()


def _wrong(key: str, value: object, expected: str) -> ConfigError:
    return ConfigError(f"provider_opts.{key}: {value!r}", f"write {expected}")
