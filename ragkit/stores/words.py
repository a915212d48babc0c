"""Words in FTS5, ranked by BM25 with any k1 and b.

FTS5's own bm25() has k1 and b built in, so it serves as the inverted list only. A word that a chunk
holds n > 1 times is indexed as `word␟n`, once: with `detail=none` that keeps the count in half the
space of positions, and reading a list costs one row a chunk. Lists arrive as one comma-separated
string each, which is the fastest way out of SQL, and are scored in numpy: exactly, every chunk.

A reader keeps the lists that it used until the index changes, up to `KEPT` postings.
"""

from __future__ import annotations

from collections import Counter, OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeAlias

import apsw

from ragkit.stores.connection import query

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Postings: TypeAlias = tuple[NDArray[np.int32], NDArray[np.float32]]
    """(n,) positions of chunks, and (n,) how often each holds the word."""

KEPT = 4_000_000
"""Postings that one reader keeps in memory, of 8 bytes each."""

LONGEST = 200
"""Characters of a word that are indexed; what a longer word has after them is not told apart."""

_COUNT = "\x1f"  # the unit separator; `split` cuts at it, so no word contains it


def split(words: str) -> list[str]:
    """Words as they are indexed: ASCII folds its case; NUL and what is no Unicode is replaced."""
    found = words.encode("utf-8", "replace").translate(_FOLDED).decode().split(" ")
    if len(max(found, key=len)) > LONGEST:
        found = [word[:LONGEST] for word in found]
    return list(filter(None, found))


# One pass over the bytes of a chunk, since this is where most of the time would go.
_FOLDED = bytes.maketrans(
    b"ABCDEFGHIJKLMNOPQRSTUVWXYZ\t\n\v\f\r\x1c\x1d\x1e\x1f\0",
    b"abcdefghijklmnopqrstuvwxyz         \x1a",
)


def terms(words: Sequence[str]) -> str:
    """What FTS5 is given for a chunk's words: ["a", "b", "a"] → "a␟2 b"."""
    counts = Counter(words)
    return " ".join([word if n == 1 else f"{word}{_COUNT}{n}" for word, n in counts.items()])


@dataclass(slots=True)
class Lists:
    """Inverted lists and chunk lengths as one reader knows them, of one state of the index."""

    index: int
    generation: int
    first: int
    """The lowest id of a chunk; positions in arrays count from it."""
    lengths: NDArray[np.float32]
    """(last - first + 1,) float32: words of each chunk."""
    chunks: int
    """How many chunks have words: BM25's N."""
    mean: float
    """Their mean length; 1 for none."""
    owners: NDArray[np.int64]
    """(last - first + 1,) positions in `documents`: whose chunk it is."""
    documents: NDArray[np.int64]
    """(n,) ids of the documents that have words, ascending."""
    sizes: NDArray[np.float64]
    """(n,) words of each document."""
    lists: OrderedDict[str, Postings] = field(default_factory=OrderedDict)
    """By word, least lately used first."""
    postings: int = 0


def load(connection: apsw.Connection, index: int, generation: int) -> Lists:
    """The lengths of an index's chunks, and no list yet."""
    import numpy as np

    columns = "group_concat(id), group_concat(words), group_concat(document)"
    sql = f"select {columns} from chunks_{index} where words is not null"
    ids, words, whose = (numbers(column) for column in query(connection, sql)[0])
    first = int(ids.min()) if len(ids) else 0
    lengths = np.zeros(int(ids.max()) - first + 1 if len(ids) else 0, np.float32)
    lengths[ids - first] = words
    mean = float(words.mean()) if len(ids) else 1.0
    documents, places = np.unique(whose, return_inverse=True)
    owners = np.zeros(len(lengths), np.int64)
    owners[ids - first] = places
    sizes = np.bincount(places, words, len(documents)).astype(np.float64)  # of none, integers
    return Lists(index, generation, first, lengths, len(ids), mean or 1.0, owners, documents, sizes)


