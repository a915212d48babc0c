"""Inverted lists in memory, shared by a store's threads, and how they follow the file.

`Lists` are of one state of an index. What is read of them stays as it was read; what changes later
is kept beside it: `changed` are the chunks whose old words do not count any more, and `young` has
the new words of those that have some. So a change costs readers as much as it is large, however
large the index is, and searches that are under way keep the state that they began with.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, TypeAlias

import apsw

from ragkit.errors import StoreMismatch
from ragkit.stores import changes, leaves, words
from ragkit.stores.connection import query

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from ragkit.stores.reader import Reader

    Ids: TypeAlias = NDArray[np.int64] | NDArray[np.int32]
    Lengths: TypeAlias = NDArray[np.int32] | NDArray[np.uint16]
    Counts: TypeAlias = NDArray[np.uint8] | NDArray[np.uint16] | NDArray[np.uint32]

KEPT_BYTES = 20_000_000
"""Of lists that a store remembers."""

CHANGED = 512
"""Chunks that are kept beside the lists; when more have changed, lists are read anew."""

SPARSE = 5
"""Bytes of a posting in a sparse list; a dense one has a byte for every chunk of the index."""


@dataclass(frozen=True, slots=True)
class Postings:
    """Which chunks hold a word, and how often."""

    ids: NDArray[np.int32] | None
    """(n,) ascending; None where `counts` is by id."""
    counts: Counts
    """(n,) of each of the ids; or by id, 0 where the chunk has no such word."""
    size: int
    """n"""
    peaks: tuple[tuple[int, int], ...]
    """(count, length): no chunk holds the word more often and is shorter than all of these."""

    @property
    def nbytes(self) -> int:
        """Bytes in memory."""
        return self.counts.nbytes + (0 if self.ids is None else self.ids.nbytes) + 200

    def both(self) -> tuple[Ids, Counts]:
        """(n,) ids and (n,) counts."""
        import numpy as np

        if self.ids is not None:
            return self.ids, self.counts
        ids = np.flatnonzero(self.counts)
        return ids, self.counts[ids]

    def of(self, ids: Ids) -> Counts:
        """(k,) how often each of these chunks holds the word."""
        import numpy as np

        last = len(self.counts) - 1
        if last < 0:
            return np.zeros(len(ids), self.counts.dtype)
        if self.ids is None:
            found: Counts = self.counts.take(ids, mode="clip")
            return found if ids.max(initial=0) <= last else found * (ids <= last)
        places = self.ids.searchsorted(ids.astype(self.ids.dtype))
        there = self.ids.take(places, mode="clip") == ids
        counts: Counts = self.counts.take(places, mode="clip") * there
        return counts


@dataclass(frozen=True, slots=True)
class Young:
    """A chunk that changed after the lists were read."""

    document: int
    terms: str
    """As FTS5 was given them."""


@dataclass(slots=True)
class Lists:
    """Inverted lists and chunk lengths of one state of an index."""

    index: int
    generation: int
    lengths: Lengths
    """By id: words of each chunk."""
    owners: NDArray[np.int32]
    """By id: the chunk's document; 0 for chunks without words and for those that changed."""
    chunks: int
    """How many chunks have words: BM25's N."""
    total: int
    """Words of all chunks."""
    young: dict[int, Young] = field(default_factory=dict)
    """By id."""
    fresh: dict[str, tuple[int, ...]] = field(default_factory=dict)
    """By word: id and count, id and count, … of the young chunks that hold it."""
    changed: set[int] = field(default_factory=set)
    """Chunks of which nothing that was read from FTS5 counts; all of `young` among them."""
    moved: set[int] = field(default_factory=set)
    """Documents that had any of them."""
    lists: OrderedDict[str, Postings] = field(default_factory=OrderedDict)
    """By word, least lately used first."""
    holders: dict[str, NDArray[np.uint8]] = field(default_factory=dict)
    """By word: bits by id of a document, whether any of its chunks holds it."""
    nbytes: int = 0
    """Of `lists` and `holders`."""
    source: leaves.Leaves | None = None
    """FTS5's pages in this state; None before they are looked at."""
    known: NDArray[np.bool_] | None = None
    """By id of a document: whether `owners` has it; None before it is asked for."""
    weighed: tuple[float, float, NDArray[np.float32]] | None = None
    """The latest k1, b and `norms`."""
    lock: threading.Lock = field(default_factory=threading.Lock)
    """Of what is added while searching: lists, holders, nbytes."""

    @property
    def mean(self) -> float:
        """Mean length of a chunk; 1 for none."""
        return self.total / self.chunks if self.total else 1.0

    def norms(self, k1: float, b: float) -> NDArray[np.float32]:
        """By id: k1 (1 - b + b · length / mean length), and never 0."""
        import numpy as np

        known = self.weighed
        if known is None or known[:2] != (k1, b):
            norms = self.lengths * np.float32(k1 * b / self.mean)
            norms += np.float32(max(k1 * (1 - b), 1e-30))
            known = self.weighed = (k1, b, norms)
        return known[2]

    def postings(self, connection: apsw.Connection, word: str) -> Postings:
        """A word's list, from memory or read; chunks that changed may or may not be in it.

        The connection's transaction must see the state that these lists are of.
        """
        found = self.lists.get(word)
        if found is None:
            found = read(connection, self, word)
            self._keep(word, found)
        else:
            with self.lock:
                if word in self.lists:  # another thread may have let it go
                    self.lists.move_to_end(word)
        return found

    def _keep(self, word: str, postings: Postings) -> None:
        with self.lock:
            if word not in self.lists:
                self.nbytes += postings.nbytes
            self.lists[word] = postings
            while self.nbytes > KEPT_BYTES and len(self.lists) > 1:
                gone, old = self.lists.popitem(last=False)
                held = self.holders.pop(gone, None)
                self.nbytes -= old.nbytes + (0 if held is None else held.nbytes)

    def hold(self, word: str, bits: NDArray[np.uint8]) -> None:
        """Remember which documents hold a word."""
        with self.lock:
            if word in self.lists and word not in self.holders:
                self.holders[word] = bits
                self.nbytes += bits.nbytes

    def young_counts(self, word: str) -> dict[int, int]:
        """By id: how often each young chunk holds the word, where it does."""
        pairs = self.fresh.get(word, ())
        return dict(zip(pairs[::2], pairs[1::2], strict=True))

    def changed_ids(self) -> NDArray[np.int64]:
        """(n,) ids of the chunks that changed, ascending."""
        import numpy as np

        return np.array(sorted(self.changed), np.int64)


