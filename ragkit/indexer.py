"""The index walk: what is stale is read, prepared and replaced; what is gone is deleted.

    find → stale, gone → read → chunk → prepare → replace, one transaction a file

No step looks back, and every file is whole in the index, the old one or the new one, at any time.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING

from ragkit.errors import IndexingTimeout, ReadError
from ragkit.events import (
    Failed,
    Indexed,
    Listener,
    Removed,
    Scanned,
    Shortened,
    Skipped,
    Unchanged,
    ignore,
)
from ragkit.memory import Forgetful, Handed, Sharing, Watched
from ragkit.part import Part
from ragkit.types import Document, Entry, File, Index, Record, Skip, Store

if TYPE_CHECKING:
    from concurrent.futures import Executor, Future

    from ragkit.types import Chunker, Memory, Strategy

BATCH_BYTES = 400_000
"""Files are prepared together up to this size, so that small ones fill a model's batch."""

WAITED_BYTES = 64_000
"""The same where a model server is waited for: files get done one after the other, not all at the
end, and the server's requests are filled from several such batches anyway."""

FEW = 4
"""Batches that are done before an executor of processes would have started."""

FEW_FILES = 500
"""Files that are looked up one by one; of more, all that the store knows is read."""

AHEAD = 6
"""Batches that may be under way or waiting to be stored: a bound on memory, not on speed."""

SETTLED_NS = 2_000_000_000
"""A file changed this shortly before it was read may change again within one tick of its clock:
its stamp proves nothing, and the next walk reads it again (git calls such an entry racy)."""


@dataclass(frozen=True, slots=True)
class Summary:
    """What one walk did. Counts are files unless they say otherwise."""

    index: str
    found: int
    indexed: int
    unchanged: int
    skipped: int
    failed: int
    removed: int
    chunks: int
    """Chunks written."""
    embedded: int
    """Chunks whose vector had to be computed."""
    seconds: float
    left: tuple[str, ...] = ()
    """Files that are known to have changed, for which there was no time."""
    whole: bool = True
    """Whether there was time to look at all files."""


@dataclass(frozen=True, slots=True)
class Scan:
    """What the folders hold, compared with what the store remembers."""

    files: Mapping[str, File]
    skips: tuple[Skip, ...]
    stale: tuple[File, ...]
    gone: tuple[str, ...]
    whole: bool = True
    """Whether all was looked at; else nothing counts as gone."""


@dataclass(frozen=True, slots=True)
class Prepared:
    """One file on its way into the store: a record, and entries unless its content is known."""

    file: File
    record: Record
    entries: list[Entry] | None = None
    embedded: int = 0


def scan(index: Index, part: Part | None = None, until: float | None = None) -> Scan:
    """Compare the disk with the store, by size and time only.

    With `part`, only what it covers. Nothing more is looked at `until` then, as `time.monotonic`
    tells it.
    """
    records = index.store.records(part.paths if part else None)
    files: dict[str, File] = {}
    skips: list[Skip] = []
    whole = True
    for item in index.find(part=part) if part else index.find():
        if isinstance(item, Skip):
            skips.append(item)
        else:
            files[item.path] = item
        if until is not None and time.monotonic() > until:
            whole = False
            break
    stale = tuple(file for file in files.values() if is_stale(file, records.get(file.path)))
    hidden = tuple(
        "" if skip.path in ("", ".") else f"{skip.path.rstrip('/')}/"
        for skip in skips
        if skip.rule == "unreadable"
    )
    gone = tuple(
        path
        for path in (records if whole else ())
        # what lies in a folder that cannot be read at the moment is not gone
        if path not in files
        and not f"{path}/".startswith(hidden)
        and (part is None or part.includes(path))
    )
    return Scan(files, tuple(skips), stale, gone, whole)


def is_stale(file: File, record: Record | None) -> bool:
    """Whether a file must be read again: by its stamp, never by its content."""
    if record is None or (not record.digest and record.outcome == "failed"):
        return True  # what could not be opened is tried again: mending permissions leaves no stamp
    if (record.size, record.mtime_ns) != (file.size, file.mtime_ns):
        return True
    return record.indexed_at * 1e9 - record.mtime_ns < SETTLED_NS


