"""Documented functions of a JavaScript file: a JSDoc comment and the function right below it."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from itertools import takewhile

from benchmarks.judgements import Span
from benchmarks.making.documented import Documented
from benchmarks.making.golang import first_paragraph

LONGEST_LINE = 500
"""A file with a longer one is minified."""

_NAMES = tuple(
    map(
        re.compile,
        (
            r"\s*(?:export\s+)?(?:default\s+)?(?:async\s+)?function\s*\*?\s*([\w$]+)",
            r"\s*(?:export\s+)?(?:const\s+|let\s+|var\s+)?(?:[\w$]+\.)*([\w$]+)\s*[=:]\s*"
            r"(?:async\s+)?(?:function\b|\([^()]*\)\s*=>|[\w$]+\s*=>)",
            r"\s+(?:static\s+|async\s+|get\s+|set\s+|\*\s*)*(#?[\w$]+)\s*\([^()]*\)\s*\{$",
        ),
    )
)
_NO_NAMES = frozenset(["if", "for", "while", "switch", "catch", "return", "constructor"])


def documented(path: str, text: str) -> Iterator[Documented]:
    """Functions and methods below a JSDoc comment; the query is its description's first paragraph.

    A function ends at the first brace that stands where its first line begins: files that are laid
    out otherwise give none.
    """
    lines = text.split("\n")
    if not path.endswith((".js", ".mjs", ".cjs")) or max(map(len, lines)) > LONGEST_LINE:
        return
    for first, line in enumerate(lines):
        if not line.strip().startswith("/**"):
            continue
        last = next((n for n in range(first, len(lines)) if "*/" in lines[n]), len(lines))
        if last + 1 >= len(lines) or not lines[last].rstrip().endswith("*/"):
            continue
        start = last + 1
        name, end = _name(lines[start]), _end(lines, start)
        query = description(lines[first : last + 1])
        if name and end and query:
            function = Span(start + 1, end + 1)
            yield Documented(path, name, query, function, Span(first + 1, last + 1))


def description(comment: Sequence[str]) -> str:
    """The first paragraph of a JSDoc comment before any tag, in one line; "" for none."""
    said = [re.sub(r"^\s*(/\*\*|\*(?!/))?\s?|\s*\*/\s*$", "", line).strip() for line in comment]
    prose = first_paragraph(takewhile(lambda line: not line.startswith("@"), said))
    plain = re.sub(r"\{@\w+\s+([^}|]*)[^}]*\}", r"\1", prose)
    return " ".join(re.sub(r"</?\w+>", " ", plain).split())


def _name(line: str) -> str | None:
    for pattern in _NAMES:
        found = pattern.match(line)
        if found and found[1] not in _NO_NAMES:
            return found[1]
    return None


def _end(lines: Sequence[str], start: int) -> int | None:
    """The index of the line that ends a function which begins there."""
    indentation = lines[start][: len(lines[start]) - len(lines[start].lstrip())]
    inner = (indentation + " ", indentation + "\t", indentation + ")", indentation + "}")
    for number in range(start + 1, len(lines)):
        line = lines[number]
        if line.startswith(indentation + "}") and not line.rstrip().endswith("{"):
            return number
        if line.strip() and not line.startswith(inner):
            return None
    return None
