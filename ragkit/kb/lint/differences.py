"""Keys of a knowledge base that work otherwise than in docker-agent, or not at all.

A row is one key, as a pattern over its place below the knowledge base. Each names the chapter of
docs/compat.md that says more; tests hold the two together.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Final

from ragkit.config.rag import Fusion, Source, StrategySettings
from ragkit.errors import ConfigError
from ragkit.kb.lint.finding import State
from ragkit.kb.models import resolved, waits


@dataclass(frozen=True, slots=True)
class Row:
    """What is said of a key that is written."""

    key: str
    """A regular expression over the whole place."""
    text: str
    chapter: str
    state: State = "differs"
    when: Callable[[Any], bool] = bool
    """Over the value; a row holds for values that it likes."""


def _written(value: Any) -> bool:
    return value is not None


_S: Final = r"strategies\[\d+\]\."
_AGENTS: Final = "for agents, which this version checks and does not run"

ROWS: Final = (
    Row(
        _S + "limit",
        "counts in every version of the format; docker-agent reads 5 in files of its newest",
        "candidates",
    ),
    Row(
        _S + "vector_dimensions",
        "is compared with the model's, and may be left out; docker-agent demands it",
        "vectors",
    ),
    Row(
        _S + "embedding_model",
        "auto is embedded/static, which needs no server; docker-agent tries OpenAI, then the "
        "model runner",
        "vectors",
        when=lambda value: value == "auto",
    ),
    Row(
        _S + r"chunking\.overlap",
        "0 is kept, so chunks do not overlap; docker-agent makes 75 of it",
        "chunks",
        when=lambda value: value == 0,
    ),
    Row(
        _S + r"chunking\.respect_word_boundaries",
        "loses nothing where there is no word's end near a cut; docker-agent drops what follows",
        "chunks",
    ),
    Row(
        _S + r"chunking\.code_aware",
        "covers the whole of every file, in about 50 languages; docker-agent keeps functions of "
        "Go alone",
        "chunks",
    ),
    Row(
        _S + "tokenizer",
        "splits words and scores as docker-agent does, each word of a query once",
        "words",
        when=lambda value: value == "compat",
    ),
    Row(
        _S + "ast_context",
        "tells functions and classes of every language that is cut by its syntax",
        "chunks",
    ),
    Row(
        "(" + _S + ")?respect_vcs",
        "git's rules hold from the repository's top down, wherever this file lies in it; outside "
        "of one, .gitignore files hold too",
        "files",
    ),
    Row(
        r"results\.limit",
        "docker-agent never shows more than 10",
        "candidates",
        "differs",
        lambda v: v > 10,
    ),
    Row(
        r"results\.deduplicate",
        "goes before the cut, so the answer stays full; near copies and overlaps go too",
        "candidates",
    ),
    Row(
        r"results\.return_full_content",
        "comes from the index, each file once, so no hit is lost to its copies",
        "candidates",
    ),
    Row(
        r"results\.reranking\.top_k",
        "0 is all candidates; docker-agent takes results.limit",
        "reranking",
        when=lambda value: value == 0,
    ),
    Row(
        r"results\.reranking\.threshold",
        "is compared with a score from 0 to 1, whether the model gives logits or probabilities; "
        "docker-agent makes 0.5 to 0.73 of every probability, and so drops nothing below 0.5",
        "reranking",
    ),
    Row(r"results\.include_score", _AGENTS, "agents", "ignored", _written),
    Row(
        r"results\.prefetch\.(max_candidates|min_similarity|drift_threshold|timeout)",
        "no next query is guessed; answers are kept for queries that come again",
        "candidates",
        "ignored",
        _written,
    ),
    Row(r"tool\..+|tools(\[\d+\])?|defer(\[\d+\])?", _AGENTS, "agents", "ignored", _written),
    Row(r"description|instruction|tool_name|name", _AGENTS, "agents", "ignored", lambda _: True),
)

_SERVED: Final = re.compile(
    _S.replace(r"\d+", r"(\d+)")
    + "(embedding_batch_size|max_embedding_concurrency|max_indexing_concurrency)"
)
_COMPILED: Final = tuple((re.compile(row.key), row) for row in ROWS)


def row_of(source: Source, place: str) -> Row | None:
    """The row for a key that is written below a knowledge base; None: it is honoured as written."""
    if (match := _SERVED.fullmatch(place)) and _does_nothing(source, int(match[1]), match[2]):
        words = "for models that a server runs; this one runs in this process"
        return Row(place, words, "vectors", "ignored")
    value = value_at(source, place)
    for pattern, row in _COMPILED:
        if pattern.fullmatch(place) and row.when(value):
            return row
    return None


def _does_nothing(source: Source, index: int, field: str) -> bool:
    settings = source.strategies[index]
    try:
        model = resolved(source, settings.embedding_model or "auto")
    except ConfigError:  # told elsewhere
        return False
    if field == "max_indexing_concurrency":
        return not waits(source, settings)
    return model.provider in ("embedded", "auto")


def value_at(source: Source, place: str) -> Any:
    """The value at `strategies[0].limit`; None where there is none."""
    value: Any = source
    for name, index in re.findall(r"([^.\[\]]+)|\[(\d+)\]", place):
        try:
            value = value[int(index)] if index else getattr(value, name)
        except (AttributeError, IndexError, TypeError):
            return None
    return value


def unwritten(settings: StrategySettings) -> Iterator[tuple[str, str]]:
    """(words, chapter) of what a strategy does not say, where the silence means something else."""
    if settings.chunking.code_aware is None:
        yield "code is cut at functions and classes", "chunks"
    if settings.type == "bm25":
        if settings.threshold is None:
            yield "chunks without a word of the query are no hits", "words"
    elif settings.threshold is None:
        yield "no threshold (docker-agent: 0.5)", "vectors"
    if settings.type != "bm25" and not settings.exact:
        yield "few vectors are compared (docker-agent: all)", "vectors"
    if settings.database is None:
        yield "the database lies in your cache folder", "files"


def unwritten_results(source: Source) -> Iterator[tuple[str, str]]:
    """The same for the results."""
    results = source.results
    if not source.docs and not any(settings.docs for settings in source.strategies):
        yield "the whole folder is indexed (docker-agent: nothing)", "files"
    if len(source.strategies) > 1 and results.fusion == Fusion():
        yield "fusion is ragkit's own (docker-agent: rrf)", "fusion"
    if results.reranking and not results.reranking.top_k:
        yield "all candidates are reranked (docker-agent: results.limit)", "reranking"
    yield "rules on names, files and noise come after fusion", "fusion"
