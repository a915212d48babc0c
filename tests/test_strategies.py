"""What a strategy stores of a chunk, and how it searches; over a real store."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ragkit import stores
from ragkit.strategies.bm25 import BM25
from ragkit.strategies.chunked_embeddings import ChunkedEmbeddings, embedded_text, key_of
from ragkit.types import Chunk, Embedded, Entry, Kind, Record, Store, Strategy

TEXTS = {
    "one.txt": "The cat sat on the mat.",
    "two.txt": "A dog chased the cat; the cat ran.",
    "three.txt": "Vector databases store embeddings for search.",
}


class Letters:
    """An embedder whose vector counts the letters a to h; it remembers what it was asked."""

    name = "letters"
    fingerprint = "letters-1"
    dimensions = 8

    def __init__(self) -> None:
        self.asked: list[tuple[str, str]] = []

    def stream(self, texts: Sequence[str], kind: Kind) -> Iterator[Embedded]:
        for start in range(0, len(texts), 2):
            vectors = self.embed(texts[start : start + 2], kind)
            positions = tuple(range(start, start + len(vectors)))
            bad = {i: "not today" for i in positions if "unlucky" in texts[i]}
            long = {i: "only the first 9 characters" for i in positions if "too long" in texts[i]}
            yield Embedded(positions, vectors, long, bad)

    def embed(
        self, texts: Sequence[str], kind: Kind
    ) -> np.ndarray[tuple[int, int], np.dtype[np.float32]]:
        self.asked += [(kind, text) for text in texts]
        counts = [[text.count(letter) for letter in "abcdefgh"] for text in texts]
        rows = np.array(counts, dtype=np.float32)
        lengths = np.linalg.norm(rows, axis=1, keepdims=True)
        return np.divide(rows, lengths, out=rows, where=lengths > 0)


@dataclass
class Noted:
    """A memory in lists: what it was asked to keep, call by call."""

    vectors: Mapping[bytes, np.ndarray[tuple[int], np.dtype[np.float32]]] = field(
        default_factory=dict
    )
    kept: list[list[bytes]] = field(default_factory=list)

    def known(self, keys: Sequence[bytes]) -> dict[bytes, Any]:
        return {key: self.vectors[key] for key in keys if key in self.vectors}

    def keep(self, embedded: Mapping[bytes, Any]) -> None:
        self.kept.append(list(embedded))

    def descriptions(self, keys: Sequence[bytes]) -> dict[bytes, str]:
        return {}

    def keep_descriptions(self, described: Mapping[bytes, str]) -> None:
        """Nobody asks for them."""


def entry(path: str, text: str, context: str = "") -> Entry:
    return Entry(Chunk(path, 0, text, 0, len(text), 1, 1, context))


@pytest.fixture
def fill(tmp_path: Path) -> Iterator[Callable[[Strategy], Store]]:
    """A store that holds TEXTS as a strategy prepares them."""
    opened = []

    def filled(strategy: Strategy) -> Store:
        store = stores.open(tmp_path / "x.db", "files", "x", 8)
        opened.append(store)
        for path, text in TEXTS.items():
            (ready,) = strategy.prepare([entry(path, text)], store)
            store.replace(Record(path, "d", len(text), 1), [ready])
        return store

    yield filled
    for store in opened:
        store.close()


def paths(strategy: Strategy, store: Store, query: str) -> list[str]:
    return [hit.chunk.path for hit in strategy.search(store, query, 10)]


def test_words_of_text_context_and_path_are_indexed() -> None:
    (ready,) = BM25().prepare([entry("src/feedMe.py", "birds = 3", "Feeder > weigh")], Noted())
    assert {"src", "feed", "me", "py", "bird", "feeder", "weigh"} <= set(str(ready.words).split())


def test_bm25_ranks_by_words_with_its_score_in_the_history(
    fill: Callable[[Strategy], Store],
) -> None:
    bm25 = BM25(name="words")
    store = fill(bm25)
    hits = bm25.search(store, "cat cat cat", 10)
    assert [hit.chunk.path for hit in hits] == ["two.txt", "one.txt"]
    assert all(hit.scores["words"] == hit.score > 0 for hit in hits)
    assert all(hit.scores["words.file"] > 0 for hit in hits)
    assert paths(bm25, store, "no such thing") == []
    assert paths(bm25, store, "?!") == []


def test_the_threshold_of_bm25_is_a_share_per_query_word(
    fill: Callable[[Strategy], Store],
) -> None:
    store = fill(BM25())
    assert paths(BM25(), store, "cat zebra giraffe") == ["two.txt", "one.txt"]
    assert paths(BM25(threshold=0.99), store, "cat zebra giraffe") == []


def test_a_chunk_is_embedded_with_its_context_but_not_its_path() -> None:
    chunk = entry("a/b.py", "text", "Store > replace").chunk
    assert embedded_text(chunk) == "Store > replace\ntext"
    assert embedded_text(entry("a/b.py", "text").chunk) == "text"


def test_equal_texts_are_embedded_once_and_known_ones_never() -> None:
    embedder = Letters()
    strategy = ChunkedEmbeddings(embedder)
    known = {key_of("letters-1", "abc"): np.ones(8, np.float32)}
    ready = strategy.prepare(
        [entry("1", "abc"), entry("2", "hh"), entry("3", "hh")],
        Noted(vectors=known),
    )
    assert embedder.asked == [("document", "hh")]
    assert ready[0].vector is known[key_of("letters-1", "abc")]
    assert ready[1].key == ready[2].key != ready[0].key
    assert [item.chunk.path for item in ready] == ["1", "2", "3"]


def test_vectors_are_handed_on_as_they_come_and_trouble_stays_with_its_chunk() -> None:
    memory = Noted()
    texts = ["abc", "unlucky", "too long", "hh", "unlucky"]
    ready = ChunkedEmbeddings(Letters()).prepare(
        [entry(str(i), text) for i, text in enumerate(texts)],
        memory,
    )
    keys = [key_of("letters-1", text) for text in texts]
    assert memory.kept == [[keys[0]], [keys[2], keys[3]]], "a failed text has no vector to keep"
    assert [item.failed for item in ready] == ["", "not today", "", "", "not today"]
    assert [item.cut for item in ready] == ["", "", "only the first 9 characters", "", ""]
    assert [item.vector is None for item in ready] == [False, True, False, False, True]


def test_another_model_has_another_key_for_the_same_text() -> None:
    assert key_of("model-1", "text") != key_of("model-2", "text")


def test_vectors_rank_by_cosine_and_the_threshold_cuts(fill: Callable[[Strategy], Store]) -> None:
    strategy = ChunkedEmbeddings(Letters())
    store = fill(strategy)
    hits = strategy.search(store, "a cat", 10)
    assert hits[0].chunk.path == "one.txt"
    assert [hit.score for hit in hits] == sorted((hit.score for hit in hits), reverse=True)
    least = hits[0].score - 1e-6
    assert paths(ChunkedEmbeddings(Letters(), threshold=least), store, "a cat") == ["one.txt"]
    assert paths(strategy, store, "xyz") == [], "a query without a known word has no direction"
