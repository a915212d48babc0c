"""A stage that fails is left out and named; the answer is never empty for it."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from engine import faults
from engine.canned import CannedEngine
from engine.runner import Runner

Ragkit = Callable[..., Any]
Search = Callable[..., Any]

CONFIGURATION = """
rag:
  birds:
    docs: [.]
    strategies:
{strategies}
    results:
      fusion: {{strategy: rrf}}
{results}
models:
  embedder: {{provider: dmr, model: ai/embeddinggemma, base_url: "{url}/engines/v1"}}
  judge:
    provider: dmr
    model: hf.co/ggml-org/qwen3-reranker-0.6b-q8_0-gguf
    base_url: "{url}/engines/v1"
"""
BM25 = "      - {type: bm25}"
VECTORS = "      - {type: chunked-embeddings, embedding_model: embedder, vector_dimensions: 768}"
RERANKING = "      reranking: {model: judge, threshold: 0}"
QUERY = "squirrels are filtered out by weight"


@pytest.fixture
def search(project: Path, ragkit: Ragkit, light_runner: Runner) -> Search:
    """The command, with a configuration whose models all work while it is indexed."""

    def of(*strategies: str, results: str = "") -> Callable[..., Any]:
        text = CONFIGURATION.format(
            strategies="\n".join(strategies), results=results, url=light_runner.url
        )
        (project / "ragkit.yaml").write_text(text)
        done = ragkit("index", project)
        assert done.code == 0, done.err
        return lambda *options: ragkit("search", QUERY, project, *options)

    return of


def hits(done: Any) -> list[str]:
    return [f"{hit['path']}:{hit['start_line']}" for hit in json.loads(done.out)["hits"]]


def degraded(done: Any) -> list[tuple[str, str]]:
    return [(note["stage"], note["reason"]) for note in json.loads(done.out)["degraded"]]


# one strategy down


@pytest.mark.parametrize("options", [(), ("--no-refresh",)])
def test_words_answer_while_the_embedding_model_is_away(
    search: Search, light_runner: Runner, options: tuple[str, ...]
) -> None:
    find = search(BM25, VECTORS)
    assert degraded(find("--json")) == []
    light_runner.down()
    done = find("--json", *options)
    assert done.code == 0
    ((stage, reason),) = degraded(done)
    assert stage == "chunked-embeddings"
    assert "nothing listens" in reason
    assert hits(done)[0].startswith(("README.md", "src/feeder.py"))
    assert all("chunked-embeddings" not in hit["scores"] for hit in json.loads(done.out)["hits"])
    text = find(*options)
    assert text.code == 0
    assert "note: chunked-embeddings: " in text.err
    assert text.out.startswith(("README.md", "src/feeder.py"))


def test_an_embedding_model_that_fails_at_the_query_alone_is_named(
    search: Search, light_runner: Runner
) -> None:
    find = search(BM25, VECTORS)
    light_runner.fail("*embeddings", faults.replies(400, "no such thing"), rate=1)
    done = find("--json")
    assert done.code == 0
    assert [stage for stage, _ in degraded(done)] == ["chunked-embeddings"]
    assert hits(done)


def test_the_strategies_that_are_left_answer_as_they_would_alone(
    search: Search, light_runner: Runner
) -> None:
    alone = hits(search(BM25)("--json"))
    find = search(BM25, VECTORS)
    light_runner.down()
    assert hits(find("--json")) == alone


# the reranker down


BROKEN = {
    "fails": faults.replies(400, "the model has no classifier"),
    "says too little": faults.changes(lambda value: {**value, "results": value["results"][:-1]}),
    "says NaN": faults.changes(
        lambda value: {
            **value,
            "results": [{**result, "relevance_score": math.nan} for result in value["results"]],
        }
    ),
    "says nothing": faults.replies(200, "{}", "application/json"),
    "says no JSON": faults.replies(200, "I would rather not say."),
}


@pytest.mark.parametrize("kind", BROKEN)
def test_a_reranker_that_is_broken_leaves_the_fused_order(
    search: Search, light_runner: Runner, kind: str
) -> None:
    fused = hits(search(BM25)("--json"))
    find = search(BM25, results=RERANKING)
    assert degraded(find("--json")) == []
    light_runner.fail("*/rerank", BROKEN[kind], rate=1)
    done = find("--json")
    assert done.code == 0
    assert hits(done) == fused
    ((stage, reason),) = degraded(done)
    assert stage == "reranking"
    assert reason
    assert "Traceback" not in done.err
    text = find()
    assert "note: reranking: " in text.err
    assert text.out


def test_a_reranker_that_is_away_leaves_the_fused_order(
    search: Search, light_runner: Runner
) -> None:
    fused = hits(search(BM25)("--json"))
    find = search(BM25, results=RERANKING)
    light_runner.down()
    done = find("--json")
    assert (done.code, hits(done)) == (0, fused)
    assert [stage for stage, _ in degraded(done)] == ["reranking"]


def test_a_reranker_that_does_not_answer_in_time_leaves_the_fused_order(
    search: Search, light_runner: Runner
) -> None:
    fused = hits(search(BM25)("--json"))
    find = search(BM25, results="      reranking: {model: judge, threshold: 0, budget: 150ms}")
    assert isinstance(light_runner.engine, CannedEngine)
    with light_runner.engine.held():
        done = find("--json")
    assert (done.code, hits(done)) == (0, fused)
    ((stage, reason),) = degraded(done)
    assert (stage, "within 150 ms" in reason) == ("reranking", True)


def test_a_threshold_that_nothing_reaches_says_so(search: Search) -> None:
    find = search(BM25, results="      reranking: {model: judge, threshold: 1}")
    done = find("--json")
    ((stage, reason),) = degraded(done)
    assert stage == "reranking"
    assert "no candidate reached the threshold 1" in reason


# all down


def test_when_every_strategy_is_down_it_is_an_error(search: Search, light_runner: Runner) -> None:
    find = search(VECTORS)
    light_runner.down()
    for options in ((), ("--no-refresh",), ("--json",)):
        done = find(*options)
        assert done.code == 2, done
        assert done.out == ""
        assert "error: " in done.err
        assert "  try: " in done.err
        assert "Traceback" not in done.err


def test_why_not_names_what_was_down(
    search: Search, light_runner: Runner, ragkit: Ragkit, project: Path
) -> None:
    search(BM25, VECTORS, results=RERANKING)
    light_runner.down()
    done = ragkit("why-not", QUERY, "README.md", project, "--json")
    found = json.loads(done.out)
    assert (done.code, found["verdict"]) == (0, "hit")
    assert {note["stage"] for note in found["degraded"]} == {"chunked-embeddings", "reranking"}
    lost = next(step for step in found["steps"] if step["stage"] == "chunked-embeddings")
    assert not lost["kept"]
    assert lost["detail"].startswith("failed: ")
