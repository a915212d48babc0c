"""BM25 with any k1 and b over inverted lists: exact for every chunk, without looking at each.

The score is the sum, over the different words w of the query that a chunk holds n times, of
ln(1 + (N - df + 0.5) / (df + 0.5)) · n (k1 + 1) / (n + k1 (1 - b + b · length / mean length)).

Words are taken from the one that can add most to the one that can add least, as in MaxScore
(Turtle & Flood, 1995, doi:10.1016/0306-4573(95)00020-H): as soon as a chunk that holds only the
words that are left cannot come in among the best, no more lists are gone through, and the chunks
found so far are looked up in the lists that are left. How good the best are is known from the
whole scores of a few that look best. These sums are of 4 bytes, and bounds leave room for that;
scores come from sums of 8 bytes in the order of the query's words, so that equal chunks are equal.
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import apsw

from ragkit.stores.connection import query
from ragkit.stores.lists import Lists, Postings
from ragkit.stores.words import distinct

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from ragkit.stores.lists import Counts

    Found = tuple[NDArray[np.int64], NDArray[np.float64]]
    """(k,) ids and (k,) scores."""

FIRST = 5_000
"""Postings that are gone through before the best are looked at; four times as many after that."""

FEW = 0.02
"""Share of the index's chunks up to which those that a filter admits are all looked up."""

ENOUGH = 0.5
"""Share of what the best score that the words left may add, when the last sparse list was gone
through."""

SLACK = 1e-4
"""Share by which sums of 4 bytes are trusted."""


@dataclass(frozen=True, slots=True)
class Weight:
    """How much a count is worth: `of`, which is 0 for 0 and rises with it."""

    factor: float
    """idf · (k1 + 1)"""
    fixed: float
    """k1 (1 - b)"""
    per_word: float
    """k1 · b / mean length"""

    def of(self, counts: NDArray[np.float64], lengths: NDArray[np.float64]) -> NDArray[np.float64]:
        """(k,) of chunks with these counts and lengths."""
        import numpy as np

        below = counts + (self.fixed + self.per_word * lengths)
        return self.factor * counts / np.where(counts > 0, below, 1.0)

    def rough(self, counts: Counts, norms: NDArray[np.float32]) -> NDArray[np.float32]:
        """(k,) the same in 4 bytes, for chunks with these norms."""
        import numpy as np

        n = counts.astype(np.float32)
        below = n + norms
        n *= np.float32(self.factor)
        n /= below
        return n

    def most(self, peaks: Sequence[tuple[int, int]]) -> float:
        """What it gives at most for any of these counts and lengths; 0 for none."""
        fixed, per_word = self.fixed, self.per_word
        return self.factor * max([n / (n + fixed + per_word * at) for n, at in peaks], default=0.0)


@dataclass(frozen=True, slots=True)
class Term:
    """A word of a query."""

    word: str
    postings: Postings
    young: dict[int, int]
    weight: Weight
    bound: float
    """What the word adds to a chunk's score at most, young chunks left aside."""


def terms_of(
    connection: apsw.Connection, lists: Lists, words: Sequence[str], k1: float, b: float
) -> list[Term]:
    """The words of a query that any chunk holds, in order."""
    import numpy as np

    changed = lists.changed_ids()
    found = []
    for word in distinct(words):
        postings = lists.postings(connection, word)
        young = lists.young_counts(word) if lists.young else {}
        gone = int(np.count_nonzero(postings.of(changed))) if len(changed) else 0
        df = postings.size - gone + len(young)
        if df:
            factor = _idf(lists.chunks, df) * (k1 + 1)
            weight = Weight(factor, k1 * (1 - b), k1 * b / lists.mean)
            found.append(Term(word, postings, young, weight, weight.most(postings.peaks)))
    return found


def best(
    connection: apsw.Connection,
    lists: Lists,
    words: Sequence[str],
    limit: int,
    k1: float,
    b: float,
    admitted: NDArray[np.bool_] | None = None,
) -> Found:
    """The chunks that hold any of the words: ids and scores, both (k,), best first.

    k >= limit where that many match: all that tie with the last are given. With `admitted`, marks
    by id that end with False, other chunks are left out; they count in df, N and the mean length
    all the same.
    """
    import numpy as np

    terms = terms_of(connection, lists, words, k1, b)
    few = FEW * len(lists.lengths)
    if admitted is not None and np.count_nonzero(admitted) <= few:
        ids = np.flatnonzero(admitted[: len(lists.lengths)])
    else:
        ids = _candidates(lists, terms, lists.norms(k1, b), limit, admitted)
        fresh = np.fromiter(lists.young, np.int64, len(lists.young))
        ids = np.concatenate((ids, _among(fresh, admitted)))
    scores = scored(lists, terms, ids)
    there = scores > 0
    ids, scores = ids[there], scores[there]
    if len(ids) > limit:
        least = _highest(scores, limit)
        ids, scores = ids[scores >= least], scores[scores >= least]
    order = np.lexsort((ids, -scores))
    return ids[order], scores[order]


