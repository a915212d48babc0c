"""The models that run in this process: whether they can."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from importlib.util import find_spec
from typing import TYPE_CHECKING, Final

from ragkit.errors import ModelError, RagkitError
from ragkit.kb.doctor.finding import Finding, State, timed

if TYPE_CHECKING:
    from ragkit.types import Embedder

TEXT: Final = "where are ignore rules applied?"


def embedded(used: Collection[str] = ()) -> Iterator[Finding]:
    """One finding for each built-in model; what cannot be used fails where it is `used`.

    Nothing is downloaded: a model whose files are not there yet is not tried.
    """
    yield _static()
    yield _minilm("embedded/minilm" in used)


def _static() -> Finding:
    from ragkit.models.embedded import StaticEmbedder

    return _tried("embedded/static", StaticEmbedder)


def _minilm(used: bool) -> Finding:
    name = "embedded/minilm"
    bad: State = "failure" if used else "skipped"
    if find_spec("onnxruntime") is None:
        words = "not usable: onnxruntime is not installed"
        return _unusable(name, bad, words, "pip install 'ragkit[local]'")
    from ragkit.models.embedded import MiniLMEmbedder, weights

    try:
        there = weights.here()
    except ModelError as error:  # about the folder that the user named
        return _unusable(name, bad, error.message, error.remedy)
    if there is None:
        return _unusable(
            name,
            "warning" if used else "skipped",
            "its files (91 MB) are not on this machine; they are downloaded when it is first used",
            "ragkit models pull embedded/minilm",
        )
    return _tried(name, MiniLMEmbedder)


def _unusable(name: str, state: State, words: str, remedy: str) -> Finding:
    return Finding("embedded", name, state, words, remedy, data={"usable": False})


def _tried(name: str, load: type[Embedder]) -> Finding:
    """What comes of embedding a text with it."""

    def work() -> Embedder:
        embedder = load()
        embedder.embed([TEXT], "query")
        return embedder

    try:
        embedder, seconds = timed(work)
    except RagkitError as error:
        return _unusable(name, "failure", error.message, error.remedy)
    return Finding(
        "embedded",
        name,
        "ok",
        f"usable: {embedder.dimensions} dimensions",
        seconds=seconds,
        data={"usable": True, "dimensions": embedder.dimensions},
    )
