"""An HTTP/1.1 server on TCP and on a Unix socket, whose every byte a test decides on."""

from __future__ import annotations

import contextlib
import json
import select
import socket
import socketserver
import struct
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any, Literal
from urllib.parse import parse_qsl, unquote, urlsplit

Via = Literal["tcp", "unix"]


class Break(Exception):
    """The connection is reset in place of an answer, or in the middle of one."""


@dataclass(frozen=True, slots=True)
class Request:
    method: str
    path: str
    """Decoded, with the prefix it was sent with."""
    query: Mapping[str, str]
    headers: Mapping[str, str]
    """Names in lower case."""
    body: bytes
    via: Via
    connection: socket.socket

    def gone(self) -> bool:
        """Whether the client has closed its connection."""
        try:
            readable, _, _ = select.select([self.connection], [], [], 0)
            return bool(readable) and not self.connection.recv(1, socket.MSG_PEEK)
        except (OSError, ValueError):
            return True


class Pieces:
    """Parts of a body; `ended` is called once, whether all were taken or the client has left."""

    def __init__(self, pieces: Iterator[bytes], ended: Callable[[], None] = lambda: None) -> None:
        self._pieces = pieces
        self._ended: Callable[[], None] | None = ended

    def __iter__(self) -> Iterator[bytes]:
        try:
            yield from self._pieces
        finally:
            self.close()

    def close(self) -> None:
        close = getattr(self._pieces, "close", None)
        if close is not None:
            close()
        ended, self._ended = self._ended, None
        if ended is not None:
            ended()


@dataclass(slots=True)
class Response:
    status: int = 200
    body: bytes | Pieces = b""
    """Pieces are sent one by one, as chunks."""
    headers: dict[str, str] = field(default_factory=dict)
    kept: float = 1.0
    """Share of the body that is sent before the connection breaks; 1 for all of it."""
    closes: bool = False
    """Whether the server closes the connection afterwards, whatever it announced."""


def as_json(value: object, status: int = 200) -> Response:
    body = json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode() + b"\n"
    return Response(status, body, {"Content-Type": "application/json"})


def as_text(message: str, status: int = 200) -> Response:
    """As Go's `http.Error` writes it: plain text and a newline."""
    headers = {"Content-Type": "text/plain; charset=utf-8", "X-Content-Type-Options": "nosniff"}
    return Response(status, message.encode() + b"\n", headers)


class Server:
    """Listens until it is closed; `answer` is called in a thread of each connection."""

    def __init__(
        self, answer: Callable[[Request], Response], *, port: int = 0, path: str | None = None
    ) -> None:
        """`port` 0 takes a free one; `path` is that of a Unix socket, None for none."""
        self.answer = answer
        self.errors: list[BaseException] = []
        """What the double itself did wrong: always a mistake in it, never a test's subject."""
        self._open: set[socket.socket] = set()
        self._lock = threading.Lock()
        tcp = _Tcp(("127.0.0.1", port), _Connection)
        self.port: int = tcp.server_address[1]
        self._listeners: list[_Tcp | _Unix] = [tcp]
        if path is not None and sys.platform != "win32":
            self._listeners.append(_Unix(path, _Connection))
        for listener in self._listeners:
            listener.owner = self
            threading.Thread(target=listener.serve_forever, args=(0.02,), daemon=True).start()

    def close(self) -> None:
        """Stop listening and break all connections."""
        for listener in self._listeners:
            listener.shutdown()
            listener.server_close()
        self.hang_up()

    def hang_up(self) -> None:
        """Break all connections that are open now."""
        with self._lock:
            connections = list(self._open)
        for connection in connections:
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)

    def opened(self, connection: socket.socket) -> None:
        with self._lock:
            self._open.add(connection)

    def closed(self, connection: socket.socket) -> None:
        with self._lock:
            self._open.discard(connection)


class _Listener(socketserver.ThreadingMixIn):
    daemon_threads = True
    block_on_close = False
    via: Via
    owner: Server

    def handle_error(self, request: Any, client_address: Any) -> None:
        error = sys.exception()
        if error is not None and not isinstance(error, OSError):
            self.owner.errors.append(error)


class _Tcp(_Listener, socketserver.TCPServer):
    allow_reuse_address = True
    request_queue_size = 128
    via: Via = "tcp"


if sys.platform != "win32":

    class _Unix(_Listener, socketserver.UnixStreamServer):
        request_queue_size = 128
        via: Via = "unix"

        def server_bind(self) -> None:
            # what a process left that was killed
            Path(str(self.server_address)).unlink(missing_ok=True)
            super().server_bind()


class _Connection(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    rbufsize = 1 << 16
    server: _Tcp | _Unix

    def setup(self) -> None:
        super().setup()
        if self.server.via == "tcp":
            self.connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, True)
        self.server.owner.opened(self.connection)

    def finish(self) -> None:
        self.server.owner.closed(self.connection)
        with contextlib.suppress(OSError):
            super().finish()

    def handle(self) -> None:
        with contextlib.suppress(ConnectionError):
            super().handle()

    def log_message(self, format: str, *args: Any) -> None:
        """Nothing: `Runner.requests` has them."""

    def _take(self) -> None:
        length = int(self.headers.get("content-length") or 0)
        body = self.rfile.read(length)
        if len(body) < length:
            self.close_connection = True
            return
        target = urlsplit(self.path)
        request = Request(
            self.command,
            unquote(target.path),
            dict(parse_qsl(target.query, keep_blank_values=True)),
            {name.lower(): value for name, value in self.headers.items()},
            body,
            self.server.via,
            self.connection,
        )
        try:
            self._send(self.server.owner.answer(request))
        except Break:
            self._reset()

    do_GET = do_POST = do_PUT = do_DELETE = do_HEAD = do_OPTIONS = do_PATCH = _take

    def _send(self, response: Response) -> None:
        try:
            phrase = HTTPStatus(response.status).phrase
        except ValueError:
            phrase = "Status"
        lines = [f"HTTP/1.1 {response.status} {phrase}"]
        lines += [f"{name}: {value}" for name, value in response.headers.items()]
        if isinstance(response.body, bytes):
            lines.append(f"Content-Length: {len(response.body)}")
        else:
            lines.append("Transfer-Encoding: chunked")
        head = "\r\n".join([*lines, "", ""]).encode()
        if isinstance(response.body, bytes):
            sent = response.body if self.command != "HEAD" else b""
            self.wfile.write(head + sent[: int(len(sent) * response.kept)])
        else:
            self._send_pieces(head, response.body)
        if response.closes or response.kept < 1:
            self.close_connection = True

    def _send_pieces(self, head: bytes, pieces: Pieces) -> None:
        try:
            self.wfile.write(head)
            for piece in pieces:
                if piece:
                    self.wfile.write(b"%x\r\n%s\r\n" % (len(piece), piece))
            self.wfile.write(b"0\r\n\r\n")
        finally:
            # a client that leaves ends the work: a pull is cancelled, a token loop stops
            pieces.close()

    def _reset(self) -> None:
        self.close_connection = True
        with contextlib.suppress(OSError):
            # zero linger: the peer sees a reset, not an orderly end
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self.connection.close()
