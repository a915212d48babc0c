"""What a file's content says: reading it safely, and whether it is worth indexing."""

from __future__ import annotations

import errno
import os
import re
import stat
from collections.abc import Callable

from ragkit.errors import ReadError
from ragkit.types import File, Skip

VERSION = 1
"""Changes whenever `unfit` would decide otherwise about some content."""

_HEAD_BYTES = 8_000  # as git decides what is binary
_WIDE_BOMS = (b"\xff\xfe", b"\xfe\xff", b"\x00\x00\xfe\xff")  # UTF-16 and UTF-32: NULs are text
# Control characters that no text has; an escape, a form feed or a backspace it may.
_CONTROLS = bytes({*range(0x20), 0x7F} - set(b"\t\n\r\f\b\x1b"))


def read_bytes(file: File, *, max_bytes: int = 20_000_000) -> bytes:
    """All bytes of a regular file, at most `max_bytes`.

    Never waits: a FIFO that took the file's place is refused, as is a link. Raises ReadError.
    """
    flags = os.O_RDONLY
    for flag in ("O_NONBLOCK", "O_NOCTTY", "O_NOFOLLOW", "O_BINARY"):  # as far as there are such
        flags |= getattr(os, flag, 0)
    try:
        with open(os.open(file.location, flags), "rb", buffering=0) as opened:
            status = os.fstat(opened.fileno())
            if not stat.S_ISREG(status.st_mode):
                raise ReadError(f"{file.path}: not a regular file any more", "index again")
            data = _read_up_to(opened.read, status.st_size, max_bytes + 1)
    except OSError as error:
        raise _read_error(file, error) from error
    if len(data) > max_bytes:
        raise ReadError(
            f"{file.path}: grew past {human(max_bytes)} while it was read",
            "index again when nothing writes to it, or list it in .ragkitignore",
        )
    return data


def _read_up_to(read: Callable[[int], bytes], expected: int, limit: int) -> bytes:
    """All there is, up to `limit` bytes. A buffer is made for each read before anything is in it,
    so hardly more is asked for than is expected; some file systems expect nothing of any file."""
    pieces = []
    left = limit
    while left and (piece := read(min(left, max(expected, 65_536) + 1))):
        pieces.append(piece)
        left -= len(piece)
    return b"".join(pieces)


def _read_error(file: File, error: OSError) -> ReadError:
    if isinstance(error, FileNotFoundError | NotADirectoryError):
        return ReadError(f"{file.path}: it is gone", "index again")
    if isinstance(error, PermissionError):
        return ReadError(
            f"{file.path}: permission denied", "make it readable, or list it in .ragkitignore"
        )
    if error.errno in (errno.ELOOP, errno.EMLINK, errno.EISDIR):
        return ReadError(f"{file.path}: not a regular file any more", "index again")
    return ReadError(
        f"{file.path}: {error.strerror or error}", "check the disk, or list it in .ragkitignore"
    )


def human(size: int) -> str:
    """Bytes for people: 2.1 GB."""
    if size < 1000:
        return f"{size} B"
    amount = float(size)
    for unit in ("kB", "MB", "GB", "TB"):
        amount /= 1000
        if amount < 999.5 or unit == "TB":
            break
    return (
        f"{amount:.1f}".removesuffix(".0") + f" {unit}" if amount < 10 else f"{amount:.0f} {unit}"
    )


def unfit(path: str, data: bytes) -> Skip | None:
    """Why a file's content stays out of the index: binary, minified or generated; None if fit."""
    if data.startswith(_WIDE_BOMS):
        return None
    for rule, reason in (("binary", _binary), ("minified", _minified), ("generated", _generated)):
        if detail := reason(path, data):
            return Skip(path, rule, detail)
    return None


def _binary(path: str, data: bytes) -> str:
    head = data[:_HEAD_BYTES]
    if (at := head.find(0)) >= 0:
        return f"NUL at byte {at}"
    if head.startswith(b"%PDF-"):
        return "PDF"
    controls = len(head) - len(head.translate(None, _CONTROLS))
    if controls * 20 > len(head):
        return f"{controls * 100 // len(head)} % control characters"
    return ""


# Languages in which people do not write long lines, so that those are a machine's.
_CODE = frozenset(
    ["js", "mjs", "cjs", "jsx", "ts", "mts", "cts", "tsx", "css", "scss", "less", "json", "map"]
)
_FAIR_BYTES = 2_000  # below this, one long line does no harm
_LONG_LINE = 5_000


def _minified(path: str, data: bytes) -> str:
    """Whether most of it stands in lines that no person wrote or would read.

    Prose and CJK text may have a whole chapter in one line; white space and the share of ASCII
    tell them from packed code and data.
    """
    suffix = path.rpartition(".")[2].lower()
    if len(data) < _FAIR_BYTES or suffix == "ipynb":  # a notebook holds its pictures, in base64
        return ""
    if suffix in _CODE:
        mean = len(data) // (data.count(b"\n") + 1)
        if mean > 400:
            return f"{mean} characters a line"
    if not re.search(rb"[^\n]{%d}" % _LONG_LINE, data):
        return ""
    long = b"".join(line for line in data.split(b"\n") if len(line) >= _LONG_LINE)
    spaces = long.count(b" ") + long.count(b"\t")
    beyond_ascii = len(long) - len(long.translate(None, bytes(range(0x80, 0x100))))
    if len(long) * 2 > len(data) and spaces * 12 < len(long) and beyond_ascii * 4 < len(long):
        return f"{len(long) * 100 // len(data)} % in lines over {_LONG_LINE:,} characters"
    return ""


# A line that starts a comment in one of the usual ways.
_COMMENT = re.compile(
    rb"\s*(?:#|//|/\*|\*|--|;|<!--|%|\{#|\"\"\"|'''|rem\b|@rem\b|\.\.)", re.IGNORECASE
)
_MADE = re.compile(rb"\b(?:auto-?)?generated\b", re.IGNORECASE)
_HANDS_OFF = re.compile(rb"\bdo(?:es)? not (?:edit|modify|change)\b", re.IGNORECASE)
_MARK = re.compile(rb"(?:^|[\s*#/;<-])@generated\b")
_PROSE = frozenset(["md", "markdown", "rst", "txt", "adoc"])


def _generated(path: str, data: bytes) -> str:
    """Whether the comments at its head say that a machine wrote it, to be left alone.

    A page of documentation is worth finding, whoever wrote it.
    """
    if path.rpartition(".")[2].lower() in _PROSE:
        return ""
    lines = data[:4_000].splitlines()[:20]
    comments = [(number, line) for number, line in enumerate(lines, 1) if _COMMENT.match(line)]
    head = b"\n".join(line for _, line in comments)
    together = _MADE.search(head) and _HANDS_OFF.search(head)
    for number, line in comments:
        if _MARK.search(line) or (together and _HANDS_OFF.search(line)):
            return f"line {number}: {line.strip()[:80].decode('utf-8', 'replace')}"
    return ""
