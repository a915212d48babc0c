"""Repetitions among hits: what counts as one, and that nothing else does."""

from __future__ import annotations

import time
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ragkit.duplicates import CLOSELY, distinct, sameness
from ragkit.types import Chunk, Hit

PROSE = (
    "Squirrels are never counted: they are filtered out by their weight, which the scale below the "
    "perch measures twenty times a second, so that a bird that lands beside one is still seen. "
) * 2


def hit(path: str, text: str, start: int = 0) -> Hit:
    return Hit(Chunk(path, 0, text, start, start + len(text), 1, 1), 1.0)


def paths(hits: list[Hit]) -> list[str]:
    return [hit.chunk.path for hit in hits]


def test_equal_texts_are_one_whatever_white_space_surrounds_them() -> None:
    assert paths(distinct([hit("a", "same\n"), hit("b", "  same"), hit("c", "Same")])) == ["a", "c"]


def test_nearly_equal_texts_are_one() -> None:
    other = PROSE.replace("twenty", "thirty", 1)
    assert sameness(hit("a", PROSE), hit("b", other)) == "nearly the same text"
    assert paths(distinct([hit("a", PROSE), hit("b", other)])) == ["a"]


def test_texts_that_merely_share_much_are_two() -> None:
    other = PROSE[: len(PROSE) // 2] + "The roof keeps seeds dry. " * 6
    assert paths(distinct([hit("a", PROSE), hit("b", other)])) == ["a", "b"]
    assert sameness(hit("a", PROSE), hit("b", other)) == ""


def test_short_texts_that_differ_in_a_word_are_two() -> None:
    hits = [hit("a", "def get(self): return self.a"), hit("b", "def get(self): return self.b")]
    assert distinct(hits) == hits


def test_a_script_without_spaces_is_compared_by_characters() -> None:
    text = "向量数据库支持按相似度检索，关键词检索更适合精确的术语和标识符。" * 3
    assert paths(distinct([hit("a", text), hit("b", text[:-1] + "！")])) == ["a"]
    assert len(distinct([hit("a", text), hit("b", "今天天气很好，我们去公园散步。" * 6)])) == 2


@pytest.mark.parametrize(
    ("second", "are_same"),
    [
        ((0, 100), True),
        ((10, 60), True),  # inside of the first
        ((0, 900), True),  # around it
        ((30, 130), True),
        ((50, 150), False),  # as neighbours with the largest overlap that can be set
        ((100, 200), False),
        ((500, 600), False),
    ],
)
def test_spans_of_one_file_that_mostly_overlap_are_one(
    second: tuple[int, int], are_same: bool
) -> None:
    def span(path: str, start: int, end: int) -> Hit:
        return Hit(Chunk(path, 0, f"{path} {start} {end}", start, end, 1, 1), 1.0)

    first = span("a", 0, 100)
    assert (len(distinct([first, span("a", *second)])) == 1) is are_same
    assert len(distinct([first, span("b", *second)])) == 2


words = st.sampled_from(["alpha", "beta", "gamma", "delta", "epsilon", "zeta", "eta", "theta"])
hits = st.lists(
    st.builds(
        lambda path, parts, start: hit(path, " ".join(parts), start),
        st.sampled_from("abc"),
        st.lists(words, max_size=40),
        st.integers(0, 200),
    ),
    max_size=25,
)


@given(hits)
def test_what_stays_is_in_order_and_what_goes_repeats_something_better(given: list[Hit]) -> None:
    kept = distinct(given)
    places = [next(n for n, hit in enumerate(given) if hit is each) for each in kept]
    assert all(one < other for one, other in pairwise(places))
    for place, each in enumerate(given):
        better = [hit for at, hit in zip(places, kept, strict=True) if at < place]
        assert (place in places) is not any(sameness(hit, each) for hit in better)


@given(hits, st.integers(0, 10))
def test_twice_is_once(given: list[Hit], closely: int) -> None:
    kept = distinct(given, closely)
    assert distinct(kept, closely) == kept


@given(hits)
def test_sameness_has_no_direction(given: list[Hit]) -> None:
    for one, other in pairwise(given):
        assert sameness(one, other) == sameness(other, one)
    for one in given:
        assert sameness(one, one) == "same text"


def test_ten_thousand_hits_are_looked_through_quickly() -> None:
    many = [hit(f"{n}.txt", f"{n} {PROSE}{n}") for n in range(CLOSELY)]
    many += [hit(f"{n % 50}.txt", f"{n} " * 300, start=n * 1_000) for n in range(10_000)]
    started = time.perf_counter()
    kept = distinct(many)
    assert time.perf_counter() - started < 2
    assert len(kept) > 9_000
