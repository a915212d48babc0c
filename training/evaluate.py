"""Measure a table: docstring → function, held-out pairs, and ragkit's three retrieval sets.

Usage: python training/evaluate.py TABLE … [--standard-library] [--retrieval CORPORA QUERIES]
                                              [--teacher] [--json FILE]

Choices are made on the held-out packages alone; the standard library and the retrieval sets are
for the figures of the final table.
"""

from __future__ import annotations

import argparse
import ast
import json
import math
import random
import re
import sysconfig
import textwrap
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pairs import load

from ragkit.models.embedded import StaticEmbedder

Scores = NDArray[np.floating]
Embed = Callable[[Sequence[str], str], NDArray[np.float32]]


def standard_library(count: int = 500, seed: int = 2) -> tuple[list[str], list[str]]:
    """First paragraphs of docstrings, and the functions that they were taken from."""
    seen: set[str] = set()
    found: list[tuple[str, str]] = []
    for path in _library_files():
        for query, body in _functions(path):
            if query not in seen and body not in seen:
                seen |= {query, body}
                found.append((query, body))
    random.Random(seed).shuffle(found)
    return [q for q, _ in found[:count]], [b for _, b in found[:count]]


def _library_files() -> Iterator[Path]:
    root = Path(sysconfig.get_paths()["stdlib"])
    apart = {"site-packages", "idlelib", "lib2to3", "turtledemo", "ensurepip"}
    for path in sorted(root.rglob("*.py")):
        parts = path.relative_to(root).parts
        if parts[0] not in apart and not {"test", "tests"} & set(parts):
            yield path


def _functions(path: Path) -> Iterator[tuple[str, str]]:
    try:
        source = path.read_text("utf-8")
        tree = ast.parse(source)
    except (SyntaxError, ValueError):
        return
    lines = source.splitlines(keepends=True)
    for node in ast.walk(tree):
        if not isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            continue
        docstring = ast.get_docstring(node)
        if not docstring or len(node.body) < 2:
            continue
        query = docstring.strip().split("\n\n")[0].replace("\n", " ").strip()
        first = node.decorator_list[0] if node.decorator_list else node
        taken = node.body[0]
        body = (
            lines[first.lineno - 1 : taken.lineno - 1] + lines[taken.end_lineno : node.end_lineno]
        )
        text = textwrap.dedent("".join(body))
        if len(query) >= 25 and 120 <= len(text) <= 6000:
            yield query[:400], text


def metrics(scores: Scores) -> dict[str, float]:
    """Of a square matrix whose diagonal holds the right answers."""
    ranks = 1 + (scores > np.diag(scores)[:, None]).sum(1)
    return {
        "recall@1": round(float((ranks == 1).mean()), 3),
        "recall@10": round(float((ranks <= 10).mean()), 3),
        "mrr": round(float((1 / ranks).mean()), 3),
    }


