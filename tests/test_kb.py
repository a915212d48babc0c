"""The hall: settings in, a knowledge base that does what they say out."""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest

from ragkit import KnowledgeBase
from ragkit.config.models import Model
from ragkit.config.rag import Chunking, Fusion, Reranking, Results, Source, StrategySettings
from ragkit.errors import ConfigError, IndexingTimeout, NotBuilt, QueryError, StoreMismatch
from ragkit.kb.places import default_source, locate

BM25 = StrategySettings(type="bm25", name="bm25", limit=50)
STATIC = StrategySettings(
    type="chunked-embeddings", name="vectors", limit=50, embedding_model="embedded/static"
)


@pytest.fixture
def source(project: Path) -> Callable[..., Source]:
    """A knowledge base of the project with these strategies and changes."""

    def of(*strategies: StrategySettings, **changes: object) -> Source:
        plain = Source(name="kb", root=str(project), docs=(".",), strategies=strategies)
        return replace(plain, **changes)  # type: ignore[arg-type]

    return of


def paths(kb: KnowledgeBase, query: str) -> list[str]:
    return [hit.chunk.path for hit in kb.search(query)]


def test_it_opens_indexes_and_answers(project: Path) -> None:
    with KnowledgeBase.open(project) as kb:
        (summary,) = kb.index()
        assert summary.indexed == 5
        (best, *_) = kb.search("is_squirrel", limit=3)
    assert best.chunk.path == "src/feeder.py"
    assert {"bm25", "bm25.rank", "chunked-embeddings", "balanced"} <= set(best.scores)
    assert best.score >= best.scores["balanced"]


def test_searching_before_indexing_says_so(project: Path) -> None:
    with KnowledgeBase.open(project) as kb, pytest.raises(StoreMismatch, match="nothing is index"):
        kb.search("squirrel")


def test_an_interrupted_index_answers_and_says_that_it_is_incomplete(project: Path) -> None:
    class Stop(Exception):
        pass

    def stop(event: object) -> None:
        if type(event).__name__ == "Indexed":
            raise Stop

    with KnowledgeBase.open(project) as kb:
        with pytest.raises(Stop):
            kb.index(stop)
        answer = kb.answer("feeder squirrel camera install")
        assert [note.reason for note in answer.degraded] == [
            "the index is incomplete; `ragkit index` completes it"
        ]
        (summary,) = kb.index()
        assert summary.found == 5
        assert not kb.answer("feeder").degraded


def test_other_settings_are_built_beside_and_then_take_over(
    source: Callable[..., Source],
) -> None:
    with KnowledgeBase(source(BM25, STATIC)) as kb:
        kb.index()
    small = Chunking(size=120)
    changed = source(replace(BM25, chunking=small), replace(STATIC, chunking=small))
    with KnowledgeBase(changed) as kb:
        answer = kb.answer("squirrel")
        assert any(len(hit.chunk.text) > 120 for hit in answer.hits)
        assert "earlier settings" in answer.degraded[0].reason
        kb.index()
        assert all(len(hit.chunk.text) <= 120 for hit in kb.search("squirrel"))
        (status,) = kb.status()
        counted = status.statistics
        assert counted.chunks == counted.words == counted.vectors > 5
    with KnowledgeBase(source(BM25, STATIC)) as kb:
        (summary,) = kb.index()
        assert summary.indexed == 0, "the first index was kept when the second was complete"
        assert any(len(hit.chunk.text) > 120 for hit in kb.search("squirrel"))


def test_strategies_that_chunk_differently_have_indexes_of_their_own(
    source: Callable[..., Source],
) -> None:
    small = replace(STATIC, chunking=Chunking(size=120))
    with KnowledgeBase(source(BM25, small)) as kb:
        kb.index()
        assert [index.name for index in kb.indexes] == ["kb/bm25", "kb/vectors"]
        counts = [status.statistics.chunks for status in kb.status()]
        assert counts[1] > counts[0]
        for hit in kb.search("squirrel weigh"):
            text = Path(kb.source.root, hit.chunk.path).read_text()
            assert text[hit.chunk.start : hit.chunk.end] == hit.chunk.text


def test_strategies_that_chunk_alike_share_one_index(source: Callable[..., Source]) -> None:
    stricter = replace(BM25, name="stricter", k1=0.5)
    with KnowledgeBase(source(BM25, stricter, STATIC)) as kb:
        kb.index()
        assert len(kb.indexes) == 1
        hits = kb.search("squirrel")
        assert {"bm25", "stricter", "vectors"} <= set(hits[0].scores)


def test_two_embedding_strategies_keep_their_vectors_apart(source: Callable[..., Source]) -> None:
    with KnowledgeBase(source(STATIC, replace(STATIC, name="again"))) as kb:
        kb.index()
        assert [index.name for index in kb.indexes] == ["kb/vectors", "kb/again"]
        assert paths(kb, "squirrel")[0] in {"src/feeder.py", "README.md"}


@pytest.mark.parametrize("strategy", ["rrf", "weighted", "max", "convex"])
def test_each_fusion_can_be_chosen(source: Callable[..., Source], strategy: str) -> None:
    weights = {"bm25": 0.7, "vectors": 0.3} if strategy == "weighted" else {}
    fusion = Fusion(strategy=strategy, weights=weights)  # type: ignore[arg-type]
    with KnowledgeBase(source(BM25, STATIC, results=Results(fusion=fusion))) as kb:
        kb.index()
        best = kb.search("is_squirrel")[0]
    assert best.score == best.scores[strategy]


