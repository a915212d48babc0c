"""Settings of a knowledge base that do not do what they look like.

Each trap looks at one source and yields (key below the source, what, what to do). None loads a
model or asks a server.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import pairwise
from typing import Final

from ragkit.config.marks import Problem
from ragkit.config.models import Model
from ragkit.config.rag import Source
from ragkit.errors import ConfigError
from ragkit.kb.models import CHAT_ONLY, resolved
from ragkit.kb.parts import ResolvedChunking, filled_in
from ragkit.models.dimensions import dimensions_of

_RERANKERS: Final = re.compile(r"rerank|cross-?encoder|ms-marco", re.IGNORECASE)
_EMBEDDERS: Final = re.compile(r"embed|(^|/)(bge-(m3|small|base|large)|e5-|all-minilm)", re.I)
_CHATS: Final = re.compile(
    r"(^|/)(gpt-|o\d|claude|gemini|llama|mistral|qwen\d?(\.\d+)?(:|$|-)|smollm|phi|deepseek|gemma\d?(:|$|-))",
    re.IGNORECASE,
)


def traps(source: Source) -> Iterator[Problem]:
    """All traps that a knowledge base is in."""
    for find in (_dimensions, _models, _thresholds, _chunks, _fusion, _limits, _reranking):
        yield from find(source)


def _dimensions(source: Source) -> Iterator[Problem]:
    """A length that the model's vectors cannot have."""
    for index, settings in enumerate(source.strategies):
        model = _model(source, settings.embedding_model) if settings.type != "bm25" else None
        if model is None or settings.vector_dimensions is None:
            continue
        known = dimensions_of(model.provider, model.model)
        if known and settings.vector_dimensions not in known:
            own, *shorter = known
            more = f", or {_some(shorter)} where it is cut" if shorter else ""
            yield Problem(
                f"strategies[{index}].vector_dimensions",
                f"{settings.vector_dimensions}, but vectors of {model.model} have {own}{more}",
                "leave it out",
            )


def _models(source: Source) -> Iterator[Problem]:
    """A model for another task, or at a place that is not known."""
    for key, reference, task in _references(source):
        model = _model(source, reference)
        if model is None or model.provider in ("embedded", "auto"):
            continue
        if task == "embedding" and _RERANKERS.search(model.model):
            yield Problem(key, f"{model.model} is a reranker", "name an embedding model")
        elif task == "embedding" and _is_chat(model):
            yield Problem(key, f"{model.model} is a chat model", "name an embedding model")
        elif task == "reranking" and _is_embedder(model):
            yield Problem(
                key,
                f"{model.model} is an embedding model: it scores nothing",
                "name a reranker or a chat model",
            )
        elif task == "chat" and (_is_embedder(model) or _RERANKERS.search(model.model)):
            yield Problem(key, f"{model.model} writes no text", "name a chat model")
        if not model.base_url and not _has_place(model):
            yield Problem(
                key,
                f"where models of {model.provider} are reached is not known",
                "give the model a base_url, or define the provider below `providers:`",
            )


def _thresholds(source: Source) -> Iterator[Problem]:
    """A bound on another scale than the scores."""
    cosines = {s.threshold for s in source.strategies if s.type != "bm25"}
    for index, settings in enumerate(source.strategies):
        key, bound = f"strategies[{index}].threshold", settings.threshold
        if bound is None:
            continue
        if settings.type == "bm25" and bound > 1:
            yield Problem(
                key,
                f"{bound:g} lets nothing through: it is compared with the score a query word, "
                "which is 1 at most",
                "choose one from 0 to 1, or leave it out",
            )
        elif settings.type == "bm25" and bound >= 0.5 and bound in cosines:
            yield Problem(
                key,
                f"{bound:g} is that of the embeddings, yet no cosine: it is compared with the "
                "score a query word, and long questions reach it rarely",
                "choose a smaller one, such as 0.1, or leave it out",
            )
        elif settings.type != "bm25" and bound >= 1:
            yield Problem(
                key,
                f"{bound:g} lets nothing through: a cosine is 1 for equal texts alone",
                "choose one below 1, or leave it out",
            )


