"""Where a model runner may be: addresses, in the order in which they are worth trying.

What decides is read from one `World`: the environment, the home folder and a few files.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import socket
import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final
from urllib.parse import unquote, urlsplit

from ragkit.errors import ModelUnreachable
from ragkit.models.http import Endpoint

PREFIX: Final = "/exp/vDD4.40"
"""Below which Docker's own socket hands requests on to the model runner."""

_GATEWAY: Final = "172.17.0.1"
_TRUE: Final = ("1", "true", "yes", "on")


@dataclass(frozen=True, slots=True)
class World:
    """All that the search for a runner looks at, but for the network."""

    environment: Mapping[str, str]
    home: Path
    files: Path = Path("/")
    """The root of the file system."""
    ports: tuple[int, int] = (12434, 12435)
    """Where runners listen on this machine: that of Docker Engine, that of Docker Cloud."""

    def __getitem__(self, name: str) -> str:
        """A variable's value; "" where it is not set."""
        return self.environment.get(name, "").strip()

    @property
    def docker(self) -> Path:
        """The folder of Docker's settings."""
        return Path(self["DOCKER_CONFIG"] or self.home / ".docker")


@dataclass(frozen=True, slots=True)
class Place:
    """One address that may be a runner's."""

    endpoint: Endpoint
    origin: str = ""
    """What names it: `base_url`, `MODEL_RUNNER_HOST`, …; "" where it is one of the usual places."""

    def __str__(self) -> str:
        return f"{self.endpoint} ({self.origin})" if self.origin else str(self.endpoint)


@dataclass(frozen=True, slots=True)
class Step:
    """Places to try at the same time; the first of them that answers is taken."""

    places: tuple[Place, ...]
    chosen: bool = False
    """Whether somebody asked for it: if none answers, no other place is tried."""


@dataclass(frozen=True, slots=True)
class _Trust:
    """How to speak TLS."""

    enabled: bool
    verify: bool | str


def here() -> World:
    """The world that this process lives in."""
    return World(dict(os.environ), Path.home())


def steps(base_url: str | None, world: World) -> Iterator[Step]:
    """Where to look, in order. Raises ModelUnreachable for an address that cannot be one."""
    if base_url and base_url.strip():
        yield _named(base_url, "base_url", _trust(world, enabled=False), world)
        return
    if host := world["MODEL_RUNNER_HOST"]:
        yield _named(host, "MODEL_RUNNER_HOST", _trust(world), world)
        return
    context = _context(world)
    if context is not None:
        yield context
        return
    if is_contained(world):
        yield Step(tuple(_outside(world)))
    yield Step(tuple(_on_this_machine(world)))


def is_contained(world: World) -> bool:
    """Whether this process runs in a container."""
    if any((world.files / mark).exists() for mark in (".dockerenv", "run/.containerenv")):
        return True
    groups = _read(world.files / "proc/1/cgroup")
    return re.search("docker|kubepods|containerd|libpod|lxc", groups) is not None


def endpoint_of(url: str, *, tls: bool = False, verify: bool | str = True) -> Endpoint:
    """The endpoint that a URL means, however it was pasted.

    `/engines/v1`, `/v1` and the like at its end are cut; `unix:///x/docker.sock` dials a socket;
    without a scheme it is http, or https with `tls`. Raises ModelUnreachable.
    """
    text = url.strip()
    if found := re.match(r"(?:http\+)?unix:(?://)?(.+)$", text):
        return _socket_endpoint(unquote(found[1]))
    if "://" not in text:
        text = f"http://{text}"
    text = re.sub(r"^tcp://", "http://", text)
    if tls:
        text = re.sub(r"^http://", "https://", text)
    try:
        parts = urlsplit(text)
        host, port = parts.hostname, parts.port
    except ValueError:
        raise _no_address(url) from None
    if parts.scheme not in ("http", "https") or not host or port == 0 or " " in parts.netloc:
        raise _no_address(url)
    if "@" in parts.netloc:
        raise ModelUnreachable(
            "the address of a model runner holds a user's name or a password",
            "Docker Model Runner asks for neither: write http://HOST:PORT",
        )
    return Endpoint(f"{parts.scheme}://{parts.netloc}{_stripped(parts.path)}", verify=verify)


def _socket_endpoint(text: str) -> Endpoint:
    """`/x/y.sock`, or that and a prefix; Docker's own socket has its prefix by itself."""
    path, dot, rest = text.partition(".sock")
    path, prefix = path + dot, _stripped(rest)
    if not path.startswith("/"):
        path = f"/{path}"
    if not prefix and path.rsplit("/", 1)[-1].startswith("docker"):
        prefix = PREFIX
    return Endpoint(f"http://localhost{prefix}", socket=path)


def _stripped(path: str) -> str:
    """The prefix that comes before Docker Model Runner's own paths."""
    return re.sub(r"(/engines(/[^/]+)?)?(/v1)?$", "", path.rstrip("/")).rstrip("/")


def _no_address(url: str) -> ModelUnreachable:
    return ModelUnreachable(
        f"{url!r} is not the address of a model runner",
        "write http://HOST:PORT, such as http://127.0.0.1:12434",
    )


