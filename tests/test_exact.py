"""Searches that miss nothing, and vectors as the model gives them: asked for and configured."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ragkit import KnowledgeBase
from ragkit.config.rag import Prefetch, Results, Source, StrategySettings
from ragkit.errors import QueryError
from ragkit.kb.depths import depth_of
from ragkit.kb.expected import Expected
from ragkit.kb.parts import blueprints
from ragkit.strategies.chunked_embeddings import ChunkedEmbeddings, embedded_text, key_of
from ragkit.types import ANYTHING, Hit

Ragkit = Callable[..., Any]

STATIC = StrategySettings(
    type="chunked-embeddings", name="vectors", embedding_model="embedded/static"
)
WORDS = StrategySettings(type="bm25", name="words")


class Watched:
    """A store that remembers which searches by vector were to be exact."""

    def __init__(self, store: Any) -> None:
        self._store = store
        self.asked: list[bool] = []

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)

    def nearest(self, *args: Any, exact: bool = False) -> Any:
        self.asked.append(exact)
        return self._store.nearest(*args, exact=exact)


@pytest.fixture
def opened(project: Path, tmp_path: Path) -> Any:
    """A function that opens and indexes a knowledge base of these strategies."""
    bases = []

    def opened(*strategies: StrategySettings, results: Results | None = None) -> KnowledgeBase:
        bases.append(KnowledgeBase(source(project, *strategies, results=results)))
        bases[-1].index()
        return bases[-1]

    yield opened
    for kb in bases:
        kb.close()


def source(project: Path, *strategies: StrategySettings, results: Results | None = None) -> Source:
    return Source(
        "kb", str(project), docs=(".",), strategies=strategies, results=results or Results()
    )


def watched(kb: KnowledgeBase) -> Watched:
    """The store of its one index, from now on watched."""
    store = Watched(kb.indexes[0].store)
    kb.indexes[0] = replace(kb.indexes[0], store=store)
    return store


@pytest.mark.parametrize(("configured", "asked"), [(False, False), (True, False), (False, True)])
def test_a_search_is_exact_where_it_is_configured_or_asked_for(
    opened: Any, configured: bool, asked: bool
) -> None:
    kb = opened(replace(STATIC, exact=configured), WORDS)
    store = watched(kb)
    assert kb.search("squirrel weight", exact=asked)
    assert kb.pack("squirrel weight", 200, exact=asked).passages
    kb.why_not("squirrel weight", "src/feeder.py", exact=asked)
    assert set(store.asked) == {configured or asked}
    assert kb.search("squirrel weight")
    assert store.asked[-1] is configured, "a search that is asked to be exact is so alone"


def test_an_exact_answer_is_kept_apart_from_others(opened: Any) -> None:
    kb = opened(STATIC, results=Results(prefetch=Prefetch(enabled=True)))
    store = watched(kb)
    for _ in range(2):
        assert kb.search("squirrel", exact=True) == kb.search("squirrel")
    assert store.asked == [True, False]


def test_a_cursor_belongs_to_exact_searches_or_to_others(opened: Any) -> None:
    kb = opened(STATIC, WORDS)
    cursor = kb.pack("squirrel", 60, exact=True).cursor
    assert kb.pack("squirrel", 60, cursor=cursor, exact=True).passages
    with pytest.raises(QueryError, match="another query"):
        kb.pack("squirrel", 60, cursor=cursor)


def test_the_command_line_finds_the_same_and_goes_on_exactly(ragkit: Ragkit, project: Path) -> None:
    usual, exact = (
        json.loads(ragkit("search", "squirrel weight", project, "--json", *options).out)
        for options in ([], ["--exact"])
    )
    assert [hit["path"] for hit in exact["hits"]] == [hit["path"] for hit in usual["hits"]]
    page = ragkit("search", "squirrel weight", project, "--max-tokens", 60, "--exact")
    assert " --exact" in page.err.partition("more: ")[2]
    assert ragkit("why-not", "squirrel weight", "src/feeder.py", project, "--exact").code == 0


@pytest.mark.parametrize(
    ("exact", "vectors", "precision"),
    [
        (False, None, "int8"),
        (False, "int8", "int8"),
        (False, "float32", "float32"),
        (True, None, "float32"),
        (True, "float32", "float32"),
        (True, "int8", "int8"),
    ],
)
def test_exact_stores_floats_unless_said_otherwise(
    project: Path, exact: bool, vectors: Any, precision: str
) -> None:
    settings = replace(STATIC, exact=exact, vectors=vectors)
    (blueprint,) = blueprints(source(project, WORDS, settings))
    assert blueprint.precision == precision
    (usual,) = blueprints(source(project, WORDS, STATIC))
    same = precision == "int8"
    assert (blueprint.settings_mark == usual.settings_mark) is same


def stored(kb: KnowledgeBase) -> dict[str, tuple[Any, Any]]:
    """Text → its vector as the model gives it, and as it is stored."""
    store, strategy = kb.indexes[0].store, kb.indexes[0].strategies[0]
    assert isinstance(strategy, ChunkedEmbeddings)
    embedder = strategy.embedder
    texts = [embedded_text(chunk) for path in store.records() for chunk in store.chunks(path)]
    keys = [key_of(embedder.fingerprint, text) for text in texts]
    known = store.known(keys)
    vectors = embedder.embed(texts, "document")
    rows = zip(texts, keys, vectors, strict=True)
    return {text: (vector, known[key]) for text, key, vector in rows}


def test_vectors_are_stored_as_they_are_configured(opened: Any) -> None:
    for text, (vector, row) in stored(opened(STATIC)).items():
        step = np.abs(vector).max() / 127
        np.testing.assert_allclose(row, vector, rtol=0, atol=0.51 * step, err_msg=text)
    # texts whose vectors are known already, but rounded
    for text, (vector, row) in stored(opened(replace(STATIC, vectors="float32"))).items():
        np.testing.assert_array_equal(row, vector, err_msg=text)


def test_other_precision_is_another_index_that_takes_over(opened: Any) -> None:
    opened(STATIC)
    kb = opened(replace(STATIC, exact=True))
    assert kb.indexes[0].store.is_complete
    assert [index.kept for index in kb.indexes[0].store.indexes()] == [True, False]
    assert kb.search("squirrel weight", limit=1)[0].chunk.path == "src/feeder.py"


def test_what_only_an_exact_search_finds_is_told(opened: Any) -> None:
    index = opened(STATIC).indexes[0]

    class Hasty:
        """Gives candidates that lack the best."""

        name, limit, fingerprint = "hasty", 5, "-"

        def search(self, store: Any, query: str, limit: int, where: Any = ANYTHING) -> list[Hit]:
            hits: list[Hit] = index.strategies[0].search(store, query, limit, where)
            return hits if limit >= store.statistics().chunks else hits[1:]

        prepare: Any = None

    strategy = Hasty()
    best = index.strategies[0].search(index.store, "squirrel weight", 1)[0].chunk
    sought = Expected(best.path, best.start_line, False)
    given = strategy.search(index.store, "squirrel weight", 4)
    depth = depth_of(strategy, index, "squirrel weight", sought, ANYTHING, given, 4)
    assert depth.verdict == "candidates"
    assert depth.step.rank == 1
    assert "--exact finds it" in depth.step.detail


@pytest.mark.parametrize("exact", [True, False])
def test_lint_says_where_fewer_vectors_are_compared_than_in_docker_agent(
    ragkit: Ragkit, tmp_path: Path, exact: bool
) -> None:
    file = tmp_path / "agent.yaml"
    strategy = f"{{type: chunked-embeddings, embedding_model: embedded/static, exact: {exact}}}"
    file.write_text(f"rag:\n  kb:\n    docs: [.]\n    strategies:\n      - {strategy.lower()}\n")
    assert ("few vectors are compared" in ragkit("lint", file).out) is not exact
