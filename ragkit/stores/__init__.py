"""What is remembered: indexes in one SQLite file, or another store of the same contract."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ragkit.stores.compacting import Compacted
    from ragkit.stores.database import Precision
    from ragkit.stores.schema import StoredIndex
    from ragkit.stores.sqlite import SqliteStore

__all__ = ["compact", "indexes", "open", "roll_back"]


def open(
    path: Path,
    name: str,
    fingerprint: str,
    dimensions: int | None,
    *,
    read_only: bool = False,
    create: bool = True,
    wait: float = 5.0,
    precision: Precision = "int8",
) -> SqliteStore:
    """Open the index `name` in the database at `path`; both are made at the first write.

    `fingerprint` says what the entries were made with: an index of another fingerprint is another
    index, kept beside this one until this one is complete. `dimensions` is the length of its
    vectors, None where it has none. A `read_only` store leaves no trace, and is empty where there
    is no file; otherwise a missing file and its folder are made, or refused without `create`.
    `wait` is for how many seconds a write waits for another process. `precision` is how vectors are
    stored: int8 takes a quarter of the room of float32. Raises StoreError.
    """
    from ragkit.stores.sqlite import SqliteStore

    return SqliteStore(
        path,
        name,
        fingerprint,
        dimensions,
        read_only=read_only,
        create=create,
        wait=wait,
        precision=precision,
    )


def indexes(path: Path) -> list[StoredIndex]:
    """What the database at `path` holds, in the order in which it was made; [] for no file.

    Raises StoreError.
    """
    from ragkit.stores.sqlite import SqliteStore

    # the name of no index: a store lists all of its file's
    store = SqliteStore(path, "", "", None, read_only=True)
    try:
        return store.indexes()
    finally:
        store.close()


def roll_back(path: Path, name: str, *, wait: float = 5.0) -> StoredIndex:
    """Let the index of that name answer that did before; see `migrating.roll_back`."""
    from ragkit.stores.migrating import roll_back

    return roll_back(path, name, wait=wait)


def compact(path: Path, *, prune: bool = False, wait: float = 5.0) -> Compacted:
    """Give back the room in the database at `path` that nothing needs; see `compacting.compact`."""
    from ragkit.stores.compacting import compact

    return compact(path, prune=prune, wait=wait)
