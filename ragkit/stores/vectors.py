"""Embeddings as they are stored, by what was embedded, and the exact comparison with them.

A row is int8 with a scale of its own, or float32 where that is asked for. A search looks at few of
them: `codes` and `scan` say at which.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import islice
from typing import TYPE_CHECKING, Any

import apsw

from ragkit.errors import StoreError, StoreMismatch
from ragkit.stores.connection import query
from ragkit.types import Entry

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from ragkit.stores.database import Precision
    from ragkit.stores.scan import Candidates
    from ragkit.types import Vector, Vectors

BATCH = 4_096
"""Rows that are compared at once where all are."""


FIRST, FIRST_EACH = 40, 4
"""Candidates that are read in any case: so many, and so many more for each row that is wanted."""

MISSED = 0.001
"""Of the best rows, the share that may be missed because not all candidates are read."""

LARGEST = 1e15
"""Of a value in a vector: the square of its length, with room for 4,096 such, is a float32."""


def checked(vector: Vector, dimensions: int | None, where: str) -> Vector:
    """The vector as float32; one that is next to nothing as zeros, which are like nothing.

    Raises StoreMismatch for another length, StoreError for NaN, ∞ and what comes near it.
    """
    import numpy as np

    with np.errstate(over="ignore"):
        vector = np.ascontiguousarray(vector, np.float32)
    if vector.shape != (dimensions,):
        raise StoreMismatch(
            f"{where}: a vector of shape {vector.shape} in an index of {dimensions} dimensions",
            remedy="run `ragkit index --rebuild`",
        )
    largest = float(np.abs(vector).max())
    if not largest <= LARGEST:
        what = f"values beyond {LARGEST:g}" if largest < float("inf") else "NaN or infinity"
        raise StoreError(f"{where}: a vector with {what}", remedy="check the embedding model")
    return vector if largest * LARGEST >= 1 else np.zeros_like(vector)


def key_of(entry: Entry) -> bytes:
    """What the entry's vector is stored under: its own key, or else a hash of the vector."""
    if entry.key is not None or entry.vector is None:
        return entry.key or b""
    import hashlib  # rarely needed, and slow to load

    return b"vector:" + hashlib.sha256(entry.vector.tobytes()).digest()


def packed(vector: Vector, precision: Precision) -> bytes:
    """A row as it is stored: d int8 and a float32 that they are multiplied by, or d float32.

    The largest value becomes ±127, so each is off by at most a 254th of it.
    """
    import numpy as np

    if precision == "float32":
        return vector.tobytes()
    scale = np.float32(np.abs(vector).max() / 127)
    codes = np.rint(vector / scale if scale else vector).astype(np.int8)
    return codes.tobytes() + scale.tobytes()


def unpacked(rows: Sequence[bytes], dimensions: int) -> Vectors:
    """Stored rows → (n, d) float32; each may be of either precision."""
    import numpy as np

    lengths = {len(row) for row in rows}
    if lengths == {dimensions + 4}:
        table = np.frombuffer(b"".join(rows), np.uint8).reshape(len(rows), -1)
        scales = np.ascontiguousarray(table[:, dimensions:]).view(np.float32)
        vectors: Vectors = table[:, :dimensions].view(np.int8) * scales
        return vectors
    if len(lengths) == 2:
        return np.concatenate([unpacked([row], dimensions) for row in rows])
    return np.frombuffer(b"".join(rows), np.float32).reshape(len(rows), dimensions)


_STORED = "key, id, length(vector)"


def keep(
    connection: apsw.Connection,
    rows: Mapping[bytes, Vector],
    precision: Precision,
    now: float,
) -> dict[bytes, int]:
    """Store vectors under their keys; equal keys once. The id of each key.

    A row of int8 gives way to one of float32, and not the other way round. Raises StoreMismatch
    where a key is that of a vector of another length, which stays as it is.
    """
    connection.executemany(
        "insert into embeddings(key, used, vector) values(?, ?, ?) on conflict(key) do update "
        "set vector = excluded.vector where length(excluded.vector) = 4 * (length(vector) - 4)",
        [(key, now, packed(vector, precision)) for key, vector in rows.items()],
    )
    found = {key: (row, length) for key, row, length in _by_keys(connection, _STORED, list(rows))}
    for key, vector in rows.items():
        if found[key][1] not in (len(vector) + 4, 4 * len(vector)):
            raise StoreMismatch(
                f"a text has a vector of {len(vector)} dimensions, and one of another number under "
                "the same key",
                remedy="remove the file, then run `ragkit index`",
            )
    return {key: row for key, (row, _) in found.items()}