def _chunks(source: Source) -> Iterator[Problem]:
    """Strategies that see different pieces of one file, and pieces that overlap too much."""
    for index, settings in enumerate(source.strategies):
        size, overlap = settings.chunking.size, settings.chunking.overlap
        if overlap is not None and overlap >= (size or filled_in(settings.chunking).size):
            yield Problem(
                f"strategies[{index}].chunking.overlap",
                f"{overlap} is no less than the size: half of the size is taken",
                "write at most half of the size",
            )
    for index, (one, other) in enumerate(pairwise(source.strategies), 1):
        first, second = filled_in(one.chunking), filled_in(other.chunking)
        if first != second:
            yield Problem(
                f"strategies[{index}].chunking",
                f"cuts otherwise than that of {one.name} ({_apart(first, second)}): what both "
                "find counts as two hits, and each has an index of its own",
                f"write the same `chunking` for {one.name} and {other.name}",
            )


def _fusion(source: Source) -> Iterator[Problem]:
    """Keys of a fusion that is not made."""
    fusion = source.results.fusion
    method = fusion.strategy or "rrf"
    if fusion.strategy and len(source.strategies) == 1:
        yield Problem("results.fusion", "there is one strategy: nothing is fused", "leave it out")
    elif fusion.weights and method not in ("weighted", "convex"):
        yield Problem(
            "results.fusion.weights", f"{method} uses no weights", "write strategy: weighted"
        )
    elif fusion.k != 60 and method != "rrf":
        yield Problem("results.fusion.k", f"{method} uses no k", "leave it out")


def _limits(source: Source) -> Iterator[Problem]:
    """Fewer candidates than an answer may have."""
    wanted = source.results.limit
    for index, settings in enumerate(source.strategies):
        if settings.limit < wanted:
            yield Problem(
                f"strategies[{index}].limit",
                f"{settings.limit} is less than results.limit, {wanted}: {wanted} candidates are "
                "taken all the same",
                f"write {wanted} or more",
            )


def _reranking(source: Source) -> Iterator[Problem]:
    """A reranker that reads less than is shown, or words that nobody reads."""
    settings = source.results.reranking
    if settings is None:
        return
    if 0 < settings.top_k < source.results.limit:
        rest = "the rest is dropped" if settings.threshold else "the rest keeps its order behind"
        yield Problem(
            "results.reranking.top_k",
            f"{settings.top_k} is less than results.limit, {source.results.limit}: {rest}",
            "leave it out, and all candidates are reranked",
        )
    model = _model(source, settings.model)
    native = model is not None and _RERANKERS.search(model.model) and settings.method != "chat"
    if settings.criteria.strip() and native:
        yield Problem(
            "results.reranking.criteria",
            "a model with an endpoint for reranking is not told them",
            "leave them out, or name a chat model",
        )


def _references(source: Source) -> Iterator[tuple[str, str, str]]:
    """(key, reference, task) of every model that the source names."""
    for index, settings in enumerate(source.strategies):
        if settings.embedding_model:
            yield f"strategies[{index}].embedding_model", settings.embedding_model, "embedding"
        if settings.chat_model:
            yield f"strategies[{index}].chat_model", settings.chat_model, "chat"
    if source.results.reranking:
        yield "results.reranking.model", source.results.reranking.model, "reranking"


def _model(source: Source, reference: str | None) -> Model | None:
    """What a reference means; None where that is told elsewhere."""
    try:
        return resolved(source, reference or "auto")
    except ConfigError:
        return None


def _is_embedder(model: Model) -> bool:
    return bool(_EMBEDDERS.search(model.model)) and not _RERANKERS.search(model.model)


def _is_chat(model: Model) -> bool:
    return bool(_CHATS.search(model.model)) and not _EMBEDDERS.search(model.model)


def _has_place(model: Model) -> bool:
    from ragkit.models.openai import PROVIDERS

    return model.provider in ("dmr", *PROVIDERS, *CHAT_ONLY)


def _apart(one: ResolvedChunking, other: ResolvedChunking) -> str:
    """`size 1000 and 1500, overlap 100 and 75`."""
    names = ("size", "overlap", "respect_word_boundaries", "code_aware")
    pairs = ((name, getattr(one, name), getattr(other, name)) for name in names)
    return ", ".join(f"{name} {_plain(a)} and {_plain(b)}" for name, a, b in pairs if a != b)


def _plain(value: object) -> str:
    return str(value).lower()


def _some(sizes: list[int]) -> str:
    """`512, 256, 128`, or where it goes by ones `32 to 1023`."""
    if len(sizes) > 8:
        return f"{min(sizes)} to {max(sizes)}"
    return ", ".join(map(str, sizes))
