"""Vectors to search: made by rule, or by ragkit's embedded model of real text.

Vectors by rule have what makes real ones hard: a common direction, topics of very unequal size,
documents within topics, chunks within documents, and variance that falls with the dimension by a
power law, along other axes in each topic, so that few directions count near a point. A random
rotation hides those axes. How much alike two vectors are, and the local intrinsic dimension
(Amsaleg et al. 2015, the maximum-likelihood estimate over 100 neighbours), are measured and told.
"""

from __future__ import annotations

import json
import os
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.storing.system import DOCUMENT, SHARDS, SHARES

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

SETS = {
    "768-10k": (10_000, 768),
    "768-100k": (100_000, 768),
    "768-1m": (1_000_000, 768),
    "384-100k": (100_000, 384),
    "real-256": (100_000, 256),
}
"""Rows and dimensions by name; of the real ones, at most so many rows."""

QUERIES = 200
NEAREST = 100
"""Neighbours of a query that are known."""
FRESH = 12
"""Documents that take the place of others in the measurement of updates."""

TOPICS = 300
COMMON, TOPIC, PAGE, CHUNK, NOISE = 0.5, 0.5, 0.5, 0.62, 0.12
"""Lengths of the parts of a vector before it is scaled to 1."""
ASKED = 0.35
"""Length of what a query has beside a chunk of a document that is there."""
FALL = 0.6
"""Power of the fall of a part's standard deviation with the dimension."""
STEP = 1_000
"""Documents made at one time."""


@dataclass(frozen=True, slots=True)
class Data:
    """Vectors, questions and the right answers."""

    name: str
    vectors: NDArray[np.float32]
    """(n, d), unit rows; read from the disk as needed."""
    queries: NDArray[np.float32]
    """(q, d), unit rows."""
    truth: NDArray[np.int64]
    """(q, 100): rows by cosine, best first."""
    among: dict[str, NDArray[np.int64]]
    """The same of the rows that a filter lets through, by the names in `SHARES`."""
    fresh: NDArray[np.float32]
    """(12, 20, d): documents that are not among `vectors`."""
    told: dict[str, Any]
    """Rows, dimensions, and how the vectors lie."""

    @property
    def dimensions(self) -> int:
        return int(self.vectors.shape[1])

    def __len__(self) -> int:
        return len(self.vectors)


def load(folder: Path) -> Data:
    """What `make` wrote below a folder."""
    import numpy as np

    among = {share: np.load(folder / f"among-{shards}.npy") for share, shards in SHARES.items()}
    return Data(
        folder.name,
        np.load(folder / "vectors.npy", mmap_mode="r"),
        np.load(folder / "queries.npy"),
        np.load(folder / "truth.npy"),
        among,
        np.load(folder / "fresh.npy"),
        json.loads((folder / "told.json").read_text("utf-8")),
    )


def make(name: str, folder: Path) -> Data:
    """Make a set below a folder, unless it is there already, and load it."""
    import numpy as np

    if not (folder / "told.json").exists():
        folder.mkdir(parents=True, exist_ok=True)
        rows, dimensions = SETS[name]
        if name.startswith("real"):
            from benchmarks.storing import real

            vectors, queries, fresh = real.make(folder, rows)
        else:
            vectors, queries, fresh = by_rule(rows, dimensions, folder / "vectors.npy")
        np.save(folder / "queries.npy", queries)
        np.save(folder / "fresh.npy", fresh)
        _answer(folder, vectors, queries)
        told = {"rows": len(vectors), "dimensions": vectors.shape[1], **describe(vectors, queries)}
        (folder / "told.json").write_text(json.dumps(told), encoding="utf-8")
    return load(folder)


def by_rule(
    rows: int, dimensions: int, path: Path, seed: int = 5
) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.float32]]:
    """Vectors written to a file, questions and fresh documents. `rows` is a multiple of 20."""
    import numpy as np

    rng = np.random.default_rng(seed)
    world = _World(rng, dimensions)
    documents = rows // DOCUMENT
    topics = world.choose(documents + FRESH)
    pages = rng.standard_normal((documents + FRESH, dimensions), dtype=np.float32)
    out = np.lib.format.open_memmap(path, "w+", np.float32, (rows, dimensions))
    for first in range(0, documents, STEP):
        last = min(first + STEP, documents)
        made = world.chunks(topics[first:last], pages[first:last], DOCUMENT)
        out[first * DOCUMENT : last * DOCUMENT] = made
    out.flush()
    fresh = world.chunks(topics[documents:], pages[documents:], DOCUMENT)
    asked = rng.choice(documents, QUERIES, replace=documents < QUERIES)
    queries = world.chunks(topics[asked], pages[asked], 1)
    beside = rng.standard_normal(queries.shape, dtype=np.float32) * world.falling
    queries = unit(queries + ASKED * (beside @ world.rotation))
    return out, queries, fresh.reshape(FRESH, DOCUMENT, dimensions)


