"""The query walk, over strategies that are written here and a store that is never asked."""

from __future__ import annotations

import math
import re
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from random import Random
from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from ragkit import chunkers
from ragkit.errors import ModelError, QueryError
from ragkit.fusion import rrf
from ragkit.reranking import Reranking, rerank
from ragkit.retriever import Answer, retrieve
from ragkit.types import ANYTHING, Chunk, Document, Entry, Filter, Hit, Index, Store
from ragkit.whole_files import whole


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

    def prepare(self, entries: Any, memory: Any) -> list[Entry]:
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


def test_repetitions_are_made_up_for_by_deeper_searches() -> None:
    copies = [hit(f"copy{n}", 99 - n, "the same text") for n in range(30)]
    words = Fixed("bm25", [*copies, hit("a", 9), hit("b", 8), hit("c", 7)], limit=5)
    answer = retrieve("x", [index(words)], fuse=rrf, limit=3)
    assert paths(answer.hits) == ["copy0", "a", "b"]
    assert len(retrieve("x", [index(words)], fuse=rrf, limit=9).hits) == 4
    words.asked = 0
    retrieve("x", [index(words)], fuse=rrf, limit=3, deduplicate=False)
    assert words.asked == 5


def test_a_few_repetitions_among_many_hits_cost_little_more() -> None:
    found = [hit(f"{n}", 20_000 - n, f"text {max(n, 9)}") for n in range(12_000)]
    words = Fixed("bm25", found)
    assert len(retrieve("x", [index(words)], fuse=rrf, limit=10_000).hits) == 10_000
    assert words.asked < 10_100


def test_a_stage_that_is_repeated_is_one_stage() -> None:
    words = Fixed("bm25", [hit(f"copy{n}", 99 - n, "same") for n in range(30)], limit=5)
    answer = retrieve("x", [index(words)], fuse=rrf, limit=3)
    assert [stage for stage, _ in answer.stages] == ["bm25", "fusion", "deduplication"]


def test_a_strategy_that_fails_is_named_once() -> None:
    words = Fixed("bm25", [hit(f"copy{n}", 99 - n, "same") for n in range(30)], limit=5)
    vectors = Fixed("vectors", [], error=ModelError("the model is away"))
    answer = retrieve("x", [index(words, vectors)], fuse=rrf, limit=3)
    assert [d.stage for d in answer.degraded] == ["vectors"]


def test_ten_thousand_hits_are_given() -> None:
    words = Fixed("bm25", [hit(f"{n}", 20_000 - n) for n in range(12_000)])
    assert len(retrieve("x", [index(words)], fuse=rrf, limit=10_000).hits) == 10_000


# the second stage


@dataclass
class Wrong:
    """A reranker that does not keep its promise."""

    scores: list[float]
    name: str = "wrong"

    def rerank(self, query: str, texts: Sequence[str]) -> list[float]:
        return self.scores

    def close(self) -> None:
        """It holds nothing."""


@pytest.mark.parametrize(
    ("scores", "why"),
    [
        ([0.5], "1 scores came for 4 texts"),
        ([0.5] * 5, "5 scores came for 4 texts"),
        ([0.5, 0.5, math.nan, 0.5], "nan is no score from 0 to 1"),
        ([0.5, 0.5, 7.7, 0.5], r"7\.7 is no score from 0 to 1"),
    ],
)
def test_a_reranker_without_a_score_for_each_leaves_the_fused_order(
    scores: list[float], why: str
) -> None:
    answer = retrieve("x", [index(JUDGED)], fuse=rrf, limit=9, reranking=Reranking(Wrong(scores)))
    assert paths(answer.hits) == ["a", "b", "c", "d"]
    [note] = answer.degraded
    assert re.fullmatch(f"wrong: {why}", note.reason)


def test_a_threshold_that_nothing_reaches_is_told_with_the_best() -> None:
    reranking = Reranking(Wrong([0.1, 0.3, 0.2, 0.0]), threshold=0.5)
    answer = retrieve("x", [index(JUDGED)], fuse=rrf, limit=9, reranking=reranking)
    assert answer.hits == []
    assert [d.reason for d in answer.degraded] == [
        "no candidate reached the threshold 0.5; the best: 0.3"
    ]


