"""Measure how fast a table embeds and starts, and put it into a file of figures.

Texts are thousand-character pieces of the standard library; times are of one core's CPU.

Usage: python training/speed.py [FIGURES.json]
"""

from __future__ import annotations

import json
import os
import platform
import statistics
import subprocess
import sys
import sysconfig
import time
from pathlib import Path

_START = """
import time
import numpy
began = time.perf_counter(), time.process_time()
from ragkit.models.embedded import StaticEmbedder
StaticEmbedder().embed(["how are ignore rules applied?"], "query")
print(time.perf_counter() - began[0], time.process_time() - began[1])
"""


def texts(count: int = 5000, size: int = 1000) -> list[str]:
    found: list[str] = []
    for path in sorted(Path(sysconfig.get_paths()["stdlib"]).glob("*.py")):
        source = path.read_text("utf-8", "replace")
        found += [source[i : i + size] for i in range(0, len(source) - size, size)]
    return found[:count]


def embedding(passes: int = 7) -> dict[str, float]:
    """Texts a second: of the first pass, and the median of the others."""
    from ragkit.models.embedded import StaticEmbedder

    embedder = StaticEmbedder()
    embedder.embed(["open"], "query")
    chosen = texts()
    rates = []
    for _ in range(passes):
        began = time.process_time()
        embedder.embed(chosen, "document")
        rates.append(len(chosen) / (time.process_time() - began))
    return {
        "texts": len(chosen),
        "first pass, texts/s": round(rates[0]),
        "later passes, texts/s": round(statistics.median(rates[1:])),
        "best pass, texts/s": round(max(rates)),
    }


def starting(runs: int = 11) -> dict[str, float]:
    """Seconds from numpy being there to the first query's vector, each in a new process."""
    found = []
    for _ in range(runs):
        done = subprocess.run(
            [sys.executable, "-c", _START], capture_output=True, text=True, check=True
        )
        found.append([float(number) for number in done.stdout.split()])
    wall, cpu = zip(*found, strict=True)
    return {
        "load and first query, wall ms, median": round(1000 * statistics.median(wall), 1),
        "load and first query, CPU ms, median": round(1000 * statistics.median(cpu), 1),
        "load and first query, CPU ms, least": round(1000 * min(cpu), 1),
    }


def main() -> None:
    os.environ["OMP_NUM_THREADS"] = os.environ["OPENBLAS_NUM_THREADS"] = "1"
    measured = {
        "machine": f"{os.cpu_count()} cores, Python {platform.python_version()}",
        "load average": round(os.getloadavg()[0], 1),
        **embedding(),
        **starting(),
    }
    print(json.dumps(measured, indent=2))
    if sys.argv[1:]:
        path = Path(sys.argv[1])
        figures = json.loads(path.read_text("utf-8")) if path.exists() else {}
        path.write_text(json.dumps(figures | {"speed": measured}, indent=2) + "\n", "utf-8")


if __name__ == "__main__":
    main()
