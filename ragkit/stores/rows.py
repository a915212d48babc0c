"""Documents and chunks as rows; each function works inside its caller's transaction."""

from __future__ import annotations

import json
from collections.abc import Hashable, Iterable, Mapping, Sequence

import apsw

from ragkit.stores import filed, words
from ragkit.stores.codes import State
from ragkit.stores.connection import query, value
from ragkit.stores.texts import packed, unpacked
from ragkit.types import Chunk, Entry, Record

SPARE_EMBEDDINGS = 50_000
"""Embeddings that are kept for no chunk, at least; beyond, as many as there are in use."""


def to_sql(text: str) -> str | bytes:
    """Text as SQLite can hold it: what is no Unicode (a path's odd bytes) becomes a blob."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-8", "surrogatepass")
    return text


def from_sql(value: str | bytes) -> str:
    """The text that `to_sql` was given."""
    return value if isinstance(value, str) else value.decode("utf-8", "surrogatepass")


def advance(connection: apsw.Connection, index: int) -> int:
    """Tell readers that chunks changed; the generation that begins with this."""
    sql = "update indexes set generation = generation + 1 where id = ? returning generation"
    return int(value(connection, sql, (index,)))


def state(connection: apsw.Connection, index: int, file: Hashable = None) -> State:
    """Which index it is, of which file, and its generation."""
    sql = "select created, generation from indexes where id = ?"
    [(created, generation)] = query(connection, sql, (index,))
    return State(index, created, generation, file)


def read_records(
    connection: apsw.Connection, index: int, paths: Sequence[str] | None = None
) -> dict[str, Record]:
    """Every file that was looked at, by path; or those of some paths, and of what is below."""
    columns = "path, digest, size, mtime_ns, language, outcome, reason, indexed_at"
    sql = f"select {columns} from documents_{index}"
    if paths is None:
        rows = query(connection, sql)
    else:
        some = f"{sql} where path = ? or (path > ? and path < ?) or (path > ? and path < ?)"
        rows = [row for path in paths for row in query(connection, some, _below(path))]
    records = (
        Record(from_sql(path), digest, size, mtime, language, outcome, from_sql(reason), at)
        for path, digest, size, mtime, language, outcome, reason, at in rows
    )
    return {record.path: record for record in records}


def _below(path: str) -> list[str | bytes]:
    """A path, and the bounds of what lies below it, as texts and as the blobs of odd names."""
    first, end = (f"{path}{sign}".encode("utf-8", "surrogatepass") for sign in "/0")  # 0 follows /
    return [to_sql(path), to_sql(from_sql(first)), to_sql(from_sql(end)), first, end]


def write_record(connection: apsw.Connection, index: int, record: Record) -> int:
    """Remember a file's record; the id of its row."""
    path = to_sql(record.path)
    values = (
        record.digest,
        record.size,
        record.mtime_ns,
        record.language,
        record.outcome,
        to_sql(record.reason),
        record.indexed_at,
    )
    row: int = value(
        connection,
        f"insert into documents_{index}(path, digest, size, mtime_ns, language, outcome, reason, "
        "indexed_at) values(?, ?, ?, ?, ?, ?, ?, ?) on conflict(path) do update set "
        "(digest, size, mtime_ns, language, outcome, reason, indexed_at) = (?, ?, ?, ?, ?, ?, ?) "
        "returning id",
        (path, *values, *values),
    )
    filed.log(connection, index, [row])
    return row


def document_ids(connection: apsw.Connection, index: int, paths: Iterable[str]) -> list[int]:
    """The rows of those paths that are known."""
    return list(ids_by_path(connection, index, paths).values())


def ids_by_path(connection: apsw.Connection, index: int, paths: Iterable[str]) -> dict[str, int]:
    """The rows of those paths that are known, by path."""
    sql = f"select id from documents_{index} where path = ?"
    found = {path: value(connection, sql, (to_sql(path),)) for path in paths}
    return {path: row for path, row in found.items() if row is not None}


