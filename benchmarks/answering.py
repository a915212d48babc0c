"""How long an answer takes, stage by stage: `python -m benchmarks.answering`.

The corpus is the standard library. Every query is asked once before it counts. Queries are first
paragraphs of docstrings, and short ones of one or two words.
"""

from __future__ import annotations

import argparse
import gc
import os
import tempfile
import time
from pathlib import Path

from benchmarks import library, results
from ragkit import KnowledgeBase

SHORT = ["timeout", "open file", "parse json", "ThreadPoolExecutor", "os.walk", "retry", "encode"]
GOAL_MS = 15.0


def queries(count: int) -> list[str]:
    """Long and short ones."""
    return [*(function.query for function in library.sample(count)), *SHORT]


def timed(kb: KnowledgeBase, asked: list[str]) -> dict[str, list[float]]:
    """Stage → milliseconds of every query; `all` is the whole answer as its caller waits for it."""
    found: dict[str, list[float]] = {}
    for query in asked:
        kb.answer(query)
    for query in asked:
        started = time.perf_counter()
        answer = kb.answer(query)
        found.setdefault("all", []).append(1000 * (time.perf_counter() - started))
        for stage, seconds in answer.stages:
            found.setdefault(stage, []).append(1000 * seconds)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--queries", type=int, default=200)
    count: int = parser.parse_args().queries
    with tempfile.TemporaryDirectory(prefix="ragkit-benchmark-") as folder:
        os.environ["RAGKIT_CACHE_DIR"] = str(Path(folder, "cache"))
        corpus = Path(folder, "library")
        library.copy(corpus)
        with KnowledgeBase.open(corpus) as kb:
            kb.index()
            chunks = kb.indexes[0].store.statistics().chunks
            asked = queries(count)
            gc.collect()
            gc.freeze()  # syntax trees of the whole library, which no answer should have to walk
            found = timed(kb, asked)
    stages = {stage: results.spread(of) for stage, of in found.items()}
    rows = [[name, *(f"{of[k]:.2f} ms" for k in results.SPREAD)] for name, of in stages.items()]
    print(results.table(("stage", *results.SPREAD), rows))
    results.write("answering", {"queries": count, "chunks": chunks}, stages=stages)


if __name__ == "__main__":
    main()
