"""Embeddings of an index as files for others: a manifest, and parts named by their content.

A pack holds hashes of texts and the vectors that a model made of them: no text, no path. Whoever
has a text and the same model finds its vector by the hash. The same embeddings are the same bytes,
and a few that changed change few parts, so packs of neighbouring commits share most of their files.

    manifest.json       {"ragkit_pack": 1, "model": …, "dimensions": d, "embeddings": n,
                         "parts": [{"sha256": …, "embeddings": …}, …]}
    <sha256>            n keys of 16 bytes, ascending; then n rows of d int8 and a float32, or of
                         d float32: as `vectors.packed` makes them
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

from ragkit.errors import StoreError, StoreMismatch
from ragkit.stores.vectors import LARGEST

if TYPE_CHECKING:
    from ragkit.types import Vector

VERSION = 1
MANIFEST = "manifest.json"
KEY = 16
"""Bytes of a key."""

PART = 256
"""Embeddings of a part, at most about: as many as keys begin alike in a few bits. Few, since those
that a commit changes are scattered over all parts; a million make 4,096 files."""

REMEDY = "make it again with `ragkit pack`, or fetch all of it"


Rows: TypeAlias = Callable[[bytes | None, bytes | None], Sequence[tuple[bytes, bytes]]]
"""Keys from the first on and below the second, ascending, with the rows that are stored for them,
all of one length."""


@dataclass(frozen=True, slots=True)
class Manifest:
    """What a pack says of itself."""

    model: str
    """Fingerprint of the model that made the vectors."""
    dimensions: int
    embeddings: int
    parts: tuple[tuple[str, int], ...]
    """sha256 of the content, hex, and how many embeddings are in it."""


def write(folder: Path, model: str, dimensions: int, count: int, rows: Rows) -> Manifest:
    """Write stored rows as a pack; parts that are there already are left as they are.

    The manifest comes last, and takes the place of an older one at once: a reader finds the old
    pack or the new one. Parts that neither names are deleted. Raises StoreError where it cannot be
    written.
    """
    bits = (count // PART).bit_length()
    parts = []
    try:
        folder.mkdir(parents=True, exist_ok=True)
        before = _before(folder)
        for group in range(1 << bits):
            some = rows(_first(group, bits), _first(group + 1, bits))
            if not some:
                continue
            content = b"".join([*(key for key, _ in some), *(row for _, row in some)])
            name = hashlib.sha256(content).hexdigest()
            if not (folder / name).exists():
                _put(folder / name, content)
            parts.append((name, len(some)))
        manifest = Manifest(model, dimensions, sum(count for _, count in parts), tuple(parts))
        _put(folder / MANIFEST, _told(manifest).encode())
        named = {name for name, _ in (*parts, *before)}
        for path in folder.iterdir():
            if len(path.name) == 64 and path.name not in named:
                path.unlink()
    except OSError as error:
        raise StoreError(
            f"{folder}: the pack cannot be written: {error.strerror}",
            remedy="give another folder, or free some space",
        ) from error
    return manifest


def _first(group: int, bits: int) -> bytes | None:
    """The first key that can be in a group; None behind the last."""
    return (group << (32 - bits)).to_bytes(4, "big") if group >> bits == 0 else None


def _before(folder: Path) -> tuple[tuple[str, int], ...]:
    """Parts of the pack that is there."""
    try:
        return read(folder).parts
    except StoreError:
        return ()


def _put(path: Path, content: bytes) -> None:
    """Write a file whole or not at all."""
    beside = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with open(beside, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(beside, path)
    except BaseException:
        beside.unlink(missing_ok=True)
        raise


def _told(manifest: Manifest) -> str:
    parts = [{"sha256": name, "embeddings": count} for name, count in manifest.parts]
    told = {
        "ragkit_pack": VERSION,
        "model": manifest.model,
        "dimensions": manifest.dimensions,
        "embeddings": manifest.embeddings,
        "parts": parts,
    }
    return json.dumps(told, indent=1) + "\n"


def read(folder: Path) -> Manifest:
    """What the pack in a folder says of itself. Raises StoreError where there is none."""
    path = folder / MANIFEST
    try:
        told: Any = json.loads(path.read_text("utf-8"))
        version = told["ragkit_pack"]
        if version != VERSION:
            raise StoreError(
                f"{path}: a pack of version {version}, this ragkit reads {VERSION}",
                remedy="upgrade ragkit",
            )
        parts = tuple((str(part["sha256"]), int(part["embeddings"])) for part in told["parts"])
        manifest = Manifest(
            str(told["model"]), int(told["dimensions"]), int(told["embeddings"]), parts
        )
    except OSError as error:
        raise StoreError(
            f"{folder}: no pack is there: {error.strerror}",
            remedy="give the folder that holds manifest.json",
        ) from error
    except (ValueError, TypeError, KeyError) as error:
        raise StoreError(f"{path}: not the manifest of a pack", remedy=REMEDY) from error
    named = all(len(name) == 64 and set(name) <= set("0123456789abcdef") for name, _ in parts)
    if not named or manifest.dimensions < 1 or any(count < 1 for _, count in parts):
        raise StoreError(f"{path}: not the manifest of a pack", remedy=REMEDY)
    return manifest


def check(manifest: Manifest, folder: Path, model: str, dimensions: int) -> None:
    """Raise StoreMismatch for a pack of another model than the index's."""
    if (manifest.model, manifest.dimensions) == (model, dimensions):
        return
    raise StoreMismatch(
        f"{folder}: made with another model: {manifest.model} of {manifest.dimensions} dimensions, "
        f"this index is made with {model} of {dimensions}",
        remedy="make the pack with the same model, in the same version",
    )


def vectors(
    folder: Path, manifest: Manifest, unknown: Callable[[Sequence[bytes]], set[bytes]]
) -> Iterator[dict[bytes, Vector]]:
    """Vectors by key, a part at a time, of the keys that are unknown.

    Every part is compared with its name first. Raises StoreError for one that is missing, damaged
    or holds what cannot be a vector.
    """
    import numpy as np

    from ragkit.stores.vectors import unpacked

    for name, count in manifest.parts:
        path = folder / name
        try:
            content = path.read_bytes()
        except OSError as error:
            raise StoreError(
                f"{path}: a part of the pack is missing: {error.strerror}", remedy=REMEDY
            ) from error
        width, left = divmod(len(content) - KEY * count, count)
        sizes = (manifest.dimensions + 4, 4 * manifest.dimensions)
        if hashlib.sha256(content).hexdigest() != name or left or width not in sizes:
            raise StoreError(f"{path}: a part of the pack is damaged", remedy=REMEDY)
        keys = [content[at : at + KEY] for at in range(0, KEY * count, KEY)]
        wanted = unknown(keys)
        rows = {
            key: content[KEY * count + width * i : KEY * count + width * (i + 1)]
            for i, key in enumerate(keys)
            if key in wanted
        }
        if not rows:
            continue
        found = unpacked(list(rows.values()), manifest.dimensions)
        with np.errstate(invalid="ignore"):
            sound = bool(np.all(np.abs(found) <= LARGEST))
        if not sound:
            raise StoreError(f"{path}: holds what cannot be vectors", remedy=REMEDY)
        yield dict(zip(rows, found, strict=True))
