"""What a store makes of processes that are killed, and of a crowd of readers beside a writer.

    python -m benchmarks.storing.faults --kills 1000 --readers 100 --seconds 20

prints what was done and every promise that was broken, as JSON; the exit status says whether there
was any. Needs a system that can fork.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import signal
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from hashlib import sha256
from pathlib import Path

import numpy as np

from ragkit import stores
from ragkit.errors import StoreError
from ragkit.stores.sqlite import SqliteStore
from ragkit.types import Chunk, Entry, Record

DIMENSIONS = 64

DOCUMENTS = 7
"""Paths that the steps of a writer take turns with."""


def opened(path: Path, *, read_only: bool = False) -> SqliteStore:
    """The store of these trials; it waits for others as long as it takes."""
    return stores.open(path, "code", "a", DIMENSIONS, read_only=read_only, wait=60)


def entries(path: str, step: int, count: int) -> list[Entry]:
    """Chunks that all name the step, each with a vector of its own."""
    vectors = np.random.default_rng(step).standard_normal((count, DIMENSIONS), np.float32)
    return [
        Entry(
            Chunk(path, i, f"x step{step} {'word ' * i}", i * 100, i * 100 + 99, i + 1, i + 1),
            f"x step{step} {'word ' * i}",
            sha256(vector.tobytes()).digest(),
            vector,
        )
        for i, vector in enumerate(vectors)
    ]


def step(store: SqliteStore, n: int) -> None:
    """The nth change; what a user sees changes in one transaction, or not at all."""
    path = str(n % DOCUMENTS)
    if n % 17 == 0:
        stores.compact(store.path)
    elif n % 11 == 0:
        store.complete()
    elif n % 5 == 0:
        store.delete([path])
    else:
        chunks = entries(path, n, n % 23)
        store.replace(Record(path, str(n), len(chunks), 1), chunks)


def expected(steps: int) -> dict[str, int]:
    """What the steps before this one leave: the step that wrote each path."""
    found: dict[str, int] = {}
    for n in range(steps):
        if n % 11 == 0 or n % 17 == 0:
            continue
        if n % 5 == 0:
            found.pop(str(n % DOCUMENTS), None)
        else:
            found[str(n % DOCUMENTS)] = n
    return found


def problems(store: SqliteStore, steps: int) -> tuple[list[str], int]:
    """What is not as it should be after so many steps, and how many there were.

    The step that was under way may have been done or not.
    """
    found = store.check()
    digests = {path: int(record.digest) for path, record in store.records().items()}
    if digests not in (expected(steps), expected(steps + 1)):
        found.append(f"after {steps} steps: {digests}")
    for path, n in digests.items():
        chunks = store.chunks(path)
        if [chunk.text for chunk in chunks] != [e.chunk.text for e in entries(path, n, n % 23)]:
            found.append(f"{path}: {len(chunks)} chunks of step {n}")
    total = sum(n % 23 for n in digests.values())
    by_words = len(store.matching(["x"], total + 1))
    query = np.ones(DIMENSIONS, np.float32)
    by_vector = len(store.nearest(query, total + 1, exact=True))
    if (by_words, by_vector) != (total, total):
        found.append(f"{total} chunks, {by_words} by words, {by_vector} by vector")
    return found, steps if digests == expected(steps) else steps + 1


def _forked(work: Callable[[int], None]) -> tuple[int, int]:
    """A process that does this work with the end of a pipe: its id, and the other end."""
    ours, theirs = os.pipe()
    process = os.fork()
    if process:
        os.close(theirs)
        return process, ours
    try:
        os.close(ours)
        work(theirs)
    finally:
        os._exit(0)
    raise AssertionError("a child goes no further")


@dataclass(slots=True)
class Kills:
    """What killed writers left."""

    kills: int = 0
    steps: int = 0
    """Changes that were done."""
    problems: list[str] = field(default_factory=list)


def kill_writers(path: Path, kills: int, chance: random.Random) -> Kills:
    """Kill one writer after another at any instant of its steps, and look at what each left."""
    done = Kills()
    at = 1
    for _ in range(kills):

        def work(pipe: int, start: int = at) -> None:
            store = opened(path)
            n = start
            while True:
                step(store, n)
                os.write(pipe, b".")
                n += 1

        process, pipe = _forked(work)
        os.read(pipe, 1)  # the first is done; from here on, at any instant
        time.sleep(chance.uniform(0, 0.03))
        os.kill(process, signal.SIGKILL)
        os.waitpid(process, 0)
        steps = 1
        while read := os.read(pipe, 65536):
            steps += len(read)
        os.close(pipe)
        store = opened(path)
        found, after = problems(store, at + steps)
        store.close()
        done.kills += 1
        done.steps += after - at
        done.problems += [f"kill {done.kills}: {what}" for what in found]
        at = after
    return done


@dataclass(slots=True)
class Crowd:
    """What readers saw beside a writer."""

    readers: int
    seconds: float
    searches: int = 0
    writes: int = 0
    slowest_write: float = 0.0
    """Seconds."""
    largest_log: int = 0
    """Bytes of the write-ahead log."""
    problems: list[str] = field(default_factory=list)


CHUNKS = 20
"""Of each document in a crowd's index."""


