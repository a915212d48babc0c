"""Search by words: BM25 over the words of a chunk, its context and its path."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from ragkit import lexical
from ragkit.types import ANYTHING, Entry, Filter, Hit, Store

if TYPE_CHECKING:
    from ragkit.types import Keep, Known


@dataclass(frozen=True, slots=True)
class BM25:
    """Okapi BM25 with Lucene's idf (Robertson & Zaragoza, 2009, doi:10.1561/1500000019)."""

    name: str = "bm25"
    limit: int = 200
    """Candidates that it gives unless more are asked for."""
    k1: float = 1.5
    b: float = 0.75
    threshold: float = 0.0
    """Least score per query word, capped at 1: docker-agent's scale, so that its files mean here
    what they mean there. The scores themselves are plain BM25."""

    @property
    def fingerprint(self) -> str:
        """k1 and b count at query time only; they are no part of it."""
        return f"words-{lexical.VERSION}"

    def prepare(self, entries: Sequence[Entry], known: Known, keep: Keep) -> list[Entry]:
        """The entries with their words: path, context and text, in this order."""
        return [replace(entry, words=indexed_words(entry)) for entry in entries]

    def search(self, store: Store, query: str, limit: int, where: Filter = ANYTHING) -> list[Hit]:
        """Chunks with any word of the query, best first; [] where it has no words."""
        words = lexical.query_terms(query)
        if not words:
            return []
        found = store.matching(words, limit, where, k1=self.k1, b=self.b)
        return [
            Hit(chunk, score, {self.name: score})
            for chunk, score in found
            if min(score / len(words), 1.0) >= self.threshold
        ]


def indexed_words(entry: Entry) -> str:
    """Space-separated words of a chunk. The path counts: a file's name says what it is about."""
    chunk = entry.chunk
    return " ".join(lexical.terms(f"{spoken(chunk.path)} {chunk.context} {chunk.text}"))


def spoken(path: str) -> str:
    """A path as words: `ragkit/stores/sqlite.py` → `ragkit stores sqlite py`.

    With its dots kept, `sqlite.py` would count as one more rare word.
    """
    return re.sub(r"[/.]+", " ", path)
