"""Measure one system in this process, and print one line of JSON.

python -m benchmarks.storing.process FAMILY NAME DATA FOLDER build|cold|warm|update|follow
"""

from __future__ import annotations

import json
import os
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from importlib import import_module, metadata
from pathlib import Path
from typing import Any

from benchmarks.storing.data import Data, load, one_thread
from benchmarks.storing.system import SHARES, System, Unsuited

ENOUGH = 0.99
"""Recall@10 at which no more thorough setting is tried."""
SECONDS = {"warm": 2.0, "50": 1.0, "filtered": 1.0}
"""For which the questions are asked again and again, after each was asked once or `LEAST` were."""
LEAST = 10
UPDATES = 5
"""Documents that are replaced; one is replaced before the clock starts."""


def main(arguments: Sequence[str]) -> None:
    family, name, data, folder, phase = arguments
    if phase != "build":
        one_thread()
    before = memory(os.getpid())
    with _quiet():
        system = made(family, name, load(Path(data)), Path(folder))
        began = time.perf_counter()
        for module in system.imports:
            import_module(module)
        imported = time.perf_counter() - began
        try:
            found = PHASES[phase](system)
        except Unsuited as reason:
            found = {"unsuited": str(reason)}
    if "memory" in found:
        found["memory"] = {kind: mb - before[kind] for kind, mb in found["memory"].items()}
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    found |= {"import": imported * 1000, "peak": peak, "load": os.getloadavg()[0]}
    print(json.dumps(found), flush=True)


def made(family: str, name: str, data: Data, folder: Path) -> System:
    """The system of that name, among those of a family's module."""
    module = import_module(f"benchmarks.storing.{family}")
    return next(s for s in module.SYSTEMS if s.name == name)(folder, data)  # type: ignore


def build(system: System) -> dict[str, Any]:
    """Seconds and bytes."""
    began, worked = time.perf_counter(), time.process_time()
    system.build()
    seconds, cpu = time.perf_counter() - began, time.process_time() - worked
    return {
        "seconds": seconds,
        "cpu": cpu,
        "size": system.bytes or size(system.folder),
        "parts": system.parts,
        "version": metadata.version(system.package),
    }


def cold(system: System) -> dict[str, Any]:
    """Milliseconds of opening and of the first answer, once all modules are imported."""
    query = system.data.queries[os.getpid() % len(system.data.queries)]
    began = time.perf_counter()
    system.open(writable=False)
    opened = time.perf_counter()
    system.search(query, 10)
    ended = time.perf_counter()
    system.close()
    return {"open": (opened - began) * 1000, "first": (ended - began) * 1000}


def warm(system: System) -> dict[str, Any]:
    """Times and recall by setting; those of 50 rows and of filters at the setting that suits."""
    system.open(writable=False)
    data = system.data
    tried = climbed(system, system.efforts, None, data.truth, SECONDS["warm"])
    suits = chosen(tried)
    system.set_effort(int(suits["effort"]))
    found: dict[str, Any] = {"efforts": tried, "10": suits}
    found["50"] = asked(system, 50, None, data.truth, SECONDS["50"])
    higher = [effort for effort in system.efforts if effort >= suits["effort"]]
    for share, shards in SHARES.items():
        try:
            filtered = climbed(system, higher, shards, data.among[share], SECONDS["filtered"])
            found[share] = chosen(filtered)
        except Unsuited as reason:
            found[share] = {"unsuited": str(reason)}
    used = [memory(process) for process in (os.getpid(), *system.processes())]
    found["memory"] = {kind: sum(of[kind] for of in used) for kind in used[0]}
    system.close()
    return found


def climbed(
    system: System, efforts: Sequence[int], shards: int | None, truth: Any, seconds: float
) -> list[dict[str, float]]:
    """What each setting takes and finds, until one finds enough."""
    tried: list[dict[str, float]] = []
    for effort in efforts:
        system.set_effort(effort)
        tried.append({"effort": effort, **asked(system, 10, shards, truth, seconds)})
        if tried[-1]["recall"] >= ENOUGH:
            break
    return tried


def chosen(tried: Sequence[dict[str, float]]) -> dict[str, float]:
    """The first setting that finds as much as any, but for a thousandth."""
    most = max(one["recall"] for one in tried)
    return next(one for one in tried if one["recall"] >= min(most - 0.001, ENOUGH))


def asked(
    system: System, limit: int, shards: int | None, truth: Any, seconds: float
) -> dict[str, float]:
    """Milliseconds of an answer, how many questions were asked, and the recall."""
    queries = system.data.queries
    for query in queries[-3:]:
        system.search(query, limit, shards)
    times: list[float] = []
    answers: list[Sequence[int]] = []
    began = time.perf_counter()
    while True:
        for number, query in enumerate(queries):
            started = time.perf_counter()
            answer = system.search(query, limit, shards)
            times.append((time.perf_counter() - started) * 1000)
            if number == len(answers):
                answers.append(system.rows(answer))
            if time.perf_counter() - began > seconds and len(answers) >= LEAST:
                found = {"asked": len(times), "recall": recalled(answers, truth, limit)}
                return {**spread(times), **found}


