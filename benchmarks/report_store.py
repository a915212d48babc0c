"""The tables of docs/store.md, made of `results/store.json`."""

from __future__ import annotations

import statistics
from importlib import import_module
from typing import Any

from benchmarks import results
from benchmarks.store import ORDER
from benchmarks.storing.system import System

HEADER = (
    "system",
    "setting",
    "built in",
    "file",
    "first answer",
    "median",
    "p95",
    "of ragkit's",
    "recall@10",
    "recall@50",
    "1 % of the rows",
    "10 % of the rows",
    "document replaced",
    "memory",
)
COMPARABLE = 0.985
"""Recall@10 from which an answer is called as good as another."""

BUSY = 2.0
"""Processes at work at one time, in the median, above which figures say less."""


def table(name: str) -> str:
    """All systems with one set of vectors; and why some are missing."""
    of = _set(name)
    if not of["systems"]:
        return "Not measured yet."
    ours = of["systems"].get("ragkit", {}).get("warm", {}).get("10", {}).get("median")
    rows, missing = [], []
    for system, measured in of["systems"].items():
        why = _missing(measured)
        if why:
            missing.append(f"{system} ({why})")
        else:
            rows.append(_row(system, measured, ours))
    shown = results.table(HEADER, rows)
    return f"{shown}\n\nNot measured: {'; '.join(missing)}." if missing else shown


def data() -> str:
    """How the vectors of each set lie."""
    found: dict[str, Any] = results.read("store")
    told = {name: of["data"] for name, of in found["sets"].items()}
    rows = [
        [
            name,
            f"{of['rows']:,}",
            str(of["dimensions"]),
            f"{of['cosine of two']:.2f} ± {of['its deviation']:.2f}",
            *(f"{of[f'cosine of the {rank}']:.2f}" for rank in ("first", "10th", "100th")),
            f"{of['local dimension']:.0f}",
        ]
        for name, of in told.items()
    ]
    neighbours = ("first neighbour", "10th", "100th")
    header = ("set", "rows", "dimensions", "cosine of two rows", *neighbours, "local dimension")
    return results.table(header, rows)


def goals() -> str:
    """What was asked of ragkit's store, and what it takes."""
    large, small = _ours("768-1m"), _ours("768-100k")
    rows = []
    if small:
        rows += [
            ["median of a warm answer, 100,000 rows", _ms(small["warm"]["10"]["median"]), "1.0 ms"],
            ["recall@10, 100,000 rows", f"{small['warm']['10']['recall']:.3f}", "0.990"],
            ["first answer of a process, 100,000 rows", _ms(small["cold"]["first"]), "60 ms"],
        ]
    if large:
        parts = large["build"]["parts"]
        per_row = (parts["vectors"] + parts["codes"]) / 1_000_000
        rows += [
            ["median of a warm answer, a million rows", _ms(large["warm"]["10"]["median"]), "8 ms"],
            ["recall@10, a million rows", f"{large['warm']['10']['recall']:.3f}", "0.990"],
            ["a document replaced, a million rows", _ms(_updated(large)), "5 ms"],
            ["vectors and codes of a row", f"{per_row:,.0f} bytes", "1,000 bytes"],
            ["memory over Python's", f"{large['warm']['memory']['own']:.0f} MB", "150 MB"],
        ]
        elsewhere = large["update"].get("elsewhere")
        if elsewhere:
            said = "next answer of another process, a million rows"
            rows.append([said, _ms(elsewhere["median"]), "shows it"])
    return results.table(("figure", "ragkit", "goal"), rows)


def measured_on() -> str:
    """The machine and the day; and whether it was busy with other things."""
    found: dict[str, Any] = results.read("store")
    machine = found["machine"]
    loads = [
        measured["warm"]["load"]
        for of in found["sets"].values()
        for measured in of["systems"].values()
        if not _missing(measured)
    ]
    versions = {
        _class(system).package: measured["build"]["version"]
        for of in found["sets"].values()
        for system, measured in of["systems"].items()
        if "build" in measured
    }
    beside = ", ".join(f"{name} {versions[name]}" for name in sorted(versions) if name != "ragkit")
    load = statistics.median(loads)
    busy = f" The machine was busy with other things (load {load:.1f}): preliminary."
    return (
        f"Measured on {machine['processor']}, {machine['cores']} cores, "
        f"Python {machine['python']}, {found['date']}, "
        f"with {beside}.{busy if load > BUSY else ''}"
    )