def test_a_blend_keeps_the_first_place_the_longest() -> None:
    def order(blend: float) -> list[str]:
        reranking = Reranking(Judge(), blend=blend)
        return paths(retrieve("x", [index(JUDGED)], fuse=rrf, limit=9, reranking=reranking).hits)

    assert order(0) == ["d", "b", "c", "a"]
    assert order(0.3) == ["b", "d", "c", "a"]
    assert order(0.4) == ["b", "d", "a", "c"]
    assert order(0.6) == ["a", "b", "d", "c"]
    assert order(1) == ["a", "b", "c", "d"]


def test_a_blend_shows_both_scores_and_the_threshold_is_the_models() -> None:
    reranking = Reranking(Judge(), blend=0.5, threshold=0.5)
    answer = retrieve("x", [index(JUDGED)], fuse=rrf, limit=9, reranking=reranking)
    assert paths(answer.hits) == ["b", "d", "c"]
    best = answer.hits[0]
    assert best.scores["reranking"] == 0.9
    assert best.scores["reranking.rank"] == 2
    assert best.score == best.scores["blend"] == pytest.approx(0.5 * 0.9 + 0.5 / 2)
    assert best.scores["blend.rank"] == 1
    scores = [hit.score for hit in answer.hits]
    assert scores == sorted(scores, reverse=True)


@given(st.lists(st.floats(0, 1), min_size=1, max_size=30), st.floats(0, 1), st.floats(0, 1))
def test_reranking_gives_every_good_hit_once_best_first(
    scores: list[float], blend: float, threshold: float
) -> None:
    hits = [hit(str(n), 1.0) for n in range(len(scores))]
    reranked = rerank("x", hits, Reranking(Wrong(scores), blend=blend, threshold=threshold)).hits
    assert sorted(paths(reranked)) == sorted(
        path for path, score in zip(paths(hits), scores, strict=True) if score >= threshold
    )
    given_scores = [hit.score for hit in reranked]
    assert given_scores == sorted(given_scores, reverse=True)
    assert all(0 <= score <= 1 for score in given_scores)


# a budget


@dataclass
class Slow:
    """A reranker that takes so long for each text; it likes later texts better."""

    seconds: float
    name: str = "slow"
    sizes: list[int] = field(default_factory=list)
    release: threading.Event | None = None

    def rerank(self, query: str, texts: Sequence[str]) -> list[float]:
        self.sizes.append(len(texts))
        if self.release:
            self.release.wait(5)
        time.sleep(self.seconds * len(texts))
        return [0.5] * len(texts)

    def close(self) -> None:
        """It holds nothing."""


MANY = Fixed("bm25", [hit(f"{n:02}", 99 - n) for n in range(60)], limit=60)


def budgeted(reranking: Reranking) -> Answer:
    return retrieve("x", [index(MANY)], fuse=rrf, limit=60, reranking=reranking)


def read(answer: Answer) -> int:
    return sum("reranking" in hit.scores for hit in answer.hits)


def test_a_budget_decides_how_many_candidates_are_read() -> None:
    slow = Slow(0.002)
    reranking = Reranking(slow, budget=0.06, threshold=0.4)
    answer = budgeted(reranking)
    assert slow.sizes[0] == 8
    count = read(answer)
    assert 8 <= count < 60
    assert [d.reason for d in answer.degraded] == [
        f"{count} of 60 candidates were read within 60 ms"
    ]
    assert len(answer.hits) == 60, "what was not read is not bad for that"
    assert dict(answer.stages)["reranking"] < 0.5


def test_the_next_query_knows_what_a_text_takes() -> None:
    slow = Slow(0.0005)
    reranking = Reranking(slow, budget=0.5)
    assert budgeted(reranking).degraded == ()
    slow.sizes.clear()
    assert budgeted(reranking).degraded == ()
    assert slow.sizes == [60]
    assert reranking.pace.seconds is not None
    assert 0.0005 <= reranking.pace.seconds < 0.005


def test_a_model_that_is_still_loading_is_not_waited_for() -> None:
    slow = Slow(0.0, release=threading.Event())
    reranking = Reranking(slow, budget=0.02)
    answer = budgeted(reranking)
    assert (len(answer.hits), read(answer)) == (60, 0)
    assert [d.reason for d in answer.degraded] == ["none of 60 candidates were read within 20 ms"]
    assert read(budgeted(reranking)) == 0
    assert slow.sizes == [8], "one query waits at the server, not all that come"
    assert slow.release
    slow.release.set()
    until = time.monotonic() + 5
    while read(budgeted(reranking)) < 60 and time.monotonic() < until:
        time.sleep(0.001)
    assert budgeted(reranking).degraded == ()


