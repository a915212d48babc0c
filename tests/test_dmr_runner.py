"""One model runner: what it has and runs, over TCP and through a socket."""

from __future__ import annotations

import json

import pytest
from engine.faults import BAD_GATEWAY, EMPTY_500, RESET, UNAVAILABLE, replies

from ragkit.errors import ModelBusy, ModelError, ModelNotFound, ModelUnreachable
from ragkit.models.dmr.places import endpoint_of
from ragkit.models.dmr.records import seconds
from ragkit.models.dmr.runner import (
    Configuration,
    FlagRefused,
    Runner,
    Speculative,
    not_found,
)
from ragkit.models.http import Endpoint

EMBED = Configuration("ai/embeddinggemma", "embedding", 2048, ("-ub", "2048"), "30m")


@pytest.fixture(params=["tcp", "unix"])
def runner(request, light_runner):
    place = light_runner.url if request.param == "tcp" else f"unix://{light_runner.socket}"
    made = Runner(endpoint_of(place), sleep=slept.append)
    slept.clear()
    yield made
    made.client.close()


slept: list[float] = []


# -- what it is and has


def test_a_runner_tells_its_version_its_engines_and_its_disk(runner):
    assert runner.version() == "v1.2.6"
    assert runner.backends()["llama.cpp"].startswith("Running")
    models, engine = runner.disk()
    assert models > 10**9
    assert engine >= 0


def test_an_old_runner_tells_no_version(runner, light_runner):
    light_runner.old = True

    assert runner.version() is None


def test_models_are_told_with_what_their_files_say(runner):
    found = {model.tags[0]: model for model in runner.models()}
    gemma = found["docker.io/ai/embeddinggemma:latest"]

    assert gemma.id.startswith("sha256:")
    assert (gemma.dimensions, gemma.context, gemma.pooling) == (768, 2048, 1)
    assert (gemma.format, gemma.architecture) == ("gguf", "gemma-embedding")
    assert (gemma.parameters, gemma.quantization) == ("302.86M", "Q8_0")
    assert gemma.metadata["general.architecture"] == "gemma-embedding"
    assert found["docker.io/ai/smollm2:latest"].pooling is None


def test_the_context_that_is_stored_counts_before_that_of_the_file(runner):
    model = runner.model("ai/qwen3-embedding:0.6B-F16")

    assert model.context == 2048
    assert model.metadata["qwen3.context_length"] == "32768"


@pytest.mark.parametrize("old", [False, True])
@pytest.mark.parametrize(
    "spelling",
    [
        "embeddinggemma",
        "ai/embeddinggemma",
        "AI/EmbeddingGemma:latest",
        "docker.io/ai/embeddinggemma",
        "index.docker.io/ai/embeddinggemma:latest",
        "id",
        "short id",
        "bare id",
    ],
)
def test_every_spelling_of_a_model_finds_it(runner, light_runner, spelling, old):
    light_runner.old = old
    [identity] = [one.id for one in runner.models() if "embeddinggemma" in one.tags[0]]
    digits = identity.removeprefix("sha256:")
    spelling = {"id": identity, "short id": digits[:12], "bare id": digits}.get(spelling, spelling)

    found = runner.model(spelling)

    assert found is not None
    assert found.id == identity
    assert runner.model(found.reference).id == identity


@pytest.mark.parametrize("old", [False, True])
@pytest.mark.parametrize(
    "spelling",
    [
        "hf.co/ggml-org/qwen3-reranker-0.6b-q8_0-gguf",
        "huggingface.co/ggml-org/Qwen3-Reranker-0.6B-Q8_0-GGUF",
        "hf.co/ggml-org/Qwen3-Reranker-0.6B-Q8_0-GGUF:latest",
    ],
)
def test_hugging_face_has_two_names(runner, light_runner, spelling, old):
    light_runner.old = old

    assert runner.model(spelling).pooling == 4


def test_a_tag_of_hugging_face_is_found_in_whichever_case_it_was_stored(runner, light_runner):
    light_runner.only("hf.co/community/Qwen3-Reranker-0.6B-GGUF:Q4_K_M")
    found = runner.model("hf.co/community/Qwen3-Reranker-0.6B-GGUF:q4_k_m")

    assert found.reference.endswith(":Q4_K_M")
    assert runner.model(found.reference) is not None


@pytest.mark.parametrize(
    "reference", ["nomic-embed-text-v1.5", "me/embeddinggemma", "ai/qwen3-embedding", "", "0" * 12]
)
def test_what_requests_do_not_reach_is_not_there(runner, reference):
    assert runner.model(reference) is None


