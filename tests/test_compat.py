"""Files written for docker-agent: what they mean there they mean here, docs/compat.md apart."""

from __future__ import annotations

import json
import math
import random
import re
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from engine import faults
from engine.runner import Runner

from ragkit import KnowledgeBase, stores
from ragkit.chunkers import chunker
from ragkit.config import load
from ragkit.config.loading import InvalidConfig
from ragkit.errors import ConfigError, ModelError, QueryError
from ragkit.kb.models import resolved
from ragkit.kb.places import database_of
from ragkit.types import Document, Hit

FIXTURES = Path(__file__).parent / "fixtures" / "config"
SEEDS = sorted(FIXTURES.glob("seed-*.yaml"))
BIRDS = (
    "robin",
    "wren",
    "finch",
    "heron",
    "swift",
    "plover",
    "dunnock",
    "siskin",
    "avocet",
    "kite",
)

Write = Callable[[str, dict[str, str]], Path]
Command = Callable[..., Any]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """A configuration and documents beside it, in a folder of their own; the configuration."""

    def write(text: str, documents: dict[str, str]) -> Path:
        folder = tmp_path / "project"
        for name, content in documents.items():
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(content, encoding="utf-8")
        config = folder / "agent.yaml"
        config.parent.mkdir(exist_ok=True)
        config.write_text(text, encoding="utf-8")
        return config

    return write


@pytest.fixture
def served(light_runner: Runner, monkeypatch: pytest.MonkeyPatch) -> Runner:
    """Docker Model Runner where a file without any `base_url` finds it."""
    monkeypatch.setenv("MODEL_RUNNER_HOST", light_runner.url)
    return light_runner


def indexed(config: Path, name: str | None = None) -> KnowledgeBase:
    kb = KnowledgeBase.open(config=config, name=name)
    kb.index()
    return kb


def found(config: Path, query: str, **options: Any) -> list[Hit]:
    with indexed(config) as kb:
        return kb.search(query, **options)


def paths(hits: list[Hit]) -> list[str]:
    return [hit.chunk.path for hit in hits]


def notes(count: int) -> dict[str, str]:
    """Short documents that all speak of the feeder, each in its own words."""
    choose = random.Random(7)
    return {
        f"documentation/{n:02}.txt": f"At the feeder on day {n} came {choose.choice(BIRDS)}s: "
        + " ".join(f"{choose.choice(BIRDS)}{choose.randrange(1000)}" for _ in range(12))
        for n in range(count)
    }


# 1. The files of the page about Docker Model Runner


