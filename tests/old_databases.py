"""Databases as older versions of ragkit made them, written down plainly."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path

import apsw
import numpy as np

from ragkit.types import Entry, Record

_SHARED = """
pragma application_id = 1918986091;
create table indexes(
  id integer primary key, name text not null, fingerprint text not null, dimensions integer,
  complete integer not null default 0, generation integer not null default 0, created real not null,
  unique(name, fingerprint)
) strict;
create table meta(
  index_id integer not null, key text not null, value text not null,
  primary key(index_id, key)
) strict, without rowid;
create table embeddings(
  id integer primary key, key blob not null unique, used real not null, vector blob not null
) strict;
"""

_SINCE_2 = """
create table descriptions(
  key blob primary key, used real not null, text not null
) without rowid;
"""

_INDEX = """
create table documents_1(
  id integer primary key, path unique not null, digest text not null, size integer not null,
  mtime_ns integer not null, language text, outcome text not null, reason not null,
  indexed_at real not null
);
create table chunks_1(
  id integer primary key, document integer not null, position integer not null,
  embedding integer, words integer
) strict;
create index chunks_1_document on chunks_1(document, position);
create index chunks_1_embedding on chunks_1(embedding) where embedding is not null;
create table texts_1(
  id integer primary key, start integer not null, "end" integer not null,
  start_line integer not null, end_line integer not null, context not null, text not null
);
create virtual table words_1 using fts5(
  words, content='', contentless_delete=1, detail=none, tokenize="ascii tokenchars '_\x1f'"
);
create virtual table terms_1 using fts5vocab(words_1, instance);
create virtual table codes_1 using vec0(id integer primary key, code int8[{d}]
distance_metric=cosine);
"""


def make(
    path: Path,
    version: int,
    name: str,
    fingerprint: str,
    dimensions: int,
    files: Sequence[tuple[Record, Sequence[Entry]]],
) -> None:
    """A complete index of these files in a new database of this version, 1 or 2."""
    package = find_spec("sqlite_vec")
    assert package
    assert package.origin
    database = apsw.Connection(str(path))
    database.enable_load_extension(True)
    database.load_extension(str(Path(package.origin).with_name("vec0")), "sqlite3_vec_init")
    database.pragma("page_size", 8192)
    database.pragma("journal_mode", "wal")
    with database:
        database.execute(_SHARED + (_SINCE_2 if version > 1 else ""))
        database.execute(_INDEX.format(d=dimensions))
        database.execute(
            "insert into indexes values(1, ?, ?, ?, 1, 1, 1.0)", (name, fingerprint, dimensions)
        )
        for row, (record, entries) in enumerate(files, 1):
            _write(database, row, record, entries)
        database.pragma("user_version", version)
    database.close()


def _write(
    database: apsw.Connection, document: int, record: Record, entries: Sequence[Entry]
) -> None:
    database.execute(
        "insert into documents_1 values(?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (
            document,
            record.path,
            record.digest,
            record.size,
            record.mtime_ns,
            record.language,
            record.outcome,
            record.reason,
            record.indexed_at,
        ),
    )
    for entry in entries:
        chunk, words = entry.chunk, (entry.words or "").split()
        assert entry.vector is not None
        sql = "insert or ignore into embeddings(key, used, vector) values(?, 0.0, ?)"
        new = database.execute(sql + " returning id", (entry.key, entry.vector.tobytes())).get
        found = database.execute("select id from embeddings where key = ?", (entry.key,)).get
        if new and entry.vector.any():
            code = np.rint(entry.vector * (127 / np.abs(entry.vector).max())).astype(np.int8)
            sql = "insert into codes_1(id, code) values(?, vec_int8(?))"
            database.execute(sql, (new, code.tobytes()))
        database.execute(
            "insert into chunks_1(document, position, embedding, words) values(?, ?, ?, ?)",
            (document, chunk.index, found, len(words)),
        )
        row = database.last_insert_rowid()
        places = (chunk.start, chunk.end, chunk.start_line, chunk.end_line)
        sql = "insert into texts_1 values(?, ?, ?, ?, ?, ?, ?)"
        database.execute(sql, (row, *places, chunk.context, chunk.text))
        terms = [w if n == 1 else f"{w}\x1f{n}" for w, n in Counter(words).items()]
        sql = "insert into words_1(rowid, words) values(?, ?)"
        database.execute(sql, (row, " ".join(terms)))
