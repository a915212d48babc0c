"""How well ragkit finds: words alone, vectors alone, and both, on five tasks.

    python -m benchmarks.retrieval [--corpora FOLDER] [--only TASK …]

FOLDER is what `python -m benchmarks.corpora` made; without it the three code-localisation sets are
left out. Everything runs as it does without configuration.
"""

from __future__ import annotations

import argparse
import os
import statistics
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from benchmarks import judgements, library, measures, results
from ragkit import Hit, KnowledgeBase
from ragkit.kb.ordering import fusing
from ragkit.retriever import retrieve
from ragkit.types import Strategy

DEPTH = 200
"""Chunks in a ranking."""

System = Callable[[str], list[Hit]]
Scores = dict[str, float]
"""Measure → value, of one query."""


@dataclass(frozen=True, slots=True)
class Case:
    """A query, and how its ranking is judged."""

    query: str
    judge: Callable[[Sequence[Hit]], Scores]


@dataclass(frozen=True, slots=True)
class Task:
    """A corpus that is indexed in `root`, and its cases."""

    name: str
    root: Path
    cases: Sequence[Case]
    main: str
    """The measure that systems are compared by."""


def systems(kb: KnowledgeBase) -> dict[str, System]:
    """Each strategy alone, and the knowledge base as it answers: `hybrid`."""
    (index,) = kb.indexes
    fuse = fusing(kb.source)

    def alone(strategy: Strategy) -> System:
        part = [replace(index, strategies=(strategy,))]
        return lambda query: retrieve(query, part, fuse=fuse, limit=DEPTH).hits

    found = {strategy.name: alone(strategy) for strategy in index.strategies}
    return found | {"hybrid": lambda query: kb.answer(query, DEPTH).hits}


def scored(task: Task) -> dict[str, dict[str, list[float]]]:
    """Index the task's corpus and ask every query: system → measure → one value a query."""
    values: dict[str, dict[str, list[float]]] = {}
    with KnowledgeBase.open(task.root) as kb:
        kb.index()
        for name, search in systems(kb).items():
            for case in task.cases:
                for measure, value in case.judge(search(case.query)).items():
                    values.setdefault(name, {}).setdefault(measure, []).append(value)
    return values


def one_file_each(folder: Path) -> Task:
    """Docstring → function: 500 files, each a function of the standard library without it."""
    folder.mkdir()
    cases = []
    for number, function in enumerate(library.sample()):
        path = f"{number:03}.py"
        (folder / path).write_text(function.source, encoding="utf-8")
        cases.append(Case(function.query, partial(judge_files, right=path)))
    return Task("docstring → function", folder, cases, "MRR")


def whole_library(folder: Path) -> Task:
    """The same queries over the whole standard library, the docstrings taken out of it."""
    library.copy(folder)
    moved = library.undocument(folder, library.sample())
    cases = [Case(function.query, partial(judge_function, right=function)) for function in moved]
    return Task("docstring → place in the library", folder, cases, "MRR")


def code_localisation(name: str, corpora: Path) -> Task:
    """Text of a change → the files and lines that it changed."""
    cases = [
        Case(query.text, partial(judge_change, right=query)) for query in judgements.load(name)
    ]
    return Task(name, corpora / name, cases, "nDCG@10")


def judge_files(hits: Sequence[Hit], right: str) -> Scores:
    """A ranking by its first hit in the right file, files counted once each."""
    return _of_rank(measures.reciprocal_rank(files_of(hits), {right}, DEPTH))


def judge_function(hits: Sequence[Hit], right: library.Function) -> Scores:
    """A ranking of chunks by the first that overlaps the function's lines."""
    for rank, hit in enumerate(hits, start=1):
        chunk = hit.chunk
        if chunk.path == right.path and not (
            chunk.end_line < right.first or chunk.start_line > right.last
        ):
            return _of_rank(1 / rank)
    return _of_rank(0.0)


def judge_change(hits: Sequence[Hit], right: judgements.Query) -> Scores:
    """File level: nDCG, recall, MRR at 10. Span hit: whether one of the first ten chunks shows one
    of the places; only for queries that have any, so that its mean is over those."""
    files = files_of(hits)
    scores = {
        "nDCG@10": measures.ndcg(files, right.relevant, 10),
        "R@10": measures.recall(files, right.relevant, 10),
        "MRR@10": measures.reciprocal_rank(files, right.relevant, 10),
    }
    if right.spans:
        scores["span hit@10"] = float(
            any(
                judgements.hits_span(hit.chunk, path, span)
                for hit in hits[:10]
                for path, span in right.spans
            )
        )
    return scores


