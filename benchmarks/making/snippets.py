"""Functions as files of their own, without their docstrings, and short questions that they answer.

The questions are those of `questions`; the functions have no neighbours to be found by.
"""

from __future__ import annotations

import random
import warnings
from collections.abc import Iterator
from hashlib import sha256

from benchmarks import library
from benchmarks.judgements import Query, Span
from benchmarks.making import Texts
from benchmarks.making.documented import is_test
from benchmarks.making.questions import question


def snippets(texts: Texts, count: int, seed: int = 4) -> tuple[dict[str, str], list[Query]]:
    """All documented Python functions as files, and `count` questions, each of one function."""
    sources: dict[str, library.Function] = {}
    for function in _functions(texts):
        sources.setdefault(function.source, function)
    files = {f"{number:04}.py": function for number, function in enumerate(sources.values())}
    asked: dict[str, list[str]] = {}
    for path, function in files.items():
        said = question(" ".join(function.query.split()), function.name, "python")
        asked.setdefault(said, []).append(path)
    single = [(said, paths[0]) for said, paths in asked.items() if said and len(paths) == 1]
    random.Random(seed).shuffle(single)
    return {path: function.source for path, function in files.items()}, [
        Query(
            id=sha256(f"{said}:{files[path].path}".encode()).hexdigest()[:10],
            text=said,
            relevant=frozenset([path]),
            spans=((path, Span(1, files[path].source.count("\n"))),),
        )
        for said, path in single[:count]
    ]


def _functions(texts: Texts) -> Iterator[library.Function]:
    for path in sorted(texts):
        if path.endswith(".py") and not is_test(path):
            try:
                with warnings.catch_warnings():
                    warnings.simplefilter("ignore")  # invalid escapes of others
                    yield from library.documented_in(path, texts[path])
            except SyntaxError:
                continue
