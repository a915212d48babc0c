"""The `filters:` of a knowledge base's results: which files every search looks at."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated, Literal

from ragkit.config.marks import NONEMPTY, Problem
from ragkit.errors import QueryError
from ragkit.filters import moment, paths_test


@dataclass(frozen=True, slots=True)
class Filters:
    """Which files every search looks at; what a search itself asks for narrows it further."""

    paths: tuple[Annotated[str, NONEMPTY], ...] = ()
    """Files, folders and globs from the root, as in a `.gitignore`; any of them. One that begins
    with `!` leaves out what it matches. Unset: all."""
    languages: tuple[Annotated[str, NONEMPTY], ...] = ()
    """Such as `python` or `go`; any of them. `text` is plain text. Unset: all."""
    type: Literal["code", "docs"] | None = None
    """`docs`: Markdown, reStructuredText, AsciiDoc, HTML, and prose without a language (`*.txt`,
    `LICENSE`, …). `code`: all else, also configuration and data. Unset: both."""
    newer_than: Annotated[str | None, NONEMPTY] = None
    """Changed within `30m`, `12h`, `7d` or `2w`, or since a date such as `2026-01-31`. Unset: at
    any time."""

    def problems(self) -> Iterator[Problem]:
        for number, glob in enumerate(self.paths):
            try:
                paths_test([glob])
            except QueryError as error:
                yield Problem(f"paths[{number}]", error.message, error.remedy)
        if self.newer_than is not None:
            try:
                moment(self.newer_than, time.time())
            except QueryError as error:
                yield Problem("newer_than", error.message, error.remedy)
