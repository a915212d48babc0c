"""Reranking over HTTP: what is sent, what is made of the answer, and what goes wrong."""

from __future__ import annotations

import math
import traceback
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from engine import faults
from engine.runner import Runner

from ragkit.errors import InputTooLong, ModelError, ModelNotFound, ModelUnreachable
from ragkit.models.answers import Garbled
from ragkit.models.fitting import Room
from ragkit.models.http import Client, Endpoint
from ragkit.models.reranking import QUESTION, Loaded, RemoteReranker
from ragkit.models.scoring import Scale, scores_of
from ragkit.models.sending import Patience

QWEN = "hf.co/ggml-org/qwen3-reranker-0.6b-q8_0-gguf"
BROKEN = "hf.co/community/qwen3-reranker-0.6b-gguf:Q4_K_M"
BGE = "ai/bge-reranker-v2-m3"
QUICK = Patience(pause=0.01)

Made = Callable[..., RemoteReranker]


@pytest.fixture
def made(light_runner: Runner) -> Iterator[Made]:
    """A reranker that the runner serves."""
    open_now: list[RemoteReranker] = []

    def make(model: str = QWEN, **options: Any) -> RemoteReranker:
        client = Client(Endpoint(light_runner.url))
        reranker = RemoteReranker(
            client, **{"model": model, "name": f"dmr/{model}", "patience": QUICK, **options}
        )
        open_now.append(reranker)
        return reranker

    yield make
    for reranker in open_now:
        reranker.close()


def sent(runner: Runner, pattern: str = "*/rerank") -> list[dict[str, Any]]:
    """Bodies of the requests, without those of the check."""
    return [seen.json for seen in runner.seen(pattern) if seen.json["query"] != QUESTION]


def answered(change: Callable[[Any], Any]) -> faults.Fault:
    return faults.changes(change)


def test_scores_come_in_the_order_of_the_texts(made: Made) -> None:
    scores = made().rerank("birds at the feeder", ["cats", "birds at a feeder", "birds"])
    assert scores[1] > scores[2] > scores[0]
    assert all(0 <= score <= 1 for score in scores)


def test_an_answer_in_any_order_is_put_in_order(made: Made, light_runner: Runner) -> None:
    expected = made().rerank("birds at the feeder", ["cats", "birds at a feeder", "birds"])
    light_runner.unsorted = True
    assert made().rerank("birds at the feeder", ["cats", "birds at a feeder", "birds"]) == expected


def test_nothing_but_model_query_and_texts_is_sent(made: Made, light_runner: Runner) -> None:
    made().rerank("birds", ["a feeder", "birds"])
    assert sent(light_runner) == [
        {"model": QWEN, "query": "birds", "documents": ["a feeder", "birds"]}
    ]


def test_no_texts_are_no_request(made: Made, light_runner: Runner) -> None:
    reranker = made()
    assert reranker.rerank("birds", []) == []
    assert reranker.rerank("birds", ["", " \n"]) == [0.0, 0.0]
    assert light_runner.requests == []


def test_a_text_without_letters_scores_nothing_and_is_not_sent(
    made: Made, light_runner: Runner
) -> None:
    scores = made().rerank("birds", ["", "birds", "\t"])
    assert scores[0] == scores[2] == 0 < scores[1]
    assert sent(light_runner)[0]["documents"] == ["birds"]


def test_at_most_32_texts_go_in_a_request(made: Made, light_runner: Runner) -> None:
    texts = [f"bird number {n}" for n in range(70)]
    scores = made().rerank("bird number 69", texts)
    assert [len(body["documents"]) for body in sent(light_runner)] == [32, 32, 6]
    assert scores.index(max(scores)) == 69


def test_holes_of_the_prompt_are_defused(made: Made, light_runner: Runner) -> None:
    made().rerank("what is {document}?", ["a {query}", "{other}"])
    (body,) = sent(light_runner)
    assert "{document}" not in body["query"]
    assert "{query}" not in body["documents"][0]
    assert body["query"].replace("\u200b", "") == "what is {document}?"
    assert body["documents"][1] == "{other}"


