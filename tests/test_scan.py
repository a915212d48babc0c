"""Codes in memory: a search looks at few rows and finds what comparing all finds."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ragkit.stores import codes, scan, signs
from ragkit.stores.scan import Coding, Segment


def clustered(
    count: int, dimensions: int, mean: float = 0.5, seed: int = 0, noise: float = 0.1
) -> Any:
    """Unit rows of texts about 40 topics, each between 24 subjects; all moved the same way."""
    chance = np.random.default_rng(0)
    topics = chance.standard_normal((40, dimensions))
    subjects = chance.standard_normal((40, 24, dimensions)) / 3
    side = mean * chance.standard_normal(dimensions)
    chance = np.random.default_rng(seed)
    which = chance.integers(0, 40, count)
    rows = topics[which] + side
    shares = chance.standard_normal((count, 24))
    for topic in range(40):
        rows[which == topic] += shares[which == topic] @ subjects[topic]
    rows += noise * chance.standard_normal((count, dimensions))
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


def segments(rows: Any, coding: Coding, size: int = 1_000) -> list[Segment]:
    """Ids are 1 and on."""
    found = []
    for at in range(0, len(rows), size):
        some = rows[at : at + size]
        ids = np.arange(at + 1, at + 1 + len(some))
        if coding.kind == "bit":
            found.append(scan.of_bits(ids, signs.octets(some, coding.sums)))
        else:
            found.append(scan.of_rows(ids, codes.quantised(some)))
    return found


def candidates(parts: Any, query: Any, coding: Coding, limit: int, among: Any = None) -> set[int]:
    """Ids, each once, the likeness of each beside it."""
    found = scan.candidates(parts, query, coding, limit, among)
    assert len(found.ids) == len(found.likeness) == len(set(found.ids.tolist()))
    return set(found.ids.tolist())


def nearest(rows: Any, query: Any, limit: int) -> set[int]:
    return set((np.argsort(-rows @ query, kind="stable")[:limit] + 1).tolist())


CODINGS = [
    pytest.param(Coding("bit", 0, 2), id="signs"),
    pytest.param(Coding("bit", 768, 2), id="signs of sums"),
    pytest.param(Coding("int8"), id="int8"),
]


@pytest.mark.parametrize("dimensions", [64, 100, 256, 384, 500, 768, 1024, 1536, 4096])
@pytest.mark.parametrize("coding", CODINGS)
def test_the_nearest_row_is_found_at_any_length(coding: Coding, dimensions: int) -> None:
    rows = clustered(1_000, dimensions)
    parts = segments(rows, coding, 300)
    for query in rows[::200]:
        found = candidates(parts, query, coding, 10)
        assert nearest(rows, query, 1) <= found
        assert len(found) == coding.left(10)


def test_a_look_at_all_int8_rows_misses_nothing() -> None:
    rows = clustered(5_000, 96)
    parts = segments(rows, Coding("int8"))
    for query in clustered(20, 96, seed=1):
        assert nearest(rows, query, 10) <= candidates(parts, query, Coding("int8"), 10)


def shares_found(rows: Any, coding: Coding, queries: Any) -> float:
    """Of the ten nearest."""
    parts = segments(rows, coding, 3_000)
    return float(
        np.mean(
            [len(nearest(rows, q, 10) & candidates(parts, q, coding, 10)) / 10 for q in queries]
        )
    )


def test_signs_find_nine_of_ten_among_a_few_rows() -> None:
    rows, queries = clustered(8_000, 768), clustered(30, 768, seed=2)
    assert shares_found(rows, CODING, queries) > 0.9
    assert CODING.left(10) < 500


def test_sums_make_up_for_few_dimensions() -> None:
    chance = np.random.default_rng(0)  # rows that are as little alike as can be
    rows, queries = chance.standard_normal((2, 6_000, 128)).astype(np.float32)
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    own = shares_found(rows, Coding("bit", 0, 1), queries[:50])
    assert shares_found(rows, Coding("bit", 768, 1), queries[:50]) > 1.3 * own


def test_sums_even_out_values_of_unequal_size() -> None:
    large = np.ones(256, np.float32)
    large[:4] = 12
    rows, queries = clustered(5_000, 256) * large, clustered(30, 256, seed=2) * large
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    own = shares_found(rows, Coding("bit", 0, 2), queries)
    assert shares_found(rows, Coding("bit", 768, 2), queries) > own


CODING = Coding("bit", 0, 4)


@pytest.mark.parametrize("coding", CODINGS)
def test_threads_find_what_one_thread_finds(
    coding: Coding, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = clustered(3_000, 128)
    parts = segments(rows, coding, 500)
    marks = np.zeros(3_001, np.bool_)
    marks[1:-1:3] = True
    alone = [
        scan.candidates(parts, query, coding, 10, among)
        for query in clustered(5, 128, seed=1)
        for among in (None, marks)
    ]
    monkeypatch.setattr(scan, "MANY", 0)
    monkeypatch.setattr(scan, "_cores", lambda: 3)
    together = [
        scan.candidates(parts, query, coding, 10, among)
        for query in clustered(5, 128, seed=1)
        for among in (None, marks)
    ]
    for one, other in zip(alone, together, strict=True):
        assert np.array_equal(one.ids, other.ids)
        assert np.array_equal(one.likeness, other.likeness)


@given(
    seed=st.integers(0, 99),
    size=st.integers(1, 6_000),
    count=st.integers(1, 6_000),
    largest=st.sampled_from([0, 1, 30, 768]),
)
@settings(max_examples=100, deadline=None)
def test_the_lowest_are_those_up_to_the_bound(
    seed: int, size: int, count: int, largest: int
) -> None:
    values = np.random.default_rng(seed).integers(0, largest + 1, size).astype(np.uint16)
    found = scan._lowest(values, count)
    bound = np.sort(values)[min(count, size) - 1]
    assert np.array_equal(found, np.flatnonzero(values <= bound))


ROWS = clustered(3_000, 128)


@given(
    seed=st.integers(0, 99),
    share=st.sampled_from([0.0, 0.001, 0.01, 0.1, 0.5, 1.0]),
    coding=st.sampled_from([Coding("bit", 0, 40), Coding("bit", 256, 40), Coding("int8")]),
)
@settings(max_examples=20, deadline=None)
def test_only_what_is_admitted_is_found_and_none_of_it_is_lost(
    seed: int, share: float, coding: Coding
) -> None:
    chance = np.random.default_rng(seed)
    rows = ROWS
    marks = np.append(chance.random(3_001) < share, False)
    marks[0] = False  # no id
    admitted = np.flatnonzero(marks)
    query = clustered(1, 128, seed=seed + 1)[0]
    # ids beyond the marks are not admitted
    short = marks[:2_000].copy()
    short[-1] = False
    parts = segments(rows, coding)
    for some in (marks, short):
        found = candidates(parts, query, coding, 5, some)
        assert found <= set(np.flatnonzero(some).tolist())
        assert len(found) == min(coding.left(5), np.count_nonzero(some))
    if len(admitted):
        best = admitted[np.argmax(rows[admitted - 1] @ query)]
        assert best in candidates(parts, query, coding, 5, marks)


@pytest.mark.parametrize("coding", [CODING, Coding("bit", 768, 4), Coding("int8")])
def test_rows_that_are_gone_are_not_found(coding: Coding) -> None:
    rows = clustered(3_000, 256)
    parts = segments(rows, coding)
    gone = np.array(sorted(nearest(rows, rows[0], 50)), np.int32)
    left = scan.without(parts, gone)
    found = candidates(left, rows[0], coding, 10)
    assert found
    assert not found & set(gone.tolist())
    assert set(gone.tolist()) & candidates(parts, rows[0], coding, 10), (
        "searches under way keep their segments"
    )


@pytest.mark.parametrize("coding", [Coding("bit", 0, 20), Coding("bit", 768, 20), Coding("int8")])
def test_rows_that_are_added_are_found_and_segments_stay_few(
    coding: Coding, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(scan, "SEGMENT", 400)
    monkeypatch.setattr(scan, "YOUNG", 50)
    rows = clustered(2_000, 128)
    parts: list[Segment] = []
    for at in range(0, 2_000, 20):
        one = segments(rows[at : at + 20], coding)[0]
        parts = scan.added(parts, replace(one, ids=one.ids + np.int32(at)))
    assert sum(map(len, parts)) == 2_000
    assert len(parts) <= 2_000 // 400 * 2 + 1
    assert all(len(part) <= 400 for part in parts)
    for at in range(0, 2_000, 111):
        assert at + 1 in candidates(parts, rows[at], coding, 3)


@pytest.mark.parametrize("coding", CODINGS)
def test_nothing_is_found_in_nothing(coding: Coding) -> None:
    query = clustered(1, 256)[0]
    assert not candidates([], query, coding, 10)
    assert not candidates([], query, coding, 10, np.zeros(1, np.bool_))
    parts = segments(clustered(50, 256), coding)
    assert not candidates(parts, query, coding, 10, np.zeros(51, np.bool_))
    gone = scan.without(parts, np.arange(1, 51, dtype=np.int32))
    assert not candidates(gone, query, coding, 10)


def test_the_standing_of_a_row_says_whether_a_search_leaves_it() -> None:
    rows = clustered(4_000, 768)
    coding = Coding("bit")
    parts = segments(rows, coding, 1_500)
    query = clustered(1, 768, seed=5)[0]
    found = candidates(parts, query, coding, 10)
    best = np.argsort(-rows @ query)[:60]
    deepest = scan.CLOSER * coding.left(10)
    first, _, second = scan.standing(parts, query, 0, best, [70, deepest])
    sure = (first < deepest) & (second < coding.left(10))
    assert sure.any()
    assert set((best[sure] + 1).tolist()) <= found
