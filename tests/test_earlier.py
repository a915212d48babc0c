"""Other settings build another index beside the one that answers, and can be gone back from."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from test_cli import Ragkit

from ragkit import KnowledgeBase, stores
from ragkit.config.models import Model
from ragkit.config.plain import plain, read
from ragkit.config.rag import Chunking, Fusion, Source, StrategySettings
from ragkit.errors import StoreError
from ragkit.events import Indexed
from ragkit.kb.earlier import made_by, recipe_of, roll_back
from ragkit.kb.places import sources
from ragkit.watcher import Told, Watcher, Watching

CONFIG = """rag:
  birds:
    docs: [.]
    strategies:
      - {{type: bm25, limit: 50, database: ./b.db, chunking: {{size: {size}}}}}
      - {{type: chunked-embeddings, limit: 50, database: ./b.db, chunking: {{size: {size}}},
         embedding_model: embedded/static}}
    results: {{limit: 5}}
"""


def configured(project: Path, size: int) -> Path:
    path = project / "ragkit.yaml"
    path.write_text(CONFIG.format(size=size))
    return path


def index(project: Path, size: int) -> None:
    with KnowledgeBase.open(config=configured(project, size)) as kb:
        kb.index()


def longest(project: Path, query: str = "squirrels weight") -> int:
    with KnowledgeBase.open(config=project / "ragkit.yaml") as kb:
        return max(len(hit.chunk.text) for hit in kb.search(query))


class Stop(Exception):
    pass


def stopped(project: Path, size: int, after: int) -> None:
    """Index, and be interrupted after so many files."""
    seen = []

    def listen(event: object) -> None:
        if isinstance(event, Indexed):
            seen.append(event)
            if len(seen) == after:
                raise Stop

    with KnowledgeBase.open(config=configured(project, size)) as kb, pytest.raises(Stop):
        kb.index(listen)


def test_the_old_index_answers_until_the_new_one_is_complete(project: Path) -> None:
    index(project, 2000)
    whole = longest(project)
    stopped(project, 100, 2)
    with KnowledgeBase.open(config=project / "ragkit.yaml") as kb:
        answer = kb.answer("squirrels weight")
        assert max(len(hit.chunk.text) for hit in answer.hits) == whole
        assert "earlier settings" in answer.degraded[0].reason
        assert kb.why_not("squirrels weight", "src/feeder.py").rank
        assert kb.pack("squirrels weight", 500).passages
        (summary,) = kb.index()
        assert summary.indexed == summary.found - 2, "it goes on where it was"
        after = kb.answer("squirrels weight")
        assert max(len(hit.chunk.text) for hit in after.hits) <= 100
        assert not after.degraded


def test_a_swap_is_one_write_and_never_mixes(project: Path) -> None:
    index(project, 2000)
    reader = KnowledgeBase.open(config=project / "ragkit.yaml", read_only=True)
    index(project, 100)
    with reader, KnowledgeBase.open(config=project / "ragkit.yaml") as kb:
        for hit in kb.search("squirrels weight"):
            assert len(hit.chunk.text) <= 100
    found = stores.indexes(project / "b.db")
    assert [(one.complete, one.kept) for one in found] == [(False, True), (True, False)]


def test_a_rollback_and_back_again(ragkit: Ragkit, project: Path) -> None:
    index(project, 2000)
    whole = longest(project)
    index(project, 100)
    assert longest(project) <= 100
    config = project / "ragkit.yaml"
    done = ragkit("rollback", "--config", config)
    assert done.code == 0
    assert "answers now" in done.out
    assert longest(project) == whole
    done = ragkit("search", "squirrels weight", "--config", config)
    assert "gone back to; `ragkit rollback` returns" in done.err
    (project / "new.md").write_text("# Lapwing\n\nLapwings tumble in the air.\n")
    done = ragkit("search", "lapwings tumble", "--config", config, "--files")
    assert done.out.startswith("new.md"), "it is kept true with the settings that it was made with"
    assert longest(project) == whole
    assert ragkit("rollback", "--config", config).code == 0
    assert longest(project) <= 100
    done = ragkit("search", "lapwings tumble", "--config", config, "--files")
    assert done.out.startswith("new.md")
    assert done.err == ""


TWO = """rag:
  birds:
    docs: [.]
    strategies:
      - {{type: bm25, limit: 50, database: ./b.db}}
      - {{type: chunked-embeddings, limit: 50, database: ./b.db, chunking: {{size: {size}}},
         embedding_model: embedded/static}}
