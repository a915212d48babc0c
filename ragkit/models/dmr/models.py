"""Models of Docker Model Runner as embedders, rerankers and chats.

Making one asks nothing. The first use finds the runner and the model there, says whether it can do
the work, has it configured and loaded, and remembers all of that; what fails is tried again by the
next use.
"""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Final, Generic, TypeVar

from ragkit.errors import ModelError
from ragkit.models.chat import RemoteChat, Sampling
from ragkit.models.dmr import flags
from ragkit.models.dmr.discovery import find
from ragkit.models.dmr.options import Options, options_of
from ragkit.models.dmr.plans import check
from ragkit.models.dmr.ready import Prepared, found, prepare, prepare_again
from ragkit.models.dmr.records import LocalModel, Mode
from ragkit.models.dmr.references import canonical, is_id
from ragkit.models.dmr.runner import Runner, not_found
from ragkit.models.embedding import Identity, Limits, RemoteEmbedder
from ragkit.models.failures import Failure, Trouble, error_of
from ragkit.models.http import Endpoint
from ragkit.models.profiles import profile_of
from ragkit.models.reranking import Loaded, RemoteReranker
from ragkit.types import Delta, Embedded, Kind, Message, Tool

if TYPE_CHECKING:
    from ragkit.types import Vectors

Machine = TypeVar("Machine", RemoteEmbedder, RemoteReranker, RemoteChat)
Hear = Callable[[str], object]
"""Takes a notice: what is otherwise than the user wrote it."""

_NOTHING: Final[Mapping[str, object]] = MappingProxyType({})
_PLAIN: Final = Sampling()


def embedder(
    reference: str,
    *,
    base_url: str | None = None,
    options: Mapping[str, object] = _NOTHING,
    dimensions: int | None = None,
    batch: int = 32,
    concurrency: int = 3,
    name: str | None = None,
    hear: Hear | None = None,
) -> ServedEmbedder:
    """An embedder that asks nothing yet. `options` are the model's provider_opts.

    `dimensions`: to cut vectors to; `batch` and `concurrency`: most texts of a request and most
    requests at once; `hear` gets each notice once. Raises ConfigError.
    """
    work = _Work(reference, "embedding", options_of(options), base_url, hear)

    def build(served: _Served) -> RemoteEmbedder:
        return RemoteEmbedder(
            served.runner.client,
            model=served.model.reference,
            name=work.name(name),
            profile=profile_of(_named(served.model, reference)),
            identity=lambda: Identity(
                _fingerprint(served.model, work.options), _dimensions(served.model)
            ),
            dimensions=dimensions,
            batch=batch,
            concurrency=concurrency,
            ready=lambda: _limits(work.ready(served)),
            reconfigure=lambda: _limits(work.ready(served, again=True)),
        )

    return ServedEmbedder(work, name, build)


def reranker(
    reference: str,
    *,
    base_url: str | None = None,
    options: Mapping[str, object] = _NOTHING,
    name: str | None = None,
    hear: Hear | None = None,
) -> ServedReranker:
    """A reranker that asks nothing yet; see `embedder`. Raises ConfigError."""
    work = _Work(reference, "reranking", options_of(options), base_url, hear)

    def build(served: _Served) -> RemoteReranker:
        def loaded(prepared: Prepared) -> Loaded:
            return Loaded(prepared.limit, prepared.model.architecture)

        return RemoteReranker(
            served.runner.client,
            model=served.model.reference,
            name=work.name(name),
            score=work.options.rerank_score,
            ready=lambda: loaded(work.ready(served)),
            reconfigure=lambda: loaded(work.ready(served, again=True)),
            explain=lambda failure: work.explained(served, failure),
        )

    return ServedReranker(work, name, build)


def chat(
    reference: str,
    *,
    base_url: str | None = None,
    options: Mapping[str, object] = _NOTHING,
    sampling: Sampling = _PLAIN,
    parallel_tool_calls: bool | None = None,
    track_usage: bool = True,
    name: str | None = None,
    hear: Hear | None = None,
) -> ServedChat:
    """A chat that asks nothing yet; see `embedder`. Raises ConfigError."""
    work = _Work(reference, "completion", options_of(options), base_url, hear)

    def build(served: _Served) -> RemoteChat:
        return RemoteChat(
            served.runner.client,
            model=served.model.reference,
            name=work.name(name),
            sampling=sampling,
            parallel_tool_calls=parallel_tool_calls,
            track_usage=track_usage,
            extra_body=work.options.extra_body,
            ready=lambda: work.ready(served),
            explain=lambda failure: work.explained(served, failure),
        )

    return ServedChat(work, name, build)


@dataclass(frozen=True, slots=True)
class _Served:
    """A model where it was found."""

    runner: Runner
    model: LocalModel


