"""How the defaults were chosen: chunk size, BM25's k1 and b, fusion, candidates.

    python -m benchmarks.tuning --corpora FOLDER [--tasks functions celery sqlfluff]

Each value is tried with all others at their defaults. The set sqlalchemy is left out, so that it
can say how well the choice does elsewhere (`python -m benchmarks.retrieval`).
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

from benchmarks import measures, results
from benchmarks.retrieval import DEPTH, Task, tasks
from ragkit import Hit, KnowledgeBase, fusion
from ragkit.config.rag import Chunking, Source
from ragkit.kb.ordering import fusing
from ragkit.kb.places import CANDIDATES, SIZE, default_source
from ragkit.retriever import distinct
from ragkit.strategies.bm25 import BM25

WORDS, VECTORS = "bm25", "chunked-embeddings"
MINIMA = {
    "observed minimum": None,
    "theoretical minimum": {WORDS: 0.0, VECTORS: -1.0},
    "minimum 0": {WORDS: 0.0, VECTORS: 0.0},
}
"""What becomes 0 when the convex combination scales scores."""

SIZES = (1000, 1500, 2000, 2500, 3000)
K1 = (0.9, 1.2, 1.5, 2.0)
B = (0.5, 0.75, 0.9)
RRF = (5, 20, 60)
SHARES = (0.3, 0.5, 0.7, 0.9)
"""What the words weigh in the convex combination; the vectors weigh the rest."""
UNSCALED = (0.0125, 0.025, 0.035, 0.05, 0.07, 0.1, 0.2)
"""What BM25 scores weigh in the weighted sum, where cosines weigh 1."""
DEPTHS = (50, 100, 200, 400)

Fuse = Callable[[Mapping[str, Sequence[Hit]]], list[Hit]]


@dataclass(frozen=True, slots=True)
class Setting:
    """One way to search."""

    k1: float
    b: float
    fuse: Fuse
    depth: int = CANDIDATES


@dataclass(frozen=True, slots=True)
class Trial:
    """What one value of one parameter gave: the main measure of every query, by task."""

    parameter: str
    value: str
    values: Mapping[str, list[float]]

    @property
    def mean(self) -> float:
        """Mean of the tasks' means: a small task counts as much as a large one."""
        return statistics.fmean(statistics.fmean(of) for of in self.values.values())


class Searched:
    """An indexed task, and the rankings of its queries, each made once."""

    def __init__(self, task: Task, size: int) -> None:
        self.task = task
        self._kb = KnowledgeBase(sized(default_source(task.root), size))
        self._kb.index()
        (self._index,) = self._kb.indexes
        self._rankings: dict[tuple[str, int, float, float], list[Hit]] = {}

    def close(self) -> None:
        self._kb.close()

    def values(self, setting: Setting, only: str | None = None) -> list[float]:
        """The main measure of each query, fused or of one strategy alone."""
        found = []
        for number, case in enumerate(self.task.cases):
            rankings = {
                name: self._ranking(number, name, setting)
                for name in (WORDS, VECTORS)
                if only in (None, name)
            }
            hits = list(distinct(setting.fuse(rankings)))[:DEPTH]
            found.append(case.judge(hits)[self.task.main])
        return found

    def _ranking(self, number: int, name: str, setting: Setting) -> list[Hit]:
        key = (name, number, setting.k1, setting.b) if name == WORDS else (name, number, 0.0, 0.0)
        if key not in self._rankings:
            (strategy,) = (s for s in self._index.strategies if s.name == name)
            if isinstance(strategy, BM25):
                strategy = replace(strategy, k1=setting.k1, b=setting.b)
            query = self.task.cases[number].query
            self._rankings[key] = strategy.search(self._index.store, query, max(DEPTHS))
        return self._rankings[key][: setting.depth]


def sized(source: Source, size: int) -> Source:
    """The same knowledge base with chunks of another size."""
    chunking = Chunking(size=size)
    strategies = tuple(replace(strategy, chunking=chunking) for strategy in source.strategies)
    return replace(source, strategies=strategies)


