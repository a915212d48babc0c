"""Globs: what a pattern with `*`, `?`, `[…]`, `**` and `{a,b}` matches.

Matched as git's own matcher does (`wildmatch.c`), its corners included: on bytes, so that `?` is
one byte of a name.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from itertools import product

# Names and patterns are compared as Latin-1: a character a byte, whatever the encoding.


def as_bytes(name: str) -> str:
    """A name of the file system as patterns see it."""
    return os.fsencode(name).decode("latin-1")


def alternatives(pattern: str) -> list[str]:
    """The pattern without braces: `a.{md,rst}` → `a.md`, `a.rst`."""
    pieces = re.split(r"\{([^{}]*)\}", pattern)
    choices = [piece.split(",") if index % 2 else [piece] for index, piece in enumerate(pieces)]
    return ["".join(choice) for choice in product(*choices)]


def plain_length(pattern: str) -> int:
    """How many characters come before the first special one."""
    special = re.search(r"[*?\[\\]", pattern)
    return special.start() if special else len(pattern)


_STAR, _FOLDERS, _ANYTHING = "*", "(?:.*/)?", ".*"  # no escaped character looks like these


def wildmatch(pattern: str) -> str | None:
    """The regular expression of a pattern, for `re.fullmatch`; None if it can match nothing.

    `*`, `?` and `[…]` match no slash, `**` between slashes any number of folders, and a backslash
    takes the next character as it is.
    """
    plain = plain_length(pattern)
    pieces = [re.escape(pattern[:plain])]
    at = plain
    while at < len(pattern):
        one = pattern[at]
        if one == "*":
            piece, at = _stars(pattern, at, start=plain)
        elif one == "[":
            found = _bracket(pattern, at)
            if found is None:
                return None
            piece, at = found
        elif one == "\\":
            if at + 1 == len(pattern):
                return None
            piece, at = re.escape(pattern[at + 1]), at + 2
        else:
            piece, at = ("[^/]" if one == "?" else re.escape(one)), at + 1
        pieces.append(piece)
    return _assembled(pieces)


def _stars(pattern: str, at: int, *, start: int) -> tuple[str, int]:
    """What a run of stars becomes, and where the pattern goes on."""
    end = at
    while pattern[end : end + 1] == "*":
        end += 1
    rest = pattern[end:]
    # subtle: git cuts the plain start of a pattern off before it matches the rest, so `foo**/bar`
    # has its stars at a beginning, as if a slash stood before them.
    opens = at == start or pattern[at - 1] == "/"
    if end - at < 2 or not opens or not (rest == "" or rest.startswith(("/", "\\/"))):
        return _STAR, end
    return (_FOLDERS, end + 1) if rest.startswith("/") else (_ANYTHING, end)


def _assembled(pieces: list[str]) -> str:
    """Join the pieces; a star that another follows takes the least it can and stays with it.

    Without that, a pattern with many stars could take exponential time; see `fnmatch.translate`.
    """
    whole = ""
    at = 0
    while at < len(pieces):
        piece, at = pieces[at], at + 1
        if piece != _STAR:
            whole += piece
            continue
        end = at
        while end < len(pieces) and pieces[end] not in (_STAR, _FOLDERS, _ANYTHING):
            end += 1
        fixed = "".join(pieces[at:end])
        whole += f"(?>[^/]*?{fixed})" if end < len(pieces) else f"[^/]*{fixed}"
        at = end
    return whole


_CLASSES: dict[str, Callable[[str], bool]] = {
    "alnum": lambda c: c.isalnum(),
    "alpha": lambda c: c.isalpha(),
    "blank": lambda c: c in " \t",
    "cntrl": lambda c: c < " " or c == "\x7f",
    "digit": lambda c: c.isdigit(),
    "graph": lambda c: "!" <= c <= "~",
    "lower": lambda c: c.islower(),
    "print": lambda c: " " <= c <= "~",
    "punct": lambda c: "!" <= c <= "~" and not c.isalnum(),
    "space": lambda c: c in " \t\n\v\f\r",
    "upper": lambda c: c.isupper(),
    "xdigit": lambda c: c in "0123456789abcdefABCDEF",
}


def _bracket(pattern: str, at: int) -> tuple[str, int] | None:
    """A bracket expression and where the pattern goes on; None if it is not closed or unknown."""
    at += 1
    negated = pattern[at : at + 1] in ("!", "^")
    at += negated
    members: set[str] = set()
    previous = ""  # what a range may begin with
    first = True
    while first or pattern[at : at + 1] != "]":
        first = False
        one = pattern[at : at + 1]
        if one == "[" and pattern[at + 1 : at + 2] == ":":
            close = pattern.find("]", at + 2)
            if close < 0:
                return None
            if close > at + 2 and pattern[close - 1] == ":":
                known = _CLASSES.get(pattern[at + 2 : close - 1])
                if known is None:
                    return None
                members.update(c for c in map(chr, range(128)) if known(c))
                previous, at = "", close + 1
                continue
        is_range = one == "-" and previous and pattern[at + 1 : at + 2] not in ("", "]")
        at += bool(is_range)
        if pattern[at : at + 1] == "\\":
            at += 1
        one = pattern[at : at + 1]
        if not one:
            return None
        if is_range:
            members.update(map(chr, range(ord(previous), ord(one) + 1)))
        else:
            members.add(one)
        previous, at = ("" if is_range else one), at + 1
    members.discard("/")
    inside = "".join(map(re.escape, sorted(members)))
    if negated:
        return f"[^/{inside}]", at + 1
    return (f"[{inside}]" if members else "(?!)"), at + 1
