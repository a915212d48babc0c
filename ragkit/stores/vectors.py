"""Vectors: float32 rows are the truth, int8 rows in vec0 find the candidates.

A scan over int8 rows reads a quarter of the bytes; exact cosines of `candidates(limit)` rows then
decide, so that the scores are exact and the best ten are those of an exact search.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import apsw

from ragkit.errors import StoreError, StoreMismatch
from ragkit.stores.connection import query
from ragkit.types import Entry

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from ragkit.types import Vector, Vectors


def candidates(limit: int) -> int:
    """How many rows of the int8 scan are scored exactly for the best `limit`."""
    return 2 * limit + 32


def checked(vector: Vector, dimensions: int | None, where: str) -> Vector:
    """The vector as float32. Raises StoreMismatch for another length, StoreError for NaN or ∞."""
    import numpy as np

    vector = np.ascontiguousarray(vector, np.float32)
    if vector.shape != (dimensions,):
        raise StoreMismatch(
            f"{where}: a vector of shape {vector.shape} in an index of {dimensions} dimensions",
            remedy="run `ragkit index --rebuild`",
        )
    if not np.isfinite(vector).all():
        raise StoreError(
            f"{where}: a vector with NaN or infinity", remedy="check the embedding model"
        )
    return vector


def key_of(entry: Entry) -> bytes:
    """What the entry's vector is stored under: its own key, or else a hash of the vector."""
    if entry.key is not None or entry.vector is None:
        return entry.key or b""
    import hashlib  # rarely needed, and slow to load

    return b"vector:" + hashlib.sha256(entry.vector.tobytes()).digest()


def quantised(vectors: Vectors) -> NDArray[np.int8]:
    """(n, d) float32 → (n, d) int8: each row scaled to fill the range; none may be all zeros."""
    import numpy as np

    scale = 127 / np.abs(vectors).max(axis=1, keepdims=True)
    codes: NDArray[np.int8] = np.rint(vectors * scale).astype(np.int8)
    return codes


def keep(connection: apsw.Connection, rows: Mapping[bytes, Vector], now: float) -> dict[bytes, int]:
    """Store vectors under their keys; equal keys once. The id of each key."""
    connection.executemany(
        "insert or ignore into embeddings(key, used, vector) values(?, ?, ?)",
        [(key, now, vector.tobytes()) for key, vector in rows.items()],
    )
    return dict(_by_keys(connection, "key, id", list(rows)))


def known(connection: apsw.Connection, keys: Sequence[bytes]) -> dict[bytes, Vector]:
    """The vectors of those keys that are stored."""
    import numpy as np

    rows = _by_keys(connection, "key, vector", keys)
    return {key: np.frombuffer(vector, np.float32) for key, vector in rows}


def _by_keys(
    connection: apsw.Connection, columns: str, keys: Sequence[bytes]
) -> Iterator[tuple[Any, ...]]:
    for start in range(0, len(keys), 500):
        some = keys[start : start + 500]
        marks = ",".join("?" * len(some))
        yield from query(
            connection, f"select {columns} from embeddings where key in ({marks})", some
        )


def used(connection: apsw.Connection, index: int, embeddings: Iterable[int]) -> set[int]:
    """Those of the embeddings that some chunk of the index uses."""
    rows = query(
        connection,
        f"select value from json_each(?) where exists "
        f"(select 1 from chunks_{index} where embedding = value)",
        (json.dumps(list(embeddings)),),
    )
    return {embedding for (embedding,) in rows}


def list_codes(connection: apsw.Connection, index: int, embeddings: Iterable[int]) -> None:
    """Make embeddings findable in the index; a zero vector is like nothing and stays out."""
    import numpy as np

    rows = query(
        connection,
        "select e.id, e.vector from json_each(?) j join embeddings e on e.id = j.value",
        (json.dumps(sorted(embeddings)),),
    )
    if not rows:
        return
    ids = np.array([row[0] for row in rows])
    vectors = np.frombuffer(b"".join([row[1] for row in rows]), np.float32).reshape(len(rows), -1)
    some = vectors.any(axis=1)
    codes = quantised(vectors[some])
    connection.executemany(
        f"insert into codes_{index}(id, code) values(?, vec_int8(?))",
        [(int(i), code.tobytes()) for i, code in zip(ids[some], codes, strict=True)],
    )


