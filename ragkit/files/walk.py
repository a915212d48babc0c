"""The walk over folders: every file that belongs in an index, and every one that does not."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from ragkit.files import known
from ragkit.files.content import human
from ragkit.files.glob import Glob, literal_base
from ragkit.files.repository import enclosing_repository, read_small
from ragkit.files.rules import MARKS, Rules
from ragkit.part import Part
from ragkit.types import File, Skip

OWN = "ragkit's own database"
"""Why a database stays out, whatever else is said."""

BESIDE = ("-wal", "-shm", "-journal", ".index-lock", ".watch-lock")
"""What is appended to a database's name for the files that lie beside it."""

_NOTEBOOK_BYTES = 20_000_000  # most of a notebook is its pictures, which are not indexed
_CACHE_TAG = b"Signature: 8a477f597d28d172789f06886806bc55"  # https://bford.info/cachedir/


def find(
    root: Path,
    docs: Sequence[str] = (".",),
    *,
    respect_vcs: bool = True,
    own: Sequence[Path] = (),
    max_bytes: int = 1_000_000,
    part: Part | None = None,
) -> Iterator[File | Skip]:
    """Every file under `docs`, or the reason why it stays out, in the order of the paths' parts.

    Looks at names, types, sizes and stamps; opens nothing but ignore files. An entry of `docs` is a
    file, a folder or a glob (`**`, `*`, `?`, `[…]`, `{…}`; only with one of `*?[`), absolute or
    relative to `root`, also above it. An entry that is not there is a Skip by the rule "missing".

    * What is named is taken: a file or folder in `docs`, the fixed beginning of a glob, and `root`
      may be ignored, yet are searched. What is found by walking is subject to all rules.
    * `.ragkitignore` overrules all else: its `!` brings back what git ignores or what is left out
      by default. With `respect_vcs`, git's rules decide next: `.gitignore` of the folder and of all
      above it up to the top of the repository, `.git/info/exclude`, and the user's own. Outside a
      repository the `.gitignore` files count that are met on the way. Git would list a tracked
      file that is ignored; this does not.
    * Submodules and repositories inside are walked, each by its own git rules.
    * A link is not followed, unless it is named in `docs`: what it leads to has a name of its own.
    * `own` are the index's databases; they and the files beside them are left out.
    * A folder that stays out is one Skip, and what is in it is not looked at.
    * A file over `max_bytes` stays out; a notebook may have 20 MB.
    * With `part`, only what it covers is looked at, and the folders on the way there.
    """
    walk = _Walk(os.path.realpath(root), respect_vcs, own, max_bytes, part)
    if len(docs) == 1:
        yield from walk.entry(docs[0])
        return
    found: dict[str, File | Skip] = {}
    for entry in docs:
        for item in walk.entry(entry):
            if isinstance(item, File) or item.path not in found:
                found[item.path] = item
    yield from (found[path] for path in sorted(found, key=lambda path: path.split("/")))


@dataclass(slots=True)
class _Level:
    """A folder on the way down, as far as it has been listed."""

    entries: Iterator[os.DirEntry[str]]
    path: str
    """As it begins the paths of what is in it: "" or "src/"."""
    rules: Rules
    chosen: bool
    """Everything in it is asked for; else what matches the glob."""
    covered: bool
    """Everything in it is in the part that is looked at."""


