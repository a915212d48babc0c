"""Packs the atoms of a structured text into chunks that fit.

Every chunker that knows a structure (code, markup) says where its text may be cut and how gladly;
what goes together, and under which context, is decided here.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from ragkit.chunkers.spans import Span
from ragkit.chunkers.text import windows

GLUED = 1_000
"""Added to the depth of an atom that belongs with the one before it (`}`, the function under its
comment): cut there only where nothing else is left."""

LINES = 80
"""Most lines of a chunk, unless one atom has more: in a long run of short lines nothing stands out,
to those who search and to those who read."""

_LEVELS = 8  # scopes in a context
_NAMES = 8  # names of merged siblings in a context
_NAME = 60  # characters of one name


@dataclass(slots=True)
class Atom:
    """A run of text that is kept whole where it fits, and reaches to the start of the next atom."""

    start: int
    depth: int
    """How deep in the structure it begins; a cut before a shallow atom is the better cut."""
    scope: tuple[str, ...] = ()
    """The sections or symbols it lies in, outermost first."""
    names: tuple[str, ...] = ()
    """The symbols that it defines as a whole."""
    end: int = 0
    """After its last character that is not whitespace; set by `pack`."""


def pack(text: str, atoms: list[Atom], *, size: int, small: int) -> Iterator[Span]:
    """Spans of at most `size` characters, and `LINES` lines, in order, that cover every atom.

    `atoms` are in order of their starts, and the first starts before all that is not whitespace.
    Where the scope changes a new chunk begins, unless what would be left has fewer than `small`
    characters.
    """
    group: list[Atom] = []
    for atom in _fitting(text, atoms, size):
        while group and _exceeds(text, group[0].start, atom.end, size):
            half = min(size, atom.start - group[0].start) // 2
            cut = _best_cut(group, atom, group[0].start + half)
            yield _span(group[:cut])
            del group[:cut]
        if group and atom.scope is not group[-1].scope and (cut := _seam(group, atom, small)):
            yield _span(group[:cut])
            del group[:cut]
        group.append(atom)
    if group:
        yield _span(group)


def _fitting(text: str, atoms: Sequence[Atom], size: int) -> Iterator[Atom]:
    """The atoms with their ends; those longer than `size` in lines, and such lines in words."""
    nexts = [atom.start for atom in atoms[1:]]
    for atom, following in zip(atoms, [*nexts, len(text)], strict=True):
        atom.end = end = atom.start + len(text[atom.start : following].rstrip())
        if end - atom.start <= size:
            if end > atom.start:
                yield atom
            continue
        for start, end, cost in _lines(text, atom.start, atom.end):
            depth = atom.depth if start == atom.start else atom.depth % GLUED + cost
            parts = [(start, end)]
            if end - start > size:
                parts = list(windows(text, start, end, size=size, overlap=0, words=True))
            for first, last in parts:
                yield Atom(first, depth, atom.scope, atom.names, last)
                depth = atom.depth % GLUED + 3


def _lines(text: str, start: int, end: int) -> Iterator[tuple[int, int, int]]:
    """Lines that are not blank: start, end, and 1 where a blank line is before it, else 2."""
    after_blank = True
    while start < end:
        newline = text.find("\n", start, end)
        stop = end if newline < 0 else newline
        if text[start:stop].isspace() or start == stop:
            after_blank = True
        else:
            yield start, stop, 1 if after_blank else 2
            after_blank = False
        start = stop + 1


def _exceeds(text: str, start: int, end: int, size: int) -> bool:
    return end - start > size or text.count("\n", start, end) >= LINES


def _best_cut(group: Sequence[Atom], atom: Atom, half: int) -> int:
    """Where to cut `group` now that `atom` does not fit behind it: 1 … len(group).

    Not through what is glued; rather after `half`, the middle of the chunk, there at a shallow
    place; rather late.
    """
    best, least = len(group), 2 * GLUED
    for i in range(len(group), 0, -1):
        after = group[i] if i < len(group) else atom
        if after.start < half and least < GLUED:
            break
        if after.depth < least:
            best, least = i, after.depth
    return best


def _seam(group: Sequence[Atom], atom: Atom, small: int) -> int:
    """Where `group` ends because `atom`, with what is glued to it, begins another scope; or 0."""
    if group[-1].scope == atom.scope:
        return 0
    cut, after = len(group), atom
    while cut and after.depth >= GLUED:
        cut -= 1
        after = group[cut]
    return cut if cut and group[cut - 1].end - group[0].start >= small else 0


def _span(group: Sequence[Atom]) -> Span:
    return Span(group[0].start, group[-1].end, _context(group))


def _context(group: Sequence[Atom]) -> str:
    """The scopes that all share, then what they hold side by side: `Store > get, replace`."""
    shared = group[0].scope
    for atom in group:
        while atom.scope is not shared and atom.scope[: len(shared)] != shared:
            shared = shared[:-1]
    beside: dict[str, None] = {}  # a set that keeps the order
    for atom in group:
        if atom.scope is not shared and len(atom.scope) > len(shared):
            beside[atom.scope[len(shared)]] = None
        else:
            for name in atom.names:
                beside[name] = None
    if len(shared) > _LEVELS:
        shared = (*shared[: _LEVELS // 2], "…", *shared[-_LEVELS // 2 :])
    parts = [name[:_NAME] for name in shared]
    if beside:
        parts.append(", ".join(name[:_NAME] for name in list(beside)[:_NAMES]))
    return " > ".join(parts)