def remove_records(connection: apsw.Connection, index: int, documents: Sequence[int]) -> None:
    """Forget documents; their chunks are gone already."""
    filed.log(connection, index, documents)
    connection.executemany(f"delete from documents_{index} where id = ?", [(d,) for d in documents])


def embeddings_of(connection: apsw.Connection, index: int, documents: Sequence[int]) -> set[int]:
    """The embeddings that the documents' chunks use."""
    found = query(
        connection,
        f"select distinct embedding from chunks_{index} where embedding is not null "
        "and document in (select value from json_each(?))",
        (json.dumps(list(documents)),),
    )
    return {row[0] for row in found}


def remove_chunks(connection: apsw.Connection, index: int, documents: Sequence[int]) -> list[int]:
    """Delete all chunks of documents; their ids, which are free now."""
    rows = query(
        connection,
        f"delete from chunks_{index} where document in (select value from json_each(?)) "
        "returning id, words, embedding",
        (json.dumps(list(documents)),),
    )
    words.remove(connection, index, [chunk for chunk, count, _ in rows if count is not None])
    ids = sorted(chunk for chunk, _, _ in rows)
    if ids:
        used = {embedding for _, _, embedding in rows if embedding is not None}
        filed.log(connection, index, documents, ids, used)
    connection.executemany(f"delete from texts_{index} where id = ?", [(i,) for i in ids])
    return ids


def add_chunks(
    connection: apsw.Connection,
    index: int,
    document: int,
    entries: Sequence[tuple[Entry, int | None]],
    free: Sequence[int],
) -> None:
    """Store a document's chunks, each with the id of its embedding.

    Ids in `free` are taken first, so that ids stay dense: searches keep arrays by id.
    """
    last = value(connection, f"select coalesce(max(id), 0) from chunks_{index}")
    fresh = range(max([last, *free]) + 1, max([last, *free]) + 1 + len(entries))
    ids = [*free, *fresh][: len(entries)]
    chunks, texts, lexical = [], [], []
    for i, (entry, embedding) in zip(ids, entries, strict=True):
        chunk = entry.chunk
        count = None
        if entry.words is not None:
            split = words.split(entry.words)
            count = len(split)
            lexical.append((i, split))
        chunks.append((i, document, chunk.index, embedding, count))
        lines = (chunk.start, chunk.end, chunk.start_line, chunk.end_line)
        texts.append((i, *lines, to_sql(chunk.context), packed(chunk.text)))
    connection.executemany(f"insert into chunks_{index} values(?, ?, ?, ?, ?)", chunks)
    connection.executemany(f"insert into texts_{index} values(?, ?, ?, ?, ?, ?, ?)", texts)
    words.add(connection, index, document, lexical)


def read_chunks(connection: apsw.Connection, index: int, ids: Sequence[int]) -> list[Chunk]:
    """The chunks of these ids, in the order of the ids."""
    rows = query(
        connection,
        f"""
        select c.id, d.path, c.position, t.text, t.start, t."end", t.start_line, t.end_line,
          t.context
        from json_each(?) j join chunks_{index} c on c.id = j.value
          join texts_{index} t on t.id = c.id join documents_{index} d on d.id = c.document""",
        (json.dumps(list(ids)),),
    )
    found = {
        i: Chunk(from_sql(path), at, unpacked(text), start, end, first, last, from_sql(context))
        for i, path, at, text, start, end, first, last, context in rows
    }
    return [found[i] for i in ids]


def chunks_of(connection: apsw.Connection, index: int, path: str) -> list[Chunk]:
    """A file's chunks in order; [] for an unknown path."""
    rows = query(
        connection,
        f"select c.id from documents_{index} d join chunks_{index} c on c.document = d.id "
        "where d.path = ? order by c.position",
        (to_sql(path),),
    )
    return read_chunks(connection, index, [row[0] for row in rows])


def users(connection: apsw.Connection, index: int, embeddings: Iterable[int]) -> dict[int, int]:
    """The chunks that use any of the embeddings, and which: chunk → embedding."""
    sql = (
        f"select id, embedding from chunks_{index} "
        "where embedding in (select value from json_each(?))"
    )
    return dict(query(connection, sql, (json.dumps(list(embeddings)),)))


