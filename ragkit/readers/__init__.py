"""Bytes → text, by suffix.

Line numbers are those an editor shows: `\\r\\n` and a lone `\\r` become `\\n`, and nothing else
ends a line. A notebook has no lines of its own; its are those of the text made of it, which
`notebook.decode` describes.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import PurePosixPath

from ragkit.readers import notebook, text

__all__ = ["READERS", "VERSION", "decode"]

VERSION = 1
"""Changes whenever some file would be read differently; part of an index's fingerprint."""

READERS: Mapping[str, Callable[[str, bytes], str]] = {".ipynb": notebook.decode}
"""Suffix in lower case → f(path, data): its text. Every other file is plain text."""


def decode(path: str, data: bytes) -> str:
    """The text of the file at `path` whose content is `data`. Raises ReadError."""
    reader = READERS.get(PurePosixPath(path).suffix.lower(), text.decode)
    return reader(path, data)
