"""What an embeddings endpoint answers, checked as far as it can be without knowing the model."""

from __future__ import annotations

from base64 import b64decode
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from ragkit.types import Vectors


class Garbled(ValueError):
    """The answer is not what was asked for."""


def vectors_of(answer: Any, count: int) -> tuple[Vectors, int | None]:
    """Raw vectors (count, d) in the order of the request, and its tokens if they are told.

    Raises Garbled for another number of vectors, for indices that are missing or come twice, and
    for vectors of different sizes. Rows may hold NaN.
    """
    import numpy as np

    items = answer.get("data") if isinstance(answer, Mapping) else None
    if not isinstance(items, list) or not all(isinstance(item, Mapping) for item in items):
        raise Garbled("the answer has no list of vectors")
    if len(items) != count:
        raise Garbled(f"{len(items)} vectors came for {count} texts")
    rows: list[NDArray[np.float32] | None] = [None] * count
    for position, item in enumerate(items):
        index = item.get("index", position)  # some servers leave it out
        if not isinstance(index, int) or not 0 <= index < count or rows[index] is not None:
            raise Garbled(f"the vectors' indices are not 0 to {count - 1}, each once")
        rows[index] = _row(item.get("embedding"))
    sizes = {len(row) for row in rows if row is not None}
    if len(sizes) != 1 or 0 in sizes:
        raise Garbled(f"vectors of different sizes came: {', '.join(map(str, sorted(sizes)))}")
    return np.stack([row for row in rows if row is not None]), _tokens(answer)


def unit(vectors: Vectors, size: int) -> tuple[Vectors, NDArray[np.bool_]]:
    """The first `size` dimensions at unit length (n, size), and which rows have one (n,).

    A row with NaN or infinity, or of zeros, has none, and comes back as zeros.
    """
    import numpy as np

    cut = vectors[:, :size].astype(np.float64)
    with np.errstate(all="ignore"):
        # largest first: squares of large numbers would overflow, those of small ones vanish
        cut /= np.abs(cut).max(axis=1, keepdims=True)
        cut /= np.linalg.norm(cut, axis=1, keepdims=True)
    fine = np.asarray(np.isfinite(cut).all(axis=1) & np.isfinite(vectors).all(axis=1))
    cut[~fine] = 0.0
    return cut.astype(np.float32), fine


def _row(embedding: object) -> NDArray[np.float32]:
    import numpy as np

    try:
        if isinstance(embedding, str):
            return np.frombuffer(b64decode(embedding, validate=True), dtype="<f4")
        row = np.asarray(embedding, dtype=np.float32)  # null becomes NaN
    except (ValueError, TypeError) as error:
        raise Garbled("a vector is neither base64 nor a list of numbers") from error
    if row.ndim != 1:
        raise Garbled("a vector is neither base64 nor a list of numbers")
    return row


def _tokens(answer: Mapping[str, Any]) -> int | None:
    usage = answer.get("usage")
    tokens = usage.get("prompt_tokens") if isinstance(usage, Mapping) else None
    return tokens if isinstance(tokens, int) and tokens > 0 else None
