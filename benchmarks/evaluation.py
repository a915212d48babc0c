"""How well ragkit finds, beside what else one could do, on all evaluation sets.

    python -m benchmarks.evaluation FOLDER [--only SET …] [--ablate | --minilm] [--write]

FOLDER is what `python -m benchmarks.corpora` made. Without `--write` only the queries that may be
tuned on are asked; with it, those that are held too, and the results are kept.

The columns: a search for keywords as with ripgrep; BM25 over windows of 1,500 characters; the
embedded vectors alone; reciprocal rank fusion of ragkit's two rankings with k = 60; and ragkit as
it answers without configuration. `--minilm` adds all-MiniLM-L6-v2 in the place of the static table.
Indexes are kept in `RAGKIT_CACHE_DIR` where that is set.
"""

from __future__ import annotations

import argparse
import os
import statistics
import tempfile
import time
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

from benchmarks import judgements, keywords, measures, results, sets
from benchmarks.judgements import Query, Span
from benchmarks.retrieval import files_of
from ragkit import Hit, KnowledgeBase, fusion
from ragkit.config.rag import Chunking, Fusion, Ranking, Source, StrategySettings
from ragkit.kb.places import CANDIDATES, default_source
from ragkit.types import ANYTHING, Filter, Store, Strategy

DEPTH = 100
"""Chunks in an answer."""
WINDOW, OVERLAP = 1500, 75
RULES = tuple(field.name for field in fields(Ranking))

System = Callable[[str], Sequence[Hit]]
Values = dict[str, dict[str, list[float]]]
"""System → measure → one value a query."""

PLAIN = "rrf"
"""What ragkit is compared with."""


def judge(hits: Sequence[Hit], query: Query) -> dict[str, float]:
    """Measure → value. Those of places only for queries that have any."""
    files = files_of(hits)
    scores = {
        "nDCG@10": measures.ndcg(files, query.relevant, 10),
        "MRR@10": measures.reciprocal_rank(files, query.relevant, 10),
        "R@10": measures.recall(files, query.relevant, 10),
    }
    if query.spans:
        scores["span hit@5"] = float(
            any(
                judgements.hits_span(hit.chunk, *place) for hit in hits[:5] for place in query.spans
            )
        )
        scores["coverage 4,000"] = coverage(hits, query.spans, 4_000)
        scores["coverage 8,000"] = coverage(hits, query.spans, 8_000)
    return scores


def coverage(hits: Iterable[Hit], spans: Iterable[tuple[str, Span]], characters: int) -> float:
    """Share of the lines asked for among the first characters that are shown, in [0, 1]."""
    wanted = {(path, line) for path, span in spans for line in range(span.first, span.last + 1)}
    return len(wanted & _shown(hits, characters)) / len(wanted)


def _shown(hits: Iterable[Hit], characters: int) -> set[tuple[str, int]]:
    shown: set[tuple[str, int]] = set()
    for hit in hits:
        for number, line in enumerate(hit.chunk.text.split("\n"), hit.chunk.start_line):
            characters -= len(line) + 1
            if characters < 0:
                return shown
            shown.add((hit.chunk.path, number))
    return shown


def windows(source: Source) -> Source:
    """The same files in windows of equal length, searched by words alone."""
    chunking = Chunking(size=WINDOW, overlap=OVERLAP, code_aware=False)
    words = StrategySettings(type="bm25", name="bm25", limit=CANDIDATES, chunking=chunking)
    return replace(source, name="windows", strategies=(words,))


def with_model(source: Source, model: str) -> Source:
    """The same knowledge base with vectors of another model."""
    strategies = tuple(
        s if s.type == "bm25" else replace(s, embedding_model=model) for s in source.strategies
    )
    return replace(source, name=model.rpartition("/")[2], strategies=strategies)


def without(source: Source, rule: str) -> Source:
    """The same knowledge base with one rule off, `fusion`: fused plainly, "": as it is."""
    if not rule:
        return source
    if rule == "fusion":
        return replace(source, results=replace(source.results, fusion=Fusion("rrf")))
    ranking = replace(source.results.ranking, **{rule: False})
    return replace(source, results=replace(source.results, ranking=ranking))


