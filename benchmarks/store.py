"""ragkit's store beside others: vectors, at up to a million rows.

    python -m benchmarks.store --work ~/store [--peers ~/store/peers] [--data 768-100k 768-1m]
        [--systems ragkit "faiss Flat"] [--limit 300] [--minutes 35] [--again] [--rebuild]

Every system is built in one process and measured in others, with a time limit each. What was made
or measured is kept below `--work` and not done again, so that a run that was cut short goes on
where it stopped; results are written after each system. `--again` measures anew what is built,
`--rebuild` also builds anew. `--peers` is a virtual environment with `store_peers.txt`; it is made
where there is none. ragkit's files are built anew whenever its store's source has changed.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from benchmarks import results
from benchmarks.storing import data

REPOSITORY = Path(__file__).resolve().parents[1]
NEEDS = Path(__file__).with_name("store_peers.txt")

ORDER = {
    "ragkit": "ours",
    "faiss Flat": "libraries",
    "sqlite-vec int8": "vec0",
    "faiss IVF,SQ8": "libraries",
    "faiss HNSW32": "libraries",
    "sqlite-vec float32": "vec0",
    "sqlite-vec bit": "vec0",
    "ragkit, exact": "ours",
    "hnswlib": "libraries",
    "usearch f16": "libraries",
    "faiss IVF,Flat": "libraries",
    "LanceDB": "databases",
    "Chroma": "databases",
    "pgvector": "servers",
    "DuckDB vss": "servers",
    "milvus-lite": "databases",
    "Qdrant local": "databases",
    "usearch i8": "libraries",
}
"""Systems and the modules they are in, the most telling first."""

FIRST = 7
"""Systems that are measured with every set before the others are with any: what is nearest to
ragkit's store, and quick to build."""

SETS = ("768-100k", "768-1m", "384-100k", "768-10k", "real-256")
"""In this order: what is too slow for a million rows is known from 100,000."""

SECONDS = {"cold": 120, "warm": 240, "update": 240}
"""That each phase may take."""
COLD_RUNS = 3


@dataclass(frozen=True, slots=True)
class Plan:
    """Where things lie, and what may be done in how long."""

    work: Path
    python: Path
    """The peers' interpreter."""
    limit: float
    """Seconds that a build may take."""
    ends: float
    """When nothing more is begun, as `time.monotonic` tells it."""
    again: bool
    rebuild: bool


def main() -> None:
    plan, sets, systems = _asked()
    for name, system in in_order(sets, systems):
        if time.monotonic() > plan.ends:
            print("no time is left", flush=True)
            return
        _run([sys.executable, "-m", "benchmarks.storing.data", name, str(_data(plan, name))], 1800)
        began = time.monotonic()
        measured = measure(plan, name, system)
        seconds = time.monotonic() - began
        print(f"{name} {system}: {_line(measured)} ({seconds:.0f} s in all)", flush=True)
        write_part("sets", gathered(plan.work))


def in_order(sets: Sequence[str], systems: Sequence[str]) -> list[tuple[str, str]]:
    """Sets with systems, the most telling first."""
    first = [system for system in list(ORDER)[:FIRST] if system in systems]
    then = [system for system in systems if system not in first]
    return [(name, system) for part in (first, then) for name in sets for system in part]


def measure(plan: Plan, name: str, system: str) -> dict[str, Any]:
    """One system with one set: what is kept of an earlier run, or build and measure it now."""
    path = plan.work / "measured" / name / f"{_slug(system)}.json"
    kept = json.loads(path.read_text("utf-8")) if path.exists() else {}
    stamp = _stamp(plan, system)
    built = plan.work / "built" / name / _slug(system)
    if plan.rebuild or kept.get("stamp") != stamp or not built.exists():
        kept = {"stamp": stamp, "date": datetime.now(UTC).strftime("%Y-%m-%d")}
        kept |= _build(plan, name, system, built)
        _write(path, kept)
    if "build" in kept and (plan.again or "warm" not in kept):
        for phase, seconds in SECONDS.items():
            times = COLD_RUNS if phase == "cold" else 1
            runs = [_phase(plan, name, system, built, phase, seconds) for _ in range(times)]
            kept[phase] = min(runs, key=lambda run: run.get("first", 0.0))
        kept["date"] = datetime.now(UTC).strftime("%Y-%m-%d")
        _write(path, kept)
    return kept


