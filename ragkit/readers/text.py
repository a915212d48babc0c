"""Plain text: byte order marks, then UTF-8, then what the bytes look like."""

from __future__ import annotations

import codecs

from ragkit.errors import ReadError

_MARKS = (  # subtle: the mark of UTF-32 little endian begins with that of UTF-16
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32-le"),
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)
_SAMPLE = 100_000  # bytes from which an encoding is guessed


def decode(path: str, data: bytes) -> str:
    """The text without its byte order mark, lines ended by `\\n` alone. Raises ReadError."""
    for mark, encoding in _MARKS:
        if data.startswith(mark):
            return _lines(_marked(path, data[len(mark) :], encoding))
    try:
        return _lines(data.decode("utf-8"))
    except UnicodeDecodeError:
        return _lines(_guessed(path, data))


def _lines(text: str) -> str:
    if "\r" not in text:
        return text
    return text.replace("\r\n", "\n").replace("\r", "\n")


def _marked(path: str, data: bytes, encoding: str) -> str:
    try:
        return data.decode(encoding)
    except UnicodeDecodeError as error:
        raise ReadError(
            f"{path}: its first bytes say {encoding.upper()}, and byte {error.start} is not",
            remedy="save it as UTF-8, or ignore it in .ragkitignore",
        ) from error


def _guessed(path: str, data: bytes) -> str:
    """Read in the encoding that charset-normalizer finds most likely."""
    if b"\0" not in data:
        from charset_normalizer import from_bytes

        best = from_bytes(data[:_SAMPLE]).best()
        if best is not None:
            try:
                return data.decode(best.encoding)
            except UnicodeDecodeError:  # the sample did not tell
                pass
    raise ReadError(
        f"{path}: neither UTF-8 nor text in an encoding that could be recognised",
        remedy="save it as UTF-8, or ignore it in .ragkitignore",
    )