def best(
    connection: apsw.Connection,
    lists: Lists,
    words: Sequence[str],
    limit: int,
    k1: float,
    b: float,
    among: NDArray[np.int64] | None = None,
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """The chunks that hold any of the words, by BM25: ids and scores, both (k,), best first.

    The score is the sum, over the different words w of the query that a chunk holds n times, of
    ln(1 + (N - df + 0.5) / (df + 0.5)) · n (k1 + 1) / (n + k1 (1 - b + b · length / mean length)).
    k >= limit where that many match: all that tie with the last are given. With `among`, an array
    of ids, other chunks are left out; they count in df, N and the mean length all the same.
    """
    import numpy as np

    scores = np.zeros(len(lists.lengths))
    norms = k1 * (1 - b + b * lists.lengths / lists.mean)
    for word in dict.fromkeys(word for text in words for word in split(text)):
        positions, counts = _list(connection, lists, word)
        idf = np.log(1 + (lists.chunks - len(positions) + 0.5) / (len(positions) + 0.5))
        scores[positions] += idf * counts * (k1 + 1) / (counts + norms[positions])
    if among is None:
        found = np.flatnonzero(scores)
    else:
        places = among - lists.first
        places = places[(places >= 0) & (places < len(scores))]
        found = places[scores[places] > 0]
    if len(found) > limit:
        least = np.partition(scores[found], len(found) - limit)[len(found) - limit]
        found = found[scores[found] >= least]
    found = found[np.argsort(-scores[found], kind="stable")]
    return found + lists.first, scores[found]


def of_documents(
    connection: apsw.Connection,
    lists: Lists,
    words: Sequence[str],
    documents: Sequence[int],
    k1: float,
    b: float,
) -> list[float]:
    """The BM25 score of each of these documents, by id, as one text; 0 where it has no such word.

    As in `best`, with df, N, lengths and their mean counted in documents; a word's count in a
    document is the sum over its chunks.
    """
    import numpy as np

    known = len(lists.documents)
    if not known:
        return [0.0] * len(documents)
    places = np.searchsorted(lists.documents, documents).clip(max=known - 1)
    there = lists.documents[places] == documents
    norms = k1 * (1 - b + b * lists.sizes[places] / (lists.sizes.mean() or 1.0))
    scores = np.zeros(len(documents))
    for word in dict.fromkeys(word for text in words for word in split(text)):
        positions, counts = _list(connection, lists, word)
        held = np.bincount(lists.owners[positions], weights=counts, minlength=known)
        df = np.count_nonzero(held)
        idf = np.log(1 + (known - df + 0.5) / (df + 0.5))
        n = held[places]
        scores += idf * n * (k1 + 1) / np.where(n > 0, n + norms, 1.0)
    found: list[float] = np.where(there, scores, 0.0).tolist()
    return found


def _list(connection: apsw.Connection, lists: Lists, word: str) -> Postings:
    """A word's postings, from memory or from FTS5."""
    known = lists.lists.get(word)
    if known is None:
        known = _read(connection, lists, word)
        lists.lists[word] = known
        lists.postings += len(known[0])
        while lists.postings > KEPT and len(lists.lists) > 1:
            _, (positions, _) = lists.lists.popitem(last=False)
            lists.postings -= len(positions)
    lists.lists.move_to_end(word)
    return known


def _read(connection: apsw.Connection, lists: Lists, word: str) -> Postings:
    import numpy as np

    positions, counts = [], []
    # `word` and `word␟n` lie between these bounds, and words that go on with a control character
    sql = (
        f"select term, group_concat(doc) from terms_{lists.index} "
        "where term between ? and ? group by term"
    )
    for term, documents in query(connection, sql, (word, word + _COUNT + "\x7f")):
        stem, _, count = term.partition(_COUNT)
        if stem == word:
            positions.append(numbers(documents) - lists.first)
            counts.append(np.full(len(positions[-1]), int(count or 1), np.float32))
    if not positions:
        return np.empty(0, np.int32), np.empty(0, np.float32)
    return np.concatenate(positions).astype(np.int32), np.concatenate(counts)


def numbers(text: str | None) -> NDArray[np.int64]:
    """ "3,1,2" → [3, 1, 2]"""
    import numpy as np

    return np.fromstring(text or "", np.int64, sep=",")
