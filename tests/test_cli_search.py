"""`ragkit search`: packs of evidence, the history of hits, and what is said where there is none."""

from __future__ import annotations

import json
import shlex
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from ragkit import KnowledgeBase
from ragkit.cli import explaining
from ragkit.evidence import tokens_of
from ragkit.types import Chunk, Filter, Hit

Ragkit = Callable[..., Any]


def blocks(out: str) -> list[tuple[str, int, int, list[str]]]:
    """(path, first line, last line, lines) of each printed passage."""
    found: list[tuple[str, int, int, list[str]]] = []
    rest = out.removesuffix("\n").split("\n")
    while rest:
        path, _, lines = rest[0].split("  ")[0].rpartition(":")
        first, last = map(int, lines.split("-"))
        count = last - first + 1
        found.append((path, first, last, rest[1 : count + 1]))
        rest = rest[count + 2 :]
    return found


def test_a_pack_prints_whole_lines_under_their_place(ragkit: Ragkit, project: Path) -> None:
    done = ragkit("search", "squirrel weight", project, "--max-tokens", 150)
    assert done.code == 0
    found = blocks(done.out)
    assert "src/feeder.py" in [path for path, *_ in found]
    for path, first, last, lines in found:
        assert lines == (project / path).read_text().split("\n")[first - 1 : last]
    assert tokens_of(done.out) <= 150


def test_the_command_that_is_offered_goes_on_until_the_end(ragkit: Ragkit, project: Path) -> None:
    done = ragkit("search", "squirrel weight", project, "--max-tokens", 60, "--lang", "python")
    seen = blocks(done.out)
    while "more: " in done.err:
        command = done.err.partition("more: ")[2].partition("  #")[0]
        program, *words = shlex.split(command)
        assert program == "ragkit"
        done = ragkit(*words)
        assert done.code == 0
        seen += blocks(done.out)
    lines = [(path, n) for path, first, last, _ in seen for n in range(first, last + 1)]
    assert len(lines) == len(set(lines))
    assert {path for path, _ in lines} == {"src/feeder.py"}
    told = {n for _, n in lines}
    text = (project / "src" / "feeder.py").read_text().split("\n")
    assert all(n in told for n, line in enumerate(text, 1) if line.strip())


def test_what_was_cut_is_said_with_its_lines(ragkit: Ragkit, project: Path) -> None:
    done = ragkit("search", "squirrel", project, "--max-tokens", 40)
    assert "cut: src/feeder.py:" in done.err
    assert " fit\n" in done.err


def test_a_pack_in_json_has_the_documented_shape(ragkit: Ragkit, project: Path) -> None:
    done = ragkit("search", "squirrel", project, "--max-tokens", 60, "--json")
    pack = json.loads(done.out)
    assert done.err == ""
    assert set(pack) == {
        "version", "query", "knowledge_base", "root", "passages", "tokens", "max_tokens", "cursor",
        "left_out", "degraded", "seconds", "stale", "looked_at_all", "generation", "indexed_at",
    }  # fmt: skip
    assert sum(passage["tokens"] for passage in pack["passages"]) == pack["tokens"] <= 60
    for passage in pack["passages"]:
        assert set(passage) == {
            "path", "start_line", "end_line", "context", "score", "tokens", "is_cut", "text",
            "hits", "freshness",
        }  # fmt: skip
        assert set(passage["hits"][0]) == {"rank", "start_line", "end_line", "score", "scores"}
    following = ragkit(
        "search", "squirrel", project, "--max-tokens", 60, "--cursor", pack["cursor"], "--json"
    )
    assert json.loads(following.out)["passages"][0] not in pack["passages"]
    everything = ragkit("search", "squirrel", project, "--max-tokens", 100_000, "--json")
    assert json.loads(everything.out)["cursor"] is None


def test_the_files_of_a_pack_can_be_had_alone(ragkit: Ragkit, project: Path) -> None:
    done = ragkit("search", "squirrel", project, "--max-tokens", 2000, "--files")
    names = done.out.split()
    assert names[0] == "src/feeder.py"
    assert len(names) == len(set(names))


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--cursor", "x"], "--cursor goes with --max-tokens"),
        (["--max-tokens", "100", "--limit", "3"], "exclude each other"),
        (["--max-tokens", "0"], "--max-tokens"),
        (["--max-tokens", "100", "--cursor", "x"], "x: not a cursor"),
        (["--max-tokens", "3"], "3 tokens are too few for any evidence\n  try: give "),
    ],
)
def test_what_cannot_be_is_said(
    ragkit: Ragkit, project: Path, options: list[str], words: str
) -> None:
    done = ragkit("search", "squirrel", project, *options)
    assert done.code == 2
    assert words in done.err
    assert done.out == ""


def test_a_cursor_belongs_to_its_query_and_its_filters(project: Path) -> None:
    with KnowledgeBase.open(project) as kb:
        kb.index()
        cursor = kb.pack("squirrel", 60).cursor
        assert kb.pack("squirrel", 200, cursor=cursor).passages
        for query, where in (("weight", Filter()), ("squirrel", Filter(languages=("python",)))):
            with pytest.raises(Exception, match="another query, other filters"):
                kb.pack(query, 60, where, cursor)
        recent = kb.pack("squirrel", 60, Filter(modified_after=1.0)).cursor
        assert kb.pack("squirrel", 60, Filter(modified_after=2.0), recent).passages


