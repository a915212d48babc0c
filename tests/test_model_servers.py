"""A knowledge base over Docker Model Runner, from YAML to hits, whatever the runner does."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from engine import faults
from engine.runner import Runner

from ragkit import KnowledgeBase
from ragkit.errors import ConfigError, ModelError, ModelNotFound, ModelUnreachable
from ragkit.events import Embedding, Event, Failed, Indexed, Shortened
from ragkit.types import Hit

CONFIG = """
models:
  embedder:
    provider: dmr
    model: ai/embeddinggemma
    base_url: {url}
  reranker:
    provider: dmr
    model: hf.co/ggml-org/qwen3-reranker-0.6b-q8_0-gguf
    base_url: {url}
rag:
  docs:
    docs: [./documentation]
    strategies:
      - type: chunked-embeddings
        embedding_model: embedder
        embedding_batch_size: 8
        database: ./code.db
        limit: 20
      - type: bm25
        database: ./code.db
        limit: 20
"""
RERANKING = """
    results:
      reranking:
        model: reranker
        threshold: {threshold}
      limit: 5
"""
TOPICS = ("birds", "feeders", "seeds", "cameras", "squirrels", "roofs", "winters", "ladders")

Made = Callable[..., Path]


@pytest.fixture
def made(tmp_path: Path, light_runner: Runner) -> Made:
    """Write documents and a configuration; the configuration's path."""

    def write(documents: dict[str, str] | None = None, *, more: str = "") -> Path:
        folder = tmp_path / "documentation"
        folder.mkdir(exist_ok=True)
        for name, text in (documents or texts(8)).items():
            (folder / name).write_text(text, encoding="utf-8")
        config = tmp_path / "agent.yaml"
        config.write_text(CONFIG.format(url=light_runner.url) + more, encoding="utf-8")
        return config

    return write


def texts(count: int, paragraphs: int = 3) -> dict[str, str]:
    """Documents that differ in every paragraph."""
    return {
        f"{n:03}.md": "\n\n".join(
            f"# {TOPICS[(n + p) % 8]} {n}.{p}\n\nAbout {TOPICS[(n + p) % 8]} number {n} part {p}."
            + f" They are {TOPICS[p % 8]} and more, said at length for number {n}." * 12
            for p in range(paragraphs)
        )
        for n in range(count)
    }


def opened(config: Path, **options: Any) -> KnowledgeBase:
    return KnowledgeBase.open(config=config, **options)


def walked(config: Path) -> list[Event]:
    seen: list[Event] = []
    with opened(config) as kb:
        kb.index(seen.append)
    return seen


def content(config: Path) -> dict[tuple[str, int], tuple[str, bytes]]:
    """All chunks of the index, with their vectors."""
    from ragkit.strategies.chunked_embeddings import embedded_text, key_of

    with opened(config, read_only=True) as kb:
        (index,) = kb.indexes
        embedder: Any = index.strategies[0]
        fingerprint = embedder.embedder.fingerprint
        chunks = [c for path in index.store.records() for c in index.store.chunks(path)]
        keys = [key_of(fingerprint, embedded_text(chunk)) for chunk in chunks]
        known = index.store.known(keys)
        return {
            (chunk.path, chunk.index): (chunk.text, np.asarray(known[key]).tobytes())
            for chunk, key in zip(chunks, keys, strict=True)
        }


def embedded_texts(runner: Runner) -> Counter[str]:
    """How often each text was embedded with success, probes left out."""
    found: Counter[str] = Counter()
    for seen in runner.seen("*/embeddings"):
        if seen.status == 200 and seen.headers.get("x-preload-only") is None:
            found.update(text for text in seen.texts if "number" in text)
    return found


def paths(hits: list[Hit]) -> list[str]:
    return [hit.chunk.path for hit in hits]


def test_the_yaml_of_docker_agent_indexes_and_searches(made: Made, light_runner: Runner) -> None:
    config = made()
    seen = walked(config)
    assert len([e for e in seen if isinstance(e, Indexed)]) == 8
    assert sum(e.texts for e in seen if isinstance(e, Embedding)) == len(content(config))
    with opened(config) as kb:
        answer = kb.answer("squirrels number 4")
    assert answer.hits
    assert not answer.degraded
    assert (config.parent / "code.db").is_file()


def test_vectors_are_of_documents_and_queries_as_the_model_wants_them(
    made: Made, light_runner: Runner
) -> None:
    config = made()
    walked(config)
    with opened(config) as kb:
        kb.search("squirrels number 4")
    sent = [text for seen in light_runner.seen("*/embeddings") for text in seen.texts]
    assert "task: search result | query: squirrels number 4" in sent
    assert all(text.startswith(("title: ", "task: ")) for text in sent if "number" in text)


