"""llama.cpp behind the double: what only true weights show."""

from __future__ import annotations

import json
from collections.abc import Iterator

import httpx2
import numpy as np
import pytest
from engine import gguf_bert
from engine.gguf_causal import SCRIPT
from engine.gguf_models import minilm
from engine.llama_engine import LlamaEngine
from engine.plain import OpenAIServer
from engine.reference import MiniLM
from engine.runner import Runner

pytestmark = pytest.mark.engine

EMBEDDINGS = "/engines/v1/embeddings"
CAUSAL = "ai/qwen3-embedding:0.6B-F16"
TEXTS = (
    "Paris is the capital of France.",
    "def weigh(self, visitor):\n    return sum(self.samples) / len(self.samples)",
    "A résumé, naïvely: café, 中文, ½ — and “quotes”.",
    "x" * 90,
    "word " * 500,
)


@pytest.fixture
def client(runner: Runner) -> Iterator[httpx2.Client]:
    with httpx2.Client(base_url=runner.url, timeout=60) as client:
        yield client


@pytest.fixture(scope="module")
def reference(_engine: LlamaEngine) -> MiniLM:
    return MiniLM(minilm())


def embed(client: httpx2.Client, *texts: str, model: str) -> httpx2.Response:
    return client.post(EMBEDDINGS, json={"model": model, "input": list(texts)})


def test_vectors_are_those_of_minilm(client: httpx2.Client, reference: MiniLM) -> None:
    data = embed(client, *TEXTS, model="ai/all-minilm").json()["data"]
    vectors = np.array([each["embedding"] for each in data])
    expected = np.array([reference.vector(text) for text in TEXTS])
    assert (vectors * expected).sum(axis=1).min() > 0.999


def test_a_text_has_the_same_vector_alone_and_in_a_batch(client: httpx2.Client) -> None:
    together = embed(client, *TEXTS, model="ai/all-minilm").json()["data"]
    alone = embed(client, TEXTS[1], model="ai/all-minilm").json()["data"]
    assert np.dot(alone[0]["embedding"], together[1]["embedding"]) > 0.99999


def test_512_tokens_until_more_are_configured(client: httpx2.Client) -> None:
    long = "word " * 511
    refused = embed(client, "short", long, model="ai/embeddinggemma")
    assert refused.status_code == 500
    assert refused.json()["error"]["message"] == (
        "input (513 tokens) is too large to process. "
        "increase the physical batch size (current batch size: 512)"
    )
    flags = ["--batch-size", "2048", "--ubatch-size", "2048"]
    for model in ("ai/embeddinggemma", "ai/all-minilm"):
        body = {"model": model, "mode": "embedding", "runtime-flags": flags}
        assert client.post("/engines/_configure", json=body).status_code == 202
    assert len(embed(client, long, model="ai/embeddinggemma").json()["data"][0]["embedding"]) == 768
    beyond = embed(client, long, model="ai/all-minilm")
    assert (beyond.status_code, beyond.json()["error"]["n_prompt_tokens"]) == (400, 513)


def test_a_causal_model_splits_a_text_up_to_its_context(client: httpx2.Client) -> None:
    assert embed(client, "w" * 2046, model=CAUSAL).status_code == 200
    beyond = embed(client, "w" * 2047, model=CAUSAL)
    assert (beyond.status_code, beyond.json()["error"]["message"]) == (
        400,
        "request (2048 tokens) exceeds the available context size (2048 tokens), try increasing it",
    )


def test_too_much_in_flight_overflows_the_cache_and_alone_it_fits(client: httpx2.Client) -> None:
    texts = ["a" * 1500, "b" * 1500]
    # whether it comes that far depends on which slot is done when the other one asks for room
    answers = (embed(client, *texts, model=CAUSAL) for _ in range(40))
    overflown = next(answer for answer in answers if answer.status_code != 200)
    assert (overflown.status_code, overflown.json()["error"]["message"]) == (
        500,
        "Context size has been exceeded.",
    )
    assert [embed(client, text, model=CAUSAL).status_code for text in texts] == [200, 200]


