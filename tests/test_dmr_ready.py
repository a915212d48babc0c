"""A model made ready: there, configured once, loaded."""

from __future__ import annotations

import threading

import pytest
from engine.faults import DISABLED, replies

from ragkit.errors import ModelError, ModelNotFound, ModelUnreachable
from ragkit.models.dmr import ready
from ragkit.models.dmr.options import options_of
from ragkit.models.dmr.places import endpoint_of
from ragkit.models.dmr.ready import prepare, prepare_again
from ragkit.models.dmr.runner import Configuration, Runner

GEMMA = "ai/embeddinggemma"
QWEN = "ai/qwen3-embedding:0.6B-F16"
RERANKER = "hf.co/ggml-org/qwen3-reranker-0.6b-q8_0-gguf"
slept: list[float] = []


@pytest.fixture(params=["tcp", "unix"])
def runner(request, light_runner, monkeypatch):
    monkeypatch.setattr(ready, "_told", {})  # what other tests have told counts for nothing
    place = light_runner.url if request.param == "tcp" else f"unix://{light_runner.socket}"
    made = Runner(endpoint_of(place), sleep=slept.append)
    slept.clear()
    yield made
    made.client.close()


def embed(runner: Runner, reference: str, words: int) -> int:
    """The status of embedding a text of so many words."""
    body = {"model": reference, "input": ["bird " * words]}
    return runner.client.send("POST", "/engines/v1/embeddings", body).status


def told(light_runner) -> list[dict]:
    return [seen.json for seen in light_runner.seen("POST /engines/_configure")]


def test_an_encoder_takes_its_whole_context_once_it_is_ready(runner):
    assert embed(runner, GEMMA, 1000) == 500
    prepared = prepare(runner, GEMMA, "embedding")

    assert (prepared.limit, prepared.context, prepared.notices) == (2048, None, ())
    assert embed(runner, GEMMA, 1000) == 200


def test_it_is_configured_for_its_work_then_loaded_for_it(runner, light_runner):
    prepare(runner, GEMMA, "embedding")

    [body] = told(light_runner)
    assert body["mode"] == "embedding"
    assert body["context-size"] == 2048
    loads = light_runner.seen("*/embeddings")
    assert [seen.headers["x-preload-only"] for seen in loads] == ["true"]
    assert (f"{GEMMA}:latest", "embedding") in light_runner.scheduler.loads


@pytest.mark.parametrize(
    ("reference", "mode", "limit", "context"),
    [
        (QWEN, "embedding", 8192, 8192),
        (RERANKER, "reranking", 2048, 4096),
        ("ai/bge-reranker-v2-m3", "reranking", 512, None),
        ("ai/all-minilm", "embedding", 512, None),
        ("ai/smollm2", "completion", 4096, 4096),
    ],
)
def test_every_kind_of_model_is_made_ready(runner, light_runner, reference, mode, limit, context):
    prepared = prepare(runner, reference, mode)

    assert (prepared.limit, prepared.context, prepared.notices) == (limit, context, ())
    assert light_runner.scheduler.loads[-1][1] == mode


def test_what_needs_no_configuration_gets_none_and_is_not_loaded_for_chat(runner, light_runner):
    prepare(runner, "ai/all-minilm", "embedding")

    assert told(light_runner) == []
    assert [mode for _, mode in light_runner.scheduler.loads] == ["embedding"]


def test_a_model_is_configured_once_however_often_it_is_made_ready(runner, light_runner):
    for _ in range(3):
        prepare(runner, GEMMA, "embedding")

    assert len(told(light_runner)) == 1