def _among(ids: NDArray[np.int64], admitted: NDArray[np.bool_] | None) -> NDArray[np.int64]:
    return ids if admitted is None else ids[admitted.take(ids, mode="clip")]


def scored(lists: Lists, terms: Sequence[Term], ids: NDArray[np.int64]) -> NDArray[np.float64]:
    """(k,) the scores of these chunks."""
    import numpy as np

    lengths = lists.lengths[ids].astype(np.float64)
    scores = np.zeros(len(ids))
    young = _young(lists, ids)
    for term in terms:
        scores += term.weight.of(_counts(term, ids, young), lengths)
    return scores


def _young(lists: Lists, ids: NDArray[np.int64]) -> tuple[NDArray[np.bool_], dict[int, int]] | None:
    """(k,) what of FTS5 counts, and where the young chunks are; None where all of it does."""
    import numpy as np

    if not lists.changed:
        return None
    old = ~np.isin(ids, lists.changed_ids())
    places = np.flatnonzero(~old).tolist()
    return old, dict(zip(ids[places].tolist(), places, strict=True))


def _counts(
    term: Term, ids: NDArray[np.int64], young: tuple[NDArray[np.bool_], dict[int, int]] | None
) -> NDArray[np.float64]:
    """(k,) how often the chunks hold the word."""
    import numpy as np

    counts = term.postings.of(ids).astype(np.float64)
    if young is not None:
        old, places = young
        counts *= old
        for i, count in term.young.items():
            if i in places:
                counts[places[i]] = count
    return counts


def _candidates(
    lists: Lists,
    terms: Sequence[Term],
    norms: NDArray[np.float32],
    limit: int,
    admitted: NDArray[np.bool_] | None,
) -> NDArray[np.int64]:
    """Chunks that did not change, the best `limit` of which are the best of all."""
    import numpy as np

    falling = sorted(terms, key=lambda term: -term.bound)
    left = [sum(term.bound for term in falling[i:]) for i in range(len(falling) + 1)]
    """What all words from this one on add at most."""
    total = sum(term.postings.size for term in falling)
    sums = np.zeros(len(norms), np.float32)
    least, gone_through, look, done = 0.0, 0, max(FIRST, 10 * limit), 0
    while done < len(falling) and _needed(falling[done], left[done], least):
        term = falling[done]
        _add(term, sums, norms)
        done += 1
        gone_through += term.postings.size
        if gone_through >= look and 2 * gone_through < total:
            look = 4 * gone_through
            if lists.changed:
                sums[lists.changed_ids()] = 0
            least = max(least, _least(falling[done:], norms, sums, limit, admitted))
    if lists.changed:
        sums[lists.changed_ids()] = 0
    # a chunk's sum is short of its score by what the words that are left add, at most
    found = np.flatnonzero(sums > max(least * (1 - SLACK) - left[done], 0.0))
    ids = _among(found, admitted)
    return _closer(falling[done:], left[done:], norms, ids, sums[ids], limit, least)


def _needed(term: Term, left: float, least: float) -> bool:
    """Whether a list must be gone through, or costs less than the candidates that it saves."""
    enough = least * (1 - SLACK)
    return left >= enough or (left >= ENOUGH * enough and term.postings.ids is not None)


def _add(term: Term, sums: NDArray[np.float32], norms: NDArray[np.float32]) -> None:
    """Add what a word adds, to the sums by id."""
    postings = term.postings
    if postings.ids is None:
        end = len(postings.counts)
        sums[:end] += term.weight.rough(postings.counts, norms[:end])
    else:
        sums[postings.ids] += term.weight.rough(postings.counts, norms[postings.ids])


