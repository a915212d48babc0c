"""ragkit's own store, written a document at a time as indexing does; needs ragkit's environment."""

from __future__ import annotations

import dataclasses
import hashlib
import itertools
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from benchmarks.storing.system import BATCH, DOCUMENT, SHARDS, System, ids_of

if TYPE_CHECKING:
    from ragkit.stores.database import Precision
    from ragkit.types import Chunk, Entry, Filter, Record, Vectors

TEXT = "row {row} of the benchmark"
"""Every chunk's: the vectors are measured, not texts."""


class Ragkit(System):
    """Sign bits, and rows of int8 by which the best are ordered."""

    name = "ragkit"
    package = "ragkit"
    imports = ("numpy", "apsw", "ragkit.stores.sqlite", "ragkit.types", "ragkit.filters")
    follows = True
    precision: ClassVar[Precision] = "int8"
    exact: ClassVar[bool] = False

    def build(self) -> None:
        self.open(writable=True)
        for document, vectors in _documents(self):
            self.replace(document, vectors)
        self.store.complete()
        self.parts = dataclasses.asdict(self.store.sizes())
        self.close()

    def open(self, writable: bool) -> None:
        from ragkit import stores

        path = self.folder / "index.db"
        dimensions = self.data.dimensions
        self.store = stores.open(
            path, "made", "made", dimensions, read_only=not writable, precision=self.precision
        )

    def search(
        self, query: Any, limit: int, shards: int | None = None
    ) -> Sequence[tuple[Chunk, float]]:
        return self.store.nearest(query, limit, _where(shards), exact=self.exact)

    def rows(self, answer: Sequence[tuple[Chunk, float]]) -> list[int]:
        return [_document(chunk.path) * DOCUMENT + chunk.index for chunk, _ in answer]

    def replace(self, document: int, vectors: Vectors) -> None:
        self.store.replace(*_entries(document, vectors))

    def close(self) -> None:
        self.store.close()


class RagkitExact(Ragkit):
    """Every vector compared, and kept as it was."""

    name = "ragkit, exact"
    precision = "float32"
    exact = True


def _documents(system: System) -> Iterator[tuple[int, Vectors]]:
    """All documents; read from the disk in large pieces."""
    import numpy as np

    for first in range(0, len(system.data), BATCH):
        piece = np.asarray(system.data.vectors[first : first + BATCH])
        for at in range(0, len(piece), DOCUMENT):
            yield (first + at) // DOCUMENT, piece[at : at + DOCUMENT]


def _path(document: int) -> str:
    """`07/000123.txt`: the folder is the shard."""
    return f"{document % SHARDS:02}/{document:06}.txt"


def _document(path: str) -> int:
    return int(path[3:-4])


def _where(shards: int | None) -> Filter:
    """The first shards by a glob of their folders."""
    from ragkit.types import ANYTHING, Filter

    return ANYTHING if shards is None else Filter(paths=("/00/" if shards == 1 else "/0?/",))


_versions = itertools.count()


def _entries(document: int, vectors: Vectors) -> tuple[Record, list[Entry]]:
    """A document as indexing hands it over; its keys are of its vectors."""
    from ragkit.types import Chunk, Entry, Record

    path = _path(document)
    start, entries = 0, []
    for index, (row, vector) in enumerate(zip(ids_of(document), vectors, strict=True)):
        text = TEXT.format(row=row)
        chunk = Chunk(path, index, text, start, start + len(text), index + 1, index + 1)
        key = hashlib.sha256(vector.tobytes()).digest()[:16]
        entries.append(Entry(chunk, None, key, vector))
        start += len(text)
    return Record(path, f"{next(_versions):064x}", start, 0), entries


SYSTEMS: tuple[type[System], ...] = (Ragkit, RagkitExact)
