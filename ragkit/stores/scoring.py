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
from typing import TYPE_CHECKING

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

    def rough(self, counts: Counts, lengths: NDArray[np.float32]) -> NDArray[np.float32]:
        """(k,) of counts above 0, in 4 bytes."""
        import numpy as np

        n = counts.astype(np.float32)
        below = lengths * np.float32(self.per_word)
        below += np.float32(self.fixed)
        below += n
        n *= np.float32(self.factor)
        n /= below
        return n


@dataclass(frozen=True, slots=True)
class Term:
    """A word of a query."""

    word: str
    postings: Postings
    young: dict[int, int]
    weight: Weight

    @property
    def bound(self) -> float:
        """What the word adds to no chunk's score more of, young chunks left aside."""
        w = self.weight
        peaks = self.postings.peaks
        return max(
            (w.factor * n / (n + w.fixed + w.per_word * length) for n, length in peaks), default=0.0
        )


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
            found.append(Term(word, postings, young, weight))
    return found


def best(
    connection: apsw.Connection,
    lists: Lists,
    words: Sequence[str],
    limit: int,
    k1: float,
    b: float,
    among: NDArray[np.bool_] | None = None,
) -> Found:
    """The chunks that hold any of the words: ids and scores, both (k,), best first.

    k >= limit where that many match: all that tie with the last are given. With `among`,
    marks by id, other chunks are left out; they count in df, N and the mean length all the same.
    """
    import numpy as np

    terms = terms_of(connection, lists, words, k1, b)
    size = len(lists.lengths)
    admitted: NDArray[np.bool_] | None = None
    if among is not None and np.count_nonzero(among) > FEW * size:
        admitted = np.zeros(size, np.bool_)
        admitted[: len(among)] = among[:size]
    if among is None or admitted is not None:
        ids = _candidates(lists, terms, limit, admitted)
        fresh = np.fromiter(lists.young, np.int64, len(lists.young))
        if admitted is not None:
            fresh = fresh[admitted[fresh]]
        ids = np.concatenate((ids, fresh))
    else:
        ids = np.flatnonzero(among[:size])
    scores = scored(lists, terms, ids)
    there = scores > 0
    ids, scores = ids[there], scores[there]
    if len(ids) > limit:
        least = np.partition(scores, len(scores) - limit)[len(scores) - limit]
        ids, scores = ids[scores >= least], scores[scores >= least]
    order = np.lexsort((ids, -scores))
    return ids[order], scores[order]


def scored(lists: Lists, terms: Sequence[Term], ids: NDArray[np.int64]) -> NDArray[np.float64]:
    """(k,) the scores of these chunks."""
    import numpy as np

    lengths = lists.lengths[ids].astype(np.float64)
    scores = np.zeros(len(ids))
    old = _old(lists, ids)
    for term in terms:
        scores += term.weight.of(_counts(term, ids, old).astype(np.float64), lengths)
    return scores


def _old(lists: Lists, ids: NDArray[np.int64]) -> NDArray[np.bool_] | None:
    """(k,) whether what was read from FTS5 counts; None where it does of all."""
    import numpy as np

    return ~np.isin(ids, lists.changed_ids()) if lists.changed else None


def _counts(term: Term, ids: NDArray[np.int64], old: NDArray[np.bool_] | None) -> NDArray[np.int64]:
    """(k,) how often the chunks hold the word."""
    import numpy as np

    counts = term.postings.of(ids)
    if old is None:
        return counts
    counts *= old
    for i, count in term.young.items():
        counts[np.flatnonzero(ids == i)] = count
    return counts


def _candidates(
    lists: Lists, terms: Sequence[Term], limit: int, admitted: NDArray[np.bool_] | None
) -> NDArray[np.int64]:
    """Chunks that did not change, the best `limit` of which are the best of all."""
    import numpy as np

    falling = sorted(terms, key=lambda term: -term.bound)
    bounds = np.array([term.bound for term in falling])
    left = [*np.cumsum(bounds[::-1])[::-1].tolist(), 0.0]
    """What all words from this one on add at most."""
    total = sum(term.postings.size for term in falling)
    sums = np.zeros(len(lists.lengths), np.float32)
    lengths = lists.lengths
    least, gone_through, look = 0.0, 0, max(FIRST, 10 * limit)
    done = 0
    while done < len(falling) and left[done] >= least * (1 - SLACK):
        term = falling[done]
        ids, counts = term.postings.both()
        sums[ids] += term.weight.rough(counts, lengths[ids].astype(np.float32))
        done += 1
        gone_through += term.postings.size
        if gone_through >= look and 2 * gone_through < total:
            look = 4 * gone_through
            least = max(least, _least(lists, falling[done:], sums, limit, admitted))
    if lists.changed:
        sums[lists.changed_ids()] = 0
    # a chunk's sum is short of its score by what the words that are left add, at most
    short = least * (1 - SLACK) - left[done]
    ids = np.flatnonzero(sums > max(short, 0.0))
    if admitted is not None:
        ids = ids[admitted[ids]]
    return _closer(lists, falling[done:], left[done:], ids, sums[ids], limit, least)


def _closer(
    lists: Lists,
    terms: Sequence[Term],
    left: Sequence[float],
    ids: NDArray[np.int64],
    sums: NDArray[np.float32],
    limit: int,
    least: float,
) -> NDArray[np.int64]:
    """Those of the chunks that the words that are left may bring among the best."""
    import numpy as np

    for i, term in enumerate([*terms, None]):
        if len(ids) > limit:
            known = float(np.partition(sums, len(sums) - limit)[len(sums) - limit])
            least = max(least, known)
            kept = sums >= least * (1 - SLACK) - left[i]
            if not kept.all():
                ids, sums = ids[kept], sums[kept]
        if term is None or len(ids) <= limit:
            return ids
        sums = sums + term.weight.of(
            term.postings.of(ids).astype(np.float64), lists.lengths[ids].astype(np.float64)
        ).astype(np.float32)
    return ids


def _least(
    lists: Lists,
    terms: Sequence[Term],
    sums: NDArray[np.float32],
    limit: int,
    admitted: NDArray[np.bool_] | None,
) -> float:
    """What the best `limit` chunks score at least, from those that look best so far."""
    import numpy as np

    ids = np.flatnonzero(sums)
    if admitted is not None:
        ids = ids[admitted[ids]]
    if lists.changed:
        ids = ids[~np.isin(ids, lists.changed_ids())]
    some = 2 * limit + 100
    if len(ids) < limit:
        return 0.0
    if len(ids) > some:
        ids = ids[np.argpartition(sums[ids], len(ids) - some)[-some:]]
        ids.sort()
    found = sums[ids] + scored_old(lists, terms, ids)
    return float(np.partition(found, len(found) - limit)[len(found) - limit])


def scored_old(lists: Lists, terms: Sequence[Term], ids: NDArray[np.int64]) -> NDArray[np.float64]:
    """(k,) what these words add to the scores of chunks that did not change."""
    import numpy as np

    lengths = lists.lengths[ids].astype(np.float64)
    scores = np.zeros(len(ids))
    for term in terms:
        scores += term.weight.of(term.postings.of(ids).astype(np.float64), lengths)
    return scores


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
    old = _old(lists, ids)
    for term in terms_of(connection, lists, words, k1, b):
        held = np.bincount(places, _counts(term, ids, old), count).astype(np.float64)
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
