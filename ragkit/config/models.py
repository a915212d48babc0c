"""The `models:` and `providers:` blocks, and references to models."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any, Final, Literal

from ragkit.config.marks import GIVEN, NONEMPTY, Also, Between, Problem, hidden

PROVIDERS: Final = (
    "embedded",
    "dmr",
    "openai",
    "anthropic",
    "google",
    "amazon-bedrock",
    "mistral",
    "azure",
    "xai",
    "ollama",
    "nebius",
    "requesty",
    "minimax",
    "openrouter",
    "groq",
    "deepseek",
    "github-copilot",
    "atlascloud",
    "baseten",
    "cerebras",
    "chatgpt",
    "cloudflare-ai-gateway",
    "cloudflare-workers-ai",
    "fireworks",
    "huggingface",
    "moonshot",
    "nvidia",
    "ovhcloud",
    "together",
    "vercel",
)
"""Providers known by name, so that a misspelt one is noticed; others come from `providers:`."""

EMBEDDED: Final = ("static", "minilm")
"""The models of the provider `embedded`, which run in this process."""


@dataclass(frozen=True, slots=True)
class Route:
    """A rule of a model that hands requests on to others."""

    model: Annotated[str, NONEMPTY]
    """A key of `models` or `provider/model`."""
    examples: tuple[str, ...]
    """Requests that go to that model."""


@dataclass(frozen=True, slots=True)
class Model:
    """A model, where it runs and how it is asked."""

    name: Annotated[str, GIVEN]
    """Its key below `models:`, or the reference that names it."""
    provider: Annotated[str, NONEMPTY, Also("type")] = ""
    """`embedded`, `dmr`, `openai`, … or a key of `providers`. Required, unless there is
    `first_available`."""
    model: Annotated[str, NONEMPTY] = ""
    """Its name at the provider, such as `ai/qwen3:14B` or `hf.co/org/name`. Required, unless there
    is `first_available`."""
    first_available: Annotated[tuple[Annotated[str, NONEMPTY], ...], NONEMPTY] = ()
    """In place of all else: models of which the first is taken that has its key, or needs none."""
    description: str = ""
    """What it is good for."""
    temperature: Annotated[float | None, Between(0, 2)] = None
    """How freely words are chosen."""
    max_tokens: Annotated[int | None, Between(1)] = None
    """Longest answer, in tokens."""
    top_p: Annotated[float | None, Between(0, 1)] = None
    """Share of probability that words are chosen from."""
    frequency_penalty: Annotated[float | None, Between(-2, 2)] = None
    """Penalty on words by how often they were used."""
    presence_penalty: Annotated[float | None, Between(-2, 2)] = None
    """Penalty on words that were used."""
    base_url: Annotated[str | None, NONEMPTY] = None
    """Where the provider is reached. Unset: the provider's own place."""
    parallel_tool_calls: bool | None = None
    """Let the model call several tools at once. Unset: the provider's default."""
    token_key: Annotated[str | None, NONEMPTY] = None
    """Environment variable that holds the key of the provider."""
    provider_opts: Mapping[str, Any] = field(default_factory=dict)
    """Options of the provider; for `dmr`: `runtime_flags`, `speculative_draft_model`, …"""
    track_usage: bool | None = None
    """Ask for the number of tokens used. Unset: yes."""
    thinking_budget: int | str | None = None
    """How much the model may think: tokens, or a word such as `low`."""
    routing: tuple[Route, ...] = ()
    """Rules that hand requests on to other models."""
    bypass_models_gateway: bool = False
    """Ask the provider itself, whatever gateway there is."""
    task_budget: int | Mapping[str, Any] | None = None
    """Most tokens of a whole task."""
    auth: Mapping[str, Any] | None = None
    """Another way to sign in than a key."""
    title_model: Annotated[str | None, NONEMPTY] = None
    """The model that finds titles for sessions."""
    compaction_model: Annotated[str | None, NONEMPTY] = None
    """The model that sums long conversations up."""
    compaction_threshold: Annotated[float | None, Between(0, 1)] = None
    """From which share of the context on they are summed up."""
    capabilities: Mapping[str, Any] | None = None
    """Which files may be attached."""
    cost: Mapping[str, Any] | None = None
    """What a million tokens cost."""
    line: Annotated[int | None, GIVEN] = hidden(None)

    def problems(self) -> Iterator[Problem]:
        for key in ("provider", "model"):
            if not getattr(self, key) and not self.first_available:
                yield Problem("", f"{key} is missing", f"add `{key}:`")
        if self.provider == "embedded" and self.model not in EMBEDDED:
            yield Problem("model", f"no embedded model {self.model}", f"known: {_list(EMBEDDED)}")
        if self.provider == "dmr":
            yield from _runner_problems(self.provider_opts)