@pytest.mark.parametrize("path", SEEDS, ids=lambda path: path.stem)
def test_files_without_a_version_load_and_every_model_is_one_of_the_runner(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert "version" not in text
    loaded = load(path)
    assert loaded.warnings == ()
    models = list(loaded.models.values())
    for source in loaded.sources:
        models += [source.model(str(s.embedding_model)) for s in source.strategies]
    assert {model.provider for model in models} <= {"dmr"}
    for model in models:
        assert model.model in text, "the name is whole, slashes and all"
        assert not model.model.startswith("dmr/")


# 2. Vectors without a written number of dimensions


def test_an_index_needs_no_vector_dimensions_and_lies_beside_the_file(
    write: Write, served: Runner, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = (FIXTURES / "seed-5.yaml").read_text(encoding="utf-8")
    assert "vector_dimensions" not in text
    config = write(text, {"src/feeder.py": "def fill(feeder, seeds):\n    feeder.add(seeds)\n"})
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    assert paths(found(Path("..", "project", "agent.yaml"), "fill the feeder")) == ["src/feeder.py"]
    assert [index.dimensions for index in stores.indexes(config.parent / "code.db")] == [768]
    assert list((tmp_path / "elsewhere").iterdir()) == []


# 3. Candidates, reranking and its threshold


def test_the_limit_of_a_strategy_counts_and_one_call_judges_all_its_candidates_on_either_scale(
    write: Write, served: Runner
) -> None:
    text = (FIXTURES / "seed-6.yaml").read_text(encoding="utf-8")
    config = write(text, notes(30))
    shares = [0.02 + 0.96 * (7 * n % 20) / 19 for n in range(20)]
    logits = [11 * math.log(share / (1 - share)) / 4 for share in shares]
    assert min(logits) < -10 < 10 < max(logits)
    surviving = []
    for scores in (shares, logits):
        served.faults.clear()
        served.fail("*/rerank", faults.changes(judging(scores)), rate=1.0)
        with indexed(config) as kb:
            answer = kb.answer("which birds came to the feeder")
        assert not answer.degraded
        surviving.append(paths(answer.hits))
        assert all(0.5 <= hit.score <= 1 for hit in answer.hits)
    assert surviving[0] == surviving[1]
    assert len(surviving[0]) == 5
    asked = [len(seen.texts) for seen in served.seen("*/rerank") if len(seen.texts) > 4]
    assert asked == [20, 20]


def test_a_hit_below_the_threshold_is_not_made_up_for_by_one_that_was_not_judged(
    write: Write, served: Runner
) -> None:
    text = (FIXTURES / "seed-6.yaml").read_text(encoding="utf-8")
    text = text.replace("threshold: 0.5", "threshold: 0.5\n        top_k: 5")
    config = write(text, notes(30))
    scores = [0.9, 0.1, 0.8, 0.2, 0.3]
    served.fail("*/rerank", faults.changes(judging(scores)), rate=1.0)
    assert [hit.score for hit in found(config, "birds at the feeder")] == [0.9, 0.8]


def judging(scores: list[float]) -> Callable[[Any], Any]:
    """A reranker that gives the texts these scores, in order; its check is left alone."""

    def change(answer: Any) -> Any:
        if len(answer["results"]) == len(scores):
            for result in answer["results"]:
                result["relevance_score"] = scores[result["index"]]
        return answer

    return change


# 8. Three ways to attach a knowledge base


VERSIONS = ["", *(f'version: "{n}"\n' for n in (5, 6, 7, 10, 15)), "version: 6\n"]
BASE = "{docs: [notes.txt], strategies: [{type: bm25, limit: 9}], tool: {description: of birds}}"
FORMS = {
    "agent": f"rag: {{kb: {BASE}}}\nagents: {{root: {{model: auto, rag: [kb]}}}}",
    "ref": f"rag: {{kb: {BASE}}}\n"
    "agents: {root: {model: auto, toolsets: [{type: rag, ref: kb}]}}",
    "inline": "agents: {root: {model: auto, toolsets: "
    f"[{{type: rag, name: kb, rag_config: {BASE}}}]}}}}",
    "shared": f"toolsets: {{t: {{type: rag, name: kb, rag_config: {BASE}}}}}\n"
    "agents: {root: {model: auto, use_toolsets: [t]}}",
}


@pytest.mark.parametrize("version", VERSIONS, ids=lambda version: version.strip() or "unset")
def test_every_way_to_attach_a_knowledge_base_gives_the_same_one_in_every_version(
    write: Write, version: str
) -> None:
    read = [load(write(f"{version}{form}\n", {"notes.txt": ""})) for form in FORMS.values()]
    assert all(loaded.attached == {"root": ("kb",)} for loaded in read)
    assert all(loaded.sources == read[0].sources for loaded in read)


@pytest.mark.parametrize("form", FORMS)
def test_a_knowledge_base_answers_by_its_name_however_it_is_attached(
    write: Write, ragkit: Command, form: str
) -> None:
    config = write(FORMS[form] + "\n", {"notes.txt": "The robin sings."})
    assert ragkit("index", "--config", config, "--kb", "kb").code == 0
    done = ragkit("search", "robin", "--config", config, "--kb", "kb", "--json")
    answer = json.loads(done.out)
    assert (answer["knowledge_base"], answer["hits"][0]["path"]) == ("kb", "notes.txt")


@pytest.mark.parametrize("attached", ["rag: [kv]", "toolsets: [{type: rag, ref: kv}]"])
def test_a_knowledge_base_that_nothing_defines_is_an_error_that_lists_the_known_ones(
    write: Write, attached: str
) -> None:
    config = write(f"rag: {{kb: {BASE}}}\nagents:\n  root:\n    model: auto\n    {attached}\n", {})
    with pytest.raises(InvalidConfig) as caught:
        load(config)
    (problem,) = caught.value.problems
    assert (problem.line, problem.remedy) == (5, "known: kb")
    assert "no knowledge base kv" in problem.text


# 9. Strictness and other spellings


@pytest.mark.parametrize(
    ("before", "line", "key"),
    [
        ("rag:\n  kb:\n    dosc: [.]\n", 3, "rag.kb.dosc"),
        ("rag:\n  kb:\n    results:\n      limits: 3\n", 4, "rag.kb.results.limits"),
        ("rag:\n  kb:\n    results: {fusion: {q: 3}}\n", 3, "rag.kb.results.fusion.q"),
        ("models:\n  x:\n    modle: y\n", 3, "models.x.modle"),
        ("agents:\n  root:\n    modle: y\n", 3, "agents.root.modle"),
        (
            "rag:\n  kb:\n    strategies:\n      - type: bm25\n        treshold: 1\n",
            5,
            "rag.kb.strategies[0].treshold",
        ),
    ],
)
def test_an_unknown_key_is_an_error_with_its_line_in_strategies_too(
    write: Write, before: str, line: int, key: str
) -> None:
    config = write(before, {})
    with pytest.raises(InvalidConfig) as caught:
        load(config)
    places = {(problem.line, problem.key): problem.text for problem in caught.value.problems}
    assert places[line, key] == "unknown key"
    assert f"{config}:{line}: {key}: unknown key" in str(caught.value)


def test_names_of_the_documentation_that_the_code_does_not_read_work_with_a_warning(
    write: Write, served: Runner
) -> None:
    config = write(
        "rag:\n  kb:\n    description: of birds\n    docs: [notes.txt]\n    strategies:\n"
        "      - type: chunked-embeddings\n        model: dmr/ai/embeddinggemma\n"
        "        batch_size: 7\n",
        {"notes.txt": "The robin sings."},
    )
    loaded = load(config)
    assert [warning.line for warning in loaded.warnings] == [3, 7, 8]
    (source,) = loaded.sources
    assert source.tool.description == "of birds"
    assert source.strategies[0].embedding_batch_size == 7
    assert paths(found(config, "robin")) == ["notes.txt"]


# 10. Files in the shapes of docker-agent's examples


GUIDE = {
    "plants.txt": "Foxgloves flower in June.\n\nThe seeds of a foxglove are sown in autumn.\n",
    "notes/may.txt": "In May the hedge is cut, and the pond gets new water lilies.\n",
    "notes/july.txt": "Slugs ate the lettuce; copper rings around the pots keep them away.\n",
}


def overridden(name: str, **more: str) -> str:
    """An example's text with its models on Docker Model Runner."""
    text = (FIXTURES / f"{name}.yaml").read_text(encoding="utf-8")
    changes = {
        "openai/text-embedding-3-small": "dmr/ai/embeddinggemma",
        "vector_dimensions: 1536": "vector_dimensions: 768",
        **more,
    }
    for old, new in changes.items():
        text = text.replace(old, new)
    return text


def test_the_example_of_words_answers_a_question_about_its_guide(write: Write) -> None:
    config = write(overridden("bm25"), GUIDE)
    with indexed(config) as kb:
        assert kb.search("copper rings against slugs")[0].chunk.path == "notes/july.txt"
    assert (config.parent / "bm25.db").is_file()


def test_the_hybrid_example_fuses_20_and_15_candidates_by_their_ranks(
    write: Write, served: Runner
) -> None:
    documents = {f"notes/{n}.txt": text for n, text in enumerate(notes(40).values())}
    # the words' threshold is 0.3 a word, and a word of every note weighs next to nothing
    config = write(overridden("hybrid", **{"0.5": "0.0", "0.3": "0.0"}), {**GUIDE, **documents})
    with indexed(config) as kb:
        answers = [kb.answer("birds at the feeder"), kb.answer("birds at the feeder")]
        searched = {
            strategy.name: len(strategy.search(index.store, "birds at the feeder", strategy.limit))
            for index in kb.indexes
            for strategy in index.strategies
        }
    assert searched == {"chunked-embeddings": 20, "bm25": 15}
    assert all(len(answer.hits) == 5 and not answer.degraded for answer in answers)
    for hit in answers[0].hits:
        ranks = [hit.scores.get(f"{name}.rank") for name in searched]
        assert hit.scores["rrf"] == pytest.approx(sum(1 / (60 + rank) for rank in ranks if rank))


def test_the_example_of_reranking_judges_the_fused_candidates(write: Write, served: Runner) -> None:
    text = overridden("reranking").replace("vector_dimensions: 768\n", "threshold: 0.1\n")
    config = write(text, GUIDE)
    with indexed(config) as kb:
        answer = kb.answer("how are slugs kept away")
    assert not answer.degraded
    assert answer.hits[0].chunk.path == "notes/july.txt"
    assert "reranking" in answer.hits[0].scores


GO = """package birds

// Robin sings.
func Robin() string { return "robin sings" }

// Heron waits.
func Heron() string { return "heron waits" }
"""


def describing(request: dict[str, Any]) -> str:
    """A chat model that describes code, and scores documents by whether they sing."""
    question = request["messages"][-1]["content"]
    documents = re.findall(r"<document number.*?</document>", question, re.DOTALL)
    if documents:
        return json.dumps({"scores": [0.9 if "sing" in text else 0.1 for text in documents]})
    return "It says how a bird sings or waits."


def test_the_example_of_descriptions_answers_and_reranks_with_a_chat_model(
    write: Write, served: Runner
) -> None:
    served.engine.reply = describing
    text = overridden(
        "semantic_embeddings",
        **{"openai/gpt-4o-mini": "dmr/ai/smollm2", "../src": "./src", "threshold: 0.3": ""},
    )
    config = write(text, {"src/birds.go": GO, "src/deep/count.go": "package deep\n"})
    with indexed(config) as kb:
        answer = kb.answer("which bird sings")
    assert not answer.degraded
    assert paths(answer.hits) == ["src/birds.go"]
    assert answer.hits[0].scores["reranking"] == pytest.approx(0.9)
    asked = [str(seen.json["messages"]) for seen in served.seen("*/chat/completions")]
    assert any("What does this part of birds.go do?" in question for question in asked)
    assert any("Robin" in question and "${" not in question for question in asked)


# 11. Chunks


MINIFIED = ";".join(f"var a{n}=function(b,c){{return b+c*{n}}}" for n in range(400))
TABLE = "\n".join("|" + "|".join(f"{n}x{m}" for m in range(40)) + "|" for n in range(40))
CHINESE = "".join(f"第{n}天喂食器前来了许多知更鸟" + "，。！"[n % 3] for n in range(300))


@pytest.mark.parametrize("words", [False, True])
@pytest.mark.parametrize("text", [CHINESE, MINIFIED, TABLE, "x" * 120 + " tail"])
@pytest.mark.parametrize(("size", "overlap"), [(50, 10), (200, 0), (1000, 100), (1500, 75)])
def test_no_character_is_in_no_chunk(text: str, size: int, overlap: int, words: bool) -> None:
    cut = chunker(size=size, overlap=overlap, respect_word_boundaries=words, code_aware=False)
    seen = bytearray(len(text))
    for chunk in cut(Document("a.txt", text, "")):
        seen[chunk.start : chunk.end] = b"\1" * (chunk.end - chunk.start)
        assert len(chunk.text) <= size
    assert {text[n] for n in range(len(text)) if not seen[n]} <= set(" \n")


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (
            "false",
            "The quick brown fox jumps over|over the lazy dog. The dog wa|"
            "og was sleeping peacefully und|y under a tree.",
        ),
        (
            "true",
            "The quick brown fox jumps over|over the lazy dog. The dog was|"
            "was sleeping peacefully under|a tree.",
        ),
    ],
)
def test_a_file_that_asks_for_chunks_gets_docker_agents(
    write: Write, words: str, expected: str
) -> None:
    chunking = f"{{size: 30, overlap: 5, respect_word_boundaries: {words}}}"
    config = write(
        f"rag: {{kb: {{docs: [a.txt], strategies: [{{type: bm25, chunking: {chunking}}}]}}}}",
        {
            "a.txt": "The quick brown fox jumps over the lazy dog. "
            "The dog was sleeping peacefully under a tree."
        },
    )
    with indexed(config) as kb:
        chunks = kb.indexes[0].store.chunks("a.txt")
    assert "|".join(chunk.text for chunk in chunks) == expected