"""


def test_of_several_indexes_those_go_back_that_have_changed(ragkit: Ragkit, project: Path) -> None:
    config = project / "ragkit.yaml"
    for size in (900, 100):
        config.write_text(TWO.format(size=size))
        with KnowledgeBase.open(config=config) as kb:
            kb.index()
            assert len(kb.indexes) == 2
    done = ragkit("rollback", "--config", config)
    assert done.code == 0
    assert done.out.count("answers now") == 1
    with KnowledgeBase.open(config=config) as kb:
        assert [s.chunking.size for s in kb.source.strategies] == [None, 900]
        kb.index()
        assert kb.search("squirrels weight")
    assert ragkit("rollback", "--config", config).code == 0
    with KnowledgeBase.open(config=config) as kb:
        assert [s.chunking.size for s in kb.source.strategies] == [None, 100]


def test_a_watcher_at_work_goes_on_with_what_was_gone_back_to(project: Path) -> None:
    index(project, 2000)
    whole = longest(project)
    index(project, 100)
    config = project / "ragkit.yaml"
    told: list[Told] = []
    stop = threading.Event()
    watcher = Watcher(lambda: sources(config=config), told.append)
    thread = threading.Thread(target=watcher.run, args=(stop,))
    thread.start()
    try:
        until(lambda: any(isinstance(one, Watching) for one in told))
        roll_back(sources(config=config)[0])
        (project / "new.md").write_text("# Lapwing\n\nLapwings tumble in the air.\n")
        until(lambda: sum(isinstance(one, Watching) for one in told) == 2)
    finally:
        stop.set()
        thread.join()
    assert longest(project) == whole
    with KnowledgeBase.open(config=config, read_only=True) as kb:
        assert kb.search("lapwings tumble")[0].chunk.path == "new.md"


def until(true: Callable[[], bool]) -> None:
    ends = time.monotonic() + 20
    while not true():
        assert time.monotonic() < ends
        time.sleep(0.02)


def test_other_settings_after_a_rollback_are_built(project: Path) -> None:
    index(project, 2000)
    index(project, 100)
    roll_back(KnowledgeBase.open(config=project / "ragkit.yaml").configured)
    index(project, 300)
    assert 100 < longest(project) <= 300
    assert len(stores.indexes(project / "b.db")) == 2, "one answers, one is kept"


def test_settings_that_are_taken_back_find_their_index(project: Path) -> None:
    index(project, 2000)
    whole = longest(project)
    index(project, 100)
    with KnowledgeBase.open(config=configured(project, 2000)) as kb:
        (summary,) = kb.index()
        assert summary.indexed == 0
        answer = kb.answer("squirrels weight")
        assert max(len(hit.chunk.text) for hit in answer.hits) == whole
        assert not answer.degraded


def test_nothing_to_go_back_to_is_an_error(ragkit: Ragkit, project: Path) -> None:
    config = configured(project, 500)
    done = ragkit("rollback", "--config", config)
    assert done.code == 2
    index(project, 500)
    done = ragkit("rollback", "--config", config)
    assert done.code == 2
    assert "no earlier index" in done.err
    index(project, 100)
    assert ragkit("compact", "--prune", "--config", config).code == 0
    assert "no earlier index" in ragkit("rollback", "--config", config).err
    assert longest(project) <= 100


def test_an_index_that_this_version_would_make_otherwise_is_not_gone_back_to(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from ragkit import chunkers

    monkeypatch.setattr(chunkers, "VERSION", -1)
    index(project, 500)
    monkeypatch.undo()
    monkeypatch.setenv("RAGKIT_CACHE_DIR", str(project.parent))
    index(project, 500)
    with (
        KnowledgeBase.open(config=project / "ragkit.yaml") as kb,
        pytest.raises(StoreError, match="another version of ragkit"),
    ):
        roll_back(kb.configured)


def test_an_older_version_s_index_answers_meanwhile(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its settings are those of now; only what they make of files has changed."""
    from ragkit import chunkers

    monkeypatch.setattr(chunkers, "VERSION", -1)
    index(project, 2000)
    monkeypatch.undo()
    with KnowledgeBase.open(config=project / "ragkit.yaml", read_only=True) as kb:
        answer = kb.answer("squirrels weight")
    assert answer.hits
    assert "earlier settings" in answer.degraded[0].reason


