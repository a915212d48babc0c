"""Pulling a model into the runner: its stream of progress, read to the line that says success.

A status of 200 says little: what goes wrong later comes as a line, or as a stream that just ends.
"""

from __future__ import annotations

import html
import json
import os
import re
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from ragkit.errors import ModelError, ModelNotFound
from ragkit.models.dmr.records import Phase, PullProgress
from ragkit.models.dmr.references import is_on_hugging_face
from ragkit.models.http import Client, Stream, Unanswered

PAUSES: Final = (1.0, 2.0, 4.0, 8.0)
"""Seconds before the further attempts, as Docker's own command takes them."""
_SILENCE: Final = 1_800.0
"""A third pull waits for the first two without a byte, and a large file is copied without one."""
_SOON: Final = 30.0
_TAIL: Final = 300


class _Broken(Exception):
    """The connection broke; a new attempt may go on from there."""

    def __init__(self, error: ModelError) -> None:
        super().__init__(error.message)
        self.error = error


def pulled(
    client: Client,
    reference: str,
    token: str | None = None,
    *,
    sleep: Callable[[float], object] = time.sleep,
) -> Iterator[PullProgress]:
    """The steps of a pull; the last one is `success`. Closing the iterator cancels it.

    `token`, or HF_TOKEN of the environment, is sent for models of Hugging Face and no others.
    Raises ModelNotFound for what the registry does not have or does not give, ModelError.
    """
    pull = _Pull(client, reference.strip(), _token(reference, token))
    for pause in (*PAUSES, None):
        try:
            yield from pull.steps()
            return
        except _Broken as broken:
            if pause is None:
                raise broken.error from broken
            words = f"{broken.error.message}; trying again in {pause:g} s"
            yield PullProgress("info", pull.hidden(words))
            sleep(pause)


def _token(reference: str, token: str | None) -> str | None:
    if not is_on_hugging_face(reference):
        return None
    return token or os.environ.get("HF_TOKEN") or None


@dataclass(frozen=True, slots=True)
class _Pull:
    client: Client
    reference: str
    """As the user spells it: Hugging Face is asked in that case."""
    token: str | None

    def steps(self) -> Iterator[PullProgress]:
        """One attempt. Raises _Broken, ModelError."""
        body = {"from": self.reference}
        if self.token:
            body["bearer-token"] = self.token
        begun = time.monotonic()
        try:
            with self.client.stream(
                "POST",
                "/models/create",
                body,
                timeout=_SILENCE,
                # exactly so: with anything else the lines come escaped for HTML
                headers={"accept": "application/json"},
            ) as stream:
                if stream.status != 200:
                    raise self._refused(stream)
                yield from self._read(stream)
        except Unanswered as error:
            late = error.reason == "timeout" and time.monotonic() - begun > _SOON
            if late or error.reason not in ("refused", "reset", "timeout"):
                raise
            raise _Broken(error) from error

    def _read(self, stream: Stream) -> Iterator[PullProgress]:
        reading = _Reading(twice=is_on_hugging_face(self.reference))
        for line in stream.lines():
            step = reading.step(line)
            if step is not None:
                yield step
                if step.phase == "success":
                    return
        said = reading.error or reading.tail
        if not said:
            raise ModelError(
                f"pulling {self.reference} ended before it was done, without a reason",
                "pull it again; `docker model logs` may tell more",
            )
        raise self._failure(said)

    def _refused(self, stream: Stream) -> Exception:
        """The error of an answer that begins no stream."""
        said = stream.read().decode("utf-8", "replace").strip()
        if stream.status in (502, 503, 504):
            return _Broken(self._failure(said or f"status {stream.status}"))
        if stream.status in (401, 403, 404):
            return self._not_found()
        if stream.status == 400:
            return ModelError(
                f"{self.reference} is not the name of a model",
                "write ai/NAME:TAG, hf.co/ORGANISATION/NAME or REGISTRY/NAME:TAG",
            )
        if stream.status == 422:
            return ModelError(
                f"{self.reference} is of a kind that this runner does not know: {said[:_TAIL]}",
                "bring Docker Model Runner up to date",
            )
        return self._failure(said or f"status {stream.status}")

    def _not_found(self) -> ModelNotFound:
        remedy = "check the name and the tag"
        if is_on_hugging_face(self.reference):
            remedy += "; for a private or gated model accept its licence there and set HF_TOKEN"
        else:
            remedy += "; a private one needs `docker login`, then `docker model pull`"
        # Docker Hub does not tell what is not there from what one may not see
        return ModelNotFound(f"{self.reference}: not found or no access, says its registry", remedy)

    def _failure(self, said: str) -> ModelError:
        """The error for what went wrong, in the runner's words."""
        remedy = next(
            (remedy for words, remedy in _REMEDIES if re.search(words, said, re.IGNORECASE)), ""
        )
        if not remedy and re.search(_NO_ACCESS, said, re.IGNORECASE):
            return self._not_found()
        remedy = remedy or "pull it again; `docker model logs` may tell more"
        words = " ".join(said.split()).removeprefix("Error: ")[:_TAIL]
        return ModelError(f"pulling {self.reference} failed: {self.hidden(words)}", remedy)

    def hidden(self, text: str) -> str:
        return text.replace(self.token, "…") if self.token else text