# 12. BM25


CORPUS = {
    "d1.txt": "The cat sat on the mat.",
    "d2.txt": "A dog chased the cat; the cat ran.",
    "d3.txt": "Vector databases store embeddings for search.",
    "d4.txt": "BM25 ranks documents by term frequency and document length.",
    "d5.txt": "向量数据库支持按相似度检索",
}
WORDS = "rag: {{kb: {{docs: ['*.txt'], strategies: [{{type: bm25, {}}}]}}}}"


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("cat", {"d1": 1.0, "d2": 1.0}),
        ("cat dog", {"d1": 0.502318, "d2": 1.0}),
        ("term frequency vector", {"d3": 0.425617, "d4": 0.710920}),
        ("数据库", {}),
        ("go", {}),
        ("the cat cat", {"d1": 1.0, "d2": 1.0}),
    ],
)
def test_the_compat_tokenizer_gives_docker_agents_scores_before_and_after_a_restart(
    write: Write, query: str, expected: dict[str, float]
) -> None:
    config = write(WORDS.format("tokenizer: compat"), CORPUS)
    with indexed(config) as kb:
        before = kb.search(query)
    with KnowledgeBase.open(config=config) as kb:
        after = kb.search(query)
    assert before == after
    scores = {hit.chunk.path.removesuffix(".txt"): hit.score for hit in before}
    assert scores == pytest.approx(expected, abs=1e-6)