def gathered(work: Path) -> dict[str, Any]:
    """All that was measured, by set and system, in the order of a run.

    What is in the results and was measured in another folder stays.
    """
    found: dict[str, Any] = {}
    with suppress(FileNotFoundError, KeyError):
        found = {**results.read("store")["sets"]}  # type: ignore[dict-item]
    for name in SETS:
        earlier = found.get(name, {}).get("systems", {})
        told = work / "data" / name / "told.json"
        files = {s: work / "measured" / name / f"{_slug(s)}.json" for s in ORDER}
        systems = {
            system: json.loads(path.read_text("utf-8"))
            for system, path in files.items()
            if path.exists()
        }
        if told.exists() and systems:
            systems = {s: {**earlier, **systems}[s] for s in ORDER if s in {**earlier, **systems}}
            found[name] = {"data": json.loads(told.read_text("utf-8")), "systems": systems}
    return {name: found[name] for name in SETS if name in found}


def write_part(part: str, content: object) -> None:
    """Put a part of `results/store.json` in the place of what it was; other parts stay."""
    parts: dict[str, Any] = {}
    with suppress(FileNotFoundError):
        earlier = results.read("store")
        parts = {key: earlier[key] for key in ("sets", "lexical") if key in earlier}
    parameters = {
        "rows of a document": 20,
        "questions": data.QUERIES,
        "cold": f"least of {COLD_RUNS} processes",
        "threads": "searches: one, databases their own; builds: all",
        "unit": "ms, bytes, MB",
    }
    results.write("store", parameters, **{**parts, part: content})


def _build(plan: Plan, name: str, system: str, built: Path) -> dict[str, Any]:
    """The figures of a build; or why it was not done."""
    slow = _too_slow(plan, name, system)
    if slow:
        return {"skipped": slow}
    shutil.rmtree(built, ignore_errors=True)
    built.mkdir(parents=True)
    found = _phase(plan, name, system, built, "build", plan.limit)
    if "failed" not in found:
        return {"build": found}
    shutil.rmtree(built)
    built.mkdir()  # empty: it was tried
    return found


def _too_slow(plan: Plan, name: str, system: str) -> str:
    """Why a build would not end in time, judged by one of fewer rows; "" where it may."""
    rows, dimensions = data.SETS[name]
    for other, (fewer, same) in data.SETS.items():
        path = plan.work / "measured" / other / f"{_slug(system)}.json"
        if same == dimensions and fewer < rows and path.exists():
            kept = json.loads(path.read_text("utf-8"))
            seconds = kept.get("build", {}).get("seconds", 0.0)
            if fewer >= 100_000 and seconds * rows / fewer > plan.limit:
                return f"{fewer:,} rows took {seconds:.0f} s to build"
            if "failed" in kept:
                return f"{fewer:,} rows: {kept['failed']}"
    return ""


def _phase(
    plan: Plan, name: str, system: str, built: Path, phase: str, seconds: float
) -> dict[str, Any]:
    """What a process of its own measured; `failed` where it did not."""
    python = sys.executable if ORDER[system] == "ours" else str(plan.python)
    command = [python, "-m", "benchmarks.storing.process", ORDER[system], system]
    try:
        output = _run([*command, str(_data(plan, name)), str(built), phase], seconds)
    except (RuntimeError, subprocess.TimeoutExpired) as error:
        _stop_server(built)
        reason = f"not done in {seconds:.0f} s"
        return {"failed": str(error) if isinstance(error, RuntimeError) else reason}
    found: dict[str, Any] = json.loads(output.splitlines()[-1])
    return found


