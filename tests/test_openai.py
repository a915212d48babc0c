"""Servers with OpenAI's interface: where they are, with which key, and what each kind does."""

from __future__ import annotations

import json
import math
import traceback
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
from engine import faults
from engine.plain import OpenAIServer
from engine.serving import Request, Response, Server, as_json

from ragkit.errors import ModelError, ModelNotFound, ModelUnreachable
from ragkit.models import openai
from ragkit.models.http import Client
from ragkit.models.reranking import QUESTION
from ragkit.types import Message

KEY = "sk-s3cret"
ASK = [Message("user", "Where are birds counted?")]


class Local:
    """A server of another kind: `routes` has what it answers by method and path."""

    def __init__(self) -> None:
        self.routes: dict[str, Callable[[Any], Response]] = {}
        self.requests: list[tuple[str, Any]] = []
        self._server = Server(self._answer)
        self.url = f"http://127.0.0.1:{self._server.port}"

    def get(self, path: str, value: object, status: int = 200) -> None:
        self.routes[f"GET {path}"] = lambda body: as_json(value, status)

    def close(self) -> None:
        self._server.close()

    def paths(self) -> list[str]:
        return [path for path, _ in self.requests]

    def _answer(self, request: Request) -> Response:
        body = json.loads(request.body) if request.body else None
        where = f"{request.method} {request.path}"
        self.requests.append((where, body))
        answer = self.routes.get(where)
        return answer(body) if answer else as_json({"error": "Not Found"}, 404)


@pytest.fixture
def local() -> Iterator[Local]:
    server = Local()
    yield server
    server.close()


def shown(error: BaseException) -> str:
    """All that a person could ever read of an error."""
    words = "".join(traceback.format_exception(error))
    return f"{words} {error!r} {getattr(error, 'remedy', '')} {vars(error)}"


# where, and with which key


@pytest.mark.parametrize(
    ("provider", "root", "variable"),
    [
        ("openai", "https://api.openai.com/v1", "OPENAI_API_KEY"),
        ("mistral", "https://api.mistral.ai/v1", "MISTRAL_API_KEY"),
        ("openrouter", "https://openrouter.ai/api/v1", "OPENROUTER_API_KEY"),
        ("groq", "https://api.groq.com/openai/v1", "GROQ_API_KEY"),
    ],
)
def test_a_known_provider_needs_only_its_key(provider: str, root: str, variable: str) -> None:
    where = openai.endpoint(provider, environment={variable: KEY})
    assert (where.root, where.key) == (root, KEY)
    with pytest.raises(ModelError, match=variable) as raised:
        openai.endpoint(provider, environment={"OTHER": "x"})
    assert variable in raised.value.remedy


def test_ollama_needs_no_key() -> None:
    where = openai.endpoint("ollama", environment={})
    assert (where.root, where.key) == ("http://127.0.0.1:11434/v1", None)


def test_a_key_that_is_named_must_be_there() -> None:
    where = openai.endpoint("openai", "http://127.0.0.1/v1", "MINE", {"MINE": f" {KEY}\n"})
    assert where.key == KEY
    for environment in ({}, {"MINE": "  "}):
        with pytest.raises(ModelError, match="MINE is not set"):
            openai.endpoint("openai", "http://127.0.0.1/v1", "MINE", environment)


@pytest.mark.parametrize(
    "base_url",
    ["http://127.0.0.1:8080/v1", "https://proxy.example.com/v1", "http://api.openai.com/v1"],
)
def test_a_provider_s_key_goes_to_the_provider_only(base_url: str) -> None:
    assert openai.endpoint("openai", base_url, environment={"OPENAI_API_KEY": KEY}).key is None


def test_a_server_of_one_s_own_needs_no_key() -> None:
    assert openai.endpoint("openai", "http://127.0.0.1:8080/v1", environment={}).key is None


def test_an_unknown_provider_needs_a_base_url() -> None:
    with pytest.raises(ModelError, match="lab is reached is not known") as raised:
        openai.endpoint("lab", environment={})
    assert "base_url" in raised.value.remedy
    assert openai.endpoint("lab", "http://lab:8000/v1", environment={}).root == "http://lab:8000/v1"


