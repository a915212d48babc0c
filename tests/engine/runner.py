"""Docker Model Runner, as a client sees it."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Iterator, Sequence
from typing import Any

from . import engine_routes, store_routes
from .canned import CannedEngine, Engine, LoadFailed
from .catalogue import CATALOGUE, Published
from .front import Front
from .scheduling import Cancelled, Scheduler
from .serving import Pieces, Request, Response, as_json, as_text
from .store import NotFound, Store, canonical

ORIGINS = {
    f"{scheme}://{host}"
    for scheme in ("http", "https")
    for host in ("localhost", "127.0.0.1", "0.0.0.0", "localhost:*", "127.0.0.1:*", "0.0.0.0:*")
}
FIRST_LOG = b"[2026-07-22T10:00:00.000000000Z][model-runner] Listening on :12434\n"


class Runner(Front):
    """One that listens. Its parts may be changed while it runs; `reset` undoes all of it.

    `store`: which models are local. `registry`: which can be pulled, by canonical reference.
    `scheduler`: what is loaded and how it is configured; its `load_seconds` makes loading slow, as
    `engine.seconds` makes the stand-in's work and `pull_seconds` each line of a pull. `preloads`:
    what the side effect of `_configure` was to load, as it does if `loads_for_completion`. `old`:
    behave as a release before 1.0.10. `unsorted`: rerank in the order of the documents. `offline`:
    no registry answers. `token`: a bearer token that requests must carry (a proxy's in front).
    """

    def __init__(
        self,
        engine: Engine,
        catalogue: Sequence[Published] = CATALOGUE,
        *,
        port: int = 0,
        socket: str | None = None,
    ) -> None:
        self.engine = engine
        self._catalogue = catalogue
        self.scheduler: Scheduler
        super().__init__(port=port, socket=socket)

    def restart(self) -> None:
        """Connections break, nothing is loaded, every configuration is forgotten."""
        self.hang_up()
        self.scheduler.unload(None, "")
        self.scheduler = Scheduler(self.engine, slots=self.scheduler.slots)

    def crash(self) -> None:
        """Every engine that is loaded dies, as for want of memory."""
        self.scheduler.crash()

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

    def preload(self, reference: str) -> None:
        """Load this model for completion, in the background; what goes wrong is not told."""
        self.preloads.append(reference)
        if not self.loads_for_completion:
            return
        threading.Thread(target=self._preload, args=(reference,), daemon=True).start()

    def _preload(self, reference: str) -> None:
        until = time.monotonic() + 60
        over, scheduler = self._over, self.scheduler

        def gone() -> bool:
            return over.is_set() or time.monotonic() > until

        with contextlib.suppress(NotFound, LoadFailed, Cancelled):
            model = self.store.find(reference).model
            scheduler.release(scheduler.borrow(model, reference, "completion", gone))

    def _fresh(self) -> None:
        super()._fresh()
        self.registry = {canonical(model.reference): model for model in self._catalogue}
        self.store = Store()
        self.store.fill(model for model in self._catalogue if model.local)
        self.scheduler = Scheduler(self.engine)
        self.pulls = threading.Semaphore(2)
        self.preloads: list[str] = []
        self.loads_for_completion = True
        self.records: dict[str, list[dict[str, Any]]] = {}
        self.unsorted = False
        self.offline = False
        self.pull_seconds = 0.0
        self.token: str | None = None
        if isinstance(self.engine, CannedEngine):
            self.engine.seconds = 0.0
            self.engine.reply = None

    def _stop(self) -> None:
        self.scheduler.unload(None, "")

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
            rest = path.removeprefix("/models").removeprefix("/")
            return store_routes.answer(self, request, rest)
        if path.startswith("/engines/"):
            return engine_routes.answer(self, request, path.removeprefix("/engines"))
        return self._service(request, path)

    def _service(self, request: Request, path: str) -> Response:
        hello = Response(200, b"Docker Model Runner is running", {"Content-Type": "text/plain"})
        answers = {"/": hello, "/metrics": as_text("# No active runners")}
        if not self.old:
            answers |= {"/version": as_json({"version": "v1.2.6"}), "/logs": self._logs(request)}
        if path not in answers:
            return as_text("404 page not found", 404)
        if request.method != "GET":
            return as_text("Method Not Allowed", 405)
        return answers[path]

    def _logs(self, request: Request) -> Response:
        for name in ("follow", "no-engines"):
            if request.query.get(name, "false") not in ("true", "false", "1", "0"):
                return as_text(f"invalid {name} parameter", 400)
        follow = request.query.get("follow") in ("true", "1")
        engines = request.query.get("no-engines") not in ("true", "1")
        over, loads = self._over, self.scheduler.loads

        def written() -> Iterator[bytes]:
            yield FIRST_LOG
            for reference, mode in loads if engines else ():
                at = "[2026-07-22T10:00:01.000000000Z][inference.llama.cpp]"
                yield f"{at} loading {reference} for {mode}\n".encode()
            while follow and not over.wait(0.01) and not request.gone():
                pass

        return Response(200, Pieces(written()), {"Content-Type": "text/plain"})
