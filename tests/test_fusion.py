"""Fusion: docker-agent's golden vectors, and the laws that hold for any rankings."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ragkit import fusion
from ragkit.errors import ConfigError
from ragkit.types import Chunk, Hit


def hit(name: str, score: float, start: int = 0, **scores: float) -> Hit:
    chunk = Chunk(name, 0, "text", start, start + 4, 1, 1)
    return Hit(chunk, score, scores)


def table(hits: list[Hit]) -> list[tuple[str, float]]:
    return [(hit.chunk.path, round(hit.score, 8)) for hit in hits]


GOLDEN = {
    "A": [hit("a", 0.9), hit("b", 0.8), hit("c", 0.7)],
    "B": [hit("c", 0.95), hit("a", 0.4), hit("d", 0.3)],
}
METHODS = {
    "rrf": fusion.rrf,
    "max": fusion.maximum,
    "weighted": lambda rankings: fusion.weighted(rankings, dict.fromkeys(rankings, 0.5)),
    "convex": lambda rankings: fusion.convex(rankings, dict.fromkeys(rankings, 0.5)),
}

scores = st.integers(0, 8).map(lambda eighths: eighths / 8)  # exact, and with many ties
ranking = st.dictionaries(st.sampled_from("abcdefgh"), scores, max_size=8).map(
    lambda given: [hit(name, score) for name, score in sorted(given.items(), key=lambda x: -x[1])]
)
rankings = st.dictionaries(st.sampled_from(["bm25", "dense", "other"]), ranking, max_size=3)
method = pytest.mark.parametrize("name", METHODS)


def test_rrf_gives_the_golden_ranking():
    assert table(fusion.rrf(GOLDEN)) == [
        ("a", 0.03252247),
        ("c", 0.03226646),
        ("b", 0.01612903),
        ("d", 0.01587302),
    ]


def test_weighted_gives_the_golden_ranking():
    fused = fusion.weighted(GOLDEN, {"A": 0.7, "B": 0.3})
    assert table(fused) == [("c", 0.775), ("a", 0.75), ("b", 0.56), ("d", 0.09)]


def test_maximum_gives_the_golden_ranking():
    assert table(fusion.maximum(GOLDEN)) == [("c", 0.95), ("a", 0.9), ("b", 0.8), ("d", 0.3)]


def test_convex_scales_each_ranking_by_its_own_best_and_worst():
    fused = fusion.convex(GOLDEN, {"A": 0.5, "B": 0.5})
    assert table(fused) == [
        ("a", round(0.5 + 0.5 * 0.1 / 0.65, 8)),
        ("c", 0.5),
        ("b", 0.25),
        ("d", 0.0),
    ]


def test_convex_takes_a_floor_that_it_is_given():
    fused = fusion.convex(GOLDEN, {"A": 1.0, "B": 0.0}, floors={"A": 0.5})
    assert table(fused)[:3] == [("a", 1.0), ("b", 0.75), ("c", 0.5)]


@pytest.mark.parametrize("fuse", [fusion.weighted, fusion.convex])
def test_a_missing_weight_is_named(fuse):
    with pytest.raises(ConfigError, match="missing weight for strategy: B") as error:
        fuse(GOLDEN, {"A": 1.0})
    assert error.value.remedy
    with pytest.raises(ConfigError, match="requires strategy weights"):
        fuse(GOLDEN, {})


def test_weights_that_sum_to_nothing_are_refused():
    with pytest.raises(ConfigError, match="sum to 0"):
        fusion.convex(GOLDEN, {"A": 0.0, "B": 0.0})


def test_the_history_of_a_hit_is_kept():
    bm25 = [hit("b", 9.0), hit("a", 7.0, boost=2.0)]
    dense = [hit("a", 0.8, cosine=0.8)]
    best = fusion.rrf({"bm25": bm25, "dense": dense})[0]
    assert best.chunk.path == "a"
    assert best.scores == {
        "boost": 2.0,
        "cosine": 0.8,
        "bm25": 7.0,
        "bm25.rank": 2,
        "dense": 0.8,
        "dense.rank": 1,
        "rrf": best.score,
    }


def test_two_chunkings_of_one_file_are_not_mixed_up():
    one, other = hit("a", 1.0, start=0), hit("a", 1.0, start=2)
    assert len(fusion.rrf({"bm25": [one], "dense": [other]})) == 2


def test_ties_go_by_path_and_start():
    same = [hit("b", 1.0), hit("a", 1.0, start=9), hit("a", 1.0, start=2)]
    fused = fusion.maximum({"x": same, "y": []})
    assert [(hit.chunk.path, hit.chunk.start) for hit in fused] == [("a", 2), ("a", 9), ("b", 0)]


@method
def test_nothing_in_nothing_out(name):
    assert METHODS[name]({}) == []


@method
@settings(max_examples=40)
@given(only=ranking)
def test_a_single_ranking_keeps_its_order_and_scores(name, only):
    fused = METHODS[name]({"bm25": only})
    assert table(fused) == table(only)
    assert [hit.scores["bm25.rank"] for hit in fused] == list(range(1, len(only) + 1))
    assert all(name in hit.scores for hit in fused)


@method
@settings(max_examples=40)
@given(given=rankings)
def test_the_order_of_the_mapping_decides_nothing(name, given):
    assert METHODS[name](given) == METHODS[name](dict(reversed(given.items())))


@method
@settings(max_examples=40)
@given(given=rankings)
def test_every_hit_comes_out_once_and_best_first(name, given):
    fused = METHODS[name](given)
    assert sorted(hit.chunk.path for hit in fused) == sorted(
        {hit.chunk.path for hits in given.values() for hit in hits}
    )
    assert [hit.score for hit in fused] == sorted((hit.score for hit in fused), reverse=True)


@method
@settings(max_examples=40)
@given(given=rankings)
def test_a_hit_that_is_better_everywhere_is_not_ranked_below(name, given):
    fused = METHODS[name](given)
    for upper, lower in pairwise(fused):
        ranks = [
            (lower.scores.get(f"{by}.rank", 99), upper.scores.get(f"{by}.rank", 99)) for by in given
        ]
        dominated = all(below <= above for below, above in ranks)
        assert not dominated or upper.score == lower.score


@given(given=rankings, k=st.integers(1, 100))
def test_rrf_is_bounded_by_first_place_everywhere(given, k):
    if len(given) > 1:
        assert all(0 < hit.score <= len(given) / (k + 1) + 1e-12 for hit in fusion.rrf(given, k))


@given(given=rankings)
def test_convex_lies_between_0_and_1(given):
    assert all(0 <= hit.score <= 1 + 1e-12 for hit in METHODS["convex"](given))


def test_balanced_is_the_scaled_ranking_and_the_weighted_scores_of_the_others():
    rankings = {"words": [hit("a", 8.0), hit("b", 4.0)], "near": [hit("c", 0.9), hit("a", 0.7)]}
    fused = fusion.balanced(rankings, {"words": 0.1, "near": 1.0}, {"near": 0.6})
    assert table(fused) == [("a", 1.4), ("c", 1.0), ("b", 0.4)]


@given(ranking, ranking, st.sampled_from([0.25, 0.5, 2.0]), st.sampled_from([-0.5, 0.0, 0.25]))
def test_balanced_does_not_mind_how_near_a_model_finds_everything(
    words: list[Hit], near: list[Hit], unit: float, zero: float
) -> None:
    other = [Hit(h.chunk, zero + unit * h.score) for h in near]
    ours = fusion.balanced({"words": words, "near": near}, {"words": 0.1}, {"near": 0.6})
    theirs = fusion.balanced({"words": words, "near": other}, {"words": 0.1}, {"near": 0.6})
    if words and near:
        assert table(ours) == table(theirs)
