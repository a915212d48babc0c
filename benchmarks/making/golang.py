"""Documented functions of a Go file, as gofmt lays them out."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from itertools import dropwhile, takewhile

from benchmarks.judgements import Span
from benchmarks.making.documented import Documented

_FUNCTION = re.compile(r"func (?:\([^)]*\) )?(\w+)[\[(]")
_DIRECTIVE = re.compile(r"//\w+:|// \+build|//(export|line) ")


def documented(path: str, text: str) -> Iterator[Documented]:
    """Functions and methods below a comment; the query is the comment's first paragraph.

    A declaration begins in the first column and ends at the next brace there. Generated files
    have none.
    """
    if not path.endswith(".go") or re.search(r"^// Code generated .* DO NOT EDIT", text, re.M):
        return
    lines = text.split("\n")
    for number, line in enumerate(lines):
        declared = _FUNCTION.match(line)
        if not declared or line.endswith("}"):
            continue
        first = number
        while first and lines[first - 1].startswith("//"):
            first -= 1
        comment = lines[first:number]
        last = _end(lines, number)
        if comment and last and not any(map(_DIRECTIVE.match, comment)):
            yield Documented(
                path,
                declared[1],
                first_paragraph([said.removeprefix("//").strip() for said in comment]),
                Span(number + 1, last + 1),
                Span(first + 1, number),
            )


def first_paragraph(lines: Iterable[str]) -> str:
    """Lines up to the first empty one, as one; empty ones before them do not count."""
    begun = dropwhile(lambda line: not line, lines)
    return " ".join(" ".join(takewhile(bool, begun)).split())


def _end(lines: Sequence[str], start: int) -> int | None:
    """The index of the line that ends a declaration."""
    for number in range(start + 1, len(lines)):
        if lines[number] == "}":
            return number
    return None
