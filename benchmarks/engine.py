"""Index through a model server: what ragkit adds to the engine's own time, and what failures cost.

    python -m benchmarks.engine [--chunks 2000] [--runs 2] [--no-engine]

The server is the tests' double of Docker Model Runner. For the time, llama.cpp runs behind it with
all-MiniLM-L6-v2 (F16); every request body is recorded, and the same bodies are given to the same
engine again, one after the other, with nothing between: that is the engine's own time. For
failures, interruptions and memory a stand-in answers at once, so that ragkit's part is all there
is.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Any

from benchmarks import library, processes, results
from ragkit import KnowledgeBase
from tests.engine import faults
from tests.engine.canned import CannedEngine, Engine, Loaded
from tests.engine.catalogue import CATALOGUE, Published, generated
from tests.engine.flags import Mode, Settings
from tests.engine.runner import Runner
from tests.engine.serving import Response

MODEL = "ai/all-minilm"
CONFIG = """
models:
  embedder: {{provider: dmr, model: {model}, base_url: {url}}}
rag:
  library:
    docs: [{folder}]
    indexing_timeout: 0
    strategies:
      - type: chunked-embeddings
        embedding_model: embedder
        embedding_batch_size: {batch}
        database: {database}
        chunking: {{size: 1000}}
      - type: bm25
        database: {database}
        chunking: {{size: 1000}}
"""
FAILURES = (*faults.USUAL, faults.HALF, faults.too_many(1))
"""500, 502, a connection that breaks, no answer at all, 429 with and without a wait, half an
answer."""
FEW = 10
"""Texts of a request where failures and interruptions are counted: there shall be many requests."""


@dataclass
class Recorded:
    """An engine that remembers what it was asked to embed."""

    engine: Engine
    bodies: list[tuple[Loaded, bytes]] = field(default_factory=list)

    def load(self, model: Published, mode: Mode, settings: Settings) -> Loaded:
        return _Listening(self.engine.load(model, mode, settings), self.bodies)

    def replay(self) -> float:
        """Seconds that the engine takes for all of it again, one request after the other."""
        started = time.perf_counter()
        for loaded, body in self.bodies:
            answer = loaded.answer("/v1/embeddings", body)
            assert answer.status == 200, answer
        return time.perf_counter() - started


@dataclass
class _Listening:
    loaded: Loaded
    bodies: list[tuple[Loaded, bytes]]

    def answer(self, path: str, body: bytes) -> Response:
        answer = self.loaded.answer(path, body)
        if path == "/v1/embeddings" and answer.status == 200:
            self.bodies.append((self.loaded, body))
        return answer

    def alive(self) -> bool:
        return self.loaded.alive()

    def crash(self) -> None:
        self.loaded.crash()

    def stop(self) -> None:
        self.loaded.stop()


def corpus(folder: Path, chunks: int) -> int:
    """Copy modules of the standard library until they make so many chunks; how many they make.

    When there are no more, they come again, with a number behind each longer word.
    """
    from ragkit import chunkers
    from ragkit.types import Document

    library.copy(folder / "all", suffix=".py")
    chosen = folder / "docs"
    chosen.mkdir()
    chunk = chunkers.chunker(size=1000, overlap=75, respect_word_boundaries=False, code_aware=True)
    made = 0
    paths = sorted((folder / "all").rglob("*.py"), key=lambda path: (len(path.parts), path))
    for again, path in ((again, path) for again in count() for path in paths):
        if made >= chunks:
            break
        text = path.read_text(encoding="utf-8", errors="replace")
        name = str(path.relative_to(folder / "all")).replace(os.sep, "-")
        if again:
            text = re.sub(r"\b[^\W\d]{4,}\b", rf"\g<0>{again}", text)
            name = f"{again}-{name}"
        made += len(chunk(Document(name, text, "", "python")))
        (chosen / name).write_text(text, encoding="utf-8")
    return made


def configured(folder: Path, runner: Runner, name: str, batch: int = 50) -> Path:
    """A configuration whose database is new; `batch` is the most texts of a request."""
    config = folder / f"{name}.yaml"
    text = CONFIG.format(
        model=MODEL,
        url=runner.url,
        batch=batch,
        folder=folder / "docs",
        database=folder / f"{name}.db",
    )
    config.write_text(text, encoding="utf-8")
    return config


def indexed(config: Path) -> processes.Run:
    """One whole process: `ragkit index`."""
    return processes.run(
        [sys.executable, "-m", "ragkit", "index", "--config", str(config), "--json"],
        {"RAGKIT_CACHE_DIR": str(config.parent / "cache")},
    )


def embedded(runner: Runner) -> Counter[str]:
    """How often each text was embedded with success; the probe of one short text left out."""
    found: Counter[str] = Counter()
    for seen in runner.seen("*/embeddings"):
        # half an answer is none: its texts have to be sent again
        if seen.status == 200 and seen.fault != "half" and len(seen.texts) > 0:
            found.update(text for text in seen.texts if len(text) > 40)
    return found


def content(config: Path) -> dict[tuple[str, int], bytes]:
    """The vector of every chunk."""
    from ragkit.strategies.chunked_embeddings import embedded_text, key_of

    with KnowledgeBase.open(config=config, read_only=True) as kb:
        (index,) = kb.indexes
        strategy: Any = index.strategies[0]
        fingerprint = strategy.embedder.fingerprint
        chunks = [c for path in index.store.records() for c in index.store.chunks(path)]
        keys = [key_of(fingerprint, embedded_text(chunk)) for chunk in chunks]
        known = index.store.known(keys)
        return {
            (chunk.path, chunk.index): known[key].tobytes()
            for chunk, key in zip(chunks, keys, strict=True)
        }


def overhead(folder: Path, runs: int) -> dict[str, object]:
    """Indexing over a real engine, and that engine's own time for the same requests."""
    from tests.engine.llama_engine import LlamaEngine

    ratios, walls, owns, counts = [], [], [], []
    for number in range(runs):
        engine = LlamaEngine()
        recorded = Recorded(engine)
        with closing(engine), serving(recorded) as runner:
            config = configured(folder, runner, f"engine{number}")
            run = indexed(config)
            own = recorded.replay()
            texts = embedded(runner)
            counts.append(
                {
                    "texts": len(texts),
                    "sent_twice": sum(count > 1 for count in texts.values()),
                    "requests": len(recorded.bodies),
                }
            )
        walls.append(run.wall)
        owns.append(own)
        ratios.append(run.wall / own)
        print(f"index {run.wall:.1f} s, engine alone {own:.1f} s, ratio {run.wall / own:.3f}")
    return {
        "index_s": results.summary(walls),
        "engine_s": results.summary(owns),
        "ratio": results.summary(ratios),
        "runs": [list(pair) for pair in zip(walls, owns, strict=True)],
        **counts[-1],
    }