class _World:
    """The topics, and what vectors are made of."""

    def __init__(self, rng: np.random.Generator, dimensions: int) -> None:
        import numpy as np

        self.rng = rng
        falling = np.arange(1, dimensions + 1, dtype=np.float32) ** -FALL
        self.falling = falling / np.linalg.norm(falling)
        self.axes = np.stack([rng.permutation(dimensions) for _ in range(TOPICS)])
        self.centres = self._normal((TOPICS, dimensions)) * self.falling
        self.common = unit(self._normal((1, dimensions)) * self.falling)
        square = rng.standard_normal((dimensions, dimensions))
        self.rotation = np.linalg.qr(square)[0].astype(np.float32)

    def choose(self, count: int) -> NDArray[np.int64]:
        """A topic for each document: few topics have most of them."""
        import numpy as np

        sizes = 1 / np.arange(1, TOPICS + 1)
        return self.rng.choice(TOPICS, count, p=sizes / sizes.sum())

    def chunks(
        self, topics: NDArray[np.int64], pages: NDArray[np.float32], each: int
    ) -> NDArray[np.float32]:
        """Unit rows, `each` for every document."""
        import numpy as np

        spread = self.falling[self.axes[topics]]  # (documents, d)
        base = COMMON * self.common + TOPIC * self.centres[topics] + PAGE * pages * spread
        shape = (len(topics), each, pages.shape[1])
        made = self._normal(shape)
        made *= CHUNK * spread[:, None, :]
        made += base[:, None, :]
        made += NOISE / np.sqrt(np.float32(shape[2])) * self._normal(shape)
        return unit(made.reshape(-1, shape[2]) @ self.rotation)

    def _normal(self, shape: tuple[int, ...]) -> NDArray[np.float32]:
        import numpy as np

        return self.rng.standard_normal(shape, dtype=np.float32)


def unit(vectors: NDArray[np.float32]) -> NDArray[np.float32]:
    """The rows scaled to length 1."""
    import numpy as np

    lengths: NDArray[np.float32] = np.linalg.norm(vectors, axis=1, keepdims=True)
    lengths[lengths == 0] = 1
    return vectors / lengths


def _answer(folder: Path, vectors: NDArray[np.float32], queries: NDArray[np.float32]) -> None:
    """Write the right answers, with and without filters."""
    import numpy as np

    shards = np.arange(len(vectors)) // DOCUMENT % SHARDS
    best = {"truth": _Best(len(queries))} | {f"among-{n}": _Best(len(queries)) for n in (1, 10)}
    for first in range(0, len(vectors), 50_000):
        cosines = queries @ np.asarray(vectors[first : first + 50_000]).T
        here = shards[first : first + 50_000]
        for name, kept in best.items():
            rows = np.flatnonzero(here < (SHARDS if name == "truth" else int(name[6:])))
            kept.add(cosines[:, rows], rows + first)
    for name, kept in best.items():
        np.save(folder / f"{name}.npy", kept.rows)


class _Best:
    """The best rows seen so far, of each query."""

    def __init__(self, queries: int) -> None:
        import numpy as np

        self.rows = np.empty((queries, 0), np.int64)
        self.cosines = np.empty((queries, 0), np.float32)

    def add(self, cosines: NDArray[np.float32], rows: NDArray[np.int64]) -> None:
        import numpy as np

        keep = min(NEAREST, len(rows))
        found = np.argpartition(-cosines, keep - 1, axis=1)[:, :keep]
        every = np.concatenate([self.cosines, np.take_along_axis(cosines, found, 1)], axis=1)
        ids = np.concatenate([self.rows, rows[found]], axis=1)
        order = np.argsort(-every, axis=1, kind="stable")[:, :NEAREST]
        self.cosines = np.take_along_axis(every, order, 1)
        self.rows = np.take_along_axis(ids, order, 1)


def describe(vectors: NDArray[np.float32], queries: NDArray[np.float32]) -> dict[str, float]:
    """How much alike vectors are: of pairs, of queries and their neighbours; the local dimension.

    Neighbours are looked for among 100,000 rows at most.
    """
    import numpy as np

    rng = np.random.default_rng(1)
    drawn = vectors[np.sort(rng.choice(len(vectors), min(2_000, len(vectors)), replace=False))]
    pairs = (drawn @ drawn.T)[np.triu_indices(len(drawn), 1)]
    cosines = np.partition(queries @ np.asarray(vectors[:100_000]).T, -NEAREST, axis=1)
    nearest = -np.sort(-cosines[:, -NEAREST:], axis=1)
    distances = np.sqrt(np.maximum(2 - 2 * nearest.astype(np.float64), 1e-12))
    local = -1 / np.mean(np.log(distances[:, :-1] / distances[:, -1:]), axis=1)
    return {
        "cosine of two": float(pairs.mean()),
        "its deviation": float(pairs.std()),
        "cosine of the first": float(nearest[:, 0].mean()),
        "cosine of the 10th": float(nearest[:, 9].mean()),
        "cosine of the 100th": float(nearest[:, 99].mean()),
        "local dimension": float(np.median(local)),
    }


def one_thread() -> None:
    """Keep libraries to one thread, where they ask the environment; before they are imported."""
    for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
        os.environ[name] = "1"


if __name__ == "__main__":
    make(sys.argv[1], Path(sys.argv[2]))
