"""Docker Model Runner, as a client sees it."""

from __future__ import annotations

import contextlib
import json
import os
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from . import pulling
from .canned import CannedEngine, Engine, LoadFailed
from .catalogue import CATALOGUE, Published
from .faults import USUAL, Fault, Faults, matches
from .flags import Malformed, Mode, Refused, configuration_of
from .scheduling import Busy, Cancelled, Scheduler
from .serving import Break, Pieces, Request, Response, Server, Via, as_json, as_text
from .store import Conflict, NotFound, Store, canonical

PREFIX = "/exp/vDD4.40"
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
ORIGINS = {
    f"{scheme}://{host}"
    for scheme in ("http", "https")
    for host in ("localhost", "127.0.0.1", "0.0.0.0", "localhost:*", "127.0.0.1:*", "0.0.0.0:*")
}


@dataclass
class Seen:
    """One request, and what became of it."""

    method: str
    path: str
    """Without the socket's prefix."""
    query: dict[str, str]
    headers: dict[str, str]
    body: bytes
    via: Via
    status: int | None = None
    """None: it was never answered."""
    fault: str = ""
    """Name of the failure that was injected, or ""."""

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def texts(self) -> list[str]:
        """What was to be embedded or reranked."""
        value = self.json
        found = value.get("input", value.get("documents", []))
        return [found] if isinstance(found, str) else list(found)