class Memory:
    """The rankings of the query that is being asked: each is made once, whoever wants it."""

    def __init__(self) -> None:
        self._query = ""
        self._found: dict[tuple[str, int], list[Hit]] = {}

    def get(self, strategy: Strategy, store: Store, query: str, limit: int) -> list[Hit]:
        """What the strategy finds, or found for another system."""
        if query != self._query:
            self._query = query
            self._found.clear()
        key = (strategy.name, limit)
        if key not in self._found:
            self._found[key] = strategy.search(store, query, limit)
        return self._found[key]


class Remembered:
    """A strategy whose rankings are shared; made for searches without a filter."""

    def __init__(self, strategy: Strategy, memory: Memory) -> None:
        self._strategy = strategy
        self._memory = memory

    def __getattr__(self, name: str) -> Any:
        return getattr(self._strategy, name)

    def search(self, store: Store, query: str, limit: int, where: Filter = ANYTHING) -> list[Hit]:
        """The same hits."""
        return self._memory.get(self._strategy, store, query, limit)


def indexed(source: Source, opened: ExitStack, memory: Memory) -> KnowledgeBase:
    """A knowledge base, brought up to date, that shares its rankings with others of its index."""
    kb = opened.enter_context(KnowledgeBase(source))
    kb.index()
    kb.indexes = [
        replace(index, strategies=tuple(Remembered(s, memory) for s in index.strategies))
        for index in kb.indexes
    ]
    return kb


def systems(root: Path, opened: ExitStack, models: Collection[str]) -> dict[str, System]:
    """The columns for one corpus, which is indexed here."""
    source = default_source(root)
    found: dict[str, System] = {"keywords": keywords.Folder(root).search}
    found["bm25"] = answering(indexed(windows(source), opened, Memory()))
    for model in models:
        mark = "" if model == "static" else f" {model}"
        found |= _with_vectors(with_model(source, f"embedded/{model}"), opened, mark)
    return found


def _with_vectors(source: Source, opened: ExitStack, mark: str) -> dict[str, System]:
    kb = indexed(source, opened, Memory())
    (index,) = kb.indexes

    def rankings(query: str) -> dict[str, list[Hit]]:
        return {s.name: s.search(index.store, query, CANDIDATES) for s in index.strategies}

    return {
        f"vectors{mark}": lambda query: rankings(query)["chunked-embeddings"],
        f"{PLAIN}{mark}": lambda query: fusion.rrf(rankings(query), 60),
        f"ragkit{mark}": answering(kb),
    }


def ablated(root: Path, opened: ExitStack) -> dict[str, System]:
    """ragkit as it is, and with one rule off at a time."""
    source = with_model(default_source(root), "embedded/static")
    memory = Memory()
    return {
        rule or "ragkit": answering(indexed(without(source, rule), opened, memory))
        for rule in ("", "fusion", *RULES)
    }


def answering(kb: KnowledgeBase) -> System:
    """A knowledge base as it answers."""
    return lambda query: kb.answer(query, DEPTH).hits


def scored(asked: Mapping[str, System], queries: Iterable[Query]) -> Values:
    """Ask every query of every system."""
    values: Values = {name: {} for name in asked}
    for query in queries:
        for name, system in asked.items():
            for measure, value in judge(system(query.text), query).items():
                values[name].setdefault(measure, []).append(value)
    return values


def summary(values: Values, baseline: str) -> dict[str, object]:
    """Means with intervals by system and measure, and each system's gain over the baseline."""
    count = max(len(of) for found in values.values() for of in found.values())
    return {
        "queries": count,
        "means": {
            system: {measure: _mean(of) for measure, of in found.items()}
            for system, found in values.items()
        },
        "gains": {
            system: {
                measure: _mean(measures.differences(of, values[baseline][measure]))
                for measure, of in found.items()
            }
            for system, found in values.items()
            if system != baseline and baseline in values
        },
    }


def _mean(values: Sequence[float]) -> list[float]:
    """The mean and the ends of its interval."""
    return [statistics.fmean(values), *measures.interval(values)]


