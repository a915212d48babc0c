"""`ragkit lint`: what becomes of each option, and traps."""

from __future__ import annotations

import json
import re
import socket
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ragkit.config import load, template
from ragkit.config.describing import reference
from ragkit.errors import ConfigError
from ragkit.kb.lint import Finding, differences, examine
from ragkit.models.dimensions import dimensions_of
from ragkit.models.embedded import StaticEmbedder

FIXTURES = Path(__file__).parent / "fixtures" / "config"
COMPAT = Path(__file__).parent.parent / "docs" / "compat.md"

Lint = Callable[[str], list[Finding]]
Command = Callable[..., Any]


@pytest.fixture(autouse=True)
def _alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """No server is asked."""

    def refuse(*_: object) -> None:
        raise AssertionError("lint asked a server")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(StaticEmbedder, "__init__", refuse)


@pytest.fixture
def file(tmp_path: Path) -> Callable[[str], Path]:
    def write(text: str) -> Path:
        (tmp_path / "docs").mkdir(exist_ok=True)
        (tmp_path / "docs" / "a.txt").write_text("the robin sings")
        path = tmp_path / "agent.yaml"
        path.write_text(text, encoding="utf-8")
        return path

    return write


@pytest.fixture
def lint(file: Callable[[str], Path]) -> Lint:
    return lambda text: examine(file(text))


def of(state: str, found: list[Finding]) -> dict[str, str]:
    return {one.key: one.text for one in found if one.state == state}


def source(strategies: str, results: str = "", more: str = "") -> str:
    """A file: its strategies are one a line from line 5 on, its results in the line after them."""
    lines = "".join(f"      - {{{line}}}\n" for line in strategies.split("; "))
    results = f"    results: {{{results}}}\n" if results else ""
    return f"rag:\n  kb:\n    docs: [docs]\n    strategies:\n{lines}{results}{more}"


VECTORS = "type: chunked-embeddings, embedding_model: dmr/ai/embeddinggemma"


@pytest.mark.parametrize(
    ("text", "line", "key", "what"),
    [
        (
            source(f"{VECTORS}, vector_dimensions: 1024"),
            5,
            "strategies[0].vector_dimensions",
            "1024, but vectors of ai/embeddinggemma have 768, or 512, 256, 128",
        ),
        (
            source(
                "type: chunked-embeddings, vector_dimensions: 2000, "
                "embedding_model: openai/text-embedding-3-small"
            ),
            5,
            "strategies[0].vector_dimensions",
            "have 1536, or 1 to 1535",
        ),
        (
            source("type: bm25, threshold: 7"),
            5,
            "strategies[0].threshold",
            "7 lets nothing through",
        ),
        (
            source(f"{VECTORS}, threshold: 0.5; type: bm25, threshold: 0.5"),
            6,
            "strategies[1].threshold",
            "the score a query word",
        ),
        (source(f"{VECTORS}, threshold: 1.5"), 5, "strategies[0].threshold", "a cosine is 1"),
        (
            source(f"{VECTORS}, chunking: {{size: 900}}; type: bm25"),
            6,
            "strategies[1].chunking",
            "size 900 and 1500",
        ),
        (
            source("type: bm25, chunking: {size: 50, overlap: 60}"),
            5,
            "strategies[0].chunking.overlap",
            "half of the size",
        ),
        (
            source(VECTORS.replace("dmr/ai/embeddinggemma", "nowhere/embed")),
            5,
            "strategies[0].embedding_model",
            "where models of nowhere are reached",
        ),
        (
            source(VECTORS.replace("embeddinggemma", "bge-reranker-v2-m3")),
            5,
            "strategies[0].embedding_model",
            "is a reranker",
        ),
        (
            source(VECTORS.replace("embeddinggemma", "qwen3")),
            5,
            "strategies[0].embedding_model",
            "is a chat model",
        ),
        (
            source("type: bm25", "reranking: {model: dmr/ai/embeddinggemma}"),
            6,
            "results.reranking.model",
            "is an embedding model",
        ),
        (
            source("type: bm25", "limit: 10, reranking: {model: dmr/ai/qwen3, top_k: 5}"),
            6,
            "results.reranking.top_k",
            "5 is less than results.limit, 10",
        ),
        (
            source("type: bm25", "reranking: {model: dmr/ai/qwen3-reranker, criteria: new}"),
            6,
            "results.reranking.criteria",
            "is not told them",
        ),
        (
            source("type: bm25", "reranking: {model: dmr/ai/qwen3-reranker, threshold: -2}"),
            6,
            "results.reranking.threshold",
            "a model that gives logits",
        ),
        (
            source("type: bm25, limit: 5", "limit: 10"),
            5,
            "strategies[0].limit",
            "less than results.limit",
        ),
        (
            source(f"type: bm25; {VECTORS}", "fusion: {strategy: rrf, weights: {bm25: 1}}"),
            7,
            "results.fusion.weights",
            "rrf uses no weights",
        ),
        (
            source(f"type: bm25; {VECTORS}", "fusion: {strategy: max, k: 30}"),
            7,
            "results.fusion.k",
            "max uses no k",
        ),
        (source("type: bm25", "fusion: {strategy: max}"), 6, "results.fusion", "nothing is fused"),
        (
            source("type: bm25, docs: [nots]"),
            5,
            "strategies[0].docs[0]",
            "nots: there is no such file or folder",
        ),
        (source("type: bm25, docs: ['**/*.go']"), 5, "strategies[0].docs[0]", "matches no file"),
        (
            source("type: bm25, database: 'postgres://localhost/x'"),
            5,
            "strategies[0].database",
            "only SQLite files",
        ),
    ],
)
def test_a_trap_is_found_at_its_line(lint: Lint, text: str, line: int, key: str, what: str) -> None:
    found = [one for one in lint(text) if one.state == "mend"]
    (one,) = [one for one in found if one.key == f"rag.kb.{key}"]
    assert what in one.text
    assert one.line == line
    assert one.remedy
    assert len(found) == 1


