"""A server that only speaks OpenAI's API: llama-server by itself, or a cloud with its key."""

from __future__ import annotations

import json

from .canned import CannedEngine, Engine, Failed, LoadFailed, failure
from .catalogue import CATALOGUE, Published
from .flags import Mode
from .front import Front
from .scheduling import Cancelled, Scheduler
from .serving import Pieces, Request, Response, as_json
from .store import canonical

MODES: dict[str, Mode] = {
    "/v1/embeddings": "embedding",
    "/v1/chat/completions": "completion",
    "/v1/completions": "completion",
    "/v1/rerank": "reranking",
}


class OpenAIServer(Front):
    """`base_url` is what a user would configure.

    `models`: what it serves, by the names that requests use. `key`: the bearer token it wants.
    `strict`: whether it refuses models it does not know, as a cloud does; llama-server answers with
    the one it has, here the first of the fitting kind. `reranks`: whether it has that route at all.
    """

    def __init__(self, engine: Engine, *, port: int = 0) -> None:
        self.engine = engine
        super().__init__(port=port)

    @property
    def base_url(self) -> str:
        return f"{self.url}/v1"

    def _fresh(self) -> None:
        super()._fresh()
        named = {canonical(model.reference): model for model in CATALOGUE if model.local}
        self.models: dict[str, Published] = {
            name.rpartition("/")[2].removesuffix(":latest"): model for name, model in named.items()
        }
        self.key: str | None = None
        self.strict = True
        self.reranks = True
        self.scheduler = Scheduler(self.engine)
        if isinstance(self.engine, CannedEngine):
            self.engine.seconds = 0.0
            self.engine.reply = None

    def _stop(self) -> None:
        self.scheduler.unload(None, "")

    def _route(self, request: Request, path: str) -> Response:
        try:
            return self._serve(request, path)
        except Failed as failed:
            return failure(failed)

    def _serve(self, request: Request, path: str) -> Response:
        if path == "/health":
            return as_json({"status": "ok"})
        if self.key and request.headers.get("authorization") != f"Bearer {self.key}":
            raise Failed(401, "Incorrect API key provided.", "invalid_request_error")
        if path == "/v1/models" and request.method == "GET":
            data = [{"id": name, "object": "model", "owned_by": "llamacpp"} for name in self.models]
            return as_json({"object": "list", "data": data})
        if path not in MODES or request.method != "POST" or (path == "/v1/rerank") > self.reranks:
            raise Failed(404, "File Not Found", "not_found_error")
        return self._work(request, path)

    def _work(self, request: Request, path: str) -> Response:
        try:
            name = json.loads(request.body).get("model", "")
        except (ValueError, AttributeError):
            raise Failed(400, "parse error", "invalid_request_error") from None
        model = self.models.get(name)
        if model is None and not self.strict:
            model = next(iter(self.models.values()))
        if model is None:
            message = f"The model '{name}' does not exist or you do not have access to it."
            raise Failed(404, message, "invalid_request_error")
        scheduler = self.scheduler
        try:
            running = scheduler.borrow(model, name, MODES[path], request.gone)
        except (LoadFailed, Cancelled):
            raise Failed(503, "Loading model", "unavailable_error") from None
        assert running.loaded is not None
        response = running.loaded.answer(path, request.body)
        if isinstance(response.body, Pieces):
            response.body = Pieces(iter(response.body), lambda: scheduler.release(running))
        else:
            scheduler.release(running)
        return response
