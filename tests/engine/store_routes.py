"""`/models`: the store, and pulls into it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import TYPE_CHECKING

from . import pulling
from .serving import Break, Request, Response, as_json, as_text
from .store import Conflict, NotFound, Store, canonical

if TYPE_CHECKING:
    from .runner import Runner

OFFLINE = "dial tcp: lookup registry: i/o timeout"


def answer(runner: Runner, request: Request, rest: str) -> Response:
    """`rest` is the path after "/models/"."""
    method, store = request.method, runner.store
    try:
        if method == "GET" and not rest:
            return as_json([store.shown(kept) for kept in store.kept])
        if method == "GET":
            return _inspect(runner, request, rest)
        if method == "DELETE" and rest == "purge":
            store.kept.clear()
            return Response()
        if method == "DELETE" and rest:
            return as_json(store.remove(rest, force=request.query.get("force") in ("true", "1")))
        if method == "POST" and rest == "create":
            return _create(runner, request)
        if method == "POST" and rest:
            return _act(runner, request, *rest.rpartition("/")[::2])
    except NotFound:
        return as_text("error while getting model: model not found", 404)
    except Conflict:
        message = f'unable to delete "{rest}" (must be forced) due to multiple tag references'
        return as_text(f"error while deleting model: {message}: resource conflict", 409)
    return as_text("Method Not Allowed", 405)


def _inspect(runner: Runner, request: Request, reference: str) -> Response:
    if request.query.get("remote") not in ("true", "1"):
        return as_json(runner.store.shown(runner.store.find_partly(reference)))
    if runner.offline:
        return as_text(f"error while getting remote model: {OFFLINE}", 500)
    model = runner.registry.get(canonical(reference))
    if model is None:
        return as_text("error while getting remote model: model not found", 404)
    apart = Store()
    apart.add(model, reference)
    return as_json(apart.shown(apart.kept[0]))


def _act(runner: Runner, request: Request, reference: str, action: str) -> Response:
    if action != "tag":
        return as_text(f'unknown action "{action}"', 404)
    repository, tag = request.query.get("repo"), request.query.get("tag")
    if not repository or not tag:
        return as_text("missing repo or tag query parameter", 400)
    target = f"{repository}:{tag}"
    runner.store.tag(reference, target)
    message = f'Model tagged successfully with "{target}"'
    return as_json({"message": message, "target": target}, 201)


def _create(runner: Runner, request: Request) -> Response:
    try:
        value = json.loads(request.body)
        reference, token = value["from"], value.get("bearer-token")
    except (ValueError, KeyError, TypeError, AttributeError):
        return as_text("invalid request body", 400)
    # a third pull waits, without a byte
    while not runner.pulls.acquire(timeout=0.01):
        if request.gone():
            raise Break
    try:
        response = _pull(runner, request, reference, token)
    except BaseException:
        runner.pulls.release()
        raise
    if isinstance(response.body, bytes):
        runner.pulls.release()
    return response


def _pull(runner: Runner, request: Request, reference: str, token: str | None) -> Response:
    published = runner.registry.get(canonical(reference))
    try:
        local = runner.store.find(reference).model
    except NotFound:
        local = None
    model = published or local
    cached = local is not None and model is not None and local.id == model.id
    # what comes from Docker Hub is asked for there even if it is local; Hugging Face's is not
    if runner.offline and not (cached and model is not None and model.huggingface):
        return as_text(f"error while pulling model: {OFFLINE}", 500)
    refused = pulling.refusal(model, reference, token)
    if refused is not None:
        return refused
    assert model is not None

    def written() -> Iterator[str]:
        for each in pulling.lines(model, cached=cached):
            if '"type":"success"' in each:
                runner.store.add(model, reference)
            yield each

    ended = runner.pulls.release
    return pulling.streamed(request, written(), pause=runner.pull_seconds, ended=ended)