def files_of(hits: Sequence[Hit]) -> list[str]:
    """A ranking of chunks as one of files: the first chunk of each counts."""
    return list(dict.fromkeys(hit.chunk.path for hit in hits))


def _of_rank(reciprocal: float) -> Scores:
    return {"MRR": reciprocal, "R@1": float(reciprocal == 1), "R@10": float(reciprocal >= 0.1)}


def summarised(
    task: str, main: str, values: Mapping[str, Mapping[str, list[float]]]
) -> dict[str, object]:
    """Means with intervals, and what fusing gains over each part, query by query."""
    means = {
        system: {
            measure: {"mean": statistics.fmean(of), "interval": measures.interval(of)}
            for measure, of in found.items()
        }
        for system, found in values.items()
    }
    parts = [system for system in values if system != "hybrid"]
    best = max(parts, key=lambda system: statistics.fmean(values[system][main]))
    gains = {
        measure: {
            system: gain(values["hybrid"][measure], values[system][measure]) for system in parts
        }
        for measure in values["hybrid"]
    }
    return {
        "task": task,
        "queries": len(values["hybrid"][main]),
        "measure": main,
        "best_part": best,
        "hybrid_minus_best": gains[main][best],
        "means": means,
        "hybrid_minus": gains,
        "values": {system: found[main] for system, found in values.items()},
    }


def gain(system: list[float], baseline: list[float]) -> dict[str, object]:
    """Mean of the paired differences, and its interval."""
    difference = measures.differences(system, baseline)
    return {"mean": statistics.fmean(difference), "interval": measures.interval(difference)}


def pooled(
    found: Sequence[Mapping[str, Mapping[str, list[float]]]],
) -> dict[str, dict[str, list[float]]]:
    """The values of several tasks as those of one."""
    together: dict[str, dict[str, list[float]]] = {}
    for values in found:
        for system, by_measure in values.items():
            for measure, of in by_measure.items():
                together.setdefault(system, {}).setdefault(measure, []).extend(of)
    return together


def rows(report: Mapping[str, object]) -> Iterator[list[str]]:
    """Lines of the table: one a system, then what fusing gains over the better part."""
    means = report["means"]
    assert isinstance(means, dict)
    for system, by_measure in means.items():
        shown = (f"{measure} {of['mean']:.3f}" for measure, of in by_measure.items())
        yield [str(report["task"]), system, ", ".join(shown)]
    difference = report["hybrid_minus_best"]
    assert isinstance(difference, dict)
    low, high = difference["interval"]
    what = f"{report['measure']} {difference['mean']:+.3f} [{low:+.3f}, {high:+.3f}]"
    yield [str(report["task"]), f"hybrid − {report['best_part']}", what]


def tasks(folder: Path, corpora: Path | None) -> dict[str, Callable[[], Task]]:
    """What can be measured, by the name that `--only` takes."""
    found: dict[str, Callable[[], Task]] = {
        "functions": partial(one_file_each, folder / "functions"),
        "library": partial(whole_library, folder / "library"),
    }
    if corpora is not None:
        for name in judgements.SETS:
            found[name] = partial(code_localisation, name, corpora)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--corpora", type=Path, help="what `python -m benchmarks.corpora` made")
    parser.add_argument("--only", nargs="+", metavar="TASK", help="print these, write no results")
    options = parser.parse_args()
    reports: dict[str, dict[str, object]] = {}
    localised = []
    with tempfile.TemporaryDirectory(prefix="ragkit-benchmark-") as folder:
        os.environ["RAGKIT_CACHE_DIR"] = str(Path(folder, "cache"))
        available = tasks(Path(folder), options.corpora)
        for name in options.only or available:
            task = available[name]()
            values = scored(task)
            reports[name] = summarised(task.name, task.main, values)
            if name in judgements.SETS:
                localised.append(values)
    if len(localised) == len(judgements.SETS):
        reports["sets"] = summarised("the three sets together", "nDCG@10", pooled(localised))
    header = ("task", "system", "measures")
    print(results.table(header, [line for report in reports.values() for line in rows(report)]))
    if not options.only:
        results.write("retrieval", {"depth": DEPTH, "resamples": measures.RESAMPLES}, tasks=reports)


if __name__ == "__main__":
    main()