def test_half_a_name_never_finds_another_model(runner, light_runner):
    light_runner.only("hf.co/community/Qwen3-Reranker-0.6B-GGUF:Q4_K_M")

    assert runner.model("qwen3-reranker-0.6b-gguf") is None


def test_a_model_with_several_tags_is_found_by_each(runner, light_runner):
    light_runner.store.tag("ai/smollm2", "me/small:v2")

    assert runner.model("me/small:v2").id == runner.model("smollm2").id


def test_no_model_is_completed_to_an_action_of_the_runner(runner, light_runner):
    with pytest.raises(ModelNotFound):
        runner.remove("purge")

    assert runner.models()
    assert light_runner.requests[0].path == "/models/ai/purge:latest"


def test_a_server_that_only_lists_its_models_is_looked_through(runner, light_runner):
    listed = {"object": "list", "data": [{"id": "all-minilm:latest", "object": "model"}]}
    missing = replies(404, "<html>404 page not found</html>")
    for path in ("/engines/v1/models*", "/models*"):
        light_runner.fail(path, missing, rate=1.0)
    light_runner.fail("/v1/models", replies(200, json.dumps(listed)), rate=1.0)

    assert runner.model("all-minilm").reference == "all-minilm:latest"
    assert runner.model("another") is None


def test_a_stranger_is_noticed_when_its_models_are_asked_for(runner, light_runner):
    light_runner.fail("*", replies(404, "<html>"), rate=1.0)

    with pytest.raises(ModelUnreachable, match="something else") as caught:
        runner.model("ai/embeddinggemma")
    assert "docker" in caught.value.remedy.lower()


def test_a_trouble_of_the_store_is_an_error_and_not_an_absence(runner, light_runner):
    light_runner.fail("/engines/v1/models/*", replies(500, "error while getting model: disk"))

    with pytest.raises(ModelError, match="disk"):
        runner.model("ai/embeddinggemma")


def test_the_registry_tells_of_a_model_that_is_not_there(runner):
    assert runner.remote("ai/nomic-embed-text-v1.5").parameters == "136.73M"
    assert runner.remote("ai/nobody-has-this") is None


def test_a_registry_out_of_reach_tells_nothing(runner, light_runner):
    light_runner.offline = True

    assert runner.remote("ai/nomic-embed-text-v1.5") is None


def test_the_error_for_an_absent_model_names_it_its_size_and_the_ways_to_get_it(runner):
    error = not_found(runner, "ai/nomic-embed-text-v1.5")

    assert "ai/nomic-embed-text-v1.5" in error.message
    assert str(runner.endpoint) in error.message
    for way in ("docker model pull ai/nomic", "ragkit models pull ai/nomic", "--pull", "260"):
        assert way in error.remedy


# -- removing, unloading


def test_removing_says_what_went(runner):
    lines = runner.remove("smollm2")

    assert [line.partition(":")[0] for line in lines] == ["Untagged", "Deleted"]
    assert runner.model("ai/smollm2") is None


def test_an_id_with_several_tags_is_removed_by_force_only(runner, light_runner):
    light_runner.store.tag("ai/smollm2", "me/small:v2")
    identity = runner.model("ai/smollm2").id

    with pytest.raises(ModelError, match="several tags") as caught:
        runner.remove(identity)
    assert "--force" in caught.value.remedy
    assert len(runner.remove(identity, force=True)) == 3


def test_unloading_frees_models_and_keeps_their_configurations(runner, light_runner):
    runner.configure(EMBED)
    load(runner, "ai/embeddinggemma")

    assert [one.mode for one in runner.running() if "gemma" in one.model].count("embedding") == 1
    assert runner.unload("docker.io/ai/embeddinggemma") >= 1
    assert runner.running() == []
    assert len(runner.configurations("ai/embeddinggemma")) == 1
    assert all(not seen.json["all"] for seen in light_runner.seen("/engines/unload"))


def test_unloading_nothing_asks_nothing(runner, light_runner):
    assert runner.unload() == 0
    assert light_runner.requests == []


def test_nothing_loaded_may_be_told_as_null(runner, light_runner):
    light_runner.fail("/engines/ps", replies(200, "null"))

    assert runner.running() == []


# -- configuring


def test_a_configuration_is_told_as_it_was_sent(runner):
    sent = Configuration(
        "ai/smollm2",
        "completion",
        4096,
        ("-ngl", "33"),
        "1h30m",
        Speculative("ai/qwen3", 16, 0.8),
        reasoning_budget=100,
    )
    runner.configure(sent)
    [told] = runner.configurations("smollm2")

    assert told.mode == "completion"
    assert told.id == runner.model("smollm2").id
    assert told.configuration.like(sent)


