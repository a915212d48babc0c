"""The double of Docker Model Runner behaves as the original does."""

from __future__ import annotations

import base64
import json
import socket
import threading
import time
from collections.abc import Iterator

import httpx2
import numpy as np
import pytest
from engine import faults
from engine.plain import OpenAIServer
from engine.runner import Runner

EMBEDDINGS = "/engines/v1/embeddings"
HASTY = httpx2.Timeout(10, read=0.05)
FLAGS = ["--batch-size", "2048", "--ubatch-size", "2048"]


@pytest.fixture(params=["tcp", "unix"])
def both(request: pytest.FixtureRequest, light_runner: Runner) -> Iterator[httpx2.Client]:
    """A client over either way in."""
    if request.param == "tcp":
        with httpx2.Client(base_url=light_runner.url) as client:
            yield client
    else:
        transport = httpx2.HTTPTransport(uds=light_runner.socket)
        with httpx2.Client(base_url=light_runner.socket_url, transport=transport) as client:
            yield client


@pytest.fixture
def client(light_runner: Runner) -> Iterator[httpx2.Client]:
    with httpx2.Client(base_url=light_runner.url) as client:
        yield client


def embed(client: httpx2.Client, *texts: str, model: str = "ai/embeddinggemma") -> httpx2.Response:
    return client.post(EMBEDDINGS, json={"model": model, "input": list(texts)})


def test_both_ways_in_answer_alike(both: httpx2.Client) -> None:
    assert both.get("/engines/status").json()["llama.cpp"].startswith("Running")
    listed = both.get("/engines/v1/models").json()
    assert listed["data"][0]["id"] == "docker.io/ai/all-minilm:latest"
    vector = embed(both, "one").json()["data"][0]["embedding"]
    assert np.linalg.norm(vector) == pytest.approx(1)
    missing = both.post(EMBEDDINGS, json={"model": "ai/absent", "input": "x"})
    assert (missing.status_code, missing.headers["content-type"]) == (
        404,
        "text/plain; charset=utf-8",
    )
    assert missing.text.endswith("model not found\n")


def test_the_socket_serves_nothing_without_its_prefix(light_runner: Runner) -> None:
    transport = httpx2.HTTPTransport(uds=light_runner.socket)
    with httpx2.Client(base_url="http://localhost", transport=transport) as client:
        answer = client.get("/engines/status")
    assert (answer.status_code, answer.json()) == (404, {"message": "page not found"})


def test_a_bare_name_finds_a_model_only_where_it_is_inspected(client: httpx2.Client) -> None:
    assert client.get("/models/qwen3-reranker-0.6b-q8_0-gguf").status_code == 200
    assert client.get("/engines/v1/models/qwen3-reranker-0.6b-q8_0-gguf").status_code == 404
    assert client.get("/engines/v1/models/embeddinggemma").status_code == 200


def test_an_old_release_spells_tags_short(light_runner: Runner, client: httpx2.Client) -> None:
    light_runner.old = True
    assert client.get("/engines/v1/models").json()["data"][0]["id"] == "ai/all-minilm:latest"
    assert client.get("/version").status_code == 404


def test_512_tokens_are_the_limit_until_embedding_is_configured(client: httpx2.Client) -> None:
    long = "word " * 511
    refused = embed(client, "short", long)
    assert refused.status_code == 500
    assert refused.json()["error"]["message"] == (
        "input (513 tokens) is too large to process. "
        "increase the physical batch size (current batch size: 512)"
    )
    body = {"model": "ai/embeddinggemma", "runtime-flags": FLAGS}
    assert client.post("/engines/_configure", json=body).status_code == 202
    assert embed(client, long).status_code == 500, "it went to completion mode"
    body["mode"] = "embedding"
    assert client.post("/engines/_configure", json=body).status_code == 202
    assert embed(client, long).status_code == 200
    assert client.post("/engines/_configure", json={**body, "model": "ai/all-minilm"})
    beyond = embed(client, long, model="ai/all-minilm")
    assert (beyond.status_code, beyond.json()["error"]["n_ctx"]) == (400, 512)