def test_words_find_what_docker_agents_lost_and_nothing_scores_nothing(write: Write) -> None:
    config = write(WORDS.format("k1: 1.5, b: 0.75"), CORPUS)
    with indexed(config) as kb:
        assert sorted(paths(kb.search("cat cat cat"))) == ["d1.txt", "d2.txt"]
        assert paths(kb.search("cat cat cat")) == paths(kb.search("cat"))
        assert paths(kb.search("数据库")) == ["d5.txt"]
        assert kb.search("go") == []
        hits = [hit for query in ("cat", "search term", "frequency") for hit in kb.search(query)]
    assert all(hit.score > 0 for hit in hits)


@pytest.mark.parametrize("tokenizer", ["ragkit", "compat"])
def test_the_threshold_is_a_score_a_query_word_whatever_the_tokenizer(
    write: Write, tokenizer: str
) -> None:
    config = write(WORDS.format(f"tokenizer: {tokenizer}, threshold: 0.6"), CORPUS)
    with indexed(config) as kb:
        assert paths(kb.search("cat dog")) == ["d2.txt"]


def test_two_tokenizers_in_one_knowledge_base_keep_their_words_apart(write: Write) -> None:
    config = write(
        "rag: {kb: {docs: ['*.txt'], strategies: "
        "[{type: bm25}, {type: bm25, name: theirs, tokenizer: compat}, {type: bm25, name: more}]}}",
        CORPUS,
    )
    with indexed(config) as kb:
        assert len(kb.indexes) == 2
        (hit, *_) = kb.search("数据库")
        assert {"bm25", "more"} <= set(hit.scores)
        assert "theirs" not in hit.scores
        assert "theirs" in kb.search("cat")[0].scores