class Runner:
    """One that listens. Its parts may be changed while it runs; `reset` undoes all of it.

    `url`: over TCP. `socket`: path of a Unix socket, below which all is found under `PREFIX`.
    `requests`: what has come in, in order. `store`: which models are local. `registry`: which can
    be pulled, by canonical reference. `scheduler`: what is loaded and how it is configured.
    `engine.seconds` and `scheduler.load_seconds` make work and loading slow, `pull_seconds` each
    line of a pull. `old`: behave as a release before 1.0.10. `unsorted`: rerank in the order of
    the documents, `top_n` ignored. `offline`: no registry answers. `preloads`: what the side effect
    of `_configure` loaded. `token`: a bearer token that every request must carry (a proxy's).
    """

    def __init__(
        self, engine: Engine, catalogue: Sequence[Published] = CATALOGUE, *, port: int = 0
    ) -> None:
        self.engine = engine
        self._catalogue = catalogue
        self._folder = tempfile.TemporaryDirectory(prefix="runner")
        self.socket = str(Path(self._folder.name) / "docker.sock")
        self.keeps_requests = True
        self.scheduler: Scheduler
        self._server: Server | None = None
        self._fresh()
        self._server = Server(self._answer, port=port, path=self.socket)
        self.port = self._server.port

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def socket_url(self) -> str:
        """The root below the Unix socket."""
        return f"http://localhost{PREFIX}"

    def reset(self) -> None:
        """As new: everything that a test has changed or sent is forgotten. Raises what went wrong
        in the double itself."""
        self.up()
        assert self._server is not None
        self._over.set()
        self._server.hang_up()
        errors = self._server.errors[:]
        self._server.errors.clear()
        self.scheduler.unload(None, "")
        self._fresh()
        if errors:
            raise errors[0]

    def restart(self) -> None:
        """Connections break, nothing is loaded, every configuration is forgotten."""
        assert self._server is not None
        self._server.hang_up()
        self.scheduler.unload(None, "")
        self.scheduler = Scheduler(self.engine, slots=self.scheduler.slots)

    def down(self) -> None:
        """Nothing listens any more, until `up`."""
        if self._server is not None:
            self._server.close()
            self._server = None
            with contextlib.suppress(FileNotFoundError):
                os.unlink(self.socket)

    def up(self) -> None:
        if self._server is None:
            self._server = Server(self._answer, port=self.port, path=self.socket)

    def close(self) -> None:
        self._over.set()
        self.down()
        self.scheduler.unload(None, "")
        self._folder.cleanup()

    def fail(
        self,
        pattern: str = "*",
        faults: Sequence[Fault] | Fault = USUAL,
        *,
        rate: float | None = None,
        seed: int = 0,
    ) -> None:
        """Let requests fail: the next ones, one fault each; with `rate`, that share of all.

        `pattern` is a glob over the path, without prefix and query ("*/embeddings"), or over method
        and path ("POST /engines/_configure"). See `faults` for what can happen.
        """
        chosen = [faults] if isinstance(faults, Fault) else list(faults)
        self.faults.add(pattern, chosen, rate=rate, seed=seed)

    def seen(self, pattern: str) -> list[Seen]:
        """Requests that a pattern like that of `fail` matches, in order."""
        return [each for each in self.requests if matches(pattern, each)]

    def only(self, *references: str) -> None:
        """Let these models be all that is local."""
        self.store.kept.clear()
        for reference in references:
            self.store.add(self.registry[canonical(reference)], reference)

    def republish(self, reference: str) -> None:
        """The registry gets other weights below this name; what is local stays as it is."""
        model = self.registry[canonical(reference)]
        self.registry[canonical(reference)] = model.again()

    @property
    def old(self) -> bool:
        return self.store.old

    @old.setter
    def old(self, value: bool) -> None:
        self.store.old = value

    def _fresh(self) -> None:
        self._over = threading.Event()
        """Set when all that hangs must end."""
        self.registry = {canonical(model.reference): model for model in self._catalogue}
        self.store = Store()
        self.store.fill(model for model in self._catalogue if model.local)
        self.scheduler = Scheduler(self.engine)
        self.faults = Faults()
        self.requests: list[Seen] = []
        self.preloads: list[str] = []
        self.records: dict[str, list[dict[str, Any]]] = {}
        self.unsorted = False
        self.offline = False
        self.pull_seconds = 0.0
        self.token: str | None = None
        self._pulls = threading.Semaphore(2)
        if isinstance(self.engine, CannedEngine):
            self.engine.seconds = 0.0
            self.engine.reply = None

    def _answer(self, request: Request) -> Response:
        path = request.path
        if request.via == "unix":
            if not path.startswith(PREFIX + "/"):
                return as_json({"message": "page not found"}, 404)
            path = path.removeprefix(PREFIX)
        seen = Seen(
            request.method,
            path,
            dict(request.query),
            dict(request.headers),
            request.body if self.keeps_requests else b"",
            request.via,
        )
        if self.keeps_requests:
            self.requests.append(seen)
        fault = self.faults.next(seen)
        if fault is not None:
            seen.fault = fault.name
            if not fault.works:
                return self._fail(fault, request, seen)
        response = self._route(request, path)
        if fault is not None:
            response = fault.apply(response)
        seen.status = response.status
        return response

    def _fail(self, fault: Fault, request: Request, seen: Seen) -> Response:
        if fault.how == "hang":
            over = self._over
            while not over.wait(0.01) and not request.gone():
                pass
        if fault.how in ("hang", "reset"):
            raise Break
        seen.status = fault.status
        return fault.answer()

    def _route(self, request: Request, path: str) -> Response:
        while "//" in path:
            path = path.replace("//", "/")
        origin = request.headers.get("origin")
        if origin is not None and origin not in ORIGINS:
            return as_text("Origin not allowed", 403)
        if self.token and request.headers.get("authorization") != f"Bearer {self.token}":
            return as_text("Unauthorized", 401)
        if path.startswith("/v1/") or path in ("/rerank", "/score"):
            path = "/engines" + path
        if path == "/models" or path.startswith("/models/"):
            return self._models(request, path.removeprefix("/models").removeprefix("/"))
        if path.startswith("/engines/"):
            return self._engines(request, path.removeprefix("/engines"))
        return self._service(request, path)

    # -- service

    def _service(self, request: Request, path: str) -> Response:
        answers = {"/": self._hello, "/metrics": self._metrics}
        if not self.old:
            answers |= {"/version": self._version, "/logs": self._logs}
        if path not in answers:
            return as_text("404 page not found", 404)
        if request.method != "GET":
            return as_text("Method Not Allowed", 405)
        return answers[path](request)

    def _hello(self, request: Request) -> Response:
        return Response(200, b"Docker Model Runner is running", {"Content-Type": "text/plain"})

    def _version(self, request: Request) -> Response:
        return as_json({"version": "v1.2.6"})

    def _metrics(self, request: Request) -> Response:
        return as_text("# No active runners")

    def _logs(self, request: Request) -> Response:
        for name in ("follow", "no-engines"):
            if request.query.get(name, "false") not in ("true", "false", "1", "0"):
                return as_text(f"invalid {name} parameter", 400)
        follow = request.query.get("follow") in ("true", "1")
        engines = request.query.get("no-engines") not in ("true", "1")
        over = self._over

        def written() -> Iterator[bytes]:
            yield b"[2026-07-22T10:00:00.000000000Z][model-runner] Listening on :12434\n"
            if engines:
                for reference, mode in self.scheduler.loads:
                    at = "[2026-07-22T10:00:01.000000000Z][inference.llama.cpp]"
                    yield f"{at} loading {reference} for {mode}\n".encode()
            while follow and not over.wait(0.01) and not request.gone():
                pass

        return Response(200, Pieces(written()), {"Content-Type": "text/plain"})

    # -- the store

    def _models(self, request: Request, rest: str) -> Response:
        try:
            if request.method == "GET":
                if not rest:
                    return as_json([self.store.shown(kept) for kept in self.store.kept])
                return self._model(request, rest)
            if request.method == "DELETE" and rest == "purge":
                self.store.kept.clear()
                return Response()
            if request.method == "DELETE" and rest:
                force = request.query.get("force") in ("true", "1")
                return as_json(self.store.remove(rest, force=force))
            if request.method == "POST" and rest == "create":
                return self._create(request)
            if request.method == "POST" and rest:
                return self._act(request, *rest.rpartition("/")[::2])
        except NotFound:
            return as_text("error while getting model: model not found", 404)
        except Conflict:
            message = f'unable to delete "{rest}" (must be forced) due to multiple tag references'
            return as_text(f"error while deleting model: {message}: resource conflict", 409)
        return as_text("Method Not Allowed", 405)

    def _model(self, request: Request, reference: str) -> Response:
        if request.query.get("remote") not in ("true", "1"):
            return as_json(self.store.shown(self.store.find_partly(reference)))
        if self.offline:
            return as_text("error while getting remote model: dial tcp: i/o timeout", 500)
        model = self.registry.get(canonical(reference))
        if model is None:
            return as_text("error while getting remote model: model not found", 404)
        apart = Store()
        apart.add(model, reference)
        return as_json(apart.shown(apart.kept[0]))

    def _act(self, request: Request, reference: str, action: str) -> Response:
        if action != "tag":
            return as_text(f'unknown action "{action}"', 404)
        repository, tag = request.query.get("repo"), request.query.get("tag")
        if not repository or not tag:
            return as_text("missing repo or tag query parameter", 400)
        target = f"{repository}:{tag}"
        self.store.tag(reference, target)
        message = f'Model tagged successfully with "{target}"'
        return as_json({"message": message, "target": target}, 201)

    def _create(self, request: Request) -> Response:
        try:
            value = json.loads(request.body)
            reference, token = value["from"], value.get("bearer-token")
        except (ValueError, KeyError, TypeError, AttributeError):
            return as_text("invalid request body", 400)
        pulls = self._pulls
        # a third one waits without a byte
        while not pulls.acquire(timeout=0.01):
            if request.gone():
                raise Break
        try:
            response = self._pull(request, reference, token)
        except BaseException:
            pulls.release()
            raise
        if isinstance(response.body, bytes):
            pulls.release()
        return response

    def _pull(self, request: Request, reference: str, token: str | None) -> Response:
        model = self.registry.get(canonical(reference))
        try:
            local = self.store.find(reference).model
        except NotFound:
            local = None
        cached = local is not None and (model is None or local.id == model.id)
        if self.offline and not (cached and local is not None and local.huggingface):
            return as_text("error while pulling model: dial tcp: i/o timeout", 500)
        refused = pulling.refusal(model or local, reference, token)
        if refused is not None:
            return refused
        pulled = model or local
        assert pulled is not None

        def written() -> Iterator[str]:
            for each in pulling.lines(pulled, cached=cached):
                if '"type":"success"' in each:
                    self.store.add(pulled, reference)
                yield each

        return pulling.streamed(
            request, written(), pause=self.pull_seconds, ended=self._pulls.release
        )

    # -- the scheduler

    def _engines(self, request: Request, path: str) -> Response:
        if path == "/v1/models" or path.startswith("/v1/models/"):
            return self._listed(request, path.removeprefix("/v1/models").removeprefix("/"))
        if request.method == "POST" and path in MODES:
            return self._infer(request, path)
        own = {
            "POST /_configure": self._configure,
            "GET /_configure": self._configurations,
            "GET /status": self._status,
            "GET /ps": self._ps,
            "GET /df": self._df,
            "GET /requests": self._recorded,
            "POST /unload": self._unload,
        }
        if self.old:
            del own["GET /_configure"]
        if f"{request.method} {path}" in own:
            return own[f"{request.method} {path}"](request)
        if any(f"{method} {path}" in own for method in ("GET", "POST")) or path in MODES:
            return as_text("Method Not Allowed", 405)
        backend, _, rest = path.removeprefix("/").partition("/")
        return self._of_backend(request, backend, "/" + rest)

    def _of_backend(self, request: Request, backend: str, path: str) -> Response:
        models = path == "/v1/models" or path.startswith("/v1/models/")
        if not models and path != "/_configure" and path not in MODES:
            return as_text("not found", 404)
        if models:
            return self._listed(request, path.removeprefix("/v1/models").removeprefix("/"))
        if request.method != "POST":
            return as_text("Method Not Allowed", 405)
        if backend not in BACKENDS:
            return as_text("backend not found", 404)
        if path == "/_configure":
            return self._configure(request)
        return self._infer(request, path, backend)

    def _listed(self, request: Request, reference: str) -> Response:
        if request.method != "GET":
            return as_text("Method Not Allowed", 405)
        if not reference:
            data = [self.store.listed(kept) for kept in self.store.kept]
            return as_json({"object": "list", "data": data})
        try:
            return as_json(self.store.listed(self.store.find(reference)))
        except NotFound:
            return as_text(_not_found(reference), 404)

    def _status(self, request: Request) -> Response:
        if self.old:
            return as_json({"llama.cpp": "running llama.cpp version: b7045"})
        return as_json(BACKENDS)

    def _ps(self, request: Request) -> Response:
        return as_json(self.scheduler.shown())

    def _df(self, request: Request) -> Response:
        used = sum(kept.model.size for kept in self.store.kept)
        return as_json({"models_disk_usage": used, "default_backend_disk_usage": 34_000_000})

    def _unload(self, request: Request) -> Response:
        try:
            value = json.loads(request.body)
            references = value.get("models") or []
        except (ValueError, AttributeError):
            return as_text("invalid request", 400)
        ids = None if value.get("all") else [self._id(reference) for reference in references]
        count = self.scheduler.unload(ids, value.get("backend") or "")
        return as_json({"unloaded_runners": count})

    def _id(self, reference: str) -> str:
        """Of a model that need not exist."""
        try:
            return self.store.find(reference).model.id
        except NotFound:
            return reference

    def _configure(self, request: Request) -> Response:
        try:
            reference, mode, configuration = configuration_of(request.body)
        except Malformed as error:
            return as_text(str(error), 400)
        except Refused as error:
            return as_text(str(error), 500)
        try:
            self.scheduler.configure((self._id(reference), mode), reference, configuration)
        except Busy:
            return as_text("runner already active", 409)
        if not self.old:
            # subtle: whatever the mode says, the model is then loaded for completion
            self.preloads.append(reference)
            threading.Thread(target=self._preload, args=(reference,), daemon=True).start()
        return Response(202)

    def _preload(self, reference: str) -> None:
        until = time.monotonic() + 60
        over = self._over
        with contextlib.suppress(NotFound, LoadFailed, Cancelled):
            model = self.store.find(reference).model
            scheduler = self.scheduler
            running = scheduler.borrow(
                model, reference, "completion", lambda: over.is_set() or time.monotonic() > until
            )
            scheduler.release(running)

    def _configurations(self, request: Request) -> Response:
        wanted = self._id(request.query["model"]) if request.query.get("model") else None
        listed = []
        for (identity, mode), configured in list(self.scheduler.configurations.items()):
            if wanted not in (None, identity):
                continue
            listed.append(
                {
                    "Backend": "llama.cpp",
                    "Model": self.store.spelled(canonical(configured.model)),
                    "ModelID": identity,
                    "Mode": mode,
                    "Config": configured.configuration,
                }
            )
        return as_json(listed)

    def _recorded(self, request: Request) -> Response:
        wanted = self._id(request.query["model"]) if request.query.get("model") else None
        listed = []
        for identity, records in self.records.items():
            if wanted in (None, identity):
                configuration = self.scheduler.effective((identity, "embedding"))
                listed.append(
                    {
                        "count": len(records),
                        "model": identity,
                        "config": configuration,
                        "records": records,
                    }
                )
        return as_json(listed)

    # -- inference

    def _infer(self, request: Request, path: str, backend: str = "llama.cpp") -> Response:
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
            model = self.store.find(reference).model
        except NotFound:
            return as_text(_not_found(reference), 404)
        if backend != "llama.cpp":
            message = f'backend "{backend}" is not installed; '
            command = f"docker model install-runner --backend {backend}"
            return as_text(f"{message}run: {command}", 412)
        return self._work(request, path, model, reference)

    def _work(self, request: Request, path: str, model: Published, reference: str) -> Response:
        scheduler = self.scheduler
        try:
            running = scheduler.borrow(model, reference, MODES[path], request.gone)
        except Cancelled:
            return as_text("unable to load runner: context canceled", 500)
        except LoadFailed as error:
            why = _summary(str(error))
            failed = f"llama.cpp terminated unexpectedly: llama.cpp failed: {why}"
            return as_text(f"unable to load runner: {failed}\n\nVerbose output:\n{error}", 500)
        kept = False
        try:
            if request.headers.get("x-preload-only") == "true" and not self.old:
                return Response()
            assert running.loaded is not None
            response = running.loaded.answer(path, request.body)
            if MODES[path] == "reranking" and self.unsorted:
                response = _unsorted(response)
            self._record(request, model, reference, response)
            if isinstance(response.body, Pieces):
                pieces = response.body
                response.body = Pieces(iter(pieces), lambda: scheduler.release(running))
                kept = True
            return response
        finally:
            if not kept:
                scheduler.release(running)

    def _record(
        self, request: Request, model: Published, reference: str, response: Response
    ) -> None:
        if not self.keeps_requests:
            return
        records = self.records.setdefault(model.id, [])
        record: dict[str, Any] = {
            "id": f"{model.id[7:19]}_{len(self.requests)}",
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
