"""Which index of a name answers: a new one takes the place of another, and may be taken back."""

from __future__ import annotations

from pathlib import Path

import apsw

from ragkit.errors import StoreError
from ragkit.stores import connection as connections
from ragkit.stores import schema
from ragkit.stores.connection import query
from ragkit.stores.schema import ANSWERING, KEPT, StoredIndex


def answer(writer: apsw.Connection, name: str, index: int) -> None:
    """Let one index of a name answer; in the caller's transaction.

    The one that did is kept, so that it can be taken back; all others of the name are dropped.
    """
    others = query(
        writer, "select id, complete from indexes where name = ? and id <> ?", (name, index)
    )
    replaced = any(state == ANSWERING for _, state in others)
    for other, state in others:
        if state == ANSWERING:
            writer.execute("update indexes set complete = ? where id = ?", (KEPT, other))
        elif replaced or state != KEPT:
            drop(writer, other)
    if replaced:  # not where it answered already, perhaps in the place of another
        writer.execute("delete from meta where index_id = ? and key = 'instead_of'", (index,))
    writer.execute("update indexes set complete = ? where id = ?", (ANSWERING, index))


def drop(writer: apsw.Connection, index: int) -> None:
    """Drop an index with all that is its own; in the caller's transaction."""
    schema.drop_index(writer, index)
    writer.execute("delete from indexes where id = ?", (index,))
    writer.execute("delete from meta where index_id = ?", (index,))


def drop_kept(writer: apsw.Connection) -> None:
    """Drop the indexes that are kept; in the caller's transaction."""
    for (index,) in query(writer, "select id from indexes where complete = ?", (KEPT,)):
        drop(writer, index)


def roll_back(path: Path, name: str, *, wait: float = 5.0) -> StoredIndex:
    """Let the index answer that did before, and keep the one that does; the former.

    Done twice, it is as before. Raises StoreError where none is kept.
    """
    with connections.translated(path):
        writer = connections.writer(path, wait=wait)
        try:
            writer.execute("begin immediate")
            try:
                indexes = [index for index in schema.indexes(writer) if index.name == name]
                before = next((index for index in indexes if index.kept), None)
                if before is None:
                    raise StoreError(
                        f"{path}: {name}: there is no earlier index to go back to",
                        remedy="one is kept when settings change, until they change again or "
                        "`ragkit compact --prune`",
                    )
                now = next((index for index in indexes if index.complete), None)
                state = "update indexes set complete = ? where id = ?"
                writer.execute(state, (ANSWERING, before.id))
                if now is not None:
                    writer.execute(state, (KEPT, now.id))
                    _say_instead(writer, before, now)
                writer.execute("commit")
            except BaseException:
                writer.execute("rollback")
                raise
            return before
        finally:
            writer.close()


def _say_instead(writer: apsw.Connection, before: StoredIndex, now: StoredIndex) -> None:
    """Remember what was gone back from; who returns to it has gone back from nothing."""
    writer.execute(
        "delete from meta where index_id in (?, ?) and key = 'instead_of'", (before.id, now.id)
    )
    if now.instead_of != before.fingerprint:
        writer.execute("insert into meta values(?, 'instead_of', ?)", (before.id, now.fingerprint))