def _closer(
    terms: Sequence[Term],
    left: Sequence[float],
    norms: NDArray[np.float32],
    ids: NDArray[np.int64],
    sums: NDArray[np.float32],
    limit: int,
    least: float,
) -> NDArray[np.int64]:
    """Those of the chunks that the words that are left may bring among the best."""
    for i in range(len(terms) + 1):
        if limit < len(ids) and (len(ids) <= FIRST or i == len(terms)):
            least = max(least, _highest(sums, limit))
        kept = sums >= least * (1 - SLACK) - left[i]
        if not kept.all():
            ids, sums = ids[kept], sums[kept]
        if i < len(terms) and len(ids) > limit:
            sums = sums + terms[i].weight.rough(terms[i].postings.of(ids), norms[ids])
        else:
            break
    return ids


def _highest(scores: NDArray[Any], rank: int) -> float:
    """The score at this rank, from 1."""
    import numpy as np

    return float(np.partition(scores, len(scores) - rank)[len(scores) - rank])


def _least(
    terms: Sequence[Term],
    norms: NDArray[np.float32],
    sums: NDArray[np.float32],
    limit: int,
    admitted: NDArray[np.bool_] | None,
) -> float:
    """What the best `limit` chunks score at least, from those that look best so far."""
    import numpy as np

    ids = _among(np.flatnonzero(sums > 0), admitted)
    if len(ids) < limit:
        return 0.0
    found = sums[ids]
    some = 2 * limit + 100
    if len(ids) > some:
        best = np.argpartition(found, len(ids) - some)[-some:]
        best.sort()
        ids, found = ids[best], found[best]
    theirs = norms[ids]
    for term in terms:
        found += term.weight.rough(term.postings.of(ids), theirs)
    return _highest(found, limit)


# ── documents ──


def of_documents(
    connection: apsw.Connection,
    lists: Lists,
    words: Sequence[str],
    documents: Sequence[int],
    k1: float,
    b: float,
) -> list[float]:
    """The BM25 score of each of these documents, by id, as one text; 0 where it has no such word.

    As of chunks, with df, N, lengths and their mean counted in documents; a word's count in a
    document is the sum over its chunks.
    """
    import numpy as np

    sql = (
        f"select id, document from chunks_{lists.index} where words is not null "
        "and document in (select value from json_each(?))"
    )
    rows = np.array(query(connection, sql, (json.dumps(list(documents)),)), np.int64).reshape(-1, 2)
    ids, owners = rows[:, 0], rows[:, 1]
    order = np.argsort(documents)
    places = order[np.searchsorted(documents, owners, sorter=order)]
    count = len(documents)
    sizes = np.bincount(places, lists.lengths[ids], count).astype(np.float64)
    known = known_documents(lists)
    mean = lists.total / known if lists.total else 1.0
    scores = np.zeros(count)
    young = _young(lists, ids)
    for term in terms_of(connection, lists, words, k1, b):
        held = np.bincount(places, _counts(term, ids, young), count).astype(np.float64)
        factor = _idf(known, holding(lists, term)) * (k1 + 1)
        scores += Weight(factor, k1 * (1 - b), k1 * b / mean).of(held, sizes)
    found: list[float] = scores.tolist()
    return found


def known_documents(lists: Lists) -> int:
    """How many documents have words."""
    import numpy as np

    if lists.known is None:
        known = np.zeros(int(lists.owners.max(initial=0)) + 1, np.bool_)
        known[lists.owners] = True
        known[0] = False
        lists.known = known
    return int(np.count_nonzero(lists.known)) + len({c.document for c in lists.young.values()})


def holding(lists: Lists, term: Term) -> int:
    """How many documents hold a word."""
    import numpy as np

    bits = lists.holders.get(term.word)
    if bits is None:
        ids, _ = term.postings.both()
        marks = np.zeros(int(lists.owners.max(initial=0)) + 1, np.bool_)
        marks[lists.owners[ids]] = True
        marks[0] = False  # owner of the chunks that changed
        bits = np.packbits(marks)
        lists.hold(term.word, bits)
    moved = np.array([d for d in lists.moved if d < 8 * len(bits)], np.int64)
    gone = int(np.count_nonzero(bits[moved >> 3] >> (7 - (moved & 7)).astype(np.uint8) & 1))
    fresh = {lists.young[i].document for i in term.young}
    return int(np.bitwise_count(bits).sum()) - gone + len(fresh)


def _idf(known: int, df: int) -> float:
    return math.log(1 + (known - df + 0.5) / (df + 0.5))
