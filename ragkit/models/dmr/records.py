"""What a model runner tells, and what it is told, as values."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Final, Literal, TypeAlias

Mode: TypeAlias = Literal["completion", "embedding", "reranking"]
Phase: TypeAlias = Literal["info", "downloading", "storing", "success"]

NONE, MEAN, CLS, LAST, RANK = range(5)
"""llama.cpp's pooling types, as numbers of a GGUF's metadata."""

_MODES: Final[Mapping[str, Mode]] = {"embedding": "embedding", "reranking": "reranking"}

_NOTHING: Final[Mapping[str, str]] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class LocalModel:
    """A model as the runner knows it. Texts are "" where it does not say."""

    id: str
    """`sha256:` and 64 digits; of its weights and their configuration."""
    tags: tuple[str, ...] = ()
    """All its names, as the runner spells them."""
    created: int = 0
    """Seconds since the epoch."""
    format: str = ""
    architecture: str = ""
    parameters: str = ""
    """As people write it: `302.86M`."""
    quantization: str = ""
    size: str = ""
    """As people write it: `761.25MiB`."""
    context: int | None = None
    """Most tokens: as stored with the model, else as its GGUF says."""
    trained_context: int | None = None
    """Most tokens: as its GGUF says."""
    dimensions: int | None = None
    pooling: int | None = None
    """`MEAN`, `CLS`, `LAST`, `RANK` or `NONE`; None where the GGUF does not say."""
    metadata: Mapping[str, str] = field(default_factory=lambda: _NOTHING)
    """Of its GGUF, by key."""
    reference: str = ""
    """What to call it in a request: the runner answers to it."""

    @property
    def tokeniser(self) -> str:
        """Which one its GGUF holds, such as `bert jina-v2-de`; "" where it does not say."""
        keys = ("tokenizer.ggml.model", "tokenizer.ggml.pre")
        return " ".join(self.metadata[key] for key in keys if self.metadata.get(key))


@dataclass(frozen=True, slots=True)
class PullProgress:
    """One step of a pull."""

    phase: Phase
    message: str = ""
    """In the runner's own words."""
    layer: str = ""
    """The layer's or file's id; "" where the step is about none."""
    current: int = 0
    """Bytes of this layer that are there …"""
    size: int = 0
    """… of this many."""
    total: int = 0
    """Bytes of all layers together; 0 where it is not known."""


@dataclass(frozen=True, slots=True)
class Running:
    """A model that is loaded, for one kind of work."""

    model: str
    """As whoever loaded it called it."""
    backend: str
    mode: str
    last_used: str = ""
    """As in RFC 3339; the year 1 while it is in use."""
    in_use: bool = False
    loading: bool = False
    keep_alive: str = ""
    """How long it stays without work, `30m0s`; "" for the runner's default."""


@dataclass(frozen=True, slots=True)
class Speculative:
    """A smaller model that guesses ahead."""

    draft_model: str = ""
    num_tokens: int | None = None
    min_acceptance_rate: float | None = None

    def body(self) -> dict[str, object]:
        values = {
            "draft_model": self.draft_model or None,
            "num_tokens": self.num_tokens,
            "min_acceptance_rate": self.min_acceptance_rate,
        }
        return {key: value for key, value in values.items() if value is not None}


@dataclass(frozen=True, slots=True)
class Configuration:
    """How a model is to be run for one kind of work."""

    model: str
    mode: Mode
    """Always said: without it the runner takes every configuration for one of chat."""
    context_size: int | None = None
    runtime_flags: tuple[str, ...] = ()
    keep_alive: str | None = None
    """A duration as Go writes it: "30m", "0", "-1"."""
    speculative: Speculative | None = None
    reasoning_budget: int | None = None
    vllm: Mapping[str, object] | None = None

    def settings(self) -> dict[str, object]:
        """All but model and mode, as the runner spells it; what is not set is left out."""
        budget = self.reasoning_budget
        values: dict[str, object] = {
            "context-size": self.context_size,
            "runtime-flags": list(self.runtime_flags),
            "keep_alive": self.keep_alive,
            "speculative": self.speculative.body() if self.speculative else None,
            "llamacpp": None if budget is None else {"reasoning-budget": budget},
            "vllm": dict(self.vllm or {}),
        }
        return {key: value for key, value in values.items() if value not in (None, [], {})}

    def body(self) -> dict[str, object]:
        """What is posted to `_configure`."""
        return {"model": self.model, "mode": self.mode, **self.settings()}

    def like(self, other: Configuration) -> bool:
        """Whether both run a model in the same way, however its name and durations are written."""
        return self._comparable() == other._comparable()

    def _comparable(self) -> dict[str, object]:
        settings = self.settings()
        if self.keep_alive is not None:
            settings["keep_alive"] = seconds(self.keep_alive)
        return {"mode": self.mode, **settings}


