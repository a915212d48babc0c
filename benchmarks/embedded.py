"""What the models that run in this process take: to start, for a query, for many chunks.

    python -m benchmarks.embedded [--chunks 300] [--runs 3]

Each figure is of a fresh process. The chunks are drawn from the standard library as ragkit cuts it;
the model's files lie on this machine already.
"""

from __future__ import annotations

import argparse
import json
import random
import statistics
import sys
import tempfile
from collections.abc import Mapping
from importlib import metadata
from pathlib import Path

from benchmarks import library, processes, results
from ragkit.chunkers import chunker
from ragkit.kb.places import SIZE
from ragkit.models.embedded import weights
from ragkit.strategies.chunked_embeddings import embedded_text
from ragkit.types import Document

MODELS = {"embedded/static": "StaticEmbedder", "embedded/minilm": "MiniLMEmbedder"}
QUERY = "parse command line options with defaults"

PROGRAM = """
import json, sys, time
from pathlib import Path
started = time.perf_counter()
from ragkit.models import embedded
embedder = getattr(embedded, {name!r})()
embedder.embed([{query!r}], "query")
first = time.perf_counter() - started
began = time.perf_counter()
for _ in range(50):
    embedder.embed([{query!r}], "query")
query = (time.perf_counter() - began) / 50
texts = json.loads(Path({texts!r}).read_text("utf-8"))
began, worked = time.perf_counter(), time.process_time()
for _ in embedder.stream(texts, "document"):
    pass
seconds, cpu = time.perf_counter() - began, time.process_time() - worked
print(json.dumps([first, query, len(texts) / seconds if texts else 0, cpu]))
"""


def sample(count: int) -> list[str]:
    """Texts as they would be embedded, of Python files of the standard library."""
    cut = chunker(size=SIZE)
    texts = []
    for path in sorted(library.SOURCE.rglob("*.py")):
        name = path.relative_to(library.SOURCE).as_posix()
        if "site-packages" in name:
            continue
        text = path.read_text(encoding="utf-8", errors="replace")
        texts += [
            embedded_text(chunk)
            for chunk in cut(Document(name, text, digest="", language="python"))
        ]
    return random.Random(1).sample(texts, count)


def measured(name: str, texts: Path, runs: int) -> dict[str, object]:
    """Medians over fresh processes."""
    program = PROGRAM.format(name=name, query=QUERY, texts=str(texts))
    found = []
    for _ in range(runs):
        run = processes.run([sys.executable, "-c", program], {})
        found.append([*json.loads(run.output), run.memory])
    first, query, rate, cpu, memory = (list(values) for values in zip(*found, strict=True))
    return {
        "first_vector_ms": statistics.median(first) * 1000,
        "query_ms": statistics.median(query) * 1000,
        "texts_per_second": statistics.median(rate),
        "cpu_s": statistics.median(cpu),
        "memory_mb": statistics.median(memory),
        "runs": found,
    }


def row(name: str, figures: Mapping[str, object]) -> list[str]:
    return [
        name,
        f"{figures['first_vector_ms']:.0f} ms",
        f"{figures['query_ms']:.2f} ms",
        f"{figures['texts_per_second']:,.0f}",
        f"{figures['memory_mb']:.0f} MB",
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--chunks", type=int, default=300)
    parser.add_argument("--runs", type=int, default=3)
    asked = parser.parse_args()
    weights.find(notice=print)
    texts = sample(asked.chunks)
    with tempfile.TemporaryDirectory(prefix="ragkit-benchmark-") as folder:
        file = Path(folder, "texts.json")
        file.write_text(json.dumps(texts), encoding="utf-8")
        figures = {name: measured(of, file, asked.runs) for name, of in MODELS.items()}
    print(
        results.table(
            ("model", "first vector", "query", "chunks/s", "peak memory"),
            [row(name, found) for name, found in figures.items()],
        )
    )
    results.write(
        "embedded",
        {
            "chunks": asked.chunks,
            "characters": statistics.fmean(map(len, texts)),
            "runs": asked.runs,
            "onnxruntime": metadata.version("onnxruntime"),
        },
        figures=figures,
    )


if __name__ == "__main__":
    main()
