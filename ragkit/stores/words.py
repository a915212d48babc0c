"""Words as they are indexed, and how FTS5 is told of them.

FTS5's own bm25() has k1 and b built in, so it serves as the inverted list only. A word that a chunk
holds n > 1 times is indexed as `word␟n`, once: with `detail=none` that keeps the count in half the
space of positions, and reading a list costs one row a chunk.

Two tables go with it. `lengths_i` has the length and the document of each chunk, in blocks of
`BLOCK` ids, so that a search need not read a row a chunk to know them; `worded_i` is the log by
which readers follow (see `changes`).
"""

from __future__ import annotations

import struct
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING

import apsw

from ragkit.stores import changes
from ragkit.stores.connection import query, value

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

LONGEST = 200
"""Characters of a word that are indexed; what a longer word has after them is not told apart."""

BLOCK = 500
"""Ids of a row of `lengths_i`: two rows fill a page."""

LOGGED = 512
"""Chunks that one row of the log has at most; of a larger change it says only that it was."""

KEPT = 64
"""Rows that the log keeps."""

MERGED = 24
"""Pages of FTS5 that every write merges, and one for each chunk: about what a document of 20 makes
in the end. FTS5 alone merges many at once, now and then."""

MARK = "\x1f"
"""Between a word and its count: the unit separator; `split` cuts at it, so no word contains it."""

_PLACE = struct.Struct("<ii")  # of a chunk: its words and its document, which is 0 for no chunk


def split(words: str) -> list[str]:
    """Words as they are indexed: ASCII folds its case; NUL and what is no Unicode is replaced."""
    found = words.encode("utf-8", "replace").translate(_FOLDED).decode().split(" ")
    if len(max(found, key=len)) > LONGEST:
        found = [word[:LONGEST] for word in found]
    return list(filter(None, found))


# One pass over the bytes of a chunk, since this is where most of the time would go.
_FOLDED = bytes.maketrans(
    b"ABCDEFGHIJKLMNOPQRSTUVWXYZ\t\n\v\f\r\x1c\x1d\x1e\x1f\0",
    b"abcdefghijklmnopqrstuvwxyz         \x1a",
)


def terms(words: Sequence[str]) -> str:
    """What FTS5 is given for a chunk's words: ["a", "b", "a"] → "a␟2 b"."""
    counts = Counter(words)
    return " ".join([word if n == 1 else f"{word}{MARK}{n}" for word, n in counts.items()])


def counted(terms: str) -> dict[str, int]:
    """A chunk's words and how often it holds each, of its `terms`."""
    found = (term.partition(MARK) for term in terms.split(" ") if term)
    return {word: int(count or 1) for word, _, count in found}


def distinct(words: Sequence[str]) -> list[str]:
    """The different words of a query, as they are indexed, in order."""
    return list(dict.fromkeys(word for text in words for word in split(text)))


def numbers(text: str | None) -> NDArray[np.int64]:
    """ "3,1,2" → [3, 1, 2]"""
    import numpy as np

    return np.fromstring(text or "", np.int64, sep=",")


# ── writing, in the caller's transaction, after the generation was advanced ──


def add(
    connection: apsw.Connection, index: int, document: int, chunks: Sequence[tuple[int, list[str]]]
) -> None:
    """Index a document's chunks: ids that have no words yet, and the words of each."""
    if not chunks:
        return
    told = [(i, terms(words)) for i, words in chunks]
    table = f"words_{index}"
    connection.executemany(f"insert into {table}(rowid, words) values(?, ?)", told)
    merge = f"insert into {table}({table}, rank) values('merge', ?)"
    connection.execute(merge, (MERGED + len(chunks),))
    _place(connection, index, {i: (len(words), document) for i, words in chunks})
    ids, lengths = [i for i, _ in chunks], [len(words) for _, words in chunks]
    text = "\n".join(text for _, text in told) if len(chunks) <= LOGGED else None
    _log(connection, index, (document, None, _packed(ids), _packed(lengths), text))


def remove(connection: apsw.Connection, index: int, chunks: Sequence[int]) -> None:
    """Forget the words of chunks that have some."""
    if not chunks:
        return
    connection.executemany(f"delete from words_{index} where rowid = ?", [(i,) for i in chunks])
    _place(connection, index, dict.fromkeys(chunks, (0, 0)))
    text = "" if len(chunks) <= LOGGED else None
    _log(connection, index, (None, _packed(chunks), None, None, text))


def restart(connection: apsw.Connection, index: int) -> None:
    """Let readers read an index anew that was cleared or filled otherwise."""
    _log(connection, index, (None, None, None, None, None))


def place_all(connection: apsw.Connection, index: int) -> None:
    """Fill `lengths_i` from the chunks of an older file."""
    sql = f"select id, words, document from chunks_{index} where words is not null order by id"
    some: dict[int, tuple[int, int]] = {}
    for i, length, document in query(connection, sql):
        some[i] = (length, document)
    _place(connection, index, some)


def optimize(connection: apsw.Connection, index: int) -> None:
    """Put the segments of a list together, where the small ones are a third of all.

    Each costs a search a look for each of its words. That what is put together grows by a third
    each time bounds what it costs in all.
    """
    sql = f"select count(*) from words_{index}_idx group by segid order by 1"
    sizes = [pages for (pages,) in query(connection, sql)]
    if len(sizes) > 1 and sum(sizes[:-1]) * 3 >= sum(sizes):
        connection.execute(f"insert into words_{index}(words_{index}) values('optimize')")


def _place(connection: apsw.Connection, index: int, places: dict[int, tuple[int, int]]) -> None:
    table = f"lengths_{index}"
    for block, ids in _blocks(places):
        old = value(connection, f"select places from {table} where block = ?", (block,))
        data = bytearray(old or BLOCK * _PLACE.size)
        for i in ids:
            _PLACE.pack_into(data, (i - block * BLOCK) * _PLACE.size, *places[i])
        connection.execute(f"insert or replace into {table} values(?, ?)", (block, bytes(data)))


def _blocks(ids: Iterable[int]) -> Iterator[tuple[int, list[int]]]:
    by_block: dict[int, list[int]] = {}
    for i in ids:
        by_block.setdefault(i // BLOCK, []).append(i)
    return iter(by_block.items())


def _log(
    connection: apsw.Connection,
    index: int,
    change: tuple[int | None, bytes | None, bytes | None, bytes | None, str | None],
) -> None:
    log = f"worded_{index}"
    connection.execute(
        f"insert into {log}(generation, document, gone, added, lengths, terms) "
        "values(?, ?, ?, ?, ?, ?)",
        (_generation(connection, index), *change),
    )
    changes.trim(connection, log, KEPT)
    # readers follow no more chunks than that: what is before them is of no use
    sizes = "coalesce(length(gone), 0) + coalesce(length(added), 0)"
    connection.execute(
        f"delete from {log} where id < (select max(id) from {log}) and id <= (select max(id) from "
        f"(select id, sum({sizes}) over (order by id desc) as bytes from {log}) where bytes > ?)",
        (8 * LOGGED,),
    )


def _generation(connection: apsw.Connection, index: int) -> int:
    sql = "select generation from indexes where id = ?"
    return int(value(connection, sql, (index,)))


def _packed(numbers: Sequence[int]) -> bytes:
    return struct.pack(f"<{len(numbers)}i", *numbers)