def read(connection: apsw.Connection, lists: Lists, word: str) -> Postings:
    """A word's list as FTS5 has it now, without the chunks that changed."""
    import numpy as np

    by_count: dict[int, list[NDArray[np.int64]]] = {}
    for term, ids in _terms(connection, lists, word):
        stem, _, count = term.partition(words.MARK)
        if stem == word and len(ids):  # words that go on with a control character come, too
            by_count.setdefault(int(count or 1), []).append(ids)
    groups: dict[int, NDArray[np.int64]]
    groups = {count: np.concatenate(parts).astype(np.int64) for count, parts in by_count.items()}
    if lists.changed:
        gone = lists.changed_ids()
        groups = {count: ids[~np.isin(ids, gone)] for count, ids in groups.items()}
        groups = {count: ids for count, ids in groups.items() if len(ids)}
    return _postings(groups, lists.lengths)


def _terms(
    connection: apsw.Connection, lists: Lists, word: str
) -> Iterable[tuple[str, NDArray[np.int64]]]:
    """Terms of a word, with some others, and the chunks that hold them."""
    # `word` and `word␟n` lie between these bounds
    low, high = word, word + words.MARK + "\x7f"
    table = f"words_{lists.index}"
    try:
        if lists.source is None:
            lists.source = leaves.read(connection, table)
        return list(leaves.between(connection, lists.source, low, high))
    except leaves.Unknown:
        sql = (
            f"select term, group_concat(doc) from terms_{lists.index} "
            "where term between ? and ? group by term"
        )
        found = query(connection, sql, (low, high))
        return [(term, words.numbers(documents)) for term, documents in found]


def _postings(groups: dict[int, NDArray[np.int64]], lengths: NDArray[Any]) -> Postings:
    """A list of ids by count."""
    import numpy as np

    kind = np.min_scalar_type(max(groups, default=1))
    size = sum(map(len, groups.values()))
    peaks, shortest = [], 1 << 31
    for count in sorted(groups, reverse=True):
        length = int(lengths[groups[count]].min())
        if length < shortest:
            shortest = length
            peaks.append((count, length))
    if size * SPARSE >= len(lengths) > 0:
        counts = np.zeros(len(lengths), kind)
        for count, ids in groups.items():
            counts[ids] = count
        return Postings(None, counts, size, tuple(peaks))
    ids = np.concatenate([np.empty(0, np.int64), *groups.values()])
    order = np.argsort(ids, kind="stable")  # which merges runs
    counts = np.repeat(np.array(list(groups), kind), list(map(len, groups.values())))
    return Postings(ids[order].astype(np.int32), counts[order], size, tuple(peaks))


# ── the state of the file ──


