"""What `results:` makes of the hits of a real index: kept answers, known files, whole files."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from ragkit.config.rag import Prefetch as PrefetchSettings
from ragkit.config.rag import Results, Source, StrategySettings, TopologyPrior
from ragkit.kb import KnowledgeBase
from ragkit.kb.prefetch import Prefetch
from ragkit.kb.topology import Topology
from ragkit.retriever import Answer
from ragkit.types import Chunk, Filter, Hit

Opened = Callable[..., KnowledgeBase]
WORDS = StrategySettings(type="bm25", limit=20)
KEPT = PrefetchSettings(enabled=True, max_entries=2)


@pytest.fixture
def opened(project: Path) -> Iterator[Opened]:
    """An indexed knowledge base of the project with these results."""
    bases: list[KnowledgeBase] = []

    def of(**results: Any) -> KnowledgeBase:
        source = Source(
            name="kb",
            root=str(project),
            docs=(".",),
            strategies=(WORDS,),
            results=Results(**results),
        )
        bases.append(KnowledgeBase(source))
        bases[-1].index()
        return bases[-1]

    yield of
    for kb in bases:
        kb.close()


def stages(answer: Answer) -> list[str]:
    return [stage for stage, _ in answer.stages]


def hit(path: str, score: float) -> Hit:
    return Hit(Chunk(path, 0, path, 0, len(path), 1, 1), score)


# prefetch


def test_a_query_that_comes_again_is_answered_from_memory(opened: Opened) -> None:
    kb = opened(prefetch=KEPT)
    first = kb.answer("squirrel weight")
    again = kb.answer("  squirrel\tweight ")
    assert "bm25" in stages(first)
    assert stages(again) == ["prefetch"]
    assert again.hits == first.hits
    again.hits.clear()
    assert kb.answer("squirrel weight").hits == first.hits


def test_without_prefetch_nothing_is_kept(opened: Opened) -> None:
    for kb in (opened(), opened(prefetch=PrefetchSettings())):
        kb.answer("squirrel")
        assert "bm25" in stages(kb.answer("squirrel"))


def test_another_limit_or_filter_is_another_query(opened: Opened) -> None:
    kb = opened(prefetch=PrefetchSettings(enabled=True))
    kb.answer("squirrel")
    assert len(kb.answer("squirrel", 1).hits) == 1
    code = kb.answer("squirrel", where=Filter(languages=("python",)))
    assert {hit.chunk.path for hit in code.hits} == {"src/feeder.py"}
    assert stages(kb.answer("squirrel", where=Filter(languages=("python",)))) == ["prefetch"]


def test_the_oldest_answer_makes_room(opened: Opened) -> None:
    kb = opened(prefetch=KEPT)
    for query in ("squirrel", "weight", "squirrel", "roof"):
        kb.answer(query)
    assert stages(kb.answer("weight")) == stages(kb.answer("roof")) == ["prefetch"]
    assert "bm25" in stages(kb.answer("squirrel"))


def test_a_change_of_the_index_empties_the_memory_whoever_makes_it(
    opened: Opened, project: Path
) -> None:
    kb = opened(prefetch=KEPT)
    other = opened()
    assert not kb.search("walrus")
    (project / "walrus.txt").write_text("A walrus is never counted.")
    other.index()
    assert [hit.chunk.path for hit in kb.search("walrus")] == ["walrus.txt"]
    (project / "walrus.txt").unlink()
    kb.index()
    assert not kb.search("walrus")


def test_an_index_that_did_not_change_keeps_its_answers(opened: Opened, project: Path) -> None:
    kb = opened(prefetch=KEPT)
    kb.answer("squirrel")
    os.utime(project / "README.md")
    kb.index()
    assert stages(kb.answer("squirrel")) == ["prefetch"]


def test_an_answer_by_the_time_of_files_is_not_kept(opened: Opened, project: Path) -> None:
    kb = opened(prefetch=KEPT)
    where = Filter(also=(Filter(modified_after=time.time() + 60),))
    assert not kb.answer("squirrel", where=where).hits
    os.utime(project / "README.md", (time.time() + 120,) * 2)
    kb.index()
    hits = kb.answer("squirrel", where=where).hits
    assert {hit.chunk.path for hit in hits} == {"README.md"}


def test_an_answer_that_lacks_something_is_not_kept() -> None:
    from ragkit.events import Degraded

    lacking = Answer("x", [], (), (Degraded("vectors", "the model is away"),))
    whole = Answer("x", [hit("a", 1)], ())
    kept = Prefetch(5)
    assert kept.get("x", 5, Filter(), [], lambda: lacking) is lacking
    assert kept.get("x", 5, Filter(), [], lambda: whole) is whole
    assert kept.get("x", 5, Filter(), [], lambda: lacking).hits == whole.hits


# topology_prior


def test_files_near_earlier_answers_gain_and_show_it() -> None:
    topology = Topology(weight=0.1)
    hits = [hit("a/x.py", 1.0), hit("b/y.py", 0.98), hit("c/z.go", 0.5)]
    assert topology.prefer(hits) == hits
    topology.remember([hit("b/other.py", 1.0)], [])
    preferred = topology.prefer(hits)
    assert [each.chunk.path for each in preferred] == ["b/y.py", "a/x.py", "c/z.go"]
    assert preferred[0].scores["topology"] == pytest.approx(2 / 4)
    assert preferred[0].score == pytest.approx(0.98 + 0.1 * 0.5)
    assert preferred[2].scores["topology"] == 0
    assert preferred[2].score == 0.5


def test_only_so_many_files_are_remembered() -> None:
    topology = Topology(weight=1.0, history=2)
    topology.remember([hit("one", 1), hit("two", 1), hit("three", 1)], [])
    shares = {
        h.chunk.path: h.scores["topology"] for h in topology.prefer([hit("one", 1), hit("two", 1)])
    }
    assert shares == {"one": 0.0, "two": 1.0}


def test_an_order_by_any_scale_can_be_preferred() -> None:
    topology = Topology(weight=0.1)
    topology.remember([hit("b", 1)], [])
    for scale in (0.001, 1, -1, 0):
        hits = [hit("a", 2.0 * scale), hit("b", 1.99 * scale if scale > 0 else 2.01 * scale)]
        preferred = [each.chunk.path for each in topology.prefer(hits)]
        assert preferred == (["b", "a"] if scale else ["a", "b"])


def test_a_change_of_the_index_makes_it_forget(opened: Opened, project: Path) -> None:
    kb = opened(topology_prior=TopologyPrior(enabled=True))
    assert "topology" not in kb.search("squirrel weight")[0].scores
    assert kb.search("squirrel weight")[0].scores["topology"] == 1
    (project / "new.txt").write_text("A squirrel of some weight.")
    kb.index()
    kb.search("nothing that is there")
    assert "topology" not in kb.search("squirrel weight")[0].scores


# whole files


def test_whole_files_are_as_they_were_indexed(opened: Opened, project: Path) -> None:
    kb = opened(return_full_content=True)
    text = (project / "README.md").read_text()
    (project / "README.md").write_text("changed since")
    hits = {hit.chunk.path: hit.chunk for hit in kb.search("squirrel weight feeder")}
    readme = hits["README.md"]
    assert readme.text == text.rstrip()
    assert (readme.start_line, readme.end_line) == (1, text.count("\n"))
    assert len(hits) == len(kb.search("squirrel weight feeder"))


def test_the_command_line_gives_whole_files(ragkit: Callable[..., Any], project: Path) -> None:
    (project / "ragkit.yaml").write_text(
        "rag:\n  kb:\n    docs: ['.']\n    strategies: [{type: bm25}]\n"
        "    results: {return_full_content: true}\n"
    )
    done = ragkit("search", "is_squirrel", project, "--json")
    [first, *_] = json.loads(done.out)["hits"]
    assert first["path"] == "src/feeder.py"
    assert first["text"] == (project / "src/feeder.py").read_text().rstrip()
    done = ragkit("search", "is_squirrel", project)
    assert "src/feeder.py:1-" in done.out
    assert "def is_squirrel" in done.out
