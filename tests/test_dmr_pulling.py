"""Pulling a model: progress, both passes, and every way in which it can end."""

from __future__ import annotations

import itertools
import json
import threading
import time

import pytest
from engine.faults import BAD_GATEWAY, RESET, UNAVAILABLE, Fault, replies

from ragkit.errors import ModelError, ModelNotFound, ModelUnreachable
from ragkit.models.dmr.places import endpoint_of
from ragkit.models.dmr.runner import PullProgress, Runner
from ragkit.models.http import Endpoint

ABSENT = "ai/nomic-embed-text-v1.5"
GATED = "hf.co/acme/private-embedder"
TWICE = "hf.co/ggml-org/embeddinggemma-300M-GGUF:Q8_0"
slept: list[float] = []


@pytest.fixture(params=["tcp", "unix"])
def runner(request, light_runner, monkeypatch):
    monkeypatch.delenv("HF_TOKEN", raising=False)
    place = light_runner.url if request.param == "tcp" else f"unix://{light_runner.socket}"
    made = Runner(endpoint_of(place), sleep=slept.append)
    slept.clear()
    yield made
    made.client.close()


def phases(steps: list[PullProgress]) -> list[str]:
    return [phase for phase, _ in itertools.groupby(step.phase for step in steps)]


def lines(*values: object) -> str:
    return "".join(
        (value if isinstance(value, str) else json.dumps(value)) + "\n" for value in values
    )


def progress(**layer: object) -> dict[str, object]:
    return {"type": "progress", "message": "", "total": 100, "layer": layer}


def test_a_pull_tells_each_layers_bytes_and_ends_with_success(runner):
    steps = list(runner.pull(ABSENT))

    assert phases(steps) == ["downloading", "success"]
    last = {step.layer: step for step in steps if step.layer}
    assert sum(step.current for step in last.values()) == steps[0].total == 260 * 2**20
    assert all(step.current == step.size for step in last.values())
    assert runner.model(ABSENT) is not None


def test_hugging_face_is_downloaded_then_stored(runner):
    steps = list(runner.pull(TWICE))

    assert phases(steps) == ["info", "downloading", "info", "storing", "success"]
    assert [step.message for step in steps if step.phase == "info"] == [
        "Fetching file list…",
        "Selected Q8_0 quantization (default)",
        "Building model artifact…",
    ]
    files = {step.layer for step in steps if step.phase == "downloading"}
    layers = {step.layer for step in steps if step.phase == "storing"}
    assert files.isdisjoint(layers)


def test_the_users_spelling_is_sent_for_registries_mind_the_case(runner, light_runner):
    list(runner.pull(f"  {TWICE} "))

    [seen] = light_runner.seen("/models/create")
    assert seen.json == {"from": TWICE}
    assert seen.headers["accept"] == "application/json"


def test_a_stream_that_is_escaped_for_html_is_understood(runner, light_runner):
    escaped = lines(progress(id="a", size=100, current=50), {"type": "success", "message": "ok"})
    light_runner.fail("/models/create", replies(200, escaped.replace('"', "&#34;")))

    assert list(runner.pull(ABSENT)) == [
        PullProgress("downloading", "", "a", 50, 100, 100),
        PullProgress("success", "ok"),
    ]


def test_keys_of_the_first_versions_are_understood(runner, light_runner):
    old = {"type": "progress", "total": 9, "layer": {"ID": "a", "Size": 9, "Current": 3}}
    light_runner.fail("/models/create", replies(200, lines(old, {"type": "success"})))

    assert next(runner.pull(ABSENT)) == PullProgress("downloading", "", "a", 3, 9, 9)


def test_warnings_are_told(runner, light_runner):
    warned = lines({"type": "warning", "message": "old format"}, {"type": "success"})
    light_runner.fail("/models/create", replies(200, warned))

    assert next(runner.pull(ABSENT)) == PullProgress("info", "warning: old format")


# -- ends


def test_an_error_half_way_is_a_failure_whatever_the_status_was(runner):
    with pytest.raises(ModelError, match="unexpected EOF"):
        list(runner.pull("ai/torn"))
    assert runner.model("ai/torn") is None
    assert slept == []


def test_a_stream_that_just_ends_is_a_failure(runner):
    with pytest.raises(ModelError, match="ended before it was done") as caught:
        list(runner.pull("ai/unfinished"))
    assert caught.value.remedy


@pytest.mark.parametrize(
    ("tail", "words", "remedy"),
    [
        ([{"type": "error", "message": "Error: no space left on device"}], "space", "df"),
        (["dial tcp: lookup registry: no such host"], "no such host", "network"),
        ([{"type": "error", "message": "Error: a"}, "pulling: a"], "failed: a", "logs"),
        ([{"type": "error"}], "no reason given", "logs"),
        ([{"type": "error", "message": "status 416 Range Not Satisfiable"}], "416", "rm"),
        (['{"type":"progress","mess'], "mess", "logs"),
    ],
)
def test_how_a_stream_ends_decides_what_is_said(runner, light_runner, tail, words, remedy):
    light_runner.fail(
        "/models/create", replies(200, lines(progress(id="a", size=9, current=1), *tail))
    )

    with pytest.raises(ModelError, match=words) as caught:
        list(runner.pull(ABSENT))
    assert remedy in caught.value.remedy


