"""A model of a server with OpenAI's interface: is its key there, is it reachable, does it work."""

from __future__ import annotations

from collections.abc import Iterator

from ragkit.errors import ModelError
from ragkit.kb.doctor import probes
from ragkit.kb.doctor.finding import Finding, State, timed
from ragkit.kb.doctor.indexed import embedding
from ragkit.kb.doctor.uses import Use
from ragkit.kb.models import CHAT_ONLY
from ragkit.models import openai
from ragkit.models.http import Client


def examine(use: Use, *, chat: bool) -> Iterator[Finding]:
    """Findings about one model and its task; chat models are asked with `chat` only."""
    model = use.model
    if model.provider in CHAT_ONLY:
        words = f"{use.task}: this version of ragkit does not speak to {model.provider}"
        state: State = "skipped" if use.task == "completion" else "failure"
        yield Finding("endpoint", use.name, state, words)
        return
    try:
        where = openai.endpoint(model.provider, model.base_url, model.token_key)
    except ModelError as error:
        yield Finding("endpoint.key", use.name, "failure", error.message, error.remedy)
        return
    key = "with a key" if where.key else "without a key"
    client = Client(where, connect=openai.CONNECT)
    try:
        names, seconds = timed(lambda: openai.models(client))
    except ModelError as error:
        yield Finding("endpoint", use.name, "failure", error.message, error.remedy)
        client.close()
        return
    words = f"{where} answers, {key}"
    yield Finding("endpoint", use.name, "ok", words, seconds=seconds, data={"models": len(names)})
    try:
        yield from _served(use, names)
        if use.task == "embedding":
            target = probes.Target(client, use.name, model.model)
            yield from embedding(use, target, "/embeddings", own_limit=None, remedy="")
        elif use.task == "reranking":
            found = _reranked(use)
            if use.undecided and found.state == "failure":
                words = "it has no endpoint that reranks: the model is asked as a chat model"
                found = Finding("model.reranking", use.name, "skipped", words)
            yield found
        elif chat:
            yield _chat(use)
        else:
            words = "not asked for an answer: give --chat"
            yield Finding("model.chat", use.name, "skipped", words)
    finally:
        client.close()


def _served(use: Use, names: list[str]) -> Iterator[Finding]:
    """Whether the server lists the model; many lists are not complete."""
    wanted = use.model.model
    if not names or wanted in names or f"{wanted}:latest" in names:
        return
    shown = ", ".join(names[:8]) + (", …" if len(names) > 8 else "")
    words = f"the server does not list {wanted}; it lists: {shown}"
    yield Finding("endpoint.model", use.name, "warning", words, "check the name")


def _reranked(use: Use) -> Finding:
    """What the reranker itself says of two texts of its own."""
    model = use.model
    machine = openai.reranker(
        model.model,
        provider=model.provider,
        base_url=model.base_url,
        token_key=model.token_key,
    )
    try:
        (right, other), seconds = timed(machine.self_check)
    except ModelError as error:
        return Finding("model.reranking", use.name, "failure", error.message, error.remedy)
    finally:
        machine.close()
    words = f"{right:.2f} for the passage that answers, {other:.2f} for another"
    data = {"scores": [right, other], "kind": "scaled", "gap": right - other}
    return Finding("model.reranking", use.name, "ok", words, seconds=seconds, data=data)


def _chat(use: Use) -> Finding:
    model = use.model
    machine = openai.chat(
        model.model,
        provider=model.provider,
        base_url=model.base_url,
        token_key=model.token_key,
        sampling=probes.BRIEFLY,
    )
    try:
        return probes.chat(use.name, machine)
    finally:
        machine.close()
