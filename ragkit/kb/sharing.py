"""Packs: the embeddings of a knowledge base as files that a team or its CI can publish."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from ragkit.errors import ConfigError, StoreError
from ragkit.types import Index

if TYPE_CHECKING:
    from ragkit.kb.parts import Blueprint


@dataclass(frozen=True, slots=True)
class Shared:
    """What was written to or taken from one pack."""

    index: str
    model: str
    folder: str
    embeddings: int
    """In the pack."""
    new: int
    """Of them, those that this database did not have; all of them where it was written."""
    files: tuple[str, ...] = ()
    """Parts of the pack; () where it was taken in."""


def pack(blueprints: Sequence[Blueprint], indexes: Sequence[Index], folder: Path) -> list[Shared]:
    """Write the embeddings of each index below a folder; one for each of its models.

    Raises StoreError where nothing is indexed or the folder cannot be written.
    """
    shared = []
    for index, model in _embedded(blueprints, indexes):
        place = place_of(folder, model)
        done = index.store.pack(place, model)
        files = tuple(name for name, _ in done.parts)
        count = done.embeddings
        shared.append(Shared(index.name, model, str(place), count, count, files))
    return shared


def unpack(blueprints: Sequence[Blueprint], indexes: Sequence[Index], folder: Path) -> list[Shared]:
    """Take in what was packed with the models of these indexes.

    What was taken in before something failed stays. Raises StoreError where there is no pack of one
    of the models, and for a pack that is damaged.
    """
    shared = []
    for index, model in _embedded(blueprints, indexes):
        place = place_of(folder, model)
        if not place.is_dir():
            raise StoreError(
                f"{folder}: there is no pack of {model}{_others(folder)}",
                remedy="make one with the same model: `ragkit pack`",
            )
        new, count = index.store.unpack(place, model)
        shared.append(Shared(index.name, model, str(place), count, new))
    return shared


def place_of(folder: Path, model: str) -> Path:
    """Where below a folder the pack of a model lies: packs of several models can share it."""
    return folder / hashlib.sha256(model.encode()).hexdigest()[:16]


def _embedded(blueprints: Sequence[Blueprint], indexes: Sequence[Index]) -> list[tuple[Index, str]]:
    """Indexes that have vectors, with the fingerprint of the model. Raises ModelError."""
    found = [
        (index, model)
        for blueprint, index in zip(blueprints, indexes, strict=True)
        if (model := blueprint.embedded_by) is not None
    ]
    if not found:
        raise ConfigError(
            "nothing is embedded here: the knowledge base is searched by words alone",
            remedy="words need no pack",
        )
    return found


def _others(folder: Path) -> str:
    """Which packs there are instead."""
    from ragkit.stores import packing

    models = []
    for path in sorted(folder.glob(f"*/{packing.MANIFEST}")):
        try:
            models.append(packing.read(path.parent).model)
        except StoreError:
            continue
    return f"; there is one of {', '.join(models)}" if models else ""
