"""What a server with OpenAI's interface tells of its models: their names, and which weights."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, Final

from ragkit.errors import ModelError, ModelNotFound
from ragkit.models.embedding import Identity
from ragkit.models.failures import error_of
from ragkit.models.http import Client, Reply
from ragkit.models.retrying import Refused, patiently

PATIENCE: Final = 30.0
"""Seconds for an answer, all attempts together."""

_NUMBERS: Final = ("n_embd", "n_params", "n_vocab", "size")
"""Of llama.cpp's `meta`: together they change with most other weights."""


def listed(client: Client) -> list[Mapping[str, Any]]:
    """The entries of `/models`, each with an id; [] where the server has no such list.

    Raises ModelError where it cannot be asked.
    """
    reply = _asked(client, "/models")
    value = reply.json() if reply else None
    entries = value.get("data") if isinstance(value, Mapping) else None
    return [each for each in _objects(entries) if isinstance(each.get("id"), str)]


def weights_of(client: Client, model: str, *, asks: bool, is_ollama: bool = False) -> Identity:
    """Which weights answer to this name, as far as the server tells it.

    Where it cannot be asked this is an error, never another identity: an index would be built
    again for a server that was away for a moment. Without `asks`, place and name are all.
    """
    told = ""
    if asks:
        told = _numbers(listed(client), model) or _digest(client, model, is_ollama)
    return Identity(" ".join(filter(None, ("openai", client.endpoint.root, model, told))))


def _numbers(entries: Sequence[Mapping[str, Any]], model: str) -> str:
    """What llama.cpp's server tells of a model's file; "" from other servers.

    It has one model and answers with that to whatever name.
    """
    named = [each for each in entries if each["id"] == model] or (
        list(entries) if len(entries) == 1 else []
    )
    meta = named[0].get("meta") if named else None
    if not isinstance(meta, Mapping):
        return ""
    return ",".join(f"{key}={meta[key]}" for key in _NUMBERS if type(meta.get(key)) is int)


def _digest(client: Client, model: str, is_ollama: bool) -> str:
    """Ollama's digest of a model, "" from other servers."""
    where = client.endpoint
    beside = Client(replace(where, root=where.root.removesuffix("/v1")))
    try:
        reply = _asked(beside, "/api/tags", insists=is_ollama)
        value = reply.json() if reply else None
    except ModelError:
        if is_ollama:
            raise
        return ""
    finally:
        beside.close()
    tagged = _objects(value.get("models") if isinstance(value, Mapping) else None)
    digests = {each.get("name"): each.get("digest") for each in tagged}
    digest = digests.get(model) or digests.get(f"{model}:latest")
    if digest is None and is_ollama:
        raise ModelNotFound(f"{where} has no model {model}", remedy=f"ollama pull {model}")
    return str(digest or "")


def _asked(client: Client, path: str, *, insists: bool = True) -> Reply | None:
    """The answer; None where the server says that it does not do this. Raises ModelError.

    Unless it `insists`, any refusal says so.
    """
    try:
        return patiently(lambda: client.send("GET", path, timeout=PATIENCE), deadline=PATIENCE)
    except Refused as refused:
        failure = refused.failure
        if failure.status in (400, 403, 404, 405, 501) or (failure.status and not insists):
            return None
        raise error_of(failure, model=path, where=client.endpoint) from None


def _objects(value: object) -> list[Mapping[str, Any]]:
    return [each for each in value if isinstance(each, Mapping)] if isinstance(value, list) else []