def test_weights_that_name_nothing_and_other_mistakes_are_findings_too(lint: Lint) -> None:
    found = lint(
        source(f"type: bm25; {VECTORS}", "fusion: {weights: {bm25: 1, bm52: 1}}")
        + "models:\n  x: {provider: opnai, modle: y}\n"
    )
    assert {one.state for one in found} == {"mend"}
    assert {one.key for one in found} >= {"models.x.modle"}


def test_a_knowledge_base_that_no_agent_has_is_found(lint: Lint) -> None:
    agents = "agents: {root: {model: auto}}\n"
    assert of("mend", lint(source("type: bm25", more=agents))) == {
        "rag.kb": "no agent has this knowledge base"
    }
    assert of("mend", lint(source("type: bm25"))) == {}, "without agents, all are for people"


def test_flags_that_are_sent_otherwise_are_said(lint: Lint) -> None:
    found = lint((FIXTURES / "seed-4.yaml").read_text(encoding="utf-8"))
    said = [one.text for one in found if one.state == "differs"]
    assert any("--ngl=33 is sent as -ngl 33" in text for text in said)
    assert any("--threads=8 is sent as --threads 8" in text for text in said)


def test_databases_among_documents_and_shared_ones_are_said_and_are_no_traps(lint: Lint) -> None:
    found = lint(
        source("type: bm25, database: docs/kb.db")
        + "  other:\n    docs: [docs]\n    strategies: [{type: bm25, database: ./docs/kb.db}]\n"
    )
    said = [one.text for one in found if one.key.endswith("database") and one.state == "differs"]
    assert sum("which is indexed" in text for text in said) == 2
    assert sum("kb keeps its index there too" in text for text in said) == 1
    assert of("mend", found) == {}


def test_what_only_agents_use_is_ignored_with_the_reason(lint: Lint) -> None:
    found = of("ignored", lint((FIXTURES / "newest.yaml").read_text(encoding="utf-8")))
    for key in ("agents.root", "budget", "flavors", "models.local", "rag.garden.tools[0]"):
        assert "agents" in found[key]
    assert "no next query is guessed" in found["rag.garden.results.prefetch.timeout"]


def test_what_a_model_in_this_process_does_not_need_is_ignored(lint: Lint) -> None:
    options = "embedding_batch_size: 9, max_indexing_concurrency: 2"
    keys = [f"rag.kb.strategies[0].{part.partition(':')[0]}" for part in options.split(", ")]
    own = lint(source(f"type: chunked-embeddings, embedding_model: embedded/static, {options}"))
    assert set(of("ignored", own)) == set(keys)
    assert set(of("honoured", lint(source(f"{VECTORS}, {options}")))) >= set(keys)


def test_other_names_are_told_once(lint: Lint) -> None:
    found = lint(source("type: chunked-embeddings, model: embedded/static, batch_size: 9"))
    keys = [one.key for one in found]
    assert "rag.kb.strategies[0].model" in keys
    assert "rag.kb.strategies[0].embedding_model" not in keys
    assert len(keys) == len(set(keys))


def test_the_first_configuration_has_nothing_to_mend(tmp_path: Path) -> None:
    path = tmp_path / "ragkit.yaml"
    path.write_text(template("birds"), encoding="utf-8")
    assert of("mend", examine(path)) == {}


@pytest.mark.parametrize("path", sorted(FIXTURES.glob("*.yaml")), ids=lambda path: path.stem)
def test_every_written_option_is_told_of(path: Path) -> None:
    loaded, found = load(path), examine(path)
    told = {one.key for one in found}
    assert all(one.file == str(path) and one.line >= 1 for one in found)
    for source in loaded.sources:
        for key in loaded.lines:
            if not key.startswith(f"{source.key}."):
                continue
            inner = [other for other in loaded.lines if re.match(re.escape(key) + r"[.\[]", other)]
            other_names = key.endswith((".tool_name", ".embedding_batch_size"))
            assert inner or other_names or key in told, key


