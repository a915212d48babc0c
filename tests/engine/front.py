"""What every double has: ways in, a record of what came, failures on demand."""

from __future__ import annotations

import contextlib
import json
import os
import tempfile
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .faults import USUAL, Fault, Faults, matches
from .serving import Break, Request, Response, Server, Via, as_json

PREFIX = "/exp/vDD4.40"
"""What everything on the Unix socket is found under."""


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


class Front:
    """Listens on TCP and on a Unix socket; `_route` answers.

    `requests`: what has come in, in order. `port`, `socket` (path of the Unix socket): where.
    """

    def __init__(self, *, port: int = 0, socket: str | None = None) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="runner")
        self.socket = socket or str(Path(self._folder.name) / "docker.sock")
        self.keeps_requests = True
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
        """As new: everything that a test has changed or sent is forgotten.

        Raises what went wrong in the double itself.
        """
        self.up()
        assert self._server is not None
        self._over.set()
        self._server.hang_up()
        errors = self._server.errors[:]
        self._server.errors.clear()
        self._stop()
        self._fresh()
        if errors:
            raise errors[0]

    def hang_up(self) -> None:
        """Break all connections that are open."""
        if self._server is not None:
            self._server.hang_up()

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
        self._stop()
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
        chosen = list(faults) if isinstance(faults, Sequence) else [faults]
        self.faults.add(pattern, chosen, rate=rate, seed=seed)

    def seen(self, pattern: str) -> list[Seen]:
        """Requests that a pattern like that of `fail` matches, in order."""
        return [each for each in self.requests if matches(pattern, each)]

    def _fresh(self) -> None:
        self._over = threading.Event()
        """Set when all that hangs must end."""
        self.faults = Faults()
        self.requests: list[Seen] = []

    def _stop(self) -> None:
        """Stop what runs behind."""

    def _route(self, request: Request, path: str) -> Response:
        raise NotImplementedError

    def _answer(self, request: Request) -> Response:
        path = request.path
        if request.via == "unix":
            if not path.startswith(PREFIX + "/"):
                return as_json({"message": "page not found"}, 404)
            path = path.removeprefix(PREFIX)
        body = request.body if self.keeps_requests else b""
        query, headers = dict(request.query), dict(request.headers)
        seen = Seen(request.method, path, query, headers, body, request.via)
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
