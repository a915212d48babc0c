"""Large trees: the first index, one with nothing to do, and one file that changes under watch."""

from __future__ import annotations

import os
import random
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks import processes, results
from benchmarks.indexing import summary_of
from benchmarks.truth import trees
from benchmarks.truth.state import at
from ragkit import KnowledgeBase

LONGEST = 60.0
"""Seconds after which a save counts as never found."""


@dataclass(frozen=True, slots=True)
class Size:
    """How much is done."""

    files: tuple[int, ...] = (10_000, 100_000)
    runs: int = 3
    """With nothing to do."""
    saves: int = 5


QUICK = Size(files=(50, 500), runs=1, saves=1)


def tree_of(folder: Path, count: int, size: Size) -> dict[str, Any]:
    """What a tree of so many files takes."""
    root, cache = folder / "tree", folder / "cache"
    trees.spread_out(root, count)
    first = processes.ragkit(["index", str(root), "--json"], cache)
    time.sleep(2)  # what was written within two seconds before is read twice
    again = [processes.ragkit(["index", str(root), "--json"], cache) for _ in range(size.runs)]
    (database,) = cache.glob("tree-*.db")
    with (
        watching(root, cache, folder / "watch.log") as process,
        KnowledgeBase(at(root, database), read_only=True) as kb,
    ):
        idle = processes.held(process)
        saves = [_until_found(kb, root, number, count) for number in range(size.saves)]
        watched = processes.held(process)
    return {
        "files": count,
        "chunks": summary_of(first)["chunks"],
        "database_mb": database.stat().st_size / 1e6,
        "first_s": first.wall,
        "first_memory_mb": first.memory,
        "unchanged_s": results.summary([run.wall for run in again]),
        "unchanged_memory_mb": max(run.memory for run in again),
        "save_s": results.summary(saves),
        "watch_memory_mb": {"idle": idle, "after": watched},
    }


@contextmanager
def watching(root: Path, cache: Path, log: Path) -> Iterator[int]:
    """A `ragkit watch`, from the moment on in which it is up to date: the id of its process.

    Raises RuntimeError where it ends before.
    """
    repository = str(processes.REPOSITORY)
    environment = {**os.environ, "PYTHONPATH": repository, "RAGKIT_CACHE_DIR": str(cache)}
    command = [sys.executable, "-m", "ragkit", "watch", str(root)]
    with open(log, "w") as told:
        process = subprocess.Popen(
            command, env=environment, stdin=subprocess.DEVNULL, stdout=told, stderr=told
        )
        try:
            _wait_for(process, log)
            yield process.pid
        finally:
            process.terminate()
            process.wait(60)


def _wait_for(process: subprocess.Popen[bytes], log: Path) -> None:
    while "watching in" not in (said := log.read_text()):
        if process.poll() is not None:
            raise RuntimeError(f"ragkit watch: {said}")
        time.sleep(0.05)


def _until_found(kb: KnowledgeBase, root: Path, number: int, count: int) -> float:
    """Seconds from a save of some file until a search finds what was saved; inf for never."""
    chance = random.Random(number)
    there = trees.spread_path(root, chance.randrange(count))
    word = f"zyx{number}qwv"
    time.sleep(1)
    there.write_text(f"{there.read_text()}\n# {word}\n")
    saved = time.monotonic()
    while not any(word in hit.chunk.text for hit in kb.search(word, limit=5)):
        if time.monotonic() > saved + LONGEST:
            return float("inf")
        time.sleep(0.01)
    return time.monotonic() - saved


def measure(folder: Path, size: Size) -> dict[str, Any]:
    """Each size of tree, and how much more the largest takes than the smallest."""
    found = [tree_of(folder / str(count), count, size) for count in size.files]
    return {
        "trees": {str(one["files"]): one for one in found},
        "ratio_first": found[-1]["first_s"] / found[0]["first_s"],
        "ratio_files": size.files[-1] / size.files[0],
    }