def test_a_search_with_a_budget_migrates_a_little(ragkit: Ragkit, project: Path) -> None:
    for i in range(200):
        (project / f"f{i}.txt").write_text(f"The pelican number {i} dives for fish.\n" * 30)
    index(project, 2000)
    config = configured(project, 200)
    done = ragkit("search", "pelican", "--config", config, "--refresh", "1ms")
    assert done.code == 0
    assert "earlier settings" in done.err
    done = ragkit("search", "pelican", "--config", config, "--refresh", "full")
    assert "earlier settings" not in done.err


def test_settings_that_nobody_remembered_are_waited_for(project: Path) -> None:
    index(project, 2000)
    with KnowledgeBase.open(config=project / "ragkit.yaml") as kb:
        store: Any = kb.indexes[0].store
        store.set_meta("recipe", '{"strategies": [{"colour": "blue"}]}')
    configured(project, 100)
    with (
        KnowledgeBase.open(config=project / "ragkit.yaml") as kb,
        pytest.raises(StoreError, match="other settings"),
    ):
        kb.search("squirrels")


# ── settings as plain data ──

SETTINGS = st.builds(
    StrategySettings,
    type=st.sampled_from(["bm25", "chunked-embeddings"]),
    name=st.text(min_size=1, max_size=5),
    docs=st.lists(st.text(min_size=1, max_size=5)).map(tuple),
    limit=st.integers(1, 1000),
    threshold=st.none() | st.floats(0, 1),
    respect_vcs=st.none() | st.booleans(),
    chunking=st.builds(Chunking, size=st.none() | st.integers(1, 9999)),
    embedding_model=st.none() | st.text(min_size=1),
    k1=st.floats(0, 3),
)


@given(settings=SETTINGS)
def test_settings_come_back_as_they_were(settings: StrategySettings) -> None:
    assert read(StrategySettings, plain(settings)) == settings


def test_a_recipe_makes_the_same_knowledge_base() -> None:
    source = Source(
        name="kb",
        root="/x",
        strategies=(StrategySettings(type="bm25", name="words", limit=7),),
        models={"m": Model(name="m", provider="openai", model="x", provider_opts={"a": [1, None]})},
    )
    source = replace(source, results=replace(source.results, fusion=Fusion(strategy="rrf", k=9)))
    again = made_by(replace(source, strategies=(), models={}), recipe_of(source))
    assert again is not None
    assert again.strategies == source.strategies
    assert again.results.fusion == source.results.fusion
    assert again.models == source.models


@pytest.mark.parametrize("recipe", ["", "{", "[]", '{"strategies": 1}', '{"strategies": [{}]}'])
def test_a_recipe_that_cannot_be_read_makes_none(recipe: str) -> None:
    assert made_by(Source(name="kb", root="/x"), recipe) is None
