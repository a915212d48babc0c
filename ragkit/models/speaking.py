"""What a chat model is asked, in OpenAI's shape."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any

from ragkit.types import Message, Tool


@dataclass(frozen=True, slots=True)
class Sampling:
    """How words are chosen; None leaves it to the server."""

    temperature: float | None = None
    max_tokens: int | None = None
    """Longest answer."""
    top_p: float | None = None
    frequency_penalty: float | None = None
    presence_penalty: float | None = None

    def body(self) -> dict[str, object]:
        """What is said of it in a request."""
        given = {field.name: getattr(self, field.name) for field in fields(self)}
        return {name: value for name, value in given.items() if value is not None}


def messages_of(messages: Sequence[Message]) -> list[dict[str, object]]:
    """The conversation; neighbours of one speaker are one message, and empty answers are left out.

    Some models' templates refuse a second system message, or two messages of the user in a row.
    """
    return [_message(message) for message in _merged(messages)]


def tools_of(tools: Sequence[Tool]) -> list[dict[str, object]]:
    """The tools, with a description each."""
    return [
        {
            "type": "function",
            "function": {
                "name": tool.name,
                "description": tool.description.strip() or f"Function {tool.name}",
                "parameters": _parameters(tool.parameters),
            },
        }
        for tool in tools
    ]


def format_of(schema: Mapping[str, object]) -> dict[str, object]:
    """That the answer is JSON of this schema."""
    wanted: dict[str, object] = {"name": "answer", "schema": schema}
    if schema.get("additionalProperties") is False:
        wanted["strict"] = True  # OpenAI refuses it for schemas that allow other properties
    return {"type": "json_schema", "json_schema": wanted}


def _merged(messages: Sequence[Message]) -> Iterator[Message]:
    last: Message | None = None
    for message in messages:
        if message.role == "assistant" and not message.content and not message.calls:
            continue
        if last and last.role == message.role and message.role in ("system", "user"):
            last = replace(last, content=f"{last.content}\n{message.content}")
            continue
        if last:
            yield last
        last = message
    if last:
        yield last


def _message(message: Message) -> dict[str, object]:
    body: dict[str, object] = {"role": message.role, "content": message.content}
    if message.calls:
        body["tool_calls"] = [
            {
                "id": call.id,
                "type": "function",
                "function": {"name": call.name, "arguments": _arguments(call.arguments)},
            }
            for call in message.calls
        ]
    if message.role == "tool":
        body["tool_call_id"] = message.call_id or ""
    return body


def _arguments(text: str) -> str:
    """The arguments of a call that was made; none where they were wrong.

    llama.cpp reads them for its template, and refuses the whole conversation if it cannot.
    """
    try:
        return text if isinstance(json.loads(text), dict) else "{}"
    except ValueError:
        return "{}"


def _parameters(schema: Mapping[str, object]) -> dict[str, Any]:
    found = _without_additional(schema)
    return {"type": "object", "properties": {}, **found}


def _without_additional(schema: Any, *, names: bool = False) -> Any:
    """The schema without `additionalProperties`, which some servers do not take.

    `names`: the keys are names of properties, whatever they are called.
    """
    if isinstance(schema, Mapping):
        return {
            key: _without_additional(value, names=key == "properties" and not names)
            for key, value in schema.items()
            if names or key != "additionalProperties"
        }
    if isinstance(schema, list | tuple):
        return [_without_additional(each) for each in schema]
    return schema