def test_scores_are_those_of_the_cross_encoder(client: httpx2.Client, reference: MiniLM) -> None:
    query = "What is the capital of France?"
    documents = [*TEXTS[:2], "Bananas are yellow."]
    body = {"model": "ai/bge-reranker-v2-m3", "query": query, "documents": documents}
    results = client.post("/engines/rerank", json=body).json()["results"]
    classifier, bias = gguf_bert.fitted(reference)
    expected = [
        float(reference.pooled(query, document) @ classifier + bias[0]) for document in documents
    ]
    assert results[0]["index"] == 0
    for result in results:
        assert result["relevance_score"] == pytest.approx(expected[result["index"]], abs=0.3)


def test_a_probability_tells_an_answer_from_nonsense(client: httpx2.Client) -> None:
    body = {
        "model": "hf.co/ggml-org/Qwen3-Reranker-0.6B-Q8_0-GGUF",
        "query": "What is the capital of France?",
        "documents": ["Bananas are yellow.", "Paris is the capital of France."],
    }
    results = client.post("/engines/rerank", json=body).json()["results"]
    assert [each["index"] for each in results] == [1, 0]
    assert results[0]["relevance_score"] - results[1]["relevance_score"] > 0.2


def test_the_chat_model_speaks_in_a_stream(client: httpx2.Client) -> None:
    body = {
        "model": "ai/qwen3",
        "messages": [{"role": "user", "content": "Hi"}],
        "stream": True,
        "temperature": 0,
    }
    with client.stream("POST", "/engines/v1/chat/completions", json=body) as stream:
        lines = [each.removeprefix("data: ") for each in stream.iter_lines() if each]
    assert lines[-1] == "[DONE]"
    deltas = [json.loads(line)["choices"][0]["delta"] for line in lines[:-1]]
    assert "".join(each.get("content") or "" for each in deltas) == "".join(SCRIPT)
    assert "".join(each.get("reasoning_content") or "" for each in deltas) == " Let me think"


def test_the_chat_model_calls_a_tool_and_then_answers(client: httpx2.Client) -> None:
    parameters = {
        "type": "object",
        "properties": {"query": {"type": "string"}},
        "required": ["query"],
    }
    function = {"name": "search_docs", "parameters": parameters}
    body = {
        "model": "ai/smollm2",
        "messages": [{"role": "user", "content": "How do I parse?"}],
        "tools": [{"type": "function", "function": function}],
        "temperature": 0,
        "max_tokens": 100,
    }
    first = client.post("/engines/v1/chat/completions", json=body).json()["choices"][0]
    assert first["finish_reason"] == "tool_calls"
    call = first["message"]["tool_calls"][0]
    assert json.loads(call["function"]["arguments"]) == {"query": "how to parse json"}
    result = {"role": "tool", "tool_call_id": call["id"], "content": "json.loads"}
    body["messages"] = [*body["messages"], first["message"], result]  # type: ignore[misc]
    second = client.post("/engines/v1/chat/completions", json=body).json()["choices"][0]
    assert second["message"]["content"] == "".join(SCRIPT)


def test_what_is_no_embedding_model_and_what_is_broken(client: httpx2.Client) -> None:
    chat = embed(client, "x", model="ai/smollm2")
    assert (chat.status_code, "Pooling type 'none'" in chat.text) == (400, True)
    broken = embed(client, "x", model="ai/broken")
    assert (broken.status_code, "failed to load model" in broken.text) == (500, True)


def test_an_engine_that_dies_is_started_again(runner: Runner, client: httpx2.Client) -> None:
    assert embed(client, "x", model="ai/all-minilm").status_code == 200
    runner.crash()
    assert embed(client, "x", model="ai/all-minilm").status_code == 200
    assert len(runner.scheduler.loads) == 2


def test_a_plain_server_serves_the_same_weights(
    openai_server: OpenAIServer, client: httpx2.Client
) -> None:
    with httpx2.Client(base_url=openai_server.base_url, timeout=60) as plain:
        body = {"model": "all-minilm", "input": TEXTS[0]}
        there = plain.post("/embeddings", json=body).json()["data"][0]["embedding"]
    here = embed(client, TEXTS[0], model="ai/all-minilm").json()["data"][0]["embedding"]
    assert here == there