def by_size(made: Sequence[Task], setting: Setting) -> Iterator[Trial]:
    """Chunk sizes: each part alone, and both."""
    for size in SIZES:
        searched = [Searched(task, size) for task in made]
        for only in (WORDS, VECTORS, None):
            values = {each.task.name: each.values(setting, only) for each in searched}
            yield Trial(f"chunk size, {only or 'hybrid'}", str(size), values)
        for each in searched:
            each.close()


def at_one_size(made: Sequence[Task], default: Setting) -> Iterator[Trial]:
    """All that does not change the index: k1 and b, fusion, candidates."""
    searched = [Searched(task, SIZE) for task in made]

    def trial(parameter: str, value: str, setting: Setting, only: str | None = None) -> Trial:
        values = {each.task.name: each.values(setting, only) for each in searched}
        return Trial(parameter, value, values)

    for k1 in K1:
        for b in B:
            setting = replace(default, k1=k1, b=b)
            yield trial("k1 and b, bm25", f"{k1}, {b}", setting, WORDS)
            yield trial("k1 and b, hybrid", f"{k1}, {b}", setting)
    for k in RRF:
        yield trial("rrf", f"k {k}", replace(default, fuse=partial(fusion.rrf, k=k)))
    for name, floors in MINIMA.items():
        for share in SHARES:
            weights = {WORDS: share, VECTORS: 1 - share}
            fuse = partial(fusion.convex, weights=weights, floors=floors)
            yield trial(f"convex, {name}", f"{share}", replace(default, fuse=fuse))
    for weight in UNSCALED:
        fuse = partial(fusion.weighted, weights={WORDS: weight, VECTORS: 1.0})
        yield trial("weighted", f"{weight}", replace(default, fuse=fuse))
    for depth in DEPTHS:
        yield trial("candidates", str(depth), replace(default, depth=depth))
    for each in searched:
        each.close()


def row(trial: Trial, baseline: Trial) -> list[str]:
    """One line of the table."""
    pairs = [
        difference
        for task, of in trial.values.items()
        for difference in measures.differences(of, baseline.values[task])
    ]
    low, high = measures.interval(pairs)
    means = [f"{statistics.fmean(of):.3f}" for of in trial.values.values()]
    gain = f"{statistics.fmean(pairs):+.3f} [{low:+.3f}, {high:+.3f}]"
    return [trial.parameter, trial.value, *means, f"{trial.mean:.3f}", gain]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--corpora", type=Path, help="what `python -m benchmarks.corpora` made")
    parser.add_argument("--tasks", nargs="+", default=["functions", "celery", "sqlfluff"])
    parser.add_argument("--no-sizes", action="store_true", help="leave the chunk sizes out")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="ragkit-benchmark-") as folder:
        os.environ["RAGKIT_CACHE_DIR"] = str(Path(folder, "cache"))
        available = tasks(Path(folder), options.corpora)
        made = [available[name]() for name in options.tasks]
        source = default_source(made[0].root)
        words = next(s for s in source.strategies if s.name == WORDS)
        default = Setting(words.k1, words.b, fusing(source))
        trials = [] if options.no_sizes else list(by_size(made, default))
        trials += at_one_size(made, default)
        searched = [Searched(task, SIZE) for task in made]
        values = {each.task.name: each.values(default) for each in searched}
    baseline = Trial("default", "", values)
    header = ("parameter", "value", *values, "mean", "difference to the default")
    print(results.table(header, [row(trial, baseline) for trial in (baseline, *trials)]))
    if not options.no_sizes:
        results.write(
            "tuning",
            {"tasks": options.tasks, "chunk_size": SIZE, "k1": words.k1, "b": words.b},
            header=header,
            trials=[row(trial, baseline) for trial in (baseline, *trials)],
        )


if __name__ == "__main__":
    main()
