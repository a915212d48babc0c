"""Measure whether indexes are true, a part or all of it, into `results/truth.json`.

    python -m benchmarks.truth [freshness|crash|sharing|scale|packs ...] [--work FOLDER] [--quick]

Each part is written when it is done; those that are not run again stay as they were. With
`--quick` all is small, ends within a minute, and is only printed: it says whether things work.
The exit status is 1 where a promise was broken.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from benchmarks import results
from benchmarks.truth import crash, freshness, packs, scale, sharing

PARTS: dict[str, Any] = {
    "freshness": freshness,
    "crash": crash,
    "sharing": sharing,
    "scale": scale,
    "packs": packs,
}

BROKEN = ("differences", "misplaced", "failures", "errors", "parts")
"""Counts that must be 0, wherever they are in a part."""


def broken(found: Mapping[str, Any]) -> int:
    """How many promises were broken, all of them together."""
    own: int = sum(value for name, value in found.items() if name in BROKEN)
    return own + sum(broken(value) for value in found.values() if isinstance(value, Mapping))


def merged(name: str, size: Any, found: Mapping[str, Any], seconds: float) -> None:
    """Write a part in place of the one before; the other parts stay."""
    try:
        parts: dict[str, Any] = dict(results.read("truth"))["parts"]  # type: ignore[assignment]
    except FileNotFoundError:
        parts = {}
    told = {
        "date": datetime.now(UTC).strftime("%Y-%m-%d"),
        "machine": results.machine(),
        "parameters": asdict(size),
        "seconds": seconds,
        **found,
    }
    kept = {part: told if part == name else parts.get(part) for part in PARTS}
    results.write("truth", {}, parts={part: of for part, of in kept.items() if of})


@contextmanager
def _folder(work: Path | None) -> Iterator[Path]:
    """An empty folder for one part, which is deleted in the end."""
    if work:
        work.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="ragkit-truth-", dir=work) as folder:
        yield Path(folder).resolve()


def main() -> int:
    """Measure what the command line says; 1 where a promise was broken."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("parts", nargs="*", metavar="PART", help=f"of: {', '.join(PARTS)}")
    parser.add_argument("--work", type=Path, help="where trees and databases are made")
    parser.add_argument("--quick", action="store_true", help="small, and nothing is written")
    options = parser.parse_args()
    if unknown := {*options.parts} - {*PARTS}:
        parser.error(f"no such part: {', '.join(sorted(unknown))}")
    wrong = 0
    for name in options.parts or PARTS:
        module, started = PARTS[name], time.monotonic()
        size = module.QUICK if options.quick else module.Size()
        with _folder(options.work) as folder:
            found = module.measure(folder, size)
        seconds = time.monotonic() - started
        shown = json.dumps(results.rounded(found), indent=1, ensure_ascii=False)
        print(f"{name}: {seconds:.0f} s, {broken(found)} broken\n{shown}", flush=True)
        wrong += broken(found)
        if not options.quick:
            merged(name, size, found, seconds)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
