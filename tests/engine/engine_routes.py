"""`/engines`: what is loaded, how it is configured, and its work."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING, Any

from .canned import LoadFailed
from .catalogue import Published
from .flags import Malformed, Mode, Refused, configuration_of
from .scheduling import Busy, Cancelled
from .serving import Pieces, Request, Response, as_json, as_text
from .store import NotFound, canonical

if TYPE_CHECKING:
    from .runner import Runner

LARGEST = 10 * 2**20
BACKENDS = {
    "llama.cpp": "Running: llama.cpp b10068",
    "vllm": "Not Installed: vLLM binary not found",
    "mlx": "Not Installed: only supported on macOS ARM64",
}
MODES: dict[str, Mode] = {
    "/v1/embeddings": "embedding",
    "/v1/chat/completions": "completion",
    "/v1/completions": "completion",
    "/v1/messages": "completion",
    "/v1/messages/count_tokens": "completion",
    "/rerank": "reranking",
    "/score": "reranking",
}


def answer(runner: Runner, request: Request, path: str) -> Response:
    """`path` is what follows "/engines"."""
    if path == "/v1/models" or path.startswith("/v1/models/"):
        return _models(runner, request, path)
    if request.method == "POST" and path in MODES:
        return _infer(runner, request, path)
    own = {
        "POST /_configure": _configure,
        "GET /_configure": _configurations,
        "GET /status": _status,
        "GET /ps": lambda runner, request: as_json(runner.scheduler.shown()),
        "GET /df": _df,
        "GET /requests": _recorded,
        "POST /unload": _unload,
    }
    if runner.old:
        del own["GET /_configure"]
    if f"{request.method} {path}" in own:
        return own[f"{request.method} {path}"](runner, request)
    if any(f"{method} {path}" in own for method in ("GET", "POST")) or path in MODES:
        return as_text("Method Not Allowed", 405)
    backend, _, rest = path.removeprefix("/").partition("/")
    return _of_backend(runner, request, backend, "/" + rest)


def _of_backend(runner: Runner, request: Request, backend: str, path: str) -> Response:
    if path == "/v1/models" or path.startswith("/v1/models/"):
        return _models(runner, request, path)
    if path != "/_configure" and path not in MODES:
        return as_text("not found", 404)
    if request.method != "POST":
        return as_text("Method Not Allowed", 405)
    if backend not in BACKENDS:
        return as_text("backend not found", 404)
    if path == "/_configure":
        return _configure(runner, request)
    return _infer(runner, request, path, backend)


def _models(runner: Runner, request: Request, path: str) -> Response:
    reference = path.removeprefix("/v1/models").removeprefix("/")
    if request.method != "GET":
        return as_text("Method Not Allowed", 405)
    if not reference:
        data = [runner.store.listed(kept) for kept in runner.store.kept]
        return as_json({"object": "list", "data": data})
    try:
        return as_json(runner.store.listed(runner.store.find(reference)))
    except NotFound:
        return as_text(_not_found(reference), 404)


def _status(runner: Runner, request: Request) -> Response:
    if runner.old:
        return as_json({"llama.cpp": "running llama.cpp version: b7045"})
    return as_json(BACKENDS)


def _df(runner: Runner, request: Request) -> Response:
    used = sum(kept.model.size for kept in runner.store.kept)
    return as_json({"models_disk_usage": used, "default_backend_disk_usage": 34_000_000})


def _unload(runner: Runner, request: Request) -> Response:
    try:
        value = json.loads(request.body)
        references = value.get("models") or []
    except (ValueError, AttributeError):
        return as_text("invalid request", 400)
    ids = None if value.get("all") else [_id(runner, reference) for reference in references]
    count = runner.scheduler.unload(ids, value.get("backend") or "")
    return as_json({"unloaded_runners": count})


def _id(runner: Runner, reference: str) -> str:
    """Of a model that need not exist."""
    try:
        return runner.store.find(reference).model.id
    except NotFound:
        return reference


def _configure(runner: Runner, request: Request) -> Response:
    try:
        reference, mode, configuration = configuration_of(request.body)
    except Malformed as error:
        return as_text(str(error), 400)
    except Refused as error:
        return as_text(str(error), 500)
    try:
        runner.scheduler.configure((_id(runner, reference), mode), reference, configuration)
    except Busy:
        return as_text("runner already active", 409)
    if not runner.old:
        # subtle: whatever the mode says, the model is then loaded for completion
        runner.preload(reference)
    return Response(202)


def _configurations(runner: Runner, request: Request) -> Response:
    wanted = _id(runner, request.query["model"]) if request.query.get("model") else None
    listed = []
    for (identity, mode), configured in list(runner.scheduler.configurations.items()):
        if wanted in (None, identity):
            listed.append(
                {
                    "Backend": "llama.cpp",
                    "Model": runner.store.spelled(canonical(configured.model)),
                    "ModelID": identity,
                    "Mode": mode,
                    "Config": configured.configuration,
                }
            )
    return as_json(listed)


def _recorded(runner: Runner, request: Request) -> Response:
    wanted = _id(runner, request.query["model"]) if request.query.get("model") else None
    listed = []
    for identity, records in runner.records.items():
        if wanted in (None, identity):
            configuration = runner.scheduler.started.get(identity, {})
            entry = {"count": len(records), "model": identity, "config": configuration}
            listed.append({**entry, "records": records})
    return as_json(listed)


def _infer(runner: Runner, request: Request, path: str, backend: str = "llama.cpp") -> Response:
    if len(request.body) > LARGEST:
        response = as_text("request too large", 400)
        response.closes = True
        return response
    try:
        value = json.loads(request.body)
    except ValueError:
        return as_text("invalid request", 400)
    if not isinstance(value, dict) or not isinstance(value.get("model", ""), str):
        return as_text("invalid request", 400)
    reference = value.get("model", "")
    if not reference:
        return as_text("model is required", 400)
    try:
        model = runner.store.find(reference).model
    except NotFound:
        return as_text(_not_found(reference), 404)
    if backend != "llama.cpp":
        command = f"docker model install-runner --backend {backend}"
        return as_text(f'backend "{backend}" is not installed; run: {command}', 412)
    return _work(runner, request, path, model, reference)


def _work(
    runner: Runner, request: Request, path: str, model: Published, reference: str
) -> Response:
    scheduler = runner.scheduler
    try:
        running = scheduler.borrow(model, reference, MODES[path], request.gone)
    except Cancelled:
        return as_text("unable to load runner: context canceled", 500)
    except LoadFailed as error:
        failed = f"llama.cpp terminated unexpectedly: llama.cpp failed: {_summary(str(error))}"
        return as_text(f"unable to load runner: {failed}\n\nVerbose output:\n{error}", 500)
    kept = False
    try:
        if request.headers.get("x-preload-only") == "true" and not runner.old:
            return Response()
        assert running.loaded is not None
        response = running.loaded.answer(path, request.body)
        if MODES[path] == "reranking" and runner.unsorted:
            response = _unsorted(response)
        _record(runner, request, model, reference, response)
        if isinstance(response.body, Pieces):
            pieces = response.body
            response.body = Pieces(iter(pieces), lambda: scheduler.release(running))
            kept = True
        return response
    finally:
        if not kept:
            scheduler.release(running)


def _record(
    runner: Runner, request: Request, model: Published, reference: str, response: Response
) -> None:
    if not runner.keeps_requests:
        return
    records = runner.records.setdefault(model.id, [])
    record: dict[str, Any] = {
        "id": f"{model.id[7:19]}_{len(runner.requests)}",
        "model": reference,
        "method": request.method,
        "url": request.path,
        "request": request.body.decode("utf-8", "replace"),
        "timestamp": int(time.time()),
        "status_code": response.status,
        "user_agent": request.headers.get("user-agent", ""),
    }
    if isinstance(response.body, bytes):
        key = "response" if response.status < 400 else "error"
        record[key] = response.body.decode("utf-8", "replace")
    records.append(record)
    del records[:-10]


def _not_found(reference: str) -> str:
    return f"error while getting model: get model '\"{reference}\"': model not found"


def _summary(output: str) -> str:
    """The line that Docker Model Runner puts before llama.cpp's own words."""
    if "invalid argument" in output or "handling argument" in output:
        return output.splitlines()[0]
    return "failed to load model"


def _unsorted(response: Response) -> Response:
    if response.status != 200 or not isinstance(response.body, bytes):
        return response
    value = json.loads(response.body)
    value["results"].sort(key=lambda result: result["index"])
    return as_json(value)