def ranked(
    connection: apsw.Connection, index: int, scores: Mapping[int, float], limit: int
) -> list[tuple[Chunk, float]]:
    """The best `limit` of these chunks with their scores, best first; ties by (path, start)."""
    if len(scores) > limit:
        least = sorted(scores.values(), reverse=True)[limit - 1]
        scores = {i: score for i, score in scores.items() if score >= least}
    if len(scores) > 2 * limit:  # ties without end: their texts need not be read to order them
        scores = {i: scores[i] for i in _by_place(connection, index, scores)[:limit]}
    ids = list(scores)
    found = zip(read_chunks(connection, index, ids), scores.values(), strict=True)
    return sorted(found, key=lambda hit: (-hit[1], hit[0].path, hit[0].start))[:limit]


def _by_place(connection: apsw.Connection, index: int, scores: Mapping[int, float]) -> list[int]:
    """The chunks by score, best first, ties by (path, start)."""
    places = {
        i: (from_sql(path), start)
        for i, path, start in query(
            connection,
            f"""
            select c.id, d.path, t.start
            from json_each(?) j join chunks_{index} c on c.id = j.value
              join texts_{index} t on t.id = c.id join documents_{index} d on d.id = c.document""",
            (json.dumps(list(scores)),),
        )
    }
    return sorted(scores, key=lambda i: (-scores[i], places[i]))


def prune(connection: apsw.Connection, indexes: Sequence[int]) -> None:
    """Drop embeddings that no index uses, those that were let go first, down to the bound."""
    unused = _unused(indexes)
    count = value(connection, "select count(*) from embeddings")
    if count <= SPARE_EMBEDDINGS:
        return
    spare = value(connection, f"select count(*) from embeddings where {unused}")
    surplus = spare - max(SPARE_EMBEDDINGS, count - spare)
    if surplus > 0:
        connection.execute(
            "delete from embeddings where id in "
            f"(select id from embeddings where {unused} order by used, id limit ?)",
            (surplus,),
        )


def forget_unused(connection: apsw.Connection, indexes: Sequence[int]) -> None:
    """Drop all embeddings that none of the indexes uses."""
    connection.execute(f"delete from embeddings where {_unused(indexes)}")


def _unused(indexes: Sequence[int]) -> str:
    """The condition that no index uses an embedding."""
    return " and ".join(
        [
            "true",
            *(
                f"not exists (select 1 from chunks_{i} where embedding = embeddings.id)"
                for i in indexes
            ),
        ]
    )


_CHECKS = {
    "chunks without their text": "select count(*) from chunks_{i} where id not in "
    "(select id from texts_{i})",
    "texts without their chunk": "select count(*) from texts_{i} where id not in "
    "(select id from chunks_{i})",
    "chunks of no document": "select count(*) from chunks_{i} where document not in "
    "(select id from documents_{i})",
    "chunks whose words are missing": "select count(*) from chunks_{i} where words is not null "
    "and id not in (select id from words_{i}_docsize)",
    "words of no chunk": "select count(*) from words_{i}_docsize where id not in "
    "(select id from chunks_{i} where words is not null)",
    "chunks whose embedding is missing": "select count(*) from chunks_{i} "
    "where embedding is not null and embedding not in (select id from embeddings)",
    "embeddings that cannot be found": "select count(*) from embeddings "
    "where id in (select embedding from chunks_{i}) and vector <> zeroblob(length(vector)) "
    "and id not in (select id from codes_{i})",
    "codes of no chunk": "select count(*) from codes_{i} where id not in "
    "(select embedding from chunks_{i} where embedding is not null)",
}
"""What is wrong → how many of it."""


def violations(connection: apsw.Connection, index: int, dimensions: int | None) -> list[str]:
    """Where an index's tables disagree, a sentence each."""
    found = []
    for what, sql in _CHECKS.items():
        if dimensions is None and "codes_" in sql:
            continue
        count = value(connection, sql.format(i=index))
        if count:
            found.append(f"{count} {what}")
    return found
