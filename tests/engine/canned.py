"""A stand-in for llama-server: same limits, same answers in shape, vectors that come from hashes.

Texts that share words have similar vectors, so that a search finds what it should. A token is a
run of up to five letters or digits, or one sign; two special ones are added to each text.
"""

from __future__ import annotations

import base64
import json
import math
import re
import threading
import time
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import lru_cache
from typing import Any, Protocol

import numpy as np

from . import chatter
from .catalogue import Published
from .flags import Mode, Settings
from .serving import Pieces, Response, as_json

TOKEN = re.compile(r"[぀-鿿]|[^\W_]{1,5}|[^\s\w]|_")
TEMPLATE = 76
"""Tokens of the prompt around a query and a document of a template-based reranker."""


class LoadFailed(Exception):
    """The process died at its start; its message is the last that it wrote."""


class Loaded(Protocol):
    """One llama-server, running."""

    def answer(self, path: str, body: bytes) -> Response: ...
    def alive(self) -> bool: ...
    def crash(self) -> None: ...
    def stop(self) -> None: ...


class Engine(Protocol):
    def load(self, model: Published, mode: Mode, settings: Settings) -> Loaded:
        """Raises LoadFailed."""
        ...


class CannedEngine:
    def __init__(self) -> None:
        self.seconds = 0.0
        """How long each request takes."""
        self.working = 0
        """Requests that have begun and are not done."""
        self._lock = threading.Lock()
        self._free = threading.Event()
        self._free.set()
        self.reply: chatter.Reply = None
        """What the chat models say; called with the request's body; None: their own text."""

    def load(self, model: Published, mode: Mode, settings: Settings) -> Loaded:
        if model.kind == "broken":
            raise LoadFailed(
                "gguf_init_from_file_impl: invalid magic characters: 'BROK', expected 'GGUF'\n"
                "llama_model_load: error loading model: llama_model_loader: failed to load model\n"
                "srv    load_model: failed to load model"
            )
        return _Canned(self, model, mode, settings)

    @contextmanager
    def held(self) -> Iterator[None]:
        """No request is done before the block is left; `working` says how many have begun."""
        self._free.clear()
        try:
            yield
        finally:
            self._free.set()

    def pause(self) -> None:
        """Take as long as a request should."""
        with self._lock:
            self.working += 1
        if self.seconds:
            time.sleep(self.seconds)
        self._free.wait(30)
        with self._lock:
            self.working -= 1


class Failed(Exception):
    """An error as llama-server words it."""

    def __init__(self, status: int, message: str, kind: str, **more: object) -> None:
        super().__init__(message)
        self.status = status
        self.error = {"code": status, "message": message, "type": kind, **more}


def failure(error: Failed) -> Response:
    return as_json({"error": error.error}, error.status)


