"""What the pack of an earlier commit or release has of the chunks of a later one.

This repository is young, and its commits change much; two releases of a settled package, seven
weeks apart, are nearer to what a team has.
"""

from __future__ import annotations

import subprocess
import tarfile
from collections.abc import Sequence
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any

from benchmarks import processes
from benchmarks.releases import Release, fetch, members
from benchmarks.truth.state import at
from ragkit import KnowledgeBase


@dataclass(frozen=True, slots=True)
class Size:
    """How much is done."""

    back: tuple[int, ...] = (50, 10, 1)
    """How many commits ago packs were made."""
    paths: tuple[str, ...] = ()
    """Of the repository; () for all of it."""
    releases: bool = True
    """Whether two releases of another's package are compared, too; they are downloaded."""


QUICK = Size(back=(5,), paths=("ragkit/kb", "ragkit/cli"), releases=False)


EARLIER = Release(
    "pypi",
    "sqlalchemy",
    "2.0.40",
    "d827099289c64589418ebbcaead0145cd19f4e3e8a93919a0100247af245fa00",
)
LATER = Release(
    "pypi",
    "sqlalchemy",
    "2.0.41",
    "edba70118c4be3c2b1f90754d308d0b79c6fe2c0fdc52d8ddf603916f83f4db9",
)


def commit(revision: str) -> str:
    """The full name of a commit. Raises CalledProcessError where it is not known here."""
    return _git("rev-parse", "--verify", f"{revision}^{{commit}}").decode().strip()


def checked_out(revision: str, paths: Sequence[str], folder: Path) -> Path:
    """The files of a commit, in a new folder."""
    with tarfile.open(fileobj=BytesIO(_git("archive", revision, "--", *paths))) as files:
        files.extractall(folder, filter="data")
    return folder


def _git(*arguments: str) -> bytes:
    command = ["git", "-C", str(processes.REPOSITORY), *arguments]
    return subprocess.run(command, check=True, capture_output=True).stdout


@dataclass(frozen=True, slots=True)
class Packed:
    """A pack on the disk."""

    folder: Path
    files: frozenset[str]
    embeddings: int
    size: int
    """Bytes."""


def packed(root: Path, folder: Path) -> Packed:
    """Index files and pack their embeddings below a folder."""
    place = folder / "pack"
    with KnowledgeBase(at(root, folder / "index.db")) as kb:
        kb.index()
        (written,) = kb.pack_embeddings(place)
    total = sum(path.stat().st_size for path in place.rglob("*") if path.is_file())
    return Packed(place, frozenset(written.files), written.embeddings, total)


def measure(folder: Path, size: Size) -> dict[str, Any]:
    """The present commit, with the pack of each earlier one taken in before it is indexed."""
    head = commit("HEAD")
    present = packed(checked_out(head, size.paths, folder / "head" / "tree"), folder / "head")
    releases = {"releases": _releases(folder / "releases")} if size.releases else {}
    return {
        **releases,
        "commit": head,
        "paths": size.paths,
        "embeddings": present.embeddings,
        "pack_mb": present.size / 1e6,
        "files": len(present.files),
        "back": {str(back): _since(back, present, size, folder) for back in size.back},
    }


def _since(back: int, present: Packed, size: Size, folder: Path) -> dict[str, Any]:
    """What a pack of so many commits ago has."""
    before = commit(f"HEAD~{back}")
    tree = checked_out(before, size.paths, folder / str(back) / "tree")
    earlier = packed(tree, folder / str(back))
    root = checked_out("HEAD", size.paths, folder / f"{back}-head")
    return {"commit": before, **_shared(earlier, present, root, folder / f"{back}-head.db")}


def _releases(folder: Path) -> dict[str, Any]:
    """What the pack of one release has of the next."""
    trees = {}
    for release in (EARLIER, LATER):
        trees[release] = folder / release.version
        for path, content in members(fetch(release, folder / "downloads")):
            place = trees[release] / path
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_bytes(content)
    earlier = packed(trees[EARLIER], folder / "earlier")
    later = packed(trees[LATER], folder / "later")
    found = _shared(earlier, later, trees[LATER], folder / "taken.db")
    named = {"earlier": EARLIER.version, "later": LATER.version, "package": LATER.name}
    return {**named, "later_files": len(later.files), **found}


def _shared(earlier: Packed, present: Packed, root: Path, database: Path) -> dict[str, Any]:
    """What a pack has of files, and of the pack that is made of these."""
    with KnowledgeBase(at(root, database)) as kb:
        (taken,) = kb.unpack_embeddings(earlier.folder)
        (summary,) = kb.index()
    return {
        "embeddings": taken.embeddings,
        "taken_in": taken.new,
        "chunks": summary.chunks,
        "embedded": summary.embedded,
        "share_of_chunks": 1 - summary.embedded / summary.chunks,
        "pack_mb": earlier.size / 1e6,
        "files": len(earlier.files),
        "same_files": len(present.files & earlier.files),
        "share_of_files": len(present.files & earlier.files) / len(present.files),
    }
