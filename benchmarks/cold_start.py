"""What a command costs before it does anything: a process's time from start to end.

    python -m benchmarks.cold_start [--runs 15]

The search is over an index of the standard library that was built before. A first run of each
command, which may have to compile modules, is not counted.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from benchmarks import library, processes, results
from benchmarks.processes import Run

QUERY = "parse command line options with defaults"

WATCHED = {"apsw", "click", "numpy", "pathspec", "platformdirs", "pydantic", "rich", "yaml"}
WATCHED |= {"charset_normalizer", "semble_grammars", "sqlite_vec", "tree_sitter"}
"""Third-party packages whose import costs something."""

LOADED = """
import sys
before = set(sys.modules)
try:
    {code}
except SystemExit:
    pass
new = {{name.partition(".")[0] for name in set(sys.modules) - before}}
print("\\n@@", *sorted(new - set(sys.stdlib_module_names)))
"""


def commands(root: Path) -> dict[str, list[str]]:
    """The ragkit commands that are timed, by the name that they have in the table."""
    return {
        "ragkit --help": ["--help"],
        "ragkit search --no-refresh": ["search", QUERY, str(root), "--no-refresh"],
        "ragkit search": ["search", QUERY, str(root)],
        "ragkit status": ["status", str(root)],
    }


def loaded(code: str, cache: Path) -> list[str]:
    """Packages outside the standard library that are loaded once a line of Python has run."""
    program = LOADED.format(code=code)
    environment = {"RAGKIT_CACHE_DIR": str(cache)}
    run = processes.run([sys.executable, "-c", program], environment)
    return run.output.rpartition("@@")[2].split()


def measured(root: Path, cache: Path, count: int) -> dict[str, list[Run]]:
    """Runs of each command, and of Python with and without `import ragkit`, taken in turn."""
    runs: dict[str, list[Run]] = {}
    for _ in range(count + 1):
        for name, code in (("python -c pass", "pass"), ("import ragkit", "import ragkit")):
            runs.setdefault(name, []).append(processes.python(code))
        for name, arguments in commands(root).items():
            runs.setdefault(name, []).append(processes.ragkit(arguments, cache))
    return {name: found[1:] for name, found in runs.items()}


def row(name: str, runs: Sequence[Run], modules: Sequence[str]) -> list[str]:
    """One line of the table: medians, and minima in brackets."""
    wall = results.summary([run.wall * 1000 for run in runs])
    cpu = results.summary([run.cpu * 1000 for run in runs])
    return [
        name,
        f"{wall['median']:.0f} ms ({wall['min']:.0f})",
        f"{cpu['median']:.0f} ms ({cpu['min']:.0f})",
        ", ".join(name for name in modules if name in WATCHED) or "–",
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, default=15)
    count = parser.parse_args().runs
    with tempfile.TemporaryDirectory(prefix="ragkit-benchmark-") as folder:
        root, cache = Path(folder, "library"), Path(folder, "cache")
        library.copy(root)
        processes.ragkit(["index", str(root)], cache)
        runs = measured(root, cache, count)
        modules = {"import ragkit": loaded("import ragkit", cache)} | {
            name: loaded(f"from ragkit.cli import main; main({arguments!r})", cache)
            for name, arguments in commands(root).items()
        }
    print(
        results.table(
            ("command", "wall, median (min)", "CPU, median (min)", "loads"),
            [row(name, found, modules.get(name, ())) for name, found in runs.items()],
        )
    )
    results.write(
        "cold_start",
        {"runs": count, "query": QUERY},
        figures={
            name: {
                "wall_ms": results.summary([run.wall * 1000 for run in found]),
                "cpu_ms": results.summary([run.cpu * 1000 for run in found]),
                "memory_mb": results.summary([run.memory for run in found]),
                "loads": modules.get(name, []),
            }
            for name, found in runs.items()
        },
        runs={name: [[r.wall * 1000, r.cpu * 1000] for r in found] for name, found in runs.items()},
    )


if __name__ == "__main__":
    main()