def sync(
    index: Index,
    listener: Listener = ignore,
    *,
    executor: Executor | None = None,
    timeout: float | None = None,
    budget: float | None = None,
    part: Part | None = None,
) -> Summary:
    """Bring the index up to the disk. Files that fail are events; what they had stays.

    With `part`, only what it covers is looked at. After `budget` seconds nothing more is begun, and
    the summary says what is left; where no index was ever whole, it is built whole all the same.

    Only the caller's thread writes. With an executor, batches are read, chunked and prepared by
    it, a bounded number at a time; its workers must be able to reach the index's functions (for
    processes: pickle them). Raises StoreError, ModelError, and IndexingTimeout after `timeout`
    seconds; what was done until then is kept.
    """
    started = time.monotonic()
    was_complete = index.store.is_complete
    answers = was_complete or index.store.stale  # or one of earlier settings does
    until = started + budget if budget is not None and answers else None
    found = scan(index, part, until)
    listener(
        Scanned(
            index.name,
            found=len(found.files),
            stale=len(found.stale),
            stale_bytes=sum(file.size for file in found.stale),
            gone=len(found.gone),
        )
    )
    for skip in found.skips:
        listener(Skipped(index.name, skip))
    if found.gone:
        index.store.delete(found.gone)
        for path in found.gone:
            listener(Removed(index.name, path))
    outcomes = {"indexed": 0, "unchanged": 0, "skipped": 0, "failed": 0}
    chunks = embedded = 0
    left = {file.path for file in found.stale}
    with closing(_prepare_all(index, found.stale, listener, executor)) as all_prepared:
        for prepared in all_prepared:
            outcomes[_put(index, prepared, listener)] += 1
            chunks += len(prepared.entries or ())
            embedded += prepared.embedded
            left.discard(prepared.file.path)
            if until is not None and time.monotonic() > until:
                break
            if timeout is not None and time.monotonic() - started > timeout:
                raise IndexingTimeout(
                    f"{index.name}: indexing took longer than {timeout:g} s (indexing_timeout)",
                    remedy="index again to go on from here, or raise indexing_timeout",
                )
    if was_complete or (part is None and found.whole and not left):
        index.store.complete()
    return Summary(
        index.name,
        found=len(found.files),
        indexed=outcomes["indexed"],
        unchanged=outcomes["unchanged"],
        skipped=outcomes["skipped"] + len(found.skips),
        failed=outcomes["failed"],
        removed=len(found.gone),
        chunks=chunks,
        embedded=embedded,
        seconds=time.monotonic() - started,
        left=tuple(sorted(left)),
        whole=found.whole,
    )


def prepare(
    files: Sequence[File],
    digests: Mapping[str, str],
    *,
    read: Callable[[File], Document | Skip],
    chunk: Chunker,
    strategies: Sequence[Strategy],
    memory: Memory,
) -> list[Prepared]:
    """Read files, chunk them and prepare all their chunks together, so that batches are full.

    `digests` are those that the index holds: a file that still has its digest comes back without
    entries. One that cannot be read, or a chunk of which cannot be prepared, comes back as failed.
    """
    prepared = [_read(file, digests.get(file.path), read) for file in files]
    documents = [document for _, document in prepared if document]
    entries = [Entry(piece) for document in documents for piece in chunk(document)]
    watched = Watched(memory)
    # with nothing to prepare, strategies would load their libraries for nothing
    for strategy in strategies if entries else ():
        entries = strategy.prepare(entries, watched)
    by_path: dict[str, list[Entry]] = {document.path: [] for document in documents}
    for entry in entries:
        by_path[entry.chunk.path].append(entry)
    return [
        _finished(item, by_path[document.path], watched.missing) if document else item
        for item, document in prepared
    ]


def _finished(item: Prepared, entries: list[Entry], missing: set[bytes]) -> Prepared:
    """A file with its entries, or failed where one of them is: half a file is never stored."""
    if failed := [entry for entry in entries if entry.failed]:
        lines = f"lines {failed[0].chunk.start_line}-{failed[0].chunk.end_line}"
        more = f" (and {len(failed) - 1} more)" if len(failed) > 1 else ""
        reason = f"{lines}: {failed[0].failed}{more}"
        # without a digest it is tried again by the next walk: the model may be mended by then
        record = replace(item.record, digest="", outcome="failed", reason=reason)
        return replace(item, record=record)
    return replace(
        item,
        record=replace(item.record, reason=_shortened(entries)),
        entries=entries,
        embedded=sum(entry.key in missing for entry in entries),
    )