def words() -> str:
    """The search by words beside others, by chunks; the last columns are of 30-word queries."""
    found: dict[str, Any] = results.read("store")
    rows = [
        [f"{int(size):,}", system, *_worded(measured)]
        for size, systems in found.get("lexical", {}).items()
        for system, measured in systems.items()
        if "warm" in measured
    ]
    header = (
        "chunks",
        "system",
        "built in",
        "files",
        "first answer",
        "5 words",
        "30 words",
        "p95",
        "document replaced",
        "the next answer",
        "memory",
        "of ragkit's ten",
    )
    return results.table(header, rows) if rows else "Not measured yet."


def _worded(measured: dict[str, Any]) -> list[str]:
    warm, update = measured["warm"], measured.get("update", {})
    alike = measured.get("as ragkit")
    return [
        f"{measured['build']['seconds']:,.1f} s",
        f"{measured['build']['size']:,.0f} MB",
        _ms(measured["cold"]["first"]),
        _ms(warm["5"]["again"]["median"]),
        _ms(warm["30"]["again"]["median"]),
        _ms(warm["30"]["again"]["p95"]),
        *(_ms(update[part]["median"]) if part in update else "no" for part in ("replace", "next")),
        f"{warm['memory']['own']:,.0f} MB",
        "" if alike is None else f"{alike:.2f}",
    ]


def _row(system: str, measured: dict[str, Any], ours: float | None) -> list[str]:
    warm = measured["warm"]
    ten, fifty = warm["10"], warm["50"]
    ratio = ten["median"] / ours if ours and ten["recall"] >= COMPARABLE else None
    return [
        f"**{system}**" if system == "ragkit" else system,
        _setting(system, ten),
        f"{measured['build']['seconds']:,.1f} s",
        f"{measured['build']['size'] / 1e6:,.0f} MB",
        _ms(measured["cold"].get("first")),
        _ms(ten["median"]),
        _ms(ten["p95"]),
        "" if ratio is None else f"{ratio:,.2f} ×",
        f"{ten['recall']:.3f}",
        f"{fifty['recall']:.3f}",
        *(_filtered(warm[share]) for share in ("1 %", "10 %")),
        _ms(_updated(measured)),
        f"{warm['memory']['own']:,.0f} MB",
    ]


def _setting(system: str, ten: dict[str, Any]) -> str:
    name = _class(system).effort_name
    return f"{name} {ten['effort']}" if name else ""


def _class(system: str) -> type[System]:
    module = import_module(f"benchmarks.storing.{ORDER[system]}")
    found: type[System] = next(one for one in module.SYSTEMS if one.name == system)
    return found


def _missing(measured: dict[str, Any]) -> str:
    """Why there are no figures; "" where there are."""
    for part in (measured, measured.get("warm", {})):
        for why in ("skipped", "failed", "unsuited"):
            if why in part:
                return str(part[why])
    return "" if "warm" in measured else "not yet"


def _filtered(of: dict[str, Any]) -> str:
    """Median, with the recall where that is less than it should be."""
    if "unsuited" in of:
        return str(of["unsuited"])
    low = f" (recall {of['recall']:.2f})" if of["recall"] < COMPARABLE else ""
    return _ms(of["median"]) + low


def _updated(measured: dict[str, Any]) -> float | None:
    """Milliseconds until a replaced document is stored: with all of the file, where that is so."""
    update = measured.get("update", {})
    if "replace" not in update:
        return None
    total: float = update["replace"]["median"] + update["save"]["median"]
    return total


def _ms(value: float | None) -> str:
    if value is None:
        return "no"
    return f"{value:,.2f} ms" if value < 10 else f"{value:,.0f} ms"


def _ours(name: str) -> dict[str, Any] | None:
    found = _set(name)["systems"].get("ragkit")
    return found if found and not _missing(found) else None


def _set(name: str) -> dict[str, Any]:
    found: dict[str, Any] = results.read("store")
    kept: dict[str, Any] = found["sets"].get(name, {"systems": {}})
    return kept
