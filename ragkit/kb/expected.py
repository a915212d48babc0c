"""The file that was expected to answer: which it is, and whether it is in the index at all."""

from __future__ import annotations

import difflib
import os
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from ragkit.errors import QueryError
from ragkit.files.content import human
from ragkit.files.walk import OWN
from ragkit.filters import test_of
from ragkit.kb.explanation import Step
from ragkit.types import Chunk, File, Filter, Index, Record, Skip

MEANT = 3
"""Paths that are offered in the place of one that is nowhere."""

NEAR = 0.3
"""How much less alike than the best one, of 2, a path may be that is offered."""

_PLACE = re.compile(r"(?P<path>.+?):(?P<line>[0-9]{1,9})(?:[-:][0-9]+)*:?", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Expected:
    """A file, a folder, or one line of a file."""

    path: str
    """POSIX, relative to the root, as paths in the index are; "." for the root."""
    line: int | None = None
    """From 1; None: any."""
    is_folder: bool = False

    def covers(self, path: str) -> bool:
        """Whether an indexed path is the expected one or lies in it."""
        return path == self.path or (self.is_folder and f"{path}/".startswith(self._prefix))

    def lies_in(self, path: str) -> bool:
        """Whether it is, or lies in, what stayed out as a whole."""
        return path in (self.path, ".") or self._prefix.startswith(f"{path}/")

    def is_in(self, chunk: Chunk) -> bool:
        """Whether the chunk shows it, or a part of it."""
        if not self.covers(chunk.path):
            return False
        return self.line is None or chunk.start_line <= self.line <= chunk.end_line

    @property
    def location(self) -> str:
        """`path:line`, as far as a line is asked for."""
        return self.path if self.line is None else f"{self.path}:{self.line}"

    @property
    def _prefix(self) -> str:
        return "" if self.path == "." else f"{self.path}/"


@dataclass(frozen=True, slots=True)
class Standing:
    """How it stands with the expected file in one index, before any query."""

    verdict: str = ""
    """As in `Explanation`; "" where the index has it as it is on the disk."""
    detail: str = ""
    """What decided: `.gitignore:3: *.log`."""
    steps: tuple[Step, ...] = ()
    last_line: int = 0
    """Of what is indexed of it; 0 where nothing is."""
    back: str = ""
    """What a `!` in a .ragkitignore would have to name for it to be found; "" where none helps."""


def place_of(text: str, root: str) -> tuple[str, int | None]:
    """Path and line of what people and programs write: `a.py`, `a.py:12`, `a.py:12-40`, `a.py:3:1`.

    A file whose name ends like that is meant by its whole name.
    """
    found = _PLACE.fullmatch(text)
    if found is None or any(os.path.lexists(place) for place in (text, Path(root, text))):
        return text, None
    return found["path"], int(found["line"])


def expected(root: str, path: str, line: int | None, known: Iterable[str]) -> Expected:
    """What `path` means: relative to this folder or to `root`, or absolute; `known` are indexed.

    Raises QueryError for a path that is neither on the disk nor known, with those that are near.
    """
    if line is not None and line < 1:
        raise QueryError(f"{path}:{line}: lines are counted from 1", remedy="give another line")
    if not path:
        raise QueryError("no file is named", remedy="name a file, a folder, or file:line")
    given = os.path.expanduser(path)
    places = [os.path.abspath(given), os.path.join(root, given)]
    there = [place for place in places if _is_there(place)]
    names = [_relative(place, root) for place in there]
    for place, name in zip(there, names, strict=True):
        if not name.startswith("../"):
            return _expected(place, name, line)
    paths = set(known)
    for name in (_relative(place, root) for place in places):
        if name in paths:
            return Expected(name, line)
    if there:
        return _expected(there[0], names[0], line)
    raise QueryError(f"{path}: no such file or folder", remedy=_meant(path, paths))


def _expected(place: str, name: str, line: int | None) -> Expected:
    is_folder = os.path.isdir(place) and not os.path.islink(place)
    if is_folder and line is not None:
        raise QueryError(f"{name} is a folder: it has no line {line}", remedy="name a file")
    return Expected(name, line, is_folder)


def _is_there(place: str) -> bool:
    try:
        return os.path.lexists(place)
    except ValueError:  # NUL
        return False


def _relative(place: str, root: str) -> str:
    """As paths of the index are: links on the way are followed, the last one is not."""
    if "\0" in place:
        return place
    folder, name = os.path.split(place.rstrip(os.sep) or os.sep)
    if name in ("", ".", ".."):
        resolved = os.path.realpath(place)
    else:
        resolved = os.path.join(os.path.realpath(folder), name)
    name = os.path.relpath(resolved, root).replace(os.sep, "/")
    return name.encode("utf-8", "backslashreplace").decode()  # as the walk tells of such a name


def _meant(path: str, known: Iterable[str]) -> str:
    near = nearest(path, known)
    if not near:
        return "check the path; `ragkit index --dry-run` lists what can be found"
    return f"did you mean {' or '.join(near)}?"


def nearest(path: str, known: Iterable[str]) -> list[str]:
    """At most three known paths that look most like it, best first: by name, then by all of it."""
    wanted = os.path.normpath(path).replace(os.sep, "/").lstrip("./").lower()
    name = wanted.rpartition("/")[2]
    by_name: dict[str, list[str]] = {}
    for one in known:
        by_name.setdefault(one.lower().rpartition("/")[2], []).append(one)
    close = difflib.get_close_matches(name, by_name, n=20, cutoff=0.75) if name else []
    paths = [one for alike in close for one in by_name[alike]]
    likeness = {
        one: difflib.SequenceMatcher(None, one.lower().rpartition("/")[2], name).ratio()
        + difflib.SequenceMatcher(None, one.lower(), wanted).ratio()
        for one in paths
    }
    least = max(likeness.values(), default=0.0) - NEAR
    best = sorted(paths, key=lambda one: (-likeness[one], one))[:MEANT]
    return [one for one in best if likeness[one] >= least]


_BY_NAME = ("ignored", "default", "generated", "minified")
"""Rules of the walk, which looks at no content, that `.ragkitignore` overrules."""


def standing(index: Index, sought: Expected, docs: Sequence[str]) -> Standing:
    """Look for it among the files on the disk, then among those that the index remembers."""
    found, skips = [], []
    for item in index.find():
        if isinstance(item, File):
            if sought.covers(item.path):
                found.append(item)
        elif item.rule != "missing" and (sought.lies_in(item.path) or sought.covers(item.path)):
            skips.append(item)
    records = [r for path, r in index.store.records().items() if sought.covers(path)]
    if not found and not any(record.outcome == "indexed" for record in records):
        return _left_out(sought, skips, docs)
    if sought.is_folder:
        return _folder(found, records)
    last = max((chunk.end_line for chunk in index.store.chunks(sought.path)), default=0)
    return _file(found[0] if found else None, records[0] if records else None, skips, last)


def _left_out(sought: Expected, skips: Sequence[Skip], docs: Sequence[str]) -> Standing:
    """Nothing of it is found by the walk over the folders, nor indexed from earlier."""
    back = ""
    if not skips:
        verdict, detail = "outside", f"it is not below `docs`: {', '.join(docs)}"
    elif sought.is_folder and not any(sought.lies_in(skip.path) for skip in skips):
        rules = Counter(skip.rule for skip in skips).most_common()
        verdict = rules[0][0]
        detail = "all in it stays out: " + ", ".join(f"{count:,} {rule}" for rule, count in rules)
    else:
        skip = skips[0]
        inside = f"{skip.path}/ is left out: " if skip.path != sought.path else ""
        verdict, detail = skip.rule, f"{inside}{_words(skip.rule, skip.detail)}"
        if skip.rule in _BY_NAME and skip.detail != OWN:
            back = f"{skip.path}/" if inside or sought.is_folder else skip.path
    return Standing(verdict, detail, (Step("files", False, detail=detail),), back=back)


def _folder(found: Sequence[File], records: Sequence[Record]) -> Standing:
    indexed = sum(record.outcome == "indexed" for record in records)
    files = "1 file" if len(found) == 1 else f"{len(found):,} files"
    steps = (
        Step("files", True, detail=files),
        Step("index", indexed > 0, detail=f"{indexed:,} of them"),
    )
    if not indexed:
        return Standing("not-indexed", "no file in it has been indexed", steps)
    return Standing("", "", steps, last_line=1)


def _file(file: File | None, record: Record | None, skips: Sequence[Skip], last: int) -> Standing:
    """A file that the walk found, or that was indexed when it did."""
    files = f"found, {human(file.size)}" if file else "gone"
    if file is None and skips:
        files = f"left out: {_words(skips[0].rule, skips[0].detail)}"
    verdict, detail, said = "", "", ""
    if record is None:
        verdict, detail, said = "not-indexed", "it has not been indexed yet", "nothing"
    elif record.outcome == "skipped":
        verdict, _, detail = record.reason.partition(": ")
        detail = said = _words(verdict, detail)
    elif record.outcome == "failed":
        verdict, detail = "failed", f"indexing it failed: {record.reason}"
        said = f"failed: {record.reason}" + ("; what it had is searched" if last else "")
    elif file is None:
        verdict, detail, said = "stale", "it is indexed, and gone from the disk", "as it was"
    elif (record.size, record.mtime_ns) != (file.size, file.mtime_ns):
        verdict, detail = "stale", "it has changed since it was indexed"
        said = "as it was before it changed"
    else:
        said = (
            f"not whole: {record.reason}"
            if record.reason
            else "1 line"
            if last == 1
            else f"{last:,} lines"
        )
    steps = (Step("files", file is not None, detail=files), Step("index", last > 0, detail=said))
    return Standing(verdict, detail, steps, last)


def filtered(indexes: Iterable[Index], sought: Expected, where: Filter) -> Step:
    """Whether a filter lets it through, or any file of it; if not, by which of its conditions."""
    records = [
        record
        for index in indexes
        for path, record in index.store.records().items()
        if sought.covers(path) and record.outcome != "skipped"
    ]

    def any_passes(where: Filter) -> bool:
        passes = test_of(where)
        return any(passes(r.path, r.language, r.mtime_ns) for r in records)

    if any_passes(where):
        return Step("filter", True, detail="lets it through")
    parts = dict.fromkeys(_conditions(where))
    refusing = [words for words, part in parts if not any_passes(part)]
    words = ", ".join(refusing) or "all conditions together"
    return Step("filter", False, detail=f"the filter keeps it out: {words}")


def _conditions(where: Filter) -> Iterator[tuple[str, Filter]]:
    """Each condition of a filter, in words and alone."""
    if where.paths:
        yield f"path {' or '.join(where.paths)}", Filter(paths=where.paths)
    if where.languages:
        yield f"language {' or '.join(where.languages)}", Filter(languages=where.languages)
    if where.types:
        yield f"type {' or '.join(where.types)}", Filter(types=where.types)
    if where.modified_after is not None:
        when = datetime.fromtimestamp(where.modified_after).isoformat(" ", "minutes")
        yield f"changed since {when}", Filter(modified_after=where.modified_after)
    for other in where.also:
        yield from _conditions(other)


def _words(rule: str, detail: str) -> str:
    return f"{rule} ({detail})" if detail else rule
