"""Tables, sizes and ages, as `docker model list` shows them."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Sequence
from typing import Final

_STEPS: Final = (
    (365 * 86_400, "year"),
    (30 * 86_400, "month"),
    (7 * 86_400, "week"),
    (86_400, "day"),
    (3_600, "hour"),
    (60, "minute"),
    (1, "second"),
)


def table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> Iterator[str]:
    """Lines of a table whose columns are as wide as what is in them; the last one is not padded."""
    lines = [tuple(header), *map(tuple, rows)]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    for line in lines:
        cells = (cell.ljust(width) for cell, width in zip(line, widths, strict=True))
        yield "  ".join(cells).rstrip()


def bytes_in_words(size: float) -> str:
    """`761.25 MiB`; bytes below 1 KiB are whole."""
    if size < 1024:
        return f"{size:.0f} B"
    for unit in ("KiB", "MiB", "GiB"):
        size /= 1024
        if size < 1024:
            return f"{size:.2f} {unit}"
    return f"{size / 1024:.2f} TiB"


def age(created: float, *, now: float | None = None) -> str:
    """`3 weeks ago`, from seconds since the epoch; "" for 0, which stands for unknown."""
    if created <= 0:
        return ""
    passed = (time.time() if now is None else now) - created
    for seconds, unit in _STEPS:
        if (count := int(passed // seconds)) >= 1:
            return f"{count} {unit}{'s' if count > 1 else ''} ago"
    return "just now"
