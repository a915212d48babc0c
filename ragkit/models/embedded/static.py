"""The model that needs no server: a table with one vector for each token, inside the package.

The vector of a text is the sum of its tokens' rows, each damped by how often its word comes, made
unit length. The table was fitted to texts of code and documentation (`training/`, docs/decisions);
it knows nothing of word order, and is some hundred times as fast as a small transformer.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from ragkit.errors import ModelError
from ragkit.models.embedded import wordpiece
from ragkit.types import Embedded, Kind

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from ragkit.types import Vectors

MAGIC = b"ragkit static table 1\n"
"""First line of the file; a line of JSON follows (see `Header`), then the sections."""

_TABLE = Path(__file__).with_name("static.table")
_BLOCK: Final = 256
"""Texts of one block of a stream: some 20 ms of work."""

_REMEDY = "install ragkit again: pip install --force-reinstall --no-deps ragkit"


@dataclass(frozen=True, slots=True)
class Header:
    """What a table holds. Its sections follow the header at once, in the order of the fields."""

    tokeniser: int
    """`wordpiece.VERSION` that the table was fitted with."""
    sha256: str
    """Of all that follows the header, hex."""
    dimensions: int
    whole: int
    """Pieces that begin a word …"""
    continuing: int
    """… and those inside a word: together the rows."""
    damping: float
    """A run of letters and digits that comes n times counts n ** damping."""
    vocabulary_bytes: int
    """The pieces, UTF-8, one a line. The sections: rows (int8), document scales and query scales
    (float32, one a row; a row's vector is its int8 times its scale), the pieces."""

    @property
    def rows(self) -> int:
        return self.whole + self.continuing

    @property
    def body_bytes(self) -> int:
        return self.rows * (self.dimensions + 8) + self.vocabulary_bytes

    def check(self) -> None:
        """Raises ValueError where no table can be so."""
        sizes = (self.dimensions, self.whole, self.continuing, self.vocabulary_bytes)
        if not all(isinstance(size, int) and size > 0 for size in sizes):
            raise ValueError("a size is not a positive whole number")


class StaticEmbedder:
    """Embeds by table lookup: in process, numpy only. Thread-safe, can be pickled.

    Making one reads a few hundred bytes; the table is opened and checked when the first text
    comes. Raises ModelError where the table is missing, damaged or of another version.
    """

    def __init__(self, table: Path = _TABLE) -> None:
        self._table = table
        self.header, self._body = _read_header(table)

    def __reduce__(self) -> tuple[type[StaticEmbedder], tuple[Path]]:
        return StaticEmbedder, (self._table,)

    @property
    def name(self) -> str:
        return "embedded/static"

    @property
    def fingerprint(self) -> str:
        """The table's sha256 and the tokeniser's version decide every vector."""
        return f"embedded/static:{self.header.sha256}:{wordpiece.VERSION}"

    @property
    def dimensions(self) -> int:
        return self.header.dimensions

    def embed(self, texts: Sequence[str], kind: Kind) -> Vectors:
        """(n, dimensions) float32 of unit rows, in order; zeros for a text without a known word.

        A text's vector does not depend on the other texts. Raises ModelError.
        """
        import numpy as np

        opened = self._opened
        scales = opened.query_scales if kind == "query" else opened.document_scales
        vectors = np.zeros((len(texts), self.dimensions), np.float32)
        for vector, text in zip(vectors, texts, strict=True):
            opened.add(text, scales, vector)
        return vectors

    def stream(self, texts: Sequence[str], kind: Kind) -> Iterator[Embedded]:
        """Blocks of the texts, in order; none is ever cut or fails. Raises ModelError."""
        for start in range(0, len(texts), _BLOCK):
            block = texts[start : start + _BLOCK]
            positions = tuple(range(start, start + len(block)))
            yield Embedded(positions, self.embed(block, kind))

    def close(self) -> None:
        """It holds nothing that would have to be let go."""

    @cached_property
    def _opened(self) -> _Opened:
        return _open(self._table, self.header, self._body)


@dataclass(frozen=True, slots=True)
class _Opened:
    """A table ready for use; its rows are mapped, not read."""

    rows: NDArray[np.int8]
    document_scales: NDArray[np.float32]
    query_scales: NDArray[np.float32]
    tokeniser: wordpiece.WordPiece
    damping: float

    def add(self, text: str, scales: NDArray[np.float32], vector: NDArray[np.float32]) -> None:
        """Write the unit vector of `text` to `vector`, or leave its zeros."""
        import numpy as np

        pieces, counts = self.tokeniser.counts(text)
        ids = np.array(list(chain.from_iterable(pieces)), np.intp)
        if not len(ids):
            return
        times = np.repeat(np.array(counts, np.float32), list(map(len, pieces)))
        weights = scales.take(ids) * times**self.damping
        np.dot(weights, self.rows.take(ids, axis=0).astype(np.float32), out=vector)
        length = np.sqrt(vector.dot(vector))
        if length > 0:
            vector /= length


def _read_header(table: Path) -> tuple[Header, int]:
    """The header of a table, and where in the file its sections begin."""
    try:
        with table.open("rb") as file:
            magic, line = file.readline(len(MAGIC)), file.readline(4096)
            body = file.tell()
            size = file.seek(0, 2)
    except OSError as error:
        raise ModelError(f"embedded/static: {table}: {error.strerror}", _REMEDY) from error
    if magic != MAGIC:
        raise ModelError(f"embedded/static: {table} is not a table of this version", _REMEDY)
    try:
        fields: dict[str, Any] = json.loads(line)
        header = Header(**fields)
        header.check()
    except (ValueError, TypeError) as error:
        raise ModelError(f"embedded/static: {table} has a damaged header", _REMEDY) from error
    if size != body + header.body_bytes:
        raise ModelError(
            f"embedded/static: {table} is damaged: it has {size} bytes, "
            f"not {body + header.body_bytes}",
            _REMEDY,
        )
    if header.tokeniser != wordpiece.VERSION:
        raise ModelError(
            f"embedded/static: {table} was made for tokeniser {header.tokeniser}, "
            f"not {wordpiece.VERSION}",
            _REMEDY,
        )
    return header, body


def _open(table: Path, header: Header, body: int) -> _Opened:
    import numpy as np

    try:
        mapped = np.memmap(table, np.uint8, mode="r", offset=body)
    except (OSError, ValueError) as error:
        raise ModelError(f"embedded/static: {table}: {error}", _REMEDY) from error
    # 5 ms for 10 MB; without it a flipped bit would be a slightly wrong vector for ever
    if hashlib.sha256(mapped.data).hexdigest() != header.sha256:
        raise ModelError(f"embedded/static: {table} is damaged", _REMEDY)
    count = header.rows
    ends = np.cumsum([count * header.dimensions, count * 4, count * 4])
    rows, documents, queries, vocabulary = np.split(np.asarray(mapped), ends)
    pieces = vocabulary.tobytes().decode("utf-8").split("\n")
    return _Opened(
        rows=rows.view(np.int8).reshape(count, header.dimensions),
        document_scales=documents.view(np.float32),
        query_scales=queries.view(np.float32),
        tokeniser=wordpiece.WordPiece(pieces[: header.whole], pieces[header.whole :]),
        damping=header.damping,
    )
