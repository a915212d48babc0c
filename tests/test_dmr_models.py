"""Models of Docker Model Runner as embedders, rerankers and chats."""

from __future__ import annotations

import subprocess
import sys
import threading

import numpy as np
import pytest

from ragkit.errors import ConfigError, ModelError, ModelNotFound, ModelUnreachable
from ragkit.models import dmr
from ragkit.models.chat import Sampling
from ragkit.models.dmr import ready
from ragkit.models.dmr.models import ServedEmbedder
from ragkit.types import Message

GEMMA = "ai/embeddinggemma"
RERANKER = "hf.co/ggml-org/qwen3-reranker-0.6b-q8_0-gguf"


@pytest.fixture(autouse=True)
def _nothing_told(monkeypatch):
    monkeypatch.setattr(ready, "_told", {})


@pytest.fixture
def embedder(light_runner):
    made: list[ServedEmbedder] = []

    def make(reference=GEMMA, **given):
        made.append(dmr.embedder(reference, base_url=light_runner.url, **given))
        return made[-1]

    yield make
    for each in made:
        each.close()


# -- embedding


def test_making_an_embedder_asks_nothing(embedder, light_runner):
    made = embedder()

    assert made.name == "dmr/ai/embeddinggemma"
    assert light_runner.requests == []


def test_an_embedder_gives_unit_vectors_in_order(embedder):
    made = embedder()
    vectors = made.embed(["birds", "feeders", "birds"], "document")

    assert vectors.shape == (3, 768) == (3, made.dimensions)
    assert np.allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)
    assert np.allclose(vectors[0], vectors[2])
    assert not np.allclose(vectors[0], vectors[1])


def test_queries_and_documents_have_the_prefixes_of_the_models_family(embedder, light_runner):
    made = embedder()
    made.embed(["birds"], "query")
    made.embed(["birds"], "document")

    sent = [text for seen in light_runner.seen("*/embeddings")[1:] for text in seen.texts]
    assert sent == ["task: search result | query: birds", "title: none | text: birds"]


def test_a_model_named_by_its_id_has_the_prefixes_of_its_family_too(embedder):
    by_name = embedder()
    by_id = embedder(by_name.model.id)

    assert by_id.fingerprint == by_name.fingerprint


def test_through_the_socket_it_is_the_same(embedder, light_runner):
    by_socket = dmr.embedder(GEMMA, base_url=f"unix://{light_runner.socket}")

    assert np.allclose(by_socket.embed(["birds"], "query"), embedder().embed(["birds"], "query"))
    assert {seen.via for seen in light_runner.requests} == {"tcp", "unix"}
    by_socket.close()


def test_long_texts_are_taken_whole_for_the_model_was_made_ready(embedder):
    [done] = embedder().stream(["bird " * 1500], "document")

    assert not done.cut
    assert not done.failed


def test_a_runner_that_has_forgotten_its_configuration_is_told_again(embedder, light_runner):
    made = embedder()
    made.embed(["birds"], "document")
    light_runner.restart()
    [done] = made.stream(["bird " * 1500], "document")

    assert not done.cut
    assert not done.failed
    assert len(light_runner.seen("POST /engines/_configure")) == 2


