"""Choose the table's pieces and make its first rows, from the teacher alone.

The pieces are MiniLM's (without punctuation, which the tokeniser drops) and the words that are
frequent in the pairs and that MiniLM would cut. Each goes through the teacher on its own; PCA,
weighted by frequency, takes the vectors to 256 dimensions; a row's length is its SIF weight
(Arora et al. 2017), so that frequent pieces count little.

Usage: python training/vocabulary.py
"""

from __future__ import annotations

import json
from collections import Counter
from functools import cache

import numpy as np
from numpy.typing import NDArray
from pairs import Pairs, load
from places import MODEL, WORK
from table import write
from teacher import HIDDEN, Teacher

from ragkit.models.embedded.wordpiece import WordPiece, runs, words

DIMENSIONS = 256
LARGEST_BYTES = 9_950_000
_ROW_BYTES = DIMENSIONS + 8
_SIF = 1e-3


def pieces_of_teacher() -> tuple[list[str], list[str]]:
    """MiniLM's pieces that the tokeniser can ever ask for: those that begin a word, and others."""
    listed = (MODEL / "vocab.txt").read_text("utf-8").split("\n")
    whole = [p for p in listed if p and not p.startswith(("##", "[")) and words(p) == [p]]
    continuing = [p[2:] for p in listed if p.startswith("##") and p[2:].isalnum()]
    return whole, continuing


words_once = cache(words)  # the same runs come again and again


def all_words(text: str) -> list[str]:
    return [word for run in runs(text) for word in words_once(run)]


def frequent_words(pairs: Pairs, whole: list[str], continuing: list[str]) -> list[str]:
    """Words that MiniLM cuts, by the number of cuts that a row for each would save."""
    tokeniser = WordPiece(whole, continuing)
    counts: Counter[str] = Counter()
    packages: dict[str, set[str]] = {}
    for package, query, passage in zip(pairs.packages, pairs.queries, pairs.passages, strict=True):
        for word, count in Counter(all_words(query + "\n" + passage)).items():
            counts[word] += min(count, 3)
            packages.setdefault(word, set()).add(package)
    saved = {
        word: count * (len(tokeniser.ids(word)) - 1)
        for word, count in counts.items()
        # a word of one project only is that project's business
        if word.isascii() and word.isalpha() and len(word) > 1 and len(packages[word]) >= 4
    }
    room = LARGEST_BYTES - 1024 - sum(_ROW_BYTES + len(p.encode()) + 1 for p in whole + continuing)
    chosen = []
    for word in sorted(saved, key=lambda word: (-saved[word], word)):
        room -= _ROW_BYTES + len(word) + 1
        if room < 0 or saved[word] <= 0:
            break
        chosen.append(word)
    return chosen


def frequencies(pairs: Pairs, tokeniser: WordPiece, count: int) -> NDArray[np.float64]:
    """How often each piece comes in the pairs, plus one, as shares."""
    found = np.ones(count)
    for text in pairs.queries + pairs.passages:
        for ids, times in zip(*tokeniser.counts(text), strict=True):
            for piece in ids:
                found[piece] += times
    return found / found.sum()


def vectors(whole: list[str], continuing: list[str]) -> NDArray[np.float32]:
    """Each piece through the teacher: [CLS] piece [SEP], (n, 384)."""
    listed = (MODEL / "vocab.txt").read_text("utf-8").split("\n")
    ids = {piece: i for i, piece in enumerate(listed)}
    teacher_pieces = WordPiece(*pieces_of_teacher())
    names = [*pieces_of_teacher()[0], *("##" + p for p in pieces_of_teacher()[1])]
    inputs = []
    for piece in whole:
        parts = [ids[piece]] if piece in ids else [ids[names[p]] for p in teacher_pieces.ids(piece)]
        inputs.append([101, *parts, 102])
    inputs += [[101, ids["##" + piece], 102] for piece in continuing]
    made = np.zeros((len(inputs), HIDDEN), np.float32)
    teacher = Teacher()
    order = sorted(range(len(inputs)), key=lambda i: len(inputs[i]))
    for start in range(0, len(order), 256):
        chosen = order[start : start + 256]
        made[chosen] = teacher.embed_ids([inputs[i] for i in chosen])
    return made


def principal(x: NDArray[np.float32], weights: NDArray[np.float64]) -> NDArray[np.float32]:
    centred = x - (weights[:, None] * x).sum(0)
    covariance = (centred * weights[:, None]).T @ centred
    return (centred @ np.linalg.eigh(covariance)[1][:, ::-1][:, :DIMENSIONS]).astype(np.float32)


def main() -> None:
    pairs = load(held_out=False)
    whole, continuing = pieces_of_teacher()
    added = frequent_words(pairs, whole, continuing)
    whole += added
    print(f"{len(whole)} + {len(continuing)} pieces, {len(added)} of them new: {added[:30]}")
    share = frequencies(pairs, WordPiece(whole, continuing), len(whole) + len(continuing))
    x = vectors(whole, continuing)
    rows = principal(x, np.sqrt(share) / np.sqrt(share).sum())
    rows *= (_SIF / (_SIF + share))[:, None]
    (WORK / "vocabulary.json").write_text(json.dumps({"whole": whole, "continuing": continuing}))
    np.savez(WORK / "start.npz", rows=rows.astype(np.float32), share=share, teacher=x)
    header = write(
        WORK / "distilled.table",
        whole,
        continuing,
        rows,
        np.ones(len(rows), np.float32),
        damping=1.0,
    )
    print(header)


if __name__ == "__main__":
    main()