def test_a_restart_forgets_the_configuration(light_runner: Runner, client: httpx2.Client) -> None:
    body = {"model": "ai/embeddinggemma", "mode": "embedding", "runtime-flags": FLAGS}
    client.post("/engines/_configure", json=body)
    shown = client.get("/engines/_configure", params={"model": "embeddinggemma"}).json()
    assert [(each["Mode"], each["Config"]["runtime-flags"]) for each in shown] == [
        ("embedding", FLAGS)
    ]
    light_runner.restart()
    with httpx2.Client(base_url=light_runner.url) as again:
        assert again.get("/engines/_configure").json() == []


@pytest.mark.parametrize(
    ("flags", "answer"),
    [
        (["--ngl", "33"], 'runtime flag "--ngl" is not allowed for backend "llama.cpp"\n'),
        (["--grammar-file", "x"], 'runtime flag "--grammar-file" is not allowed for backend'),
        (["--pooling", "/tmp/x"], 'invalid runtime flag "/tmp/x": paths are not allowed'),
    ],
)
def test_flags_off_the_list_are_refused(
    client: httpx2.Client, flags: list[str], answer: str
) -> None:
    body = {"model": "ai/embeddinggemma", "mode": "embedding", "runtime-flags": flags}
    refused = client.post("/engines/_configure", json=body)
    assert refused.status_code == 500
    assert refused.text.startswith(answer)


def test_an_equals_sign_passes_the_list_and_kills_the_engine(client: httpx2.Client) -> None:
    body = {
        "model": "ai/embeddinggemma",
        "mode": "embedding",
        "runtime-flags": ["--threads=8"],
    }
    assert client.post("/engines/_configure", json=body).status_code == 202
    died = embed(client, "x")
    assert died.status_code == 500
    assert died.text.startswith("unable to load runner: ")
    assert "error: invalid argument: --threads=8" in died.text


def wait_for_work(runner: Runner) -> None:
    until = time.monotonic() + 10
    while not runner.engine.working:
        assert time.monotonic() < until
        time.sleep(0.001)


def test_a_busy_runner_is_not_configured(light_runner: Runner, client: httpx2.Client) -> None:
    body = {"model": "ai/embeddinggemma", "mode": "embedding", "runtime-flags": FLAGS}
    working = threading.Thread(target=embed, args=(client, "x"))
    with light_runner.engine.held():
        working.start()
        wait_for_work(light_runner)
        busy = client.post("/engines/_configure", json=body)
        assert client.get("/engines/ps").json()[0]["in_use"]
    working.join()
    assert (busy.status_code, busy.text) == (409, "runner already active\n")
    assert client.post("/engines/_configure", json=body).status_code == 202


def test_every_configuration_loads_the_model_for_completion(
    light_runner: Runner, client: httpx2.Client
) -> None:
    body = {"model": "ai/embeddinggemma", "mode": "embedding"}
    client.post("/engines/_configure", json=body)
    assert light_runner.preloads == ["ai/embeddinggemma"]


def test_a_preload_computes_nothing(light_runner: Runner, client: httpx2.Client) -> None:
    answer = client.post(
        EMBEDDINGS, json={"model": "ai/all-minilm"}, headers={"X-Preload-Only": "true"}
    )
    assert (answer.status_code, answer.content) == (200, b"")
    assert [(shown["mode"]) for shown in client.get("/engines/ps").json()] == ["embedding"]


def test_a_client_that_leaves_ends_the_load(light_runner: Runner) -> None:
    light_runner.scheduler.load_seconds = 5
    hasty = httpx2.Client(base_url=light_runner.url, timeout=HASTY)
    with hasty, pytest.raises(httpx2.ReadTimeout):
        embed(hasty, "x")
    while light_runner.scheduler.running:
        time.sleep(0.001)
    light_runner.scheduler.load_seconds = 0
    with httpx2.Client(base_url=light_runner.url) as client:
        assert embed(client, "x").status_code == 200
    assert len(light_runner.scheduler.loads) == 2


def test_more_than_10_mib_are_refused(client: httpx2.Client) -> None:
    refused = embed(client, "x" * 10 * 2**20)
    assert (refused.status_code, refused.text) == (400, "request too large\n")


def test_what_is_in_flight_shares_the_context_of_a_causal_model(
    light_runner: Runner, client: httpx2.Client
) -> None:
    model = "ai/qwen3-embedding:0.6B-F16"
    half, too_long = "word " * 1500, "word " * 2046
    refused = embed(client, too_long, model=model)
    assert (refused.status_code, refused.json()["error"]["type"]) == (
        400,
        "exceed_context_size_error",
    )
    answers: list[httpx2.Response] = []
    working = threading.Thread(target=lambda: answers.append(embed(client, half, model=model)))
    with light_runner.engine.held():
        working.start()
        wait_for_work(light_runner)
        overflown = embed(client, half, model=model)
    working.join()
    assert (overflown.status_code, answers[0].status_code) == (500, 200)
    assert overflown.json()["error"]["message"] == "Context size has been exceeded."
    assert embed(client, half, model=model).status_code == 200


