"""A server of embeddings for tests: real HTTP, limits and failures as Docker Model Runner has them.

A token is a word, and each text has two more; a vector is made of its text's hash.
"""

from __future__ import annotations

import hashlib
import json
import socket
import threading
import time
from base64 import b64encode
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import numpy as np


@dataclass(frozen=True)
class Fault:
    """An answer that is none; without a status, the connection is cut."""

    status: int | None = None
    body: object = ""
    headers: dict[str, str] = field(default_factory=dict)
    after: float = 0.0
    """Seconds."""


RESET = Fault()
BAD_GATEWAY = Fault(502)
EMPTY_500 = Fault(500)
DIED = Fault(500, {"type": "error", "code": None, "message": "llama.cpp terminated unexpectedly: "
                   "exit status 1", "param": None, "sequence_number": 1})  # fmt: skip
LOADING = Fault(503, {"error": {"code": 503, "message": "Loading model"}})
SLOW_DOWN = Fault(429, {"error": {"message": "Rate limit reached"}}, {"Retry-After": "0.02"})
GARBLED = Fault(200, "<html><title>Welcome</title></html>")
TOO_FEW = Fault(200, {"data": []})
HANGS = Fault(500, after=0.5)

Judge = Callable[[list[str]], "Fault | None"]


def never(texts: list[str]) -> Fault | None:
    """No fault."""


def tokens(text: str) -> int:
    return len(text.split()) + 2


def vector(text: str, size: int = 8) -> np.ndarray[Any, np.dtype[np.float32]]:
    """Not of unit length, so that a client that does not see to it is found out."""
    seed = int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big")
    return np.random.default_rng(seed).standard_normal(size).astype(np.float32)


def unit(text: str, size: int = 8, cut: int | None = None) -> np.ndarray[Any, Any]:
    row = vector(text, size)[:cut].astype(np.float64)
    return (row / np.linalg.norm(row)).astype(np.float32)


class EmbeddingServer:
    """What it does may be changed at any time."""

    def __init__(self, port: int = 0) -> None:
        self.size = 8
        self.limit = 512
        self.context: int | None = None
        self.numbers = True
        """Whether it says how long a text is that is too long."""
        self.base64: bool | None = True
        """None: a request for it is an error."""
        self.shuffled = False
        self.usage = True
        self.pace = 0.0
        """Seconds per text; one text at a time, as on one core."""
        self.odd: dict[str, list[list[float | None]]] = {}
        """Vectors to give first for a text."""
        self.judge: Judge = never
        """Called with every request's texts."""
        self.requests: list[tuple[list[str], int | None]] = []
        """Texts and status, as they were answered; None for an answer that is none."""
        self.bodies: list[dict[str, Any]] = []
        self.at_once = 0
        self.most_at_once = 0
        self._in_flight = 0
        self._lock = threading.Lock()
        self._core = threading.Lock()
        self._server = ThreadingHTTPServer(("127.0.0.1", port), self._handler())
        self._server.daemon_threads = True
        self._connections: set[socket.socket] = set()
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,))
        self._thread.start()

    @property
    def port(self) -> int:
        return int(self._server.server_address[1])

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def sent(self) -> Counter[str]:
        """How often each text came."""
        return Counter(text for texts, _ in self.requests for text in texts)

    @property
    def embedded(self) -> Counter[str]:
        """How often a vector was given for each text."""
        return Counter(text for texts, status in self.requests if status == 200 for text in texts)

    @property
    def failures(self) -> list[list[str]]:
        return [texts for texts, status in self.requests if status != 200]

    def die(self) -> None:
        """Stop listening and cut all connections."""
        if self._thread.is_alive():
            self._server.shutdown()
            self._thread.join()
            self._server.server_close()
        for connection in list(self._connections):
            cut(connection)

    def answer(self, body: dict[str, Any]) -> Fault:
        texts: list[str] = body["input"]
        if self.base64 is None and "encoding_format" in body:
            return Fault(400, {"error": {"message": "encoding_format must be float"}})
        if fault := self.judge(texts):
            time.sleep(fault.after)
            return fault
        for text in texts:
            text.encode()  # the real one refuses lone surrogates, too
            if tokens(text) > self.limit:
                return self._too_long(tokens(text))
        with self._holding(sum(map(tokens, texts))) as fits:
            if not fits:
                return Fault(500, {"error": {"message": "Context size has been exceeded."}})
            if self.pace:
                for _ in texts:
                    with self._core:
                        time.sleep(self.pace)
        return Fault(200, self._vectors(texts, body))

    @contextmanager
    def _holding(self, count: int) -> Iterator[bool]:
        with self._lock:
            fits = self.context is None or self._in_flight + count <= self.context
            self._in_flight += count * fits
        try:
            yield fits
        finally:
            with self._lock:
                self._in_flight -= count * fits

    def _too_long(self, count: int) -> Fault:
        words = "input is too large to process. increase the physical batch size"
        if self.numbers:
            words = (f"input ({count} tokens) is too large to process. increase the physical batch "
                     f"size (current batch size: {self.limit})")  # fmt: skip
        return Fault(500, {"error": {"code": 500, "message": words, "type": "server_error"}})

    def _vectors(self, texts: Sequence[str], body: dict[str, Any]) -> dict[str, Any]:
        items: list[dict[str, Any]] = []
        for index, text in enumerate(texts):
            row: Any = self.odd[text].pop(0) if self.odd.get(text) else vector(text, self.size)
            if self.base64 and body.get("encoding_format") == "base64":
                floats = np.array(row, dtype="<f4")
                items.append({"index": index, "embedding": b64encode(floats.tobytes()).decode()})
            else:
                items.append({"index": index, "embedding": [x if x is None else float(x)
                                                            for x in row]})  # fmt: skip
        if self.shuffled:
            items.reverse()
        count = sum(map(tokens, texts))
        usage = {"usage": {"prompt_tokens": count, "total_tokens": count}} if self.usage else {}
        return {"object": "list", "data": items, **usage}

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        server = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def setup(self) -> None:
                super().setup()
                server._connections.add(self.connection)

            def finish(self) -> None:
                server._connections.discard(self.connection)
                super().finish()

            def handle(self) -> None:
                try:
                    super().handle()
                except (OSError, ValueError):
                    self.close_connection = True

            def do_POST(self) -> None:
                length = int(self.headers["Content-Length"])
                body = json.loads(self.rfile.read(length))
                with server._lock:
                    server.bodies.append(body)
                    server.at_once += 1
                    server.most_at_once = max(server.most_at_once, server.at_once)
                reply = server.answer(body)
                with server._lock:
                    server.at_once -= 1
                    good = isinstance(reply.body, dict) and reply.body.get("data")
                    status = reply.status if good or reply.status != 200 else None
                    server.requests.append((body["input"], status))
                if reply.status is None:
                    self.close_connection = True
                    cut(self.connection)
                    return
                content = reply.body if isinstance(reply.body, str) else json.dumps(reply.body)
                data = content.encode()
                head = [f"HTTP/1.1 {reply.status} X", f"Content-Length: {len(data)}"]
                head += [f"{name}: {value}" for name, value in reply.headers.items()]
                self.wfile.write("\r\n".join([*head, "", ""]).encode() + data)

            def log_message(self, format: str, *args: object) -> None:
                pass

        return Handler


def cut(connection: socket.socket) -> None:
    with suppress(OSError):
        connection.shutdown(socket.SHUT_RDWR)
