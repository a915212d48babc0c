"""Filters from what people write: names of languages, durations, the `filters:` of the YAML."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace
from typing import Literal

from ragkit.chunkers import language_of
from ragkit.chunkers.languages import LANGUAGES
from ragkit.config.rag import Source
from ragkit.errors import ConfigError, QueryError
from ragkit.filters import PLAIN, moment, paths_test
from ragkit.types import ANYTHING, Filter

_ALIASES = {
    "c#": "csharp",
    "docker": "dockerfile",
    "golang": "go",
    "node": "javascript",
    "objective-c": "objc",
    "plain": PLAIN,
    "protobuf": "proto",
    "restructuredtext": "rst",
    "shell": "bash",
    "terraform": "hcl",
    "text": PLAIN,
    "txt": PLAIN,
}
"""Names that are neither a language's own nor a suffix of its files."""

_TOGETHER = {"typescript": ("typescript", "tsx")}
"""Languages that are several here, since they have a grammar each."""


def filter_of(
    *,
    paths: Sequence[str] = (),
    languages: Sequence[str] = (),
    type: Literal["code", "docs"] | None = None,
    newer_than: str | None = None,
) -> Filter:
    """The filter that is meant; `paths` are globs as in `ragkit.filters`.

    Raises QueryError for a glob that can match nothing, an unknown language, and a time that is
    neither a duration nor a date.
    """
    paths_test(paths)
    return named(
        Filter(
            tuple(paths),
            tuple(languages),
            (type,) if type else (),
            moment(newer_than, time.time()) if newer_than is not None else None,
        )
    )


def named(where: Filter) -> Filter:
    """The filter with its languages as the index has them. Raises QueryError."""
    languages = dict.fromkeys(one for name in where.languages for one in languages_named(name))
    also = tuple(map(named, where.also))
    return replace(where, languages=tuple(languages), also=also)


def languages_named(name: str) -> tuple[str, ...]:
    """The languages of `python`, `py`, `C++`, …: one as a rule. Raises QueryError."""
    word = name.strip().lower()
    language = _ALIASES.get(word, word)
    if language not in LANGUAGES and language != PLAIN:
        # a suffix or a whole name of files is a name of their language: rs, yml, makefile
        language = language_of(word) or language_of(f"x.{word}") or ""
    if not language:
        from difflib import get_close_matches

        known = sorted({*LANGUAGES, *_ALIASES})
        near = get_close_matches(word, known, n=3) or sorted(LANGUAGES)
        raise QueryError(f"no language '{name}'", remedy=f"one of: {', '.join(near)}")
    return _TOGETHER.get(language, (language,))


def configured(source: Source) -> Filter:
    """The filter of the knowledge base's `results.filters`, at this moment. Raises ConfigError."""
    settings = source.results.filters
    if settings == type(settings)():
        return ANYTHING
    try:
        return filter_of(
            paths=settings.paths,
            languages=settings.languages,
            type=settings.type,
            newer_than=settings.newer_than,
        )
    except QueryError as error:
        place = f"{source.file}:{source.line}: " if source.file and source.line else ""
        raise ConfigError(
            f"{place}rag.{source.name}.results.filters: {error.message}", error.remedy
        ) from error
