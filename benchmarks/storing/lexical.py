"""The search by words beside tantivy and bm25s, at up to a million chunks.

    python -m benchmarks.storing.lexical --work ~/store [--peers ~/store/words-peers]
        [--sizes 10000 100000 1000000] [--systems ragkit tantivy bm25s] [--limit 1200] [--again]

Chunks are made: about 120 words each, drawn as unequally as words are (Zipf and Mandelbrot, 400,000
of them), in documents of 20. Queries are the first 5 or 30 different words of other such chunks,
so that they are full of stop words. Each system is built in one process and asked in others, with
one thread; what was measured is kept below `--work` and not done again. `--peers` is a virtual
environment with `store_words_peers.txt`, to be made before. tantivy has its words split at spaces
and keeps no positions; it rounds lengths, so its answers differ. bm25s cannot change an index.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from importlib import metadata
from itertools import islice
from pathlib import Path
from typing import Any, ClassVar

SIZES = (10_000, 100_000, 1_000_000)
DOCUMENT = 20
VOCABULARY = 400_000
QUERIES = 100
UPDATES = 10
COLD_RUNS = 3
K1, B = 1.2, 0.75
REPOSITORY = Path(__file__).resolve().parents[2]


def chunks(count: int, seed: int) -> Iterator[list[str]]:
    """The words of chunks: 5 to 600, in the mean about 120."""
    import numpy as np

    chance = np.random.default_rng(seed)
    shares = 1 / (np.arange(1, VOCABULARY + 1) + 2.7) ** 1.05
    reached = np.cumsum(shares / shares.sum())
    for at in range(0, count, 1000):
        some = min(1000, count - at)
        lengths = np.clip(chance.lognormal(4.67, 0.5, some), 5, 600).astype(int)
        ranks = np.searchsorted(reached, chance.random(lengths.sum()))
        words = [f"w{rank:x}" for rank in ranks.tolist()]
        ends = np.cumsum(lengths).tolist()
        for begin, end in zip([0, *ends], ends, strict=False):
            yield words[begin:end]


def documents(count: int, seed: int = 0) -> Iterator[list[list[str]]]:
    """Chunks by 20."""
    made = chunks(count, seed)
    while document := list(islice(made, DOCUMENT)):
        yield document


def queries(words: int) -> list[list[str]]:
    """Each of that many different words."""
    distinct = (list(dict.fromkeys(chunk)) for chunk in chunks(2000, seed=9))
    return [chunk[:words] for chunk in distinct if len(chunk) >= 30][:QUERIES]


class Ragkit:
    """ragkit's store, of words alone."""

    name = "ragkit"
    package = "ragkit"
    changes: ClassVar[bool] = True

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def open(self) -> None:
        from ragkit import stores

        self.store = stores.open(self.folder / "index.db", "made", "made", None)

    def add(self, number: int, document: list[list[str]]) -> None:
        from ragkit.types import Chunk, Entry, Record

        path = f"{number:07}"
        entries = [
            Entry(Chunk(path, i, f"{path} {i}", i * 10, i * 10 + 9, i + 1, i + 1), " ".join(words))
            for i, words in enumerate(document)
        ]
        self.store.replace(Record(path, "0" * 64, 1, 0), entries)

    replace = add

    def finish(self) -> None:
        self.store.complete()
        self.store.close()  # which empties the log

    def search(self, words: list[str], limit: int) -> list[tuple[int, float]]:
        found = self.store.matching(words, limit, k1=K1, b=B)
        return [(int(c.path) * DOCUMENT + c.index, score) for c, score in found]


class Tantivy:
    """Lucene's ways in Rust."""

    name = "tantivy"
    package = "tantivy"
    changes: ClassVar[bool] = True

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.writer: Any = None

    def open(self) -> None:
        import tantivy

        schema = tantivy.SchemaBuilder()
        schema.add_unsigned_field("document", indexed=True, stored=True)
        schema.add_unsigned_field("chunk", stored=True)
        schema.add_text_field("words", tokenizer_name="whitespace", index_option="freq")
        self.schema = schema.build()
        self.index = tantivy.Index(self.schema, path=str(self.folder))
        self.searcher = self.index.searcher()

    def add(self, number: int, document: list[list[str]]) -> None:
        import tantivy

        self.writer = self.writer or self.index.writer(256_000_000, num_threads=1)
        for i, words in enumerate(document):
            told = tantivy.Document(words=" ".join(words))
            told.add_unsigned("document", number)
            told.add_unsigned("chunk", i)
            self.writer.add_document(told)

    def replace(self, number: int, document: list[list[str]]) -> None:
        self.writer = self.writer or self.index.writer(256_000_000, num_threads=1)
        self.writer.delete_documents_by_term("document", number)
        self.add(number, document)
        self.finish()

    def finish(self) -> None:
        self.writer.commit()
        self.index.reload()
        self.searcher = self.index.searcher()

    def search(self, words: list[str], limit: int) -> list[tuple[int, float]]:
        from tantivy import Occur, Query

        terms = [(Occur.Should, Query.term_query(self.schema, "words", word)) for word in words]
        found = self.searcher.search(Query.boolean_query(terms), limit, count=False).hits
        stored = [(self.searcher.doc(address).to_dict(), score) for score, address in found]
        return [(d["document"][0] * DOCUMENT + d["chunk"][0], score) for d, score in stored]


