"""Index the standard library: cold, unchanged, and with one file edited.

    python -m benchmarks.indexing [--runs 5] [--no-peer]

The corpus is a copy of the running Python's library, all files but site-packages and compiled ones,
freshly written and so in the page cache. Every run is a whole process: `python -m ragkit index`.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from benchmarks import library, peer, processes, results
from benchmarks.processes import Run

EDITED = "argparse.py"
QUERY = "parse command line options with defaults"


def cold(root: Path, caches: Path, count: int) -> list[Run]:
    """Index into an empty cache folder, a new one each time."""
    return [
        processes.ragkit(["index", str(root), "--json"], caches / f"cold{number}")
        for number in range(count)
    ]


def unchanged(root: Path, cache: Path, count: int) -> list[Run]:
    """Index again with nothing to do."""
    return [processes.ragkit(["index", str(root), "--json"], cache) for _ in range(count)]


def edited(root: Path, cache: Path, count: int) -> list[Run]:
    """Add a line in the middle of one file and index, several times over."""
    file = root / EDITED
    runs = []
    for number in range(count):
        lines = file.read_text(encoding="utf-8").splitlines(keepends=True)
        middle = next(i for i, line in enumerate(lines) if "def _parse_known_args" in line) + 1
        lines.insert(middle, f"        # edited, time {number}\n")
        file.write_text("".join(lines), encoding="utf-8")
        runs.append(processes.ragkit(["index", str(root), "--json"], cache))
    return runs


def first_answer(search: Callable[[Path], Run], caches: Path, count: int) -> dict[str, list[Run]]:
    """Index and answer one query from nothing, then answer it again with nothing changed."""
    folders = [caches / str(number) for number in range(count)]
    return {
        "cold": [search(folder) for folder in folders],
        "again": [search(folder) for folder in folders],
    }


def summary_of(run: Run) -> dict[str, Any]:
    """What `ragkit index --json` said of its one index."""
    summary: dict[str, Any] = json.loads(run.output)["summaries"][0]
    return summary


def figures(runs: Sequence[Run]) -> dict[str, object]:
    """Medians and extremes of what the runs took."""
    return {
        "wall_s": results.summary([run.wall for run in runs]),
        "cpu_s": results.summary([run.cpu for run in runs]),
        "memory_mb": results.summary([run.memory for run in runs]),
    }


def raw(runs: Sequence[Run]) -> list[list[float]]:
    """Wall, processor time and memory of each run."""
    return [[run.wall, run.cpu, run.memory] for run in runs]


def corpus_of(root: Path) -> dict[str, float]:
    """How much there is to index."""
    files = [path for path in root.rglob("*") if path.is_file() and not path.is_symlink()]
    python = [path for path in files if path.suffix == ".py"]
    return {
        "files": len(files),
        "mb": sum(path.stat().st_size for path in files) / 1e6,
        "python_files": len(python),
        "python_mb": sum(path.stat().st_size for path in python) / 1e6,
    }


def row(name: str, runs: Sequence[Run], remark: str = "") -> list[str]:
    """One line of the table."""
    wall, cpu, memory = (
        results.summary([getattr(run, what) for run in runs])["median"]
        for what in ("wall", "cpu", "memory")
    )
    return [name, f"{wall:.2f} s", f"{cpu:.2f} s", f"{memory:.0f} MB", remark]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--no-peer", action="store_true", help="leave semble out")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="ragkit-benchmark-") as folder:
        measure(Path(folder), options.runs, with_peer=not options.no_peer)


def measure(folder: Path, count: int, *, with_peer: bool) -> None:
    """All of it, into `results/indexing.json`."""
    root = folder / "library"
    library.copy(root)
    corpus = corpus_of(root)
    python = folder / "python"
    library.copy(python, suffix=".py")
    runs = {
        "cold": cold(root, folder / "all", count),
        "cold, Python files only": cold(python, folder / "python-only", count),
    }
    database = sum(path.stat().st_size for path in (folder / "all" / "cold0").iterdir())
    warm = folder / "all" / f"cold{count - 1}"
    runs["unchanged"] = unchanged(root, warm, 2 * count)
    runs["edited"] = edited(root, warm, count)
    for name, what in (answers(folder, root, count, with_peer)).items():
        runs |= {f"{name} search, {state}": found for state, found in what.items()}
    first, edit = summary_of(runs["cold"][0]), summary_of(runs["edited"][0])
    counts = {
        "indexed": first["indexed"],
        "chunks": first["chunks"],
        "undecodable": first["failed"],
        "database_mb": database / 1e6,
        "edited_file": EDITED,
        "files_indexed_after_edit": edit["indexed"] + edit["unchanged"],
        "chunks_of_edited_file": edit["chunks"],
        "chunks_embedded_after_edit": edit["embedded"],
    }
    remarks = {
        "cold": f"{first['indexed']:,} files, {first['chunks']:,} chunks",
        "edited": f"{counts['files_indexed_after_edit']} file indexed, {edit['embedded']} of its "
        f"{edit['chunks']} chunks embedded",
    }
    print(
        results.table(
            ("run", "wall", "CPU", "memory", ""),
            [row(name, found, remarks.get(name, "")) for name, found in runs.items()],
        )
    )
    results.write(
        "indexing",
        {"runs": count, "corpus": corpus, "query": QUERY},
        counts=counts,
        figures={name: figures(found) for name, found in runs.items()},
        runs={name: raw(found) for name, found in runs.items()},
    )


def answers(folder: Path, root: Path, count: int, with_peer: bool) -> dict[str, dict[str, Any]]:
    """The same command from ragkit and from the peer: index what is new and answer a query."""

    def ours(cache: Path) -> Run:
        return processes.ragkit(["search", QUERY, str(root), "--json"], cache)

    found = {"ragkit": first_answer(ours, folder / "ours", count)}
    rival = peer.install(folder / "peer", root) if with_peer else None
    if rival:

        def theirs(cache: Path) -> Run:
            return rival.search(QUERY, root, cache)

        found[rival.name] = first_answer(theirs, folder / "theirs", count)
    return found


if __name__ == "__main__":
    main()