@pytest.mark.parametrize(
    ("written", "root"),
    [
        ("http://127.0.0.1:8080/v1/", "http://127.0.0.1:8080/v1"),
        (" http://127.0.0.1:8080 ", "http://127.0.0.1:8080"),
        ("http://127.0.0.1:8080/v1/embeddings", "http://127.0.0.1:8080/v1"),
        ("http://127.0.0.1:8080/v1/chat/completions", "http://127.0.0.1:8080/v1"),
        ("https://x.example.com/a/b/v1", "https://x.example.com/a/b/v1"),
    ],
)
def test_a_base_url_is_taken_as_it_is_meant(written: str, root: str) -> None:
    assert openai.endpoint("openai", written, environment={}).root == root


@pytest.mark.parametrize(
    "written", ["localhost:8080/v1", "127.0.0.1", "ftp://x/v1", "http://", "http://x:port/v1"]
)
def test_what_is_no_url_is_refused(written: str) -> None:
    with pytest.raises(ModelError, match="is not the URL of a server") as raised:
        openai.endpoint("openai", written, environment={})
    assert "http://127.0.0.1:8080/v1" in raised.value.remedy


@pytest.mark.parametrize("written", [f"http://me:{KEY}@x/v1", f"http://x/v1?key={KEY}"])
def test_a_secret_in_a_url_is_refused_and_not_repeated(written: str) -> None:
    with pytest.raises(ModelError, match="must not hold") as raised:
        openai.endpoint("openai", written, environment={})
    assert KEY not in shown(raised.value)


@pytest.mark.parametrize("value", [f"{KEY}\nX-Evil: 1", f"Bearer {KEY}", f"{KEY}é", f"{KEY}\x00"])
def test_what_cannot_be_a_key_is_refused_and_not_repeated(value: str) -> None:
    with pytest.raises(ModelError, match="MINE holds something") as raised:
        openai.endpoint("openai", "http://127.0.0.1/v1", "MINE", {"MINE": value})
    assert KEY not in shown(raised.value)


def test_a_key_is_sent_and_never_shown(light_openai: OpenAIServer) -> None:
    light_openai.key = "another"
    options: dict[str, Any] = {
        "base_url": light_openai.base_url,
        "token_key": "MINE",
        "environment": {"MINE": KEY},
    }
    embedder = openai.embedder("all-minilm", **options)
    reranker = openai.reranker("bge-reranker-v2-m3", **options)
    chat = openai.chat("smollm2", **options)
    attempts: list[Callable[[], object]] = [
        lambda: embedder.embed(["birds"], "document"),
        lambda: reranker.rerank("birds", ["birds"]),
        lambda: list(chat.chat(ASK)),
    ]
    echo = faults.replies(401, json.dumps({"error": {"message": f"no such key: {KEY}"}}))
    for machine, attempt in zip((embedder, reranker, chat), attempts, strict=True):
        light_openai.fail("POST *", echo)
        with pytest.raises(ModelError, match="access denied") as raised:
            attempt()
        assert KEY not in shown(raised.value) + repr(machine) + machine.name
        assert light_openai.requests[-1].headers["authorization"] == f"Bearer {KEY}"
        machine.close()


def test_a_key_is_not_shown_when_nobody_listens(light_openai: OpenAIServer) -> None:
    embedder = openai.embedder(
        "all-minilm", base_url=light_openai.base_url, token_key="K", environment={"K": KEY}
    )
    light_openai.down()
    with pytest.raises(ModelUnreachable) as raised:
        embedder.embed(["birds"], "document")
    assert KEY not in shown(raised.value)
    embedder.close()


# embeddings


@pytest.fixture
def served(light_openai: OpenAIServer) -> Iterator[Callable[..., openai.ServedEmbedder]]:
    open_now: list[openai.ServedEmbedder] = []

    def make(model: str = "all-minilm", **options: Any) -> openai.ServedEmbedder:
        given = {"base_url": light_openai.base_url, "environment": {}, **options}
        open_now.append(openai.embedder(model, **given))
        return open_now[-1]

    yield make
    for embedder in open_now:
        embedder.close()


Served = Callable[..., openai.ServedEmbedder]


def test_texts_are_embedded(served: Served, light_openai: OpenAIServer) -> None:
    embedder = served()
    assert not light_openai.requests
    vectors = embedder.embed(["birds at the feeder", "cats", "birds"], "document")
    assert vectors.shape == (3, 384)
    assert np.allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)
    assert vectors[0] @ vectors[2] > vectors[1] @ vectors[2]
    assert embedder.dimensions == 384
    assert embedder.name == "openai/all-minilm"