class Bm25s:
    """All scores worked out when the index is built."""

    name = "bm25s"
    package = "bm25s"
    changes: ClassVar[bool] = False

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.texts: list[list[str]] = []

    def open(self) -> None:
        import bm25s

        if (self.folder / "params.index.json").exists():
            self.index = bm25s.BM25.load(self.folder, mmap=True)
        else:
            self.index = bm25s.BM25(k1=K1, b=B, method="lucene")

    def add(self, number: int, document: list[list[str]]) -> None:
        self.texts += document

    replace = add

    def finish(self) -> None:
        self.index.index(self.texts, show_progress=False)
        self.index.save(self.folder)

    def search(self, words: list[str], limit: int) -> list[tuple[int, float]]:
        ids, scores = self.index.retrieve([words], k=limit, show_progress=False)
        return list(zip(ids[0].tolist(), scores[0].tolist(), strict=True))


SYSTEMS = {system.name: system for system in (Ragkit, Tantivy, Bm25s)}


# ── in a process of its own ──


def build(system: Any, size: int) -> dict[str, Any]:
    """Seconds of the system's own work, and megabytes."""
    system.open()
    seconds = cpu = 0.0
    for number, document in enumerate(documents(size)):
        began, worked = time.perf_counter(), time.process_time()
        system.add(number, document)
        seconds += time.perf_counter() - began
        cpu += time.process_time() - worked
    began, worked = time.perf_counter(), time.process_time()
    system.finish()
    seconds += time.perf_counter() - began
    cpu += time.process_time() - worked
    files = [path.stat().st_size for path in system.folder.rglob("*") if path.is_file()]
    version = metadata.version(system.package)
    return {"seconds": seconds, "cpu": cpu, "size": sum(files) / 1e6, "version": version}


def cold(system: Any, size: int) -> dict[str, Any]:
    """Milliseconds from opening to the first answer, its modules imported before."""
    query = queries(30)[os.getpid() % 10]
    __import__("numpy")
    __import__("ragkit.stores.sqlite" if system.package == "ragkit" else system.package)
    began = time.perf_counter()
    system.open()
    system.search(query, 50)
    return {"first": (time.perf_counter() - began) * 1000}


def warm(system: Any, size: int) -> dict[str, Any]:
    """Milliseconds of the best 50 by words of a query, megabytes, and answers to compare."""
    system.open()
    before = _memory()
    found: dict[str, Any] = {}
    for words in (5, 30):
        asked = queries(words)
        first = [_timed(system, query) for query in asked]
        again = [_timed(system, query) for _ in range(2) for query in asked]
        found[str(words)] = {"first": _spread(first), "again": _spread(again)}
    found["memory"] = {kind: mb - before[kind] for kind, mb in _memory().items()}
    found["best"] = [system.search(query, 10) for query in queries(30)[:30]]
    return found


def update(system: Any, size: int) -> dict[str, Any]:
    """Milliseconds to replace a document, and of the next answer."""
    system.open()
    query = queries(30)[0]
    for _ in range(3):
        system.search(query, 50)
    replaced, then = [], []
    step = size // DOCUMENT // (UPDATES + 2)
    for number, document in enumerate(documents(UPDATES * DOCUMENT, seed=77)):
        began = time.perf_counter()
        system.replace(step * (number + 1), document)
        replaced.append((time.perf_counter() - began) * 1000)
        then.append(_timed(system, query))
    return {"replace": _spread(replaced), "next": _spread(then)}


PHASES = {"build": build, "cold": cold, "warm": warm, "update": update}


def _timed(system: Any, query: list[str]) -> float:
    began = time.perf_counter()
    system.search(query, 50)
    return (time.perf_counter() - began) * 1000