def test_half_of_a_character_does_not_stop_a_search(made: Made) -> None:
    assert len(made().rerank("birds \ud83d", ["birds \udc26", "cats"])) == 2


# scores


def test_probabilities_stay_as_they_are() -> None:
    assert Scale().unit([0.0, 0.3, 1.0]) == [0.0, 0.3, 1.0]


def test_logits_become_probabilities() -> None:
    assert Scale().unit([0.0, 2.0, -800.0, 800.0]) == pytest.approx(
        [0.5, 1 / (1 + math.exp(-2)), 0.0, 1.0]
    )


def test_once_a_logit_always_a_logit() -> None:
    scale = Scale()
    scale.unit([-3.0, 4.0])
    assert scale.unit([0.2, 0.4]) == pytest.approx([0.549834, 0.598688])


def test_rounding_makes_no_logit() -> None:
    assert Scale().unit([1.0000001, -1e-9, 0.5]) == [1.0, 0.0, 0.5]


@pytest.mark.parametrize(
    ("architecture", "are_logits"),
    [
        ("bert", True),
        ("nomic-bert", True),
        ("jina-bert-v2", True),
        ("modern-bert", True),
        ("qwen3", False),
        ("", False),
        ("XLMRobertaForSequenceClassification", False),
    ],
)
def test_where_the_range_does_not_tell_the_architecture_does(
    architecture: str, are_logits: bool
) -> None:
    assert (Scale("auto", architecture).unit([0.25]) != [0.25]) is are_logits


def test_what_the_configuration_says_counts() -> None:
    assert Scale("probability", "bert").unit([0.25, 7.0]) == [0.25, 1.0]
    assert Scale("logit").unit([0.0]) == [0.5]


@pytest.mark.parametrize("model", [QWEN, BGE])
def test_both_kinds_of_models_score_an_answer_high(made: Made, model: str) -> None:
    low, high = made(model).rerank("birds feeder", ["cats", "birds feeder"])
    assert low == pytest.approx(0.011, abs=0.001)
    assert high == pytest.approx(0.989, abs=0.001)


@pytest.mark.parametrize(
    "answer",
    [
        {"results": [{"index": 1, "relevance_score": 0.9}, {"index": 0, "relevance_score": 0.1}]},
        {"data": [{"index": 0, "relevance_score": 0.1}, {"index": 1, "relevance_score": 0.9}]},
        [{"index": 1, "score": 0.9, "text": "b"}, {"index": 0, "score": 0.1}],
    ],
    ids=["jina", "voyage", "tei"],
)
def test_all_forms_of_answers_are_read(answer: Any) -> None:
    assert scores_of(answer, 2) == [0.1, 0.9]


@pytest.mark.parametrize(
    ("answer", "why"),
    [
        ({}, "no list"),
        ("fine", "no list"),
        ({"results": [1, 2]}, "no list"),
        ([], "0 scores came for 2"),
        ([{"index": 0, "score": 1}] * 3, "3 scores came for 2"),
        ([{"index": 0, "score": 1}, {"index": 0, "score": 1}], "each once"),
        ([{"index": 0, "score": 1}, {"index": 2, "score": 1}], "each once"),
        ([{"index": 0, "score": 1}, {"score": 1}], "each once"),
        ([{"index": 0, "score": 1}, {"index": True, "score": 1}], "each once"),
        ([{"index": 0, "score": 1}, {"index": 1, "score": None}], "not a number"),
        ([{"index": 0, "score": 1}, {"index": 1, "score": math.nan}], "not a number"),
        ([{"index": 0, "score": 1}, {"index": 1, "score": math.inf}], "not a number"),
    ],
)
def test_an_answer_that_does_not_fit_is_refused(answer: Any, why: str) -> None:
    with pytest.raises(Garbled, match=why):
        scores_of(answer, 2)


