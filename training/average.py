"""Average tables of one vocabulary that were fitted from the same first rows.

Runs with other settings end at rows that differ by little more than noise, so that their mean is
better than each (Wortsman et al. 2022, "Model soups").

Usage: python training/average.py TABLE TABLE … OUT
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from table import write

from ragkit.models.embedded import StaticEmbedder


def read(path: Path) -> tuple[NDArray[np.float32], NDArray[np.float32], list[str]]:
    """Rows (n, d), query weights (n,) and pieces of a table."""
    header = StaticEmbedder(path).header
    body = path.read_bytes()[-header.body_bytes :]
    n, d = header.rows, header.dimensions
    rows = np.frombuffer(body, np.int8, n * d).reshape(n, d).astype(np.float32)
    documents, queries = np.frombuffer(body, "<f4", 2 * n, n * d).reshape(2, n)
    weights = queries / np.where(documents == 0, 1, documents)
    return rows * documents[:, None], weights, body[n * (d + 8) :].decode().split("\n")


def main() -> None:
    *sources, out = map(Path, sys.argv[1:])
    tables = [read(path) for path in sources]
    header = StaticEmbedder(sources[0]).header
    # of equal mean length, so that each run has the same say
    rows = [table[0] / np.linalg.norm(table[0], axis=1).mean() for table in tables]
    weights = np.exp(np.mean([np.log(np.maximum(table[1], 1e-6)) for table in tables], axis=0))
    pieces = tables[0][2]
    whole, continuing = pieces[: header.whole], pieces[header.whole :]
    write(out, whole, continuing, np.mean(rows, axis=0), weights, damping=header.damping)


if __name__ == "__main__":
    main()
