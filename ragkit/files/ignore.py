"""Ignore files: which rule decides about a path, as git decides it.

The patterns are those of gitignore(5), matched as git's own matcher does (`wildmatch.c`, `dir.c`),
its corners included: on bytes, so that `?` is one byte of a name. The same patterns, read from a
`.gitattributes`, say which files a repository calls generated or vendored.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace

# Names and patterns are compared as Latin-1: a character a byte, whatever the encoding.


@dataclass(frozen=True, slots=True)
class Rule:
    """One line of an ignore file."""

    origin: str
    """The rule as it is shown: `.gitignore:3: *.log`."""
    negated: bool
    folders_only: bool
    name_only: bool
    """It has no slash, so it is compared with the last part of a path."""
    literal: str | None
    """The only text that it matches; None where it has wildcards."""
    suffix: str | None
    """All that a name must end with; None for any other pattern."""
    regex: str
    """For `re.fullmatch`, with what the rule is compared with."""


class Patterns:
    """The rules of one ignore file; the last one that matches decides."""

    def __init__(self, rules: Iterable[Rule]) -> None:
        self._rules = [(rule, re.compile(rule.regex, re.DOTALL)) for rule in rules][::-1]
        self._any_file = _Any([rule for rule, _ in self._rules if not rule.folders_only])
        self._any_folder = _Any([rule for rule, _ in self._rules])

    def deciding(self, path: str, name: str, *, folder: bool) -> Rule | None:
        """The rule that decides about `path`, which is relative to the ignore file's folder."""
        if not (self._any_folder if folder else self._any_file).may_match(path, name):
            return None
        for rule, regex in self._rules:
            if rule.folders_only and not folder:
                continue
            if regex.fullmatch(name if rule.name_only else path):
                return rule
        return None


class _Any:
    """Whether any of many rules matches: nearly always none does, and that must be cheap."""

    def __init__(self, rules: list[Rule]) -> None:
        names = [rule for rule in rules if rule.name_only]
        self._names = frozenset(rule.literal for rule in names if rule.literal is not None)
        self._suffixes = tuple(rule.suffix for rule in names if rule.suffix is not None)
        wild = [r.regex for r in names if r.literal is None and r.suffix is None]
        paths = [rule.regex for rule in rules if not rule.name_only]
        self._name = re.compile("|".join(wild), re.DOTALL) if wild else None
        self._path = re.compile("|".join(paths), re.DOTALL) if paths else None

    def may_match(self, path: str, name: str) -> bool:
        return bool(
            name in self._names
            or name.endswith(self._suffixes)
            or (self._name and self._name.fullmatch(name))
            or (self._path and self._path.fullmatch(path))
        )


@dataclass(frozen=True, slots=True)
class Layer:
    """An ignore file at work below its folder, on top of those that it overrules."""

    base: str
    """The folder, absolute, with a slash at its end."""
    patterns: Patterns
    outer: Layer | None

    def deciding(self, location: str, name: str, *, folder: bool) -> Rule | None:
        """The rule that decides about the file or folder at `location`; None if none does."""
        if not name.isascii():
            name = as_bytes(name)
        layer: Layer | None = self
        while layer is not None:
            path = location[len(layer.base) :]
            path = path if path.isascii() else as_bytes(path)
            if rule := layer.patterns.deciding(path, name, folder=folder):
                return rule
            layer = layer.outer
        return None


def as_bytes(name: str) -> str:
    """A name of the file system as patterns see it."""
    return os.fsencode(name).decode("latin-1")


def ignore_rules(data: bytes, shown: str) -> Iterator[Rule]:
    """The rules of an ignore file; `shown` is its path for people."""
    for number, line in _lines(data):
        if line.startswith("#"):
            continue
        pattern = _without_trailing_spaces(line)
        negated = pattern.startswith("!")
        origin = f"{shown}:{number}: {_readable(pattern)}"
        if rule := _rule(pattern[negated:], origin):
            yield replace(rule, negated=negated)


def attribute_rules(data: bytes, shown: str, attribute: str) -> Iterator[Rule]:
    """The rules of a `.gitattributes` about one attribute; a negated one unsets it."""
    for number, line in _lines(data):
        words = line.split()
        # A quoted pattern, one with spaces in it, is rare enough to be left alone.
        if not words or words[0].startswith(("#", "!", '"', "[attr]")):
            continue
        for word in words[1:]:
            name, _, value = word.lstrip("-!").partition("=")
            rule = _rule(words[0], f"{shown}:{number}: {_readable(line.strip())}")
            if name == attribute and rule:
                yield replace(rule, negated=word[0] in "-!" or value.lower() == "false")


def _lines(data: bytes) -> Iterator[tuple[int, str]]:
    text = data.removeprefix(b"\xef\xbb\xbf").decode("latin-1")
    for number, line in enumerate(text.split("\n"), start=1):
        yield number, line.removesuffix("\r")


def _readable(pattern: str) -> str:
    return pattern.encode("latin-1").decode("utf-8", "replace")


def _without_trailing_spaces(line: str) -> str:
    kept = line.rstrip(" ")
    backslashes = len(kept) - len(kept.rstrip("\\"))
    return kept + " " if backslashes % 2 and kept != line else kept


def _rule(pattern: str, origin: str) -> Rule | None:
    folders_only = pattern.endswith("/")
    pattern = pattern[: len(pattern) - folders_only]
    if not pattern:
        return None
    name_only = "/" not in pattern
    pattern = pattern.removeprefix("/")
    regex = wildmatch(pattern)
    if regex is None:
        return None
    literal = pattern if _plain_length(pattern) == len(pattern) else None
    ending = pattern[1:]
    is_suffix = pattern.startswith("*") and _plain_length(ending) == len(ending)
    return Rule(
        origin=origin,
        negated=False,
        folders_only=folders_only,
        name_only=name_only,
        literal=literal,
        suffix=ending if name_only and is_suffix else None,
        regex=regex,
    )


def _plain_length(pattern: str) -> int:
    """How many characters come before the first special one."""
    special = re.search(r"[*?\[\\]", pattern)
    return special.start() if special else len(pattern)


_STAR, _FOLDERS, _ANYTHING = "*", "(?:.*/)?", ".*"  # no escaped character looks like these


def wildmatch(pattern: str) -> str | None:
    """The regular expression of a pattern, for `re.fullmatch`; None if it can match nothing.

    `*`, `?` and `[…]` match no slash, `**` between slashes any number of folders, and a backslash
    takes the next character as it is.
    """
    plain = _plain_length(pattern)
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