# 13. Fusion


def test_a_missing_weight_is_an_error_before_anything_is_searched(write: Write) -> None:
    config = write(
        "rag: {kb: {strategies: [{type: bm25}, {type: bm25}], "
        "results: {fusion: {strategy: weighted, weights: {bm25: 1}}}}}",
        {},
    )
    with pytest.raises(InvalidConfig, match="no weight for bm25-2"):
        load(config)


@pytest.mark.parametrize("fusion", ["rrf", "weighted", "max", "convex"])
def test_strategies_that_chunk_differently_do_not_swap_texts_and_ties_are_stable(
    write: Write, fusion: str
) -> None:
    config = write(
        "rag: {kb: {docs: [docs], strategies: ["
        "{type: bm25, limit: 50, chunking: {size: 200, overlap: 0}}, "
        "{type: chunked-embeddings, embedding_model: embedded/static, limit: 50, "
        "chunking: {size: 90, overlap: 0}}], "
        f"results: {{limit: 50, fusion: {{strategy: {fusion}, "
        "weights: {bm25: 0.3, chunked-embeddings: 0.7}}}}}",
        {f"docs/{n}.txt": text * 3 for n, text in enumerate(notes(6).values())},
    )
    with indexed(config) as kb:
        first, again = kb.search("robins at the feeder"), kb.search("robins at the feeder")
    assert first == again
    for hit in first:
        whole = (config.parent / hit.chunk.path).read_text(encoding="utf-8")
        assert hit.chunk.text == whole[hit.chunk.start : hit.chunk.end]
        longest = 200 if "bm25" in hit.scores else 90
        assert len(hit.chunk.text) <= longest