class _Canned:
    def __init__(
        self, engine: CannedEngine, model: Published, mode: Mode, settings: Settings
    ) -> None:
        self._engine = engine
        self._model = model
        self._mode = mode
        self._context = settings.context or model.context
        if model.kind == "encoder":
            self._context = min(self._context, model.context)
        self._ubatch = min(settings.ubatch, settings.batch)
        self._parallel = settings.parallel
        self._pooling = settings.pooling
        self._working: list[int] = []
        """Tokens of the texts that are being worked on, of all requests."""
        self._lock = threading.Lock()
        self._alive = True

    def alive(self) -> bool:
        return self._alive

    def crash(self) -> None:
        self._alive = False

    def stop(self) -> None:
        """Nothing to stop."""

    def answer(self, path: str, body: bytes) -> Response:
        answers = {
            "/v1/embeddings": self._embeddings,
            "/rerank": self._rerank,
            "/v1/rerank": self._rerank,
            "/v1/chat/completions": self._chat,
        }
        try:
            if path not in answers:
                raise Failed(404, "File Not Found", "not_found_error")
            try:
                request = json.loads(body)
            except ValueError as error:
                raise Failed(400, f"parse error: {error}", "invalid_request_error") from None
            return answers[path](request)
        except Failed as failed:
            return failure(failed)

    def _embeddings(self, request: dict[str, Any]) -> Response:
        if self._mode == "completion":
            message = "This server does not support embeddings. Start it with `--embeddings`"
            raise Failed(501, message, "not_supported_error")
        if self._model.kind == "chat" and not self._pooling:
            message = (
                "Pooling type 'none' is not OAI compatible. Please use a different pooling type"
            )
            raise Failed(400, message, "invalid_request_error")
        encoding = request.get("encoding_format", "float")
        if encoding not in ("float", "base64"):
            message = "The format to return the embeddings in. Can be either float or base64"
            raise Failed(400, message, "invalid_request_error")
        texts = _inputs(request)
        counts = [len(_tokens(text)) + 2 for text in texts]
        self._work(counts)
        width = 1 if self._model.kind in ("logits", "probability", "nothing") else None
        data = []
        for index, text in enumerate(texts):
            vector = _vector(text, width or self._model.dimensions, self._model.revision)
            item: dict[str, Any] = {"index": index, "object": "embedding"}
            if encoding == "base64":
                item["embedding"] = base64.b64encode(vector.astype("<f4").tobytes()).decode()
                item["encoding_format"] = "base64"
            else:
                item["embedding"] = vector.tolist()
            data.append(item)
        usage = {"prompt_tokens": sum(counts), "total_tokens": sum(counts)}
        return as_json(
            {"model": request.get("model"), "object": "list", "usage": usage, "data": data}
        )

    def _work(self, counts: Sequence[int]) -> None:
        """Raises Failed for what does not fit; else takes as long as the engine is told to."""
        whole = self._model.kind in ("encoder", "logits") or self._mode == "reranking"
        for count in counts:
            self._fit(count, whole)
        if whole:
            self._engine.pause()
            return
        # the key-value cache is shared by all that is in flight, in as many slots as there are
        mine = sorted(counts, reverse=True)[: self._parallel]
        with self._lock:
            busy = sorted([*self._working, *mine], reverse=True)[: self._parallel]
            if sum(busy) > self._context:
                raise Failed(500, "Context size has been exceeded.", "server_error")
            self._working += mine
        self._engine.pause()
        with self._lock:
            for count in mine:
                self._working.remove(count)

    def _fit(self, count: int, whole: bool) -> None:
        if whole and count > self._ubatch:
            message = (
                f"input ({count} tokens) is too large to process. "
                f"increase the physical batch size (current batch size: {self._ubatch})"
            )
            raise Failed(500, message, "server_error")
        numbers = {"n_prompt_tokens": count, "n_ctx": self._context}
        if whole and count > self._context:
            message = (
                f"input ({count} tokens) is larger than the max context size "
                f"({self._context} tokens). skipping"
            )
            raise Failed(400, message, "exceed_context_size_error", **numbers)
        if not whole and count >= self._context:
            message = (
                f"request ({count} tokens) exceeds the available context size "
                f"({self._context} tokens), try increasing it"
            )
            raise Failed(400, message, "exceed_context_size_error", **numbers)

    def _rerank(self, request: dict[str, Any]) -> Response:
        if self._mode != "reranking":
            message = "This server does not support reranking. Start it with `--reranking`"
            raise Failed(501, message, "not_supported_error")
        query = request.get("query")
        if not isinstance(query, str):
            raise Failed(400, '"query" must be provided', "invalid_request_error")
        documents = request.get("documents")
        if (
            not isinstance(documents, list)
            or not documents
            or not all(isinstance(document, str) for document in documents)
        ):
            message = '"documents" must be a non-empty string array'
            raise Failed(400, message, "invalid_request_error")
        around = 3 if self._model.kind == "logits" else TEMPLATE
        counts = [len(_tokens(query)) + len(_tokens(document)) + around for document in documents]
        self._work(counts)
        scores = [self._score(query, document) for document in documents]
        results = [{"index": index, "relevance_score": score} for index, score in enumerate(scores)]
        results.sort(key=lambda result: -result["relevance_score"])
        top = request.get("top_n", len(results))
        if top < 0:
            raise Failed(500, "vector::_M_default_append", "server_error")
        usage = {"prompt_tokens": sum(counts), "total_tokens": sum(counts)}
        return as_json(
            {
                "model": request.get("model"),
                "object": "list",
                "usage": usage,
                "results": results[:top],
            }
        )

    def _score(self, query: str, document: str) -> float:
        if self._model.kind == "nothing":
            return 1e-20 * (1 + len(document) % 7)
        asked = set(_tokens(query.lower())) - COMMON
        found = asked & set(_tokens(document.lower()))
        logit = 9.0 * len(found) / max(1, len(asked)) - 4.5
        return 1 / (1 + math.exp(-logit)) if self._model.kind == "probability" else logit

    def _chat(self, request: dict[str, Any]) -> Response:
        if self._model.kind != "chat":
            message = "the current context does not support logits computation. skipping"
            raise Failed(500, message, "server_error")
        if not isinstance(request.get("stream", False), bool):
            raise Failed(400, "type must be boolean", "invalid_request_error")
        prompt = len(_tokens(json.dumps(request.get("messages", []), ensure_ascii=False)))
        if prompt >= self._context:
            self._fit(prompt, whole=False)
        self._engine.pause()
        spoken = chatter.spoken(request, self._engine.reply, thinks=self._model.gguf == "thinking")
        if not request.get("stream"):
            return as_json(chatter.completion(request, spoken, prompt))
        headers = {"Content-Type": "text/event-stream", "Keep-Alive": "timeout=5, max=100"}
        # announced as kept, and closed: the real one does so
        return Response(200, Pieces(chatter.events(request, spoken, prompt)), headers, closes=True)


COMMON = set(
    [
        "the",
        "a",
        "an",
        "of",
        "is",
        "in",
        "to",
        "how",
        "what",
        "where",
        "does",
        "do",
        "i",
        "it",
        "and",
        "or",
        "for",
        "?",
    ]
)


def _inputs(request: dict[str, Any]) -> list[str]:
    value = request.get("input")
    if value is None:
        raise Failed(400, '"input" or "content" must be provided', "invalid_request_error")
    texts = value if isinstance(value, list) else [value]
    if not texts:
        raise Failed(400, '"input" must not be empty', "invalid_request_error")
    if not all(isinstance(text, str) for text in texts):
        message = '"prompt" elements must be a string, a list of tokens, or a list of mixed strings'
        raise Failed(400, message, "invalid_request_error")
    return texts


def _tokens(text: str) -> list[str]:
    return TOKEN.findall(text)


def _vector(text: str, dimensions: int, revision: int) -> np.ndarray[Any, np.dtype[np.float32]]:
    total = _direction("", dimensions, revision) * np.float32(0.1)
    for token in _tokens(text.lower()):
        total = total + _direction(token, dimensions, revision)
    return (total / np.linalg.norm(total)).astype(np.float32)


@lru_cache(maxsize=20_000)
def _direction(token: str, dimensions: int, revision: int) -> np.ndarray[Any, np.dtype[np.float32]]:
    random = np.random.default_rng((zlib.crc32(token.encode("utf-8", "replace")), revision))
    return random.standard_normal(dimensions, dtype=np.float32)