def test_a_mode_is_always_sent(runner, light_runner):
    runner.configure(EMBED)

    [seen] = light_runner.seen("POST /engines/_configure")
    assert seen.json == {
        "model": "ai/embeddinggemma:latest",
        "mode": "embedding",
        "context-size": 2048,
        "runtime-flags": ["-ub", "2048"],
        "keep_alive": "30m",
    }


def test_configurations_are_alike_however_their_durations_are_written():
    other = Configuration("embeddinggemma", "embedding", 2048, ("-ub", "2048"), "0h30m0s")

    assert EMBED.like(other)
    assert not EMBED.like(Configuration("embeddinggemma", "reranking", 2048, ("-ub", "2048")))


def test_a_runner_that_tells_no_configurations_tells_none(runner, light_runner):
    light_runner.fail("GET /engines/_configure", replies(405, "Method Not Allowed"))

    assert runner.configurations("ai/embeddinggemma") == []


@pytest.mark.parametrize("flags", [("--ngl", "33"), ("-ub", "2048", "--numa", "x")])
def test_a_flag_that_is_not_allowed_is_named(runner, flags):
    with pytest.raises(FlagRefused) as caught:
        runner.configure(Configuration("ai/embeddinggemma", "embedding", None, flags))

    assert caught.value.flag == flags[-2]
    assert caught.value.flag in caught.value.message
    assert slept == []


def test_a_path_in_a_flag_is_named(runner):
    with pytest.raises(FlagRefused) as caught:
        runner.configure(
            Configuration("ai/embeddinggemma", "embedding", None, ("--pooling", r"a\b"))
        )

    assert caught.value.flag == r"a\b"


def test_a_busy_model_is_waited_for(runner, light_runner):
    light_runner.fail("POST /engines/_configure", [replies(409, "runner already active")] * 3)
    runner.configure(EMBED)

    assert slept == [1, 2, 4]


def test_a_model_that_stays_busy_is_given_up(runner, light_runner):
    light_runner.fail("POST /engines/_configure", replies(409, "runner already active"), rate=1)

    with pytest.raises(ModelBusy, match="in use"):
        runner.configure(EMBED)
    assert 50 <= sum(slept) <= 70


# -- trouble on the way


@pytest.mark.parametrize("fault", [BAD_GATEWAY, UNAVAILABLE, RESET])
def test_a_connection_that_breaks_is_tried_again(runner, light_runner, fault):
    light_runner.fail("/models", [fault, fault])

    assert runner.models()
    assert slept == [1, 2]


def test_what_the_runner_itself_refuses_is_not_tried_again(runner, light_runner):
    light_runner.fail("/models", EMPTY_500)

    with pytest.raises(ModelError):
        runner.models()
    assert slept == []


def test_nobody_there_is_told_at_once_with_both_fixes():
    runner = Runner(Endpoint("http://127.0.0.1:1"), sleep=slept.append)
    slept.clear()

    with pytest.raises(ModelUnreachable, match="nothing listens there") as caught:
        runner.models()
    assert "docker-model-plugin" in caught.value.remedy
    assert slept == []


# -- log


def test_the_log_comes_line_by_line(runner):
    load(runner, "ai/embeddinggemma")

    assert any("loading" in line for line in runner.logs())
    assert all("loading" not in line for line in runner.logs(engines=False))


def test_following_the_log_goes_on_until_it_is_closed(runner):
    lines = runner.logs(follow=True)

    assert "Listening" in next(lines)
    lines.close()


def test_a_runner_without_a_log_says_where_it_is(runner, light_runner):
    light_runner.old = True

    with pytest.raises(ModelError) as caught:
        list(runner.logs())
    assert "docker model logs" in caught.value.remedy


@pytest.mark.parametrize(
    ("duration", "expected"),
    [
        ("30m", 1800),
        ("1h30m0s", 5400),
        ("1.5h", 5400),
        ("250ms", 0.25),
        ("0", 0),
        ("-1", -1),
        ("-30m", -1),
        ("30", None),
        ("soon", None),
        ("", None),
    ],
)
def test_durations_are_read_as_go_writes_them(duration, expected):
    assert seconds(duration) == expected


def load(runner: Runner, reference: str) -> None:
    reply = runner.client.send(
        "POST",
        "/engines/v1/embeddings",
        {"model": reference, "input": ["x"]},
        headers={"x-preload-only": "true"},
    )
    assert reply.status == 200
