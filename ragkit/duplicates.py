"""Hits that show nothing new: the same text, nearly the same, or the same lines of one file.

Nearly the same is a Jaccard similarity of at least 0.9 between the sets of three neighbouring words
(Broder, "On the resemblance and containment of documents", 1997). Only sets that share one of their
first elements, in any fixed order, can be so alike, so that few pairs are ever compared (the prefix
filter of Chaudhuri, Ganti, Kaushik, ICDE 2006). Nothing is estimated.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final, Literal, TypeAlias

from ragkit.types import Hit

CLOSELY: Final = 256
"""Distinct hits that are looked at for more than equal texts: nobody reads further, and a query for
10,000 hits stays fast."""

Sameness: TypeAlias = Literal["", "same text", "nearly the same text", "same lines"]
"""What makes a hit a repetition of another; "": nothing does."""

_Shingles: TypeAlias = frozenset[int]


def distinct(hits: Iterable[Hit], closely: int = CLOSELY) -> list[Hit]:
    """The hits that repeat no better one, in their order.

    The first `closely` of them are unlike each other by every measure; the rest are merely of
    different texts. White space at the ends of a text does not count.
    """
    kept: list[Hit] = []
    texts: set[str] = set()
    seen = _Seen()
    for hit in hits:
        text = hit.chunk.text.strip()
        if text in texts or (len(kept) < closely and not seen.admits(hit, text)):
            continue
        texts.add(text)
        kept.append(hit)
    return kept


def sameness(one: Hit, other: Hit) -> Sameness:
    """Why one of the two would be left out beside the other."""
    texts = one.chunk.text.strip(), other.chunk.text.strip()
    if texts[0] == texts[1]:
        return "same text"
    if one.chunk.path == other.chunk.path and _overlap(_span(one), _span(other)):
        return "same lines"
    return "nearly the same text" if _alike(*map(_shingles, texts)) else ""


class _Seen:
    """Hits that were let through."""

    def __init__(self) -> None:
        self._spans: dict[str, list[tuple[int, int]]] = {}
        self._texts: list[_Shingles] = []
        self._holders: dict[int, list[int]] = {}  # texts by the first of their shingles

    def admits(self, hit: Hit, text: str) -> bool:
        """Whether the hit shows something new; it is then remembered."""
        spans, span = self._spans.setdefault(hit.chunk.path, []), _span(hit)
        if any(_overlap(span, other) for other in spans):
            return False
        shingles = _shingles(text)
        firsts = _firsts(shingles)
        others = {number for first in firsts for number in self._holders.get(first, ())}
        if any(_alike(shingles, self._texts[number]) for number in others):
            return False
        spans.append(span)
        for first in firsts:
            self._holders.setdefault(first, []).append(len(self._texts))
        self._texts.append(shingles)
        return True


def _span(hit: Hit) -> tuple[int, int]:
    return hit.chunk.start, hit.chunk.end


def _overlap(one: tuple[int, int], other: tuple[int, int]) -> bool:
    """Whether they share two thirds of the shorter; neighbours may repeat half of each other."""
    shared = min(one[1], other[1]) - max(one[0], other[0])
    return shared > 0 and 3 * shared >= 2 * min(one[1] - one[0], other[1] - other[0])


def _shingles(text: str) -> _Shingles:
    """Hashes of each three neighbouring words; of characters where a script has no spaces."""
    words: Sequence[str] = text.split()
    if len(words) * _LONGEST < len(text):
        words = "".join(words)
    if len(words) < 3:
        return frozenset((hash(tuple(words)),))
    return frozenset(map(hash, zip(words, words[1:], words[2:], strict=False)))


_LONGEST: Final = 30
"""Characters that words have on average at most."""


def _firsts(shingles: _Shingles) -> list[int]:
    """So many of them, the least, that a like set has one among its own."""
    count = len(shingles) - -(-9 * len(shingles) // 10) + 1
    return sorted(shingles)[:count]


def _alike(one: _Shingles, other: _Shingles) -> bool:
    """Whether nine tenths of all are in both."""
    fewer, more = sorted((len(one), len(other)))
    if 10 * fewer < 9 * more:
        return False
    shared = len(one & other)
    return 10 * shared >= 9 * (len(one) + len(other) - shared)
