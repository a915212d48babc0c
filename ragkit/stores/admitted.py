"""What a filter lets through of an index, as marks by id: searches look at these and no others.

A filter is about documents, so it is about chunks. An embedding may be shared by chunks of several
documents: it is a candidate where any of them comes through, and then only those chunks are hits.

Reading what comes through costs a look at every document, so a store remembers it for its latest
filters, for all threads, and follows changes by the log `filed`.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Hashable, Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

import apsw

from ragkit import filters
from ragkit.stores import filed
from ragkit.stores.connection import query, value
from ragkit.stores.rows import from_sql
from ragkit.stores.words import numbers
from ragkit.types import Filter

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Marks: TypeAlias = NDArray[np.bool_]
    """Whether an id comes through, by id; False at the end, which stands for all beyond. Ids that
    nothing has may be marked, too."""

KEPT = 8_000_000
"""Bytes of marks that a store remembers; the latest filter's always. A million chunks take two."""

FOLLOWED = 1_000
"""Changed documents that are looked at again one by one; of more, all are."""

_SECOND = 1_000_000_000


@dataclass(frozen=True, slots=True)
class Admitted:
    """The chunks of the documents that a filter lets through, and the embeddings they use."""

    chunks: Marks
    embeddings: Marks

    @property
    def nbytes(self) -> int:
        """Bytes that remembering it takes."""
        return self.chunks.nbytes + self.embeddings.nbytes + 1_000

    def among(self, chunks: Mapping[int, int]) -> dict[int, int]:
        """Those of the chunks that come through."""
        marks, beyond = self.chunks, len(self.chunks) - 1
        return {i: other for i, other in chunks.items() if marks[min(i, beyond)]}


@dataclass(frozen=True, slots=True)
class _Known:
    """What is remembered for one filter."""

    place: Hashable
    """The index, told from any other that has its number."""
    clock: int
    admitted: Admitted


class Filtered:
    """What a store remembers of its filters, for all its threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._known: dict[Filter, _Known] = {}

    def of(
        self, connection: apsw.Connection, file: Hashable, index: int, where: Filter
    ) -> Admitted:
        """What comes through in the state that the connection's transaction sees.

        `file` tells the connection's file from others. Raises QueryError for a glob that is none.
        """
        if connection.pragma("user_version") < 3:  # an older file, which has no log
            return load(connection, index, where)
        created = value(connection, "select created from indexes where id = ?", (index,))
        place, clock = (file, index, created), filed.clock(connection, index)
        with self._lock:
            known = self._known.get(where)
        found = None
        if known is not None and known.place == place:
            if known.clock == clock:
                return known.admitted
            if known.clock < clock:
                found = _followed(connection, index, where, known)
        if found is None:
            found = load(connection, index, where)
        self._keep(where, _Known(place, clock, found))
        return found

    def _keep(self, where: Filter, found: _Known) -> None:
        with self._lock:
            known = self._known.pop(where, found)
            # another thread may have seen a later state meanwhile
            newer = known.place == found.place and known.clock > found.clock
            self._known[where] = known if newer else found
            while (
                len(self._known) > 1
                and sum(known.admitted.nbytes for known in self._known.values()) > KEPT
            ):
                del self._known[next(iter(self._known))]


def load(connection: apsw.Connection, index: int, where: Filter) -> Admitted:
    """What comes through of an index. Raises QueryError for a glob that is none."""

    come, count = _coming(connection, index, where)
    # one by one, and the second as its index has it: each is a look at the end of an index
    last_chunk = value(connection, f"select coalesce(max(id), 0) from chunks_{index}")
    last_embedding = value(
        connection,
        f"select coalesce(max(embedding), 0) from chunks_{index} where embedding is not null",
    )
    if 2 * len(come) <= count:
        chunks, embeddings = _of_documents(connection, index, come)
        return Admitted(_marked(chunks, last_chunk), _marked(embeddings, last_embedding))
    # most come through: fewer rows are read to say which do not
    documents = query(connection, f"select id from documents_{index}")
    stay = {i for (i,) in documents}.difference(come)
    chunks, embeddings = _of_documents(connection, index, stay)
    admitted = Admitted(~_marked(chunks, last_chunk), ~_marked(embeddings, last_embedding))
    admitted.chunks[-1] = admitted.embeddings[-1] = False
    _settle(connection, index, admitted, set(embeddings.tolist()))
    return admitted


def _coming(connection: apsw.Connection, index: int, where: Filter) -> tuple[set[int], int]:
    """The documents that come through, and how many there are in all."""
    lets_through = filters.test_of(where)
    least = _least(where)
    rows = query(
        connection,
        f"select id, path, language, mtime_ns from documents_{index} where mtime_ns >= ?",
        (least,),
    )
    come = {i for i, path, language, at in rows if lets_through(from_sql(path), language, at)}
    return come, int(value(connection, f"select count(*) from documents_{index}"))


def _least(where: Filter) -> int:
    """A time in nanoseconds, before which nothing comes through; a little early."""
    own = -(1 << 63) if where.modified_after is None else _nanoseconds(where.modified_after)
    return max([own, *map(_least, where.also)])


def _nanoseconds(seconds: float) -> int:
    bound = 1 << 63
    return int(max(-bound, min(bound - 1, (seconds - 1) * _SECOND)))


def _of_documents(
    connection: apsw.Connection, index: int, documents: Iterable[int]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The documents' chunks, and their embeddings, each in any order."""
    # group_concat leaves NULL out: the two lists may be of different lengths
    chunks, embeddings = query(
        connection,
        f"select group_concat(id), group_concat(embedding) from chunks_{index} "
        "where document in (select value from json_each(?))",
        (json.dumps(list(documents)),),
    )[0]
    return numbers(chunks), numbers(embeddings)