class _Work:
    """What a model is to do, and what came of making it ready."""

    def __init__(
        self, reference: str, mode: Mode, options: Options, base_url: str | None, hear: Hear | None
    ) -> None:
        self.reference = reference
        self.mode: Mode = mode
        self.options = options
        self.base_url = base_url
        self.notices: tuple[str, ...] = ()
        self._hear = hear

    def name(self, given: str | None) -> str:
        return given or f"dmr/{self.reference}"

    def find(self) -> _Served:
        """The runner and the model there. Raises ModelError."""
        runner = Runner(find(self.base_url))
        try:
            model = found(runner, self.reference)
            check(model, self.mode, self.options, self.reference)
        except ModelError:
            runner.client.close()
            raise
        return _Served(runner, model)

    def ready(self, served: _Served, *, again: bool = False) -> Prepared:
        """Configured and loaded. Raises ModelError."""
        make = prepare_again if again else prepare
        prepared = make(served.runner, self.reference, self.mode, self.options)
        if prepared.model.id != served.model.id:
            # the index would get vectors of two models
            raise ModelError(
                f"{self.reference} has been replaced on the runner since it was first used here",
                "run the command again",
            )
        fresh = [notice for notice in prepared.notices if notice not in self.notices]
        self.notices += tuple(fresh)
        if self._hear is not None:
            for notice in fresh:
                self._hear(notice)
        return prepared

    def explained(self, served: _Served, failure: Failure) -> ModelError:
        """The error for what the runner refuses, with the ways to get a model that is gone."""
        if failure.trouble is Trouble.NOT_FOUND:
            return not_found(served.runner, self.reference, size=False)
        return error_of(failure, model=self.reference, where=served.runner.endpoint)


class _Lazily(Generic[Machine]):
    """A machine that is made at its first use, by one thread; a failure is not kept."""

    def __init__(self, work: _Work, name: str | None, build: Callable[[_Served], Machine]) -> None:
        self.name = work.name(name)
        """As in the configuration."""
        self._work = work
        self._build: Callable[[_Served], Machine] = build
        self._making = threading.Lock()
        self._made: tuple[_Served, Machine] | None = None

    @property
    def notices(self) -> tuple[str, ...]:
        """What is otherwise than the user wrote it; complete after the first use."""
        return self._work.notices or self._work.options.notices

    @property
    def endpoint(self) -> Endpoint:
        """Where the runner is. Raises ModelError."""
        return self._use()[0].runner.endpoint

    @property
    def model(self) -> LocalModel:
        """The model as the runner knows it. Raises ModelError."""
        return self._use()[0].model

    def close(self) -> None:
        """Let the connections go."""
        with self._making:
            made, self._made = self._made, None
        if made is not None:
            served, machine = made
            machine.close()
            served.runner.client.close()

    def _use(self) -> tuple[_Served, Machine]:
        with self._making:
            if self._made is None:
                served = self._work.find()
                self._made = served, self._build(served)
            return self._made


class ServedEmbedder(_Lazily[RemoteEmbedder]):
    """An embedding model of Docker Model Runner. Thread-safe. All but its name may raise
    ModelError."""

    @property
    def fingerprint(self) -> str:
        """Of the weights, the engine, the tokeniser, prefixes, and flags that change vectors."""
        return self._use()[1].fingerprint

    @property
    def dimensions(self) -> int:
        return self._use()[1].dimensions

    def embed(self, texts: Sequence[str], kind: Kind) -> Vectors:
        """(n, d) float32 of unit rows, in order."""
        return self._use()[1].embed(texts, kind)

    def stream(self, texts: Sequence[str], kind: Kind) -> Iterator[Embedded]:
        """The texts as they get done, in any order, each once."""
        return self._use()[1].stream(texts, kind)


class ServedReranker(_Lazily[RemoteReranker]):
    """A reranker of Docker Model Runner. Thread-safe."""

    def rerank(self, query: str, texts: Sequence[str]) -> list[float]:
        """One score from 0 to 1 for each text, in order. Raises ModelError."""
        return self._use()[1].rerank(query, texts)

    def self_check(self) -> tuple[float, float]:
        """Scores of an answer and of nonsense. Raises ModelError where they are not apart."""
        return self._use()[1].self_check()


class ServedChat(_Lazily[RemoteChat]):
    """A chat model of Docker Model Runner. Thread-safe."""

    def chat(
        self,
        messages: Sequence[Message],
        tools: Sequence[Tool] = (),
        *,
        schema: Mapping[str, object] | None = None,
    ) -> Iterator[Delta]:
        """The answer as it is written; closing the iterator cancels it. Raises ModelError."""
        return self._use()[1].chat(messages, tools, schema=schema)


def _limits(prepared: Prepared) -> Limits:
    return Limits(prepared.limit, prepared.context)


def _named(model: LocalModel, reference: str) -> str:
    """A name that tells the family: an id does not."""
    return model.tags[0] if is_id(reference) and model.tags else reference


def _fingerprint(model: LocalModel, options: Options) -> str:
    """Changes with all that changes vectors, and with nothing else.

    The engine counts without its version: how llama.cpp computes changes in the last digits only,
    and an index would have to be built anew with each release.
    """
    engine = "llama.cpp" if model.format in ("", "gguf") else model.format
    overrides = (options.vllm or {}).get("hf-overrides")
    parts = (
        model.id or canonical(model.reference),
        engine,
        model.tokeniser,
        *flags.changing(options.runtime_flags),
        json.dumps(overrides, sort_keys=True) if overrides else "",
    )
    return " ".join(filter(None, ("dmr", *parts)))


def _dimensions(model: LocalModel) -> int | None:
    """Of its vectors, as its file says; None where it does not, and a probe has to."""
    # a model with a projection behind it gives other vectors than it works with
    for ending in ("embedding_length_out", "dense_3_feat_out"):
        for key, value in model.metadata.items():
            if key.endswith(f".{ending}") and re.fullmatch("[1-9][0-9]*", value):
                return int(value)
    return model.dimensions