def test_weights_mean_what_they_mean_to_docker_agent(write: Write) -> None:
    """Its scores of words lie between 0 and 1: else a weight of 0.3 would decide everything."""
    config = write(
        "rag: {kb: {docs: [docs], strategies: [{type: bm25, limit: 50}, "
        "{type: chunked-embeddings, embedding_model: embedded/static, limit: 50}], "
        "results: {ranking: {definitions: false, names: false, files: false, noise: false, "
        "coherence: false}, fusion: {strategy: weighted, "
        "weights: {chunked-embeddings: 0.7, bm25: 0.3}}}}}",
        {f"docs/{n}.txt": text for n, text in enumerate(notes(12).values())},
    )
    for hit in found(config, "which robins came to the feeder"):
        assert 0 <= hit.scores.get("bm25", 0) <= 1
        parts = 0.3 * hit.scores.get("bm25", 0) + 0.7 * hit.scores.get("chunked-embeddings", 0)
        assert hit.scores["weighted"] == pytest.approx(parts)


# 16. Another configuration


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("size: 100", "size: 60"),
        ("embedding_model: dmr/ai/embeddinggemma", "embedding_model: dmr/ai/all-minilm"),
        ("overlap: 10", "overlap: 0"),
    ],
)
def test_another_model_or_chunk_size_builds_a_new_index_and_never_mixes_vectors(
    write: Write, served: Runner, old: str, new: str
) -> None:
    text = (
        "rag: {kb: {docs: [documentation], strategies: [{type: chunked-embeddings, limit: 20, "
        "embedding_model: dmr/ai/embeddinggemma, database: ./kb.db, "
        "chunking: {size: 100, overlap: 10}}]}}"
    )
    config = write(text, notes(4))
    with indexed(config) as kb:
        before = kb.status()[0].statistics.chunks
        database = database_of(kb.source, kb.source.strategies[0])
    config.write_text(text.replace(old, new), encoding="utf-8")
    with KnowledgeBase.open(config=config) as kb:
        answer = kb.answer("birds")
        assert answer.hits
        assert "earlier settings" in answer.degraded[0].reason
        (summary,) = kb.index()
        assert summary.indexed == 4
        statistics = kb.status()[0].statistics
        assert statistics.vectors == statistics.chunks
        assert kb.search("birds at the feeder")
    if "size" in old:
        assert statistics.chunks > before
    found = [(index.complete, index.kept) for index in stores.indexes(database)]
    assert found == [(False, True), (True, False)]