class _Walk:
    """One call of `find`."""

    def __init__(
        self,
        root: str,
        respect_vcs: bool,
        own: Sequence[Path],
        max_bytes: int,
        part: Part | None,
    ) -> None:
        self._root = root
        self._part = part
        self._respect_vcs = respect_vcs
        self._max_bytes = max_bytes
        self._own = frozenset(os.path.realpath(path) + end for path in own for end in ("", *BESIDE))

    def entry(self, entry: str) -> Iterator[File | Skip]:
        """What one entry of `docs` stands for."""
        place = os.path.join(self._root, os.path.expanduser(entry))
        try:
            mode = os.stat(place).st_mode
        except (FileNotFoundError, NotADirectoryError, ValueError):
            if any(sign in entry for sign in "*?["):
                yield from self._glob(place, entry)
            else:
                yield Skip(_storable(entry), "missing", "no such file or folder")
        except OSError as error:
            yield Skip(_storable(entry), "unreadable", _reason(error))
        else:
            location = os.path.realpath(place)
            if stat.S_ISDIR(mode):
                yield from self._folder(location, self._relative(location), None)
            elif self._is_covered(location):
                yield self._named_file(location, self._relative(location))

    def _is_covered(self, location: str) -> bool:
        return self._part is None or self._part.covers(location)

    def _glob(self, place: str, entry: str) -> Iterator[File | Skip]:
        base, pattern = literal_base(place)
        location = os.path.realpath(base)
        none_found = True
        if os.path.isdir(location):
            for item in self._folder(location, self._relative(location), Glob(pattern)):
                none_found = none_found and isinstance(item, Skip)
                yield item
        if none_found:
            yield Skip(_storable(entry), "missing", "no file matches it")

    def _relative(self, location: str) -> str:
        return os.path.relpath(location, self._root).replace(os.sep, "/")

    def _named_file(self, location: str, path: str) -> File | Skip:
        name = os.path.basename(location)
        if not _is_storable(path):
            return Skip(_storable(path), "unreadable", "its name is not UTF-8")
        if location in self._own:
            return Skip(path, "default", OWN)
        if skip := _binary_by_name(path, name):
            return skip
        return self._file(path, location, lambda: os.stat(location)) or Skip(
            path, "missing", "no such file or folder"
        )

    def _folder(self, location: str, path: str, glob: Glob | None) -> Iterator[File | Skip]:
        """Walk a folder that was named, depth first, each folder in the order of its names."""
        prefix = "" if path == "." else path + "/"
        covered = self._is_covered(location)
        if not covered and self._part and not self._part.holds(location):
            return
        rules = self._rules_above(location)
        top = self._enter(location, path, prefix, rules, glob is None, covered, markers={})
        if isinstance(top, Skip):
            yield top
            return
        levels = [top]
        while levels:
            level = levels[-1]
            entry = next(level.entries, None)
            if entry is None:
                levels.pop()
                continue
            item = self._look(level, entry, glob, len(prefix))
            if isinstance(item, _Level):
                levels.append(item)
            elif item is not None:
                yield item

    def _rules_above(self, location: str) -> Rules:
        """The rules that the folders above `location` have for what is in it."""
        rules = Rules(self._root, self._respect_vcs)
        inside = (location + "/").startswith(self._root.rstrip("/") + "/")
        start = self._root if inside else location
        top = str(enclosing_repository(Path(start)) or start)
        above = [folder for folder in map(str, Path(location).parents) if len(folder) >= len(top)]
        for folder in reversed(above):
            names = [name for name in MARKS if os.path.lexists(os.path.join(folder, name))]
            rules = rules.entering(folder, names)
        return rules

    def _enter(
        self,
        location: str,
        path: str,
        prefix: str,
        rules: Rules,
        chosen: bool,
        covered: bool,
        markers: Mapping[str, str],
    ) -> _Level | Skip:
        """List a folder; a Skip if it cannot be, or holds one of the markers."""
        try:
            with os.scandir(location) as listing:
                entries = sorted(listing, key=lambda entry: entry.name)
        except OSError as error:
            return Skip(path, "unreadable", _reason(error))
        names = {entry.name for entry in entries}
        for name in names & markers.keys():
            if name != "CACHEDIR.TAG" or _is_cache_tag(os.path.join(location, name)):
                return Skip(path, "default", f"{markers[name]} ({name})")
        return _Level(iter(entries), prefix, rules.entering(location, names), chosen, covered)

    def _look(
        self, level: _Level, entry: os.DirEntry[str], glob: Glob | None, base: int
    ) -> _Level | File | Skip | None:
        """What comes of one name in a folder; None if nobody asked for it or it is gone."""
        name, path = entry.name, level.path + entry.name
        covered = level.covered or self._is_covered(entry.path)
        if not covered and self._part and not self._part.holds(entry.path):
            return None
        linked = entry.is_symlink()
        folder = not linked and entry.is_dir(follow_symlinks=False)
        chosen = level.chosen or glob is None or glob.matches(path[base:])
        if not chosen and not (folder and glob and glob.may_hold(path[base:])):
            return None
        if not name.isascii() and not _is_storable(name):
            return Skip(_storable(path), "unreadable", "its name is not UTF-8")
        rules = level.rules
        own = rules.own.deciding(entry.path, name, folder=folder) if rules.own else None
        if own and not own.negated:
            return Skip(path, "ignored", own.origin)
        wanted = own is not None and name != ".git"
        if skip := self._ruled_out(rules, entry.path, path, name, folder, wanted):
            return skip
        if not folder and not covered:
            return None
        if linked:
            return Skip(path, "symlink", self._target(entry.path))
        if not folder:
            return self._file(path, entry.path, lambda: entry.stat(follow_symlinks=False))
        markers = {} if wanted else known.MARKERS
        return self._enter(entry.path, path, path + "/", rules, chosen, covered, markers)

    def _ruled_out(
        self, rules: Rules, location: str, path: str, name: str, folder: bool, wanted: bool
    ) -> Skip | None:
        """Why a name stays out, whatever is behind it; `wanted`, it overrules all but the last."""
        if location in self._own:
            return Skip(path, "default", OWN)
        if not wanted:
            if name in known.FOLDERS if folder else name in known.FILES:
                return Skip(path, "default", name)
            if folder and name.endswith(known.FOLDER_SUFFIXES):
                return Skip(path, "default", f"*{os.path.splitext(name)[1]}")
            rule = rules.git.deciding(location, name, folder=folder) if rules.git else None
            if rule and not rule.negated:
                return Skip(path, "ignored", rule.origin)
        if folder:
            return None
        if skip := _binary_by_name(path, name):
            return skip
        return None if wanted else _made_by_machine(rules, location, path, name)

    def _file(
        self, path: str, location: str, stamp: Callable[[], os.stat_result]
    ) -> File | Skip | None:
        """A file by its type and size; None if it is gone by now."""
        try:
            status = stamp()
        except FileNotFoundError:
            return None
        except OSError as error:
            return Skip(path, "unreadable", _reason(error))
        if not stat.S_ISREG(status.st_mode):
            return Skip(path, "special", _KINDS.get(stat.S_IFMT(status.st_mode), "not a file"))
        size = status.st_size
        limit = self._max_bytes
        if path.endswith(".ipynb"):
            limit = max(limit, _NOTEBOOK_BYTES)
        if size > limit:
            return Skip(path, "too-large", f"{human(size)}, limit {human(limit)}")
        if size == 0:
            return Skip(path, "empty", "0 bytes")
        return File(path, location, size, status.st_mtime_ns)

    def _target(self, location: str) -> str:
        """Where a link leads, and why it is not followed."""
        said = "?"
        try:
            said = _storable(os.readlink(location))
            os.stat(location)
        except FileNotFoundError:
            return f"→ {said}: nothing is there"
        except OSError as error:
            return f"→ {said}: {_reason(error)}"
        target = os.path.realpath(location)
        inside = (target + "/").startswith(self._root.rstrip("/") + "/")
        advice = "found under its own name" if inside else "outside; name it in docs to index it"
        return f"→ {said}: {advice}"


