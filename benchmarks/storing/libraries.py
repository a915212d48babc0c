"""Libraries that hold an index in memory and write it as one file: faiss, hnswlib, usearch."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from benchmarks.storing.system import BATCH, DOCUMENT, SHARDS, System, Unsuited, ids_of

if TYPE_CHECKING:
    from benchmarks.storing.system import Floats

TRAINED_ON = 60
"""Rows for each inverted list whose centre is learnt."""


def lists_for(rows: int) -> int:
    """Inverted lists: about the square root of the rows."""
    return max(64, int(rows**0.5))


def allowed(rows: int, shards: int) -> Any:
    """A mask of the rows that a filter lets through."""
    import numpy as np

    return np.arange(rows) // DOCUMENT % SHARDS < shards


class Faiss(System):
    """An index made by faiss's factory; inner product of unit rows is their cosine."""

    package = "faiss-cpu"
    imports = ("numpy", "faiss")
    kind: ClassVar[str]

    def build(self) -> None:
        import faiss
        import numpy as np

        data = self.data
        kind = self.kind.format(lists=lists_for(len(data)))
        index = faiss.index_factory(data.dimensions, kind, faiss.METRIC_INNER_PRODUCT)
        if not index.is_trained:
            count = min(len(data), TRAINED_ON * lists_for(len(data)))
            drawn = np.random.default_rng(0).choice(len(data), count, replace=False)
            index.train(np.asarray(data.vectors[np.sort(drawn)]))
        for first in range(0, len(data), BATCH):
            index.add(np.asarray(data.vectors[first : first + BATCH]))
        faiss.write_index(index, self._path)

    def open(self, writable: bool) -> None:
        import faiss

        faiss.omp_set_num_threads(1)
        self.index = faiss.read_index(self._path)
        self.masks: dict[int, Any] = {}

    def search(self, query: Floats, limit: int, shards: int | None = None) -> Any:
        among = None if shards is None else self._among(shards)
        return self.index.search(query[None], limit, params=self._parameters(among))[1][0]

    def rows(self, answer: Any) -> list[int]:
        return [row for row in answer.tolist() if row >= 0]

    def save(self) -> None:
        import faiss

        faiss.write_index(self.index, self._path)

    def _parameters(self, among: Any) -> Any:
        import faiss

        return None if among is None else faiss.SearchParameters(sel=among)

    def _among(self, shards: int) -> Any:
        """A selector, made once: it stands for what an application would keep at hand."""
        import faiss
        import numpy as np

        if shards not in self.masks:
            bits = np.packbits(allowed(len(self.data), shards), bitorder="little")
            selector = faiss.IDSelectorBitmap(len(self.data), faiss.swig_ptr(bits))
            self.masks[shards] = (selector, bits)
        return self.masks[shards][0]

    @property
    def _path(self) -> str:
        return str(self.folder / "index.faiss")


class Flat(Faiss):
    """All vectors, compared one by one."""

    name = "faiss Flat"
    kind = "Flat"

    def replace(self, document: int, vectors: Floats) -> None:
        """In place: the index is an array."""
        import faiss
        import numpy as np

        rows = ids_of(document)
        held = faiss.rev_swig_ptr(self.index.get_xb(), self.index.ntotal * self.index.d)
        held.reshape(-1, self.index.d)[rows[0] : rows[-1] + 1] = np.asarray(vectors)


class Hnsw(Faiss):
    name = "faiss HNSW32"
    kind = "HNSW32,Flat"
    efforts = (16, 32, 64, 128, 256, 512, 1024)
    effort_name = "efSearch"

    def _parameters(self, among: Any) -> Any:
        import faiss

        return faiss.SearchParametersHNSW(efSearch=self.effort, sel=among)


