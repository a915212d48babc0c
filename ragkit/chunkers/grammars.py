"""The one door to the parsers: source in, syntax tree out."""

from __future__ import annotations

import threading
import time
from functools import cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tree_sitter import Language, Node, Parser, Point

_LONGEST = 4_000_000
"""Bytes; longer sources are data. A tree takes about ten times the memory of its source."""

_PATIENCE = 1_000, 0.05
"""A parse is given up after this many callbacks, and this many a byte more. Ordinary source takes
0.007 a byte, what drives a parser mad takes them without end. They are counted, not timed, so that
every run decides alike; the clock is the last resort."""

_PIECE = 4_096
"""Bytes that the parser gets at a time. It reports no progress while it looks for a token; but
where it looks through the whole source for the end of each of many quotes, it asks for them."""

_LAST_RESORT = 5.0
"""Seconds of this thread's own work. A hundred kilobytes of `<a>` would take some parsers a
minute; ordinary source takes 0.2 a megabyte."""


def parse(language: str, source: bytes) -> Node | None:
    """The root of the source's syntax tree, with offsets in bytes; thread-safe.

    `Node.text` is not to be asked for: the tree does not hold its source, and the process dies.
    None where there is no such grammar, none for this platform, or the parser gives up.
    """
    if len(source) > _LONGEST:
        return None
    parser = _own_parser(language)
    if parser is None:
        return None
    deadline = time.thread_time() + _LAST_RESORT
    left = _PATIENCE[0] + int(_PATIENCE[1] * len(source))

    def enough(offset: int, error: bool) -> bool:
        nonlocal left
        left -= 1
        if left % 16 == 0 and time.thread_time() > deadline:
            left = 0
        return left <= 0

    try:
        window = _WINDOWS.pop()
    except IndexError:  # not asked for beforehand: another thread may take the last one meanwhile
        window = _Window()

    def read(offset: int, point: Point) -> memoryview | None:
        if enough(offset, False) or offset >= len(source):
            return None
        return window.showing(source, offset)

    try:
        tree = parser.parse(read, progress_callback=enough)
    except ValueError:  # how it says that it was stopped
        parser.reset()
        return None
    finally:
        _WINDOWS.append(window)
    return tree.root_node if left > 0 else None


class _Window:
    """What a parser sees of its source: one piece, in the same memory every time.

    subtle: up to 0.26.1 at least, tree-sitter's Python binding never lets go of what its `read`
    returned. So it gets the same few objects again and again, in all parses of the process.
    """

    def __init__(self) -> None:
        self.buffer = bytearray(_PIECE)
        self.views: dict[int, memoryview] = {}  # by their length

    def showing(self, source: bytes, offset: int) -> memoryview:
        """The piece that begins there, until the next call."""
        piece = source[offset : offset + _PIECE]
        length = len(piece)
        self.buffer[:length] = piece
        if length not in self.views:
            self.views[length] = memoryview(self.buffer)[:length]
        return self.views[length]


_WINDOWS: list[_Window] = []  # those that no thread uses at the moment


class _Parsers(threading.local):
    """The parsers of one thread: the callbacks of a parse let other threads run."""

    def __init__(self) -> None:
        self.by_language: dict[str, Parser] = {}


_PARSERS = _Parsers()


def _own_parser(language: str) -> Parser | None:
    """This thread's parser; a used one is faster than a new one, it has its memory already."""
    found = _PARSERS.by_language.get(language)
    if found is None and (grammar := _grammar(language)):
        from tree_sitter import Parser

        found = _PARSERS.by_language[language] = Parser(grammar)
    return found


@cache
def _grammar(language: str) -> Language | None:
    try:
        from semble_grammars import (
            GrammarLoadError,
            LanguageNotFoundError,
            UnsupportedPlatformError,
            get_language,
        )
    except ImportError:  # no wheel for this platform
        return None
    try:
        grammar: Language = get_language(language)
    except (GrammarLoadError, LanguageNotFoundError, UnsupportedPlatformError):
        return None
    return grammar