def test_base64_is_the_same_vector_and_dimensions_are_ignored(client: httpx2.Client) -> None:
    plain = embed(client, "x").json()["data"][0]["embedding"]
    body = {"model": "ai/embeddinggemma", "input": "x", "dimensions": 64}
    packed = client.post(EMBEDDINGS, json={**body, "encoding_format": "base64"}).json()
    raw = base64.b64decode(packed["data"][0]["embedding"])
    np.testing.assert_allclose(np.frombuffer(raw, "<f4"), plain, rtol=1e-6)


def rerank(client: httpx2.Client, model: str, path: str = "/engines/rerank") -> httpx2.Response:
    documents = ["Bananas are yellow.", "Paris is the capital of France."]
    query = "What is the capital of France?"
    return client.post(path, json={"model": model, "query": query, "documents": documents})


@pytest.mark.parametrize(
    ("model", "lowest", "highest"),
    [
        ("ai/bge-reranker-v2-m3", -12, 12),
        ("hf.co/ggml-org/Qwen3-Reranker-0.6B-Q8_0-GGUF", 0, 1),
        ("hf.co/community/Qwen3-Reranker-0.6B-GGUF:Q4_K_M", 0, 1e-18),
    ],
)
def test_rerankers_score_in_three_ways(
    client: httpx2.Client, model: str, lowest: float, highest: float
) -> None:
    scores = [each["relevance_score"] for each in rerank(client, model).json()["results"]]
    assert scores == sorted(scores, reverse=True)
    assert all(lowest <= score <= highest for score in scores)


def test_an_old_release_does_not_sort(light_runner: Runner, client: httpx2.Client) -> None:
    light_runner.unsorted = True
    results = rerank(client, "ai/bge-reranker-v2-m3").json()["results"]
    assert [each["index"] for each in results] == [0, 1]
    assert results[0]["relevance_score"] < results[1]["relevance_score"]


@pytest.mark.parametrize(
    ("path", "status", "text"),
    [
        ("/rerank", 200, ""),
        ("/engines/llama.cpp/rerank", 200, ""),
        ("/v1/rerank", 404, "backend not found\n"),
        ("/engines/v1/rerank", 404, "backend not found\n"),
        ("/engines/llama.cpp/v1/rerank", 404, "not found\n"),
        ("/engines/score", 404, '"File Not Found"'),
    ],
)
def test_rerank_has_few_spellings(client: httpx2.Client, path: str, status: int, text: str) -> None:
    answer = rerank(client, "ai/bge-reranker-v2-m3", path)
    assert answer.status_code == status
    assert text in answer.text


def test_an_origin_is_refused(client: httpx2.Client) -> None:
    answer = client.get("/engines/status", headers={"Origin": "http://localhost:3000"})
    assert (answer.status_code, answer.text) == (403, "Origin not allowed\n")


def pull(client: httpx2.Client, reference: str, accept: str = "application/json") -> list[str]:
    body = {"from": reference}
    with client.stream("POST", "/models/create", json=body, headers={"Accept": accept}) as stream:
        assert stream.status_code == 200
        return list(stream.iter_lines())


def test_a_pull_tells_its_progress_and_then_the_model_is_there(client: httpx2.Client) -> None:
    lines = [json.loads(each) for each in pull(client, "ai/nomic-embed-text-v1.5")]
    assert {each["type"] for each in lines[:-1]} == {"progress"}
    assert lines[-1]["message"] == "Model pulled successfully"
    last = {each["layer"]["id"]: each["layer"]["current"] for each in lines[:-1]}
    assert sum(last.values()) == lines[0]["total"]
    assert client.get("/engines/v1/models/nomic-embed-text-v1.5").status_code == 200
    assert "Using cached model" in pull(client, "ai/nomic-embed-text-v1.5")[0]


def test_only_one_accept_header_gives_plain_json(client: httpx2.Client) -> None:
    lines = pull(client, "ai/nomic-embed-text-v1.5", accept="application/json, */*")
    assert lines[0].startswith("{&#34;type&#34;:&#34;progress&#34;")


