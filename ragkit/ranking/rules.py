"""The rules. Each takes what is asked, the hits and their shares; it gives a factor for each hit.

The constants were chosen by measurement, see docs/retrieval.md.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from heapq import nlargest

from ragkit.ranking import contexts, paths
from ragkit.ranking.asked import Asked
from ragkit.types import Hit

_DEFINED = 0.4
_DESCRIBED, _SAID = 0.5, 0.5
_HEADING, _HEADINGS = 0.2, 0.5
_STEM, _WHOLE_STEM = 0.1, 0.1
_FILE, _WHOLE = 0.5, ".file"
_COHERENT, _OTHERS = 0.1, 3
_PHRASES, _READ = 1.5, 20
_QUOTED, _QUOTED_RUNS = 2.0, 3

_KEYWORDS = (
    "def|class|func|function|fn|struct|interface|trait|enum|type|module|namespace|record|object"
    "|protocol|macro|sub|proc|const|let|var|val|defmodule|defn|#define"
)


def definitions(asked: Asked, hits: Sequence[Hit], shares: Sequence[float]) -> list[float]:
    """Lift chunks that define a symbol which the query names."""
    names = {name.lower() for name in asked.identifiers} | asked.names
    if not names:
        return [1.0] * len(hits)
    pattern = _definition(asked)
    return [1 + _DEFINED if _defines(hit, names, pattern) else 1.0 for hit in hits]


def _defines(hit: Hit, names: set[str], pattern: re.Pattern[str] | None) -> bool:
    chunk = hit.chunk
    if chunk.context:
        named = not names.isdisjoint(contexts.defined(chunk.context)[0])
    else:
        named = bool(pattern and pattern.search(chunk.text))
    return named and not paths.is_prose(chunk.path)


def _definition(asked: Asked) -> re.Pattern[str] | None:
    """A definition of one of the identifiers, for chunks that no grammar has cut."""
    if not asked.identifiers:
        return None
    names = "|".join(map(re.escape, sorted(asked.identifiers)))
    return re.compile(rf"(?<![\w-])(?:{_KEYWORDS})\s+(?:{names})\b")


def symbols(asked: Asked, hits: Sequence[Hit], shares: Sequence[float]) -> list[float]:
    """Lift chunks that define a symbol whose name says in its words what the query says.

    Two words at least must agree, one of them of the name itself. What counts is the share of the
    words of name and scopes that the query has, and that share times the query's share.
    """
    factors = [1.0] * len(hits)
    for i, hit in enumerate(hits):
        context = hit.chunk.context
        if not context or len(asked.stems & contexts.defined(context)[1]) < 2:
            continue
        if not paths.is_prose(hit.chunk.path):
            said = (_agreement(symbol, asked.stems) for symbol in contexts.symbols(context))
            factors[i] += max(said)
    return factors


def _agreement(symbol: contexts.Symbol, stems: frozenset[str]) -> float:
    if symbol.stems.isdisjoint(stems):
        return 0.0
    total = 0.0
    both = len(symbol.all_stems & stems)
    if both >= 2:
        total += _DESCRIBED * both / len(symbol.all_stems)
    own = len(symbol.stems & stems)
    if own >= 2:
        total += _SAID * own / len(symbol.stems) * own / len(stems)
    return total


def headings(asked: Asked, hits: Sequence[Hit], shares: Sequence[float]) -> list[float]:
    """Lift sections of prose whose headings say what the query says.

    What counts is the share of the last heading's words that the query has, and the share of the
    query's words that all headings above the chunk have.
    """
    found = []
    for hit in hits:
        lift = 0.0
        if asked.stems and hit.chunk.context and paths.is_prose(hit.chunk.path):
            last, every = contexts.headings(hit.chunk.context)
            if last:
                lift += _HEADING * len(last & asked.stems) / len(last)
            lift += _HEADINGS * len(every & asked.stems) / len(asked.stems)
        found.append(1 + lift)
    return found


def names(asked: Asked, hits: Sequence[Hit], shares: Sequence[float]) -> list[float]:
    """Lift files whose name the query says: in part, and more where it says all of it."""
    factors: dict[str, float] = {}
    for path in {hit.chunk.path for hit in hits}:
        stem = paths.stem_terms(path)
        matched = len(stem & asked.words)
        factors[path] = 1 + (_STEM * matched / len(stem) if matched else 0.0)
        if stem and matched == len(stem):
            factors[path] += _WHOLE_STEM
    return [factors[hit.chunk.path] for hit in hits]


def phrases(asked: Asked, hits: Sequence[Hit], shares: Sequence[float]) -> list[float]:
    """Lift chunks that hold what the query says, word for word: each four words in a row count.

    The share of them counts squared: a common turn of phrase says little, a whole excerpt all. Who
    gives an excerpt of `_QUOTED_RUNS` or more looks for that place, wherever it stood. Only the
    best `_READ` are read, and as many of the best by words, among which a quoted text must be.
    """
    factors = [1.0] * len(hits)
    if asked.phrases:
        every = range(len(hits))
        read = set(nlargest(_READ, every, key=shares.__getitem__))
        for name in {key.removesuffix(_WHOLE) for key in _whole_file_keys(hits)}:
            read.update(nlargest(_READ, every, key=lambda i: hits[i].scores.get(name, 0.0)))
        for i in read:
            text = " ".join(hits[i].chunk.text.lower().split())
            held = sum(phrase in text for phrase in asked.phrases)
            factors[i] += _PHRASES * (held / len(asked.phrases)) ** 2
            if held == len(asked.phrases) >= _QUOTED_RUNS:
                factors[i] = max(factors[i], 1 + _QUOTED / shares[i])
    return factors


def files(asked: Asked, hits: Sequence[Hit], shares: Sequence[float]) -> list[float]:
    """Lift chunks of files that fit the query as a whole, by the BM25 score of the file.

    Strategies say it, as `<name>.file` in a hit's scores. Where most files are a single chunk, file
    and chunk are the same, and it would only count words twice: the lift shrinks with the share
    of hits that are the only one of their file and stand at its beginning.
    """
    keys = _whole_file_keys(hits)
    scores: dict[str, float] = {}
    chunks = Counter([hit.chunk.path for hit in hits])
    for hit in hits:
        path = hit.chunk.path
        for key in keys:
            if hit.scores.get(key, 0.0) > scores.get(path, 0.0):
                scores[path] = hit.scores[key]
    best = max(scores.values(), default=0.0)
    if best <= 0:
        return [1.0] * len(hits)
    single = sum(hit.chunk.start == 0 and chunks[hit.chunk.path] == 1 for hit in hits)
    most = _FILE * (1 - single / len(hits))
    return [1 + most * max(scores.get(hit.chunk.path, 0.0), 0.0) / best for hit in hits]


def _whole_file_keys(hits: Sequence[Hit]) -> set[str]:
    """`<name>.file` of each strategy that searches by words."""
    every = set[str]().union(*(hit.scores for hit in hits))
    return {key for key in every if key.endswith(_WHOLE)}


def noise(asked: Asked, hits: Sequence[Hit], shares: Sequence[float]) -> list[float]:
    """Lower tests, examples, vendored and generated files, … unless the query asks for them."""
    factors = paths.factors(asked)
    return [factors[paths.kind(hit.chunk.path)] for hit in hits]


def coherence(asked: Asked, hits: Sequence[Hit], shares: Sequence[float]) -> list[float]:
    """Lift the chunks of a file by the shares of its next best ones, after the very best."""
    seen: dict[str, int] = {}
    others: dict[str, float] = {}
    for i in sorted(range(len(hits)), key=shares.__getitem__, reverse=True):
        path = hits[i].chunk.path
        before = seen.get(path, 0)
        seen[path] = before + 1
        if 0 < before <= _OTHERS:
            others[path] = others.get(path, 0.0) + shares[i]
    return [1 + _COHERENT * others.get(hit.chunk.path, 0.0) / _OTHERS for hit in hits]