def known(
    connection: apsw.Connection, keys: Sequence[bytes], dimensions: int, precision: Precision
) -> dict[bytes, Vector]:
    """The vectors of those keys that are stored, at this precision or a better one."""
    rows = [
        (key, row)
        for key, row in _by_keys(connection, "key, vector", keys)
        if len(row) == 4 * dimensions or (precision == "int8" and len(row) == dimensions + 4)
    ]
    vectors = unpacked([row for _, row in rows], dimensions)
    vectors.flags.writeable = False
    return {key: vector for (key, _), vector in zip(rows, vectors, strict=True)}


def used_by(connection: apsw.Connection, index: int) -> tuple[int, set[int]]:
    """How many embeddings an index uses, and the lengths of their rows."""
    rows = query(
        connection,
        "select length(vector), count(*) from embeddings where id in "
        f"(select embedding from chunks_{index}) group by 1",
    )
    return sum(count for _, count in rows), {length for length, _ in rows}


def between(
    connection: apsw.Connection, index: int, first: bytes | None, end: bytes | None
) -> list[tuple[bytes, bytes]]:
    """Keys from `first` on and below `end`, ascending, and rows of what an index uses."""
    rows = query(
        connection,
        "select key, vector from embeddings e where key >= ? and (?2 is null or key < ?2) and "
        f"exists (select 1 from chunks_{index} where embedding = e.id) order by key",
        (first or b"", end),
    )
    return [(key, vector) for key, vector in rows if len(key) == 16]


def alike(rows: Sequence[tuple[bytes, bytes]], dimensions: int) -> list[tuple[bytes, bytes]]:
    """Rows of both precisions as int8."""
    return [
        (key, row if len(row) == dimensions + 4 else packed(unpacked([row], dimensions)[0], "int8"))
        for key, row in rows
    ]


def _by_keys(
    connection: apsw.Connection, columns: str, keys: Sequence[bytes]
) -> Iterator[tuple[Any, ...]]:
    for start in range(0, len(keys), 500):
        some = keys[start : start + 500]
        marks = ",".join("?" * len(some))
        yield from query(
            connection, f"select {columns} from embeddings where key in ({marks})", some
        )


