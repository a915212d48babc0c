"""Where a walk through the evidence stands, as a short word that can be handed around.

A cursor holds how many hits are told, how much of the next one, and what it belongs to: so it is
good in another process, and it is noticed where it is given with another query, or where what was
shown is no more as it was. It names nothing and hides nothing.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import struct
from collections.abc import Sequence
from dataclasses import dataclass

from ragkit.errors import QueryError
from ragkit.types import Hit

_SHAPE = struct.Struct(">BHHH4s5s3s")
"""Version, hits, units (two), and the marks of the question, of what was shown, of all."""

_VERSION = 1
_CHECK = 2  # bytes


@dataclass(frozen=True, slots=True)
class Position:
    """What has been shown: the first `hits` wholly, of the next one its units first … last - 1."""

    hits: int = 0
    first: int = 0
    last: int = 0


START = Position()


def written(position: Position, question: str, hits: Sequence[Hit]) -> str:
    """The cursor of a position: 28 letters, digits, `-` and `_`. `hits` is the whole ranking."""
    body = _SHAPE.pack(
        _VERSION,
        position.hits,
        position.first,
        position.last,
        _mark([question], 4),
        _mark(map(_told, _shown(position, hits)), 5),
        _mark(map(_told, hits), 3),
    )
    return base64.urlsafe_b64encode(body + _mark([body.hex()], _CHECK)).decode().rstrip("=")


def read(cursor: str, question: str, hits: Sequence[Hit]) -> tuple[Position, bool]:
    """The position of a cursor, and whether all hits are what they were when it was written.

    Raises QueryError for what is no cursor, for one of another question, and where what it says
    was shown is no longer what ranks first: to go on would repeat some and leave some out.
    """
    body = _bytes(cursor)
    version, count, first, last, asked, shown, everything = _SHAPE.unpack(body)
    position = Position(count, first, last)
    if version != _VERSION:
        raise QueryError("the cursor is of another version of ragkit", _AGAIN)
    if asked != _mark([question], 4):
        raise QueryError(
            "the cursor belongs to another query, other filters or another knowledge base",
            remedy="give it with the query and the filters that it came from",
        )
    if count > len(hits) or shown != _mark(map(_told, _shown(position, hits)), 5):
        raise QueryError("the index has changed: what the cursor goes on from is gone", _AGAIN)
    return position, everything == _mark(map(_told, hits), 3)


_AGAIN = "ask again without a cursor"


def _bytes(cursor: str) -> bytes:
    try:
        data = base64.b64decode(cursor + "=" * (-len(cursor) % 4), altchars=b"-_", validate=True)
    except (ValueError, binascii.Error):
        data = b""
    body, check = data[:-_CHECK], data[-_CHECK:]
    if len(body) != _SHAPE.size or check != _mark([body.hex()], _CHECK):
        raise QueryError(
            f"{cursor[:40]}: not a cursor", remedy="copy it whole, or ask again without one"
        )
    return body


def _shown(position: Position, hits: Sequence[Hit]) -> Sequence[Hit]:
    return hits[: position.hits + (position.last > 0)]


def _told(hit: Hit) -> str:
    chunk = hit.chunk
    return f"{chunk.path}\0{chunk.start}\0{chunk.start_line}\0{chunk.text}"


def _mark(parts: Sequence[str] | map[str], size: int) -> bytes:
    digest = hashlib.blake2b(digest_size=size)
    for part in parts:
        data = part.encode("utf-8", "surrogatepass")
        digest.update(len(data).to_bytes(8, "big"))
        digest.update(data)
    return digest.digest()
