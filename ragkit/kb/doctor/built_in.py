"""The models that run in this process: whether they can."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from importlib.util import find_spec
from typing import TYPE_CHECKING, Final

from ragkit.errors import ModelError
from ragkit.kb.doctor.finding import Finding, timed

if TYPE_CHECKING:
    from ragkit.types import Embedder

TEXT: Final = "where are ignore rules applied?"


def embedded(used: Collection[str] = ()) -> Iterator[Finding]:
    """One finding for each built-in model; what cannot be used fails where it is `used`.

    Nothing is downloaded: a model whose files are not there yet is not tried.
    """
    yield _static()
    yield _minilm("embedded/minilm" in used)


class _NotHere(Exception):
    """The model's files would be downloaded now."""


def _static() -> Finding:
    from ragkit.models.embedded import StaticEmbedder

    return _tried("embedded/static", StaticEmbedder)


def _minilm(used: bool) -> Finding:
    name = "embedded/minilm"
    if find_spec("onnxruntime") is None:
        return Finding(
            "embedded",
            name,
            "failure" if used else "skipped",
            "not usable: onnxruntime is not installed",
            "pip install 'ragkit[local]'",
            data={"usable": False},
        )
    from ragkit.models.embedded import weights

    def refuse(message: str) -> None:
        raise _NotHere

    try:
        weights.find(notice=refuse)
    except _NotHere:
        return Finding(
            "embedded",
            name,
            "warning" if used else "skipped",
            "its files (91 MB) are not on this machine; they are downloaded when it is first used",
            "ragkit models pull embedded/minilm",
            data={"usable": False},
        )
    except ModelError as error:
        return Finding(
            "embedded",
            name,
            "failure" if used else "skipped",
            error.message,
            error.remedy,
            data={"usable": False},
        )
    from ragkit.models.embedded import MiniLMEmbedder

    return _tried(name, MiniLMEmbedder)


def _tried(name: str, load: type[Embedder]) -> Finding:
    """What comes of embedding a text with it."""

    def work() -> Embedder:
        embedder = load()
        embedder.embed([TEXT], "query")
        return embedder

    try:
        embedder, seconds = timed(work)
    except ModelError as error:
        return Finding(
            "embedded", name, "failure", error.message, error.remedy, data={"usable": False}
        )
    return Finding(
        "embedded",
        name,
        "ok",
        f"usable: {embedder.dimensions} dimensions",
        seconds=seconds,
        data={"usable": True, "dimensions": embedder.dimensions},
    )