@pytest.mark.parametrize(
    "reference", ["ai/nobody-has-this", "registry.example.com/nobody/x", GATED]
)
def test_what_the_registry_does_not_give_is_not_found_or_no_access(runner, reference):
    with pytest.raises(ModelNotFound, match="not found or no access") as caught:
        list(runner.pull(reference))
    assert reference in caught.value.message
    assert ("HF_TOKEN" in caught.value.remedy) == (reference == GATED)


@pytest.mark.parametrize(
    ("status", "body", "words"),
    [
        (400, "Invalid model reference", "is not the name of a model"),
        (422, "unsupported config media type", "does not know"),
        (500, "reading model from registry: dial tcp: i/o timeout", "i/o timeout"),
        (507, "Runtime memory requirement", "memory"),
    ],
)
def test_a_refusal_before_the_first_byte_is_an_error_with_a_remedy(
    runner, light_runner, status, body, words
):
    light_runner.fail("/models/create", replies(status, body))

    with pytest.raises(ModelError, match=words) as caught:
        list(runner.pull(ABSENT))
    assert caught.value.remedy
    assert slept == []


@pytest.mark.parametrize("fault", [BAD_GATEWAY, UNAVAILABLE, RESET])
def test_a_connection_that_breaks_is_tried_again_as_docker_does(runner, light_runner, fault):
    light_runner.fail("/models/create", [fault] * 4)
    steps = list(runner.pull(ABSENT))

    assert slept == [1, 2, 4, 8]
    assert phases(steps) == ["info", "downloading", "success"]
    assert "trying again in 1 s" in steps[0].message


def test_a_connection_that_keeps_breaking_is_given_up(runner, light_runner):
    light_runner.fail("/models/create", RESET, rate=1)

    with pytest.raises(ModelUnreachable):
        list(runner.pull(ABSENT))
    assert slept == [1, 2, 4, 8]


def test_a_broken_stream_goes_on_with_the_next_attempt(runner, light_runner):
    torn = lines(progress(id="a", size=9, current=1))
    length = (("Content-Type", "application/json"), ("Content-Length", "5000"))
    light_runner.fail("/models/create", Fault("half", status=200, body=torn, headers=length))
    steps = list(runner.pull(ABSENT))

    assert steps[-1].phase == "success"


# -- tokens


def test_a_token_opens_what_is_gated(runner, light_runner):
    assert list(runner.pull(GATED, "hf_right"))[-1].phase == "success"

    [seen] = light_runner.seen("/models/create")
    assert seen.json["bearer-token"] == "hf_right"


def test_the_token_of_the_environment_is_sent_to_hugging_face_only(
    runner, light_runner, monkeypatch
):
    monkeypatch.setenv("HF_TOKEN", "hf_right")
    list(runner.pull(GATED))
    list(runner.pull(ABSENT))
    list(runner.pull("registry.example.com:5000/team/embedder:v2", "hf_right"))

    sent = ["bearer-token" in seen.json for seen in light_runner.seen("/models/create")]
    assert sent == [True, False, False]


def test_a_token_is_never_repeated(runner, light_runner):
    said = lines({"type": "error", "message": "Error: hf_secret is wrong"})
    light_runner.fail("/models/create", replies(200, said))

    with pytest.raises(ModelError) as caught:
        list(runner.pull(GATED, "hf_secret"))
    assert "hf_secret" not in caught.value.message + caught.value.remedy


# -- what is there already


def test_what_is_there_needs_no_registry(runner, light_runner):
    light_runner.offline = True
    steps = list(runner.pull("ai/embeddinggemma"))

    assert [step.phase for step in steps] == ["info", "success"]
    assert "not brought up to date" in steps[0].message


def test_what_is_there_is_brought_up_to_date(runner, light_runner):
    before = runner.model("ai/embeddinggemma").id
    light_runner.republish("ai/embeddinggemma")
    list(runner.pull("ai/embeddinggemma"))

    assert runner.model("ai/embeddinggemma").id != before


# -- leaving


def test_closing_the_pull_cancels_it(runner, light_runner):
    light_runner.pull_seconds = 0.02
    steps = runner.pull(ABSENT)
    assert next(steps).phase == "downloading"
    steps.close()
    time.sleep(0.1)

    assert runner.model(ABSENT) is None


def test_a_third_pull_waits_for_its_turn(runner, light_runner):
    light_runner.pull_seconds = 0.01
    references = [ABSENT, "registry.example.com:5000/team/embedder:v2", TWICE]
    ends = {}

    def pull(reference: str) -> None:
        ends[reference] = list(runner.pull(reference))[-1].phase

    threads = [threading.Thread(target=pull, args=(reference,)) for reference in references]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert ends == dict.fromkeys(references, "success")


def test_nobody_there_is_unreachable():
    with pytest.raises(ModelUnreachable):
        list(Runner(Endpoint("http://127.0.0.1:1"), sleep=slept.append).pull(ABSENT))
