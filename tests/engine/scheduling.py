"""Which llama-servers run, how they are configured, and who waits for them."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from .canned import Engine, Loaded, LoadFailed
from .catalogue import Published
from .flags import InvalidArgument, Mode, Settings, settings_of

Key = tuple[str, Mode]
"""Id of the model and mode."""


class Busy(Exception):
    """The runner is serving a request."""


class Cancelled(Exception):
    """The client that waited has left."""


@dataclass
class Running:
    model: Published
    reference: str
    """As whoever loaded it called it."""
    mode: Mode
    configuration: dict[str, Any]
    loaded: Loaded | None = None
    """None: it is loading."""
    active: int = 0
    used: float = field(default_factory=time.time)

    def shown(self) -> dict[str, Any]:
        """As `GET /engines/ps` shows it."""
        used = "0001-01-01T00:00:00Z"
        if not self.active and self.loaded:
            used = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(self.used))
        shown: dict[str, Any] = {
            "backend_name": "llama.cpp",
            "model_name": self.reference,
            "mode": self.mode,
            "last_used": used,
        }
        if self.active:
            shown["in_use"] = True
        if self.loaded is None:
            shown["loading"] = True
        if "keep_alive" in self.configuration:
            shown["keep_alive"] = self.configuration["keep_alive"]
        return shown


@dataclass
class Configured:
    model: str
    """As it was called."""
    configuration: dict[str, Any]


class Scheduler:
    """Thread-safe."""

    def __init__(self, engine: Engine, *, slots: int = 8) -> None:
        self.engine = engine
        self.slots = slots
        self.load_seconds = 0.0
        """How long a load takes, over what the engine needs."""
        self.loads: list[tuple[str, Mode]] = []
        """Loads that were begun: the reference and the mode."""
        self.configurations: dict[Key, Configured] = {}
        self.running: dict[Key, Running] = {}
        self.started: dict[str, dict[str, Any]] = {}
        """What the last one that was started of a model got, by the model's id."""
        self._changed = threading.Condition()

    def configure(self, key: Key, model: str, configuration: dict[str, Any]) -> None:
        """Takes effect at the next load; an idle runner is stopped. Raises Busy."""
        with self._changed:
            known = self.configurations.get(key)
            if known is not None and known.configuration == configuration:
                return
            running = self.running.get(key)
            # subtle: one that is loading keeps the old configuration, and is then reused
            if running is not None and running.loaded is not None:
                if running.active:
                    raise Busy
                self._stop(key)
            self.configurations[key] = Configured(model, configuration)

    def effective(self, key: Key) -> dict[str, Any]:
        """Reranking falls back on what is configured for completion; embedding does not."""
        found = self.configurations.get(key)
        if found is None and key[1] == "reranking":
            found = self.configurations.get((key[0], "completion"))
        return found.configuration if found else {}

    def borrow(
        self, model: Published, reference: str, mode: Mode, gone: Callable[[], bool]
    ) -> Running:
        """One to work with, loaded if need be; give it back with `release`.

        Raises LoadFailed, and Cancelled where `gone()` while waiting: a load whose client leaves is
        given up, and the next that waits starts over.
        """
        key = (model.id, mode)
        with self._changed:
            while True:
                running = self.running.get(key)
                if running is not None and running.loaded and not running.loaded.alive():
                    self._stop(key)
                    running = None
                if running is None and self._room():
                    running = Running(model, reference, mode, self.effective(key))
                    self.running[key] = running
                    self.loads.append((reference, mode))
                    self.started[model.id] = running.configuration
                    break
                if running is not None and running.loaded is not None:
                    running.active += 1
                    return running
                self._changed.wait(0.01)
                if gone():
                    raise Cancelled
        try:
            loaded = self._load(running, gone)
        except BaseException:
            with self._changed:
                if self.running.get(key) is running:
                    del self.running[key]
                self._changed.notify_all()
            raise
        with self._changed:
            running.loaded = loaded
            running.active += 1
            self._changed.notify_all()
        return running

    def release(self, running: Running) -> None:
        key = (running.model.id, running.mode)
        with self._changed:
            running.active -= 1
            running.used = time.time()
            idle = not running.active and self.running.get(key) is running
            if idle and running.configuration.get("keep_alive") in ("0", "0s"):
                self._stop(key)
            self._changed.notify_all()

    def unload(self, ids: Sequence[str] | None, backend: str) -> int:
        """How many were stopped; busy ones are not. None: all, and every configuration with it."""
        with self._changed:
            keys = [key for key in self.running if ids is None or key[0] in ids]
            stopped = 0
            for key in keys:
                if not self.running[key].active and self.running[key].loaded is not None:
                    self._stop(key)
                    stopped += 1
            if ids is None:
                self.configurations.clear()
            elif backend == "llama.cpp":
                for configured in [key for key in self.configurations if key[0] in ids]:
                    del self.configurations[configured]
            return stopped

    def crash(self) -> None:
        """All that is loaded dies; nobody has noticed yet."""
        with self._changed:
            for running in self.running.values():
                if running.loaded is not None:
                    running.loaded.crash()

    def shown(self) -> list[dict[str, Any]]:
        with self._changed:
            return [running.shown() for running in self.running.values()]

    def _room(self) -> bool:
        """Where no slot is free, all that is idle is stopped, whatever its keep-alive says."""
        if len(self.running) < self.slots:
            return True
        for key, running in list(self.running.items()):
            if not running.active and running.loaded is not None:
                self._stop(key)
        return len(self.running) < self.slots

    def _stop(self, key: Key) -> None:
        running = self.running.pop(key)
        if running.loaded is not None:
            running.loaded.stop()
        self._changed.notify_all()

    def _load(self, running: Running, gone: Callable[[], bool]) -> Loaded:
        ready = time.monotonic() + self.load_seconds
        while time.monotonic() < ready:
            if gone():
                raise Cancelled
            time.sleep(min(0.01, self.load_seconds))
        try:
            settings: Settings = settings_of(running.configuration, running.model.stored_context)
        except InvalidArgument as error:
            raise LoadFailed(str(error)) from None
        return self.engine.load(running.model, running.mode, settings)