def _trust(world: World, *, enabled: bool | None = None, tls: Any = None) -> _Trust:
    """By the environment, and where that says nothing by the `tls` of a named context."""
    tls = tls if isinstance(tls, dict) else {}

    def flag(variable: str, key: str) -> bool:
        said = world[variable].lower()
        return said in _TRUE if said else tls.get(key) is True

    certificates = world["MODEL_RUNNER_TLS_CA_CERT"] or str(tls.get("caCert") or "")
    skips = flag("MODEL_RUNNER_TLS_SKIP_VERIFY", "skipVerify")
    on = flag("MODEL_RUNNER_TLS", "enabled") if enabled is None else enabled
    return _Trust(on, False if skips else certificates or True)


def _named(url: str, origin: str, trust: _Trust, world: World) -> Step:
    """The place that somebody named."""
    endpoint = endpoint_of(url, tls=trust.enabled, verify=trust.verify)
    parts = urlsplit(endpoint.root)
    if (
        endpoint.socket is None
        and parts.path == PREFIX
        and parts.port is None
        and parts.hostname in ("localhost", "127.0.0.1", "_")
    ):
        # what Docker Desktop calls its address on the host: nobody listens on port 80 there
        return Step(tuple(Place(one, origin) for one in _sockets(world)), chosen=True)
    return Step((Place(endpoint, origin),), chosen=True)


def _context(world: World) -> Step | None:
    """The place of the context that `docker model context use` chose, if it is not the default."""
    path = world.docker / "model" / "contexts.json"
    settings = _json(path)
    name = settings.get("current") or "default"
    if name == "default":
        return None
    context = (settings.get("contexts") or {}).get(name)
    if not isinstance(context, dict):
        context = {}
    host = context.get("host")
    if not isinstance(host, str) or not host:
        raise ModelUnreachable(
            f"{path}: the context {name} has no host", "run `docker model context use default`"
        )
    return _named(host, f"context {name}", _trust(world, tls=context.get("tls")), world)


def _outside(world: World) -> Iterator[Place]:
    """From inside a container."""
    port, _ = world.ports
    hosts = [
        "model-runner.docker.internal",
        f"model-runner.docker.internal:{port}",
        f"host.docker.internal:{port}",
    ]
    gateway = _default_gateway(world)
    hosts.extend(f"{host}:{port}" for host in dict.fromkeys((gateway, _GATEWAY)) if host)
    return (Place(Endpoint(f"http://{host}")) for host in hosts)


def _on_this_machine(world: World) -> Iterator[Place]:
    # not `localhost`: that is IPv6 first, where containers do not publish
    engine, cloud = (Place(_local(world, port)) for port in world.ports)
    yield engine
    yield from map(Place, _sockets(world))
    yield cloud


def _local(world: World, port: int) -> Endpoint:
    trust = _trust(world)
    if not trust.enabled:
        return Endpoint(f"http://127.0.0.1:{port}")
    verify, own = trust.verify, world.docker / "model-runner" / "certs" / "ca.crt"
    if verify is True and own.is_file():  # the runner signed its certificate itself
        verify = str(own)
    return Endpoint(f"https://127.0.0.1:{port + 10}", verify=verify)


def _sockets(world: World) -> list[Endpoint]:
    """Docker's sockets, those that the user has chosen first."""
    paths = [_unix(world["DOCKER_HOST"]), _unix(_docker_context_host(world))]
    paths += [
        str(world.home / ".docker/run/docker.sock"),
        str(world.home / ".docker/desktop/docker.sock"),
        str(world.files / "var/run/docker.sock"),
    ]
    return [
        Endpoint(f"http://localhost{PREFIX}", socket=path)
        for path in dict.fromkeys(paths)
        if path is not None
    ]


def _unix(host: str) -> str | None:
    path = host.removeprefix("unix://")
    return path if path != host and path else None


def _docker_context_host(world: World) -> str:
    """The host of the current context of Docker itself, or ""."""
    name = world["DOCKER_CONTEXT"] or _json(world.docker / "config.json").get("currentContext")
    if not isinstance(name, str) or name in ("", "default"):
        return ""
    folder = hashlib.sha256(name.encode()).hexdigest()
    found: Any = _json(world.docker / "contexts" / "meta" / folder / "meta.json")
    for key in ("Endpoints", "docker", "Host"):
        found = found.get(key) if isinstance(found, dict) else None
    return found if isinstance(found, str) else ""


def _default_gateway(world: World) -> str | None:
    """The address of the host as a container sees it."""
    for line in _read(world.files / "proc/net/route").splitlines()[1:]:
        fields = line.split()
        if len(fields) > 2 and fields[1] == "00000000" and re.fullmatch("[0-9A-F]{8}", fields[2]):
            return socket.inet_ntoa(struct.pack("<L", int(fields[2], 16)))
    return None


def _json(path: Path) -> dict[str, Any]:
    """The object in a file; {} where there is none. Raises ModelUnreachable for a broken one."""
    text = _read(path)
    if not text.strip():
        return {}
    try:
        value = json.loads(text)
    except ValueError:
        value = None
    if not isinstance(value, dict):
        raise ModelUnreachable(f"{path}: is not a JSON object", "mend it or remove it")
    return value


def _read(path: Path) -> str:
    """A file's text; "" where it cannot be read: none of them has to be there."""
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
