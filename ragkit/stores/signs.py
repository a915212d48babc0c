"""Sign bits of vectors, as many as are wanted: vectors that are alike agree in most of them.

Two vectors at an angle of θ differ in the signs of their values, if these are many and of one size,
at about θ/π of the places (Goemans and Williamson 1995; Charikar 2002). Few values tell few angles
apart. So the signs can be those of any number of sums of the values instead: each sum is taken with
signs of its own, in blocks of as many sums as there are values, which are orthogonal to one
another: a Hadamard matrix behind random changes of sign (Ailon and Chazelle 2006; Yu et al. 2016).
Sums also even out values of unequal size. 768 of them tell vectors of 256 values apart about as
well as the signs of 768 values do others.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from ragkit.types import Vectors

    Octets: TypeAlias = NDArray[np.uint8]
    """Eight signs in each, the first in the lowest bit."""

SEED = 5
"""Of the random signs. They are part of the file format, and so is how they are drawn."""


def octets_of(dimensions: int, sums: int) -> int:
    """Bytes of a row's signs."""
    return -(-(sums or dimensions) // 8)


def values(vectors: Vectors, sums: int) -> Vectors:
    """(n, d) → (n, sums) whose signs are kept; for no sums, the vectors as they are.

    Inner products with these values grow with those of the vectors.
    """
    if not sums:
        return vectors
    mixed: Vectors = vectors @ _mixing(vectors.shape[1], sums)
    return mixed


def octets(vectors: Vectors, sums: int) -> Octets:
    """(n, d) → (n, octets_of(d, sums)): a bit is 1 where a value is above 0."""
    import numpy as np

    return np.packbits(values(vectors, sums) > 0, axis=1, bitorder="little")


def unpacked(some: Octets) -> NDArray[np.int8]:
    """(n, octets) → (n, 8 * octets) of 0 and 1."""
    import numpy as np

    return np.unpackbits(some, axis=1, bitorder="little").view(np.int8)


@lru_cache(maxsize=4)
def _mixing(dimensions: int, sums: int) -> Vectors:
    """(d, sums) of ±1: what each value counts in each sum."""
    import numpy as np

    size = 1 << (dimensions - 1).bit_length()
    matrix = np.ones((1, 1), np.float32)
    while len(matrix) < size:  # Sylvester's construction
        matrix = np.block([[matrix, matrix], [matrix, -matrix]])
    # numpy promises that a bit generator's raw numbers stay as they are
    random = np.random.PCG64(SEED)
    blocks = []
    for _ in range(-(-sums // size)):
        raw = np.asarray(random.random_raw(-(-size // 64))).astype("<u8").view(np.uint8)
        changes = np.unpackbits(raw, bitorder="little")[:dimensions].astype(np.float32) * 2 - 1
        blocks.append(changes[:, None] * matrix[:dimensions])
    mixing: Vectors = np.ascontiguousarray(np.concatenate(blocks, axis=1)[:, :sums])
    mixing.flags.writeable = False
    return mixing