class Shared:
    """The lists that a store's threads share."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._lists: Lists | None = None
        self._place: tuple[object, ...] = ()  # what they are of: file, index, when it was made

    def at(self, reader: Reader, index: int) -> Lists | None:
        """The lists of the state that the reader's transaction sees.

        None where another thread has seen a later state: the transaction must begin again.
        Raises StoreMismatch where the index is gone.
        """
        connection = reader.sql
        with self._lock:
            sql = "select created, generation from indexes where id = ?"
            row = query(connection, sql, (index,))
            if not row:
                raise StoreMismatch("the index was replaced by another", remedy="start again")
            [(created, generation)] = row
            lists = self._lists
            place = (reader.file, index, created)
            if lists is not None and self._place == place:
                if lists.generation > generation:
                    return None
                if lists.generation < generation:
                    lists = follow(connection, lists, generation)
            else:
                lists = None
            self._lists, self._place = lists or load(connection, index, generation), place
            return self._lists


def load(connection: apsw.Connection, index: int, generation: int) -> Lists:
    """The lengths of an index's chunks, and no list yet."""
    import numpy as np

    blocks = query(connection, f"select block, places from lengths_{index} order by block")
    ends = blocks[-1][0] + 1 if blocks else 0
    if len(blocks) < ends:
        free, known = bytes(8 * words.BLOCK), dict(blocks)
        blocks = [(block, known.get(block, free)) for block in range(ends)]
    places = np.frombuffer(b"".join([data for _, data in blocks]), "<i4").reshape(-1, 2)
    lengths, owners = _narrow(places[:, 0]), np.ascontiguousarray(places[:, 1])
    chunks, total = int(np.count_nonzero(owners)), int(lengths.sum(dtype=np.int64))
    return Lists(index, generation, lengths, owners, chunks, total)


def _narrow(lengths: Lengths) -> Lengths:
    import numpy as np

    return lengths.astype(np.uint16) if lengths.max(initial=0) < 1 << 16 else lengths


def follow(connection: apsw.Connection, lists: Lists, generation: int) -> Lists | None:
    """The lists in a later state; None where too much has changed since."""
    import numpy as np

    rows = changes.since(
        connection,
        f"worded_{lists.index}",
        lists.generation,
        "document, gone, added, lengths, terms",
    )
    if rows is None or any(terms is None for *_, terms in rows):
        return None
    with lists.lock:
        later = replace(
            lists,
            generation=generation,
            lengths=lists.lengths.astype(np.int32),
            owners=lists.owners.copy(),
            young=dict(lists.young),
            fresh=dict(lists.fresh),
            changed=set(lists.changed),
            moved=set(lists.moved),
            lists=OrderedDict(lists.lists),
            holders=dict(lists.holders),
            source=None,
            known=None,
            weighed=None,
            lock=threading.Lock(),
        )
    for document, gone, added, counts, terms in rows:
        for i in _unpacked(gone):
            _take_out(later, i)
        for i, length, text in zip(
            _unpacked(added), _unpacked(counts), terms.split("\n"), strict=False
        ):
            _put_in(later, i, length, Young(document, text))
        if len(later.changed) > CHANGED:
            return None
    later.lengths = _narrow(later.lengths)
    return later


def _take_out(lists: Lists, chunk: int) -> None:
    lists.total -= int(lists.lengths[chunk])
    lists.chunks -= 1
    if chunk in lists.young:
        _forget(lists.fresh, chunk, lists.young.pop(chunk).terms)
    else:
        lists.moved.add(int(lists.owners[chunk]))
    lists.changed.add(chunk)
    lists.lengths[chunk] = lists.owners[chunk] = 0


def _put_in(lists: Lists, chunk: int, length: int, young: Young) -> None:
    import numpy as np

    if chunk >= len(lists.lengths):
        more = chunk + 1 - len(lists.lengths) + words.BLOCK
        lists.lengths = np.pad(lists.lengths, (0, more)).astype(np.int32)
        lists.owners = np.pad(lists.owners, (0, more))
    lists.total += length
    lists.chunks += 1
    lists.young[chunk] = young
    for word, count in words.counted(young.terms).items():
        lists.fresh[word] = (*lists.fresh.get(word, ()), chunk, count)
    lists.changed.add(chunk)
    lists.lengths[chunk] = length


def _forget(fresh: dict[str, tuple[int, ...]], chunk: int, terms: str) -> None:
    """Take a chunk out of the young words."""
    for word in words.counted(terms):
        pairs = fresh[word]
        at = pairs[::2].index(chunk) * 2
        fresh[word] = pairs[:at] + pairs[at + 2 :]
        if not fresh[word]:
            del fresh[word]


def _unpacked(data: bytes | None) -> list[int]:
    import numpy as np

    found: list[int] = np.frombuffer(data or b"", "<i4").tolist()
    return found
