"""Where an expected file was lost: every verdict, on real files and a real index."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from engine.runner import Runner
from hypothesis import given, settings
from hypothesis import strategies as st

from ragkit import KnowledgeBase
from ragkit.config.rag import (
    Chunking,
    Fusion,
    Prefetch,
    Results,
    Source,
    StrategySettings,
    TopologyPrior,
)
from ragkit.errors import QueryError, StoreMismatch
from ragkit.kb.expected import nearest, place_of
from ragkit.kb.explanation import Explanation, Step
from ragkit.types import Filter

Ragkit = Callable[..., Any]

BM25 = StrategySettings(type="bm25", name="bm25")
VECTORS = StrategySettings(
    type="chunked-embeddings", name="vectors", embedding_model="embedded/static"
)
QUERY = "squirrels are filtered out by weight"


def asked(source: Path | Source, query: str, path: object, *rest: Any, **more: Any) -> Explanation:
    """The explanation, with an index that is up to date."""
    with opened(source) as kb:
        kb.index()
        return kb.why_not(query, str(path), *rest, **more)


def opened(source: Path | Source) -> KnowledgeBase:
    return KnowledgeBase(source) if isinstance(source, Source) else KnowledgeBase.open(source)


def step(explanation: Explanation, stage: str) -> Step:
    return next(step for step in explanation.steps if step.stage == stage)


def stages(explanation: Explanation) -> list[str]:
    return [step.stage for step in explanation.steps]


@pytest.fixture
def source(project: Path) -> Callable[..., Source]:
    def of(*strategies: StrategySettings, **results: Any) -> Source:
        return Source("kb", str(project), (".",), strategies=strategies, results=Results(**results))

    return of


# a hit


def test_a_hit_says_which_one_it_is_and_how_it_came_there(project: Path) -> None:
    with KnowledgeBase.open(project) as kb:
        kb.index()
        places = [hit.chunk.path for hit in kb.search("is_squirrel")]
        found = kb.why_not("is_squirrel", "README.md")
    assert found.verdict == "hit"
    assert found.rank == places.index("README.md") + 1
    assert found.summary == f"README.md is hit number {found.rank} of {len(places)}"
    assert stages(found)[:2] == ["files", "index"]
    assert stages(found)[-1] == "limit"
    assert all(step.kept for step in found.steps if step.stage not in ("bm25",))
    assert found.remedies == ()


def test_the_words_of_the_query_that_a_file_has_and_lacks_are_named(project: Path) -> None:
    found = asked(project, "sunflower roof squirrel camera", "notes/todo.txt")
    assert step(found, "bm25").detail == "has sunflower, roof; lacks squirrel, camera"


def test_of_a_very_long_query_a_few_words_are_named(project: Path) -> None:
    query = " ".join(f"{a}{b}rdvark" for a in "abcdefgh" for b in "abcd") + " sunflower"
    detail = step(asked(project, query, "notes/todo.txt"), "bm25").detail
    assert detail.startswith("has sunflower; lacks aardvark")
    assert detail.endswith("and 24 more")


WORDS = ["nest", "egg", "wing", "beak", "roof", "seed", "claw", "song"]


@settings(max_examples=12, deadline=None)
@given(
    files=st.lists(
        st.lists(st.lists(st.sampled_from(WORDS), min_size=1, max_size=5), min_size=1, max_size=6),
        min_size=1,
        max_size=6,
    ),
    query=st.lists(st.sampled_from(WORDS), min_size=1, max_size=3),
    limit=st.integers(1, 5),
)
def test_the_number_of_a_hit_is_that_of_the_search(
    tmp_path_factory: pytest.TempPathFactory,
    files: list[list[list[str]]],
    query: list[str],
    limit: int,
) -> None:
    root = tmp_path_factory.mktemp("corpus")
    for number, lines in enumerate(files):
        text = "\n\n".join(" ".join(line * 12) for line in lines)
        (root / f"{number}.txt").write_text(text)
    words = " ".join(query)
    with KnowledgeBase.open(root) as kb:
        kb.index()
        hits = kb.search(words, limit)
        for number in range(len(files)):
            path = f"{number}.txt"
            for chunk in kb.indexes[0].store.chunks(path):
                line = chunk.start_line
                ranks = [
                    rank
                    for rank, hit in enumerate(hits, 1)
                    if hit.chunk.path == path and hit.chunk.start_line <= line <= hit.chunk.end_line
                ]
                found = kb.why_not(words, root / path, line, limit)
                assert found.rank == next(iter(ranks), None)
                assert (found.verdict == "hit") == bool(ranks)
                if found.needed:
                    assert kb.why_not(words, root / path, line, found.needed).rank == found.needed
                    assert kb.why_not(words, root / path, line, found.needed - 1).rank is None


@pytest.mark.parametrize("limit", [1, 3, 10])
@pytest.mark.parametrize(
    "kind", ["plain", "other chunks", "whole files", "rrf", "convex", "copies", "prefetch", "prior"]
)
def test_the_number_of_a_hit_is_that_of_the_search_however_it_is_configured(
    source: Callable[..., Source], kind: str, limit: int
) -> None:
    strategies = [BM25, replace(VECTORS, chunking=Chunking(size=150))]
    if kind == "plain":
        strategies = [BM25, VECTORS]
    changed: dict[str, dict[str, Any]] = {
        "whole files": {"return_full_content": True},
        "rrf": {"fusion": Fusion(strategy="rrf", k=60)},
        "convex": {"fusion": Fusion(strategy="convex")},
        "copies": {"deduplicate": False},
        "prefetch": {"prefetch": Prefetch(enabled=True)},
        "prior": {"topology_prior": TopologyPrior(enabled=True)},
    }
    with opened(source(*strategies, **changed.get(kind, {}))) as kb:
        kb.index()
        hits = kb.search(QUERY, limit)
        for path in ("README.md", "src/feeder.py", "src/storage.go", "notes/todo.txt"):
            ranks = [rank for rank, hit in enumerate(hits, 1) if hit.chunk.path == path]
            found = kb.why_not(QUERY, path, limit=limit)
            assert found.rank == next(iter(ranks), None)
            assert (found.verdict == "hit") == bool(ranks)
            if found.needed:
                shown = {hit.chunk.path for hit in kb.search(QUERY, found.needed)}
                assert path in shown


# which file is meant


def test_a_path_is_meant_from_here_from_the_root_or_absolutely(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(project / "src")
    for path in ("feeder.py", "./feeder.py", "src/feeder.py", project / "src" / "feeder.py"):
        assert asked(project, "camera", path).path == "src/feeder.py"
    assert asked(project, "camera", "../notes/todo.txt").path == "notes/todo.txt"


def test_a_path_that_is_nowhere_is_an_error_with_those_that_are_near(project: Path) -> None:
    with pytest.raises(QueryError, match=r"src/feder.py: no such file") as raised:
        asked(project, "camera", "src/feder.py")
    assert raised.value.remedy == "did you mean src/feeder.py?"
    with pytest.raises(QueryError) as raised:
        asked(project, "camera", "storage.go")
    assert raised.value.remedy == "did you mean src/storage.go?"
    with pytest.raises(QueryError) as raised:
        asked(project, "camera", "zzz\0")
    assert "check the path" in raised.value.remedy
    with pytest.raises(QueryError, match="no file is named"):
        asked(project, "camera", "")


@pytest.mark.skipif(sys.platform != "linux", reason="there, names are Unicode")
def test_a_name_that_is_no_text_is_found_among_what_stays_out(project: Path) -> None:
    (project / "bird\udcff.txt").write_text("squirrel")
    found = asked(project, "squirrel", "bird\udcff.txt")
    lost(found, "unreadable", "its name is not UTF-8")


def test_near_paths_are_those_of_like_names_first() -> None:
    paths = ["a/store.py", "b/store.py", "a/stores.py", "docs/index.md"]
    assert nearest("b/store.py", paths)[0] == "b/store.py"
    assert nearest("a/stroe.py", paths)[0] == "a/store.py"
    assert nearest("index", paths) == ["docs/index.md"]
    assert nearest("", paths) == []


def test_of_a_folder_the_best_file_counts(project: Path) -> None:
    found = asked(project, "is_squirrel", "src")
    assert found.rank == 1
    assert found.summary.startswith("src is hit number 1 of ")
    assert ": src/feeder.py:" in found.summary
    assert step(found, "fusion").path == "src/feeder.py"
    assert step(found, "index").detail == "2 of them"
    assert asked(project, "is_squirrel", project).rank == 1
    with pytest.raises(QueryError, match="a folder"):
        asked(project, "is_squirrel", "src", 3)


def test_of_a_line_the_chunk_that_holds_it_counts(project: Path) -> None:
    found = asked(project, "open the camera on a port", "src/feeder.py", 17)
    assert found.verdict == "hit"
    first, last = step(found, "fusion").lines or (0, 0)
    assert first <= 17 <= last
    with pytest.raises(QueryError, match=r"README.md:400: it has 11 lines"):
        asked(project, "camera", "README.md", 400)
    with pytest.raises(QueryError, match="from 1"):
        asked(project, "camera", "README.md", 0)


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("a.py", ("a.py", None)),
        ("a.py:12", ("a.py", 12)),
        ("src/a.py:12-40", ("src/a.py", 12)),
        ("a.py:3:1", ("a.py", 3)),
        ("a.py:3:", ("a.py", 3)),
        ("C:x", ("C:x", None)),
        (":7", (":7", None)),
    ],
)
def test_a_place_is_read_as_programs_write_it(
    tmp_path: Path, text: str, place: tuple[str, int | None]
) -> None:
    assert place_of(text, str(tmp_path)) == place


def test_a_file_whose_name_ends_like_a_line_is_meant_by_its_name(tmp_path: Path) -> None:
    (tmp_path / "notes:12").write_text("x")
    assert place_of("notes:12", str(tmp_path)) == ("notes:12", None)


# lost on the way into the index


def lost(found: Explanation, verdict: str, *words: str) -> None:
    """It never came to a search, and the reason is said with what helps."""
    assert (found.verdict, found.rank) == (verdict, None)
    assert "is not in the index: " in found.summary
    for word in words:
        assert word in found.summary
    assert stages(found)[-1] in ("files", "index")
    assert not found.steps[-1].kept
    assert found.remedies


def test_an_ignored_file_is_told_with_the_rule(project: Path) -> None:
    lost(asked(project, "never be seen", "debug.log"), "ignored", ".gitignore:1: *.log")
    (project / "build").mkdir()
    (project / "build" / "out.txt").write_text("squirrel")
    found = asked(project, "squirrel", "build/out.txt")
    lost(found, "ignored", "build/ is left out", ".gitignore:2: build/")


@pytest.mark.parametrize("path", ["debug.log", "build/out.txt", "node_modules/x/a.js", "uv.lock"])
def test_what_a_remedy_says_about_ragkitignore_is_true(project: Path, path: str) -> None:
    file = project / path
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text("let plumage = 'blue'\n")
    (remedy,) = asked(project, "plumage", path).remedies
    (project / ".ragkitignore").write_text(remedy.split("`")[1] + "\n")
    assert asked(project, "plumage", path).verdict == "hit"


def test_what_stays_out_by_name_size_or_kind_is_told(project: Path) -> None:
    for folder in ("node_modules", "notes"):
        (project / folder).mkdir(exist_ok=True)
    (project / "node_modules" / "x.js").write_text("let squirrel = 1")
    (project / "huge.txt").write_bytes(b"squirrel\n" * 200_000)
    (project / "bird.jpg").write_bytes(b"\xff\xd8")
    (project / "empty.txt").touch()
    (project / "uv.lock").write_text("squirrel = 1")
    (project / "link.md").symlink_to("README.md")
    os.mkfifo(project / "pipe.txt")
    for path, verdict, words in (
        ("node_modules/x.js", "default", "node_modules"),
        ("huge.txt", "too-large", "1.8 MB, limit 1 MB"),
        ("bird.jpg", "binary", "*.jpg"),
        ("empty.txt", "empty", "0 bytes"),
        ("uv.lock", "generated", "lock file"),
        ("link.md", "symlink", "README.md"),
        ("pipe.txt", "special", "a FIFO"),
    ):
        lost(asked(project, "squirrel", path), verdict, words)


def test_what_stays_out_for_its_content_is_told(project: Path) -> None:
    (project / "data.txt").write_bytes(b"squirrel\0" * 10)
    (project / "app.js").write_text("let squirrel=1;" * 600)
    (project / "made.py").write_text("# @generated by a squirrel\nx = 1\n")
    lost(asked(project, "squirrel", "data.txt"), "binary", "NUL at byte 8")
    lost(asked(project, "squirrel", "app.js"), "minified", "characters a line")
    lost(asked(project, "squirrel", "made.py"), "generated", "line 1")


def test_what_lies_outside_of_docs_is_told(project: Path, source: Callable[..., Source]) -> None:
    only = replace(source(BM25), docs=("src", "notes"))
    lost(asked(only, "squirrel", "README.md"), "outside", "not below `docs`: src, notes")
    elsewhere = project.parent / "elsewhere.txt"
    elsewhere.write_text("squirrel")
    lost(asked(project, "squirrel", elsewhere), "outside")


def test_a_folder_of_which_nothing_is_indexed_is_told(project: Path) -> None:
    (project / "pictures").mkdir()
    for number in range(3):
        (project / "pictures" / f"{number}.png").write_bytes(b"\x89PNG")
    lost(asked(project, "squirrel", "pictures"), "binary", "all in it stays out: 3 binary")


def test_a_file_that_is_not_indexed_yet_is_told(project: Path) -> None:
    with KnowledgeBase.open(project) as kb:
        with pytest.raises(StoreMismatch):
            kb.search("squirrel")
        lost(kb.why_not("squirrel", "README.md"), "not-indexed", "not been indexed yet")
        kb.index()
        (project / "new.txt").write_text("squirrel")
        lost(kb.why_not("squirrel", "new.txt"), "not-indexed")
        (project / "young").mkdir()
        (project / "young" / "new.txt").write_text("squirrel")
        lost(kb.why_not("squirrel", "young"), "not-indexed")


def test_a_file_that_could_not_be_read_is_told(project: Path) -> None:
    (project / "broken.ipynb").write_text("{not json squirrel")
    lost(asked(project, "squirrel", "broken.ipynb"), "failed", "not a notebook")


def test_a_file_that_has_changed_or_gone_is_told_when_it_is_no_hit(project: Path) -> None:
    with KnowledgeBase.open(project) as kb:
        kb.index()
        (project / "notes" / "todo.txt").write_text("Ask the ornithologist about plumage.\n")
        found = kb.why_not("plumage", "notes/todo.txt", limit=1)
        assert found.verdict == "stale"
        assert "it has changed since it was indexed" in found.summary
        assert "`ragkit index`" in found.remedies[-1]
        assert step(found, "bm25").detail == "lacks plumage"
        (project / "notes" / "todo.txt").unlink()
        gone = kb.why_not("plumage", "notes/todo.txt", limit=1)
        assert (gone.verdict, step(gone, "files").detail) == ("stale", "gone")
        assert kb.why_not("sunflower", "notes/todo.txt", limit=1).verdict == "hit"


# lost in the query


def test_a_file_without_a_word_of_the_query_is_no_candidate(
    source: Callable[..., Source],
) -> None:
    found = asked(source(BM25), "sunflower seeds", "src/feeder.py")
    assert found.verdict == "candidates"
    assert "bm25 does not find it (lacks sunflower, seed)" in found.summary
    assert stages(found) == ["files", "index", "bm25"]


def test_beyond_the_candidates_the_rank_among_all_is_told(source: Callable[..., Source]) -> None:
    narrow = source(replace(BM25, limit=1), replace(VECTORS, limit=1), limit=1)
    found = asked(narrow, "sunflower seeds for squirrels", "src/storage.go")
    assert found.verdict == "candidates"
    vectors = step(found, "vectors")
    assert not vectors.kept
    assert vectors.rank
    assert vectors.rank > 1
    assert vectors.score is not None
    assert "beyond its 1 candidates" in vectors.detail
    assert f"vectors has it at rank {vectors.rank} of" in found.summary


def test_a_strategys_threshold_is_told_with_its_bound(source: Callable[..., Source]) -> None:
    found = asked(source(replace(VECTORS, threshold=0.99)), "sunflower seeds", "notes/todo.txt")
    assert found.verdict == "threshold"
    assert step(found, "vectors").rank == 1
    assert "below its threshold 0.99" in step(found, "vectors").detail
    deep = asked(source(replace(VECTORS, threshold=0.99, limit=1), limit=1), "sunflower", "src")
    assert deep.verdict == "candidates"
    assert "threshold 0.99, and beyond its 1 candidates" in step(deep, "vectors").detail
    both = source(BM25, replace(VECTORS, threshold=0.99))
    assert asked(both, "sunflower seeds", "notes/todo.txt").verdict == "hit"


def test_what_a_filter_keeps_out_is_told(project: Path) -> None:
    found = asked(project, QUERY, "README.md", where=Filter(paths=("src",)))
    assert found.verdict == "filter"
    assert found.summary == "README.md is no hit: the filter keeps it out: path src"
    assert stages(found) == ["files", "index", "filter"]
    through = asked(project, QUERY, "README.md", where=Filter(paths=("*.md",)))
    assert through.verdict == "hit"
    assert step(through, "filter").detail == "lets it through"
    two = Filter(types=("code",)) & Filter(languages=("python",), modified_after=4e9)
    refused = asked(project, QUERY, "README.md", where=two)
    assert "type code, language python, changed since 2096" in refused.summary


def test_the_filter_of_the_configuration_counts_too(ragkit: Ragkit, project: Path) -> None:
    (project / "ragkit.yaml").write_text(
        "rag: {birds: {docs: [.], strategies: [{type: bm25}],"
        " results: {filters: {languages: [python]}}}}"
    )
    done = ragkit("why-not", "squirrel", "README.md", project)
    assert done.code == 1
    assert "the filter keeps it out: language python" in done.out
    done = ragkit("why-not", "squirrel", "src/feeder.py", project, "--path", "!src")
    assert done.code == 1
    assert "the filter keeps it out: path !src" in done.out


def test_what_the_limit_cut_is_told_with_the_limit_that_shows_it(project: Path) -> None:
    found = asked(project, "is_squirrel weigh", "README.md", limit=1)
    assert found.verdict == "limit"
    assert found.needed
    assert found.needed > 1
    assert found.remedies[0] == f"--limit {found.needed} shows it"
    assert asked(project, "is_squirrel weigh", "README.md", limit=found.needed).rank == found.needed


def test_a_copy_is_told_with_the_hit_that_it_repeats(project: Path) -> None:
    for name in ("a", "b"):
        (project / "notes" / f"{name}.txt").write_text("The owl hunts voles at night.\n")
    found = asked(project, "owl hunts voles", "notes/b.txt")
    assert found.verdict == "deduplication"
    assert "notes/b.txt:1-1 has the same text as notes/a.txt:1-1, at rank 1" in found.summary
    assert stages(found)[-1] == "deduplication"


def test_a_file_that_the_rules_moved_down_is_told_with_the_rules(project: Path) -> None:
    prey = "voles, mice, moles, shrews, beetles and frogs in the meadow behind the barn"
    (project / "tests").mkdir()
    (project / "tests" / "night.py").write_text(f"HUNTED = 'owls at night hunt {prey}'\n")
    (project / "src" / "night.py").write_text(f"HUNTED = 'owls by night hunt {prey}, and more'\n")
    query = "owls hunt voles, mice and moles at night"
    found = asked(project, query, "tests/night.py", limit=1)
    assert found.verdict == "rules"
    assert step(found, "fusion").rank == 1
    assert "rule.noise 0." in step(found, "rules").detail
    assert f"rules moved it from rank 1 to {found.needed} (" in found.summary
    assert found.needed == step(found, "rules").rank


RERANKED = """
rag:
  birds:
    docs: [.]
    strategies: [{type: bm25}]
    results:
      limit: %d
      reranking: {model: judge, top_k: %d, threshold: %s}
