"""One index in a SQLite file.

Writes come from one thread, each in one transaction; every searching thread reads through a
connection of its own, and sees the index as it was when its read began. The tables are described
in `schema`; how words and vectors are searched, in `scoring` and `vectors`.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import apsw

from ragkit.errors import StoreError
from ragkit.stores import (
    changes,
    codes,
    compacting,
    descriptions,
    filed,
    fitting,
    migrating,
    packing,
    rows,
    schema,
    scoring,
    sizes,
    vectors,
)
from ragkit.stores import connection as connections
from ragkit.stores import lists as inverted
from ragkit.stores import words as lexical
from ragkit.stores.database import Database
from ragkit.stores.reader import Reader
from ragkit.types import ANYTHING, Chunk, Entry, Filter, Record, Sizes, Statistics

if TYPE_CHECKING:
    from ragkit.types import Vector


class SqliteStore(Database):
    """A `ragkit.types.Store` in a SQLite file; see `ragkit.stores.open`.

    All methods raise StoreError: StoreBusy when another process writes for longer than `wait`,
    StoreFull when the disk is full, StoreMismatch when another process replaced the index by one
    with other settings. What was stored before stays.
    """

    def __reduce__(self) -> tuple[Callable[..., SqliteStore], tuple[object, ...]]:
        """In another process it is a reader of the same index."""
        return _reopened, (self.path, self.name, self.fingerprint, self.dimensions)

    # ── what is stored ──

    def records(self, paths: Sequence[str] | None = None) -> dict[str, Record]:
        """Every file that was looked at, by path; or those of some paths, and of what is below."""
        with self._reading() as (reader, index):
            return {} if index is None else rows.read_records(reader.sql, index, paths)

    def known(self, keys: Sequence[bytes]) -> dict[bytes, Vector]:
        """Vectors stored under these keys, also of chunks that are gone; read-only arrays."""
        with self._reading() as (reader, _):
            if self.dimensions is None:
                return {}
            return vectors.known(reader.sql, keys, self.dimensions, self.precision)

    def descriptions(self, keys: Sequence[bytes]) -> dict[bytes, str]:
        """Descriptions stored under these keys, also of chunks that are gone."""
        with self._reading() as (reader, _):
            return descriptions.known(reader.sql, keys)

    def chunks(self, path: str) -> list[Chunk]:
        """A file's chunks in order; [] for an unknown path."""
        with self._reading() as (reader, index):
            return [] if index is None else rows.chunks_of(reader.sql, index, path)

    def statistics(self) -> Statistics:
        """Counts of this index; `embeddings` and `size` are of the whole file."""
        size = sizes.on_disk(self.path)
        with self._reading() as (reader, index):
            embeddings = connections.value(reader.sql, "select count(*) from embeddings")
            if index is None:
                return Statistics(0, 0, 0, 0, embeddings, size)
            documents, source = connections.query(
                reader.sql,
                "select count(*), coalesce(sum(size) filter (where outcome = 'indexed'), 0) "
                f"from documents_{index}",
            )[0]
            chunks, worded, embedded = connections.query(
                reader.sql, f"select count(*), count(words), count(embedding) from chunks_{index}"
            )[0]
            return Statistics(documents, chunks, worded, embedded, embeddings, size, source)

    def sizes(self) -> Sizes:
        """What the file takes on the disk, by part; all its pages are read for it."""
        with self._reading() as (reader, index):
            return sizes.measure(reader.sql, self.path, index or 0)

    # ── searches ──

    def nearest(
        self, vector: Vector, limit: int, where: Filter = ANYTHING, *, exact: bool = False
    ) -> list[tuple[Chunk, float]]:
        """Chunks by cosine in [-1, 1], best first; ties by (path, start).

        Cosines are those of the stored rows. If `exact`, all of them are compared; otherwise those
        that `scan.candidates` leaves, and about one of a hundred hits is missed. A zero vector is
        like nothing: []. Raises StoreMismatch for another length, StoreError for NaN.
        """
        vector = vectors.checked(vector, self.dimensions, "the query")
        while vector.any():
            with self._reading() as (reader, index):
                if index is None or limit < 1:
                    return []
                admitted = None if where.is_open else reader.admitted(index, where)
                marks = None if admitted is None else admitted.embeddings
                if exact:
                    found = vectors.best_of_all(reader.sql, index, vector, limit, marks)
                else:
                    state = rows.state(reader.sql, index, reader.file)
                    some = self._codes.candidates(reader.sql, state, vector, limit, marks)
                    if some is None:
                        continue  # another thread has seen a later state: look again
                    found = vectors.best(reader.sql, some, vector, limit)
                users = rows.users(reader.sql, index, found)
                if admitted is not None:
                    users = admitted.among(users)
                scores = {chunk: found[embedding] for chunk, embedding in users.items()}
                return rows.ranked(reader.sql, index, scores, limit)
        return []

    def matching(
        self,
        words: Sequence[str],
        limit: int,
        where: Filter = ANYTHING,
        *,
        k1: float = 1.2,
        b: float = 0.75,
    ) -> list[tuple[Chunk, float]]:
        """Chunks that hold any of the words, by BM25 (> 0), best first; ties by (path, start).

        Exact for every chunk, as in `scoring.best`. Words fold the case of ASCII letters; one that
        is given twice counts once.
        """
        with self._reading() as (reader, index):
            if index is None or limit < 1:
                return []
            lists = self._lists(reader, index)
            among = None if where.is_open else reader.admitted(index, where).chunks
            ids, scores = scoring.best(reader.sql, lists, words, limit, k1, b, among)
            scored = dict(zip(ids.tolist(), scores.tolist(), strict=True))
            return rows.ranked(reader.sql, index, scored, limit)

    def matching_files(
        self, words: Sequence[str], paths: Collection[str], *, k1: float = 1.2, b: float = 0.75
    ) -> dict[str, float]:
        """BM25 of these files, each as one text; those that hold none of the words are left out."""
        with self._reading() as (reader, index):
            if index is None:
                return {}
            lists = self._lists(reader, index)
            ids = rows.ids_by_path(reader.sql, index, paths)
            scores = scoring.of_documents(reader.sql, lists, words, list(ids.values()), k1, b)
            return {path: score for path, score in zip(ids, scores, strict=True) if score > 0}

    def _lists(self, reader: Reader, index: int) -> inverted.Lists:
        """The inverted lists in the state that the reader's transaction sees from now on."""
        while (lists := self._inverted.at(reader, index)) is None:
            # another thread has followed the file further: this one looks at a later state, too
            reader.sql.execute("rollback")
            reader.sql.execute("begin")
        return lists

    # ── writes ──

    def replace(self, record: Record, entries: Sequence[Entry]) -> None:
        """Put a file's entries in the place of all it had, in one transaction."""
        embedded = {
            vectors.key_of(entry): vectors.checked(
                entry.vector, self.dimensions, entry.chunk.location
            )
            for entry in entries
            if entry.vector is not None
        }
        with self._writing() as (writer, index):
            document = rows.write_record(writer, index, record)
            ids = vectors.keep(writer, embedded, self.precision, time.time())
            with self._changing(writer, index, [document], ids.values()):
                free = rows.remove_chunks(writer, index, [document])
                stored = [
                    (entry, None if entry.vector is None else ids[vectors.key_of(entry)])
                    for entry in entries
                ]
                rows.add_chunks(writer, index, document, stored, free)

    def keep(self, embedded: Mapping[bytes, Vector]) -> None:
        """Make vectors known before any chunk uses them, in one transaction."""
        with self._writing() as (writer, _):
            checked = {
                key: vectors.checked(vector, self.dimensions, "an embedded text")
                for key, vector in embedded.items()
            }
            vectors.keep(writer, checked, self.precision, time.time())

    def keep_descriptions(self, described: Mapping[bytes, str]) -> None:
        """Make descriptions known, in one transaction."""
        with self._writing() as (writer, _):
            descriptions.keep(writer, described, time.time())

    def note(self, record: Record) -> None:
        """Remember a file's new stamp or failure; its chunks stay as they are."""
        with self._writing() as (writer, index):
            rows.write_record(writer, index, record)

    def delete(self, paths: Sequence[str]) -> None:
        """Forget files and their chunks, in one transaction; unknown paths are no error."""
        with self._writing() as (writer, index):
            documents = rows.document_ids(writer, index, paths)
            with self._changing(writer, index, documents):
                rows.remove_chunks(writer, index, documents)
            rows.remove_records(writer, index, documents)

    def clear(self) -> None:
        """Forget all files of this index, and that it was complete; embeddings stay known."""
        with self._writing() as (writer, index):
            clock = filed.clock(writer, index)
            schema.drop_index(writer, index)
            self._make(writer, index)
            filed.restart(writer, index, clock)
            generation = rows.advance(writer, index)
            if self.dimensions is not None:
                changes.void(writer, f"listed_{index}", generation)
            lexical.restart(writer, index)
            writer.execute("update indexes set complete = 0 where id = ?", (index,))

    def complete(self) -> None:
        """Let this index answer in the place of the one of its name that did, which is kept.

        The one that was kept before is dropped, and so are others that were begun. Also drops the
        embeddings and descriptions that were used longest ago, where more are kept for no chunk
        than `rows.SPARE_EMBEDDINGS` and `descriptions.SPARE` allow, and gives back the room that a
        build has left. Writes nothing where there is nothing to do.
        """
        namesakes = self._namesakes()
        was_complete = any(i.fingerprint == self.fingerprint and i.complete for i in namesakes)
        others = [i for i in namesakes if i.fingerprint != self.fingerprint and not i.kept]
        if not self._changed and was_complete and not others:
            return
        with self._writing() as (writer, index):
            migrating.answer(writer, self.name, index)
            left = [i for (i,) in connections.query(writer, "select id from indexes")]
            rows.prune(writer, left)
            descriptions.prune(writer, left)
            if self.dimensions is not None:
                fitting.fit(writer, index, self.dimensions)
            lexical.optimize(writer, index)
        self._changed = False
        if not was_complete:
            compacting.give_back(writer, self.path)

    # ── packs ──

    def pack(self, folder: Path, model: str) -> packing.Manifest:
        """Write the embeddings that this index uses as files; `model` made them."""
        with self._reading() as (reader, index):
            dimensions = self.dimensions or 0
            lengths: set[int] = set()
            count = 0
            if index is not None:
                count, lengths = vectors.used_by(reader.sql, index)

            def rows(first: bytes | None, end: bytes | None) -> list[tuple[bytes, bytes]]:
                assert index is not None
                found = vectors.between(reader.sql, index, first, end)
                return vectors.alike(found, dimensions) if len(lengths) > 1 else found

            if not count:
                raise StoreError(
                    f"{self.path}: there are no embeddings to pack", remedy="run `ragkit index`"
                )
            return packing.write(folder, model, dimensions, count, rows)

    def unpack(self, folder: Path, model: str) -> tuple[int, int]:
        """Take in what a pack has and this file has not: how many embeddings, and of how many.

        A part at a time, each in one transaction: what was taken in stays, whatever comes next.
        """
        manifest = packing.read(folder)
        packing.check(manifest, folder, model, self.dimensions or 0)
        new = 0
        for found in packing.vectors(folder, manifest, lambda keys: {*keys} - {*self.known(keys)}):
            self.keep(found)
            new += len(found)
        return new, manifest.embeddings

    # ── the state of the index ──

    def indexes(self) -> list[schema.StoredIndex]:
        """All indexes of the file, in the order in which they were made."""
        with self._reading() as (reader, _):
            return schema.indexes(reader.sql)

    @property
    def is_complete(self) -> bool:
        """Whether a whole sync has ended since the index was made or cleared."""
        return any(i.complete and i.fingerprint == self.fingerprint for i in self._namesakes())

    @property
    def answering_fingerprint(self) -> str | None:
        """Fingerprint of the complete index of this name; None where there is none."""
        complete = {i.fingerprint for i in self._namesakes() if i.complete}
        return self.fingerprint if self.fingerprint in complete else next(iter(complete), None)

    @property
    def stale(self) -> bool:
        """Whether this index is not complete, but an older one, of other settings, still is."""
        return self.answering_fingerprint not in (None, self.fingerprint)

    @property
    def generation(self) -> int:
        """Another number after any change of the chunks, by any process; -1 before the first."""
        with self._reading() as (reader, index):
            sql = "select generation from indexes where id = ?"
            return -1 if index is None else int(connections.value(reader.sql, sql, (index,)))

    @property
    def indexed_at(self) -> float | None:
        """When a file was last indexed, in seconds since the epoch; None for none."""
        with self._reading() as (reader, index):
            sql = f"select max(indexed_at) from documents_{index} where outcome = 'indexed'"
            return None if index is None else connections.value(reader.sql, sql)

    def _namesakes(self) -> list[schema.StoredIndex]:
        return [index for index in self.indexes() if index.name == self.name]

    def meta(self) -> dict[str, str]:
        """What callers remember of this index by `set_meta`."""
        with self._reading() as (reader, index):
            sql = "select key, value from meta where index_id = ?"
            return dict(connections.query(reader.sql, sql, (index,)))

    def set_meta(self, key: str, value: str) -> None:
        """Remember something of this index, such as when it was last compared with the disk."""
        with self._writing() as (writer, index):
            writer.execute("insert or replace into meta values(?, ?, ?)", (index, key, value))

    def keep_recipe(self, recipe: str) -> None:
        """Remember the settings that this index is made with."""
        if self.meta().get("recipe") != recipe:
            self.set_meta("recipe", recipe)

    def check(self) -> list[str]:
        """What is wrong with the file or this index, a sentence each; [] for nothing. Slow."""
        try:
            # FTS5 checks what it has cached: after a change by another connection, a reader that
            # checked before would find its old structure, and call the new one corrupt.
            self._let_go_of_reader()
            with self._reading() as (reader, index):
                found = [line for (line,) in connections.query(reader.sql, "pragma quick_check")]
                found = [line for line in found if line != "ok"]
                if index is not None:
                    found += rows.violations(reader.sql, index, self.dimensions)
                return found
        except StoreError as error:  # too broken even to be checked
            return [error.message]

    @contextmanager
    def _changing(
        self,
        writer: apsw.Connection,
        index: int,
        documents: Sequence[int],
        new: Iterable[int] = (),
    ) -> Iterator[None]:
        """Let these documents' chunks change inside; codes and generation follow.

        `new` are the embeddings that the chunks will use.
        """
        self._changed = True
        generation = rows.advance(writer, index)
        if self.dimensions is None:
            yield
            return
        touched = rows.embeddings_of(writer, index, documents) | set(new)
        before = vectors.used(writer, index, touched)
        yield
        after = vectors.used(writer, index, touched)
        listed = codes.enlist(writer, index, self.dimensions, after - before)
        codes.unlist(writer, index, before - after)
        codes.log(writer, index, generation, listed, before - after)
        vectors.let_go(writer, before - after, time.time())


def _reopened(path: Path, name: str, fingerprint: str, dimensions: int | None) -> SqliteStore:
    return SqliteStore(path, name, fingerprint, dimensions, read_only=True)
