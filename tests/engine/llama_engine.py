"""llama.cpp behind the double: one process for each model, mode and settings."""

from __future__ import annotations

import atexit
import http.client
import importlib.util
import json
import math
import os
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from dataclasses import asdict
from pathlib import Path

from . import gguf_models
from .canned import Loaded, LoadFailed
from .catalogue import Published
from .faults import BAD_GATEWAY, RUNNER_DIED
from .flags import Mode, Settings
from .serving import Pieces, Response, as_json

Key = tuple[str, Mode, Settings]
"""The file's name, and how it is served."""

PATIENCE = 60
"""Seconds until a process must listen, or have answered."""
IDLE = 3
"""Processes that are kept though nobody uses them: the next test may."""


def lacking() -> str:
    """What has to be installed for it to run; "" where nothing is lacking."""
    for module in ("xllamacpp", "gguf"):
        if importlib.util.find_spec(module) is None:
            return f"{module} is not installed (there are no wheels for every platform)"
    return ""


class LlamaEngine:
    """Thread-safe. Processes outlive the loads of one test: a load that was done before is free."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._idle: list[Process] = []
        self._all: set[Process] = set()
        atexit.register(self.close)

    def load(self, model: Published, mode: Mode, settings: Settings) -> Loaded:
        key = (model.gguf, mode, settings)
        with self._lock:
            fitting = [each for each in self._idle if each.key == key and each.alive()]
            if fitting:
                self._idle.remove(fitting[0])
        process = fitting[0] if fitting else Process(key)
        with self._lock:
            self._all.add(process)
        return _Lent(process, model, lambda: self._take_back(process))

    def close(self) -> None:
        """Stop all of them, also those that a test has left at work."""
        with self._lock:
            every, self._all = self._all, set()
            self._idle.clear()
        for process in every:
            process.stop()

    def _take_back(self, process: Process) -> None:
        with self._lock:
            self._idle.append(process)
            surplus, self._idle = self._idle[:-IDLE], self._idle[-IDLE:]
            self._all.difference_update(surplus)
        for each in surplus:
            each.stop()


class Process:
    """A llama-server. Raises LoadFailed where it does not start."""

    def __init__(self, key: Key) -> None:
        self.key = key
        gguf, mode, settings = key
        program = Path(__file__).with_name("llama_server.py")
        wanted = json.dumps({"mode": mode, **asdict(settings)})
        arguments = [sys.executable, str(program), str(gguf_models.path(gguf)), wanted]
        # to a file: nobody has to read it while the process writes
        with tempfile.TemporaryFile() as said:
            self._process = subprocess.Popen(
                arguments,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=said,
                env={**os.environ, "OMP_WAIT_POLICY": "passive"},
            )
            address = self._address()
            if not address:
                self.stop()
                said.seek(0)
                raise LoadFailed(said.read()[-1024:].decode("utf-8", "replace").strip())
        self._port = int(address.rpartition(":")[2])

    def alive(self) -> bool:
        return self._process.poll() is None

    def stop(self) -> None:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        self._process.stdout.close()
        try:
            self._process.wait(5)
        except subprocess.TimeoutExpired:
            self.kill()

    def _address(self) -> str:
        """Where it listens; "" where it has died, or does not get ready."""
        assert self._process.stdout is not None
        late = threading.Timer(PATIENCE, self._process.kill)
        late.start()
        try:
            return self._process.stdout.readline().decode().strip()
        finally:
            late.cancel()

    def kill(self) -> None:
        """As a machine without memory does it."""
        self._process.kill()
        self._process.wait()

    def post(self, path: str, body: bytes) -> http.client.HTTPResponse:
        """Over a connection of its own: llama-server closes those that it says it keeps."""
        connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=PATIENCE)
        headers = {"Content-Type": "application/json", "Connection": "close"}
        connection.request("POST", path, body, headers)
        return connection.getresponse()


class _Lent:
    """A process that works as one model of the catalogue."""

    def __init__(self, process: Process, model: Published, back: Callable[[], None]) -> None:
        self.process = process
        self._model = model
        self._back = back

    def alive(self) -> bool:
        return self.process.alive()

    def crash(self) -> None:
        self.process.kill()

    def stop(self) -> None:
        self._back()

    def answer(self, path: str, body: bytes) -> Response:
        try:
            answer = self.process.post(path, body)
            kind = answer.getheader("Content-Type") or "application/json"
            headers = {"Content-Type": kind}
            if kind.startswith("text/event-stream"):
                headers["Keep-Alive"] = "timeout=5, max=100"
                return Response(answer.status, Pieces(_pieces(answer)), headers, closes=True)
            with answer:
                response = Response(answer.status, answer.read(), headers)
        except (OSError, http.client.HTTPException):
            return (BAD_GATEWAY if self.alive() else RUNNER_DIED).answer()
        if path.endswith("/rerank") and response.status == 200:
            return self._scored(response)
        return response

    def _scored(self, response: Response) -> Response:
        """The classifier's scores as this kind of reranker gives them."""
        assert isinstance(response.body, bytes)
        value = json.loads(response.body)
        for result in value["results"]:
            result["relevance_score"] = self._score(result["relevance_score"])
        return as_json(value)

    def _score(self, logit: float) -> float:
        if self._model.kind == "probability":
            return 1 / (1 + math.exp(-logit))
        return 1e-20 if self._model.kind == "nothing" else logit


def _pieces(answer: http.client.HTTPResponse) -> Iterator[bytes]:
    with answer:
        while piece := answer.read1(65536):
            yield piece
