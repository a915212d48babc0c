"""Evaluation sets: `load("docstrings-dulwich", folder)` is a corpus and its queries.

    found = sets.load(name, folder)         # folder: what `python -m benchmarks.corpora` made
    found.root                              # the corpus, to be indexed as it is
    for query in found.tuning: …            # id, text, relevant paths, spans (path, lines)

The names are `sets.NAMES`; what comes before the hyphen is the kind:

    celery, sqlfluff, sqlalchemy   text of a change → files and lines (benchmarks/data/retrieval)
    docstrings-…                   first paragraph of a documentation comment → the function
    web-…                          short question, as typed into a search field → the function
    snippets-…                     the same, each function a file, none with its comment
    documentation-…                question → page and section
    excerpts-…                     words as they stand in a long text → file and place
    abstracts-…                    what a short text is about → the text

Every query is in one of two parts, decided by the digest of its set and id, never by hand: `tune`,
on which rules and constants may be chosen, and `held`, which is measured when nothing is going to
be changed any more. All of celery and sqlfluff is `tune`, and all of the sets in `HELD` is `held`:
corpora that no choice has seen.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass, replace
from hashlib import sha256
from pathlib import Path
from typing import Literal

from benchmarks import judgements
from benchmarks.judgements import Query, Span

NAMES = (
    *judgements.SETS,
    *(
        f"{kind}-{name}"
        for kind in ("docstrings", "web")
        for name in ("dulwich", "networkx", "go-git", "go-net", "forge", "closure")
    ),
    "snippets-xarray",
    "documentation-node",
    "documentation-buildbot",
    "documentation-python",
    "excerpts-anarchism",
    "excerpts-jargon",
    "abstracts-foldoc",
)
HELD = frozenset(["sqlalchemy"])
"""Sets of which everything is held."""


@dataclass(frozen=True, slots=True)
class Set:
    """A corpus and what is asked of it."""

    name: str
    root: Path
    queries: tuple[Query, ...]

    @property
    def kind(self) -> str:
        """What sets of other corpora have in common with this: `docstrings`, `changes`, …"""
        return kind_of(self.name)

    @property
    def tuning(self) -> list[Query]:
        """Those on which something may be chosen."""
        return [query for query in self.queries if query.part == "tune"]

    @property
    def held(self) -> list[Query]:
        """Those that are measured at the end."""
        return [query for query in self.queries if query.part == "held"]


def load(name: str, folder: Path) -> Set:
    """A set of `NAMES`. Raises SystemExit where its corpus has not been fetched."""
    if name in judgements.SETS:
        root, queries = folder / name, judgements.load(name)
    else:
        root, queries = _made(name, folder)
    if not root.is_dir():
        raise SystemExit(f"{root}: no such corpus; run `python -m benchmarks.corpora {folder}`")
    return Set(name, root, tuple(replace(q, part=part_of(name, q.id)) for q in queries))


def kind_of(name: str) -> str:
    """The kind of a set, by its name."""
    return "changes" if name in judgements.SETS else name.partition("-")[0]


def part_of(name: str, query: str) -> Literal["tune", "held"]:
    """Which half a query of a set belongs to, by its id."""
    if name in HELD:
        return "held"
    if name in judgements.SETS:
        return "tune"
    return "held" if sha256(f"{name}/{query}".encode()).digest()[0] % 2 else "tune"


def write(name: str, corpus: str, queries: Iterable[Query], folder: Path) -> Path:
    """Keep the queries of a set that was made, beside the corpora; the file."""
    path = _file(name, folder)
    path.parent.mkdir(parents=True, exist_ok=True)
    rows = [
        {
            "id": query.id,
            "text": query.text,
            "relevant": sorted(query.relevant),
            "spans": [[path, span.first, span.last] for path, span in query.spans],
        }
        for query in queries
    ]
    content = {"corpus": corpus, "queries": rows}
    path.write_text(json.dumps(content, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")
    return path


def _made(name: str, folder: Path) -> tuple[Path, list[Query]]:
    try:
        found = json.loads(_file(name, folder).read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise SystemExit(
            f"{name} has not been made in {folder}; run `python -m benchmarks.corpora {folder}`"
        ) from None
    return folder / found["corpus"], [
        Query(
            id=row["id"],
            text=row["text"],
            relevant=frozenset(row["relevant"]),
            spans=tuple((path, Span(first, last)) for path, first, last in row["spans"]),
        )
        for row in found["queries"]
    ]


def _file(name: str, folder: Path) -> Path:
    return folder / ".queries" / f"{name}.json"
