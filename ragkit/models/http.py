"""The one way to a model server: HTTP over TCP or a Unix socket.

This is the only module that knows the HTTP library (httpx2, the maintained continuation of httpx).
What goes wrong on the way is `Unanswered`; an answer of any status is a `Reply`.
"""

from __future__ import annotations

import ipaddress
import json
import ssl
import threading
import weakref
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final, Literal, TypeAlias
from urllib.parse import urlsplit

from ragkit.errors import ModelError, ModelUnreachable

if TYPE_CHECKING:
    import httpx2

NONE: Final[Mapping[str, str]] = MappingProxyType({})

Reason: TypeAlias = Literal["refused", "reset", "timeout", "tls", "address"]
"""refused: nobody listens; reset: the connection broke; address: no such host or URL."""


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where a server is reached."""

    root: str
    """URL that every path is appended to; without a slash at its end."""
    socket: str | None = None
    """Path of a Unix socket to dial in place of the URL's host."""
    verify: bool | str = True
    """TLS: True, False, or the path of a file with certificates to trust."""
    key: str | None = field(default=None, repr=False)
    """Bearer token."""

    def __str__(self) -> str:
        return f"{self.root} (through {self.socket})" if self.socket else self.root

    @property
    def is_local(self) -> bool:
        """Whether it is on this machine or its own network, where no proxy has any business."""
        if self.socket:
            return True
        try:
            host = urlsplit(self.root).hostname or ""
        except ValueError:
            return False
        try:
            address = ipaddress.ip_address(host)
        except ValueError:
            return "." not in host or host.endswith((".internal", ".local", ".localhost"))
        return address.is_loopback or address.is_private or address.is_link_local


@dataclass(frozen=True, slots=True)
class Reply:
    """A whole answer."""

    status: int
    headers: Mapping[str, str]
    """Names in lower case."""
    body: bytes

    @property
    def text(self) -> str:
        return self.body.decode("utf-8", "replace")

    def json(self) -> Any:
        """The body's value. Raises ModelError for what is not JSON."""
        try:
            return json.loads(self.body)
        except ValueError as error:
            start = self.text[:60].strip() or "nothing"
            raise ModelError(f"the server answered with something else than JSON: {start}") from (
                error
            )


class Unanswered(ModelUnreachable):
    """No whole answer came."""

    def __init__(self, message: str, reason: Reason, remedy: str = "") -> None:
        super().__init__(message, remedy)
        self.reason: Reason = reason


class Stream:
    """An answer that is read as it comes. Reading raises Unanswered where it breaks off."""

    def __init__(self, response: httpx2.Response, endpoint: Endpoint) -> None:
        self._response = response
        self._endpoint = endpoint
        self.status = response.status_code
        self.headers = _lowered(response)

    def lines(self) -> Iterator[str]:
        """Lines without their ends, as they come."""
        with _translated(self._endpoint):
            yield from self._response.iter_lines()

    def chunks(self) -> Iterator[bytes]:
        """Bytes, as they come."""
        with _translated(self._endpoint):
            yield from self._response.iter_bytes()

    def read(self) -> bytes:
        """All that is left."""
        with _translated(self._endpoint):
            return self._response.read()