class Ivf(Faiss):
    """Vectors of int8 in inverted lists; the effort is how many of 1,000 lists are read."""

    name = "faiss IVF,SQ8"
    kind = "IVF{lists},SQ8"
    efforts = (20, 50, 100, 200, 400, 600)
    effort_name = "‰ of lists"

    def open(self, writable: bool) -> None:
        import faiss

        super().open(writable)
        if writable:
            faiss.extract_index_ivf(self.index).set_direct_map_type(faiss.DirectMap.Hashtable)

    def replace(self, document: int, vectors: Floats) -> None:
        import faiss
        import numpy as np

        rows = np.array(ids_of(document), np.int64)
        # a selector of an array: the direct map knows where each row lies
        if self.index.remove_ids(faiss.IDSelectorArray(rows)) != len(rows):
            raise Unsuited("rows cannot be replaced")
        self.index.add_with_ids(np.asarray(vectors), rows)

    def _parameters(self, among: Any) -> Any:
        import faiss

        nprobe = max(1, lists_for(len(self.data)) * self.effort // 1000)
        return faiss.SearchParametersIVF(nprobe=nprobe, sel=among)


class IvfFlat(Ivf):
    name = "faiss IVF,Flat"
    kind = "IVF{lists},Flat"


class Hnswlib(System):
    name = "hnswlib"
    package = "hnswlib"
    imports = ("numpy", "hnswlib")
    efforts = (16, 32, 64, 128, 256, 512, 1024)
    effort_name = "ef"

    def build(self) -> None:
        import hnswlib
        import numpy as np

        data = self.data
        self.index = hnswlib.Index("ip", data.dimensions)
        self.index.init_index(
            len(data) + 1000, M=16, ef_construction=200, allow_replace_deleted=True
        )
        for first in range(0, len(data), BATCH):
            piece = np.asarray(data.vectors[first : first + BATCH])
            self.index.add_items(piece, np.arange(first, first + len(piece)))
        self.save()

    def open(self, writable: bool) -> None:
        import hnswlib

        self.index = hnswlib.Index("ip", self.data.dimensions)
        self.index.load_index(self._path, allow_replace_deleted=True)
        self.index.set_num_threads(1)

    def search(self, query: Floats, limit: int, shards: int | None = None) -> Any:
        self.index.set_ef(max(self.effort, limit))
        if shards is None:
            return self.index.knn_query(query, limit)[0][0]
        last = shards

        def lets_through(row: int) -> bool:
            return row // DOCUMENT % SHARDS < last

        try:
            return self.index.knn_query(query, limit, filter=lets_through)[0][0]
        except RuntimeError as error:  # fewer than `limit` were met on the way
            raise Unsuited("fewer rows are found than asked for") from error

    def rows(self, answer: Any) -> list[int]:
        return answer.tolist()  # type: ignore[no-any-return]

    def replace(self, document: int, vectors: Floats) -> None:
        """The same labels: their points move in the graph."""
        import numpy as np

        self.index.add_items(np.asarray(vectors), ids_of(document), num_threads=1)

    def save(self) -> None:
        self.index.save_index(self._path)

    @property
    def _path(self) -> str:
        return str(self.folder / "index.hnsw")


class Usearch(System):
    """Vectors of float16; the file is read as a whole, not mapped."""

    name = "usearch f16"
    package = "usearch"
    imports = ("numpy", "usearch.index")
    efforts = (32, 64, 128, 256, 512, 1024)
    effort_name = "expansion"
    kind: ClassVar[str] = "f16"

    def build(self) -> None:
        import numpy as np

        self.index = self._new()
        for first in range(0, len(self.data), BATCH):
            piece = np.array(self.data.vectors[first : first + BATCH])
            self.index.add(np.arange(first, first + len(piece)), piece, threads=2)
        self.save()

    def open(self, writable: bool) -> None:
        self.index = self._new()
        self.index.load(self._path)

    def search(self, query: Floats, limit: int, shards: int | None = None) -> Any:
        if shards is not None:
            raise Unsuited("no filters")
        self.index.expansion_search = self.effort
        return self.index.search(query, limit, threads=1).keys

    def rows(self, answer: Any) -> Sequence[int]:
        return answer.tolist()  # type: ignore[no-any-return]

    def replace(self, document: int, vectors: Floats) -> None:
        import numpy as np

        rows = np.array(ids_of(document))
        self.index.remove(rows)
        self.index.add(rows, np.array(vectors), threads=1)

    def save(self) -> None:
        self.index.save(self._path)

    def _new(self) -> Any:
        from usearch.index import Index

        shape = {"connectivity": 16, "expansion_add": 128}
        return Index(ndim=self.data.dimensions, metric="ip", dtype=self.kind, **shape)

    @property
    def _path(self) -> str:
        return str(self.folder / "index.usearch")


class UsearchInt8(Usearch):
    name = "usearch i8"
    kind = "i8"


SYSTEMS: tuple[type[System], ...] = (Flat, Ivf, IvfFlat, Hnsw, Hnswlib, Usearch, UsearchInt8)