_NO_ACCESS: Final = r"unauthorized|denied|model not found|\b40[134]\b"
_REMEDIES: Final = (
    (r"no space left|disk quota", "free disk space: `docker model df`, `docker model rm`"),
    (
        r"no such host|dial tcp|i/o timeout|network is unreachable|connection refused|tls:",
        "check the network of Docker Model Runner, and its proxy",
    ),
    (r"\b416\b|range not satisfiable", "remove what is half there: `docker model rm`, then again"),
    (r"\b429\b|too many requests", "its registry asks to wait: try again later"),
    (r"runtime memory", "the model is too large for this machine: choose a smaller one"),
)


class _Reading:
    """What the lines of one stream have said so far."""

    def __init__(self, *, twice: bool) -> None:
        self.error = ""
        """The last error that a line told."""
        self.tail = ""
        """The last line that was no JSON: how a stream ends when it fails."""
        self._phase: Phase = "downloading"
        self._begun = False
        self._twice = twice
        """Hugging Face: files are downloaded, then stored in a second pass over the layers."""

    def step(self, line: str) -> PullProgress | None:
        """What a line means; None for one that is only noted."""
        value = _decoded(line)
        if value is None:
            self.tail = line.strip() or self.tail
            return None
        message, kind = str(value.get("message") or ""), value.get("type")
        if kind == "error":
            self.error = message or "no reason given"
            return None
        if kind == "success":
            return PullProgress("success", message)
        if kind == "warning":
            return PullProgress("info", f"warning: {message}")
        if kind != "progress":
            return None
        layer = _lowered(value.get("layer"))
        name, size = str(layer.get("id") or ""), _count(layer.get("size"))
        if not (name or size):
            if self._twice and self._begun:
                self._phase = "storing"
            return PullProgress("info", message) if message else None
        self._begun = True
        current, total = _count(layer.get("current")), _count(value.get("total"))
        return PullProgress(self._phase, message, name, current, size, total)


def _decoded(line: str) -> Mapping[str, Any] | None:
    """A line's object, also one that was escaped for HTML; None for a line that is none."""
    text = line.strip()
    if text.startswith("{&#34;"):
        text = html.unescape(text)
    try:
        value = json.loads(text)
    except ValueError:
        return None
    return _lowered(value) if isinstance(value, dict) else None


def _lowered(value: object) -> dict[str, Any]:
    """Keys in lower case: the first versions spelt some of them otherwise."""
    return {key.lower(): item for key, item in value.items()} if isinstance(value, dict) else {}


def _count(value: object) -> int:
    return value if isinstance(value, int) and value > 0 else 0