def _marked(ids: NDArray[np.int64], last: int) -> Marks:
    import numpy as np

    marks = np.zeros(last + 2, np.bool_)
    marks[ids] = True
    return marks


def _settle(
    connection: apsw.Connection, index: int, admitted: Admitted, embeddings: Iterable[int]
) -> None:
    """Mark those of the embeddings that a chunk uses which comes through, and unmark the others."""
    import numpy as np

    asked = list(embeddings)
    admitted.embeddings[asked] = False
    used, users = query(
        connection,
        f"select group_concat(embedding), group_concat(id) from chunks_{index} "
        "where embedding in (select value from json_each(?))",
        (json.dumps(asked),),
    )[0]
    through = np.take(admitted.chunks, numbers(users))
    admitted.embeddings[numbers(used)[through]] = True


def _followed(
    connection: apsw.Connection, index: int, where: Filter, known: _Known
) -> Admitted | None:
    """What was known, brought up to date; None where reading everything costs no more."""
    import numpy as np

    changed = filed.since(connection, index, known.clock)
    if changed is None or len(changed.documents) > FOLLOWED:
        return None
    documents = json.dumps(list(changed.documents))
    some = "in (select value from json_each(?))"
    lets_through = filters.test_of(where)
    come = {
        i
        for i, path, language, at in query(
            connection,
            f"select id, path, language, mtime_ns from documents_{index} where id {some}",
            (documents,),
        )
        if lets_through(from_sql(path), language, at)
    }
    rows = query(
        connection,
        f"select id, document, embedding from chunks_{index} where document {some}",
        (documents,),
    )
    touched = changed.embeddings.union(e for _, _, e in rows if e is not None)
    admitted = Admitted(
        _copied(known.admitted.chunks, max((i for i, _, _ in rows), default=0)),
        _copied(known.admitted.embeddings, max(touched, default=0)),
    )
    # ids that are free again may be beyond the marks: nothing is marked there
    gone = [i for i in changed.chunks if i < len(admitted.chunks)]
    admitted.chunks[gone] = False
    admitted.chunks[np.array([i for i, _, _ in rows], np.int64)] = [d in come for _, d, _ in rows]
    _settle(connection, index, admitted, touched)
    return admitted


def _copied(marks: Marks, last: int) -> Marks:
    """The marks, with room up to the last id; what was marked beyond is as it was."""
    import numpy as np

    grown = np.zeros(max(len(marks), last + 2), np.bool_)
    grown[: len(marks)] = marks
    return grown
