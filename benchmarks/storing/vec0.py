"""sqlite-vec alone: one virtual table, of one kind of number."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from benchmarks.storing.system import BATCH, System, ids_of, shard

if TYPE_CHECKING:
    from benchmarks.storing.system import Floats


class Vec0(System):
    """float32, cosine."""

    name = "sqlite-vec float32"
    package = "sqlite-vec"
    imports = ("numpy", "apsw", "sqlite_vec")
    follows = True
    column: ClassVar[str] = "float[{d}] distance_metric=cosine"
    taken: ClassVar[str] = "?"

    def build(self) -> None:
        import numpy as np

        self.open(writable=True)
        self.connection.execute("pragma journal_mode=wal")
        column = self.column.format(d=self.data.dimensions)
        self.connection.execute(f"create virtual table v using vec0(v {column}, shard integer)")
        for first in range(0, len(self.data), BATCH):
            piece = np.asarray(self.data.vectors[first : first + BATCH])
            with self.connection:
                self._add(range(first, first + len(piece)), piece)
        self.connection.execute("pragma wal_checkpoint(truncate)")
        self.close()

    def open(self, writable: bool) -> None:
        import apsw
        import sqlite_vec

        self.connection = apsw.Connection(str(self.folder / "vectors.db"))
        self.connection.enable_load_extension(True)
        self.connection.load_extension(sqlite_vec.loadable_path())
        self.connection.execute("pragma synchronous=normal")

    def search(self, query: Floats, limit: int, shards: int | None = None) -> Any:
        among = "" if shards is None else f" and shard < {shards}"
        sql = f"select rowid from v where v match {self.taken} and k = ?{among} order by distance"
        return self.connection.execute(sql, (self._packed(query), limit)).fetchall()

    def rows(self, answer: Any) -> list[int]:
        return [row for (row,) in answer]

    def replace(self, document: int, vectors: Floats) -> None:
        rows = ids_of(document)
        with self.connection:
            self.connection.executemany("delete from v where rowid = ?", [(row,) for row in rows])
            self._add(rows, vectors)

    def close(self) -> None:
        self.connection.close()

    def _add(self, rows: Sequence[int], vectors: Floats) -> None:
        values = [
            (row, self._packed(vector), shard(row))
            for row, vector in zip(rows, vectors, strict=True)
        ]
        sql = f"insert into v(rowid, v, shard) values(?, {self.taken}, ?)"
        self.connection.executemany(sql, values)

    def _packed(self, vector: Floats) -> bytes:
        return vector.tobytes()


class Vec0Int8(Vec0):
    """int8, cosine."""

    name = "sqlite-vec int8"
    column = "int8[{d}] distance_metric=cosine"
    taken = "vec_int8(?)"

    def _packed(self, vector: Floats) -> bytes:
        """By the vector's largest part: a fixed scale would leave most of int8's range unused."""
        import numpy as np

        scale = 127 / np.abs(vector).max()
        return bytes(np.rint(vector * scale).astype(np.int8))


class Vec0Bit(Vec0):
    """Sign bits, Hamming distance."""

    name = "sqlite-vec bit"
    column = "bit[{d}]"
    taken = "vec_bit(?)"

    def _packed(self, vector: Floats) -> bytes:
        import numpy as np

        return np.packbits(vector > 0, bitorder="little").tobytes()


SYSTEMS: tuple[type[System], ...] = (Vec0Int8, Vec0, Vec0Bit)
