"""Settings in, the order of hits out: which fusion, and which rules."""

from __future__ import annotations

from dataclasses import fields, replace
from pathlib import Path

import pytest

from ragkit import KnowledgeBase
from ragkit.config.rag import Fusion, Ranking, Results, Source
from ragkit.kb.ordering import fusing, ruling
from ragkit.kb.places import default_source
from ragkit.ranking import RULES
from ragkit.types import Chunk, Hit


def hit(path: str, score: float) -> Hit:
    return Hit(Chunk(path, 0, "text", 0, 4, 1, 1), score)


RANKINGS = {
    "bm25": [hit("words.md", 9.0), hit("both.md", 8.0)],
    "chunked-embeddings": [hit("near.md", 0.9), hit("both.md", 0.8), hit("far.md", 0.3)],
}


@pytest.fixture
def source(project: Path) -> Source:
    return default_source(project)


def fused_by(source: Source, fusion: Fusion, query: str = "") -> list[Hit]:
    return fusing(replace(source, results=Results(fusion=fusion)), query)(RANKINGS)


@pytest.mark.parametrize(
    ("fusion", "method"),
    [
        (Fusion(), "balanced"),
        (Fusion("rrf"), "rrf"),
        (Fusion(k=30), "rrf"),
        (Fusion(weights={"bm25": 0.5, "chunked-embeddings": 0.5}), "rrf"),
        (Fusion("weighted", weights={"bm25": 0.5, "chunked-embeddings": 0.5}), "weighted"),
        (Fusion("max"), "max"),
        (Fusion("convex"), "convex"),
    ],
)
def test_a_written_fusion_is_that_one_and_none_is_ragkits_own(
    source: Source, fusion: Fusion, method: str
) -> None:
    assert all(method in hit.scores for hit in fused_by(source, fusion))


def test_the_candidates_of_a_finer_model_are_told_apart_more(source: Source) -> None:
    def spread(model: str) -> float:
        strategies = [replace(s, embedding_model=model) for s in source.strategies[1:]]
        finer = replace(source, strategies=(source.strategies[0], *strategies))
        scores = [h.score for h in fused_by(finer, Fusion()) if "chunked-embeddings" in h.scores]
        return max(scores) - min(scores)

    assert spread("dmr/ai/embeddinggemma") > spread("embedded/static")
    assert spread("auto") == spread("embedded/static")


def test_a_query_that_names_code_leans_on_words(source: Source) -> None:
    def words(query: str) -> float:
        scores = {h.chunk.path: h.score for h in fused_by(source, Fusion(), query)}
        return scores["words.md"] - scores["near.md"]

    assert words("fix is_squirrel") > words("squirrels at night")


def test_only_ragkits_own_fusion_minds_the_query(source: Source) -> None:
    assert fused_by(source, Fusion("rrf"), "is_squirrel") == fused_by(source, Fusion("rrf"), "why")


def test_the_switches_are_the_rules() -> None:
    assert [field.name for field in fields(Ranking)] == list(RULES)


@pytest.mark.parametrize("name", RULES)
def test_a_rule_that_is_switched_off_says_nothing(source: Source, name: str) -> None:
    off = replace(source, results=Results(ranking=Ranking(**{name: False})))
    hits = [hit("tests/feeder.md", 2.0), hit("src/feeder.py", 1.0)]
    for ruled in ruling(off)("feeder", hits):
        assert f"rule.{name}" not in ruled.scores


def test_a_written_rrf_keeps_its_scores_beside_those_of_the_rules(source: Source) -> None:
    written = replace(source, results=Results(fusion=Fusion("rrf")))
    with KnowledgeBase(written) as kb:
        kb.index()
        hits = kb.search("where is is_squirrel tested")
    for found in hits:
        ranks = [v for key, v in found.scores.items() if key.endswith(".rank")]
        assert found.scores["rrf"] == pytest.approx(sum(1 / (60 + rank) for rank in ranks))
    assert any(key.startswith("rule.") for found in hits for key in found.scores)


def test_without_any_rule_the_fused_order_stays(source: Source) -> None:
    none = Ranking(**dict.fromkeys(RULES, False))
    with KnowledgeBase(replace(source, results=Results(ranking=none))) as kb:
        kb.index()
        for found in kb.search("is_squirrel"):
            assert found.score == found.scores["balanced"]