@dataclass(frozen=True, slots=True)
class Configured:
    """A configuration that the runner holds, of whichever client."""

    backend: str
    model: str
    """As the client that sent it called it."""
    id: str
    mode: str
    configuration: Configuration


def local_model(value: Mapping[str, Any], reference: str = "") -> LocalModel:
    """A model from the runner's description of it, where every field may be missing."""
    config = _mapping(value.get("config"))
    metadata = {str(key): _text(item) for key, item in _mapping(config.get("gguf")).items()}
    tags = tuple(tag for tag in _list(value.get("tags")) if isinstance(tag, str))
    architecture = _text(config.get("architecture")) or metadata.get("general.architecture", "")

    def number(key: str) -> int | None:
        for name in (metadata.get("general.architecture", ""), architecture):
            if (found := _whole(metadata.get(f"{name}.{key}"))) is not None:
                return found
        return None

    context = _whole(config.get("context_size"))
    identity = _text(value.get("id"))
    return LocalModel(
        id=identity,
        tags=tags,
        created=_whole(value.get("created")) or 0,
        format=_text(config.get("format")),
        architecture=architecture,
        parameters=_text(config.get("parameters")),
        quantization=_text(config.get("quantization")),
        size=_text(config.get("size")),
        context=context if context and context > 0 else number("context_length"),
        trained_context=number("context_length"),
        dimensions=number("embedding_length"),
        pooling=number("pooling_type"),
        metadata=MappingProxyType(metadata),
        reference=reference or (tags[0] if tags else identity),
    )


def listed_model(value: Mapping[str, Any]) -> LocalModel:
    """A model from its entry in an OpenAI list, which says less."""
    details = _mapping(value.get("dmr"))
    name = _text(value.get("id"))
    config = {**details, "context_size": details.get("context_window")}
    named = [] if name.startswith("sha256:") else [name]
    identity = "" if named else name
    described = {**value, "id": identity, "tags": named, "config": config}
    return local_model(described, name)


def running(value: Mapping[str, Any]) -> Running:
    """An entry of `/engines/ps`."""
    return Running(
        model=_text(value.get("model_name")),
        backend=_text(value.get("backend_name")),
        mode=_text(value.get("mode")),
        last_used=_text(value.get("last_used")),
        in_use=value.get("in_use") is True,
        loading=value.get("loading") is True,
        keep_alive=_text(value.get("keep_alive")),
    )


def configured(value: Mapping[str, Any]) -> Configured:
    """An entry of `GET /engines/_configure`."""
    config = _mapping(value.get("Config"))
    draft = _mapping(config.get("speculative"))
    rate = draft.get("min_acceptance_rate")
    mode = _text(value.get("Mode"))
    return Configured(
        backend=_text(value.get("Backend")),
        model=_text(value.get("Model")),
        id=_text(value.get("ModelID")),
        mode=mode,
        configuration=Configuration(
            model=_text(value.get("Model")),
            mode=_MODES.get(mode, "completion"),
            context_size=_whole(config.get("context-size")),
            runtime_flags=tuple(map(str, _list(config.get("runtime-flags")))),
            keep_alive=_text(config.get("keep_alive")) or None,
            speculative=Speculative(
                _text(draft.get("draft_model")),
                _whole(draft.get("num_tokens")),
                float(rate) if isinstance(rate, int | float) else None,
            )
            if draft
            else None,
            reasoning_budget=_whole(_mapping(config.get("llamacpp")).get("reasoning-budget")),
            vllm=_mapping(config.get("vllm")) or None,
        ),
    )


def seconds(duration: str) -> float | None:
    """Seconds of a duration as Go writes it ("1h30m", "0", "-1"); None for what is none.

    All negative ones mean the same, for ever: -1.
    """
    text = duration.strip()
    if text in ("0", "-1"):
        return float(text)
    units = {"h": 3600.0, "m": 60.0, "s": 1.0, "ms": 1e-3, "us": 1e-6, "µs": 1e-6, "ns": 1e-9}
    if not re.fullmatch(r"[+-]?((\d+\.?\d*|\.\d+)(h|ms|m|s|us|µs|ns))+", text):
        return None
    if text.startswith("-"):
        return -1.0
    parts = re.findall(r"([\d.]+)(h|ms|m|s|us|µs|ns)", text)
    return sum(float(number) * units[unit] for number, unit in parts)


def _mapping(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}


def _list(value: object) -> list[Any]:
    return value if isinstance(value, list) else []


def _text(value: object) -> str:
    if isinstance(value, str):
        return value
    return str(value) if isinstance(value, int | float) else ""


def _whole(value: object) -> int | None:
    """A whole number, also one written as text; None for anything else."""
    if isinstance(value, bool):
        return None
    if isinstance(value, int):
        return value
    return int(value) if isinstance(value, str) and re.fullmatch(r"-?\d{1,18}", value) else None
