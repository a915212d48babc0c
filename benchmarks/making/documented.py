"""Documented functions: the comment is the query, the function without it is the answer.

A language's module finds the functions; what is asked, and what of the corpus goes, is alike in
all of them.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from hashlib import sha256

from benchmarks.judgements import Query, Span
from benchmarks.making import Texts

SHORTEST_QUERY = 25
LONGEST_QUERY = 400
NO_SOURCES = frozenset(["test", "tests", "testing", "testdata", "examples", "_examples", "vendor"])
"""Folders whose functions are not asked for."""


@dataclass(frozen=True, slots=True)
class Documented:
    """A function and the comment that documents it, as lines of its file, from 1, inclusive."""

    path: str
    name: str
    query: str
    """The comment's first paragraph, in one line."""
    function: Span
    """Signature and body; in Python, decorators too."""
    comment: Span
    """The lines that are the comment's alone: in Python inside the function, else above it."""


Find = Callable[[str, str], Iterable[Documented]]
"""The documented functions of a file: path and text in; nothing for a file that is not code."""


def found_in(texts: Texts, find: Find) -> list[Documented]:
    """All documented functions that are no tests, in order of path and line."""
    found = [d for path in sorted(texts) if not is_test(path) for d in find(path, texts[path])]
    return sorted(found, key=lambda d: (d.path, d.function.first))


def sample(found: Sequence[Documented], seed: int = 4) -> list[Documented]:
    """Those with distinct queries of a fit length and some code, in an order drawn by the seed."""
    times: dict[str, int] = {}
    for documented in found:
        times[documented.query] = times.get(documented.query, 0) + 1
    fit = [
        d
        for d in found
        if times[d.query] == 1
        and SHORTEST_QUERY <= len(d.query) <= LONGEST_QUERY
        and d.query.count(" ") >= 3
        and d.function.lines - _inside(d) >= 4
    ]
    random.Random(seed).shuffle(fit)
    return fit


def undocumented(texts: Texts, asked: Sequence[Documented]) -> tuple[Texts, list[Documented]]:
    """The texts without the comments of the asked functions, and where the functions are then."""
    gone: dict[str, set[int]] = {}
    for documented in asked:
        lines = range(documented.comment.first, documented.comment.last + 1)
        gone.setdefault(documented.path, set()).update(lines)
    kept = {path: without(text, gone.get(path, set())) for path, text in texts.items()}
    moved = [replace(d, function=place(d.function, gone[d.path])) for d in asked]
    return kept, moved


def queries(
    asked: Sequence[Documented], said: Callable[[Documented], str] = lambda d: d.query
) -> list[Query]:
    """A query for each function; those that `said` has no words for are left out."""
    return [
        Query(
            id=sha256(f"{d.path}:{d.name}:{d.query}".encode()).hexdigest()[:10],
            text=said(d),
            relevant=frozenset([d.path]),
            spans=((d.path, d.function),),
        )
        for d in asked
        if said(d)
    ]


def without(text: str, gone: set[int]) -> str:
    """The text less these lines, counted from 1."""
    if not gone:
        return text
    kept = (line for number, line in enumerate(text.split("\n"), 1) if number not in gone)
    return "\n".join(kept)


def place(span: Span, gone: set[int]) -> Span:
    """Where the lines of a span are once others are gone. Raises ValueError if all of it is."""
    kept = [line for line in range(span.first, span.last + 1) if line not in gone]
    if not kept:
        raise ValueError(f"lines {span.first}-{span.last} are gone altogether")
    before = sum(1 for line in gone if line < kept[0])
    return Span(kept[0] - before, kept[0] - before + len(kept) - 1)


def is_test(path: str) -> bool:
    """Whether a path looks like that of a test, an example, or something of others."""
    folders = path.lower().split("/")
    name = folders[-1]
    return (
        bool(
            {"test", "tests", "testing", "testdata", "examples", "_examples", "vendor"}
            & set(folders[:-1])
        )
        or name.startswith("test_")
        or name.partition(".")[0].endswith(("_test", ".test", "conftest"))
    )


def _inside(documented: Documented) -> int:
    first = max(documented.comment.first, documented.function.first)
    return max(0, min(documented.comment.last, documented.function.last) - first + 1)
