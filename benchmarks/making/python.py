"""Documented functions of a Python file, by its syntax tree."""

from __future__ import annotations

import warnings
from collections.abc import Iterator

from benchmarks import library
from benchmarks.judgements import Span
from benchmarks.making.documented import Documented


def documented(path: str, text: str) -> Iterator[Documented]:
    """Functions and methods with a docstring; the query is the docstring's first paragraph."""
    if not path.endswith(".py") or len(text.splitlines()) > text.count("\n") + 1:
        return  # form feeds: what a line is would be a matter of opinion
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # invalid escapes of others
            found = list(library.documented_in(path, text))
    except SyntaxError:
        return
    for function in found:
        if function.docstring[0] == function.first:
            continue  # all in one line
        yield Documented(
            path,
            function.name,
            " ".join(function.query.split()),
            Span(function.first, function.last),
            Span(*function.docstring),
        )