def let_go(connection: apsw.Connection, embeddings: Iterable[int], now: float) -> None:
    """Embeddings that no chunk of an index uses any more: kept, those let go first pruned first."""
    connection.executemany(
        f"update embeddings set used = {now!r} where id = ?", [(e,) for e in embeddings]
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


def best(
    connection: apsw.Connection, some: Candidates, vector: Vector, limit: int
) -> dict[int, float]:
    """Of these embeddings the `limit` nearest, and those that tie with the last: id → cosine.

    They are read from the likeliest on, until hardly any of the rest can be among the best.
    """
    import numpy as np

    order = np.argsort(-some.likeness)
    certain = FIRST + FIRST_EACH * limit
    first, rest = order[:certain], order[certain:]
    first = first[np.argsort(some.ids[first])]  # neighbours on the disk one after another
    found, cosines = _compared(connection, some.ids[first], vector)
    if len(rest) and len(found) == len(first):
        likeness = some.likeness.astype(np.float64)
        rest = rest[: _hopeful(likeness[first], cosines, likeness[rest], limit)]
    if len(rest):
        more = _compared(connection, np.sort(some.ids[rest]), vector)
        found, cosines = np.concatenate((found, more[0])), np.concatenate((cosines, more[1]))
    chosen = _highest(cosines, limit)
    return dict(zip(found[chosen].tolist(), cosines[chosen].tolist(), strict=True))


def _hopeful(
    likeness: NDArray[np.float64],
    cosines: NDArray[np.float64],
    others: NDArray[np.float64],
    limit: int,
) -> int:
    """How many of the others, by their likeness and best first, are worth reading.

    Those whose cosines are known say how these follow from likeness, and how far they stray from
    that. What the others can be expected to bring into the best `limit` is added up from the last
    one on, each by the Chernoff bound of a normal distribution, as far as that is less than MISSED
    of the limit.
    """
    import numpy as np

    apart = likeness - likeness.mean()
    slope = max(0.0, float(apart @ cosines) / (float(apart @ apart) or 1.0))
    expected = cosines.mean() - slope * likeness.mean()
    strays = float((cosines - slope * likeness).std()) or 1e-9
    least = np.partition(cosines, len(cosines) - limit)[len(cosines) - limit]
    short = np.maximum((least - expected - slope * others) / strays, 0)
    missed = np.cumsum(np.exp(short[::-1] ** 2 / -2)) / 2
    return len(others) - int(np.searchsorted(missed, MISSED * limit, side="right"))


def _compared(
    connection: apsw.Connection, ids: NDArray[np.int32], vector: Vector
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Those of the embeddings that are not zero, in their order, and their cosines."""
    if not len(ids):
        return _cosines([], vector)
    sql = "select e.id, e.vector from carray(?) c cross join embeddings e on e.id = c.value"
    return _cosines(connection.execute(sql, (apsw.carray(ids),)).fetchall(), vector)


def best_of_all(
    connection: apsw.Connection,
    index: int,
    vector: Vector,
    limit: int,
    among: NDArray[np.bool_] | None = None,
) -> dict[int, float]:
    """As `best`, of every embedding that is listed, or of those that are among."""
    import numpy as np

    kept = np.empty(0, np.int64), np.empty(0, np.float64)
    rows = connection.execute(
        f"select e.id, e.vector from codes_{index}_rowids r join embeddings e on e.id = r.rowid"
    )
    while some := list(islice(rows, BATCH)):
        if among is not None:
            some = [row for row in some if row[0] < len(among) and among[row[0]]]
        more = _cosines(some, vector)
        found, cosines = np.concatenate((kept[0], more[0])), np.concatenate((kept[1], more[1]))
        chosen = _highest(cosines, limit)
        kept = found[chosen], cosines[chosen]
    return dict(zip(kept[0].tolist(), kept[1].tolist(), strict=True))


def _cosines(
    rows: Sequence[tuple[Any, ...]], vector: Vector
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Ids and cosines of (id, stored row); zero rows are left out."""
    import numpy as np

    ids = np.array([row[0] for row in rows], np.int64)
    vectors = _directions([row[1] for row in rows], len(vector))
    # not a matrix product: its rounding depends on where a row stands, and equal rows must tie
    dots = np.einsum("ij,j->i", vectors, vector).astype(np.float64)
    lengths = np.sqrt(np.einsum("ij,ij->i", vectors, vectors).astype(np.float64))
    some = lengths > 0
    return ids[some], np.clip(dots[some] / (lengths[some] * np.linalg.norm(vector)), -1, 1)


def _directions(rows: Sequence[bytes], dimensions: int) -> Vectors:
    """Stored rows → (n, d) float32, each of any length: a cosine does not ask for its scale."""
    import numpy as np

    if all(len(row) == dimensions + 4 for row in rows):
        table = np.frombuffer(b"".join(rows), np.int8).reshape(len(rows), dimensions + 4)
        codes: Vectors = table[:, :dimensions].astype(np.float32)
        return codes
    return unpacked(rows, dimensions)


def _highest(values: NDArray[np.float64], limit: int) -> NDArray[np.intp]:
    """Places of the `limit` highest values and of those that tie with the last of them."""
    import numpy as np

    if len(values) <= limit:
        return np.arange(len(values))
    least = np.partition(values, len(values) - limit)[len(values) - limit]
    return np.flatnonzero(values >= least)