def test_another_prompt_describes_and_embeds_anew(write: Write, served: Runner) -> None:
    served.engine.reply = describing
    text = (
        "rag: {kb: {docs: [src], strategies: [{type: semantic-embeddings, database: ./kb.db, "
        "embedding_model: dmr/ai/embeddinggemma, chat_model: dmr/ai/smollm2, "
        "semantic_prompt: 'What is it? ${content}'}]}}"
    )
    config = write(text, {"src/birds.go": GO})
    indexed(config).close()
    first = len(served.seen("*/chat/completions"))
    config.write_text(text.replace("What is it?", "What does it do?"), encoding="utf-8")
    with KnowledgeBase.open(config=config) as kb:
        assert "earlier settings" in kb.answer("birds").degraded[0].reason
    indexed(config).close()
    second = len(served.seen("*/chat/completions"))
    assert second > first
    indexed(config).close()
    assert len(served.seen("*/chat/completions")) == second


# 17. Files that version control ignores


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """A repository whose configuration lies in a folder below its top."""
    top = tmp_path / "repository"
    files = {
        ".gitignore": "*.log\n/apps/secret/\n",
        "apps/.gitignore": "generated.txt\n",
        "apps/notes.txt": "the robin sings",
        "apps/day.log": "the robin sings in a log",
        "apps/generated.txt": "the robin sings, generated",
        "apps/secret/key.txt": "the robin sings in secret",
    }
    for name, text in files.items():
        (top / name).parent.mkdir(parents=True, exist_ok=True)
        (top / name).write_text(text, encoding="utf-8")
    subprocess.run(["git", "init", "-q", str(top)], check=True)
    return top


def in_apps(repository: Path, more: str = "", strategy: str = "") -> list[str]:
    config = repository / "apps" / "agent.yaml"
    config.write_text(
        f"rag: {{kb: {{docs: ['.'], {more} strategies: [{{type: bm25, {strategy} limit: 20}}]}}}}",
        encoding="utf-8",
    )
    return sorted(paths(found(config, "robin")))


ALL = ["day.log", "generated.txt", "notes.txt", "secret/key.txt"]


def test_a_file_in_a_subfolder_honours_the_rules_of_the_whole_repository(repository: Path) -> None:
    assert in_apps(repository) == ["notes.txt"]


def test_ignored_files_are_indexed_where_that_is_asked_for(repository: Path) -> None:
    assert in_apps(repository, more="respect_vcs: false,") == ALL


@pytest.mark.parametrize(("whole", "own", "expected"), [("false", "true", 1), ("true", "false", 4)])
def test_what_a_strategy_says_of_ignored_files_wins(
    repository: Path, whole: str, own: str, expected: int
) -> None:
    more, strategy = f"respect_vcs: {whole},", f"respect_vcs: {own},"
    assert len(in_apps(repository, more, strategy)) == expected


def test_outside_a_repository_nothing_is_indexed_that_nobody_wrote(write: Write) -> None:
    config = write(
        "rag: {kb: {docs: ['.'], strategies: [{type: bm25, limit: 20, database: ./kb.db}]}}",
        {
            "notes.txt": "the robin sings",
            ".git/HEAD.txt": "the robin sings",
            "node_modules/birds/index.js": "// the robin sings",
            "camera.bin": "the robin\0sings",
        },
    )
    assert paths(found(config, "robin")) == ["notes.txt"]
    with KnowledgeBase.open(config=config) as kb:
        assert "kb.db" not in kb.indexes[0].store.records()


def test_an_entry_of_docs_that_is_not_there_is_said(write: Write, ragkit: Command) -> None:
    config = write(
        "rag: {kb: {docs: [notes.txt, nots, 'src/**/*.go'], strategies: [{type: bm25}]}}",
        {"notes.txt": "the robin sings"},
    )
    for done in (
        ragkit("index", "--config", config),
        ragkit("search", "robin", "--config", config),
    ):
        assert done.code == 0
        assert "not there: nots: no such file or folder" in done.err
        assert "not there: src/**/*.go: " in done.err


# 18. Failures


