"""What to say where a filter lets no indexed file through: which part, and what is nearest."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from difflib import get_close_matches
from typing import TYPE_CHECKING

from ragkit.errors import QueryError
from ragkit.filters import PLAIN, paths_test, test_of, type_of
from ragkit.kb.filtering import configured
from ragkit.types import ANYTHING, Filter, Record

if TYPE_CHECKING:
    from ragkit.kb import KnowledgeBase

NAMES: Mapping[str, str] = {
    "paths": "paths",
    "languages": "languages",
    "types": "type",
    "modified_after": "newer_than",
}
"""How the parts of a filter are called, by field of `Filter`."""

_MOST = 5  # suggestions
_COMPARED = 20_000  # names of files that a misspelt one is compared with


@dataclass(frozen=True, slots=True)
class Unmatched:
    """No indexed file comes through a filter."""

    message: str
    """Which part of it is to blame: `no indexed file matches --path 'scr/*.py'`."""
    nearest: tuple[str, ...]
    """What would match, nearest first: `src/*.py (120 files)`."""

    def __str__(self) -> str:
        return self.message + (f"; nearest: {', '.join(self.nearest)}" if self.nearest else "")


@dataclass(frozen=True, slots=True)
class _Part:
    """One condition of a filter."""

    field: str
    said: str
    """As its user said it: `--path 'scr/*.py'`."""
    alone: Filter


def unmatched(
    kb: KnowledgeBase, where: Filter, names: Mapping[str, str] = NAMES
) -> Unmatched | None:
    """Why a search with this filter looks at nothing; None where some indexed file comes through.

    `names` is what the parts of `where` are called where it was said. None for an empty index, too.
    """
    own = {field: f"results.filters.{name}" for field, name in NAMES.items()}
    parts = [*_parts(configured(kb.source), own), *_parts(where, names)]
    if not parts:
        return None
    indexed = [
        record
        for index in kb.in_force.indexes
        for record in index.store.records().values()
        if record.outcome == "indexed"
    ]
    files = list({record.path: record for record in indexed}.values())
    if not files or _passing(files, _all(part.alone for part in parts)):
        return None
    to_blame = [part for part in parts if not _passing(files, part.alone)]
    if to_blame:
        said = " and none ".join(part.said for part in to_blame)
        nearest = tuple(near for part in to_blame for near in _nearest(part, files))
        return Unmatched(f"no indexed file matches {said}", nearest)
    said = " and ".join(part.said for part in parts)
    without = (
        (part, _passing(files, _all(other.alone for other in parts if other is not part)))
        for part in parts
    )
    nearest = tuple(f"without {part.said} ({_files(count)})" for part, count in without if count)
    return Unmatched(f"no indexed file matches all of {said}", nearest)


def _all(filters: Iterator[Filter]) -> Filter:
    whole = ANYTHING
    for one in filters:
        whole &= one
    return whole


def _parts(where: Filter, names: Mapping[str, str]) -> Iterator[_Part]:
    """The conditions of a filter, in the order of its fields."""
    if where.paths:
        said = " or ".join(f"'{glob}'" for glob in where.paths)
        yield _Part("paths", f"{names['paths']} {said}", Filter(paths=where.paths))
    if where.languages:
        said = " or ".join(where.languages)
        yield _Part("languages", f"{names['languages']} {said}", Filter(languages=where.languages))
    if where.types:
        said = " or ".join(where.types)
        yield _Part("types", f"{names['types']} {said}", Filter(types=where.types))
    if where.modified_after is not None:
        said = f"{names['modified_after']} {_time(where.modified_after)}"
        yield _Part("modified_after", said, Filter(modified_after=where.modified_after))
    for other in where.also:
        yield from _parts(other, names)


def _passing(files: Sequence[Record], where: Filter) -> int:
    """How many of the files come through."""
    test = test_of(where)
    return sum(test(file.path, file.language, file.mtime_ns) for file in files)


def _nearest(part: _Part, files: Sequence[Record]) -> list[str]:
    if part.field == "languages":
        return _counted(Counter(file.language or PLAIN for file in files))
    if part.field == "types":
        return _counted(Counter(type_of(file.path, file.language) for file in files))
    if part.field == "modified_after":
        newest = max(files, key=lambda file: file.mtime_ns)
        return [f"{newest.path} (changed {_time(newest.mtime_ns / 1e9)})"]
    paths = [file.path for file in files]
    found = dict.fromkeys(
        near
        for glob in part.alone.paths
        if not glob.startswith("!")
        for near in nearest_globs(glob, paths)
    )
    return list(found)[:_MOST]


def nearest_globs(glob: str, paths: Sequence[str]) -> list[str]:
    """Globs like this one that match some of the paths, with how many: `src/*.py (120 files)`."""
    names = glob.removeprefix("./").strip("/").split("/")
    plain = next((i for i, name in enumerate(names) if set(name) & set("*?[{\\")), len(names))
    head, rest = "/".join(names[:plain]), "/".join(names[plain:])
    found: dict[str, int] = {}
    if not rest:
        found |= dict.fromkeys(_like(head.rpartition("/")[2], paths), 1)
    for folder in _like(head, _folders(paths)) if head else []:
        for candidate in (f"{folder}/{rest}" if rest else f"{folder}/", f"{folder}/"):
            if candidate not in found and (count := _matching(candidate, paths)):
                found[candidate] = count
                break
    if rest and not found:
        stem, dot, _ = glob.rpartition(".")
        suffixes = Counter(path.rpartition(".")[2] for path in paths if "." in path)
        for suffix, _ in suffixes.most_common(_MOST) if dot else []:
            if count := _matching(candidate := f"{stem}.{suffix}", paths):
                found[candidate] = count
    if not found:  # nothing is near: what there is
        tops = Counter(path.partition("/")[0] + "/" * ("/" in path) for path in paths)
        found = dict(tops.most_common(_MOST))
    return [f"{name} ({_files(count)})" for name, count in list(found.items())[:_MOST]]


def _folders(paths: Sequence[str]) -> list[str]:
    """Every folder that holds any of the paths, at any depth."""
    found: dict[str, None] = {}
    for path in paths:
        folder = path.rpartition("/")[0]
        while folder and folder not in found:
            found[folder] = None
            folder = folder.rpartition("/")[0]
    return list(found)


def _like(name: str, paths: Sequence[str]) -> list[str]:
    """The paths that end with the name, or are or end nearly so, the nearest first."""
    name = name.casefold()
    depth = name.count("/") + 1
    by_end: dict[str, list[str]] = {}
    for path in paths[:_COMPARED]:
        end = "/".join(path.casefold().split("/")[-depth:])
        by_end.setdefault(end, []).append(path)
    close = get_close_matches(name, by_end, n=3, cutoff=0.65)
    return [path for end in close for path in sorted(by_end[end], key=len)][:_MOST]


def _matching(glob: str, paths: Sequence[str]) -> int:
    try:
        matches = paths_test([glob])
    except QueryError:
        return 0
    return sum(map(matches, paths))


def _counted(counts: Counter[str]) -> list[str]:
    return [f"{name} ({_files(count)})" for name, count in counts.most_common(2 * _MOST)]


def _files(count: int) -> str:
    return "1 file" if count == 1 else f"{count:,} files"


def _time(seconds: float) -> str:
    """`2026-01-31 09:30`, local."""
    try:
        return f"{datetime.fromtimestamp(seconds):%Y-%m-%d %H:%M}"
    except (ValueError, OverflowError, OSError):  # long before or after any file
        return f"{seconds:.0f}"
