"""What became of an expected file in one query: the steps, the verdict, and what would help."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Step:
    """What one stage made of the expected file."""

    stage: str
    """files, index, a strategy's name, fusion, rules, deduplication, reranking, …, limit."""
    kept: bool
    """Whether it was still there after the stage."""
    rank: int | None = None
    """From 1, of its best chunk: among what the stage left, or, where a strategy did not give it,
    among all that the strategy finds. None: nowhere."""
    of: int | None = None
    """Among how many."""
    score: float | None = None
    path: str = ""
    """Of that chunk; "" where no chunk is spoken of."""
    lines: tuple[int, int] | None = None
    """Of that chunk, both included."""
    context: str = ""
    """The symbols or headings that it lies in."""
    detail: str = ""


@dataclass(frozen=True, slots=True)
class Explanation:
    """Where the expected file was lost on the way from the disk to the hits, or its rank there."""

    query: str
    path: str
    """Relative to the root."""
    line: int | None
    limit: int
    """Most hits of the answer."""
    verdict: str
    """hit; or where it was lost. On the way into the index: outside, not-indexed, stale, failed,
    ignored, default, symlink, special, too-large, empty, binary, minified, generated, unreadable.
    In the query: filter, candidates, threshold, or the stage's name: rules, deduplication,
    reranking, limit, …"""
    summary: str
    """The verdict as a sentence."""
    rank: int | None = None
    """Of the first hit that shows it; None where none does."""
    needed: int | None = None
    """The least limit that shows it, tried out; None where none was found, or it is a hit."""
    steps: tuple[Step, ...] = ()
    """In the order of the walk; from where it is lost for good, there are none."""
    remedies: tuple[str, ...] = ()
    """What would help, a line each."""
    degraded: tuple[tuple[str, str], ...] = ()
    """(stage, reason) of what the answer had to do without."""


_CONTENT = "its content decides; search what it was made from"
_NARROW = "narrow the search: --path, --lang, --type"

REMEDIES: Mapping[str, tuple[str, ...]] = {
    "outside": ("add it to `docs`, or search the folder that it lies in",),
    "not-indexed": ("index it: `ragkit index`",),
    "stale": ("bring the index up to date: `ragkit index`",),
    "failed": ("mend what the failure names, then `ragkit index`",),
    "symlink": ("ask for the file that it leads to",),
    "special": ("only regular files are indexed",),
    "too-large": ("split it, so that one file does not crowd out all others",),
    "empty": ("there is nothing in it to find",),
    "binary": ("convert it to text",),
    "minified": (_CONTENT,),
    "generated": (_CONTENT,),
    "unreadable": ("make it readable",),
    "filter": ("leave the filter out, or widen it",),
    "threshold": ("lower the threshold in the configuration",),
    "deduplication": ("`deduplicate: false` in `results` keeps both",),
    "reranking": ("raise `results.reranking.top_k`",),
    "rules": ("`results.ranking` switches rules off, one by one",),
    "candidates": (_NARROW,),
    "limit": (_NARROW,),
    "fusion": (_NARROW,),
}
"""What helps, whatever the query is, by verdict."""