RERANKED = """
rag:
  kb:
    docs: [documentation]
    strategies:
      - {type: chunked-embeddings, embedding_model: dmr/ai/embeddinggemma, limit: 20}
      - {type: bm25, limit: 20}
    results:
      limit: 5
"""
JUDGED = "      reranking: {model: dmr/hf.co/ggml-org/qwen3-reranker-0.6b-q8_0-gguf}\n"


@pytest.mark.parametrize(
    "fault",
    [
        pytest.param(faults.replies(404, "404 page not found"), id="not found"),
        pytest.param(
            faults.changes(lambda answer: {**answer, "results": answer["results"][1:]}),
            id="too few scores",
        ),
        pytest.param(faults.RUNNER_DIED, id="the engine died"),
    ],
)
def test_a_reranker_that_fails_leaves_the_order_and_is_named(
    write: Write, served: Runner, fault: faults.Fault, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ragkit.models.retrying.FIRST_PAUSE", 0.01)
    config = write(RERANKED, notes(12))
    expected = paths(found(config, "robins at the feeder"))
    config.write_text(RERANKED + JUDGED, encoding="utf-8")
    served.fail("*/rerank", fault, rate=1.0)
    with indexed(config) as kb:
        answer = kb.answer("robins at the feeder")
    assert [note.stage for note in answer.degraded] == ["reranking"]
    assert answer.degraded[0].reason
    assert paths(answer.hits) == expected


def test_one_strategy_that_is_down_leaves_the_others_and_a_note(
    write: Write, served: Runner
) -> None:
    config = write(RERANKED, notes(12))
    indexed(config).close()
    with KnowledgeBase.open(config=config) as kb:
        served.down()
        answer = kb.answer("robins at the feeder")
    assert [note.stage for note in answer.degraded] == ["chunked-embeddings"]
    assert len(answer.hits) == 5
    assert all("bm25" in hit.scores for hit in answer.hits)


def test_when_all_strategies_are_down_there_is_the_error(write: Write, served: Runner) -> None:
    config = write(RERANKED.replace("      - {type: bm25, limit: 20}\n", ""), notes(12))
    indexed(config).close()
    with KnowledgeBase.open(config=config) as kb:
        served.down()
        with pytest.raises(ModelError):
            kb.answer("robins at the feeder")


@pytest.mark.parametrize("query", ["", " \n"])
def test_an_empty_query_is_an_error(write: Write, query: str) -> None:
    config = write(WORDS.format("limit: 5"), CORPUS)
    with indexed(config) as kb, pytest.raises(QueryError, match="the query is empty"):
        kb.search(query)


# Models of docker-agent's newer formats


CHOICE = """
providers:
  gateway: {base_url: "${env.GATEWAY_URL}/v1", token_key: GATEWAY_KEY}
models:
  any:
    first_available: [gateway/small, local]
  local: {provider: dmr, model: ai/embeddinggemma}
rag:
  kb: {docs: [notes.txt], strategies: [{type: chunked-embeddings, embedding_model: any}]}
"""


def test_the_first_model_is_taken_that_has_its_key(
    write: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    (source,) = load(write(CHOICE, {})).sources
    assert resolved(source, "any").model == "ai/embeddinggemma"
    monkeypatch.setenv("GATEWAY_URL", "http://127.0.0.1:9")
    assert resolved(source, "any").model == "ai/embeddinggemma"
    monkeypatch.setenv("GATEWAY_KEY", "secret")
    chosen = resolved(source, "any")
    assert (chosen.model, chosen.base_url) == ("small", "http://127.0.0.1:9/v1")


def test_a_variable_of_a_place_that_is_not_set_is_named(write: Write) -> None:
    (source,) = load(write(CHOICE, {})).sources
    with pytest.raises(ConfigError, match="GATEWAY_URL is not set"):
        resolved(source, "gateway/small")


def test_a_choice_of_choices_is_refused(write: Write) -> None:
    config = write("models: {a: {first_available: [b]}, b: {first_available: [a]}}\n", {})
    with pytest.raises(InvalidConfig, match="b is such a choice itself"):
        load(config)