def failing(folder: Path) -> dict[str, object]:
    """5 % of the requests fail; the index is compared with one that was built in peace."""
    with serving(CannedEngine()) as runner:
        calm = indexed(configured(folder, runner, "calm", FEW))
        expected = content(folder / "calm.yaml")
        runner.requests.clear()
        runner.fail("*/embeddings", FAILURES, rate=0.05, seed=37)  # all kinds come
        run = indexed(configured(folder, runner, "failing", FEW))
        runner.faults.clear()
        injected = Counter(seen.fault for seen in runner.seen("*/embeddings") if seen.fault)
        texts = embedded(runner)
        found = content(folder / "failing.yaml")
    return {
        "requests": len(runner.seen("*/embeddings")),
        "failures": dict(injected),
        "equal": found == expected,
        "chunks": len(found),
        "answered_twice": sum(count > 1 for count in texts.values()),
        "calm_s": calm.wall,
        "failing_s": run.wall,
    }


def killed(folder: Path) -> dict[str, object]:
    """SIGKILL at about half, then again to the end."""
    engine = CannedEngine()
    with serving(engine) as runner:
        config = configured(folder, runner, "killed", FEW)
        whole = len(embedded_of(folder))
        engine.seconds = 0.1
        process = subprocess.Popen(
            [sys.executable, "-m", "ragkit", "index", "--config", str(config)],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        while embedded(runner).total() < whole / 2 and process.poll() is None:
            time.sleep(0.01)
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
        before = embedded(runner)
        with KnowledgeBase.open(config=config, read_only=True) as kb:
            stored = kb.indexes[0].store.statistics().embeddings
        engine.seconds = 0
        indexed(config)
        every = embedded(runner)
    return {
        "texts": len(every),
        "embedded_before": len(before),
        "stored_before": stored,
        "embedded_again": sum(count > 1 for count in every.values()),
        "equal": content_equal(folder, "killed", "calm"),
    }


def embedded_of(folder: Path) -> set[str]:
    """The distinct texts of the index that was built in peace."""
    with KnowledgeBase.open(config=folder / "calm.yaml", read_only=True) as kb:
        store = kb.indexes[0].store
        return {
            f"{chunk.context}\n{chunk.text}"
            for path in store.records()
            for chunk in store.chunks(path)
        }


def content_equal(folder: Path, one: str, other: str) -> bool:
    with serving(CannedEngine()) as runner:
        for name in (one, other):
            config = folder / f"{name}.yaml"
            lines = config.read_text().splitlines()
            lines = [
                f"  embedder: {{provider: dmr, model: {MODEL}, base_url: {runner.url}}}"
                if "embedder: {" in line
                else line
                for line in lines
            ]
            config.write_text("\n".join(lines) + "\n")
        return content(folder / f"{one}.yaml") == content(folder / f"{other}.yaml")


def memory(folder: Path, sizes: Sequence[int]) -> list[dict[str, float]]:
    """Peak memory of the command for more and more chunks."""
    rows = []
    for size in sizes:
        place = folder / f"memory{size}"
        place.mkdir()
        chunks = corpus(place, size)
        with serving(CannedEngine()) as runner:
            runner.keeps_requests = False
            run = indexed(configured(place, runner, "index"))
        rows.append({"chunks": chunks, "memory_mb": run.memory, "wall_s": run.wall})
        print(f"{chunks:,} chunks: {run.memory:.0f} MB, {run.wall:.1f} s")
    return rows


@contextmanager
def serving(engine: Engine) -> Iterator[Runner]:
    """The double in front of an engine, with the weights that the tests generate."""
    runner = Runner(engine, [generated(model) for model in CATALOGUE])
    try:
        yield runner
    finally:
        runner.close()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--chunks", type=int, default=2000)
    parser.add_argument("--runs", type=int, default=2)
    parser.add_argument("--no-engine", action="store_true", help="leave llama.cpp out")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="ragkit-benchmark-") as name:
        folder = Path(name)
        made = corpus(folder, options.chunks)
        found: dict[str, Any] = {"failures": failing(folder), "killed": killed(folder)}
        print(json.dumps(found, indent=1))
        sizes = [options.chunks * times // 4 for times in (1, 4, 20, 80, 240)]
        found["memory"] = memory(folder, sizes)
        if not options.no_engine:
            found["overhead"] = overhead(folder, options.runs)
    results.write("engine", {"chunks": made, "runs": options.runs}, **found)


if __name__ == "__main__":
    main()