def _shortened(entries: Sequence[Entry]) -> str:
    cut = [entry for entry in entries if entry.cut]
    if not cut:
        return ""
    lines = f"lines {cut[0].chunk.start_line}-{cut[0].chunk.end_line}"
    more = f" (and {len(cut) - 1} more of {len(entries)} chunks)" if len(cut) > 1 else ""
    return f"{lines}: {cut[0].cut}{more}"


def _read(
    file: File, digest: str | None, read: Callable[[File], Document | Skip]
) -> tuple[Prepared, Document | None]:
    """What a file's content says: index it (with its document), skip it, or it failed."""
    record = Record(file.path, "", file.size, file.mtime_ns, indexed_at=time.time())
    try:
        document = read(file)
    except ReadError as error:
        reason = error.message.removeprefix(f"{file.path}: ")
        failed = replace(record, digest=error.digest, outcome="failed", reason=reason)
        return Prepared(file, failed), None
    if isinstance(document, Skip):
        reason = f"{document.rule}: {document.detail}" if document.detail else document.rule
        return Prepared(file, replace(record, outcome="skipped", reason=reason), []), None
    record = replace(record, digest=document.digest, language=document.language)
    if document.digest == digest:
        return Prepared(file, record), None
    return Prepared(file, record), document


def _put(index: Index, prepared: Prepared, listener: Listener) -> str:
    """Store one prepared file and tell; what became of it."""
    file, record, entries = prepared.file, prepared.record, prepared.entries
    if record.outcome == "failed":
        index.store.note(record)
        listener(Failed(index.name, file.path, file.size, record.reason))
        return "failed"
    if entries is None:
        index.store.note(record)
        listener(Unchanged(index.name, file.path, file.size))
        return "unchanged"
    index.store.replace(record, entries)
    if record.outcome == "skipped":
        rule, _, detail = record.reason.partition(": ")
        listener(Skipped(index.name, Skip(file.path, rule, detail), file.size))
        return "skipped"
    listener(Indexed(index.name, file.path, file.size, len(entries), prepared.embedded))
    if record.reason:
        listener(Shortened(index.name, file.path, record.reason))
    return "indexed"


def _prepare_all(
    index: Index, files: Sequence[File], listener: Listener, executor: Executor | None
) -> Generator[Prepared, None, None]:
    """Prepared files; with an executor or threads, batches run ahead of the caller."""
    digests = _digests(index.store, files)
    work = partial(
        prepare,
        read=index.read,
        chunk=index.chunk,
        strategies=index.strategies,
    )
    batches = [
        (batch, {file.path: digests[file.path] for file in batch if file.path in digests})
        for batch in _batches(files, WAITED_BYTES if index.threads else BATCH_BYTES)
    ]
    if index.threads and batches:
        yield from _in_threads(index, work, batches, listener)
        return
    work = partial(work, memory=Forgetful(index.store))
    if executor is None or len(batches) <= FEW:
        for batch in batches:
            yield from work(*batch)
        return
    running: list[Future[list[Prepared]]] = []
    try:
        for batch in batches:
            running.append(executor.submit(work, *batch))
            if len(running) > AHEAD:
                yield from running.pop(0).result()
        while running:
            yield from running.pop(0).result()
    finally:
        for future in running:
            future.cancel()


def _in_threads(
    index: Index,
    work: Callable[..., list[Prepared]],
    batches: Sequence[tuple[list[File], dict[str, str]]],
    listener: Listener,
) -> Iterator[Prepared]:
    """Prepared files as they get done; what models make is stored before their files are."""
    from ragkit.crew import Crew

    with Crew(index.threads) as crew:
        memory: Memory = Handed(index.store, index.name, listener, crew.tell)
        if index.shared:
            memory = Sharing(memory, index.shared, index.dimensions or 0)
        tasks = (partial(work, *batch, memory=memory) for batch in batches)
        for prepared in crew.done(tasks, lambda write: write()):
            yield from prepared


def _digests(store: Store, files: Sequence[File]) -> dict[str, str]:
    """Digests of those of the files whose chunks are in the index as they were read."""
    some = [file.path for file in files] if len(files) < FEW_FILES else None
    return {
        path: record.digest
        for path, record in store.records(some).items()
        if record.outcome == "indexed"
    }


def _batches(files: Iterable[File], limit: int) -> Iterator[list[File]]:
    """Files in order, grouped up to `limit` bytes; a larger file is a batch by itself."""
    batch: list[File] = []
    size = 0
    for file in files:
        if batch and size + file.size > limit:
            yield batch
            batch, size = [], 0
        batch.append(file)
        size += file.size
    if batch:
        yield batch
