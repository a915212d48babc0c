"""Source code: whole functions and classes where they fit, small neighbours together.

What is too large is cut at its parts (a class at its methods, a function at its statements), then
at lines, then at words. Comments, decorators and attributes stay with what they stand before. The
context is the chain of enclosing symbols, then the symbols that the chunk defines. Chunks do not
overlap, and together hold all that is not whitespace.
"""

from __future__ import annotations

import unicodedata
from typing import TYPE_CHECKING

from ragkit.chunkers.grammars import parse
from ragkit.chunkers.packing import GLUED, Atom, pack
from ragkit.chunkers.spans import chunks
from ragkit.chunkers.symbols import RULES, Naming, Rules, inside
from ragkit.types import Chunk, Document

if TYPE_CHECKING:
    from tree_sitter import Node

_DEEPEST = 60
"""Levels of nodes larger than a chunk. Deeper ones are cut at lines."""

_GAP = 3  # newlines between a comment and what it is about; PEP 8 puts three under a banner

_PREFIXES = frozenset({"decorator", "attribute_item", "attribute_list", "annotation"})


def chunk(document: Document, *, size: int) -> list[Chunk] | None:
    """The document in chunks of at most `size` characters, or None where it cannot be parsed."""
    language = document.language or ""
    rules = RULES[language]
    root = parse(language, _source(document.text))
    if root is None:
        return None
    atoms = _Outline(document.text, size, rules).atoms(root)
    return chunks(document, pack(document.text, atoms, size=size, small=size // 5))


def _source(text: str) -> bytes:
    """The text with one ASCII byte for each character, so that byte offsets are its own.

    subtle: only the parser sees it. Letters become letters, spaces become spaces and mathematical
    signs an operator, so the tree is the one of the true text; names are read from that.
    """
    if not text.isascii() or "\0" in text:
        text = text.translate(_STAND_INS)
    return text.encode("ascii")


class _StandIns(dict[int, str]):
    """What stands for a character in front of the parser; found once for each."""

    def __missing__(self, code: int) -> str:
        character = chr(code)
        if 0 < code < 128:
            stand_in = character
        elif code == 0 or character.isspace():
            stand_in = " "
        elif unicodedata.category(character) == "Sm":
            stand_in = "+"
        else:
            stand_in = "X" if character.isupper() else "_"
        self[code] = stand_in
        return stand_in


_STAND_INS = _StandIns()


class _Outline:
    """One walk over a syntax tree, down to the nodes that fit."""

    def __init__(self, text: str, size: int, rules: Rules) -> None:
        self._text = text
        self._size = size
        self._rules = rules
        self._atoms = [Atom(0, 0)]
        self._reached = 0  # start of the last node seen
        self._prefix_end = -1  # end of the last node, where it belongs to the next one

    def atoms(self, root: Node) -> list[Atom]:
        self._expand(root, 0, ())
        return self._atoms

    def _expand(self, node: Node, depth: int, scope: tuple[str, ...]) -> None:
        for part in node.children:
            start = part.start_byte
            kind = part.type
            rule = self._rules.get(kind)
            large = part.end_byte - start > self._size and depth < _DEEPEST
            names = self._names(part, rule) if rule and not (large and rule is inside) else ()
            inner = scope + names[:1] if large else scope
            self._place(part, kind, depth, inner, () if large else names)
            if large and part.child_count:
                self._expand(part, depth + 1, inner)

    def _place(
        self, node: Node, kind: str, depth: int, scope: tuple[str, ...], names: tuple[str, ...]
    ) -> None:
        """Begin an atom with this node, if it is the first on its line, or add it to the last."""
        start = node.start_byte
        newline = self._text.rfind("\n", self._reached, start)
        self._reached = start
        if newline < 0 or not self._blank(newline + 1, start):
            atom = self._atoms[-1]
            atom.names += names
            if len(scope) > len(atom.scope):  # `export class …`: what is large begins on this line
                atom.scope = scope
        else:
            if not node.is_named:  # `}` or `end`
                depth += GLUED
                scope = self._atoms[-1].scope
            elif self._prefix_end >= 0 and self._text.count("\n", self._prefix_end, start) <= _GAP:
                depth += GLUED
            self._atoms.append(Atom(newline + 1, depth, scope, names))
        is_prefix = "comment" in kind or kind in _PREFIXES
        self._prefix_end = node.end_byte if is_prefix else -1

    def _blank(self, start: int, end: int) -> bool:
        return start == end or self._text[start:end].isspace()

    def _names(self, node: Node, rule: Naming) -> tuple[str, ...]:
        return tuple(
            " ".join(self._text[name.start_byte : name.end_byte].split())
            for name in rule(node, self._rules)
        )
