"""The tables of benchmarks/README.md, made of `results/*.json`: `python -m benchmarks.report`."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from benchmarks import results

RUNS = {
    "cold, Python files only": "cold index, Python files only",
    "cold": "cold index, all files",
    "unchanged": "nothing changed",
    "edited": "one line added to one file",
    "ragkit search, cold": "`ragkit search`: index and answer",
    "ragkit search, again": "`ragkit search`: answer again",
    "semble==0.7.0 search, cold": "semble 0.7.0: index and answer",
    "semble==0.7.0 search, again": "semble 0.7.0: answer again",
}
GOALS = {
    "cold, Python files only": "20 s, 500 MB",
    "unchanged": "0.5 s",
    "ragkit --help": "100 ms CPU",
    "ragkit search --no-refresh": "450 ms wall",
}
SYSTEMS = ("bm25", "chunked-embeddings", "hybrid")


def indexing() -> str:
    """What indexing the standard library takes."""
    found: dict[str, Any] = results.read("indexing")
    rows = [
        [
            said,
            f"{found['figures'][name]['wall_s']['median']:.2f} s",
            f"{found['figures'][name]['cpu_s']['median']:.2f} s",
            f"{found['figures'][name]['memory_mb']['median']:.0f} MB",
            GOALS.get(name, ""),
        ]
        for name, said in RUNS.items()
        if name in found["figures"]
    ]
    return results.table(("run", "wall", "CPU", "memory", "goal"), rows)


def counted() -> str:
    """What was indexed, in a sentence each."""
    found: dict[str, Any] = results.read("indexing")
    corpus, counts = found["parameters"]["corpus"], found["counts"]
    machine = found["machine"]
    return (
        f"{corpus['files']:,} files, {corpus['mb']:.0f} MB ({corpus['python_files']:,} of them "
        f"Python, {corpus['python_mb']:.0f} MB); {counts['indexed']:,} files are text and indexed "
        f"as {counts['chunks']:,} chunks; the database has {counts['database_mb']:.0f} MB. After "
        f"the edit {counts['files_indexed_after_edit']} file is read and indexed again, and "
        f"{counts['chunks_embedded_after_edit']} of its {counts['chunks_of_edited_file']} chunks "
        "is embedded. "
        f"Measured on {machine['processor']}, {machine['cores']} cores, Python "
        f"{machine['python']}, {found['date']}; medians of {found['parameters']['runs']} runs."
    )


def starting() -> str:
    """What a process takes."""
    found: dict[str, Any] = results.read("cold_start")
    rows = []
    for name, figures in found["figures"].items():
        wall, cpu = figures["wall_ms"], figures["cpu_ms"]
        rows.append(
            [
                f"`{name}`",
                f"{wall['median']:.0f} ms ({wall['min']:.0f})",
                f"{cpu['median']:.0f} ms ({cpu['min']:.0f})",
                f"{figures['memory_mb']['median']:.0f} MB",
                GOALS.get(name, ""),
            ]
        )
    return results.table(
        ("process", "wall, median (min)", "CPU, median (min)", "memory", "goal"), rows
    )


def retrieval() -> str:
    """Mean of the main measure by task and system, and what fusing gains over the better part."""
    found: dict[str, Any] = results.read("retrieval")
    rows = []
    for task in found["tasks"].values():
        measure, gained = task["measure"], task["hybrid_minus_best"]
        low, high = gained["interval"]
        rows.append(
            [
                task["task"],
                str(task["queries"]),
                measure,
                *(f"{task['means'][system][measure]['mean']:.3f}" for system in SYSTEMS),
                f"{gained['mean']:+.3f} [{low:+.3f}, {high:+.3f}]",
            ]
        )
    header = ("task", "queries", "measure", *SYSTEMS, "hybrid − best part")
    return results.table(header, rows)


def others() -> str:
    """The other measures of the same rankings, of the hybrid alone."""
    found: dict[str, Any] = results.read("retrieval")
    rows = [
        [task["task"], ", ".join(_means(task["means"]["hybrid"], task["measure"]))]
        for task in found["tasks"].values()
    ]
    return results.table(("task", "hybrid"), rows)


def _means(measures: dict[str, Any], main: str) -> Iterator[str]:
    for measure, of in measures.items():
        if measure != main:
            yield f"{measure} {of['mean']:.3f}"


def engine() -> str:
    """What indexing through a model server takes beside the engine's own time."""
    found: dict[str, Any] = results.read("engine")
    over, failed, killed = found["overhead"], found["failures"], found["killed"]
    rows = [
        ["indexing, whole process", f"{over['index_s']['median']:.1f} s", ""],
        ["the engine alone, same requests", f"{over['engine_s']['median']:.1f} s", ""],
        ["ratio", f"{over['ratio']['median']:.3f}", "1.05"],
        ["texts sent twice", f"{over['sent_twice']} of {over['texts']:,}", "0"],
        [
            f"{sum(failed['failures'].values())} of {failed['requests']} requests fail",
            "the same index" if failed["equal"] else "another index",
            "the same index",
        ],
        ["… texts embedded twice", str(failed["answered_twice"]), "0"],
        [
            f"killed after {killed['embedded_before']:,} of {killed['texts']:,} texts",
            f"{killed['embedded_again']} embedded again",
            "those under way",
        ],
        *(
            [f"peak memory, {row['chunks']:,} chunks", f"{row['memory_mb']:.0f} MB", "flat"]
            for row in found["memory"]
        ),
    ]
    return results.table(("what", "measured", "goal"), rows)


def embedded() -> str:
    """The models that run in process."""
    found: dict[str, Any] = results.read("embedded")
    rows = [
        [
            f"`{name}`",
            f"{figures['first_vector_ms']:.0f} ms",
            f"{figures['query_ms']:.2f} ms",
            f"{figures['texts_per_second']:,.0f}",
            f"{figures['memory_mb']:.0f} MB",
        ]
        for name, figures in found["figures"].items()
    ]
    return results.table(("model", "first vector", "query", "chunks/s", "memory"), rows)


def tuning() -> str:
    """Every value that was tried."""
    found: dict[str, Any] = results.read("tuning")
    return results.table(found["header"], found["trials"])


if __name__ == "__main__":
    for part in (indexing, counted, starting, engine, embedded, retrieval, others, tuning):
        print(part() + "\n")
