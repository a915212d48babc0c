"""Which documents a `Filter` lets through: by path, language, type and the time of their change.

A glob means what a line of a `.gitignore` means, with braces beside: `*.md` is a name at any depth,
`src/*.py` and `/setup.py` begin at the top, `src/**/*.py` goes through any folders, and a folder
that matches is so with all in it. `?` and `[…]` are one character. Letters count as they are
written. One that begins with `!` leaves out what it matches, whatever else lets it through.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from datetime import datetime
from typing import Literal, TypeAlias

from ragkit.errors import QueryError
from ragkit.globs import alternatives, wildmatch
from ragkit.types import Filter

Test: TypeAlias = Callable[[str, str | None, int], bool]
"""A document's path, its language and its mtime_ns in; whether it comes through out."""

PLAIN = "text"
"""How a filter calls the language of plain text, which has none."""

DOCS = frozenset({"asciidoc", "html", "markdown", "pdf", "rst"})
"""Languages written for people; notebooks are Markdown."""

PROSE = (".txt", ".text", ".tex", ".org", ".textile", ".wiki", ".pod", ".rtf", ".docx", ".odt")
"""Suffixes of files written for people that have no language here."""

MOST_ALTERNATIVES = 1000
"""Ways to read the braces of one glob: `{a,b}` twice are four."""

_PART = re.compile(r"(\d+(?:\.\d+)?)(s|m|h|d|w)")
_SECONDS = {"s": 1.0, "m": 60.0, "h": 3600.0, "d": 86_400.0, "w": 604_800.0}


def test_of(where: Filter) -> Test:
    """The filter as a test of one document. Raises QueryError for a glob that is none."""
    if where.also:
        tests = [test_of(one) for one in (_alone(where), *where.also)]
        return lambda path, language, mtime_ns: all(t(path, language, mtime_ns) for t in tests)
    on_paths = paths_test(where.paths)
    languages, types = frozenset(where.languages), frozenset(where.types)
    least = where.modified_after

    def lets_through(path: str, language: str | None, mtime_ns: int) -> bool:
        return (
            (not languages or (language or PLAIN) in languages)
            and (not types or type_of(path, language) in types)
            and (least is None or mtime_ns / 1e9 >= least)
            and on_paths(path)
        )

    return lets_through


def _alone(where: Filter) -> Filter:
    return Filter(where.paths, where.languages, where.types, where.modified_after)


def paths_test(globs: Iterable[str]) -> Callable[[str], bool]:
    """Whether a path matches any of the globs and none with a `!`. Raises QueryError."""
    globs = tuple(globs)
    wanted = _compiled([glob for glob in globs if not glob.startswith("!")])
    unwanted = _compiled([glob[1:] for glob in globs if glob.startswith("!")])

    def matches(path: str) -> bool:
        if wanted and not wanted.fullmatch(path):
            return False
        return not (unwanted and unwanted.fullmatch(path))

    return matches


def _compiled(globs: list[str]) -> re.Pattern[str] | None:
    regexes = [regex for glob in globs for regex in _regexes(glob)]
    return re.compile("|".join(regexes), re.DOTALL) if regexes else None


def _regexes(glob: str) -> list[str]:
    commas = [braces.count(",") + 1 for braces in re.findall(r"\{([^{}]*)\}", glob)]
    ways = 1
    for choices in commas:
        ways *= choices
        if ways > MOST_ALTERNATIVES:
            raise QueryError(
                f"{glob[:40]}…: more than {MOST_ALTERNATIVES} ways to read its braces",
                remedy="give several globs",
            )
    return [_regex(one, glob) for one in alternatives(glob)]


def _regex(pattern: str, glob: str) -> str:
    """For `re.fullmatch` with a path from the top: what matches, and all in it."""
    if pattern in ("/", ".", "./"):
        return ".*"
    from_top = pattern.startswith("./")
    pattern = pattern.removeprefix("./")
    folders_only = pattern.endswith("/")
    pattern = pattern.removesuffix("/")
    from_top = from_top or "/" in pattern
    pattern = pattern.removeprefix("/")
    regex = wildmatch(pattern) if pattern else None
    if regex is None:
        raise QueryError(
            f"no path can match '{glob}'" if glob.strip("!/") else "an empty path matches nothing",
            remedy="write a file, a folder or a glob such as 'src/**/*.py'; "
            "a backslash takes the next character as it is",
        )
    return f"{'' if from_top else '(?:.*/)?'}{regex}{'/.*' if folders_only else '(?:/.*)?'}"


def type_of(path: str, language: str | None) -> Literal["code", "docs"]:
    """Whom a document is written for: people, or programs, as source, configuration and data are.

    `docs` are the languages `DOCS`, and plain text whose name has a suffix of `PROSE` or no dot.
    """
    name = path.rpartition("/")[2].lower()
    prose = language in DOCS if language else name.endswith(PROSE) or "." not in name
    return "docs" if prose else "code"


def moment(text: str, now: float) -> float:
    """Seconds since the epoch of `7d` before `now`, or of an ISO date or time, local without zone.

    Durations are of `s`, `m` (minutes), `h`, `d` and `w`, also several: `1d12h`. Raises QueryError.
    """
    text = text.strip()
    parts = _PART.findall(text)
    if parts and "".join(map("".join, parts)) == text:
        return now - sum(float(number) * _SECONDS[unit] for number, unit in parts)
    try:
        return datetime.fromisoformat(text).timestamp()
    except (ValueError, OverflowError, OSError):
        raise QueryError(
            f"newer than '{text}': neither a duration nor a date",
            remedy="write 30m, 12h, 7d, 2w, 2026-01-31 or 2026-01-31T09:30",
        ) from None
