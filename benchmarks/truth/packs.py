"""What the pack of an earlier commit of this repository has of the chunks of the present one."""

from __future__ import annotations

import subprocess
import tarfile
from collections.abc import Sequence
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any

from benchmarks import processes
from benchmarks.truth.state import at
from ragkit import KnowledgeBase


@dataclass(frozen=True, slots=True)
class Size:
    """How much is done."""

    back: tuple[int, ...] = (50, 10, 1)
    """How many commits ago packs were made."""
    paths: tuple[str, ...] = ()
    """Of the repository; () for all of it."""


QUICK = Size(back=(5,), paths=("ragkit/kb", "ragkit/cli"))


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


def packed(revision: str, size: Size, folder: Path) -> Packed:
    """Index the files of a commit and pack their embeddings."""
    root = checked_out(revision, size.paths, folder / "tree")
    place = folder / "pack"
    with KnowledgeBase(at(root, folder / "index.db")) as kb:
        kb.index()
        (written,) = kb.pack_embeddings(place)
    total = sum(path.stat().st_size for path in place.rglob("*") if path.is_file())
    return Packed(place, frozenset(written.files), written.embeddings, total)


def measure(folder: Path, size: Size) -> dict[str, Any]:
    """The present commit, with the pack of each earlier one taken in before it is indexed."""
    head = commit("HEAD")
    present = packed(head, size, folder / "head")
    return {
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
    earlier = packed(before, size, folder / str(back))
    root = checked_out("HEAD", size.paths, folder / f"{back}-head")
    with KnowledgeBase(at(root, folder / f"{back}-head.db")) as kb:
        (taken,) = kb.unpack_embeddings(earlier.folder)
        (summary,) = kb.index()
    return {
        "commit": before,
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