def test_a_score_that_is_no_number_is_an_error_and_no_hit(made: Made, light_runner: Runner) -> None:
    reranker = made()
    reranker.self_check()
    light_runner.fail("*/rerank", answered(lambda value: value | {"results": []}))
    with pytest.raises(ModelError, match="0 scores came for 1 texts") as raised:
        reranker.rerank("birds", ["birds"])
    assert QWEN in raised.value.message
    assert raised.value.remedy


# the check


def test_a_model_is_checked_once(made: Made, light_runner: Runner) -> None:
    reranker = made()
    for _ in range(3):
        reranker.rerank("birds", ["birds"])
    assert len(light_runner.seen("*/rerank")) == 4


def test_a_model_without_classifier_is_found_out(made: Made, light_runner: Runner) -> None:
    reranker = made(BROKEN)
    for _ in range(2):
        with pytest.raises(ModelError, match="without the classifier") as raised:
            reranker.rerank("birds", ["birds", "cats"])
        assert "ggml-org" in raised.value.remedy
    assert len(light_runner.seen("*/rerank")) == 1


def test_a_model_that_prefers_nonsense_is_found_out(made: Made, light_runner: Runner) -> None:
    def swapped(value: Any) -> Any:
        for result in value["results"]:
            result["index"] = 3 - result["index"]
        return value

    light_runner.fail("*/rerank", answered(swapped))
    with pytest.raises(ModelError, match="does not rerank"):
        made().rerank("birds", ["birds"])


def test_a_model_that_scores_by_place_is_found_out(made: Made, light_runner: Runner) -> None:
    def placed(value: Any) -> Any:
        value["results"] = [
            {"index": index, "relevance_score": score}
            for index, score in enumerate((0.1, 0.9, 0.2, 0.6))
        ]
        return value

    light_runner.fail("*/rerank", answered(placed))
    with pytest.raises(ModelError, match=r"0\.6 and 0\.9 to the same text"):
        made().rerank("birds", ["birds"])


def test_the_check_tells_both_scores(made: Made) -> None:
    right, wrong = made().self_check()
    assert right > 0.9
    assert wrong < 0.1


def test_a_check_that_could_not_be_made_is_made_again(made: Made, light_runner: Runner) -> None:
    reranker = made()
    light_runner.fail("*/rerank", faults.replies(400, "invalid request\n"))
    with pytest.raises(ModelError):
        reranker.rerank("birds", ["birds"])
    assert reranker.rerank("birds", ["birds"]) == [pytest.approx(0.989, abs=0.001)]


def test_what_must_be_ready_is_made_so_once(made: Made) -> None:
    seen: list[int] = []

    def ready() -> Loaded:
        seen.append(1)
        return Loaded(512, "qwen3")

    reranker = made(ready=ready)
    assert not seen
    reranker.rerank("birds", ["birds"])
    reranker.rerank("birds", ["birds"])
    assert seen == [1]


# what is too long


LONG = "Birds are counted at the feeder, and squirrels are not. " * 200


def test_a_long_text_is_cut_before_it_is_sent(made: Made, light_runner: Runner) -> None:
    scores = made(limit=512).rerank("birds at the feeder", [LONG, "cats"])
    assert scores[0] > scores[1]
    (body,) = sent(light_runner)
    assert LONG.startswith(body["documents"][0])
    assert len(body["documents"][0]) > 800
    assert [seen.status for seen in light_runner.seen("*/rerank")] == [200, 200]


def test_an_unknown_limit_is_learnt_from_the_refusal(made: Made, light_runner: Runner) -> None:
    reranker = made()
    texts = [f"short text {n}" for n in range(20)]
    texts[7] = LONG
    scores = reranker.rerank("birds at the feeder", texts)
    assert scores.index(max(scores)) == 7
    before = len(light_runner.requests)
    reranker.rerank("birds at the feeder", [LONG] * 3)
    assert [seen.status for seen in light_runner.requests[before:]] == [200]


