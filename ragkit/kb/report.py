"""What a knowledge base holds and what indexing it would do; counted, never remembered."""

from __future__ import annotations

import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath

from ragkit import stores
from ragkit.errors import ModelError, ReadError
from ragkit.indexer import scan, sync
from ragkit.kb.models import absent
from ragkit.strategies.semantic_embeddings import SemanticEmbeddings
from ragkit.types import Chunk, Entry, File, Index, Record, Sizes, Skip, Statistics

CROWDED = 0.3
"""A folder with more than this share of the chunks is worth a warning."""

SAMPLE = 40
"""Files that are really indexed, into a database that is thrown away, to tell how long all take."""


FEW = 64
"""Chunks of that sample where a model server embeds them."""


@dataclass(frozen=True, slots=True)
class IndexStatus:
    """One index, counted in its store and compared with the disk."""

    name: str
    database: str
    models: tuple[str, ...]
    absent: tuple[str, ...]
    """Why models cannot be asked at the moment, a sentence each."""
    statistics: Statistics
    sizes: Sizes
    files: int
    """Files on the disk that belong in the index."""
    stale: tuple[str, ...]
    gone: tuple[str, ...]
    failed: tuple[Record, ...]
    shortened: tuple[Record, ...]
    """Indexed files of which the model did not take all."""
    skipped: tuple[Record, ...]
    """Files that were read and left out for their content."""
    skips: tuple[Skip, ...]
    """Files and folders that the walk leaves out."""
    complete: bool
    """Whether a whole walk has ended since the index was begun."""
    indexed_at: float | None
    """Seconds since the epoch of the last file written; None for an empty index."""


@dataclass(frozen=True, slots=True)
class PlannedFile:
    """A file that would be in the index, and what it would weigh."""

    path: str
    size: int
    """Bytes."""
    chunks: int
    stale: bool
    """Whether it would have to be read; its chunks may still be known."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What indexing would do."""

    index: str
    files: tuple[PlannedFile, ...]
    skips: tuple[Skip, ...]
    failed: tuple[tuple[str, str], ...]
    """(path, reason)."""
    gone: tuple[str, ...]
    seconds: float | None
    """Expected time, measured on a sample of these files on this machine; None where the model
    cannot be asked."""
    described: int = 0
    """Chunks that a chat model would have to describe, a request each."""

    @property
    def chunks(self) -> int:
        return sum(file.chunks for file in self.files)

    def largest(self, count: int = 10) -> list[PlannedFile]:
        """The files with the most chunks, largest first."""
        return sorted(self.files, key=lambda file: (-file.chunks, file.path))[:count]

    def crowded(self) -> list[tuple[str, int]]:
        """(folder, chunks) of every folder with over 30 % of the chunks, outermost only.

        A folder that holds everything is no news: the whole is looked through to its first fork.
        """
        counts: Counter[str] = Counter()
        for file in self.files:
            for folder in PurePosixPath(file.path).parents:
                counts[str(folder)] += file.chunks
        large = [f for f, n in counts.items() if CROWDED * self.chunks < n < self.chunks]
        outer = [f for f in large if not any(str(p) in large for p in PurePosixPath(f).parents)]
        return sorted(((f, counts[f]) for f in outer), key=lambda pair: -pair[1])


def status_of(
    index: Index, *, database: Path, models: Sequence[str], complete: bool
) -> IndexStatus:
    """Count what the store holds and compare it with the disk, by stamps."""
    found = scan(index)
    records = index.store.records().values()
    written = [record.indexed_at for record in records if record.outcome == "indexed"]
    return IndexStatus(
        name=index.name,
        database=str(database),
        models=tuple(models),
        absent=tuple(error.message for error in absent(index.strategies)),
        statistics=index.store.statistics(),
        sizes=index.store.sizes(),
        files=len(found.files),
        stale=tuple(file.path for file in found.stale),
        gone=found.gone,
        failed=tuple(record for record in records if record.outcome == "failed"),
        shortened=tuple(r for r in records if r.outcome == "indexed" and r.reason),
        skipped=tuple(record for record in records if record.outcome == "skipped"),
        skips=found.skips,
        complete=complete,
        indexed_at=max(written, default=None),
    )


def plan_of(index: Index, dimensions: int | None) -> Plan:
    """Read and chunk every file, store nothing, and time a sample of what is stale."""
    found = scan(index)
    stale = {file.path: file for file in found.stale}
    planned, skips, failed = [], list(found.skips), []
    wanted = Wanted(index)
    for file in found.files.values():
        try:
            document = index.read(file)
        except ReadError as error:
            failed.append((file.path, error.message.removeprefix(f"{file.path}: ")))
            continue
        if isinstance(document, Skip):
            skips.append(document)
            continue
        chunks = index.chunk(document)
        planned.append(PlannedFile(file.path, file.size, len(chunks), file.path in stale))
        if file.path in stale:
            wanted.add(chunks)
    work = [planned_file for planned_file in planned if planned_file.stale and planned_file.chunks]
    sample = work[:: max(1, len(work) // SAMPLE)][:SAMPLE]
    if index.threads:  # a slow model: a few texts tell enough
        sample = [file for n, file in enumerate(sample) if n == 0 or _sum(sample[: n + 1]) <= FEW]
    seconds: float | None = 0.0
    if sample:
        try:
            if wanted.any:
                seconds = wanted.seconds()
            else:
                taken = _seconds(index, [stale[file.path] for file in sample], dimensions)
                seconds = taken * _sum(work) / _sum(sample)
        except ModelError:
            seconds = None
    return Plan(
        index.name,
        tuple(planned),
        tuple(skips),
        tuple(failed),
        found.gone,
        seconds,
        described=wanted.count,
    )


class Wanted:
    """The descriptions that indexing would ask a chat model for."""

    def __init__(self, index: Index) -> None:
        self._store = index.store
        self._strategies = [s for s in index.strategies if isinstance(s, SemanticEmbeddings)]
        self._questions: dict[bytes, tuple[SemanticEmbeddings, str]] = {}

    @property
    def any(self) -> bool:
        """Whether anything is described in this index, known or not."""
        return bool(self._strategies)

    @property
    def count(self) -> int:
        return len(self._questions)

    def add(self, chunks: Sequence[Chunk]) -> None:
        """Count those of one file."""
        for strategy in self._strategies:
            entries = [Entry(chunk) for chunk in chunks]
            for key, question in strategy.undescribed(entries, self._store).items():
                self._questions[key] = (strategy, question)

    def seconds(self) -> float:
        """Time to ask for all, by the second of two answers: each may cost money.

        Embedding the answers takes far less and is not counted. Raises ModelError.
        """
        some = list(self._questions.items())[:2]
        taken = 0.0
        for key, (strategy, question) in some:  # the first may wait for the model to be loaded
            started = time.monotonic()
            strategy.describer.describe(key, question)
            taken = (time.monotonic() - started) / strategy.describer.concurrency
        return taken * self.count


def _sum(files: Sequence[PlannedFile]) -> int:
    return sum(file.chunks for file in files)


def _seconds(index: Index, files: Sequence[File], dimensions: int | None) -> float:
    """Time to index files, measured in a database that is thrown away; models are loaded before."""
    with tempfile.TemporaryDirectory(prefix="ragkit-") as folder:
        store = stores.open(Path(folder, "sample.db"), index.name, "sample", dimensions)
        try:
            sync(replace(index, store=store, find=lambda: iter(files[:1])))
            return sync(replace(index, store=store, find=lambda: iter(files))).seconds
        finally:
            store.close()