_KINDS = {
    stat.S_IFIFO: "a FIFO",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
}


def _binary_by_name(path: str, name: str) -> Skip | None:
    _, dot, suffix = name.rpartition(".")
    if dot and suffix.lower() in known.BINARY_SUFFIXES:
        return Skip(path, "binary", f"*.{suffix}")
    return None


def _made_by_machine(rules: Rules, location: str, path: str, name: str) -> Skip | None:
    if name in known.LOCKS:
        return Skip(path, "generated", f"{name} is a lock file")
    if name.endswith(known.MINIFIED_SUFFIXES):
        return Skip(path, "minified", f"*.{name.split('.', 1)[1]}")
    for layer in (rules.generated, rules.vendored):
        rule = layer.deciding(location, name, folder=False) if layer else None
        if rule and not rule.negated:
            return Skip(path, "generated", rule.origin)
    return None


def _is_cache_tag(location: str) -> bool:
    return read_small(location, len(_CACHE_TAG)) == _CACHE_TAG


def _reason(error: OSError) -> str:
    if error.errno == errno.ELOOP:
        return "links in a circle"
    return (error.strerror or str(error)).lower()


def _is_storable(name: str) -> bool:
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True


def _storable(name: str) -> str:
    """A name as text that can be stored and shown: a byte that is not UTF-8 becomes `\\udcff`."""
    return name.encode("utf-8", "backslashreplace").decode()