def test_hugging_face_takes_two_passes(client: httpx2.Client) -> None:
    reference = "hf.co/ggml-org/embeddinggemma-300M-GGUF:Q8_0"
    lines = [json.loads(each) for each in pull(client, reference)]
    assert "id" not in lines[0]["layer"]
    moved = {each["layer"]["id"]: each["layer"]["size"] for each in lines if "id" in each["layer"]}
    assert sum(moved.values()) == 2 * lines[2]["total"]


def test_a_pull_can_end_badly_with_status_200(client: httpx2.Client) -> None:
    torn = pull(client, "ai/torn")
    assert json.loads(torn[-2])["type"] == "error"
    assert not torn[-1].startswith("{")
    assert json.loads(pull(client, "ai/unfinished")[-1])["type"] == "progress"
    assert client.get("/engines/v1/models/ai/torn").status_code == 404


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({"from": "ai/absent"}, 401),
        ({"from": "hf.co/nobody/nothing"}, 404),
        ({"from": "hf.co/acme/private-embedder", "bearer-token": "hf_wrong"}, 401),
        ({"from": "hf.co/acme/private-embedder", "bearer-token": "hf_right"}, 200),
        ({"from": ""}, 400),
    ],
)
def test_pulls_are_refused(client: httpx2.Client, body: dict[str, str], status: int) -> None:
    assert client.post("/models/create", json=body).status_code == status


def test_a_third_pull_waits(light_runner: Runner, client: httpx2.Client) -> None:
    light_runner.pull_seconds = 0.01
    names = ["ai/nomic-embed-text-v1.5", "ai/torn", "ai/unfinished"]
    waiting = [threading.Thread(target=pull, args=(client, name)) for name in names]
    for each in waiting:
        each.start()
    for each in waiting:
        each.join()
    assert client.get("/engines/v1/models/nomic-embed-text-v1.5").status_code == 200


def test_a_model_goes_when_its_last_tag_goes(client: httpx2.Client) -> None:
    identity = client.get("/models/ai/smollm2").json()["id"]
    tagged = client.post("/models/ai/smollm2/tag?repo=mine&tag=v1")
    assert tagged.status_code == 201
    assert client.delete(f"/models/{identity}").status_code == 409
    assert client.delete("/models/ai/smollm2").json() == [
        {"Untagged": "docker.io/ai/smollm2:latest"}
    ]
    assert client.delete("/models/mine:v1").json()[-1] == {"Deleted": identity}
    assert client.delete("/models/mine:v1").status_code == 404


def test_a_chat_is_streamed_and_then_the_connection_closes(
    light_runner: Runner, client: httpx2.Client
) -> None:
    body = {
        "model": "ai/smollm2",
        "messages": [{"role": "user", "content": "Hi"}],
        "stream": True,
        "stream_options": {"include_usage": True},
    }
    with client.stream("POST", "/engines/v1/chat/completions", json=body) as stream:
        events = [each.removeprefix("data: ") for each in stream.iter_lines() if each]
    assert events[-1] == "[DONE]"
    chunks = [json.loads(each) for each in events[:-1]]
    said = [each["choices"][0]["delta"].get("content") or "" for each in chunks if each["choices"]]
    assert "".join(said) == "Hello from a tiny scripted model; café 中文 🎉 done."
    assert chunks[-1]["usage"]["prompt_tokens"] > 0
    # it says that it keeps the connection, and closes it
    assert stream.headers["keep-alive"] == "timeout=5, max=100"
    with httpx2.Client(base_url=light_runner.url) as another:
        assert another.get("/engines/ps").json()[0].get("in_use") is None


def test_a_chat_model_calls_the_tool_it_is_given(client: httpx2.Client) -> None:
    parameters = {"type": "object", "properties": {"query": {"type": "string"}}}
    tool = {"type": "function", "function": {"name": "search", "parameters": parameters}}
    body = {
        "model": "ai/smollm2",
        "messages": [{"role": "user", "content": "Hi"}],
        "tools": [tool],
    }
    answer = client.post("/engines/v1/chat/completions", json=body).json()["choices"][0]
    assert answer["finish_reason"] == "tool_calls"
    call = answer["message"]["tool_calls"][0]["function"]
    assert (call["name"], json.loads(call["arguments"])) == (
        "search",
        {"query": "how to parse json"},
    )