def test_every_difference_has_a_chapter_and_a_key_that_exists(lint: Lint) -> None:
    chapters = {
        line.removeprefix("## ").lower()
        for line in COMPAT.read_text(encoding="utf-8").splitlines()
        if line.startswith("## ")
    }
    rows = [line.split(" | ")[0].strip("| `") for line in reference().splitlines()[2:]]
    keys = [row.replace("[]", "[0]") for row in rows]
    keys += [f"{key}[0]" for key in keys] + ["description", "instruction", "name", "tool_name"]
    for row in differences.ROWS:
        assert row.chapter in chapters
        assert any(re.fullmatch(row.key, key) for key in keys), row.key
    found = lint((FIXTURES / "hybrid.yaml").read_text(encoding="utf-8"))
    for one in found:
        if one.see:
            assert one.see.removeprefix("docs/compat.md#") in chapters


@pytest.mark.parametrize(
    ("provider", "name", "expected"),
    [
        ("embedded", "minilm", (384,)),
        ("dmr", "ai/embeddinggemma:300M-Q8_0", (768, 512, 256, 128)),
        ("dmr", "hf.co/Qwen/Qwen3-Embedding-0.6B-GGUF", (1024, *range(1023, 31, -1))),
        ("ollama", "all-minilm", (384,)),
        ("openai", "text-embedding-3-large", (3072, *range(3071, 0, -1))),
        ("dmr", "ai/something", ()),
    ],
)
def test_the_lengths_of_known_vectors(provider: str, name: str, expected: tuple[int]) -> None:
    assert dimensions_of(provider, name) == expected


LINES = [
    path.read_text(encoding="utf-8").splitlines(keepends=True)
    for path in sorted(FIXTURES.glob("*.yaml"))
]


@settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(lines=st.sampled_from(LINES), data=st.data())
def test_a_file_with_lines_gone_gets_findings_or_an_error(
    tmp_path: Path, lines: list[str], data: st.DataObject
) -> None:
    gone = data.draw(st.sets(st.integers(0, len(lines) - 1), max_size=4))
    path = tmp_path / "agent.yaml"
    path.write_text("".join(line for n, line in enumerate(lines) if n not in gone))
    with suppress(ConfigError):
        found = examine(path)
        assert all(one.line >= 1 and (one.text or one.state == "honoured") for one in found)


# The command


def test_the_command_says_what_to_do_and_ends_with_1(
    file: Callable[[str], Path], ragkit: Command
) -> None:
    path = file(source("type: bm25, threshold: 7"))
    done = ragkit("lint", path)
    assert done.code == 1
    assert f"mend     {path}:5: rag.kb.strategies[0].threshold: 7 lets nothing" in done.out
    assert "try: choose one from 0 to 1" in done.out
    assert "1 to mend, " in done.out


def test_the_command_ends_with_0_where_nothing_is_to_be_mended(
    file: Callable[[str], Path], ragkit: Command
) -> None:
    path = file(source("type: bm25"))
    done = ragkit("lint", path)
    assert (done.code, done.err) == (0, "")
    assert "honoured " not in done.out.rsplit("\n", 2)[0]
    assert f"honoured {path}:3: rag.kb.docs[0]" in ragkit("lint", path, "--all").out


def test_the_command_ends_with_2_where_the_file_cannot_be_read(
    tmp_path: Path, file: Callable[[str], Path], ragkit: Command
) -> None:
    assert ragkit("lint", tmp_path / "gone.yaml").code == 2
    assert ragkit("lint", file("rag: [\n")).code == 2


def test_the_json_has_every_finding(file: Callable[[str], Path], ragkit: Command) -> None:
    path = file(source("type: bm25, threshold: 7, limit: 20", "deduplicate: true"))
    done = ragkit("lint", path, "--json")
    answer = json.loads(done.out)
    assert (done.code, answer["version"], answer["file"]) == (1, 1, str(path))
    assert sum(answer["counts"].values()) == len(answer["findings"])
    limit = next(one for one in answer["findings"] if one["key"].endswith("[0].limit"))
    assert limit["state"] == "differs"
    assert limit["see"] == "docs/compat.md#candidates"


def test_a_check_points_to_lint_where_something_is_to_be_mended(
    file: Callable[[str], Path], ragkit: Command
) -> None:
    done = ragkit("check", file(source("type: bm25, threshold: 7")))
    assert done.code == 0
    assert "one thing should be mended" in done.err
    assert "mended" not in ragkit("check", file(source("type: bm25"))).err
