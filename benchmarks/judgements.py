"""The code-localisation sets: queries, the files they judge relevant, and the places therein."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from ragkit import Chunk

SETS = ("celery", "sqlfluff", "sqlalchemy")
DATA = Path(__file__).parent / "data" / "retrieval"

LONGEST_LINES = 80
"""A longer chunk hits a span only if it is at most twice the span: anything else is a dump."""


@dataclass(frozen=True, slots=True)
class Span:
    """Lines of a file, from 1, inclusive."""

    first: int
    last: int

    @property
    def lines(self) -> int:
        return self.last - self.first + 1


@dataclass(frozen=True, slots=True)
class Query:
    """What somebody wrote about a change, the files that it changed, and where in them."""

    id: str
    text: str
    relevant: frozenset[str]
    spans: tuple[tuple[str, Span], ...]
    part: Literal["tune", "held"] = "tune"
    """Held queries are looked at only when nothing is going to be changed any more."""


def load(name: str) -> list[Query]:
    """The queries of a set, oldest change first."""
    folder = DATA / name
    relevant: dict[str, set[str]] = {}
    for line in _lines(folder / "qrels.txt"):
        query, _, path, grade = line.split()
        if int(grade) > 0:
            relevant.setdefault(query, set()).add(path)
    spans: dict[str, list[tuple[str, Span]]] = {}
    for line in _lines(folder / "spans.tsv"):
        query, path, first, last = line.split("\t")
        spans.setdefault(query, []).append((path, Span(int(first), int(last))))
    return [
        Query(
            id=row["id"],
            text=row["text"],
            relevant=frozenset(relevant[row["id"]]),
            spans=tuple(spans.get(row["id"], ())),
        )
        for row in map(json.loads, _lines(folder / "queries.jsonl"))
    ]


def hits_span(chunk: Chunk, path: str, span: Span) -> bool:
    """Whether a chunk shows a span: half of the shorter of the two, and the chunk is no dump."""
    own = Span(chunk.start_line, chunk.end_line)
    if chunk.path != path or own.lines > max(LONGEST_LINES, 2 * span.lines):
        return False
    shared = min(own.last, span.last) - max(own.first, span.first) + 1
    return 2 * shared >= min(own.lines, span.lines)


def _lines(path: Path) -> list[str]:
    return path.read_text(encoding="utf-8").splitlines()