def test_a_family_gets_its_prefixes(served: Served, light_openai: OpenAIServer) -> None:
    embedder = served("embeddinggemma", dimensions=256)
    assert embedder.embed(["birds"], "document").shape == (1, 256)
    embedder.embed(["birds"], "query")
    texts = [text for seen in light_openai.seen("*/embeddings") for text in seen.texts]
    assert "title: none | text: birds" in texts
    assert "task: search result | query: birds" in texts
    assert all("dimensions" not in seen.json for seen in light_openai.seen("*/embeddings"))


def test_a_model_that_is_not_there_is_told_with_what_is(
    served: Served, light_openai: OpenAIServer
) -> None:
    with pytest.raises(ModelNotFound, match="absent") as raised:
        served("absent").embed(["birds"], "document")
    assert "the server has: all-minilm, embeddinggemma" in raised.value.remedy


def test_a_long_list_of_models_is_cut(served: Served, light_openai: OpenAIServer) -> None:
    model = light_openai.models["all-minilm"]
    light_openai.models = {f"model-{n:03}": model for n in range(300)}
    with pytest.raises(ModelNotFound) as raised:
        served("absent").embed(["birds"], "document")
    assert raised.value.remedy.endswith("model-011, …")


def test_a_missing_v1_is_proposed(served: Served, light_openai: OpenAIServer) -> None:
    with pytest.raises(ModelError) as raised:
        served(base_url=light_openai.url).embed(["birds"], "document")
    assert light_openai.url in raised.value.message
    chat = openai.chat("smollm2", base_url=light_openai.url, environment={})
    with pytest.raises(ModelError) as raised:
        list(chat.chat(ASK))
    assert raised.value.remedy == f"try base_url: {light_openai.base_url}"


def test_models_are_listed_in_the_server_s_order(light_openai: OpenAIServer) -> None:
    client = Client(openai.endpoint("openai", light_openai.base_url, environment={}))
    assert openai.models(client)[:2] == ["all-minilm", "embeddinggemma"]
    client.close()


# which weights


def fingerprint(local: Local, model: str = "m", **options: Any) -> str:
    given = {"base_url": f"{local.url}/v1", "environment": {}, **options}
    embedder = openai.embedder(model, **given)
    try:
        return embedder.fingerprint
    finally:
        embedder.close()


def listing(meta: object = None, name: str = "m") -> dict[str, object]:
    return {"object": "list", "data": [{"id": name, "object": "model", "meta": meta}]}


def test_a_server_that_tells_nothing_is_known_by_place_and_name(local: Local) -> None:
    first = fingerprint(local)
    assert first == fingerprint(local)
    assert f"openai {local.url}/v1 m" in first
    assert first != fingerprint(local, "n")
    assert first != fingerprint(local, base_url=f"{local.url}/v2")


def test_prefixes_and_dimensions_are_part_of_it(local: Local) -> None:
    assert fingerprint(local, "embeddinggemma") != fingerprint(
        local, "embeddinggemma", dimensions=256
    )


def test_other_weights_behind_llama_s_server_are_noticed(local: Local) -> None:
    numbers = {"n_embd": 384, "n_params": 22565376, "n_vocab": 30522, "size": 45800000}
    local.get("/v1/models", listing(numbers))
    first = fingerprint(local)
    local.get("/v1/models", listing({**numbers, "n_ctx_train": 9, "vocab_type": 3}))
    assert fingerprint(local) == first
    local.get("/v1/models", listing({**numbers, "size": 25300000}))
    assert fingerprint(local) != first
    local.get("/v1/models", listing(numbers, name="../models/minilm.gguf"))
    assert fingerprint(local) == first


def test_other_weights_in_ollama_are_noticed(local: Local) -> None:
    def tagged(digest: str) -> object:
        return {"models": [{"name": "nomic:latest", "digest": digest}, {"name": "x:1b"}]}

    local.get("/v1/models", {"data": [{"id": "nomic:latest", "owned_by": "library"}]})
    local.get("/api/tags", tagged("a2af"))
    first = fingerprint(local, "nomic")
    assert "a2af" in first
    assert "a2af" in fingerprint(local, "nomic:latest")
    local.get("/api/tags", tagged("b7cc"))
    assert fingerprint(local, "nomic") != first