def terms(text: str) -> list[str]:
    found = []
    for word in re.findall(r"[A-Za-z_][A-Za-z_0-9]*|\d+", text):
        parts = re.findall(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|\d+", word)
        found += [part.lower() for part in parts]
        if len(parts) > 1:
            found.append(word.lower())
    return found


def bm25(
    queries: Sequence[str], passages: Sequence[str], k1: float = 1.2, b: float = 0.75
) -> Scores:
    counts = [Counter(terms(passage)) for passage in passages]
    lengths = np.array([c.total() for c in counts])
    postings: dict[str, list[tuple[int, int]]] = {}
    for i, counted in enumerate(counts):
        for term, count in counted.items():
            postings.setdefault(term, []).append((i, count))
    scores = np.zeros((len(queries), len(passages)))
    norm = k1 * (1 - b + b * lengths / lengths.mean())
    for row, query in zip(scores, queries, strict=True):
        for term in set(terms(query)):
            rows = postings.get(term, [])
            idf = math.log(1 + (len(passages) - len(rows) + 0.5) / (len(rows) + 0.5))
            for i, count in rows:
                row[i] += idf * count * (k1 + 1) / (count + norm[i])
    return scores


def rrf(*rankings: Scores, k: int = 60) -> Scores:
    places = [np.argsort(np.argsort(-s, axis=1, kind="stable"), axis=1) for s in rankings]
    return sum(1 / (k + place + 1) for place in places)


def measure(embed: Embed, queries: Sequence[str], passages: Sequence[str], words: Scores) -> dict:
    scores = embed(queries, "query") @ embed(passages, "document").T
    return {"alone": metrics(scores), "with BM25 (rrf)": metrics(rrf(scores, words))}


def chunks(text: str, lines: int = 30, characters: int = 1200) -> list[str]:
    made: list[str] = []
    current: list[str] = []
    size = 0
    for line in text.splitlines(keepends=True):
        if current and (len(current) == lines or size + len(line) > characters):
            made.append("".join(current))
            current, size = [], 0
        current.append(line)
        size += len(line)
    return [*made, "".join(current)] if current else made


def localisation(embed: Embed, corpus: Path, judged: Path) -> dict[str, float]:
    """nDCG@10 of files for BM25, the model and both (RRF of the best 200 chunks of each)."""
    texts, owners = [], []
    kinds = {".py", ".pyx", ".pxd", ".rst", ".md", ".txt", ".toml", ".cfg", ".ini"}
    for path in sorted(p for p in corpus.rglob("*") if p.suffix in kinds and p.is_file()):
        name = path.relative_to(corpus).as_posix()
        for chunk in chunks(path.read_text("utf-8")):
            texts.append(f"{name}\n{chunk}")
            owners.append(name)
    queries = [json.loads(line) for line in (judged / "queries.jsonl").read_text().splitlines()]
    relevant: dict[str, set[str]] = {}
    for line in (judged / "qrels.txt").read_text().splitlines():
        query, _, name, _ = line.split()
        relevant.setdefault(query, set()).add(name)
    asked = [query["text"] for query in queries]
    found = {"BM25": bm25(asked, texts)}
    found["alone"] = embed(asked, "query") @ embed(texts, "document").T
    found["with BM25 (rrf)"] = _rrf_of_best(found["BM25"], found["alone"])
    judged_files = [relevant[query["id"]] for query in queries]
    return {
        f"nDCG@10 {system}": round(float(np.mean(_ndcgs(owners, scores, judged_files))), 3)
        for system, scores in found.items()
    }


def _ndcgs(owners: Sequence[str], scores: Scores, judged: Sequence[set[str]]) -> list[float]:
    return [_ndcg(owners, row, relevant) for row, relevant in zip(scores, judged, strict=True)]


def _rrf_of_best(*rankings: Scores, depth: int = 200, k: int = 60) -> Scores:
    fused = np.zeros_like(rankings[0], dtype=float)
    for scores in rankings:
        best = np.argsort(-scores, axis=1, kind="stable")[:, :depth]
        for row, chosen in zip(fused, best, strict=True):
            row[chosen] += 1 / (k + 1 + np.arange(len(chosen)))
    return fused


def _ndcg(owners: Sequence[str], scores: Scores, relevant: set[str], limit: int = 10) -> float:
    files = list(dict.fromkeys(owners[i] for i in np.argsort(-scores, kind="stable")[:200]))[:limit]
    gain = sum(1 / math.log2(i + 2) for i, name in enumerate(files) if name in relevant)
    return gain / sum(1 / math.log2(i + 2) for i in range(min(limit, len(relevant))))


def held_out(kind: str, count: int = 700) -> tuple[list[str], list[str]]:
    pairs = load(held_out=True)
    chosen = [i for i, k in enumerate(pairs.kinds) if k == kind][:count]
    return [pairs.queries[i] for i in chosen], [pairs.passages[i] for i in chosen]


KINDS = ("docstring", "detail", "class", "message", "comment", "jsdoc", "section", "sentence")


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("tables", nargs="*", type=Path)
    parser.add_argument("--standard-library", action="store_true")
    parser.add_argument("--retrieval", nargs=2, type=Path, metavar=("CORPORA", "QUERIES"))
    parser.add_argument("--teacher", action="store_true", help="on the standard library only")
    parser.add_argument("--json", type=Path)
    asked = parser.parse_args()
    sets = {f"held out: {kind}": held_out(kind) for kind in KINDS}
    if asked.standard_library:
        sets = {"standard library": standard_library(), **sets}
    words = {name: bm25(*texts) for name, texts in sets.items() if texts[0]}
    results: dict[str, dict] = {
        "BM25": {
            name: {"queries": len(scores), "alone": metrics(scores)}
            for name, scores in words.items()
        }
    }
    for path in asked.tables:
        embed = StaticEmbedder(path).embed
        results[path.name] = {
            name: measure(embed, *sets[name], scores) for name, scores in words.items()
        }
        if asked.retrieval:
            corpora, judged = asked.retrieval
            for name in ("celery", "sqlfluff", "sqlalchemy"):
                results[path.name][name] = localisation(embed, corpora / name, judged / name)
    if asked.teacher:
        from teacher import Teacher

        teacher = Teacher()
        name = "standard library"
        results["MiniLM"] = {
            name: measure(lambda texts, kind: teacher.embed(texts, 256), *sets[name], words[name])
        }
    show(results)
    if asked.json:
        asked.json.write_text(json.dumps(results, indent=2) + "\n")


def show(results: dict[str, dict]) -> None:
    for model, figures in results.items():
        for name, found in figures.items():
            print(f"{model:20} {name:22} {found}", flush=True)


if __name__ == "__main__":
    main()
