"""Finding the model runner: the first of the places where something answers that is one.

Its port may be somebody else's, and other servers answer the same paths; so what comes back is
read, and a stranger is called by its name.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from ragkit.errors import ModelError, ModelUnreachable
from ragkit.models.dmr.places import Place, Step, World, endpoint_of, here, steps
from ragkit.models.http import Client, Endpoint, Reply

PATIENCE: Final = 2.0
"""Seconds for all places of a step together."""

FIXES: Final = (
    "Docker Desktop: enable Docker Model Runner in Settings > AI, or run "
    "`docker desktop enable model-runner --tcp 12434`. "
    "Docker Engine: `sudo apt-get install docker-model-plugin`, then `docker model status`"
)


@dataclass(frozen=True, slots=True)
class Attempt:
    """One place, and what came of asking there."""

    where: str
    """The address, and what named it where something did."""
    endpoint: Endpoint
    answered: bool
    """Whether a Docker Model Runner answers there."""
    detail: str
    """Why not; what it is where it does."""


@dataclass(frozen=True, slots=True)
class DockerStatus:
    """What Docker's own command says about the runner."""

    running: bool
    kind: str = ""
    """`Docker Engine`, `Docker Desktop`, …; "" where it does not say."""
    endpoint: str = ""
    """Its address for this machine, as it says it; "" where that is none."""
    detail: str = ""
    """Why there is no answer; "" where there is one."""


_lock: Final = threading.Lock()
_found: Final[dict[tuple[str | None, ...], Endpoint]] = {}


def find(base_url: str | None = None, world: World | None = None) -> Endpoint:
    """Where the model runner is; looked for once in a process, again after a failure.

    A place that is named (`base_url`, `MODEL_RUNNER_HOST`, a context of `docker model`) is the only
    one that is tried. Raises ModelUnreachable with what was tried and what helps.
    """
    if world is not None:
        return _find(base_url, world)
    world = here()
    key = (base_url, str(world.home), *(world[name] for name in _DECIDING))
    with _lock:
        if key not in _found:
            _found[key] = _find(base_url, world)
        return _found[key]


def attempts(base_url: str | None = None, world: World | None = None) -> list[Attempt]:
    """Every place that is worth trying, in order, and what came of it; also after one answered.

    Raises ModelUnreachable for an address that cannot be one.
    """
    found: list[Attempt] = []
    for step in steps(base_url, world or here()):
        found.extend(_tried(step))
    return found


def docker_status(world: World | None = None, *, timeout: float = 5.0) -> DockerStatus:
    """What `docker model status --json` says; it is kept from installing anything. Never raises."""
    world = world or here()
    docker = shutil.which("docker", path=world.environment.get("PATH"))
    if docker is None:
        return DockerStatus(False, detail="the command docker is not installed")
    environment = {**world.environment, "MODEL_RUNNER_NO_AUTO_INSTALL": "1"}
    try:
        process = subprocess.Popen(
            [docker, "model", "status", "--json"],
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,
        )
    except OSError as error:
        return DockerStatus(False, detail=f"{docker}: {error.strerror}")
    try:
        output, trouble = process.communicate(timeout=timeout)
    except subprocess.TimeoutExpired:
        # docker runs its plugin in a process of its own: both have to go
        os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
        return DockerStatus(False, detail=f"docker model status: no answer within {timeout:g} s")
    return _read_status(output, trouble, process.returncode)


def is_runner(endpoint: Endpoint, *, timeout: float = PATIENCE) -> tuple[bool, str]:
    """Whether a Docker Model Runner answers there, and what does if not."""
    if endpoint.socket is not None and not Path(endpoint.socket).exists():
        return False, "there is no such socket"
    client = Client(endpoint, connect=timeout)
    try:
        listed = client.send("GET", "/engines/v1/models", timeout=timeout)
        if _is_list(listed) and _owners(listed) == {"docker"}:
            return True, "Docker Model Runner"
        status = client.send("GET", "/engines/status", timeout=timeout)
        if _is_status(status):
            return True, "Docker Model Runner"
        return False, _stranger(client, listed, timeout)
    except ModelError as error:
        return False, error.message.removeprefix(f"{endpoint}: ")
    finally:
        client.close()


_DECIDING: Final = (
    "MODEL_RUNNER_HOST",
    "MODEL_RUNNER_TLS",
    "MODEL_RUNNER_TLS_SKIP_VERIFY",
    "MODEL_RUNNER_TLS_CA_CERT",
    "DOCKER_CONFIG",
    "DOCKER_CONTEXT",
    "DOCKER_HOST",
)