def recalled(answers: Sequence[Sequence[int]], truth: Any, limit: int) -> float:
    """The share of the right rows that were found, over all questions."""
    shares = [
        len(set(map(int, rows[:limit])) & set(right[:limit].tolist())) / len(right[:limit])
        for rows, right in zip(answers, truth, strict=False)
    ]
    return statistics.fmean(shares)


def spread(times: Sequence[float]) -> dict[str, float]:
    ordered = sorted(times)
    p95 = ordered[min(len(ordered) - 1, int(0.95 * len(ordered)))]
    return {"median": statistics.median(ordered), "p95": p95, "least": ordered[0]}


def update(system: System) -> dict[str, Any]:
    """Milliseconds to replace a document and to save that; of the next question elsewhere.

    Every replaced document is put back in the end, off the clock.
    """
    import numpy as np

    fresh = system.data.fresh
    step = len(system.data) // len(fresh[0]) // (UPDATES + 2)
    documents = [step * (number + 1) + 3 for number in range(UPDATES + 1)]
    system.open(writable=True)
    system.set_effort(system.efforts[-1])
    replaced, saved, seen = [], [], []
    with _follower(system) as ask:
        for number, document in enumerate(documents):
            began = time.perf_counter()
            system.replace(document, fresh[number])
            written = time.perf_counter()
            system.save()
            saved.append((time.perf_counter() - written) * 1000)
            replaced.append((written - began) * 1000)
            seen.append(ask(number, document))
        answers = [system.rows(system.search(fresh[i][0], 1)) for i in range(len(documents))]
        rows = {len(fresh[0]) * document for document in documents}
    for document in documents:
        first = document * len(fresh[0])
        system.replace(document, np.array(system.data.vectors[first : first + len(fresh[0])]))
    system.save()
    system.close()
    found: dict[str, Any] = {"replace": spread(replaced[1:]), "save": spread(saved[1:])}
    found["found"] = sum(len(a) > 0 and int(a[0]) in rows for a in answers) / len(documents)
    if system.follows:
        found["elsewhere"] = spread([ms for ms, _ in seen[1:]])
        found["seen elsewhere"] = sum(right for _, right in seen) / len(seen)
    return found


@contextmanager
def _follower(system: System) -> Iterator[Callable[[int, int], tuple[float, bool]]]:
    """A reader in another process, which was asked before; asked again after each change."""
    if not system.follows:
        yield lambda number, document: (0.0, True)
        return
    command = [sys.executable, "-m", "benchmarks.storing.process", *sys.argv[1:-1], "follow"]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True, bufsize=1) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        into, out = process.stdin, process.stdout
        out.readline()

        def ask(number: int, document: int) -> tuple[float, bool]:
            into.write(f"{number}\n")
            ms, row = json.loads(out.readline())
            return ms, row == document * len(system.data.fresh[0])

        yield ask
        into.close()
        out.read()


def follow(system: System) -> dict[str, Any]:
    """Answer one question for each line that comes in."""
    system.open(writable=False)
    for query in system.data.queries[:3]:
        system.search(query, 10)
    print("ready", file=_out, flush=True)
    for line in sys.stdin:
        query = system.data.fresh[int(line)][0]
        began = time.perf_counter()
        answer = system.search(query, 10)
        ms = (time.perf_counter() - began) * 1000
        print(json.dumps([ms, int(([*system.rows(answer), -1])[0])]), file=_out, flush=True)
    system.close()
    return {}


PHASES = {"build": build, "cold": cold, "warm": warm, "update": update, "follow": follow}


def size(folder: Path) -> int:
    """Bytes of all files below a folder, as the disk gives them."""
    paths = [path for path in folder.rglob("*") if path.is_file() and not path.is_symlink()]
    return sum(path.stat().st_blocks * 512 for path in paths)


def memory(process: int) -> dict[str, float]:
    """MB of a process: its own pages, and those of files that it has mapped."""
    try:
        lines = Path(f"/proc/{process}/status").read_text().splitlines()
    except OSError:
        return {"own": 0.0, "mapped": 0.0}
    told = dict(line.split(":", 1) for line in lines if ":" in line)
    kb = {key: int(value.split()[0]) for key, value in told.items() if key.startswith("Rss")}
    return {"own": (kb["RssAnon"] + kb["RssShmem"]) / 1024, "mapped": kb["RssFile"] / 1024}


_out = sys.stdout


@contextmanager
def _quiet() -> Iterator[None]:
    """What libraries print goes to the errors: the output is one line."""
    sys.stdout = sys.stderr
    try:
        yield
    finally:
        sys.stdout = _out


if __name__ == "__main__":
    main(sys.argv[1:])