def test_an_error_within_the_budget_is_the_reranking_s() -> None:
    answer = budgeted(Reranking(Judge(ModelError("the reranker is down")), budget=1.0))
    assert [d.reason for d in answer.degraded] == ["the reranker is down"]
    assert len(answer.hits) == 60


# whole files


@dataclass
class Shelf:
    """A store that knows the chunks of files."""

    files: dict[str, list[Chunk]]

    def chunks(self, path: str) -> list[Chunk]:
        return self.files.get(path, [])


def shelved(strategy: Fixed, *chunks: Chunk) -> Index:
    files: dict[str, list[Chunk]] = {}
    for chunk in chunks:
        files.setdefault(chunk.path, []).append(chunk)
    nothing: Any = None
    shelf: Any = Shelf(files)
    return Index("files", shelf, (strategy,), lambda: iter(()), nothing, nothing)


def cut(path: str, text: str, size: int, overlap: int) -> list[Chunk]:
    """Chunks of so many characters, each with the end of the one before."""
    chunks: list[Chunk] = []
    for start in range(0, max(len(text) - overlap, 1), size - overlap):
        part = text[start : start + size]
        first = 1 + text.count("\n", 0, start)
        last = first + part.rstrip("\n").count("\n")
        chunks.append(Chunk(path, len(chunks), part, start, start + len(part), first, last))
    return chunks


TEXT = "".join(f"line {n}\n" for n in range(1, 101))


def test_a_whole_file_comes_once_with_the_best_hits_scores() -> None:
    chunks = cut("a", TEXT, 200, 40) + cut("b", "short", 200, 40)
    found = (chunks[2], chunks[0], chunks[-1])
    words = Fixed("bm25", [Hit(chunk, 9.0 - n) for n, chunk in enumerate(found)])
    answer = retrieve("x", [shelved(words, *chunks)], fuse=rrf, limit=5, whole_files=True)
    assert paths(answer.hits) == ["a", "b"]
    best = answer.hits[0]
    assert best.chunk.text == TEXT
    assert (best.chunk.start_line, best.chunk.end_line) == (1, 100)
    assert (best.score, best.scores["bm25.rank"]) == (9.0, 1)
    assert answer.degraded == ()


def test_whole_files_fill_the_answer() -> None:
    chunks = cut("a", TEXT, 40, 0) + [c for n in range(9) for c in cut(f"b{n}", f"file {n}", 40, 0)]
    words = Fixed("bm25", [Hit(c, 99.0 - n) for n, c in enumerate(chunks)], limit=5)
    answer = retrieve("x", [shelved(words, *chunks)], fuse=rrf, limit=4, whole_files=True)
    assert paths(answer.hits) == ["a", "b0", "b1", "b2"]


@given(
    st.text(alphabet="ab  \n\n", min_size=1, max_size=300),
    st.integers(2, 50),
    st.integers(0, 400),
    st.randoms(use_true_random=False),
)
def test_a_whole_file_has_all_its_lines_or_the_largest_part_around_the_hit(
    text: str, size: int, largest: int, random: Random
) -> None:
    chunks = chunkers.chunker(size=size)(Document("a", text, ""))
    assume(chunks)
    best = random.choice(chunks)
    shelf: Any = Shelf({"a": random.sample(chunks, len(chunks))})
    found, note = whole(Hit(best, 1.0), [shelf], largest)
    shown = found.chunk
    part = text[shown.start : shown.end]
    assert len(shown.text) == len(part) <= max(largest, best.end)
    assert [line.strip() for line in shown.text.split("\n")] == [
        line.strip() for line in part.split("\n")
    ]
    assert shown.start_line == 1 + text.count("\n", 0, shown.start)
    assert shown.end_line == 1 + text.rstrip().count("\n", 0, shown.end)
    assert shown.start <= best.start
    assert shown.end >= best.end
    if not note:
        assert part.strip() == text.strip()
    if len(text) <= largest:
        assert not note