@dataclass(frozen=True, slots=True)
class Provider:
    """Where models of a provider of your own are reached."""

    name: Annotated[str, GIVEN]
    """Its key below `providers:`."""
    base_url: Annotated[str | None, NONEMPTY] = None
    """Where it is reached."""
    provider: Annotated[str | None, NONEMPTY] = None
    """The known provider that it speaks like. Unset: openai."""
    api_type: Literal["openai_chatcompletions", "openai_responses"] = "openai_chatcompletions"
    """Which interface it speaks."""
    token_key: Annotated[str | None, NONEMPTY] = None
    """Environment variable that holds its key."""
    provider_opts: Mapping[str, Any] = field(default_factory=dict)
    """Options of each of its models that the model does not have itself."""
    temperature: Annotated[float | None, Between(0, 2)] = None
    """As a model's, for all of its models; so are the others."""
    max_tokens: Annotated[int | None, Between(1)] = None
    """Longest answer, in tokens."""
    top_p: Annotated[float | None, Between(0, 1)] = None
    """Share of probability that words are chosen from."""
    frequency_penalty: Annotated[float | None, Between(-2, 2)] = None
    """Penalty on words by how often they were used."""
    presence_penalty: Annotated[float | None, Between(-2, 2)] = None
    """Penalty on words that were used."""
    parallel_tool_calls: bool | None = None
    """Let its models call several tools at once."""
    track_usage: bool | None = None
    """Ask for the number of tokens used."""
    thinking_budget: int | str | None = None
    """How much its models may think."""
    task_budget: int | Mapping[str, Any] | None = None
    """Most tokens of a whole task."""
    auth: Mapping[str, Any] | None = None
    """Another way to sign in than a key."""
    unload_api: str | None = None
    """Where it is asked to let a model go."""
    compaction_model: Annotated[str | None, NONEMPTY] = None
    """The model that sums long conversations up."""
    line: Annotated[int | None, GIVEN] = hidden(None)


def inline(reference: str) -> Model | None:
    """The model that `provider/model` names, split at the first slash; `auto` is its own provider.

    None if the text is neither.
    """
    if reference == "auto":
        return Model(reference, provider="auto", model="auto")
    provider, slash, model = reference.partition("/")
    if not (slash and provider.strip() and model.strip()):
        return None
    return Model(reference, provider=provider, model=model)


_RUNNER_OPTIONS: Final[dict[str, tuple[type, ...]]] = {
    "runtime_flags": (list, str),
    "raw_runtime_flags": (str,),
    "speculative_draft_model": (str,),
    "speculative_num_tokens": (int, str),
    "speculative_acceptance_rate": (float, int, str),
    "context_size": (int,),
    "mode": (str,),
    "keep_alive": (str, int, float),
    "rerank_prompt": (str,),
    "rerank_score": (str,),
    "reasoning-budget": (int,),
    "hf_overrides": (dict,),
    "gpu_memory_utilization": (float, int),
    "supports_images": (bool,),
    "supports_pdf": (bool,),
    "extra_body": (dict,),
    "http_headers": (dict,),
    "unload_api": (str,),
    "top_k": (int,),
    "min_p": (float, int),
    "repetition_penalty": (float, int),
    "seed": (int,),
}
_WORDS: Final = {
    list: "a list",
    str: "a text",
    int: "a whole number",
    float: "a number",
    bool: "true or false",
    dict: "keys and values",
}
_NUMBERS: Final = {"speculative_num_tokens": int, "speculative_acceptance_rate": float}


def _runner_problems(options: Mapping[str, Any]) -> Iterator[Problem]:
    """What is wrong with the `provider_opts` of Docker Model Runner."""
    for name, value in options.items():
        key, kinds = f"provider_opts.{name}", _RUNNER_OPTIONS.get(name)
        if kinds is None:
            yield Problem(key, "unknown option of dmr", f"known: {_list(_RUNNER_OPTIONS)}")
        elif type(value) not in kinds:
            words = " or ".join(_WORDS[kind] for kind in kinds)
            yield Problem(key, f"expected {words}, not {value!r}")
        elif name in _NUMBERS and isinstance(value, str):
            try:
                _NUMBERS[name](value)
            except ValueError:
                yield Problem(key, f"expected a number, not {value!r}")
    if "runtime_flags" in options and "raw_runtime_flags" in options:
        yield Problem("provider_opts.raw_runtime_flags", "excludes runtime_flags", "keep one")


def _list(words: Mapping[str, Any] | tuple[str, ...]) -> str:
    return ", ".join(words)