def _spread(times: Sequence[float]) -> dict[str, float]:
    ordered = sorted(times)
    p95 = ordered[min(len(ordered) - 1, int(0.95 * len(ordered)))]
    return {"median": statistics.median(ordered), "p95": p95, "most": ordered[-1]}


def _memory() -> dict[str, float]:
    """MB of this process: its own pages, and those of files that it has mapped."""
    lines = Path("/proc/self/status").read_text().splitlines()
    kb = {line.split(":")[0]: int(line.split()[1]) for line in lines if line.startswith("Rss")}
    return {"own": kb["RssAnon"] / 1024, "mapped": kb["RssFile"] / 1024}


# ── all of them ──


def main() -> None:
    """Measure, print, and put the part `lexical` into `results/store.json`."""
    given = _asked()
    from benchmarks.store import write_part

    for size in given.sizes:
        for name in given.systems:
            measured = _measured(given, name, size)
            print(f"{size} {name}: {json.dumps(measured)[:300]}", flush=True)
            write_part("lexical", _gathered(given.work))


def _measured(given: argparse.Namespace, name: str, size: int) -> dict[str, Any]:
    """What is kept of an earlier run, or build and measure now."""
    kept = given.work / "words" / f"{size}-{name}.json"
    if kept.exists() and not given.again:
        return dict(json.loads(kept.read_text("utf-8")))
    folder = given.work / "words" / f"{size}-{name}"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    found: dict[str, Any] = {}
    try:
        found["build"] = _phase(given, name, size, folder, "build")
        runs = [_phase(given, name, size, folder, "cold") for _ in range(COLD_RUNS)]
        found["cold"] = min(runs, key=lambda run: float(run["first"]))
        found["warm"] = _phase(given, name, size, folder, "warm")
        if SYSTEMS[name].changes:
            found["update"] = _phase(given, name, size, folder, "update")
    except (RuntimeError, subprocess.TimeoutExpired) as error:
        found["failed"] = str(error)[-200:]
    kept.write_text(json.dumps(found), encoding="utf-8")
    return found


def _phase(
    given: argparse.Namespace, name: str, size: int, folder: Path, phase: str
) -> dict[str, Any]:
    python = sys.executable if name == "ragkit" else str(given.peers / "bin" / "python")
    command = [python, "-m", "benchmarks.storing.lexical", "--in", str(folder), name, phase]
    threads = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMBA_NUM_THREADS"), "1")
    done = subprocess.run(
        [*command, str(size)],
        cwd=REPOSITORY,
        env={**os.environ, **threads},
        capture_output=True,
        text=True,
        timeout=given.limit,
        check=False,
    )
    if done.returncode:
        raise RuntimeError((done.stderr.strip().splitlines() or ["it was killed"])[-1])
    return dict(json.loads(done.stdout.splitlines()[-1]))


def _gathered(work: Path) -> dict[str, Any]:
    """All that was measured, by size and system; answers as the share of the best 10 of all."""
    found: dict[str, Any] = {}
    for size in SIZES:
        files = {name: work / "words" / f"{size}-{name}.json" for name in SYSTEMS}
        read = {n: json.loads(f.read_text("utf-8")) for n, f in files.items() if f.exists()}
        answers = {n: of["warm"].pop("best") for n, of in read.items() if "warm" in of}
        for name, answer in answers.items():
            if "ragkit" in answers:
                pairs = zip(answer, answers["ragkit"], strict=True)
                shares = [len({i for i, _ in a} & {i for i, _ in b}) / 10 for a, b in pairs]
                read[name]["as ragkit"] = statistics.fmean(shares)
        if read:
            found[str(size)] = read
    return found


def _asked() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--peers", type=Path)
    parser.add_argument("--sizes", type=int, nargs="+", choices=SIZES, default=[*SIZES])
    parser.add_argument("--systems", nargs="+", choices=[*SYSTEMS], default=[*SYSTEMS])
    parser.add_argument("--limit", type=float, default=1200.0, help="seconds of a phase")
    parser.add_argument("--again", action="store_true", help="build and measure anew")
    given = parser.parse_args()
    given.work = given.work.expanduser().resolve()
    given.peers = (given.peers or given.work / "words-peers").expanduser().absolute()
    return given


if __name__ == "__main__":
    if sys.argv[1] == "--in":
        where, system, phase, count = sys.argv[2:]
        print(json.dumps(PHASES[phase](SYSTEMS[system](Path(where)), int(count))))
    else:
        main()
