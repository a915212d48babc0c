"""Chat models behind an endpoint of OpenAI's shape, streamed."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import replace
from functools import partial

from ragkit.errors import InputTooLong, ModelError
from ragkit.models.answers import Garbled
from ragkit.models.failures import Failure, Trouble, error_of, failure_of
from ragkit.models.http import Client, Reply, Stream, Unanswered
from ragkit.models.listening import Interrupted, Unfinished, deltas, whole
from ragkit.models.retrying import Refused, patiently
from ragkit.models.sending import Patience
from ragkit.models.speaking import Sampling, format_of, messages_of, tools_of
from ragkit.types import Delta, Message, Tool

__all__ = ["RemoteChat", "Sampling"]


class RemoteChat:
    """Answers over HTTP. Thread-safe; nothing is asked of the server before it is needed."""

    def __init__(
        self,
        client: Client,
        *,
        model: str,
        name: str,
        path: str = "/engines/v1/chat/completions",
        sampling: Sampling = Sampling(),  # noqa: B008
        parallel_tool_calls: bool | None = None,
        track_usage: bool = True,
        extra_body: Mapping[str, object] | None = None,
        max_tokens_key: str = "max_tokens",
        ready: Callable[[], object] | None = None,
        explain: Callable[[Failure], ModelError] | None = None,
        patience: Patience = Patience(),  # noqa: B008
    ) -> None:
        """`extra_body` goes into every request as it is; `max_tokens_key` is what the server calls
        the longest answer. `ready` is called once, before the first request, and may raise
        ModelError; `explain` words what the server refuses."""
        self.name = name
        self._client = client
        self._model = model
        self._path = path
        self._sampling = sampling
        self._parallel_tool_calls = parallel_tool_calls
        self._track_usage = track_usage
        self._extra_body = dict(extra_body or {})
        self._max_tokens_key = max_tokens_key
        self._ready = ready
        self._explain_failure = explain or partial(error_of, model=model, where=client.endpoint)
        self._patience = patience
        self._starting = threading.Lock()

    def chat(
        self,
        messages: Sequence[Message],
        tools: Sequence[Tool] = (),
        *,
        schema: Mapping[str, object] | None = None,
    ) -> Iterator[Delta]:
        """The answer as it is written; closing the iterator cancels it.

        With `schema`, the content is JSON that fits it. An answer that ends with `length` was cut
        by max_tokens: a call that was cut with it is left out, or is text. Raises ModelError; what
        came before stays yielded. Tries again only before anything of the answer has come.
        """
        spoken = messages_of(messages)
        if not spoken:
            raise ModelError("at least one message is required", remedy="ask something")
        return self._stream(self._body(spoken, tools, schema))

    def close(self) -> None:
        """Let the connections go."""
        self._client.close()

    def _body(
        self,
        messages: list[dict[str, object]],
        tools: Sequence[Tool],
        schema: Mapping[str, object] | None,
    ) -> dict[str, object]:
        body = self._sampling.body()
        if "max_tokens" in body:
            body[self._max_tokens_key] = body.pop("max_tokens")
        if tools:
            body["tools"] = tools_of(tools)
            if self._parallel_tool_calls is not None:
                body["parallel_tool_calls"] = self._parallel_tool_calls
        if schema is not None:
            body["response_format"] = format_of(schema)
        if self._track_usage:
            body["stream_options"] = {"include_usage": True}
        body |= self._extra_body
        return {**body, "model": self._model, "messages": messages, "stream": True}

    def _stream(self, body: Mapping[str, object]) -> Iterator[Delta]:
        with self._starting:
            if self._ready:
                self._ready()
                self._ready = None
        with ExitStack() as stack:
            try:
                stream = self._opened(body, stack)
                if "event-stream" in stream.headers.get("content-type", "event-stream"):
                    yield from deltas(stream.lines())
                else:
                    yield from whole(Reply(200, stream.headers, stream.read()).json())
            except Refused as refused:
                raise self._explain(refused.failure) from None
            except Interrupted as interrupted:
                raise self._interrupted(interrupted) from None
            except (Unfinished, Unanswered) as error:
                raise self._cut_off(error) from error
            except Garbled as error:
                raise ModelError(
                    f"{self._client.endpoint}: {self._model}: {error}",
                    remedy="check base_url: something else may answer there",
                ) from error

    def _opened(self, body: Mapping[str, object], stack: ExitStack) -> Stream:
        """An answer that has begun; `stack` ends it. Raises Refused."""
        streams: list[Stream] = []

        def attempt() -> Reply:
            stream = stack.enter_context(
                self._client.stream("POST", self._path, body, timeout=self._patience.load)
            )
            if 200 <= stream.status < 300:
                streams.append(stream)
                return Reply(stream.status, stream.headers, b"")
            reply = Reply(stream.status, stream.headers, stream.read())
            stack.close()
            return reply

        patiently(
            attempt,
            deadline=self._patience.deadline,
            sleep=lambda seconds: time.sleep(seconds * self._patience.pause),
        )
        return streams[0]

    def _interrupted(self, interrupted: Interrupted) -> ModelError:
        """The error inside an answer, as if it had come in its place."""
        said = interrupted.said
        inner = said.get("error", said) if isinstance(said, Mapping) else said
        code = inner.get("code") if isinstance(inner, Mapping) else None
        status = code if type(code) is int and 400 <= code < 600 else 500
        failure = failure_of(Reply(status, {}, json.dumps(said).encode()))
        if failure.trouble is Trouble.OVERLOADED:  # subtle: here it is this answer that grew
            failure = replace(failure, trouble=Trouble.INPUT_TOO_LONG)
        return self._explain(failure)

    def _explain(self, failure: Failure) -> ModelError:
        error = self._explain_failure(failure)
        if isinstance(error, InputTooLong):
            return InputTooLong(
                error.message,
                remedy="shorten the conversation, or give the model a larger context",
                tokens=error.tokens,
                limit=error.limit,
            )
        return error

    def _cut_off(self, error: Exception) -> ModelError:
        why = error.message if isinstance(error, Unanswered) else str(self._client.endpoint)
        return ModelError(
            f"{why}: {self._model}: the answer was cut off",
            remedy="ask again; the server's log may say why",
        )
