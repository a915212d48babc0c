"""Run a command as a user would and say what it took: time, processor time, memory, output."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[1]

SAMPLED_EVERY = 0.05
"""Seconds between two looks at the memory of the process tree."""


@dataclass(frozen=True, slots=True)
class Run:
    """What one run of a command took."""

    wall: float
    """Seconds from start to end."""
    cpu: float
    """Seconds of processor time, user and system, of the process and those that it waited for."""
    memory: float
    """Peak MB of the whole process tree, pages that processes share counted once; where this
    system does not tell, the peak of the largest process."""
    code: int
    output: str


def ragkit(arguments: Sequence[str], cache: Path) -> Run:
    """Run this checkout's command line, with its databases in a folder of its own."""
    environment = {"RAGKIT_CACHE_DIR": str(cache)}
    return run([sys.executable, "-m", "ragkit", *arguments], environment)


def python(code: str) -> Run:
    """Run a line of Python in a fresh process that can import this checkout."""
    return run([sys.executable, "-c", code], {})


def run(command: Sequence[str], environment: Mapping[str, str], check: bool = True) -> Run:
    """Run to the end and measure. Raises RuntimeError if it fails and `check` is set."""
    inherited = {**os.environ, "PYTHONPATH": str(REPOSITORY), **environment}
    inherited.pop("PYTHONDONTWRITEBYTECODE", None)  # installed packages are compiled once
    with tempfile.TemporaryFile() as output, tempfile.TemporaryFile() as errors:
        started = time.perf_counter()
        process = subprocess.Popen(
            command, env=inherited, stdin=subprocess.DEVNULL, stdout=output, stderr=errors
        )
        memory = _Memory(process.pid)
        memory.start()
        _, status, usage = os.wait4(process.pid, 0)
        wall = time.perf_counter() - started
        process.returncode = os.waitstatus_to_exitcode(status)
        memory.stop()
        output.seek(0)
        errors.seek(0)
        text = output.read().decode(errors="replace")
        if check and process.returncode:
            raise RuntimeError(f"{' '.join(command)}: {errors.read().decode(errors='replace')}")
    largest = usage.ru_maxrss / (1e6 if sys.platform == "darwin" else 1e6 / 1024)
    cpu = usage.ru_utime + usage.ru_stime
    # not the larger: a process begins as a copy of this one, and is said to have held as much
    return Run(wall, cpu, memory.peak or largest, process.returncode, text)


class _Memory(threading.Thread):
    """Looks at a process and its descendants until stopped; `peak` is in MB."""

    def __init__(self, process: int) -> None:
        super().__init__(daemon=True)
        self.process = process
        self.peak = 0.0
        self._stopped = threading.Event()

    def run(self) -> None:
        while not self._stopped.wait(SAMPLED_EVERY):
            self.peak = max(self.peak, held(self.process))

    def stop(self) -> None:
        self._stopped.set()
        self.join()


def held(process: int) -> float:
    """MB that a process and its descendants hold now, as `Run.memory` counts; 0 where not told."""
    return sum(_share(one) for one in _tree(process)) / 1e6


def _tree(process: int) -> list[int]:
    """The process and its descendants, as far as they are still there."""
    found = [process]
    for parent in found:
        try:
            for task in Path(f"/proc/{parent}/task").glob("*/children"):
                found += map(int, task.read_text().split())
        except OSError:  # it has ended meanwhile
            continue
    return found


def _share(process: int) -> int:
    """Bytes of memory, each shared page divided by those that share it; 0 where not told."""
    try:
        rollup = Path(f"/proc/{process}/smaps_rollup").read_text()
    except OSError:
        return 0
    return sum(
        int(line.split()[1]) * 1024 for line in rollup.splitlines() if line.startswith("Pss:")
    )
