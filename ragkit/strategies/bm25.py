"""Search by words: BM25 over the words of a chunk, its context and its path."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal

from ragkit import lexical
from ragkit.types import ANYTHING, Entry, Filter, Hit, Store

if TYPE_CHECKING:
    from ragkit.types import Memory


FILE_K1, FILE_B = 1.2, 0.75
"""Of BM25 over whole files, whose lengths differ as those of chunks do not."""


@dataclass(frozen=True, slots=True)
class BM25:
    """Okapi BM25 with Lucene's idf (Robertson & Zaragoza, 2009, doi:10.1561/1500000019).

    A hit's scores also have `<name>.file`: how well its whole file fits the query.
    """

    name: str = "bm25"
    limit: int = 200
    """Candidates that it gives unless more are asked for."""
    k1: float = 1.5
    b: float = 0.75
    threshold: float = 0.0
    """Least score per query word, capped at 1: docker-agent's scale, so that its files mean here
    what they mean there."""
    tokenizer: Literal["ragkit", "compat"] = "ragkit"
    """`compat`: docker-agent's words, of the text alone."""
    per_word: bool = False
    """Scores are on docker-agent's scale too, from 0 to 1, in the order of plain BM25."""

    @property
    def fingerprint(self) -> str:
        """k1 and b count at query time only; they are no part of it."""
        compat = "" if self.tokenizer == "ragkit" else "compat-"
        return f"{compat}words-{lexical.VERSION}"

    def prepare(self, entries: Sequence[Entry], memory: Memory) -> list[Entry]:
        """The entries with their words."""
        return [replace(entry, words=self.words_of(entry)) for entry in entries]

    def search(self, store: Store, query: str, limit: int, where: Filter = ANYTHING) -> list[Hit]:
        """Chunks with any word of the query, best first; [] where it has no words."""
        words = self.words_asked(query)
        if not words:
            return []
        found = store.matching(words, limit, where, k1=self.k1, b=self.b)
        files = store.matching_files(
            words, {chunk.path for chunk, _ in found}, k1=FILE_K1, b=FILE_B
        )
        hits = []
        for chunk, score in found:
            share = min(score / len(words), 1.0)
            if share >= self.threshold:
                score = share if self.per_word else score
                whole = files.get(chunk.path, 0.0)
                hits.append(Hit(chunk, score, {self.name: score, f"{self.name}.file": whole}))
        return hits

    def words_of(self, entry: Entry) -> str:
        """Space-separated words that a chunk is found by."""
        if self.tokenizer == "compat":
            return " ".join(lexical.compat_terms(entry.chunk.text))
        return indexed_words(entry)

    def words_asked(self, query: str) -> list[str]:
        """The distinct words of a query; [] if it has none."""
        if self.tokenizer == "compat":
            return list(dict.fromkeys(lexical.compat_terms(query)))
        return lexical.query_terms(query)


def indexed_words(entry: Entry) -> str:
    """Words of path, context and text, in this order: a file's name says what it is about."""
    chunk = entry.chunk
    return " ".join(lexical.terms(f"{spoken(chunk.path)} {chunk.context} {chunk.text}"))


def spoken(path: str) -> str:
    """A path as words: `ragkit/stores/sqlite.py` → `ragkit stores sqlite py`.

    With its dots kept, `sqlite.py` would count as one more rare word.
    """
    return re.sub(r"[/.]+", " ", path)