def test_it_is_made_ready_once_however_many_threads_ask(embedder, light_runner):
    made = embedder()
    threads = [
        threading.Thread(target=made.embed, args=([f"bird {n}"], "document")) for n in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert len(light_runner.seen("POST /engines/_configure")) == 1
    preloads = [seen for seen in light_runner.requests if "x-preload-only" in seen.headers]
    assert len(preloads) == 1


def test_a_failure_at_first_is_not_kept(embedder, light_runner):
    made = embedder("ai/nomic-embed-text-v1.5")
    with pytest.raises(ModelNotFound, match="nomic"):
        made.fingerprint  # noqa: B018
    light_runner.only("ai/nomic-embed-text-v1.5")

    assert made.dimensions == 768


def test_notices_are_heard_once(embedder):
    heard = []
    made = embedder(options={"runtime_flags": ["--threads=8"]}, hear=heard.append)
    made.embed(["a"], "document")
    made.embed(["b"], "document")

    assert heard == ["runtime_flags: --threads=8 is sent as --threads 8"]
    assert made.notices == tuple(heard)


@pytest.mark.parametrize("reference", [RERANKER, "ai/bge-reranker-v2-m3"])
def test_a_reranker_does_not_embed(embedder, light_runner, reference):
    with pytest.raises(ModelError, match="is a reranker"):
        embedder(reference).embed(["a"], "document")
    assert light_runner.seen("POST *") == []


def test_wrong_options_are_an_error_at_once():
    with pytest.raises(ConfigError, match="context_size"):
        dmr.embedder(GEMMA, options={"context_size": "many"})


def test_nobody_there_is_unreachable_and_the_place_is_named():
    with pytest.raises(ModelUnreachable, match=r"127\.0\.0\.1:1"):
        dmr.embedder(GEMMA, base_url="http://127.0.0.1:1").dimensions  # noqa: B018


def test_a_model_that_is_replaced_while_it_is_used_is_an_error(embedder, light_runner):
    made = embedder()
    assert made.fingerprint
    light_runner.republish(GEMMA)
    light_runner.only(GEMMA)

    with pytest.raises(ModelError, match="replaced"):
        made.embed(["birds"], "document")


# -- identity


def fingerprint(embedder, **given):
    return embedder(**given).fingerprint


def flagged(text):
    return {"options": {"runtime_flags": text}}


def test_a_fingerprint_is_the_same_for_every_spelling(embedder):
    assert fingerprint(embedder) == fingerprint(embedder, reference="docker.io/ai/EmbeddingGemma")


@pytest.mark.parametrize(
    "flags", ["-ngl 33", "--threads 8", "-b 4096 -ub 1024", "--no-mmap", "-np 1", "-c 1024"]
)
def test_how_fast_a_model_runs_does_not_change_its_fingerprint(embedder, flags):
    assert fingerprint(embedder, **flagged(flags)) == fingerprint(embedder)


def test_batches_and_patience_do_not_change_it(embedder):
    options = {"context_size": 1024, "keep_alive": "1h"}

    assert fingerprint(embedder, options=options, batch=8, concurrency=1) == fingerprint(embedder)


@pytest.mark.parametrize(
    "flags", ["--pooling cls", "--rope-freq-base 1000", "--yarn-orig-ctx 4096", "-ctk q4_0"]
)
def test_flags_that_change_vectors_change_it(embedder, flags):
    assert fingerprint(embedder, **flagged(flags)) != fingerprint(embedder)


def test_fewer_dimensions_change_it(embedder):
    assert fingerprint(embedder, dimensions=256) != fingerprint(embedder)
    assert embedder(dimensions=256).dimensions == 256


def test_other_weights_below_the_same_name_change_it(embedder, light_runner):
    before = fingerprint(embedder)
    light_runner.republish(GEMMA)
    light_runner.only(GEMMA)

    assert fingerprint(embedder) != before


def test_knowing_a_model_loads_nothing(embedder, light_runner):
    made = embedder()
    assert made.fingerprint
    assert made.dimensions == 768

    assert light_runner.scheduler.loads == []
    assert light_runner.seen("POST *") == []


# -- reranking


@pytest.mark.parametrize("reference", [RERANKER, "ai/bge-reranker-v2-m3"])
def test_a_reranker_gives_scores_from_0_to_1(light_runner, reference):
    made = dmr.reranker(reference, base_url=light_runner.url)
    scores = made.rerank("birds at the feeder", ["birds at the feeder", "bread and water"])
    made.close()

    assert 1 >= scores[0] > scores[1] >= 0
    assert made.name == f"dmr/{reference}"
    assert [mode for _, mode in light_runner.scheduler.loads][-1] == "reranking"


def test_a_reranker_that_says_nothing_is_told(light_runner):
    made = dmr.reranker(
        "hf.co/community/Qwen3-Reranker-0.6B-GGUF:q4_k_m", base_url=light_runner.url
    )
    with pytest.raises(ModelError, match="is broken"):
        made.rerank("birds", ["a bird"])
    made.close()


# -- chat


def test_a_chat_answers(light_runner):
    made = dmr.chat("smollm2", base_url=light_runner.url, sampling=Sampling(temperature=0))
    answer = "".join(delta.content for delta in made.chat([Message("user", "hello")]))
    made.close()

    assert answer
    body = light_runner.seen("*/chat/completions")[-1].json
    assert body["temperature"] == 0
    assert body["model"] == "ai/smollm2:latest"


def test_a_chat_with_a_draft_model_is_configured_so(light_runner):
    options = {"speculative_draft_model": "ai/qwen3", "speculative_num_tokens": 16}
    made = dmr.chat("ai/smollm2", base_url=light_runner.url, options=options)
    list(made.chat([Message("user", "hello")]))
    made.close()

    [seen] = light_runner.seen("POST /engines/_configure")
    assert seen.json["mode"] == "completion"
    assert seen.json["speculative"] == {"draft_model": "ai/qwen3", "num_tokens": 16}


def test_names_of_models_alone_load_neither_client_nor_numpy():
    code = (
        "import sys, ragkit.models.dmr.references as r; r.canonical('x');"
        "print([m for m in ('httpx2', 'numpy', 'ragkit.models.embedding') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert done.stdout.strip() == "[]"
