"""Globs in `docs`: doublestar's, as docker-agent has them."""

from __future__ import annotations

import os
import re

from ragkit.globs import alternatives, as_bytes, wildmatch


class Glob:
    """Which paths below a folder are asked for; a folder that matches is so with all in it."""

    def __init__(self, pattern: str) -> None:
        parts = [alternative.split("/") for alternative in alternatives(pattern)]
        self._whole = _compiled(["/".join(names) for names in parts])
        self._ways = [
            [_compiled([name]) if name != "**" else None for name in names] for names in parts
        ]

    def matches(self, path: str) -> bool:
        """Whether `path`, relative to the glob's folder, is asked for."""
        return bool(self._whole.fullmatch(_compared(path)))

    def may_hold(self, folder: str) -> bool:
        """Whether anything inside `folder` could match."""
        names = _compared(folder).split("/")
        return any(_leads(way, names) for way in self._ways)


def _leads(way: list[re.Pattern[str] | None], names: list[str]) -> bool:
    for index, name in enumerate(names):
        if index >= len(way):
            return False
        regex = way[index]
        if regex is None:
            return True
        if not regex.fullmatch(name):
            return False
    return len(way) > len(names)


def _compared(path: str) -> str:
    return path if path.isascii() else as_bytes(path)


def _compiled(patterns: list[str]) -> re.Pattern[str]:
    regexes = [wildmatch(_compared(pattern)) for pattern in patterns]
    return re.compile("|".join(regex for regex in regexes if regex) or "(?!)", re.DOTALL)


def literal_base(place: str) -> tuple[str, str]:
    """Part a glob at the last slash before its first special character: a folder and the rest."""
    place = place.replace(os.sep, "/") if os.sep != "/" else place
    special = re.search(r"[*?\[{\\]", place)
    cut = place.rfind("/", 0, special.start() if special else len(place))
    return place[: cut + 1] or "/", place[cut + 1 :]