def pooled(found: Iterable[Values]) -> Values:
    """The values of several sets as those of one; systems that all of them have."""
    every = list(found)
    together: Values = {}
    for system in every[0]:
        if all(system in values for values in every):
            together[system] = {}
            for values in every:
                for measure, of in values[system].items():
                    together[system].setdefault(measure, []).extend(of)
    return together


def by_kind(found: Mapping[str, Values]) -> dict[str, Values]:
    """The values of all sets of a kind together."""
    kinds: dict[str, list[Values]] = {}
    for name, values in found.items():
        kinds.setdefault(sets.kind_of(name), []).append(values)
    return {kind: pooled(of) for kind, of in kinds.items()}


def evaluate(
    folder: Path,
    names: Sequence[str],
    parts: Sequence[str],
    make: Callable[[Path, ExitStack], dict[str, System]],
    most: int,
) -> dict[str, dict[str, Values]]:
    """Part → set → values of the first `most` queries. Sets of one corpus share its index."""
    found: dict[str, dict[str, Values]] = {part: {} for part in parts}
    every = [sets.load(name, folder) for name in names]
    loaded = [each for each in every if any(query.part in parts for query in each.queries)]
    for root in dict.fromkeys(each.root for each in loaded):
        started = time.perf_counter()
        with ExitStack() as opened:
            asked = make(root, opened)
            for each in loaded:
                for part in parts if each.root == root else ():
                    queries = [query for query in each.queries if query.part == part][:most]
                    if queries:
                        found[part][each.name] = scored(asked, queries)
        print(f"{root.name}: {time.perf_counter() - started:.0f} s", flush=True)
    return found


def summarised(found: Mapping[str, Mapping[str, Values]], baseline: str) -> dict[str, object]:
    """Part → {"sets": set → summary, "kinds": kind → summary}."""
    return {
        part: {
            "sets": {name: summary(values, baseline) for name, values in of.items()},
            "kinds": {kind: summary(values, baseline) for kind, values in by_kind(of).items()},
        }
        for part, of in found.items()
        if of
    }


def table(found: Mapping[str, Values], measure: str) -> str:
    """Mean of a measure by set and system."""
    systems = list(next(iter(found.values())))
    rows = [
        [name, *(f"{statistics.fmean(values[s][measure]):.3f}" for s in systems)]
        for name, values in found.items()
        if all(measure in values.get(s, {}) for s in systems)
    ]
    return results.table((measure, *systems), rows)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path, help="what `python -m benchmarks.corpora` made")
    parser.add_argument("--only", nargs="+", metavar="SET", default=list(sets.NAMES))
    parser.add_argument("--ablate", action="store_true", help="each rule off, in place of peers")
    parser.add_argument("--minilm", action="store_true", help="with all-MiniLM-L6-v2 too; slow")
    parser.add_argument("--most", type=int, default=1000, help="queries of each set and part")
    parser.add_argument("--write", action="store_true", help="held queries too; keep the results")
    options = parser.parse_args()
    parts = ("tune", "held") if options.write else ("tune",)
    models = ("static", "minilm") if options.minilm else ("static",)

    def columns(root: Path, opened: ExitStack) -> dict[str, System]:
        return ablated(root, opened) if options.ablate else systems(root, opened, models)

    with tempfile.TemporaryDirectory(prefix="ragkit-benchmark-") as folder:
        os.environ.setdefault("RAGKIT_CACHE_DIR", str(Path(folder, "cache")))
        found = evaluate(options.folder, options.only, parts, columns, options.most)
    for part, of in found.items():
        for measure in ("nDCG@10", "span hit@5", "coverage 4,000"):
            print(f"\n{part}\n\n{table({**of, **by_kind(of)}, measure)}")
    if options.write:
        name = "ablation" if options.ablate else "minilm" if options.minilm else "evaluation"
        baseline = "ragkit" if options.ablate else PLAIN
        parameters = {"depth": DEPTH, "resamples": measures.RESAMPLES, "most": options.most}
        results.write(name, parameters, parts=summarised(found, baseline))


if __name__ == "__main__":
    main()