def test_a_chat_model_embeds_nothing(client: httpx2.Client) -> None:
    refused = embed(client, "x", model="ai/smollm2")
    assert refused.status_code == 400
    assert "Pooling type 'none' is not OAI compatible" in refused.text


def test_a_broken_model_does_not_load(client: httpx2.Client) -> None:
    refused = embed(client, "x", model="ai/broken")
    assert refused.status_code == 500
    assert "failed to load model" in refused.text.splitlines()[0]


def test_faults_come_in_order_and_then_all_is_well(
    light_runner: Runner, client: httpx2.Client
) -> None:
    light_runner.fail(
        "*/embeddings",
        [faults.BAD_GATEWAY, faults.too_many(7), faults.RUNNER_DIED, faults.RESET, faults.HALF],
    )
    assert (embed(client, "x").status_code, embed(client, "x").headers["retry-after"]) == (502, "7")
    assert embed(client, "x").json()["sequence_number"] == 1
    with pytest.raises(httpx2.ReadError):
        embed(client, "x")
    with pytest.raises(httpx2.RemoteProtocolError):
        embed(client, "x")
    assert embed(client, "x").status_code == 200
    assert [each.fault for each in light_runner.requests] == [
        *("502", "429", "died", "reset", "half"),
        "",
    ]


def test_a_hanging_request_is_never_answered(light_runner: Runner) -> None:
    light_runner.fail("*", faults.HANG)
    hasty = httpx2.Client(base_url=light_runner.url, timeout=HASTY)
    with hasty, pytest.raises(httpx2.ReadTimeout):
        embed(hasty, "x")
    assert [each.status for each in light_runner.requests] == [None]


def test_an_answer_can_be_changed(light_runner: Runner, client: httpx2.Client) -> None:
    def spoil(value: dict[str, list[dict[str, object]]]) -> object:
        value["data"][0]["embedding"] = [float("nan")] * 3
        return value

    light_runner.fail("*/embeddings", faults.changes(spoil))
    assert "NaN" in embed(client, "x").text


def test_a_rate_of_faults_is_repeatable(light_runner: Runner, client: httpx2.Client) -> None:
    def statuses() -> list[int]:
        light_runner.faults.clear()
        light_runner.fail("*/status", [faults.BAD_GATEWAY], rate=0.2, seed=3)
        return [client.get("/engines/status").status_code for _ in range(40)]

    first = statuses()
    assert first == statuses()
    assert 2 <= first.count(502) <= 16


def test_a_runner_that_is_down_refuses_connections(light_runner: Runner) -> None:
    light_runner.down()
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", light_runner.port))
    light_runner.up()
    with httpx2.Client(base_url=light_runner.url) as client:
        assert client.get("/engines/ps").json() == []


def test_a_double_forgets_what_a_test_did(light_runner: Runner, client: httpx2.Client) -> None:
    light_runner.only("ai/smollm2")
    light_runner.fail("*", faults.BAD_GATEWAY, rate=1)
    light_runner.reset()
    with httpx2.Client(base_url=light_runner.url) as again:
        assert embed(again, "x").status_code == 200
    assert [each.path for each in light_runner.seen("POST *")] == [EMBEDDINGS]


def test_a_plain_server_has_openai_s_routes(light_openai: OpenAIServer) -> None:
    light_openai.key = "secret"
    headers = {"Authorization": "Bearer secret"}
    with httpx2.Client(base_url=light_openai.base_url, headers=headers) as client:
        assert "all-minilm" in [each["id"] for each in client.get("/models").json()["data"]]
        answer = client.post("/embeddings", json={"model": "all-minilm", "input": ["x"]})
        assert len(answer.json()["data"][0]["embedding"]) == 384
        body = {"model": "bge-reranker-v2-m3", "query": "x", "documents": ["x", "y"]}
        assert len(client.post("/rerank", json=body).json()["results"]) == 2
        unknown = client.post("/embeddings", json={"model": "absent", "input": ["x"]})
        assert (unknown.status_code, unknown.json()["error"]["code"]) == (404, 404)
        light_openai.reranks = False
        assert client.post("/rerank", json=body).status_code == 404
        headers["Authorization"] = "Bearer wrong"
        refused = client.get("/models", headers=headers)
    assert (refused.status_code, "API key" in refused.text) == (401, True)