def test_a_model_that_ollama_does_not_have_is_told_with_its_command(local: Local) -> None:
    local.get("/api/tags", {"models": []})
    with pytest.raises(ModelNotFound, match="nomic") as raised:
        fingerprint(local, "nomic", provider="ollama")
    assert raised.value.remedy == "ollama pull nomic"


def test_a_server_that_is_away_is_an_error_and_no_other_model(
    local: Local, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ragkit.models.listing.PATIENCE", 0.1)
    local.get("/v1/models", "down", 503)
    with pytest.raises(ModelError):
        fingerprint(local)
    local.close()
    with pytest.raises(ModelUnreachable):
        fingerprint(local)


def test_a_cloud_is_not_asked_which_weights() -> None:
    embedder = openai.embedder("text-embedding-3-small", environment={"OPENAI_API_KEY": KEY})
    assert "https://api.openai.com/v1 text-embedding-3-small" in embedder.fingerprint
    assert KEY not in embedder.fingerprint
    embedder.close()


# reranking


def test_texts_are_reranked(light_openai: OpenAIServer) -> None:
    reranker = openai.reranker("bge-reranker-v2-m3", base_url=light_openai.base_url, environment={})
    scores = reranker.rerank("birds feeder", ["cats", "birds feeder"])
    assert scores == pytest.approx([0.011, 0.989], abs=0.001)
    assert {seen.path for seen in light_openai.requests} == {"/v1/rerank"}
    reranker.close()


def test_a_server_without_reranking_is_told(light_openai: OpenAIServer) -> None:
    light_openai.reranks = False
    reranker = openai.reranker("x", base_url=light_openai.base_url, environment={})
    with pytest.raises(ModelError, match="has no endpoint for reranking") as raised:
        reranker.rerank("birds", ["birds"])
    assert "leave reranking out" in raised.value.remedy
    reranker.close()


def test_a_reranker_that_is_not_there_is_told_with_what_is(light_openai: OpenAIServer) -> None:
    reranker = openai.reranker("absent", base_url=light_openai.base_url, environment={})
    with pytest.raises(ModelNotFound) as raised:
        reranker.rerank("birds", ["birds"])
    assert "bge-reranker-v2-m3" in raised.value.remedy
    reranker.close()


def rank_of_tei(body: Any) -> Response:
    """As Text Embeddings Inference: its own name for the texts, 32 of them, probabilities."""
    if "texts" not in body:
        message = "Failed to deserialize the JSON body into the target type: missing field `texts`"
        return Response(422, message.encode(), {"Content-Type": "text/plain; charset=utf-8"})
    texts = body["texts"]
    if len(texts) > 4:
        message = f"batch size {len(texts)} > maximum allowed batch size 4"
        return as_json({"error": message, "error_type": "Validation"}, 422)
    asked = set(body["query"].lower().replace("?", "").split())
    scores = [
        {
            "index": index,
            "score": 1 / (1 + math.exp(4 - 3 * len(asked & set(text.lower().split())))),
        }
        for index, text in enumerate(texts)
    ]
    return as_json(sorted(scores, key=lambda each: -each["score"]))


@pytest.mark.parametrize("end", ["", "/v1"])
def test_text_embeddings_inference_is_spoken_to_in_its_words(local: Local, end: str) -> None:
    local.routes["POST /rerank"] = rank_of_tei
    reranker = openai.reranker("bge", base_url=local.url + end, environment={})
    texts = [f"bird {n}" for n in range(9)]
    scores = reranker.rerank("bird 7", texts)
    assert scores.index(max(scores)) == 7
    sent = [body for _, body in local.requests if body["query"] != QUESTION]
    assert [len(body["texts"]) for body in sent] == [9, 4, 5, 2, 3]
    assert all(body["truncate"] for body in sent)
    assert reranker.rerank("bird 8", ["bird 8"])[0] > 0.5
    reranker.close()


# chat


def test_a_chat_model_answers(light_openai: OpenAIServer) -> None:
    chat = openai.chat("smollm2", base_url=light_openai.base_url, environment={})
    assert "".join(delta.content for delta in chat.chat(ASK)).startswith("Hello from")
    assert chat.name == "openai/smollm2"
    chat.close()


def test_a_chat_model_that_is_not_there_is_told_with_what_is(light_openai: OpenAIServer) -> None:
    chat = openai.chat("absent", base_url=light_openai.base_url, environment={})
    with pytest.raises(ModelNotFound) as raised:
        list(chat.chat(ASK))
    assert "smollm2" in raised.value.remedy
    chat.close()