def test_the_limit_of_results_holds_unless_a_search_has_its_own(
    source: Callable[..., Source],
) -> None:
    with KnowledgeBase(source(BM25, STATIC, results=Results(limit=2))) as kb:
        kb.index()
        assert len(kb.search("squirrel")) == 2
        assert len(kb.search("squirrel", limit=4)) == 4


def test_ignored_files_are_indexed_where_vcs_is_not_respected(
    source: Callable[..., Source],
) -> None:
    with KnowledgeBase(source(BM25, respect_vcs=False)) as kb:
        kb.index()
        assert paths(kb, "never seen")[0] == "debug.log"
    with KnowledgeBase(source(replace(BM25, respect_vcs=True), respect_vcs=False)) as kb:
        kb.index()
        assert "debug.log" not in paths(kb, "never seen")


def test_documents_outside_the_root_can_be_named(
    source: Callable[..., Source], project: Path
) -> None:
    (project.parent / "elsewhere").mkdir()
    (project.parent / "elsewhere" / "owl.txt").write_text("Owls hunt at night.")
    with KnowledgeBase(source(BM25, docs=("src", "../elsewhere"))) as kb:
        kb.index()
        assert paths(kb, "owls hunt") == ["../elsewhere/owl.txt"]


def test_dimensions_are_verified_where_they_are_given(source: Callable[..., Source]) -> None:
    KnowledgeBase(source(replace(STATIC, vector_dimensions=256))).close()
    with pytest.raises(ConfigError, match=r"vector_dimensions: 768, but .* have 256"):
        KnowledgeBase(source(replace(STATIC, vector_dimensions=768)))


@pytest.mark.parametrize(
    ("strategy", "results", "words"),
    [
        (replace(STATIC, embedding_model="anthropic/x"), Results(), "models of anthropic"),
        (BM25, Results(reranking=Reranking(model="anthropic/x")), "models of anthropic"),
    ],
    ids=["model", "reranking"],
)
def test_what_is_not_built_is_refused_before_anything_is_opened(
    source: Callable[..., Source],
    cache: Path,
    strategy: StrategySettings,
    results: Results,
    words: str,
) -> None:
    with pytest.raises(NotBuilt, match=words):
        KnowledgeBase(source(strategy, results=results))
    assert not list(cache.iterdir())


def test_an_unknown_scale_of_a_reranker_is_refused_with_its_key(
    source: Callable[..., Source],
) -> None:
    model = Model(
        "judge",
        provider="openai",
        model="x",
        base_url="http://127.0.0.1:1/v1",
        provider_opts={"rerank_score": "percent"},
    )
    results = Results(reranking=Reranking(model="judge"))
    with pytest.raises(ConfigError, match=r"models\.judge\.provider_opts\.rerank_score: 'percent'"):
        KnowledgeBase(source(BM25, results=results, models={"judge": model}))


def test_indexing_stops_at_its_bound_and_goes_on_from_there(
    source: Callable[..., Source],
) -> None:
    with KnowledgeBase(source(BM25, indexing_timeout=1e-9)) as kb:
        with pytest.raises(IndexingTimeout, match="indexing_timeout"):
            kb.index()
        assert kb.indexes[0].store.statistics().documents == 1
    with KnowledgeBase(source(BM25)) as kb:
        kb.index()
        assert kb.status()[0].statistics.documents == 5


def test_many_threads_may_search(project: Path) -> None:
    with KnowledgeBase.open(project) as kb, ThreadPoolExecutor(8) as threads:
        kb.index()
        expected = paths(kb, "squirrel feeder")
        found = threads.map(lambda _: paths(kb, "squirrel feeder"), range(64))
        assert all(each == expected for each in found)


def test_the_nearest_configuration_applies_without_a_path(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (project / "ragkit.yaml").write_text("rag: {birds: {docs: [src], strategies: [{type: bm25}]}}")
    monkeypatch.chdir(project / "src")
    assert locate().name == "birds"
    assert locate(".").name == "src", "who names a folder means that folder"
    assert locate("..").name == "birds"


def test_without_a_configuration_it_is_the_repository(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(project / "src")
    assert locate().root == str(project)
    assert default_source("../notes").root == str(project / "notes")
    monkeypatch.setenv("HOME", str(project))
    with pytest.raises(QueryError, match="not a project"):
        locate()


def test_two_projects_of_one_name_have_databases_of_their_own(tmp_path: Path, cache: Path) -> None:
    for parent in ("one", "two"):
        folder = tmp_path / parent / "project"
        folder.mkdir(parents=True)
        (folder / f"{parent}.txt").write_text("a nest")
        with KnowledgeBase.open(folder) as kb:
            kb.index()
            assert paths(kb, "nest") == [f"{parent}.txt"]
    assert len([file for file in cache.iterdir() if file.suffix == ".db"]) == 2


def test_closing_twice_is_closing_once(project: Path) -> None:
    kb = KnowledgeBase.open(project)
    kb.close()
    kb.close()
    assert os.listdir(project)