def test_many_threads_configure_once_and_load_one_at_a_time(runner, light_runner):
    threads = [
        threading.Thread(target=prepare, args=(runner, GEMMA, "embedding")) for _ in range(6)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert len(told(light_runner)) == 1


def test_a_configuration_that_is_there_already_is_not_sent_again(runner, light_runner):
    flags = ("--batch-size", "2048", "--ubatch-size", "2048")
    runner.configure(Configuration(GEMMA, "embedding", 2048, flags, "30m0s"))
    prepare(runner, GEMMA, "embedding")

    assert len(told(light_runner)) == 1


def test_a_better_one_of_another_client_stays_and_says_how_much_it_takes(runner, light_runner):
    flags = ("--embeddings", "-b", "4096", "-ub", "4096")
    runner.configure(Configuration(GEMMA, "embedding", 4096, flags))
    prepared = prepare(runner, GEMMA, "embedding")

    assert len(told(light_runner)) == 1
    assert prepared.limit == 4096


def test_two_programs_do_not_take_turns(runner, light_runner):
    prepare(runner, GEMMA, "embedding")
    runner.configure(Configuration(GEMMA, "embedding", 256))
    prepared = prepare(runner, GEMMA, "embedding")

    assert len(told(light_runner)) == 2
    assert prepared.limit == 256
    assert "another program" in prepared.notices[0]


def test_a_restarted_runner_is_told_again(runner, light_runner):
    prepare(runner, GEMMA, "embedding")
    light_runner.restart()

    assert prepare(runner, GEMMA, "embedding").limit == 2048
    assert embed(runner, GEMMA, 1000) == 200


def test_a_model_that_was_loaded_before_it_was_told_is_loaded_anew(runner, light_runner):
    prepare(runner, GEMMA, "embedding")
    # as after a load that had begun before: the runner says that it is configured, and it is not
    told_then = dict(light_runner.scheduler.configurations)
    light_runner.restart()
    embed(runner, GEMMA, 1)
    light_runner.scheduler.configurations.update(told_then)
    assert prepare(runner, GEMMA, "embedding").limit == 2048
    assert embed(runner, GEMMA, 1000) == 500

    assert prepare_again(runner, GEMMA, "embedding").limit == 2048
    assert embed(runner, GEMMA, 1000) == 200


def test_a_refused_flag_is_left_out_and_told(runner, light_runner):
    options = options_of({"runtime_flags": ["--numa", "distribute", "--threads=8"]})
    prepared = prepare(runner, GEMMA, "embedding", options)

    assert "--numa" not in told(light_runner)[-1]["runtime-flags"]
    assert "--threads" in told(light_runner)[-1]["runtime-flags"]
    words = " ".join(prepared.notices)
    assert "--threads=8 is sent as --threads 8" in words
    assert "refuses the flag --numa: left out" in words
    assert prepared.limit == 2048
    assert prepare(runner, GEMMA, "embedding", options).notices == prepared.notices


def test_a_refused_flag_that_changes_vectors_is_an_error(runner, light_runner):
    light_runner.fail(
        "POST /engines/_configure",
        replies(500, 'runtime flag "--pooling" is not allowed for backend "llama.cpp"'),
    )

    with pytest.raises(ModelError, match="--pooling"):
        prepare(runner, GEMMA, "embedding", options_of({"runtime_flags": "--pooling cls"}))


def test_a_refused_configuration_is_told_and_the_work_goes_on(runner, light_runner):
    light_runner.fail("POST /engines/_configure", replies(500, "it rains"), rate=1)
    prepared = prepare(runner, GEMMA, "embedding")

    assert prepared.limit == 512
    assert "it rains" in prepared.notices[0]


def test_where_flags_are_refused_for_whatever_reason_the_context_is_still_told(
    runner, light_runner
):
    light_runner.fail("POST /engines/_configure", replies(500, "it rains"))
    prepared = prepare(runner, QWEN, "embedding")

    assert told(light_runner)[-1] == {
        "model": QWEN,
        "mode": "embedding",
        "context-size": 8192,
    }
    assert prepared.limit == 8192


def test_a_model_in_use_goes_on_as_it_is_loaded(runner, light_runner):
    light_runner.fail("POST /engines/_configure", replies(409, "runner already active"), rate=1)
    prepared = prepare(runner, GEMMA, "embedding")

    assert prepared.limit == 512
    assert "in use" in prepared.notices[0]


def test_a_runner_that_tells_no_configurations_is_told_once(runner, light_runner):
    light_runner.fail("GET /engines/_configure", replies(405, "Method Not Allowed"), rate=1)

    assert prepare(runner, GEMMA, "embedding").limit == 2048


def test_an_absent_model_is_told_with_the_ways_to_get_it_and_nothing_is_pulled(
    runner, light_runner
):
    with pytest.raises(ModelNotFound, match=r"ai/nomic-embed-text-v1\.5") as caught:
        prepare(runner, "ai/nomic-embed-text-v1.5", "embedding")

    assert "docker model pull ai/nomic-embed-text-v1.5" in caught.value.remedy
    assert light_runner.seen("POST *") == []


def test_an_absent_draft_model_is_told(runner, light_runner):
    options = options_of({"speculative_draft_model": "ai/nobody"})

    with pytest.raises(ModelNotFound, match="ai/nobody"):
        prepare(runner, "ai/smollm2", "completion", options)


@pytest.mark.parametrize("reference", [RERANKER, "ai/bge-reranker-v2-m3"])
def test_a_reranker_that_should_embed_is_refused_before_it_is_loaded(
    runner, light_runner, reference
):
    with pytest.raises(ModelError, match="is a reranker"):
        prepare(runner, reference, "embedding")
    assert light_runner.scheduler.loads == []


def test_a_model_that_cannot_be_loaded_is_an_error_with_its_reason(runner):
    with pytest.raises(ModelError, match="ai/broken") as caught:
        prepare(runner, "ai/broken", "embedding")
    assert "docker model logs" in caught.value.remedy
    assert slept == []


def test_a_flag_that_stops_the_engine_is_named(runner, light_runner):
    # allowed by the runner, without the value that llama.cpp wants
    options = options_of({"runtime_flags": ["--threads"]})

    with pytest.raises(ModelError, match="--threads") as caught:
        prepare(runner, "ai/smollm2", "completion", options)
    assert caught.value.remedy
    assert slept == []


def test_a_runner_that_is_just_starting_is_waited_for(runner, light_runner):
    light_runner.fail("*/embeddings", [DISABLED, DISABLED])

    assert prepare(runner, "ai/all-minilm", "embedding").limit == 512
    assert [round(pause) for pause in slept] == [1, 2]


def test_a_reranker_is_loaded_where_an_old_runner_has_the_path(runner, light_runner):
    light_runner.fail("/engines/rerank", replies(404, "404 page not found"), rate=1)

    prepare(runner, "ai/bge-reranker-v2-m3", "reranking")
    assert light_runner.seen("/rerank")[-1].status == 200


def test_nothing_there_is_unreachable():
    with pytest.raises(ModelUnreachable):
        prepare(Runner(endpoint_of("http://127.0.0.1:1")), GEMMA, "embedding")
