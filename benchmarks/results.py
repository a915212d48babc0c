"""Where results go: one JSON file a benchmark, with the machine, the parameters and all runs."""

from __future__ import annotations

import json
import os
import platform
import statistics
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path

import ragkit

FOLDER = Path(__file__).parent / "results"

PACKAGES = ("apsw", "numpy", "semble-grammars", "sqlite-vec")
"""Those whose versions decide what is measured."""


def write(name: str, parameters: Mapping[str, object], **content: object) -> Path:
    """Write `results/<name>.json` in place of the one before; its path."""
    report = {
        "name": name,
        "date": datetime.now(UTC).strftime("%Y-%m-%d"),
        "machine": machine(),
        "versions": {"ragkit": ragkit.__version__} | {p: metadata.version(p) for p in PACKAGES},
        "parameters": dict(parameters),
        **content,
    }
    FOLDER.mkdir(exist_ok=True)
    path = FOLDER / f"{name}.json"
    path.write_text(_shown(rounded(report)) + "\n", encoding="utf-8")
    print(f"\nwritten: {path}")
    return path


def read(name: str) -> dict[str, object]:
    """What `write` wrote. Raises FileNotFoundError where that benchmark has not been run."""
    content: dict[str, object] = json.loads((FOLDER / f"{name}.json").read_text(encoding="utf-8"))
    return content


def machine() -> dict[str, object]:
    """What figures depend on: processor, cores, system, Python."""
    return {
        "cores": os.cpu_count(),
        "processor": _processor(),
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
    }


def summary(values: Sequence[float]) -> dict[str, float]:
    """Median, least and most."""
    return {"median": statistics.median(values), "min": min(values), "max": max(values)}


SPREAD = ("median", "p95", "max")


def spread(values: Sequence[float]) -> dict[str, float]:
    """Median, 95th percentile, most."""
    ordered = sorted(values)
    p95 = ordered[min(len(ordered) - 1, int(0.95 * len(ordered)))]
    return {"median": statistics.median(ordered), "p95": p95, "max": ordered[-1]}


def table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table, its columns aligned."""
    every = [list(header), ["---"] * len(header), *map(list, rows)]
    widths = [max(len(row[column]) for row in every) for column in range(len(header))]
    every[1] = ["-" * width for width in widths]
    return "\n".join(
        "| " + " | ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) + " |"
        for row in every
    )


def rounded(value: object) -> object:
    """The same content with numbers to four places: more would be noise."""
    if isinstance(value, float):
        return round(value, 4)
    if isinstance(value, Mapping):
        return {key: rounded(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [rounded(item) for item in value]
    return value


def _shown(value: object, depth: int = 0) -> str:
    """JSON with a line for each key; a list is one line, however long."""
    if not isinstance(value, Mapping) or not value:
        return json.dumps(value, ensure_ascii=False)
    pad = " " * (depth + 1)
    lines = [f"{pad}{json.dumps(key)}: {_shown(item, depth + 1)}" for key, item in value.items()]
    return "{\n" + ",\n".join(lines) + "\n" + " " * depth + "}"


def _processor() -> str:
    try:
        described = Path("/proc/cpuinfo").read_text(encoding="utf-8")
    except OSError:
        return platform.processor()
    names = [line.partition(":")[2] for line in described.splitlines() if "model name" in line]
    return names[0].strip() if names else platform.processor()