def _find(base_url: str | None, world: World) -> Endpoint:
    tried: list[Attempt] = []
    for step in steps(base_url, world):
        found = _tried(step)
        for attempt in found:
            if attempt.answered:
                return attempt.endpoint
        tried.extend(found)
        if step.chosen:
            raise _unreachable_there(step.places, found)
    words = "; ".join(f"{attempt.where}: {attempt.detail}" for attempt in tried)
    raise ModelUnreachable(f"no Docker Model Runner answers (tried {words})", FIXES)


def _unreachable_there(places: Sequence[Place], found: Sequence[Attempt]) -> ModelUnreachable:
    words = "; ".join(f"at {attempt.where}: {attempt.detail}" for attempt in found)
    origin = places[0].origin if places else ""
    remedy = f"correct {origin}, or start the runner. {FIXES}"
    if any("Ollama" in one.detail or "llama.cpp" in one.detail for one in found):
        remedy = f"use `provider: openai` with its base_url, which ends in /v1; or {remedy}"
    if any("TLS" in one.detail or "certificates" in one.detail for one in found):
        remedy = (
            "set MODEL_RUNNER_TLS_CA_CERT to the file with the runner's certificate, or "
            "MODEL_RUNNER_TLS_SKIP_VERIFY=true to trust any"
        )
    return ModelUnreachable(f"no Docker Model Runner answers {words}", remedy)


def _tried(step: Step) -> list[Attempt]:
    """All places of a step at once; what has not answered in time has not answered."""
    answers: list[tuple[bool, str]] = [(False, f"no answer within {PATIENCE:g} s")] * len(
        step.places
    )

    def ask(position: int, endpoint: Endpoint) -> None:
        answers[position] = is_runner(endpoint)

    # daemons: looking up a name may take much longer than we wait
    threads = [
        threading.Thread(target=ask, args=(position, place.endpoint), daemon=True)
        for position, place in enumerate(step.places)
    ]
    until = time.monotonic() + PATIENCE
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(max(0.0, until - time.monotonic()))
    return [
        Attempt(str(place), place.endpoint, *answer)
        for place, answer in zip(step.places, list(answers), strict=True)
    ]


def _is_list(reply: Reply) -> bool:
    value = _value(reply)
    return isinstance(value, dict) and value.get("object") == "list"


def _owners(reply: Reply) -> set[str]:
    """Who owns the models of a list; an empty list has no owner."""
    value = _value(reply)
    models = value.get("data") if isinstance(value, dict) else None
    return {
        str(model.get("owned_by")) for model in models or [] if isinstance(model, dict)
    }  # fmt: skip


def _is_status(reply: Reply) -> bool:
    value = _value(reply)
    return (
        isinstance(value, dict)
        and bool(value)
        and all(isinstance(status, str) for status in value.values())
        and not {"error", "message"} & value.keys()
    )


def _value(reply: Reply) -> Any:
    """A successful reply's JSON; None for any other."""
    try:
        return json.loads(reply.body) if reply.status == 200 else None
    except ValueError:
        return None


def _stranger(client: Client, listed: Reply, timeout: float) -> str:
    """What answers there, by its own words."""
    front = client.send("GET", "/", timeout=timeout)
    models = client.send("GET", "/v1/models", timeout=timeout)
    owners = _owners(models)
    server = front.headers.get("server", "") + models.headers.get("server", "")
    name = f"something else (status {listed.status})"
    if "ollama" in front.text[:200].lower() or "library" in owners:
        name = "Ollama"
    elif "llama.cpp" in server or "llamacpp" in owners:
        name = "llama.cpp's own server"
    elif "vllm" in owners:
        name = "vLLM"
    elif "organization_owner" in owners:
        name = "LM Studio"
    elif "page not found" in listed.text and listed.text.startswith("{"):
        return "Docker answers there, without a model runner behind it"
    return f"{name} answers there, not Docker Model Runner"


def _read_status(output: bytes, trouble: bytes, code: int) -> DockerStatus:
    try:
        value = json.loads(output)
    except ValueError:
        value = None
    if not isinstance(value, dict):
        said = (trouble or output).decode("utf-8", "replace").strip().splitlines()
        words = said[0] if said else "no answer"
        return DockerStatus(False, detail=f"docker model status: {words} (exit code {code})")
    endpoint = ""
    for key in ("endpointHost", "endpoint"):
        try:
            endpoint = endpoint or str(endpoint_of(str(value.get(key) or "")))
        except ModelUnreachable:
            continue  # old versions print `http://:0/…`
    return DockerStatus(value.get("running") is True, str(value.get("kind") or ""), endpoint)