def test_a_cursor_is_refused_when_what_it_showed_has_changed(ragkit: Ragkit, project: Path) -> None:
    done = ragkit("search", "squirrel", project, "--max-tokens", 60, "--json")
    cursor = json.loads(done.out)["cursor"]
    text = (project / "src" / "feeder.py").read_text()
    (project / "src" / "feeder.py").write_text("# moved\n\n" + text)
    done = ragkit("search", "squirrel", project, "--max-tokens", 60, "--cursor", cursor)
    assert done.code == 2
    assert "the index has changed" in done.err
    assert "try: ask again without a cursor" in done.err


def test_explain_tells_every_stage_with_score_and_rank(ragkit: Ragkit, project: Path) -> None:
    out = ragkit("search", "squirrel", project, "--explain").out
    first = out.split("\n\n")[0]
    stages = [line.split()[0] for line in first.split("\n") if line.startswith(" " * 8)]
    assert [stage for stage in stages if stage in ("searched", "fused", "rules", "score")] == (
        ["searched", "fused", "rules", "score"] if "rules" in stages else
        ["searched", "fused", "score"]
    )  # fmt: skip
    assert "(#1)" in first
    assert " ms in all" in out


def test_explain_is_in_json_too(ragkit: Ragkit, project: Path) -> None:
    for options in ((), ("--max-tokens", 500)):
        done = ragkit("search", "squirrel", project, "--explain", "--json", *options)
        answer = json.loads(done.out)
        hits = answer["hits"] if "hits" in answer else answer["passages"][0]["hits"]
        ranks = hits[0]["ranks"]
        assert ranks["limit"] == hits[0]["rank"] == 1
        assert {"fusion", "deduplication"} <= set(ranks)


def test_explain_tells_of_the_hits_in_a_pack(ragkit: Ragkit, project: Path) -> None:
    out = ragkit("search", "squirrel", project, "--explain", "--max-tokens", 300).out
    assert "hit 1, lines " in out
    assert "searched " in out
    assert "of 300, estimated" in out


@pytest.mark.parametrize("options", [(), ("--max-tokens", "100")])
def test_no_hit_says_why(ragkit: Ragkit, project: Path, options: tuple[str, ...]) -> None:
    signs = ragkit("search", "!?", project, *options)
    assert (signs.code, signs.out) == (1, "")
    assert signs.err == "no hit: the query has no letter or digit to look for\n"
    filtered = ragkit("search", "squirrel", project, "--path", "srv/*.py", *options)
    assert (filtered.code, filtered.out) == (1, "")
    assert "--path 'srv/*.py'" in filtered.err


def configured(project: Path, more: str) -> Path:
    """A configuration that searches by words alone."""
    file = project / "words.yaml"
    file.write_text(
        "rag:\n  words:\n    docs: [src]\n    strategies:\n      - type: bm25\n"
        f"        database: {project.parent / 'words.db'}\n{more}"
    )
    return file


def test_no_hit_names_the_words_that_no_file_has(ragkit: Ragkit, project: Path) -> None:
    config = configured(project, "")
    done = ragkit("search", "zeppelins of Übermorgen", "--config", config)
    assert (done.code, done.out) == (1, "")
    assert done.err.endswith("has any of: zeppelin, ubermorgen\n")
    answer = json.loads(ragkit("search", "zeppelin", "--config", config, "--json").out)
    assert answer["no_hit"] == "no hit: no file that was searched has any of: zeppelin"


def test_no_hit_names_the_thresholds(ragkit: Ragkit, project: Path) -> None:
    config = configured(project, "        threshold: 500\n")
    done = ragkit("search", "squirrel", "--config", config)
    assert done.err.endswith("no hit: none reaches the threshold 500 of bm25\n")


def test_the_history_of_a_hit_has_a_line_for_each_stage() -> None:
    chunk = Chunk("a.py", 0, "x", 0, 1, 3, 4)
    scores = {
        "bm25": 7.25, "bm25.file": 3.5, "bm25.rank": 2, "vectors": 0.5, "vectors.rank": 1,
        "rrf": 0.033, "rule.names": 1.2, "rule.noise": 0.5, "topology": 0.25,
        "reranking": 0.9, "reranking.rank": 4, "blend": 0.8, "blend.rank": 3,
    }  # fmt: skip
    hit = Hit(chunk, 0.8, scores)
    ranks = explaining.Ranks()
    for stage, stood in (("fusion", 5), ("rules", 2), ("reranking", 3), ("limit", 1)):
        better = [replace(hit, chunk=replace(chunk, path=str(i))) for i in range(1, stood)]
        ranks(stage, [*better, hit])
    assert list(explaining.history(hit, ranks.of(hit))) == [
        ("searched", "bm25 7.250 (#2), bm25.file 3.500, vectors 0.500 (#1)"),
        ("fused", "rrf 0.033 (#5)"),
        ("rules", "names ×1.200, noise ×0.500 → #2"),
        ("nearby", "topology 0.250"),
        ("reranked", "reranking 0.900 (#4), blend 0.800 (#3)"),
        ("score", "0.800 (#1)"),
    ]
    assert ranks.of(replace(hit, chunk=replace(chunk, path="other.py"))) == {}
