"""How a model should be run for one kind of work, and how many tokens it then takes.

Left alone, llama.cpp works on 512 tokens at once, and an encoder reads a text in one piece: of the
2,048 tokens that embeddinggemma was made for, 512 remain, and a longer text is refused. A model
with a cache (qwen3-embedding) reads in pieces and takes its whole context, which is reserved in
memory: 32,768 tokens of it cost gigabytes.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import Final

from ragkit.errors import ModelError
from ragkit.models.dmr import flags, records
from ragkit.models.dmr.options import Options
from ragkit.models.dmr.records import Configuration, LocalModel, Mode
from ragkit.models.dmr.references import name_of

KEEP_ALIVE: Final = "30m"
"""Longer than the pauses of an index that is kept up to date; the runner's own default is 5m."""

_UBATCH: Final = 512
_BATCH: Final = 2048
_WHOLE: Final = 2048
"""Tokens of a text that is read in one piece: memory grows with it."""
_CACHED: Final = 8192
"""Tokens of context of an embedding model with a cache."""
_RERANKED: Final = 4096
"""The same of a reranker."""


@dataclass(frozen=True, slots=True)
class Limits:
    """What a model takes when it is run in some way; None where that is not known."""

    tokens: int | None = None
    """Of one text; of a query and a document together when reranking."""
    context: int | None = None
    """Of all that is under way together; None also where there is no such bound."""


def plan(model: LocalModel, mode: Mode, options: Options) -> Configuration | None:
    """How to run the model: as the user says, and well where he says nothing.

    None where the runner's defaults are as good: configuring costs a load of the model.
    """
    wanted = Configuration(
        model=model.reference,
        mode=mode,
        context_size=options.context_size,
        runtime_flags=options.runtime_flags,
        keep_alive=options.keep_alive,
        speculative=options.speculative if mode == "completion" else None,
        reasoning_budget=options.reasoning_budget if mode == "completion" else None,
        vllm=options.vllm,
    )
    if mode == "completion":
        return wanted if wanted.settings() else None
    wanted = _filled(model, wanted)
    default = Configuration(model.reference, mode)
    if not options.is_set and not _has_cache(model):
        now, then = limits(model, default), limits(model, wanted)
        if now.tokens is not None and then.tokens is not None and now.tokens >= then.tokens:
            return None
    return replace(wanted, keep_alive=wanted.keep_alive or KEEP_ALIVE)


def limits(model: LocalModel, configuration: Configuration) -> Limits:
    """What the model takes when it is run so."""
    context = flags.context(configuration.runtime_flags) or configuration.context_size
    if context is None:
        context = model.context
    elif context < 1:
        context = _made_for(model)
    if configuration.mode == "completion":
        return Limits(context, context)
    if not _reads_whole(model, configuration):
        return Limits(context, context)
    at_once = min(
        flags.ubatch(configuration.runtime_flags) or _UBATCH,
        flags.batch(configuration.runtime_flags) or _BATCH,
    )
    tokens = min(at_once, context) if context else at_once
    return Limits(tokens, context if _has_cache(model) else None)


def suffices(there: Configuration, wanted: Configuration, model: LocalModel) -> bool:
    """Whether a configuration of another client does as well as ours: then it stays."""
    if flags.changing(there.runtime_flags) != flags.changing(wanted.runtime_flags):
        return False
    has, needs = limits(model, there), limits(model, wanted)
    pairs = ((has.tokens, needs.tokens), (has.context, needs.context))
    return all(need is None or (got is not None and got >= need) for got, need in pairs)


def check(model: LocalModel, mode: Mode, options: Options, name: str) -> tuple[str, ...]:
    """What speaks against this work for this model, in words.

    Raises ModelError where its file says that it cannot do it.
    """
    if flags.value(options.runtime_flags, "--pooling") is not None:
        return ()  # the user knows better what the file should say
    if mode == "embedding" and model.pooling == records.RANK:
        raise ModelError(
            f"{name} is a reranker, and cannot embed",
            "choose an embedding model, such as dmr/ai/embeddinggemma",
        )
    is_chat = model.pooling is None and "tokenizer.chat_template" in model.metadata
    if mode == "embedding" and (model.pooling == records.NONE or is_chat):
        raise ModelError(
            f"{name} is a chat model, and cannot embed",
            "choose an embedding model, such as dmr/ai/embeddinggemma",
        )
    embeds = model.pooling in (records.MEAN, records.CLS, records.LAST)
    if mode == "reranking" and embeds and not re.search("rank|cross", name_of(name)):
        return (f"{name} is an embedding model by its file: its order may mean nothing",)
    return ()


def _filled(model: LocalModel, wanted: Configuration) -> Configuration:
    """With context and batches where the user says nothing of them."""
    reads_whole, has_cache = _reads_whole(model, wanted), _has_cache(model)
    said = flags.context(wanted.runtime_flags) or wanted.context_size
    made_for = _made_for(model)
    if said is not None:
        context = said if said > 0 else made_for or _WHOLE
    else:
        most = _WHOLE
        if has_cache:
            most = _RERANKED if wanted.mode == "reranking" else _CACHED
        context = min(made_for or most, most)
        if made_for is not None or has_cache:
            wanted = replace(wanted, context_size=context)
    if not reads_whole:
        return wanted
    # where the user names a context he wants texts of that length
    at_once = context if said is not None else min(context, _WHOLE)
    added = list(wanted.runtime_flags)
    if flags.batch(wanted.runtime_flags) is None:
        added += ["--batch-size", str(max(at_once, flags.ubatch(wanted.runtime_flags) or 0))]
    if flags.ubatch(wanted.runtime_flags) is None:
        added += ["--ubatch-size", str(at_once)]
    return replace(wanted, runtime_flags=tuple(added))


def _made_for(model: LocalModel) -> int | None:
    """Tokens that the model was trained on; what is stored with it may be less."""
    return model.trained_context or model.context


def _reads_whole(model: LocalModel, configuration: Configuration) -> bool:
    """Whether a text must fit into one piece: all but embedding by the last token."""
    if configuration.mode == "reranking":
        return True
    pooling = flags.value(configuration.runtime_flags, "--pooling")
    return pooling != "last" if pooling else model.pooling != records.LAST


def _has_cache(model: LocalModel) -> bool:
    """Whether texts share a memory of so many tokens: encoders have none."""
    return re.search("bert|-embedding|t5encoder", model.architecture) is None