def test_no_text_is_sent_twice(made: Made, light_runner: Runner) -> None:
    documents = texts(12)
    documents |= {f"copy-{name}": text for name, text in documents.items()}
    config = made(documents)
    walked(config)
    counts = embedded_texts(light_runner)
    assert counts
    assert set(counts.values()) == {1}
    walked(config)
    assert embedded_texts(light_runner) == counts, "a second walk has nothing to ask"


def test_an_index_built_through_failures_equals_one_built_without(
    made: Made, light_runner: Runner, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ragkit.models.retrying.FIRST_PAUSE", 0.01)
    config = made(texts(40))
    walked(config)
    expected = content(config)
    (config.parent / "code.db").unlink()
    usual = (faults.EMPTY_500, faults.BAD_GATEWAY, faults.RESET, faults.too_many(0), faults.HALF)
    light_runner.fail("*/embeddings", usual, rate=0.05, seed=7)
    seen = walked(config)
    assert not [e for e in seen if isinstance(e, Failed)]
    light_runner.faults.clear()
    assert content(config) == expected


def test_a_walk_that_is_killed_half_way_embeds_only_the_rest_afterwards(
    made: Made, light_runner: Runner, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RAGKIT_SHARED_EMBEDDINGS", "0")  # which may know more than the database
    config = made(texts(30))
    light_runner.engine.seconds = 0.05
    process = subprocess.Popen(
        [sys.executable, "-m", "ragkit", "index", "--config", str(config)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
    )
    until = time.monotonic() + 30
    while embedded_texts(light_runner).total() < 40 and time.monotonic() < until:
        time.sleep(0.01)
    os.kill(process.pid, signal.SIGKILL)
    process.communicate()
    while any(seen.status is None for seen in light_runner.seen("*/embeddings")):
        time.sleep(0.01)  # answers that nobody waits for any more
    first = embedded_texts(light_runner)
    assert first.total() >= 40
    light_runner.engine.seconds = 0
    with opened(config) as kb:
        stored = kb.indexes[0].store.statistics().embeddings
    walked(config)
    every = embedded_texts(light_runner)
    again = [text for text, count in every.items() if count > 1]
    assert len(again) == len(first) - stored, "what was stored is not asked for again"
    # answers that were on their way, or just come, when the process died
    assert len(again) <= 8 * 8
    assert len(content(config)) == len(every)


def test_what_a_server_brought_before_it_died_is_kept(
    made: Made, light_runner: Runner, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ragkit.models.retrying.FIRST_PAUSE", 0.01)
    config = made(texts(30))
    light_runner.engine.seconds = 0.1  # the last requests begin after the server has died
    done = 0

    def stop_after_some(event: Event) -> None:
        nonlocal done
        if isinstance(event, Embedding):
            done += event.texts
            if done >= 20:
                light_runner.down()

    with opened(config) as kb:
        with pytest.raises(ModelUnreachable, match=r"127\.0\.0\.1"):
            kb.index(stop_after_some)
        assert kb.indexes[0].store.statistics().embeddings == done
        assert not kb.indexes[0].store.is_complete
    before = embedded_texts(light_runner)
    light_runner.up()
    light_runner.engine.seconds = 0
    walked(config)
    twice = [text for text, count in embedded_texts(light_runner).items() if count > 1]
    assert len(before) - len(twice) >= done


def test_a_stopped_runner_leaves_the_words_and_says_so(made: Made, light_runner: Runner) -> None:
    config = made()
    walked(config)
    light_runner.down()
    with opened(config) as kb:
        answer = kb.answer("squirrels number 4")
        status = kb.status()[0]
    assert paths(answer.hits)[0] == "documentation/004.md"
    assert [note.stage for note in answer.degraded] == ["chunked-embeddings"]
    assert light_runner.url in answer.degraded[0].reason
    assert status.statistics.vectors
    assert light_runner.url in status.absent[0]


def test_without_a_runner_nothing_is_begun(made: Made, light_runner: Runner) -> None:
    config = made()
    light_runner.down()
    with pytest.raises(ModelUnreachable, match="nothing listens") as caught:
        opened(config)
    assert caught.value.remedy
    assert not (config.parent / "code.db").exists()


def test_a_change_while_the_runner_is_away_waits_for_it(made: Made, light_runner: Runner) -> None:
    config = made()
    walked(config)
    before = content(config)
    light_runner.down()
    (config.parent / "documentation" / "000.md").write_text("Rewritten, with number 99 in it.")
    with opened(config) as kb, pytest.raises(ModelUnreachable):
        kb.index()
    light_runner.up()
    assert content(config) == before
    seen = walked(config)
    assert [e.path for e in seen if isinstance(e, Indexed)] == ["documentation/000.md"]


def test_a_model_that_is_not_there_names_the_command_that_pulls_it(
    made: Made, light_runner: Runner
) -> None:
    light_runner.only("ai/smollm2")
    with pytest.raises(ModelNotFound, match="ai/embeddinggemma") as caught:
        opened(made())
    assert "docker model pull ai/embeddinggemma" in caught.value.remedy


def test_other_weights_below_the_same_name_are_noticed(made: Made, light_runner: Runner) -> None:
    config = made()
    walked(config)
    first = embedded_texts(light_runner)
    light_runner.republish("ai/embeddinggemma")
    light_runner.only("ai/embeddinggemma")
    with opened(config) as kb:
        assert not kb.indexes[0].store.is_complete
        kb.index()
    assert embedded_texts(light_runner) == first + first, "every text is embedded by the new one"


@pytest.mark.parametrize(
    ("model", "words"),
    [("ai/smollm2", "Pooling"), ("ai/broken", "load"), ("ai/bge-reranker-v2-m3", "rerank")],
)
def test_a_model_that_cannot_embed_is_refused_and_the_index_untouched(
    made: Made, light_runner: Runner, model: str, words: str
) -> None:
    config = made()
    text = config.read_text()
    config.write_text(text.replace("ai/embeddinggemma", model))
    with pytest.raises(ModelError, match=words) as caught, opened(config) as kb:
        kb.index()
    assert caught.value.remedy
    assert "\n" not in caught.value.message
    if (config.parent / "code.db").exists():
        config.write_text(text)
        with opened(config) as kb:
            assert kb.indexes[0].store.statistics().chunks == 0


def test_vectors_with_nan_are_never_stored(made: Made, light_runner: Runner) -> None:
    def spoil(value: Any) -> Any:
        for item in value["data"]:
            item["embedding"] = [float("nan")] * 768
        return value

    config = made()
    light_runner.fail("*/embeddings", faults.changes(spoil), rate=1.0)
    with pytest.raises(ModelError) as caught, opened(config) as kb:
        kb.index()
    assert "zeros or not numbers" in caught.value.message
    with opened(config) as kb:
        assert kb.indexes[0].store.statistics().embeddings == 0


def test_one_text_that_the_model_cannot_take_fails_its_file_alone(
    made: Made, light_runner: Runner
) -> None:
    def spoil(value: Any) -> Any:
        return value

    documents = {**texts(6), "long.md": "word " * 40_000}
    config = made(documents)
    seen = walked(config)
    assert {e.path for e in seen if isinstance(e, Indexed)} >= {
        f"documentation/{name}" for name in texts(6)
    }
    assert not [e for e in seen if isinstance(e, Failed)]


def test_a_chunk_that_is_too_long_is_cut_and_named(made: Made, light_runner: Runner) -> None:
    # every sign is a token of its own here: 1,500 characters are three times what 512 tokens hold
    light_runner.only("ai/embeddinggemma", "ai/all-minilm")
    config = made({**texts(2), "signs.txt": "+ - * / = " * 400})
    config.write_text(config.read_text().replace("ai/embeddinggemma", "ai/all-minilm"))
    seen = walked(config)
    (cut,) = [e for e in seen if isinstance(e, Shortened)]
    assert cut.path == "documentation/signs.txt"
    assert "512" in cut.reason
    with opened(config) as kb:
        (status,) = kb.status()
    assert [record.path for record in status.shortened] == ["documentation/signs.txt"]


def test_dimensions_that_disagree_name_both_numbers(made: Made, light_runner: Runner) -> None:
    config = made()
    config.write_text(
        config.read_text().replace(
            "embedding_model: embedder", "embedding_model: embedder\n        vector_dimensions: 999"
        )
    )
    with pytest.raises((ModelError, ConfigError)) as caught, opened(config) as kb:
        kb.index()
    assert "999" in caught.value.message
    assert "768" in caught.value.message


def test_shorter_vectors_are_made_where_the_model_allows_it(
    made: Made, light_runner: Runner
) -> None:
    config = made()
    config.write_text(
        config.read_text().replace(
            "embedding_model: embedder",
            # as they are made: rounded ones have lengths of about 1
            "embedding_model: embedder\n        vector_dimensions: 256\n        vectors: float32",
        )
    )
    walked(config)
    vectors = [np.frombuffer(vector, np.float32) for _, vector in content(config).values()]
    assert {len(vector) for vector in vectors} == {256}
    assert np.allclose([np.linalg.norm(vector) for vector in vectors], 1, atol=1e-5)


@pytest.mark.parametrize("kind", ["probability", "logits"])
def test_the_same_hits_survive_whatever_scale_a_reranker_has(
    made: Made, light_runner: Runner, kind: str
) -> None:
    config = made(more=RERANKING.format(threshold=0.5))
    if kind == "logits":
        name = "hf.co/ggml-org/qwen3-reranker-0.6b-q8_0-gguf"
        config.write_text(config.read_text().replace(name, "ai/bge-reranker-v2-m3"))
    walked(config)
    with opened(config) as kb:
        answer = kb.answer("About squirrels number 4 part 0")
    assert not answer.degraded
    assert answer.hits
    assert len(answer.hits) <= 5
    scores = [hit.score for hit in answer.hits]
    assert scores == sorted(scores, reverse=True)
    assert all(0.5 <= score <= 1 for score in scores)
    asked = [seen for seen in light_runner.seen("*/rerank") if len(seen.texts) > 4]
    assert len(asked) == 1, "all candidates are judged in one call"


@pytest.mark.parametrize(
    "trouble",
    [
        pytest.param("absent", id="a model that is not pulled"),
        pytest.param("broken", id="a reranker that gives 1e-20 for everything"),
        pytest.param("down", id="a server that refuses"),
    ],
)
def test_a_reranker_in_trouble_leaves_the_fused_order_and_is_named(
    made: Made, light_runner: Runner, trouble: str
) -> None:
    config = made()
    walked(config)
    with opened(config) as kb:
        expected = paths(kb.search("squirrels number 4", limit=5))
    config.write_text(config.read_text() + RERANKING.format(threshold=0.5))
    if trouble == "absent":
        light_runner.only("ai/embeddinggemma")
    elif trouble == "broken":
        name = "hf.co/ggml-org/qwen3-reranker-0.6b-q8_0-gguf"
        other = "hf.co/community/qwen3-reranker-0.6b-gguf:Q4_K_M"
        config.write_text(config.read_text().replace(name, other))
    else:
        refusal = faults.replies(501, "This server does not support reranking")
        light_runner.fail("*/rerank", refusal, rate=1.0)
    with opened(config) as kb:
        answer = kb.answer("squirrels number 4")
    assert [note.stage for note in answer.degraded] == ["reranking"]
    assert answer.degraded[0].reason
    assert paths(answer.hits) == expected


def test_the_command_line_says_what_it_did_without_the_model(
    made: Made, light_runner: Runner, ragkit: Callable[..., Any]
) -> None:
    config = made()
    assert ragkit("index", "--config", config).code == 0
    light_runner.down()
    done = ragkit("search", "squirrels number 4", "--config", config, "--json")
    assert done.code == 0
    answer = json.loads(done.out)
    assert answer["hits"]
    assert [note["stage"] for note in answer["degraded"]] == ["chunked-embeddings"]
    done = ragkit("index", "--config", config)
    assert done.code == 0, "nothing has changed"
    assert "note: docs: " in done.err
    assert light_runner.url in done.err
    (config.parent / "documentation" / "new.md").write_text("Something new to embed.")
    done = ragkit("search", "squirrels number 4", "--config", config)
    assert done.code == 0
    assert "not refreshed" in done.err
    done = ragkit("index", "--config", config)
    assert done.code == 2
    assert "error:" in done.err
    assert "try:" in done.err


# ── what databases of a user share ──


def test_a_second_database_of_the_same_texts_embeds_none(
    made: Made, light_runner: Runner, cache: Path
) -> None:
    config = made()
    walked(config)
    first, asked = content(config), embedded_texts(light_runner)
    (config.parent / "code.db").unlink()
    walked(config)
    assert content(config) == first
    assert embedded_texts(light_runner) == asked
    assert (cache / "embeddings.db").exists()


def test_without_it_they_are_embedded_again(
    made: Made, light_runner: Runner, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RAGKIT_SHARED_EMBEDDINGS", "0")
    config = made()
    walked(config)
    (config.parent / "code.db").unlink()
    walked(config)
    assert set(embedded_texts(light_runner).values()) == {2}
    assert not (cache / "embeddings.db").exists()


@pytest.mark.parametrize("what", ["garbage", "a folder", "another program's"])
def test_a_file_that_is_broken_is_done_without(
    made: Made, light_runner: Runner, cache: Path, what: str
) -> None:
    path = cache / "embeddings.db"
    match what:
        case "garbage":
            path.write_bytes(b"no database " * 1_000)
        case "a folder":
            path.mkdir()
        case _:
            import sqlite3

            other = sqlite3.connect(path)
            other.execute("create table notes(text)")
            other.commit()
            other.close()
    config = made()
    walked(config)
    with opened(config) as kb:
        assert kb.search("squirrels")