def test_a_text_of_odd_tokens_is_cut_by_the_numbers(made: Made, light_runner: Runner) -> None:
    odd = "+-*/" * 300  # a token for each sign: four times what prose has
    scores = made(limit=512).rerank("birds", ["birds", odd, "cats", *["prose of birds"] * 9])
    assert scores[0] > scores[2]
    statuses = [seen.status for seen in light_runner.seen("*/rerank")]
    assert statuses.count(500) <= 6
    whole = [body["documents"] for body in sent(light_runner)]
    assert max(len(text) for text in whole[-1]) > 250


def test_a_query_that_is_too_long_leaves_room_for_texts(made: Made, light_runner: Runner) -> None:
    scores = made(limit=512).rerank(LONG, ["Birds are counted", "cats"])
    assert scores[0] > scores[1]
    assert sent(light_runner)[-1]["documents"] == ["Birds are counted", "cats"]


def test_a_query_of_odd_tokens_is_cut_too(made: Made) -> None:
    assert len(made().rerank("+-*/" * 400, ["birds", LONG])) == 2


def test_a_refusal_without_numbers_halves(made: Made, light_runner: Runner) -> None:
    reranker = made()
    reranker.self_check()
    old = "input is too large to process. increase the physical batch size"
    light_runner.fail("*/rerank", [faults.replies(500, old)] * 4)
    assert len(reranker.rerank("birds", ["birds" * 20, "cats", "a dog"])) == 3
    assert len(light_runner.seen("*/rerank")) > 5


def test_what_is_always_too_long_is_an_error_with_numbers(made: Made, light_runner: Runner) -> None:
    reranker = made()
    reranker.self_check()
    refusal = "input (513 tokens) is too large to process (current batch size: 512)"
    light_runner.fail("*/rerank", faults.replies(500, refusal), rate=1.0)
    with pytest.raises(InputTooLong) as raised:
        reranker.rerank("birds at the feeder", ["birds", "cats"])
    assert (raised.value.tokens, raised.value.limit) == (513, 512)
    assert len(light_runner.requests) < 40


def test_a_server_that_lost_its_configuration_is_told_again(
    made: Made, light_runner: Runner
) -> None:
    told: list[int] = []

    def reconfigure() -> Loaded:
        told.append(1)
        return Loaded(2048)

    reranker = made(ready=lambda: Loaded(2048), reconfigure=reconfigure)
    assert len(reranker.rerank("birds", [LONG[:4000], LONG[:4000]])) == 2
    assert told == [1]


def test_a_request_that_is_too_large_is_sent_in_parts(made: Made, light_runner: Runner) -> None:
    reranker = made()
    reranker.self_check()
    light_runner.fail("*/rerank", faults.replies(400, "request too large\n"))
    texts = [f"bird {n}" for n in range(20)]
    scores = reranker.rerank("bird 19", texts)
    assert scores.index(max(scores)) == 19
    assert [len(body["documents"]) for body in sent(light_runner)] == [20, 10, 10]


def test_a_full_memory_is_asked_for_less_at_once(made: Made, light_runner: Runner) -> None:
    reranker = made()
    reranker.self_check()
    light_runner.fail("*/rerank", faults.OVERFLOW)
    reranker.rerank("bird", ["bird"] * 8)
    assert [len(body["documents"]) for body in sent(light_runner)] == [8, 4, 4]


def test_a_text_that_is_cut_in_the_middle_of_a_character_stays_whole() -> None:
    room = Room(512)
    cut = room.document("q", "鳥を数える" * 500)
    assert cut != "鳥を数える" * 500
    assert ("鳥を数える" * 500).startswith(cut)


# on a true llama.cpp

LATEX = r"\frac{\partial^{2}}{\partial x}\{}()+-*/" * 40