def crowd(path: Path, readers: int, seconds: float, processes: int) -> Crowd:
    """Search in many threads of some processes while one process writes; each sees whole states.

    A state is whole if each of the documents has all its chunks, and those of one step.
    """
    done = Crowd(readers, seconds)
    store = opened(path)
    _write(store, 0)
    store.close()
    threads = [readers // processes + (i < readers % processes) for i in range(processes)]
    children = [
        _forked(lambda pipe, count=count: _search(path, count, seconds, pipe))  # type: ignore[misc]
        for count in threads
    ]
    store = opened(path)
    log = path.with_name(path.name + "-wal")
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        done.writes += 1
        start = time.perf_counter()
        _write(store, done.writes)
        done.slowest_write = max(done.slowest_write, time.perf_counter() - start)
        done.largest_log = max(done.largest_log, log.stat().st_size)
    for process, pipe in children:
        with os.fdopen(pipe, "rb") as answers:
            told = json.loads(answers.read() or b'[0, ["a process ended without a word"]]')
        os.waitpid(process, 0)
        done.searches += told[0]
        done.problems += told[1]
    done.problems += store.check()
    store.close()
    return done


def _write(store: SqliteStore, n: int) -> None:
    for path in ("a", "b") if n == 0 else ("ab"[n % 2],):
        store.replace(Record(path, str(n), CHUNKS, 1), entries(path, n, CHUNKS))


def _search(path: Path, threads: int, seconds: float, pipe: int) -> None:
    """Search in threads of this process; tell how often, and what was wrong."""
    searches = [0] * threads
    wrong: list[str] = []
    store = opened(path, read_only=True)
    end = time.monotonic() + seconds

    def search(thread: int) -> None:
        query = np.ones(DIMENSIONS, np.float32)
        while time.monotonic() < end and not wrong:
            try:
                for found in (store.matching(["x"], 99), store.nearest(query, 99, exact=True)):
                    seen = {(c.path, c.text.split()[1]) for c, _ in found}
                    if len(found) != 2 * CHUNKS or len(seen) != 2:
                        wrong.append(f"{len(found)} hits of {sorted(seen)}")
            except StoreError as error:
                wrong.append(error.message)
            searches[thread] += 2

    running = [threading.Thread(target=search, args=(i,)) for i in range(threads)]
    for thread in running:
        thread.start()
    for thread in running:
        thread.join()
    store.close()
    os.write(pipe, json.dumps([sum(searches), wrong]).encode())


def main() -> int:
    """Run both trials as the command line says; 1 where a promise was broken."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--kills", type=int, default=1000)
    parser.add_argument("--readers", type=int, default=100)
    parser.add_argument("--processes", type=int, default=10, help="among which readers are divided")
    parser.add_argument("--seconds", type=float, default=20.0)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        killed = kill_writers(Path(folder, "k.db"), options.kills, random.Random(options.seed))
        crowded = crowd(Path(folder, "c.db"), options.readers, options.seconds, options.processes)
    print(json.dumps({"killed": asdict(killed), "crowd": asdict(crowded)}, indent=2))
    return 1 if killed.problems or crowded.problems else 0


if __name__ == "__main__":
    sys.exit(main())
