"""Ignore files: which rule decides about a path, as git decides it.

The patterns are those of gitignore(5), matched as git's own matcher does (`wildmatch.c`, `dir.c`),
its corners included: on bytes, so that `?` is one byte of a name. The same patterns, read from a
`.gitattributes`, say which files a repository calls generated or vendored.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

from ragkit.globs import as_bytes, plain_length, wildmatch


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
    literal = pattern if plain_length(pattern) == len(pattern) else None
    ending = pattern[1:]
    is_suffix = pattern.startswith("*") and plain_length(ending) == len(ending)
    return Rule(
        origin=origin,
        negated=False,
        folders_only=folders_only,
        name_only=name_only,
        literal=literal,
        suffix=ending if name_only and is_suffix else None,
        regex=regex,
    )
