"""Vector databases that run in the process: LanceDB, Chroma, Qdrant's local mode, milvus-lite."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from benchmarks.storing.system import BATCH, System, ids_of, shard

if TYPE_CHECKING:
    from benchmarks.storing.system import Floats


EF = 400
"""Chroma's `ef_search`."""


class Lance(System):
    """A column of float32, and an HNSW index over int8 of it in inverted lists."""

    name = "LanceDB"
    package = "lancedb"
    imports = ("numpy", "lancedb")
    efforts = (32, 64, 128, 256, 512)
    effort_name = "ef"

    def build(self) -> None:
        import lancedb
        import numpy as np

        rows, first = len(self.data), np.asarray(self.data.vectors[:BATCH])
        table = lancedb.connect(self.folder).create_table("v", self._batch(range(BATCH), first))
        for at in range(BATCH, rows, BATCH):
            piece = np.asarray(self.data.vectors[at : at + BATCH])
            table.add(self._batch(range(at, at + len(piece)), piece))
        parts = max(1, rows // 250_000)
        table.create_index(metric="cosine", index_type="IVF_HNSW_SQ", num_partitions=parts)

    def open(self, writable: bool) -> None:
        import lancedb

        self.table = lancedb.connect(self.folder).open_table("v")

    def search(self, query: Floats, limit: int, shards: int | None = None) -> Any:
        asked = self.table.search(query).distance_type("cosine").nprobes(8)
        asked = asked.ef(max(self.effort, 2 * limit)).refine_factor(2)
        if shards is not None:
            asked = asked.where(f"shard < {shards}", prefilter=True)
        return asked.limit(limit).select(["id", "_distance"]).to_arrow()

    def rows(self, answer: Any) -> list[int]:
        return answer["id"].to_pylist()  # type: ignore[no-any-return]

    def replace(self, document: int, vectors: Floats) -> None:
        """Two versions of the table: those that are deleted, those that are added."""
        rows = ids_of(document)
        self.table.delete(f"id >= {rows[0]} and id <= {rows[-1]}")
        self.table.add(self._batch(rows, vectors))

    def _batch(self, rows: Sequence[int], vectors: Floats) -> Any:
        import numpy as np
        import pyarrow as pa

        rows = rows[: len(vectors)]
        flat = pa.array(np.ascontiguousarray(vectors).reshape(-1))
        columns = {
            "id": pa.array(rows, pa.int64()),
            "shard": pa.array([shard(row) for row in rows], pa.int32()),
            "vector": pa.FixedSizeListArray.from_arrays(flat, self.data.dimensions),
        }
        return pa.table(columns)


class Chroma(System):
    """HNSW of float32, and a SQLite file beside it; how hard it looks is said once, at its making:
    as it comes (100), it finds too little among 100,000 rows."""

    name = "Chroma"
    package = "chromadb"
    imports = ("numpy", "chromadb")
    batch = 5_000
    """It refuses more rows at one time."""

    def build(self) -> None:
        import numpy as np

        self.client = self._client()
        shape: Any = {"hnsw": {"space": "cosine", "ef_search": EF}}
        self.table = self.client.create_collection("vectors", configuration=shape)
        for first in range(0, len(self.data), self.batch):
            piece = np.array(self.data.vectors[first : first + self.batch])
            self._put(range(first, first + len(piece)), piece)

    def open(self, writable: bool) -> None:
        self.client = self._client()
        self.table = self.client.get_collection("vectors")

    def search(self, query: Floats, limit: int, shards: int | None = None) -> Any:
        where: Any = None if shards is None else {"shard": {"$lt": shards}}
        return self.table.query(
            query_embeddings=[query], n_results=limit, where=where, include=["distances"]
        )

    def rows(self, answer: Any) -> list[int]:
        return [int(row) for row in answer["ids"][0]]

    def replace(self, document: int, vectors: Floats) -> None:
        self._put(ids_of(document), vectors)

    def _put(self, rows: Sequence[int], vectors: Floats) -> None:
        names = [str(row) for row in rows]
        self.table.upsert(
            ids=names, embeddings=vectors, metadatas=[{"shard": shard(row)} for row in rows]
        )

    def _client(self) -> Any:
        import chromadb
        from chromadb.config import Settings

        settings = Settings(anonymized_telemetry=False)
        return chromadb.PersistentClient(str(self.folder), settings=settings)


class Qdrant(System):
    """Its local mode: all in memory, compared one by one, kept in a SQLite file."""

    name = "Qdrant local"
    package = "qdrant-client"
    imports = ("numpy", "qdrant_client")
    batch = 5_000

    def build(self) -> None:
        import numpy as np
        from qdrant_client import models

        self.open(writable=True)
        shape = models.VectorParams(size=self.data.dimensions, distance=models.Distance.COSINE)
        self.client.create_collection("v", vectors_config=shape)
        for first in range(0, len(self.data), self.batch):
            piece = np.asarray(self.data.vectors[first : first + self.batch])
            self._put(range(first, first + len(piece)), piece)
        self.close()

    def open(self, writable: bool) -> None:
        from qdrant_client import QdrantClient

        self.client = QdrantClient(path=str(self.folder))

    def search(self, query: Floats, limit: int, shards: int | None = None) -> Any:
        return self.client.query_points(
            "v", query=query, limit=limit, query_filter=self._where(shards), with_payload=False
        )

    def rows(self, answer: Any) -> list[int]:
        return [point.id for point in answer.points]

    def replace(self, document: int, vectors: Floats) -> None:
        self._put(ids_of(document), vectors)

    def close(self) -> None:
        self.client.close()

    def _put(self, rows: Sequence[int], vectors: Floats) -> None:
        from qdrant_client import models

        payloads: Any = [{"shard": shard(row)} for row in rows]
        batch = models.Batch(ids=list(rows), vectors=vectors.tolist(), payloads=payloads)
        self.client.upsert("v", batch)

    def _where(self, shards: int | None) -> Any:
        from qdrant_client import models

        if shards is None:
            return None
        below = models.FieldCondition(key="shard", range=models.Range(lt=shards))
        return models.Filter(must=[below])


class Milvus(System):
    """HNSW of float32."""

    name = "milvus-lite"
    package = "milvus-lite"
    imports = ("numpy", "pymilvus")
    efforts = (32, 64, 128, 256, 512)
    effort_name = "ef"
    batch = 2_000

    def build(self) -> None:
        import numpy as np
        from pymilvus import DataType, MilvusClient

        self.client = MilvusClient(self._path)
        schema = self.client.create_schema(auto_id=False, enable_dynamic_field=False)
        schema.add_field("id", DataType.INT64, is_primary=True)
        schema.add_field("shard", DataType.INT64)
        schema.add_field("vector", DataType.FLOAT_VECTOR, dim=self.data.dimensions)
        index = self.client.prepare_index_params()
        shape = {"M": 16, "efConstruction": 200}
        index.add_index("vector", index_type="HNSW", metric_type="COSINE", params=shape)
        self.client.create_collection("v", schema=schema, index_params=index)
        for first in range(0, len(self.data), self.batch):
            piece = np.asarray(self.data.vectors[first : first + self.batch])
            self._put(range(first, first + len(piece)), piece)
        self.save()
        self.client.load_collection("v")
        self.client.close()

    def open(self, writable: bool) -> None:
        from pymilvus import MilvusClient

        self.client = MilvusClient(self._path)
        self.client.load_collection("v")

    def search(self, query: Floats, limit: int, shards: int | None = None) -> Any:
        return self.client.search(
            "v",
            [query.tolist()],
            filter="" if shards is None else f"shard < {shards}",
            limit=limit,
            search_params={"metric_type": "COSINE", "params": {"ef": max(self.effort, limit)}},
            anns_field="vector",
        )

    def rows(self, answer: Any) -> list[int]:
        return [hit["id"] for hit in answer[0]]

    def replace(self, document: int, vectors: Floats) -> None:
        self._put(ids_of(document), vectors)

    def save(self) -> None:
        self.client.flush("v")

    def close(self) -> None:
        self.client.close()

    def _put(self, rows: Sequence[int], vectors: Floats) -> None:
        kept = [
            {"id": row, "shard": shard(row), "vector": vector}
            for row, vector in zip(rows, vectors, strict=True)
        ]
        self.client.upsert("v", kept)

    @property
    def _path(self) -> str:
        return str(self.folder / "v.db")


SYSTEMS: tuple[type[System], ...] = (Lance, Chroma, Qdrant, Milvus)
