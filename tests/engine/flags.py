"""Runtime flags: what Docker Model Runner lets through, and what llama.cpp makes of it."""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, get_args

Mode = Literal["completion", "embedding", "reranking", "image-generation"]

VALUED = {
    **dict.fromkeys(("-b", "--batch-size"), "batch"),
    **dict.fromkeys(("-ub", "--ubatch-size"), "ubatch"),
    **dict.fromkeys(("-c", "--ctx-size"), "context"),
    **dict.fromkeys(("-np", "--parallel"), "parallel"),
    **dict.fromkeys(("-t", "--threads"), "threads"),
    "--pooling": "pooling",
    **dict.fromkeys(
        (
            *("-tb", "--threads-batch", "-ngl", "--gpu-layers", "--n-gpu-layers"),
            *("-fa", "--flash-attn", "-n", "--predict", "--n-predict", "--keep", "-s", "--seed"),
            *("--temp", "--top-k", "--top-p", "--min-p", "--repeat-penalty", "--presence-penalty"),
            *("--frequency-penalty", "-sm", "--split-mode", "-mg", "--main-gpu", "-dev"),
            *("-ctk", "--cache-type-k", "-ctv", "--cache-type-v", "--rope-scaling"),
            *("--rope-scale", "--rope-freq-base", "--rope-freq-scale", "--draft-max"),
            *("--draft-min", "--draft-p-min", "--reasoning-format", "--reasoning-budget"),
            *("-to", "--timeout", "--prio", "--poll", "-cram", "--cache-ram"),
        ),
        "",
    ),
}
"""Flags with one value each, and the setting it becomes; "": none that matters here."""

BARE = {
    *("--embedding", "--embeddings", "--rerank", "--reranking", "--no-mmap", "--mmap", "--mlock"),
    *("--warmup", "--no-warmup", "-kvu", "--kv-unified", "-nkvo", "--no-kv-offload", "--jinja"),
    *("-cb", "--cont-batching", "--metrics", "--no-perf", "--swa-full", "--ignore-eos", "-v"),
    *("--verbose", "--context-shift", "--no-context-shift", "--slots", "--no-slots"),
}


class Refused(Exception):
    """What Docker Model Runner answers with 500."""


class Malformed(Exception):
    """What it answers with 400."""


class InvalidArgument(Exception):
    """What llama-server dies with."""


@dataclass(frozen=True)
class Settings:
    """How one llama-server was started."""

    context: int = 0
    """0: as the model was made."""
    batch: int = 2048
    ubatch: int = 512
    parallel: int = 4
    threads: int = 0
    pooling: str = ""


def check(flags: Sequence[str]) -> None:
    """Raises Refused, in the words of Docker Model Runner."""
    for flag in flags:
        if not flag.startswith("-") or flag[1:2].isdigit():
            continue
        key = flag.partition("=")[0]
        if key not in VALUED and key not in BARE:
            raise Refused(f'runtime flag "{key}" is not allowed for backend "llama.cpp"')
    for flag in flags:
        if "/" in flag or "\\" in flag:
            raise Refused(
                f"invalid runtime flag {json.dumps(flag)}: "
                "paths are not allowed (contains '/' or '\\\\')"
            )


def settings_of(configuration: Mapping[str, Any], stored_context: int | None) -> Settings:
    """What llama.cpp's own parser makes of it. Raises InvalidArgument, in its words."""
    context = configuration.get("context-size") or stored_context or 0
    values: dict[str, Any] = {"context": max(0, context)}
    tokens = iter(configuration.get("runtime-flags", []))
    for token in tokens:
        if token in BARE:
            continue
        if token not in VALUED:
            raise InvalidArgument(f"error: invalid argument: {token}")
        value = next(tokens, None)
        if value is None:
            raise InvalidArgument(f'error while handling argument "{token}": expected value')
        name = VALUED[token]
        if name == "pooling":
            values[name] = value
        elif name:
            try:
                values[name] = int(value)
            except ValueError:
                raise InvalidArgument(f'error while handling argument "{token}": stoi') from None
    return Settings(**values)


KEYS = {
    "context-size": int,
    "keep_alive": str,
    "speculative": dict,
    "llamacpp": dict,
    "vllm": dict,
}


def configuration_of(body: bytes) -> tuple[str, Mode, dict[str, Any]]:
    """Model, mode and what is kept of a `_configure` request. Raises Malformed, Refused."""
    try:
        value = json.loads(body)
    except ValueError:
        raise Malformed("invalid request") from None
    if not isinstance(value, dict) or not isinstance(value.get("model", ""), str):
        raise Malformed("invalid request")
    kept = {}
    for key, kind in KEYS.items():
        if value.get(key) is not None:
            if not isinstance(value[key], kind) or isinstance(value[key], bool):
                raise Malformed("invalid request")
            kept[key] = value[key]
    flags = value.get("runtime-flags") or []
    raw = value.get("raw-runtime-flags") or ""
    if not isinstance(flags, list) or not all(isinstance(flag, str) for flag in flags):
        raise Malformed("invalid request")
    if not flags and raw:
        flags = shlex.split(raw)
    mode: Any = value.get("mode") or ("embedding" if "--embeddings" in flags else "completion")
    if mode not in get_args(Mode):
        raise Malformed("invalid request")
    check(flags)
    if flags:
        kept["runtime-flags"] = flags
    return value.get("model", ""), mode, kept
