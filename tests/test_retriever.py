"""The query walk, over strategies that are written here and a store that is never asked."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pytest

from ragkit.errors import ModelError, QueryError
from ragkit.fusion import rrf
from ragkit.retriever import Reranking, retrieve
from ragkit.types import ANYTHING, Chunk, Entry, Filter, Hit, Index, Store


def hit(path: str, score: float, text: str = "") -> Hit:
    text = text or f"text of {path}"
    return Hit(Chunk(path, 0, text, 0, len(text), 1, 1), score)


@dataclass
class Fixed:
    """A strategy that knows its answer, or its error."""

    name: str
    hits: list[Hit]
    error: ModelError | None = None
    limit: int = 20
    fingerprint: str = "fixed"
    asked: int = 0
    where: Filter = ANYTHING

    def prepare(self, entries: Any, known: Any, keep: Any) -> list[Entry]:
        return list(entries)

    def search(self, store: Store, query: str, limit: int, where: Filter = ANYTHING) -> list[Hit]:
        self.asked = limit
        self.where = where
        if self.error:
            raise self.error
        return self.hits[:limit]


@dataclass
class Judge:
    """A reranker whose score of a text is the number at its end, or its error."""

    error: ModelError | None = None
    name: str = "judge"

    def rerank(self, query: str, texts: Sequence[str]) -> list[float]:
        if self.error:
            raise self.error
        return [float(text.split()[-1]) for text in texts]

    def close(self) -> None:
        """It holds nothing."""


def index(*strategies: Fixed) -> Index:
    nothing: Any = None
    return Index("files", nothing, strategies, lambda: iter(()), nothing, nothing)


def paths(hits: list[Hit]) -> list[str]:
    return [hit.chunk.path for hit in hits]


def test_rankings_of_all_indexes_are_fused_and_cut() -> None:
    words = Fixed("bm25", [hit("a", 9), hit("b", 8), hit("c", 7)])
    vectors = Fixed("vectors", [hit("b", 0.9), hit("d", 0.8)])
    answer = retrieve("x", [index(words), index(vectors)], fuse=rrf, limit=2)
    assert paths(answer.hits) == ["b", "a"]
    assert [stage for stage, _ in answer.stages] == [
        "bm25",
        "vectors",
        "fusion",
        "deduplication",
    ]


def test_a_failing_strategy_is_left_out_and_named() -> None:
    words = Fixed("bm25", [hit("a", 9)])
    vectors = Fixed("vectors", [], error=ModelError("the model is away"))
    answer = retrieve("x", [index(words, vectors)], fuse=rrf, limit=5)
    assert paths(answer.hits) == ["a"]
    assert [(d.stage, d.reason) for d in answer.degraded] == [("vectors", "the model is away")]


def test_when_all_strategies_fail_the_first_error_is_raised() -> None:
    first = Fixed("bm25", [], error=ModelError("first"))
    second = Fixed("vectors", [], error=ModelError("second"))
    with pytest.raises(ModelError, match="first"):
        retrieve("x", [index(first, second)], fuse=rrf, limit=5)


def test_copies_make_room_for_the_next_best() -> None:
    words = Fixed("bm25", [hit("a", 9, "same\n"), hit("b", 8, "same"), hit("c", 7, "other")])
    assert paths(retrieve("x", [index(words)], fuse=rrf, limit=2).hits) == ["a", "c"]
    kept = retrieve("x", [index(words)], fuse=rrf, limit=2, deduplicate=False)
    assert paths(kept.hits) == ["a", "b"]


def test_asking_for_more_than_a_strategy_is_set_to_gets_more() -> None:
    words = Fixed("bm25", [hit("a", 9)], limit=5)
    retrieve("x", [index(words)], fuse=rrf, limit=3)
    assert words.asked == 5
    retrieve("x", [index(words)], fuse=rrf, limit=50)
    assert words.asked == 50


@pytest.mark.parametrize("query", ["", "   ", "\n\t"])
def test_a_query_without_text_is_an_error(query: str) -> None:
    with pytest.raises(QueryError, match="empty"):
        retrieve(query, [index(Fixed("bm25", []))], fuse=rrf, limit=5)


JUDGED = Fixed(
    "bm25", [hit("a", 9, "a 0.2"), hit("b", 8, "b 0.9"), hit("c", 7, "c 0.5"), hit("d", 6, "d 1")]
)


def test_a_reranker_orders_the_candidates_again_before_the_cut() -> None:
    answer = retrieve("x", [index(JUDGED)], fuse=rrf, limit=2, reranking=Reranking(Judge()))
    assert paths(answer.hits) == ["d", "b"]
    assert answer.hits[0].score == answer.hits[0].scores["reranking"] == 1
    assert answer.hits[0].scores["reranking.rank"] == 1
    assert [stage for stage, _ in answer.stages] == [
        "bm25",
        "fusion",
        "deduplication",
        "reranking",
    ]


def test_reranked_hits_below_the_threshold_go() -> None:
    reranking = Reranking(Judge(), threshold=0.5)
    answer = retrieve("x", [index(JUDGED)], fuse=rrf, limit=9, reranking=reranking)
    assert paths(answer.hits) == ["d", "b", "c"]


def test_what_the_reranker_did_not_read_follows_what_it_read() -> None:
    answer = retrieve(
        "x", [index(JUDGED)], fuse=rrf, limit=9, reranking=Reranking(Judge(), top_k=2)
    )
    assert paths(answer.hits) == ["b", "a", "c", "d"]
    assert "reranking" not in answer.hits[2].scores
    with_threshold = Reranking(Judge(), top_k=2, threshold=0.1)
    answer = retrieve("x", [index(JUDGED)], fuse=rrf, limit=9, reranking=with_threshold)
    assert paths(answer.hits) == ["b", "a"]


def test_a_reranker_that_fails_leaves_the_fused_order_and_is_named() -> None:
    judge = Judge(ModelError("the reranker is down"))
    answer = retrieve("x", [index(JUDGED)], fuse=rrf, limit=2, reranking=Reranking(judge))
    assert paths(answer.hits) == ["a", "b"]
    assert [(d.stage, d.reason) for d in answer.degraded] == [("reranking", "the reranker is down")]


def test_every_strategy_gets_the_filter() -> None:
    words, vectors = Fixed("bm25", []), Fixed("chunked-embeddings", [])
    where = Filter(languages=("go",))
    retrieve("x", [index(words), index(vectors)], fuse=rrf, limit=5, where=where)
    assert (words.where, vectors.where) == (where, where)
