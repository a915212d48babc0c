"""Processes that search while another indexes: none fails, none sees a part of a file."""

from __future__ import annotations

import multiprocessing
import os
import random
import time
from collections.abc import Iterator, Mapping
from concurrent.futures import Future, ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks import processes, results
from benchmarks.truth import trees
from benchmarks.truth.state import at
from ragkit import KnowledgeBase

LOOKED_AT = 20
"""Files whose chunks are counted after each query."""


@dataclass(frozen=True, slots=True)
class Size:
    """How much is done."""

    files: int = 500
    """Indexed before."""
    new: int = 2_000
    """Indexed meanwhile."""
    readers: tuple[int, ...] = (8, 1)
    quiet: float = 5.0
    """Seconds before."""


QUICK = Size(files=20, new=60, readers=(2,), quiet=0.5)


@dataclass(slots=True)
class Read:
    """What one reader saw."""

    answers: list[tuple[float, float]] = field(default_factory=list)
    """When a query began, in seconds since the epoch, and the seconds that it took."""
    looks: int = 0
    """Files whose chunks were counted."""
    parts: list[str] = field(default_factory=list)
    """Files of which only some chunks were there."""
    errors: list[str] = field(default_factory=list)


def read(root: Path, database: Path, counts: Mapping[str, int], place: Path, number: int) -> Read:
    """Search until there is a file `stop`; `counts` are the chunks of each file."""
    done, chance, paths = Read(), random.Random(number), list(counts)
    with KnowledgeBase(at(root, database), read_only=True) as kb:
        store = kb.indexes[0].store
        kb.search(trees.QUERIES[0])
        (place / f"ready{number}").touch()
        while not (place / "stop").exists():
            began = time.time()
            try:
                kb.search(chance.choice(trees.QUERIES))
                done.answers.append((began, time.time() - began))
                for path in chance.sample(paths, min(LOOKED_AT, len(paths))):
                    done.looks += 1
                    if (found := len(store.chunks(path))) not in (0, counts[path]):
                        done.parts.append(f"{path}: {found} of {counts[path]}")
            except Exception as error:  # whatever it is, it is what is counted
                done.errors.append(f"{type(error).__name__}: {error}")
    return done


@contextmanager
def reading(
    count: int, root: Path, database: Path, counts: Mapping[str, int], place: Path
) -> Iterator[list[Future[Read]]]:
    """So many readers, all of them at work; they stop at the end."""
    place.mkdir()
    spawned = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(count, mp_context=spawned) as pool:
        try:
            running = [
                pool.submit(read, root, database, counts, place, number) for number in range(count)
            ]
            while len(list(place.glob("ready*"))) < count:
                if failed := [one for one in running if one.done()]:
                    failed[0].result()
                time.sleep(0.05)
            yield running
        finally:
            (place / "stop").touch()


def beside(folder: Path, size: Size, readers: int) -> dict[str, Any]:
    """Readers, first alone, then while another process indexes new files."""
    root, cache, chance = folder / "tree", folder / "cache", random.Random(1)
    trees.grow(root, size.files, chance, (10, 30))
    processes.ragkit(["index", str(root)], cache)
    (database,) = cache.glob("tree-*.db")
    for number in range(size.new):
        path = root / f"more{number % 20}" / f"new{number}.py"
        path.parent.mkdir(exist_ok=True)
        path.write_text(trees.body(chance, ".py", chance.randint(20, 60)), encoding="utf-8")
    with KnowledgeBase(at(root, folder / "all.db")) as kb:
        kb.index()
        store = kb.indexes[0].store
        counts = {path: len(store.chunks(path)) for path in store.records()}
    with reading(readers, root, database, counts, folder / "place") as running:
        alone = time.time()
        time.sleep(size.quiet)
        begun = time.time()
        run = processes.ragkit(["index", str(root)], cache)
        ended = time.time()
        time.sleep(size.quiet)
    done = [one.result() for one in running]
    answers = [answer for one in done for answer in one.answers]
    quiet = [seconds for began, seconds in answers if alone <= began and began + seconds <= begun]
    busy = [seconds for began, seconds in answers if began + seconds >= begun and began < ended]
    after = [seconds for began, seconds in answers if began > ended + size.quiet / 5]
    calm, crowded, whole = map(results.spread, (quiet, busy, after))
    parts = [part for one in done for part in one.parts]
    errors = [error for one in done for error in one.errors]
    return {
        "readers": readers,
        "chunks": sum(counts.values()),
        "chunks_of_new": sum(n for path, n in counts.items() if path.startswith("more")),
        "indexing_s": run.wall,
        "queries": {"quiet": len(quiet), "busy": len(busy)},
        "looks": sum(one.looks for one in done),
        "errors": len(errors),
        "parts": len(parts),
        "problems": [*errors[:10], *parts[:10]],
        "quiet_s": calm,
        "busy_s": crowded,
        "after_s": whole,
        "ratio": {name: crowded[name] / calm[name] for name in ("median", "p95")},
        "ratio_to_after": {name: crowded[name] / whole[name] for name in ("median", "p95")},
    }


def measure(folder: Path, size: Size) -> dict[str, Any]:
    """The same with each number of readers."""
    return {
        "cores": os.cpu_count(),
        "files": size.files,
        "new": size.new,
        "quiet_for_s": size.quiet,
        "runs": {
            str(readers): beside(folder / str(readers), size, readers) for readers in size.readers
        },
    }