def unlist_codes(
    connection: apsw.Connection, index: int, embeddings: Iterable[int], now: float
) -> None:
    """Embeddings that no chunk of the index uses any more: kept, but not found."""
    gone = [(embedding,) for embedding in embeddings]
    connection.executemany(f"delete from codes_{index} where id = ?", gone)
    connection.executemany(f"update embeddings set used = {now!r} where id = ?", gone)


@dataclass(frozen=True, slots=True)
class Block:
    """Codes that vec0 keeps together."""

    ids: NDArray[np.int64]
    rows: NDArray[np.int8]
    """(n, d)"""
    lengths: NDArray[np.float32]
    """Of the rows; at least 1."""


def blocks(connection: apsw.Connection, index: int, dimensions: int) -> Iterator[Block]:
    """All codes of the index, read where vec0 keeps them: a quarter of the time of its search."""
    import numpy as np

    room = np.empty((0, dimensions), np.float32)
    for validity, rowids, codes in connection.execute(
        f"select c.validity, c.rowids, v.vectors from codes_{index}_chunks c "
        f'join codes_{index}_vector_chunks00 v on v."rowid" = c.chunk_id'
    ):
        live = np.unpackbits(np.frombuffer(validity, np.uint8), bitorder="little").view(np.bool_)
        rows = np.frombuffer(codes, np.int8).reshape(-1, dimensions)[live]
        room = _floats(rows, room)
        lengths = np.sqrt(np.einsum("ij,ij->i", room[: len(rows)], room[: len(rows)]))
        yield Block(np.frombuffer(rowids, np.int64)[live], rows, np.maximum(lengths, 1))


def nearest(
    connection: apsw.Connection,
    codes: Iterable[Block],
    vector: Vector,
    limit: int,
    among: NDArray[np.int64] | None = None,
) -> list[tuple[int, float]]:
    """Embeddings by cosine, best first: id and exact cosine; with `among`, only of these ids.

    Those that tie with the last are given, too, as far as they are among the candidates.
    """
    import numpy as np

    length = float(np.linalg.norm(vector))
    found = _scan(codes, vector, candidates(limit), among) if length else []
    if not found:
        return []
    rows = query(
        connection,
        "select e.id, e.vector from json_each(?) j join embeddings e on e.id = j.value",
        (json.dumps(found),),
    )
    vectors = np.frombuffer(b"".join([row[1] for row in rows]), np.float32).reshape(len(rows), -1)
    # not a matrix product: its rounding depends on where a row stands, and equal rows must tie
    dots = (vectors * vector).sum(axis=1, dtype=np.float64)
    cosines = np.clip(dots / (np.linalg.norm(vectors, axis=1) * length), -1, 1)
    least = np.sort(cosines)[-min(limit, len(rows))]
    order = [i for i in np.argsort(-cosines, kind="stable") if cosines[i] >= least]
    return [(rows[i][0], float(cosines[i])) for i in order]


def _scan(
    codes: Iterable[Block], vector: Vector, count: int, among: NDArray[np.int64] | None
) -> list[int]:
    """The embeddings whose codes are most like the vector, `count` or all, in no order."""
    import numpy as np

    ids, scores = [np.empty(0, np.int64)], [np.empty(0, np.float32)]
    wanted = None if among is None else _marked(among)
    room = np.empty((0, len(vector)), np.float32)
    for block in codes:
        some, rows, lengths = block.ids, block.rows, block.lengths
        if wanted is not None:
            admitted = wanted[np.minimum(some, len(wanted) - 1)]
            some, rows, lengths = some[admitted], rows[admitted], lengths[admitted]
        room = _floats(rows, room)
        ids.append(some)
        scores.append(room[: len(rows)] @ vector / lengths)
    all_ids, all_scores = np.concatenate(ids), np.concatenate(scores)
    if len(all_ids) > count:
        all_ids = all_ids[np.argpartition(all_scores, -count)[-count:]]
    found: list[int] = all_ids.tolist()
    return found


def _floats(rows: NDArray[np.int8], room: Vectors) -> Vectors:
    """The room, or a larger one, with the rows at its beginning.

    New memory for each block would cost more than what is computed there.
    """
    import numpy as np

    if len(room) < len(rows):
        room = np.empty(rows.shape, np.float32)
    np.copyto(room[: len(rows)], rows)
    return room


def _marked(ids: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Whether an id is one of these, by id; False at the end stands for all beyond."""
    import numpy as np

    marks = np.zeros(int(ids.max()) + 2 if len(ids) else 1, np.bool_)
    marks[ids] = True
    return marks
