"""What servers say when they fail, and what ragkit makes of it."""

from __future__ import annotations

import json
from email.utils import formatdate
from time import time

import pytest

from ragkit.errors import InputTooLong, ModelBusy, ModelError, ModelNotFound, ModelUnreachable
from ragkit.models.failures import Failure, Trouble, error_of, failure_of
from ragkit.models.http import Endpoint, Reply, Unanswered

WHERE = Endpoint("http://127.0.0.1:12434", key="s3cret")


def reply(status: int, body: object = "", **headers: str) -> Reply:
    text = body if isinstance(body, str) else json.dumps(body)
    return Reply(status, {name.replace("_", "-"): v for name, v in headers.items()}, text.encode())


def of_llama(code: int, message: str, kind: str = "server_error", **more: object) -> dict:
    return {"error": {"code": code, "message": message, "type": kind, **more}}


@pytest.mark.parametrize(
    ("status", "body", "trouble"),
    [
        (400, "request too large\n", Trouble.BODY_TOO_LARGE),
        (413, "<html><title>413 Request Entity Too Large</title>", Trouble.BODY_TOO_LARGE),
        (422, {"error": "batch size 64 > maximum allowed batch size 32"}, Trouble.BODY_TOO_LARGE),
        (400, "invalid request\n", Trouble.REFUSED),
        (400, "model is required\n", Trouble.REFUSED),
        (400, of_llama(400, '"input" must not be empty'), Trouble.REFUSED),
        (500, of_llama(500, '"prompt" must not be empty'), Trouble.REFUSED),
        (400, of_llama(400, "Pooling type 'none' is not OAI compatible."), Trouble.REFUSED),
        (500, of_llama(500, "[json.exception.parse_error.101] parse error"), Trouble.REFUSED),
        (403, "Origin not allowed\n", Trouble.DENIED),
        (401, {"error": {"message": "Incorrect API key provided"}}, Trouble.DENIED),
        (404, "error while getting model: get model '\"ai/x\"': model not found",
         Trouble.NOT_FOUND),
        (404, {"error": {"message": "The model `x` does not exist."}}, Trouble.NOT_FOUND),
        (404, {"error": 'model "x" not found, try pulling it first'}, Trouble.NOT_FOUND),
        (404, "backend not found\n", Trouble.WRONG_PATH),
        (404, "404 page not found\n", Trouble.WRONG_PATH),
        (404, of_llama(404, "File Not Found", "not_found_error"), Trouble.WRONG_PATH),
        (405, "Method Not Allowed\n", Trouble.WRONG_PATH),
        (409, "runner already active\n", Trouble.BUSY),
        (412, 'backend "vllm" is not installed; run: docker model install', Trouble.REFUSED),
        (429, {"error": {"message": "Rate limit reached"}}, Trouble.BUSY),
        (429, {"error": {"message": "quota", "code": "insufficient_quota"}}, Trouble.REFUSED),
        (500, of_llama(500, "Context size has been exceeded."), Trouble.OVERLOADED),
        (500, "unable to load runner: not enough GPU memory to load", Trouble.NOT_LOADED),
        (500, "unable to load runner: context canceled", Trouble.TRANSIENT),
        (500, "unable to load runner: inference backend took too long to initialize",
         Trouble.TRANSIENT),
        (500, "backend loading disabled\n", Trouble.BUSY),
        (500, {"type": "error", "code": None, "message": "llama.cpp terminated unexpectedly: x",
               "param": None, "sequence_number": 1}, Trouble.DIED),
        (500, "", Trouble.TRANSIENT),
        (500, "json: unsupported value: NaN", Trouble.REFUSED),
        (501, of_llama(501, "This server does not support embeddings."), Trouble.REFUSED),
        (502, "", Trouble.TRANSIENT),
        (503, of_llama(503, "Loading model", "unavailable_error"), Trouble.BUSY),
        (503, "service unavailable\n", Trouble.BUSY),
        (
            500,
            "unable to load runner: llama.cpp failed\nllama_model_load: error loading model: x",
            Trouble.NOT_LOADED,
        ),
        (504, "<html><title>504 Gateway Time-out</title>", Trouble.SLOW),
        (507, "Runtime memory requirement for model exceeds", Trouble.REFUSED),
        (522, "", Trouble.TRANSIENT),
        (301, "", Trouble.REFUSED),
    ],
)  # fmt: skip
def test_every_answer_of_the_table_is_known(status: int, body: object, trouble: Trouble) -> None:
    assert failure_of(reply(status, body)).trouble is trouble


