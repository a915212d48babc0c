"""The tables of docs/retrieval.md, made of `results/*.json`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from benchmarks import results

KINDS = {
    "changes": "text of a change → files",
    "docstrings": "docstring → function",
    "web": "web-like question → function",
    "snippets": "web-like question → file of one function",
    "documentation": "question → section",
    "excerpts": "excerpt → place in long prose",
    "abstracts": "first sentence → short text",
}
COLUMNS = {
    "keywords": "keywords",
    "bm25": "BM25, windows",
    "vectors": "vectors",
    "rrf": "plain RRF",
    "ragkit": "ragkit",
}
MEASURES = ("nDCG@10", "MRR@10", "R@10", "span hit@5", "coverage 4,000", "coverage 8,000")
PARTS = {"tune": "seen", "held": "unseen"}


def kinds(measure: str) -> str:
    """Mean of a measure by kind, part and column, and the gain over plain RRF."""
    found: dict[str, Any] = results.read("evaluation")
    rows = [
        [
            said,
            PARTS[part],
            str(of["queries"]),
            *_best([of["means"][column].get(measure) for column in COLUMNS]),
            _gain(of["gains"]["ragkit"].get(measure)),
        ]
        for kind, said in KINDS.items()
        for part, of in _parts(found, "kinds", kind)
    ]
    header = (measure, "queries are", "queries", *COLUMNS.values(), "ragkit − plain RRF")
    return results.table(header, rows)


def every_set() -> str:
    """Each set: nDCG@10 by column, and the gain over plain RRF."""
    found: dict[str, Any] = results.read("evaluation")
    names = dict.fromkeys(name for of in found["parts"].values() for name in of["sets"])
    rows = [
        [
            name,
            PARTS[part],
            str(of["queries"]),
            *_best([of["means"][column]["nDCG@10"] for column in COLUMNS]),
            _gain(of["gains"]["ragkit"]["nDCG@10"]),
        ]
        for name in names
        for part, of in _parts(found, "sets", name)
    ]
    header = ("nDCG@10", "queries are", "queries", *COLUMNS.values(), "ragkit − plain RRF")
    return results.table(header, rows)


def ablation() -> str:
    """What nDCG@10 loses or gains when one thing is switched off."""
    found: dict[str, Any] = results.read("ablation")
    rules = list(found["parts"]["tune"]["kinds"]["changes"]["gains"])
    rows = [
        [said, PARTS[part], *(_gain(of["gains"][rule]["nDCG@10"]) for rule in rules)]
        for kind, said in KINDS.items()
        for part, of in _parts(found, "kinds", kind)
    ]
    return results.table(("nDCG@10 without", "queries are", *rules), rows)


def minilm() -> str:
    """The smallest corpora with another model's vectors, beside the static table's."""
    found: dict[str, Any] = results.read("minilm")
    first = next(of for part in found["parts"].values() for of in part["sets"].values())
    columns = [name for name in first["means"] if name not in ("keywords", "bm25")]
    names = dict.fromkeys(name for of in found["parts"].values() for name in of["sets"])
    rows = [
        [name, PARTS[part], *_best([of["means"][column]["nDCG@10"] for column in columns])]
        for name in names
        for part, of in _parts(found, "sets", name)
    ]
    return results.table(("nDCG@10", "queries are", *columns), rows)


def stages() -> str:
    """Milliseconds of each stage of an answer."""
    found: dict[str, Any] = results.read("answering")
    rows = [
        [stage, *(f"{of[key]:.1f} ms" for key in results.SPREAD)]
        for stage, of in found["stages"].items()
    ]
    return results.table(("stage", *results.SPREAD), rows)


def _parts(found: dict[str, Any], level: str, name: str) -> Iterator[tuple[str, dict[str, Any]]]:
    for part in PARTS:
        if name in found["parts"].get(part, {}).get(level, {}):
            yield part, found["parts"][part][level][name]


def _best(means: Sequence[Sequence[float] | None]) -> list[str]:
    """Means as text, the best of them in bold."""
    most = max((round(mean[0], 3) for mean in means if mean), default=0.0)
    shown = [f"{mean[0]:.3f}" if mean else "" for mean in means]
    return [f"**{text}**" if text == f"{most:.3f}" else text for text in shown]


def _gain(gain: Sequence[float] | None) -> str:
    if not gain:
        return ""
    mean, low, high = gain
    return f"{mean:+.3f} [{low:+.3f}, {high:+.3f}]"
