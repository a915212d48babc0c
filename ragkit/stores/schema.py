"""The tables of a database file, and how to tell whose file it is.

One file holds several indexes: several names, and of one name the index that answers and the one
that is being built with other settings. They share two tables:

    embeddings(id, key, used, vector)   every embedded text: vector is the truth, see `vectors`;
                                        key is the hash that finds it again; used is when it was
                                        last let go, for pruning
    descriptions(key, used, text)       what chat models wrote of chunks: key is the hash of all
                                        that they were asked; used is when it was kept, for pruning

and each index i has tables of its own, so that it can be dropped at once:

    documents_i(id, path, …)            one row a file that was looked at
    chunks_i(id, document, position, embedding, words)
                                        narrow: what searches touch. words counts them; NULL is
                                        not searched by words, and embedding NULL not by vector
    texts_i(id, …, text)                wide: read for hits only; id is the chunk's; see `texts`
    words_i                             FTS5; rowid is the chunk's id; see `words`
    terms_i                             the vocabulary of words_i
    lengths_i(block, places)            of `words.BLOCK` ids of chunks: words and document of each
    filed_i(id, …)                      log of the documents that changed, see `filed`
    worded_i(id, generation, …)         log of the chunks whose words changed; see `changes`
    codes_i(id, code)                   vec0, bit[n] or int8[d], as its row of `codings` says; id is
                                        the embedding's; holds exactly the embeddings that a chunk
                                        of i uses and that are not zero
    listed_i(id, generation, embedding, listed)
                                        log: what came into codes_i and left it, see `changes`

VERSION goes up with any change of a table, and `upgrading` brings older files up to it.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import apsw

from ragkit.errors import StoreError
from ragkit.stores import failures

APPLICATION = 0x7261676B
"""`ragk`, in the header of every database of ragkit."""

VERSION = 3
"""Of the tables below, in the header's `user_version`."""

CODINGS = """
create table codings(
  index_id integer primary key, kind text not null, sums integer not null,
  breadth integer not null, rows integer
) strict;
"""

DESCRIPTIONS = """
create table descriptions(
  key blob primary key, used real not null, text not null
) without rowid;
"""

_SHARED = f"""
pragma application_id = {APPLICATION};
pragma user_version = {VERSION};
create table indexes(
  id integer primary key, name text not null, fingerprint text not null, dimensions integer,
  complete integer not null default 0, generation integer not null default 0, created real not null,
  unique(name, fingerprint)
) strict;
create table meta(
  index_id integer not null, key text not null, value text not null,
  primary key(index_id, key)
) strict, without rowid;
{CODINGS}create table embeddings(
  id integer primary key, key blob not null unique, used real not null, vector blob not null
) strict;
{DESCRIPTIONS}
"""

_INDEX = """
create table documents_{i}(
  id integer primary key, path unique not null, digest text not null, size integer not null,
  mtime_ns integer not null, language text, outcome text not null, reason not null,
  indexed_at real not null
);
create table chunks_{i}(
  id integer primary key, document integer not null, position integer not null,
  embedding integer, words integer
) strict;
create index chunks_{i}_document on chunks_{i}(document, position);
create index chunks_{i}_embedding on chunks_{i}(embedding) where embedding is not null;
create table texts_{i}(
  id integer primary key, start integer not null, "end" integer not null,
  start_line integer not null, end_line integer not null, context not null, text not null
);
create virtual table words_{i} using fts5(
  words, content='', contentless_delete=1, detail=none, tokenize="ascii tokenchars '{marks}'"
);
insert into words_{i}(words_{i}, rank) values('automerge', 8); -- as `words` merges before that
create virtual table terms_{i} using fts5vocab(words_{i}, instance);
"""

LISTED = """
create table listed_{i}(
  id integer primary key, generation integer not null, embedding integer, listed integer
) strict;
"""

FILED = """
create table filed_{i}(
  id integer primary key, documents blob not null, chunks blob not null, embeddings blob not null
) strict;
"""

WORDED = """
create table lengths_{i}(block integer primary key, places blob not null) strict;
create table worded_{i}(
  id integer primary key, generation integer not null, document integer,
  gone blob, added blob, lengths blob, terms text
) strict;
"""

CODES = "create virtual table codes_{i} using vec0(id integer primary key, code {column})"

TABLES = (
    *("terms", "words", "lengths", "worded"),
    *("codes", "listed", "texts", "chunks", "filed", "documents"),
)
"""Of one index, in the order in which they can be dropped."""

# Words arrive cut, so every character but white space belongs to one: all of ASCII except letters
# and digits, which FTS5 counts anyway, and NUL, which cannot be written here; and the unit
# separator, which `words` puts between a word and its count.
_MARKS = "\x1f" + "".join(c for c in map(chr, range(1, 128)) if not c.isspace() and not c.isalnum())


@dataclass(frozen=True, slots=True)
class StoredIndex:
    """An index of a database file."""

    id: int
    name: str
    fingerprint: str
    dimensions: int | None
    complete: bool
    """Whether it is the one that answers."""
    created: float
    """Seconds since the epoch."""
    kept: bool = False
    """Whether it was the one that answered, before the one that does."""
    recipe: str = ""
    """The settings that it was made with, as `keep_recipe` was given them; "" where nobody said."""
    instead_of: str = ""
    """Fingerprint of the index from which was gone back to this one; "" where that is not so."""


BUILDING, ANSWERING, KEPT = 0, 1, 2
"""Values of `indexes.complete`. Of one name, one answers and one is kept at most."""


def indexes(connection: apsw.Connection) -> list[StoredIndex]:
    """All indexes of the file, in the order in which they were made."""
    found: Any = connection.execute(
        "select id, name, fingerprint, dimensions, complete, created, "
        "(select value from meta where index_id = id and key = 'recipe'), "
        "(select value from meta where index_id = id and key = 'instead_of') "
        "from indexes order by id"
    )
    return [
        StoredIndex(i, n, f, d, c == ANSWERING, t, c == KEPT, recipe or "", instead or "")
        for i, n, f, d, c, t, recipe, instead in found
    ]


def is_empty(connection: apsw.Connection, path: Path) -> bool:
    """Whether the file has no content yet. Raises StoreError where it is not ours to use."""
    # one snapshot: another process may make the tables between two looks
    connection.execute("begin")
    try:
        application = connection.pragma("application_id")
        version = connection.pragma("user_version")
        tables = connection.execute("select 1 from sqlite_schema").fetchone()
    finally:
        with suppress(apsw.Error):  # an I/O error has ended the transaction already
            connection.execute("rollback")
    if application == APPLICATION:
        if version > VERSION:
            raise failures.too_new(path, version, VERSION)
        return False
    if application or version or tables:
        raise StoreError(
            f"{path}: a database of another program", remedy="give another path for the index"
        )
    return True


def create(connection: apsw.Connection) -> None:
    """The tables that all indexes share; in the caller's transaction."""
    connection.execute(_SHARED)


def create_index(connection: apsw.Connection, index: int, dimensions: int | None) -> None:
    """The tables of one index but its codes; in the caller's transaction."""
    marks = _MARKS.replace("'", "''").replace('"', '""')
    connection.execute(_INDEX.format(i=index, marks=marks))
    connection.execute(WORDED.format(i=index))
    connection.execute(FILED.format(i=index))
    if dimensions is not None:
        connection.execute(LISTED.format(i=index))


def drop_index(connection: apsw.Connection, index: int) -> None:
    """Drop one index's tables; in the caller's transaction."""
    for table in TABLES:
        connection.execute(f"drop table if exists {table}_{index}")
    connection.execute("delete from codings where index_id = ?", (index,))
