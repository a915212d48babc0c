"""Embedding models behind an endpoint of OpenAI's shape: Docker Model Runner, llama.cpp, and most
others."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, Final

from ragkit.errors import ModelError
from ragkit.models.batching import MOST_BYTES, Gauge, Job
from ragkit.models.dispatch import Call, Dispatcher
from ragkit.models.flow import Flow
from ragkit.models.http import Client
from ragkit.models.profiles import Profile
from ragkit.models.sending import Limits, Patience, Place, Sender
from ragkit.types import Embedded, Kind

if TYPE_CHECKING:
    from ragkit.types import Vectors

__all__ = ["Identity", "Limits", "Patience", "RemoteEmbedder"]

_AHEAD: Final = 2
"""Requests' worth of texts that a call has under way or waiting, for each request at once."""


@dataclass(frozen=True, slots=True)
class Identity:
    """Which model answers."""

    fingerprint: str
    """Changes with its weights, engine and tokeniser, as far as the server tells them."""
    dimensions: int | None = None
    """As the model's own data say; None: found out by a probe."""


class RemoteEmbedder:
    """Embeds over HTTP. Thread-safe; nothing is asked of the server before it is needed.

    Texts that are too long are cut, those that the server cannot embed are told as failed; texts
    without any letter are not sent and have vectors of zeros.
    """

    def __init__(
        self,
        client: Client,
        *,
        model: str,
        name: str,
        profile: Profile,
        identity: Callable[[], Identity],
        path: str = "/engines/v1/embeddings",
        dimensions: int | None = None,
        batch: int = 32,
        concurrency: int = 3,
        ready: Callable[[], Limits] = Limits,
        reconfigure: Callable[[], Limits] | None = None,
        patience: Patience = Patience(),  # noqa: B008
    ) -> None:
        """`dimensions`: to cut vectors to; None keeps what the model gives. `batch` and
        `concurrency`: most texts of a request, most requests at once. `ready` is called once,
        before the first text; `reconfigure` at most once, when the server takes less than that
        said. Both may raise ModelError."""
        self.name = name
        self._client = client
        self._model = model
        self._profile = profile
        self._ask_identity = identity
        self._path = path
        self._asked = dimensions
        self._batch = max(1, batch)
        self._concurrency = max(1, concurrency)
        self._ready = ready
        self._reconfigure = reconfigure
        self._patience = patience
        self._starting = threading.RLock()
        self._identity: Identity | None = None
        self._at_work: tuple[Sender, Dispatcher] | None = None

    @property
    def fingerprint(self) -> str:
        """Of the model, its prefixes and the cut. Raises ModelError."""
        parts = (self._profile.prefix("query"), self._profile.prefix("document"), str(self._asked))
        digest = hashlib.blake2b("\0".join(parts).encode(), digest_size=8).hexdigest()
        return f"{self._known().fingerprint} {digest}"

    @property
    def dimensions(self) -> int:
        """Raises ModelError."""
        known = self._known().dimensions
        if known is not None:
            return self._size(known)
        sender, _ = self._work()
        return self._size(sender.native or sender.probe())

    def embed(self, texts: Sequence[str], kind: Kind) -> Vectors:
        """(n, d) float32 of unit rows, in order. Raises ModelError if any fails."""
        import numpy as np

        vectors: Vectors | None = None
        for done in self.stream(texts, kind):
            for position, why in done.failed.items():
                raise ModelError(f"{self.name}: text {position + 1} of {len(texts)}: {why}")
            if vectors is None:
                vectors = np.zeros((len(texts), done.vectors.shape[1]), np.float32)
            vectors[list(done.positions)] = done.vectors
        return np.zeros((0, self.dimensions), np.float32) if vectors is None else vectors

    def stream(self, texts: Sequence[str], kind: Kind) -> Iterator[Embedded]:
        """The texts as they get done, in any order, each once.

        Takes no more texts up than its caller takes results. Raises ModelError when the server is
        of no more use; what was yielded stays valid.
        """
        if not texts:
            return
        _, dispatcher = self._work()
        now = kind == "query" and len(texts) <= self._batch
        ahead = self._batch * self._concurrency * _AHEAD
        left = enumerate(texts)
        blank: list[int] = []
        call = Call()
        waiting = 0
        try:
            while True:
                jobs = list(self._jobs(left, kind, ahead - waiting, blank))
                waiting += len(jobs)
                if jobs and now:
                    dispatcher.send_now(call, jobs)
                elif jobs:
                    dispatcher.submit(call, jobs)
                if not waiting:
                    break
                done = call.next()
                waiting -= len(done.positions)
                yield done
        finally:
            dispatcher.leave(call)
        if blank:
            yield self._zeros(blank)

    def close(self) -> None:
        """End threads and connections. Texts under way are lost; none is taken any more."""
        with self._starting:
            if self._at_work:
                self._at_work[1].close()
            self._client.close()

    def _jobs(
        self, texts: Iterator[tuple[int, str]], kind: Kind, most: int, blank: list[int]
    ) -> Iterator[tuple[int, Job]]:
        """The next texts, not many more bytes than a request takes; blank ones are only noted."""
        prefix = self._profile.prefix(kind)
        size = 0
        while size < MOST_BYTES and most > 0:
            for position, text in islice(texts, 1):
                if not text.strip():
                    blank.append(position)
                    break
                sent = prefix + _sane(text)
                key = hashlib.blake2b(sent.encode(), digest_size=16).digest()
                job = Job(key, sent, len(prefix))
                size += job.bytes
                most -= 1
                yield position, job
                break
            else:
                return

    def _zeros(self, positions: Sequence[int]) -> Embedded:
        import numpy as np

        return Embedded(tuple(positions), np.zeros((len(positions), self.dimensions), np.float32))

    def _known(self) -> Identity:
        with self._starting:
            if self._identity is None:
                self._identity = self._ask_identity()
            return self._identity

    def _work(self) -> tuple[Sender, Dispatcher]:
        """Ready to send. What fails here is tried again by the next call."""
        with self._starting:
            if self._at_work is None:
                limits = self._ready()
                native = self._known().dimensions
                if native is not None:
                    self._size(native)
                place = Place(
                    self._client, self._path, self._model, limits, self._size, self._reconfigure
                )
                gauge = Gauge(self._batch, limits.tokens)
                flow = Flow(self._concurrency, limits.context)
                sender = Sender(place, gauge, flow, self._patience, native)
                self._at_work = sender, Dispatcher(sender, gauge, flow, self._concurrency)
            return self._at_work

    def _size(self, native: int) -> int:
        """How many dimensions are kept. Raises ModelError where vectors cannot be cut so."""
        asked = self._asked
        if asked is None or asked == native:
            return native
        sizes = self._profile.matryoshka
        if asked < native and asked in sizes:
            return asked
        smaller = [size for size in sizes if size < native]
        choice = (
            f"{min(smaller)} to {native}"
            if isinstance(sizes, range)
            else ", ".join(map(str, sorted({native, *smaller})))
        )
        raise ModelError(
            f"{self.name} gives vectors of {native} dimensions, vector_dimensions asks for {asked}",
            remedy=f"set vector_dimensions to {choice}, or leave it out",
        )


def _sane(text: str) -> str:
    """The text as it can be sent: halves of surrogate pairs are joined, lone ones replaced."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    return text