class Client:
    """Speaks to one endpoint. Thread-safe; connects when the first request is made."""

    def __init__(self, endpoint: Endpoint, *, connect: float = 3.0) -> None:
        """`connect`: most seconds to wait for a connection."""
        self.endpoint = endpoint
        self._connect = connect
        self._opening = threading.Lock()
        self._kept: httpx2.Client | None = None

    def send(
        self,
        method: str,
        path: str,
        json: object = None,
        *,
        timeout: float = 60.0,
        headers: Mapping[str, str] = NONE,
    ) -> Reply:
        """The answer, whatever its status. Raises Unanswered.

        `timeout` bounds each wait for bytes: also that for the first one, which comes when a model
        has been loaded.
        """
        with _translated(self.endpoint):
            response = self._client().send(self._request(method, path, json, timeout, headers))
        return Reply(response.status_code, _lowered(response), response.content)

    @contextmanager
    def stream(
        self,
        method: str,
        path: str,
        json: object = None,
        *,
        timeout: float = 60.0,
        headers: Mapping[str, str] = NONE,
    ) -> Iterator[Stream]:
        """The answer as it comes; leaving the block early cancels the request. Raises Unanswered.

        llama.cpp's server announces that it keeps a streamed connection and then closes it, so a
        stream has a connection of its own.
        """
        with self._open() as client:
            request = self._request(method, path, json, timeout, headers)
            with _translated(self.endpoint):
                response = client.send(request, stream=True)
            try:
                yield Stream(response, self.endpoint)
            finally:
                response.close()

    def close(self) -> None:
        """Close all connections; using the client again opens new ones."""
        with self._opening:
            client, self._kept = self._kept, None
        if client is not None:
            client.close()

    def _client(self) -> httpx2.Client:
        with self._opening:
            if self._kept is None:
                self._kept = self._open()
                # whoever uses it after `close`, as a call that is late, closes nothing
                weakref.finalize(self, self._kept.close).atexit = False
            return self._kept

    def _open(self) -> httpx2.Client:
        import httpx2

        endpoint = self.endpoint
        transport = None
        if endpoint.socket:
            _dial(endpoint)
            transport = httpx2.HTTPTransport(uds=endpoint.socket)
        return httpx2.Client(
            transport=transport,
            verify=_trusted(endpoint),
            # a proxy that catches a local name answers 502 in the place of the server
            trust_env=not endpoint.is_local,
            limits=httpx2.Limits(max_connections=64, keepalive_expiry=4.0),
        )

    def _request(
        self,
        method: str,
        path: str,
        value: object,
        timeout: float,
        headers: Mapping[str, str],
    ) -> httpx2.Request:
        import httpx2

        from ragkit.version import __version__

        sent = {"user-agent": f"ragkit/{__version__}", **headers}
        if self.endpoint.key:
            sent["authorization"] = f"Bearer {self.endpoint.key}"
        content = None
        if value is not None:
            content = json.dumps(value, ensure_ascii=False).encode("utf-8", "replace")
            sent.setdefault("content-type", "application/json")
        return httpx2.Request(
            method,
            f"{self.endpoint.root}{path}",
            headers=sent,
            content=content,
            extensions={
                "timeout": httpx2.Timeout(timeout, connect=self._connect, pool=None).as_dict()
            },
        )


def _dial(endpoint: Endpoint) -> None:
    """Raises Unanswered where nobody listens at the socket; the library would leak its own."""
    import socket

    with socket.socket(socket.AF_UNIX) as dialled:
        try:
            dialled.settimeout(2)
            dialled.connect(str(endpoint.socket))
        except OSError as error:
            denied = isinstance(error, PermissionError)
            words = "permission denied" if denied else _WORDS["refused"]
            raise Unanswered(f"{endpoint}: {words}", "refused") from error


def _trusted(endpoint: Endpoint) -> bool | ssl.SSLContext:
    """What httpx2's `verify` takes. Raises Unanswered where the file cannot be read."""
    if not isinstance(endpoint.verify, str):
        # loading the system's certificates takes 20 ms that plain HTTP saves
        return endpoint.verify and not endpoint.root.startswith("http:")
    try:
        return ssl.create_default_context(cafile=endpoint.verify)
    except OSError as error:
        raise Unanswered(
            f"{endpoint.verify}: cannot be used as certificates: {error.strerror or error}",
            "tls",
            remedy="name a file with certificates in PEM form",
        ) from error


@contextmanager
def _translated(endpoint: Endpoint) -> Iterator[None]:
    """Everything that the library raises becomes Unanswered, with the endpoint in its message."""
    import httpx2

    try:
        yield
    except httpx2.ConnectError as error:
        reason = _why_not_connected(error)
        raise Unanswered(f"{endpoint}: {_WORDS[reason]}", reason) from error
    except httpx2.TimeoutException as error:
        raise Unanswered(f"{endpoint}: {_WORDS['timeout']}", "timeout") from error
    except (httpx2.UnsupportedProtocol, httpx2.InvalidURL) as error:
        raise Unanswered(f"{endpoint}: is not the URL of a server", "address") from error
    except (httpx2.TransportError, httpx2.StreamError, httpx2.DecodingError) as error:
        raise Unanswered(f"{endpoint}: {_WORDS['reset']}", "reset") from error


_WORDS: Final[Mapping[Reason, str]] = {
    "refused": "nothing listens there",
    "reset": "the connection broke off",
    "timeout": "no answer in time",
    "tls": "no secure connection (TLS) is possible",
    "address": "there is no such host",
}


def _why_not_connected(error: BaseException) -> Reason:
    """The cause lies somewhere in the chain: a refusal, a name without address, a certificate."""
    import socket

    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, ssl.SSLError):
            return "tls"
        if isinstance(cause, socket.gaierror):
            return "address"
        cause = cause.__cause__ or cause.__context__
    return "refused"


def _lowered(response: httpx2.Response) -> Mapping[str, str]:
    return {name.lower(): value for name, value in response.headers.items()}
