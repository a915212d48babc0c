"""The table on truth in benchmarks/README.md, made of `results/truth.json`."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, TypeAlias

from benchmarks import results

Row: TypeAlias = tuple[str, str, str]
"""What, measured, goal."""


def table() -> str:
    """A line for each promise; a part that is missing says so."""
    found = _parts()
    rows = [
        row
        for part, (title, told) in PARTS.items()
        for row in [(f"**{title}**", "", ""), *_told(told, found.get(part))]
    ]
    return results.table(("what", "measured", "goal"), rows)


def measured() -> str:
    """Where and when, in a sentence."""
    found = _parts()
    if not found:
        return "Not measured yet."
    machines = dict.fromkeys(
        f"{of['machine']['processor']}, {of['machine']['cores']} cores, Python "
        f"{of['machine']['python']}"
        for of in found.values()
    )
    dates = sorted({of["date"] for of in found.values()})
    return f"Measured on {'; '.join(machines)}; {' and '.join(dates)}."


def _parts() -> dict[str, Any]:
    """What was measured, by part; {} for nothing."""
    try:
        written: dict[str, Any] = results.read("truth")
    except FileNotFoundError:
        return {}
    parts: dict[str, Any] = written["parts"]
    return parts


def _told(told: Callable[[dict[str, Any]], Iterator[Row]], of: dict[str, Any] | None) -> list[Row]:
    return [("Not measured yet.", "", "")] if of is None else [*told(of)]


def _freshness(of: dict[str, Any]) -> Iterator[Row]:
    for way, said in (("watch", "under watch"), ("refresh", "refreshed before each query")):
        seen = of[way]
        edits = sum(seen["edits"].values())
        yield (
            f"{edits:,} edits {said}: indexes unlike a scratch build",
            f"{seen['differences']} of {seen['comparisons']}",
            "0",
        )
        yield (
            f"… fresh hits that are not on their lines, {seen['queries']:,} queries",
            f"{seen['misplaced']} of {seen['fresh_hits']:,}",
            "0",
        )
    save = of["save_s"]
    yield "from a save until it is found, median", f"{save['median']:.2f} s", "1 s"
    yield "… 95th percentile", f"{save['p95']:.2f} s", ""


def _crash(of: dict[str, Any]) -> Iterator[Row]:
    for name, kills in of["commands"].items():
        yield f"`{name}`: failures after a kill", f"{kills['failures']} of {kills['kills']}", "0"
    yield "all of them", f"{of['failures']} of {of['kills']}", "0"
    converged = sum(kills["converged"] for kills in of["commands"].values())
    yield "runs after it that came to a scratch build's content", f"{converged}", ""


def _sharing(of: dict[str, Any]) -> Iterator[Row]:
    for run in of["runs"].values():
        quiet, busy = run["quiet_s"], run["busy_s"]
        said = f"{run['readers']} reader{'' if run['readers'] == 1 else 's'}"
        queries = sum(run["queries"].values())
        yield f"{said}, {of['cores']} cores: errors", f"{run['errors']} of {queries:,}", "0"
        yield "… files seen in part", f"{run['parts']} of {run['looks']:,}", "0"
        yield "… median (p95) of a query while nothing happens", _two(quiet), ""
        yield f"… while {of['new']:,} files are indexed", _two(busy), ""
        yield "… when all of them are", _two(run["after_s"]), ""
        ratio = run["ratio_to_after"]
        yield "… ratio of the two", f"{ratio['median']:.1f} ({ratio['p95']:.1f})", "(2)"


def _two(seconds: dict[str, float]) -> str:
    return f"{seconds['median'] * 1000:.0f} ms ({seconds['p95'] * 1000:.0f})"


def _scale(of: dict[str, Any]) -> Iterator[Row]:
    for tree in of["trees"].values():
        count = f"{tree['files']:,} files"
        first = f"{tree['first_s']:.1f} s, {tree['first_memory_mb']:.0f} MB"
        yield f"{count}: first index, peak memory", first, ""
        yield "… nothing changed", f"{tree['unchanged_s']['median']:.2f} s", ""
        yield "… from a save until it is found", f"{tree['save_s']['median']:.2f} s", "1 s"
        yield "… memory of the watch", f"{tree['watch_memory_mb']['after']:.0f} MB", ""
    yield (
        f"first index, {of['ratio_files']:.0f} times the files",
        f"{of['ratio_first']:.1f} times the time",
        "",
    )


def _packs(of: dict[str, Any]) -> Iterator[Row]:
    for back, pack in of["back"].items():
        when = f"{back} commit{'' if back == '1' else 's'} ago"
        goal = "95 %" if back == "50" else ""
        yield (
            f"pack of {when}: chunks that are in it",
            f"{pack['share_of_chunks'] * 100:.1f} % of {pack['chunks']:,}",
            goal,
        )
        yield "… files that both packs have", f"{pack['same_files']} of {of['files']}", ""
    yield f"size of a pack of {of['embeddings']:,} embeddings", f"{of['pack_mb']:.1f} MB", ""
    if "releases" in of:
        pack = of["releases"]
        yield (
            f"pack of {pack['package']} {pack['earlier']}: chunks of {pack['later']} in it",
            f"{pack['share_of_chunks'] * 100:.1f} % of {pack['chunks']:,}",
            "95 %",
        )
        yield "… files that both packs have", f"{pack['same_files']} of {pack['later_files']}", ""


PARTS: dict[str, tuple[str, Callable[[dict[str, Any]], Iterator[Row]]]] = {
    "freshness": ("random edits", _freshness),
    "crash": ("kills", _crash),
    "sharing": ("readers beside a writer", _sharing),
    "scale": ("large trees", _scale),
    "packs": ("packs", _packs),
}
