"""What the stand-in for a chat model says, in the shapes of llama-server."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from typing import Any

Reply = str | Callable[[dict[str, Any]], str] | None
"""A text, or what makes one of the request's body; None: the model's own."""

SCRIPT = [
    "Hello",
    " from",
    " a",
    " tiny",
    " scripted",
    " model;",
    " café",
    " 中文",
    " 🎉",
    " done.",
]
THOUGHT = [" Let", " me", " think"]
CALL_ID = "q7lAfQ0mZ5cV2xT8nB4sW6yE1uR3oK9p"


class Spoken:
    """What a chat model says: pieces of text, or of the arguments of one call."""

    def __init__(self, pieces: list[str], thought: list[str], tool: str = "") -> None:
        self.pieces = pieces
        self.thought = thought
        self.tool = tool
        self.finish = "tool_calls" if tool else "stop"


def spoken(request: dict[str, Any], reply: Reply, *, thinks: bool) -> Spoken:
    """What the model says to this."""
    thought = THOUGHT if thinks else []
    tools = request.get("tools") or []
    answered = any(message.get("role") == "tool" for message in request.get("messages", []))
    if tools and not answered and request.get("tool_choice") != "none":
        function = tools[0]["function"]
        arguments = json.dumps(_instance(function.get("parameters") or {"type": "object"}))
        return Spoken(re.findall(r"\W|\w+", arguments), thought, function["name"])
    if reply is not None:
        text = reply(request) if callable(reply) else reply
        pieces = re.findall(r"\s*\S+|\s+$", text) or [text]
    elif (request.get("response_format") or {}).get("type") in ("json_schema", "json_object"):
        schema = request["response_format"].get("json_schema", {}).get("schema", {})
        pieces = re.findall(r"\W|\w+", json.dumps(_instance(schema)))
    else:
        pieces = list(SCRIPT)
    most = request.get("max_tokens") or request.get("max_completion_tokens") or len(pieces)
    said = Spoken(pieces[:most], thought)
    if most < len(pieces):
        said.finish = "length"
    return said


def _instance(schema: dict[str, Any]) -> Any:
    """A value that the schema allows."""
    if "enum" in schema:
        return schema["enum"][0]
    kind = schema.get("type", "object")
    if kind == "object":
        return {name: _instance(each) for name, each in schema.get("properties", {}).items()}
    if kind == "array":
        return [_instance(schema.get("items", {"type": "string"}))]
    simple = {"string": "how to parse json", "integer": 1, "number": 1, "boolean": True}
    return simple.get(kind)


def _usage(spoken: Spoken, prompt: int) -> dict[str, int]:
    said = len(spoken.pieces) + len(spoken.thought) + 1
    return {"prompt_tokens": prompt, "completion_tokens": said, "total_tokens": prompt + said}


def completion(request: dict[str, Any], spoken: Spoken, prompt: int) -> dict[str, Any]:
    """The whole answer; `prompt` is counted in tokens."""
    message: dict[str, Any] = {"role": "assistant", "content": "".join(spoken.pieces)}
    if spoken.thought:
        message["reasoning_content"] = "".join(spoken.thought)
    if spoken.tool:
        function = {"name": spoken.tool, "arguments": message["content"]}
        message["content"] = ""
        message["tool_calls"] = [{"type": "function", "id": CALL_ID, "function": function}]
    choice = {"finish_reason": spoken.finish, "index": 0, "message": message}
    return {
        "choices": [choice],
        "created": 1757514000,
        "model": request.get("model"),
        "object": "chat.completion",
        "usage": _usage(spoken, prompt),
        "id": "chatcmpl-0",
    }


def events(request: dict[str, Any], spoken: Spoken, prompt: int) -> Iterator[bytes]:
    """The same, streamed."""

    def event(choices: list[dict[str, Any]], **more: object) -> bytes:
        value = {
            "choices": choices,
            "created": 1757514000,
            "id": "chatcmpl-0",
            "model": request.get("model"),
            "object": "chat.completion.chunk",
            **more,
        }
        return b"data: " + json.dumps(value, ensure_ascii=False).encode() + b"\n\n"

    def delta(value: dict[str, Any], finish: str | None = None) -> bytes:
        return event([{"finish_reason": finish, "index": 0, "delta": value}])

    yield delta({"role": "assistant", "content": None})
    for piece in spoken.thought:
        yield delta({"reasoning_content": piece})
    for place, piece in enumerate(spoken.pieces):
        if not spoken.tool:
            yield delta({"content": piece})
            continue
        call: dict[str, Any] = {"index": 0, "function": {"arguments": piece}}
        if place == 0:
            call["id"], call["type"] = CALL_ID, "function"
            call["function"] = {"name": spoken.tool, "arguments": piece}
        yield delta({"tool_calls": [call]})
    yield delta({}, spoken.finish)
    if (request.get("stream_options") or {}).get("include_usage"):
        yield event([], usage=_usage(spoken, prompt))
    yield b"data: [DONE]\n\n"
