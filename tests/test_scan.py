"""Codes in memory: a search looks at few rows and finds what comparing all finds."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ragkit.stores import codes, scan
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
    rows += np.einsum("nk,nkd->nd", chance.standard_normal((count, 24)), subjects[which])
    rows += noise * chance.standard_normal((count, dimensions))
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


def segments(rows: Any, kind: str, size: int = 1_000, centre: Any = None) -> list[Segment]:
    """Ids are 1 and on."""
    found = []
    for at in range(0, len(rows), size):
        some = rows[at : at + size]
        ids = np.arange(at + 1, at + 1 + len(some))
        if kind == "bit":
            found.append(scan.of_bits(ids, scan.signs(some, centre)))
        else:
            found.append(scan.of_rows(ids, codes.quantised(some)))
    return found


def nearest(rows: Any, query: Any, limit: int) -> set[int]:
    return set((np.argsort(-rows @ query, kind="stable")[:limit] + 1).tolist())


@pytest.mark.parametrize("dimensions", [64, 100, 256, 384, 500, 768, 1024, 1536, 4096])
@pytest.mark.parametrize("kind", ["bit", "int8"])
def test_the_nearest_row_is_found_at_any_length(kind: Any, dimensions: int) -> None:
    rows = clustered(1_000, dimensions)
    parts = segments(rows, kind, 300)
    coding = Coding(kind, None, 0.2, 2)
    for query in rows[::200]:
        found = scan.candidates(parts, query, coding, 10).tolist()
        assert nearest(rows, query, 1) <= set(found)
        assert len(found) == len(set(found)) == coding.left(10)


def test_a_look_at_all_int8_rows_misses_nothing() -> None:
    rows = clustered(5_000, 96)
    parts = segments(rows, "int8")
    for query in clustered(20, 96, seed=1):
        found = set(scan.candidates(parts, query, Coding("int8", None, 1.0, 1), 10).tolist())
        assert nearest(rows, query, 10) <= found


def test_signs_find_nine_of_ten_among_a_few_rows() -> None:
    rows = clustered(8_000, 768)
    parts = segments(rows, "bit", 3_000)
    shares = [
        len(nearest(rows, q, 10) & set(scan.candidates(parts, q, CODING, 10).tolist())) / 10
        for q in clustered(30, 768, seed=2)
    ]
    assert np.mean(shares) > 0.9
    assert CODING.left(10) < 500


CODING = Coding("bit", None, 1.0, 4)


def test_a_centre_makes_signs_speak_where_all_rows_lie_to_one_side() -> None:
    rows = clustered(5_000, 256, mean=6.0, noise=1.0)
    queries = clustered(20, 256, mean=6.0, seed=4, noise=1.0)

    def found(centre: Any) -> int:
        parts = segments(rows, "bit", 2_000, centre)
        coding = Coding("bit", centre, 1.0, 1)
        return sum(
            len(nearest(rows, q, 10) & set(scan.candidates(parts, q, coding, 10).tolist()))
            for q in queries
        )

    assert found(rows.mean(axis=0)) > 1.1 * found(None)


ROWS = clustered(3_000, 128)


@given(
    seed=st.integers(0, 99),
    share=st.sampled_from([0.0, 0.001, 0.01, 0.1, 0.5, 1.0]),
    kind=st.sampled_from(["bit", "int8"]),
)
@settings(max_examples=20, deadline=None)
def test_only_what_is_admitted_is_found_and_none_of_it_is_lost(
    seed: int, share: float, kind: Any
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
    for some in (marks, short):
        coding = Coding(kind, None, 1.0, 40)
        found = scan.candidates(segments(rows, kind), query, coding, 5, some)
        assert set(found.tolist()) <= set(np.flatnonzero(some).tolist())
        assert len(found) == min(coding.left(5), np.count_nonzero(some))
    if len(admitted):
        best = admitted[np.argmax(rows[admitted - 1] @ query)]
        assert best in scan.candidates(segments(rows, kind), query, coding, 5, marks)


def test_rows_that_are_gone_are_not_found() -> None:
    rows = clustered(3_000, 256)
    parts = segments(rows, "bit")
    gone = np.array(sorted(nearest(rows, rows[0], 50)), np.int32)
    left = scan.without(parts, gone)
    found = set(scan.candidates(left, rows[0], CODING, 10).tolist())
    assert found
    assert not found & set(gone.tolist())
    assert set(gone.tolist()) & set(scan.candidates(parts, rows[0], CODING, 10).tolist()), (
        "searches under way keep their segments"
    )


@pytest.mark.parametrize("kind", ["bit", "int8"])
def test_rows_that_are_added_are_found_and_segments_stay_few(
    kind: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(scan, "SEGMENT", 400)
    monkeypatch.setattr(scan, "YOUNG", 50)
    rows = clustered(2_000, 128)
    parts: list[Segment] = []
    for at in range(0, 2_000, 20):
        one = segments(rows[at : at + 20], kind)[0]
        parts = scan.added(parts, replace(one, ids=one.ids + np.int32(at)))
    assert sum(map(len, parts)) == 2_000
    assert len(parts) <= 2_000 // 400 * 2 + 1
    assert all(len(part) <= 400 for part in parts)
    coding = Coding(kind, None, 1.0, 20)
    for at in range(0, 2_000, 111):
        assert at + 1 in scan.candidates(parts, rows[at], coding, 3)


def test_nothing_is_found_in_nothing() -> None:
    query = clustered(1, 256)[0]
    assert len(scan.candidates([], query, CODING, 10)) == 0
    assert len(scan.candidates([], query, CODING, 10, np.zeros(1, np.bool_))) == 0


def test_the_standing_of_a_row_says_whether_a_search_leaves_it() -> None:
    rows = clustered(4_000, 768)
    parts = segments(rows, "bit", 1_500)
    coding = Coding("bit", None, 1.0, 1)
    query = clustered(1, 768, seed=5)[0]
    found = set(scan.candidates(parts, query, coding, 10).tolist())
    best = np.argsort(-rows @ query)[:60]
    deepest = scan.CLOSER * coding.left(10)
    first, _, second = scan.standing(parts, query, None, best, [70, deepest])
    sure = (first < deepest) & (second < coding.left(10))
    assert sure.any()
    assert set((best[sure] + 1).tolist()) <= found