models:
  judge: {provider: dmr, model: hf.co/ggml-org/qwen3-reranker-0.6b-q8_0-gguf, base_url: %s}
"""


@pytest.fixture
def reranked(project: Path, light_runner: Runner) -> Callable[..., Explanation]:
    """Of notes/todo.txt, where a model that counts words reranks."""

    def of(limit: int, top_k: int, threshold: float, query: str) -> Explanation:
        file = project / "ragkit.yaml"
        url = light_runner.url + "/engines/v1"
        file.write_text(RERANKED % (limit, top_k, threshold, url))
        with KnowledgeBase.open(config=file) as kb:
            kb.index()
            return kb.why_not(query, "notes/todo.txt")

    return of


def test_a_file_below_the_rerankers_threshold_is_told_with_both(
    reranked: Callable[..., Explanation],
) -> None:
    found = reranked(5, 0, 0.99, "squirrel weighs sunflower seeds")
    assert found.verdict == "threshold"
    assert "is below the threshold 0.99" in found.summary
    assert f"{step(found, 'reranking').score:.3g}" in found.summary
    assert stages(found)[-1] == "threshold"


def test_a_file_that_the_reranker_did_not_read_is_told(
    reranked: Callable[..., Explanation],
) -> None:
    found = reranked(5, 1, 0.01, "feeder birds squirrels winter")
    assert found.verdict == "reranking"
    assert "the model reads the best 1" in found.summary
    assert "top_k" in found.remedies[0]


def test_a_file_that_the_reranker_moved_down_is_told_with_both_ranks(
    project: Path, reranked: Callable[..., Explanation]
) -> None:
    (project / "notes" / "todo.txt").write_text("plumage plumage jay")
    (project / "notes" / "long.txt").write_text("The plumage of a jay is blue. " + "A bird. " * 90)
    found = reranked(1, 0, 0, "plumage blue jay")
    assert "reranking moved it from rank 1 to 2" in found.summary


# the command


def test_the_command_says_it_in_words_and_by_its_exit_code(ragkit: Ragkit, project: Path) -> None:
    done = ragkit("why-not", "is_squirrel", "src/feeder.py", project)
    assert (done.code, done.err) == (0, "")
    assert done.out.startswith("src/feeder.py is hit number 1 of ")
    done = ragkit("why-not", "is_squirrel", "debug.log", project)
    assert done.code == 1
    assert "ignored (.gitignore:1: *.log)" in done.out
    assert "try: `!debug.log` in a .ragkitignore at the root brings it back" in done.out
    done = ragkit("why-not", "is_squirrel weigh", "README.md:11", project, "--limit", 1)
    assert done.code == 1
    assert "try: --limit " in done.out
    assert "\x1b" not in done.out
    done = ragkit("why-not", "is_squirrel", "REDME.md", project)
    assert (done.code, done.out) == (2, "")
    assert "did you mean README.md?" in done.err
    assert ragkit("why-not", " ", "README.md", project).code == 2


def test_the_command_says_it_in_json(ragkit: Ragkit, project: Path) -> None:
    done = ragkit("why-not", "is_squirrel weigh", "README.md:11", project, "-n", 1, "--json")
    found = json.loads(done.out)
    assert done.code == 1
    assert set(found) == {
        "version", "query", "path", "line", "limit", "verdict", "summary", "rank", "needed",
        "steps", "remedies", "degraded",
    }  # fmt: skip
    assert (found["path"], found["line"], found["limit"]) == ("README.md", 11, 1)
    assert set(found["steps"][0]) == {
        "stage", "kept", "rank", "of", "score", "path", "lines", "context", "detail",
    }  # fmt: skip


def test_the_command_refreshes_unless_told_otherwise(ragkit: Ragkit, project: Path) -> None:
    ragkit("index", project)
    (project / "new.txt").write_text("plumage of the nuthatch")
    looked = ragkit("why-not", "plumage", "new.txt", project, "--no-refresh")
    assert looked.code == 1
    assert "not been indexed yet" in looked.out
    assert ragkit("why-not", "plumage", "new.txt", project).code == 0