def _stop_server(built: Path) -> None:
    """Stop PostgreSQL, which does not end with the process that began it."""
    with suppress(OSError, ValueError, IndexError):
        os.kill(int((built / "postmaster.pid").read_text("utf-8").split()[0]), signal.SIGQUIT)


def _run(command: Sequence[str], seconds: float) -> str:
    """The output of a process. Raises RuntimeError if it fails, TimeoutExpired after so long."""
    environment = {**os.environ, "ANONYMIZED_TELEMETRY": "False", "PYTHONWARNINGS": "ignore"}
    with (
        subprocess.Popen(
            command,
            cwd=REPOSITORY,
            env=environment,
            text=True,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,
        ) as process,
        _ended(process),
    ):
        output, errors = process.communicate(timeout=seconds)
    if process.returncode:
        lines = errors.strip().splitlines() or [f"ended with {process.returncode}"]
        raise RuntimeError(lines[-1][:200])
    return output


@contextmanager
def _ended(process: subprocess.Popen[str]) -> Iterator[None]:
    """See to it that nothing of a process is left, whatever happens."""
    try:
        yield
    finally:
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)


def _stamp(plan: Plan, system: str) -> str:
    """What decides how a file is built: the source of ragkit's store; nothing of a peer."""
    if ORDER[system] != "ours":
        return "peer"
    sources = sorted((REPOSITORY / "ragkit" / "stores").glob("*.py"))
    return hashlib.sha256(b"".join(path.read_bytes() for path in sources)).hexdigest()[:16]


def _environment(folder: Path) -> Path:
    """The peers' interpreter; the environment is made where there is none. What cannot be
    installed is told, and fails when it is measured."""
    python = folder / "bin" / "python"
    if not python.exists():
        subprocess.run([sys.executable, "-m", "venv", str(folder)], check=True)
        for line in NEEDS.read_text("utf-8").splitlines():
            if line and not line.startswith("#"):
                command = [str(python), "-m", "pip", "install", "--quiet", *line.split()]
                if subprocess.run(command).returncode:
                    print(f"cannot be installed here: {line}", flush=True)
    return python


def _asked() -> tuple[Plan, list[str], list[str]]:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--peers", type=Path)
    parser.add_argument("--data", nargs="+", choices=[*data.SETS], default=[*SETS])
    parser.add_argument("--systems", nargs="+", choices=[*ORDER], default=[*ORDER])
    parser.add_argument("--limit", type=float, default=300.0, help="seconds of a build")
    parser.add_argument("--minutes", type=float, default=1e6, help="begin nothing after so many")
    parser.add_argument("--again", action="store_true", help="measure anew what is built")
    parser.add_argument("--rebuild", action="store_true", help="build anew, too")
    given = parser.parse_args()
    work = given.work.expanduser().resolve()
    python = _environment((given.peers or work / "peers").expanduser().absolute())
    ends = time.monotonic() + given.minutes * 60
    plan = Plan(work, python, given.limit, ends, given.again or given.rebuild, given.rebuild)
    return plan, given.data, given.systems


def _data(plan: Plan, name: str) -> Path:
    return plan.work / "data" / name


def _slug(system: str) -> str:
    return re.sub(r"\W+", "-", system.lower())


def _write(path: Path, content: object) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content), encoding="utf-8")


def _line(measured: dict[str, Any]) -> str:
    """The most important figures in a line."""
    for why in ("skipped", "failed"):
        if why in measured:
            return f"{why}: {measured[why]}"
    if "failed" in measured["warm"]:
        return f"failed: {measured['warm']['failed']}"
    build, ten = measured["build"], measured["warm"]["10"]
    return (
        f"built in {build['seconds']:.1f} s, {build['size'] / 1e6:.0f} MB; "
        f"{ten['median']:.2f} ms, recall {ten['recall']:.3f}"
    )


if __name__ == "__main__":
    main()
