"""Source code: whole functions and classes where they fit, small neighbours together.

What is too large is cut at its parts (a class at its methods, a function at its statements), then
at lines, then at words. Comments, decorators and attributes stay with what they stand before. The
context is the chain of enclosing symbols, then the symbols that the chunk defines. Chunks do not
overlap, and together hold all that is not whitespace.
"""

from __future__ import annotations

import re
import unicodedata
from typing import TYPE_CHECKING

from ragkit.chunkers.grammars import parse
from ragkit.chunkers.packing import GLUED, Atom, pack
from ragkit.chunkers.spans import chunks
from ragkit.chunkers.symbols import PREFIXES, RULES, Naming, inside
from ragkit.types import Chunk, Document

if TYPE_CHECKING:
    from tree_sitter import Node

_DEEPEST = 60
"""Levels of nodes larger than a chunk. Deeper ones are cut at lines."""

_MANY = 20  # symbols that one line may define
_GAP = 3  # newlines between a comment and what it is about; PEP 8 puts three under a banner


def chunk(document: Document, *, size: int) -> list[Chunk] | None:
    """The document in chunks of at most `size` characters, or None where it cannot be parsed."""
    language = document.language or ""
    source = ascii_source(document.text)
    root = parse(language, source)
    if root is None:
        return None
    atoms = _Outline(language, document.text, source, size).atoms(root)
    return chunks(document, pack(document.text, atoms, size=size, small=size // 5))


def ascii_source(text: str) -> bytes:
    """The text with one ASCII byte for each character, so that byte offsets are its own.

    subtle: only the parser sees it. Letters become letters, spaces become spaces and mathematical
    signs an operator, so the tree is the one of the true text; names are read from that.
    """
    if not text.isascii() or "\0" in text:
        text = _FOREIGN.sub(lambda run: run[0].translate(_STAND_INS), text)
    return text.encode("ascii")


class _StandIns(dict[int, str]):
    """What stands for a character in front of the parser; found once for each."""

    def __missing__(self, code: int) -> str:
        character = chr(code)
        if code == 0 or character.isspace():
            stand_in = " "
        elif unicodedata.category(character) == "Sm":
            stand_in = "+"
        else:
            stand_in = "X" if character.isupper() else "_"
        self[code] = stand_in
        return stand_in


_STAND_INS = _StandIns()
_FOREIGN = re.compile(r"[^\x01-\x7f]+")


class _Outline:
    """One walk over a syntax tree, down to the nodes that fit."""

    def __init__(self, language: str, text: str, source: bytes, size: int) -> None:
        self._text = text
        self._source = source
        self._size = size
        self._rules = RULES[language]
        self._prefixes = PREFIXES[language]
        self._atoms = [Atom(0, 0)]
        self._start, self._end, self._kind = 0, 0, ""  # of the node before

    def atoms(self, root: Node) -> list[Atom]:
        self._expand(root, 0, ())
        return self._atoms

    def _expand(self, node: Node, depth: int, scope: tuple[str, ...]) -> None:
        for part in node.children:
            start, end, kind = part.start_byte, part.end_byte, part.type
            rule = self._rules.get(kind)
            # a body that only just fits is opened, lest its header be left alone
            limit = self._size if rule or not depth else self._size * 3 // 4
            large = end - start > limit and depth < _DEEPEST
            names = self._names(part, rule) if rule and not (large and rule is inside) else ()
            if large:
                scope_within = scope + names[:1] if names else scope
                self._place(part, start, depth, scope_within, ())
            else:
                self._place(part, start, depth, scope, names)
            self._start, self._end, self._kind = start, end, kind
            if large and part.child_count:
                self._expand(part, depth + 1, scope_within)

    def _place(
        self, node: Node, start: int, depth: int, scope: tuple[str, ...], names: tuple[str, ...]
    ) -> None:
        """Begin an atom with this node, if it is the first on its line, or add it to the last."""
        newline = self._text.rfind("\n", self._start, start)
        if newline < 0 or not (newline + 1 == start or self._text[newline:start].isspace()):
            atom = self._atoms[-1]
            if names and len(atom.names) < _MANY:
                atom.names += names
            if len(scope) > len(atom.scope):  # `export class …`: what is large begins on this line
                atom.scope = scope
            return
        if not node.is_named:  # `}` or `end`
            depth += GLUED
            scope = self._atoms[-1].scope
        elif ("comment" in self._kind or self._kind in self._prefixes) and self._text.count(
            "\n", self._end, start
        ) <= _GAP:
            depth += GLUED
        self._atoms.append(Atom(newline + 1, depth, scope, names))

    def _names(self, node: Node, rule: Naming) -> tuple[str, ...]:
        names = []
        for parts in rule(node, self._rules, self._source):
            words = [self._text[part.start_byte : part.end_byte].strip("\"'") for part in parts]
            names.append(" ".join(".".join(words).split()))
        return tuple(names)
