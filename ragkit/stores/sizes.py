"""What a database takes on the disk, by what it holds: every byte is counted, and counted once."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import fields
from pathlib import Path

import apsw

from ragkit.stores.connection import query, value
from ragkit.types import Sizes

_PARTS = {
    "documents": "documents",
    "filed": "documents",
    "chunks": "chunks",
    "texts": "texts",
    "words": "words",
    "worded": "words",
    "lengths": "words",
    "codes": "codes",
    "listed": "codes",
}
"""Table of an index → the part that it belongs to."""

_SHARED = {"embeddings": "vectors", "descriptions": "descriptions"}

_OF_INDEX = re.compile(r"([a-z]+)_(\d+)(?:_|$)")
"""`chunks_1`, `words_1_data`: what it is, and of which index."""


def measure(connection: apsw.Connection, path: Path, index: int | None = None) -> Sizes:
    """Bytes of the database at `path`, by part: of this index and of others, or of all together.

    Reads every page. Where SQLite was built without `dbstat`, all pages are in `rest`.
    """
    if not connection.filename:  # nothing was stored yet
        return Sizes(log=on_disk(path))
    page = connection.pragma("page_size")
    pages = page * connection.pragma("page_count")
    parts: Counter[str] = Counter(free=page * connection.pragma("freelist_count"))
    for name, size in _tables(connection):
        parts[_part(name, index)] += size
    parts["rest"] += pages - parts.total()
    parts["log"] = max(0, on_disk(path) - pages)
    return Sizes(**{part.name: parts[part.name] for part in fields(Sizes)})


def on_disk(path: Path) -> int:
    """Bytes of a database, its write-ahead log included; 0 for no file."""
    return sum(_size(path.with_name(path.name + end)) for end in ("", "-wal"))


def _tables(connection: apsw.Connection) -> list[tuple[str, int]]:
    """Tables and bytes; a table's own index counts as the table, and comes by itself."""
    if not value(connection, "select 1 from pragma_module_list where name = 'dbstat'"):
        return []
    return query(
        connection,
        "select coalesce(s.tbl_name, d.name), d.pgsize from dbstat d "
        "left join sqlite_schema s on s.name = d.name where d.aggregate = true",
    )


def _part(table: str, index: int | None) -> str:
    """The part that a table belongs to, seen from an index or from all."""
    if found := _OF_INDEX.match(table):
        return _PARTS.get(found[1], "rest") if index in (None, int(found[2])) else "others"
    return _SHARED.get(table, "rest")


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0
