"""Write and read the table that `ragkit.models.embedded.static` reads, and measure how it does."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ragkit.models.embedded import static, wordpiece


def write(
    path: Path,
    whole: Sequence[str],
    continuing: Sequence[str],
    rows: NDArray[np.float32],
    query_weights: NDArray[np.float32],
    *,
    damping: float,
) -> static.Header:
    """Round `rows` (n, d) to int8 with one scale each, and write the table.

    A row's vector in a query is that of a document times its `query_weights` (n,).
    """
    scales = np.abs(rows).max(axis=1) / 127
    rounded = np.rint(rows / np.where(scales == 0, 1, scales)[:, None]).astype(np.int8)
    vocabulary = "\n".join([*whole, *continuing]).encode()
    body = b"".join(
        [
            rounded.tobytes(),
            scales.astype("<f4").tobytes(),
            (scales * query_weights).astype("<f4").tobytes(),
            vocabulary,
        ]
    )
    header = static.Header(
        tokeniser=wordpiece.VERSION,
        sha256=hashlib.sha256(body).hexdigest(),
        dimensions=rows.shape[1],
        whole=len(whole),
        continuing=len(continuing),
        damping=damping,
        vocabulary_bytes=len(vocabulary),
    )
    line = json.dumps(dataclasses.asdict(header)).encode()
    # so that the sections begin at a multiple of 64 bytes, as numpy likes its arrays
    padding = -(len(static.MAGIC) + len(line) + 1) % 64
    path.write_bytes(static.MAGIC + line + b" " * padding + b"\n" + body)
    return header