@pytest.mark.parametrize(
    ("status", "body", "tokens", "limit"),
    [
        (500, of_llama(500, "input (513 tokens) is too large to process. increase the physical "
              "batch size (current batch size: 512)"), 513, 512),
        (400, of_llama(400, "input (900 tokens) is larger than the max context size (512 tokens)."
              " skipping"), 900, 512),
        (400, of_llama(400, "request (2048 tokens) exceeds the available context size (2048 "
              "tokens), try increasing it", "exceed_context_size_error", n_prompt_tokens=2048,
              n_ctx=2048), 2048, 2048),
        (400, of_llama(400, "too much", "exceed_context_size_error", n_prompt_tokens=70, n_ctx=60),
         70, 60),
        (500, of_llama(500, "input is too large to process. increase the physical batch size"),
         None, None),
        (400, of_llama(400, "the request exceeds the available context size"), None, None),
        (400, {"error": {"message": "This model's maximum context length is 8192 tokens, however "
               "you requested 8203 tokens (8203 in your prompt; 0 for the completion)."}},
         8203, 8192),
        (400, {"object": "error", "message": "This model's maximum context length is 512 tokens. "
               "However, you requested 700 tokens in the input for embedding generation."},
         700, 512),
        (413, {"error": "Input validation error: `inputs` must have less than 512 tokens. Given: "
               "3201", "error_type": "Validation"}, 3201, 512),
        (400, {"error": "the input length exceeds the context length"}, None, None),
        (400, {"error": {"message": "maximum context length is 300 tokens"}}, None, 300),
    ],
)  # fmt: skip
def test_numbers_of_a_text_too_long_are_read(
    status: int, body: object, tokens: int | None, limit: int | None
) -> None:
    failure = failure_of(reply(status, body))
    assert failure.trouble is Trouble.INPUT_TOO_LONG
    assert (failure.tokens, failure.limit) == (tokens, limit)
    error = error_of(failure, model="ai/x", where=WHERE)
    assert isinstance(error, InputTooLong)
    assert (error.tokens, error.limit) == (tokens, limit)


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ("plain words\nand more\n", "plain words"),
        (of_llama(500, "in an error"), "in an error"),
        ({"detail": [{"loc": ["body"], "msg": "field required"}]}, "field required"),
        ({"error": "a word"}, "a word"),
        ({"message": "m", "error": None}, "m"),
        ({"other": 1}, '{"other": 1}'),
        ("<html><head><title>502 Bad\nGateway</title>", "a web page: 502 Bad Gateway"),
        ("<!doctype html><p>x", "a web page"),
        ("", ""),
        ("a\x1b[31mb\x07", "a[31mb"),
        (
            "unable to load runner: llama.cpp failed\nVerbose output:\n"
            "error: invalid argument: --threads=8\n",
            "unable to load runner: llama.cpp failed: error: invalid argument: --threads=8",
        ),
    ],
)
def test_the_message_is_one_line_that_a_person_can_read(body: object, message: str) -> None:
    assert failure_of(reply(500, body)).message == message


def test_a_long_message_is_cut() -> None:
    message = failure_of(reply(500, "x" * 5_000)).message
    assert len(message) == 300
    assert message.endswith("…")


def test_bytes_that_are_no_text_are_survived() -> None:
    failure = failure_of(Reply(500, {}, b"\xff\x00\xfe"))
    assert failure.trouble is Trouble.TRANSIENT


def test_how_long_to_wait_is_read_as_seconds_or_as_a_date() -> None:
    assert failure_of(reply(429, retry_after="7")).wait == 7.0
    assert failure_of(reply(429, retry_after="0.25")).wait == 0.25
    assert failure_of(reply(429, retry_after="-3")).wait == 0.0
    later = failure_of(reply(429, retry_after=formatdate(time() + 90, usegmt=True))).wait
    assert later is not None
    assert 80 < later <= 91
    for nonsense in ("soon", "nan", "inf", ""):
        assert failure_of(reply(429, retry_after=nonsense)).wait is None
    assert failure_of(reply(429)).wait is None


@pytest.mark.parametrize(
    ("reason", "trouble"),
    [
        ("refused", Trouble.UNREACHABLE),
        ("address", Trouble.UNREACHABLE),
        ("tls", Trouble.UNREACHABLE),
        ("reset", Trouble.TRANSIENT),
        ("timeout", Trouble.SLOW),
    ],
)
def test_no_answer_at_all_is_a_model_that_cannot_be_reached(reason, trouble: Trouble) -> None:
    failure = failure_of(Unanswered("http://127.0.0.1:1: nothing listens there", reason))
    assert failure.trouble is trouble
    assert failure.status is None
    error = error_of(failure, model="ai/x", where=WHERE)
    assert isinstance(error, ModelUnreachable)
    assert error.remedy


@pytest.mark.parametrize(
    ("status", "body", "kind", "words", "remedy"),
    [
        (404, "model not found", ModelNotFound, "has no model ai/x", "pull it"),
        (404, "backend not found", ModelUnreachable, "does not serve this", "base_url"),
        (503, "Loading model", ModelBusy, "Loading model", "ask again"),
        (401, "key s3c*** unknown", ModelError, "access denied (status 401)", "token_key"),
        (403, "not from here", ModelError, "not from here", "token_key"),
        (500, "unable to load runner: no memory", ModelError, "no memory", "docker model logs"),
        (500, "unable to load runner: x\nerror: invalid argument: --y", ModelError, "--y",
         "runtime_flags"),
        (400, "Pooling type 'none' is not", ModelError, "Pooling", "choose an embedding model"),
        (500, "", ModelError, "no reason given (status 500)", "docker model logs"),
    ],
)  # fmt: skip
def test_errors_say_what_where_and_what_to_do(
    status: int, body: str, kind: type[ModelError], words: str, remedy: str
) -> None:
    error = error_of(failure_of(reply(status, body)), model="ai/x", where=WHERE)
    assert type(error) is kind
    assert "http://127.0.0.1:12434" in error.message
    assert words in error.message
    assert remedy in error.remedy


@pytest.mark.parametrize("status", [400, 401, 403, 404, 429, 500, 503])
def test_a_key_that_the_server_repeats_is_not_shown(status: int) -> None:
    failure = failure_of(reply(status, {"error": {"message": "bad key s3cret given"}}))
    error = error_of(failure, model="ai/x", where=WHERE)
    assert "s3cret" not in error.message + error.remedy


def test_an_error_can_be_made_of_a_failure_without_words() -> None:
    for trouble in Trouble:
        error = error_of(Failure(trouble, 500), model="ai/x", where=WHERE)
        assert "127.0.0.1" in error.message
