"""A streamed answer in OpenAI's shape, put together from its fragments."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from ragkit.models.answers import Garbled
from ragkit.types import Delta, ToolCall, Usage


class Interrupted(Exception):
    """The server says in the middle of the answer that it failed."""

    def __init__(self, said: Any) -> None:
        super().__init__("the answer was interrupted")
        self.said = said
        """Its error: an object, or a text."""


class Unfinished(Exception):
    """The answer ended, and nothing said that it was the end."""


def deltas(lines: Iterable[str]) -> Iterator[Delta]:
    """The answer piece by piece from the lines of server-sent events, usage last.

    Raises Interrupted, Unfinished, and Garbled for what cannot be read.
    """
    answer = Answer()
    for value in _events(lines):
        yield from answer.take(value)
    yield from answer.end()


def whole(value: Any) -> Iterator[Delta]:
    """The same from an answer that is not streamed, as some servers give it all the same."""
    answer = Answer()
    yield from answer.take(value)
    yield from answer.end()


def _events(lines: Iterable[str]) -> Iterator[Any]:
    """The values of the events. Ends with [DONE]; raises Interrupted for an error's line."""
    for line in lines:
        field, _, text = line.partition(":")
        text = text.strip()
        if field not in ("data", "error") or not text:
            continue  # the name of an event, a comment that keeps the connection alive, a blank
        if text == "[DONE]":
            yield None
            return
        try:
            value = json.loads(text)
        except ValueError as error:
            raise Garbled(f"a piece of the answer is not JSON: {text[:60]}") from error
        if field == "error":
            raise Interrupted(value)
        yield value


@dataclass(slots=True)
class _Call:
    """A tool call whose pieces are coming."""

    index: object
    id: str = ""
    name: str = ""
    arguments: str = ""

    @property
    def is_whole(self) -> bool:
        try:
            return isinstance(json.loads(self.arguments or "{}"), dict)
        except ValueError:
            return False


class Answer:
    """What has come of one answer."""

    def __init__(self) -> None:
        self._calls: list[_Call] = []
        self._usage: Usage | None = None
        self._finish: str | None = None
        self._is_done = False

    def take(self, value: Any) -> Iterator[Delta]:
        """What an event's value adds; None is the end. Raises Interrupted, Garbled."""
        if value is None:
            self._is_done = True
            return
        if not isinstance(value, Mapping):
            raise Garbled("a piece of the answer is not an object")
        if value.get("error"):
            raise Interrupted(value)
        self._usage = _usage(value.get("usage")) or self._usage
        choices = value.get("choices") or []
        choice = choices[0] if isinstance(choices, list) and choices else {}
        said = _inner(choice, "delta") or _inner(choice, "message")
        content, thought = _content(said.get("content"))
        thought += _content(said.get("reasoning_content") or said.get("reasoning"))[0]
        for fragment in said.get("tool_calls") or []:
            self._add(fragment)
        finish = choice.get("finish_reason")
        if finish and self._finish is None:
            yield self._finished(str(finish), content, thought)
        elif content or thought:
            yield Delta(content, thought)

    def end(self) -> Iterator[Delta]:
        """What is left to say when nothing more comes. Raises Unfinished."""
        if self._finish is None:
            if not self._is_done:
                raise Unfinished
            yield self._finished("stop", "", "")
        if self._usage:
            yield Delta(usage=self._usage)

    def _finished(self, finish: str, content: str, thought: str) -> Delta:
        """The last piece, with the calls: of an answer that was cut, only the whole ones."""
        calls = self._calls
        if finish == "length":
            calls = [call for call in calls if call.is_whole and call.arguments]
        elif calls:
            finish = "tool_calls"  # some servers say stop
        self._finish = finish
        made = tuple(
            ToolCall(call.id or f"call_{number}", call.name, call.arguments or "{}")
            for number, call in enumerate(calls, 1)
        )
        return Delta(content, thought, made, finish)

    def _add(self, fragment: Any) -> None:
        """A piece of a call. Its index tells which; where that is missing or wrong, its id does."""
        function = _inner(fragment, "function")
        name, id_ = str(function.get("name") or ""), str(fragment.get("id") or "")
        call = self._of(fragment.get("index"), id_, name)
        if id_ != call.id:
            call.id += id_
        if name != call.name:  # subtle: some servers repeat the whole name in every piece
            call.name += name
        arguments = function.get("arguments") or ""
        # some servers give the value in the place of its text
        call.arguments += arguments if isinstance(arguments, str) else json.dumps(arguments)

    def _of(self, index: object, id_: str, name: str) -> _Call:
        known = [call for call in self._calls if index is None or call.index == index]
        last = known[-1] if known else None
        # several calls with the index 0: each begins with an id and a name of its own
        is_next = last is not None and id_ and name and last.id not in ("", id_)
        if last is None or is_next or (index is None and name and last.arguments):
            last = _Call(index)
            self._calls.append(last)
        return last


def _inner(value: Any, key: str) -> Mapping[str, Any]:
    """The object below a key, {} where there is none. Raises Garbled for anything else."""
    inner = value.get(key) if isinstance(value, Mapping) else value
    if inner is not None and not isinstance(inner, Mapping):
        raise Garbled(f"a piece of the answer has no {key}")
    return inner or {}


def _content(value: object) -> tuple[str, str]:
    """(said, thought) of a text, or of a list of parts as Mistral gives it."""
    if isinstance(value, str):
        return value, ""
    said = thought = ""
    for part in value if isinstance(value, list) else ():
        if isinstance(part, Mapping):
            said += part["text"] if isinstance(part.get("text"), str) else ""
            thought += _content(part.get("thinking"))[0]
    return said, thought


def _usage(value: object) -> Usage | None:
    if not isinstance(value, Mapping):
        return None
    prompt, completion = value.get("prompt_tokens"), value.get("completion_tokens")
    if type(prompt) is not int:
        return None
    return Usage(prompt, completion if type(completion) is int else 0)