@pytest.mark.engine
@pytest.mark.parametrize("model", [QWEN, BGE])
def test_a_true_model_finds_the_answer(runner: Runner, model: str) -> None:
    reranker = RemoteReranker(Client(Endpoint(runner.url)), model=model, name="x")
    answer = "Patterns in .gitignore name the files that git leaves out. "
    texts = ["Cats purr when they are content.", answer * 60, "", LATEX, *map(str, range(40))]
    scores = reranker.rerank("How are files ignored by git?", texts)
    assert scores.index(max(scores)) == 1
    assert scores[1] > 0.8 > 0.2 > scores[0] > scores[2] == 0
    before = len(runner.requests)
    reranker.rerank("How are files ignored by git?", [answer * 60] * 3)
    assert [seen.status for seen in runner.requests[before:]] == [200]
    assert all(len(text) > 1000 for text in runner.requests[-1].texts)
    reranker.close()


@pytest.mark.engine
@pytest.mark.parametrize("model", ["ai/all-minilm", "ai/embeddinggemma", "ai/smollm2"])
def test_a_model_without_a_classifier_does_not_rerank(runner: Runner, model: str) -> None:
    reranker = RemoteReranker(Client(Endpoint(runner.url)), model=model, name="x")
    with pytest.raises(ModelError, match=r"does not rerank|without the classifier"):
        reranker.rerank("birds", ["birds"])
    reranker.close()


# paths and failures


def test_an_older_runner_is_asked_at_its_path(made: Made, light_runner: Runner) -> None:
    light_runner.fail("/engines/rerank", faults.replies(404, "not found\n"))
    reranker = made()
    reranker.rerank("birds", ["birds"])
    reranker.rerank("birds", ["birds"])
    assert [seen.path for seen in light_runner.requests] == [
        "/engines/rerank", "/rerank", "/rerank", "/rerank",
    ]  # fmt: skip


def test_a_model_that_is_not_there_is_no_wrong_path(made: Made, light_runner: Runner) -> None:
    with pytest.raises(ModelNotFound, match="ai/nowhere"):
        made("ai/nowhere").rerank("birds", ["birds"])
    assert len(light_runner.requests) == 1


def test_a_server_without_reranking_is_named(made: Made, light_runner: Runner) -> None:
    light_runner.fail("*rerank", [faults.replies(404, "404 page not found\n")] * 3)
    with pytest.raises(ModelError, match="has no endpoint for reranking") as raised:
        made().rerank("birds", ["birds"])
    assert light_runner.url in raised.value.message
    assert "leave reranking out" in raised.value.remedy


@pytest.mark.parametrize("fault", [faults.BAD_GATEWAY, faults.RESET, faults.LOADING, faults.HALF])
def test_what_breaks_in_passing_is_tried_again(
    made: Made, light_runner: Runner, fault: faults.Fault
) -> None:
    light_runner.fail("*/rerank", fault)
    assert made().rerank("birds", ["birds"])[0] > 0.9


def test_nobody_listening_is_an_error_at_once(made: Made, light_runner: Runner) -> None:
    light_runner.down()
    with pytest.raises(ModelUnreachable, match="nothing listens"):
        made().rerank("birds", ["birds"])


def test_a_model_of_another_kind_is_refused(made: Made, light_runner: Runner) -> None:
    refusal = "This server does not support reranking. Start it with `--reranking`"
    light_runner.fail("*/rerank", faults.replies(501, refusal))
    with pytest.raises(ModelError, match="does not support reranking") as raised:
        made().rerank("birds", ["birds"])
    assert "choose a model for this task" in raised.value.remedy


def test_a_key_is_in_no_error(light_runner: Runner) -> None:
    client = Client(Endpoint(light_runner.url, key="s3cret-key"))
    reranker = RemoteReranker(client, model=QWEN, name="x", patience=QUICK)
    light_runner.fail("*/rerank", faults.replies(401, "bad key s3cret-key"))
    with pytest.raises(ModelError) as raised:
        reranker.rerank("birds", ["birds"])
    assert "s3cret" not in "".join(traceback.format_exception(raised.value)) + repr(reranker)
    reranker.close()
