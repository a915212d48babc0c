"""Text to the token ids of the static table: words split as code is written, then WordPiece.

WordPiece (Schuster & Nakajima 2012, as in BERT) covers a word by the longest pieces of a fixed
vocabulary, from the left. What differs from BERT is what counts as a word: identifiers are split
at case, digit and underscore first (`getHTTPResponse2` is get, http, response, 2), and punctuation
is left out.

Almost every run of letters and digits in a text has been seen before, so the whole work is done
once a run and remembered; a text costs one `translate`, one `split` and a look-up for each run.
"""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Callable, Mapping, Sequence

VERSION = 1
"""Raised whenever some text gets other ids; a part of the model's fingerprint."""

_LONGEST_WORD = 100  # as in BERT; longer ones are data, not words
_CACHED_RUNS = 50_000  # about 10 MB; a large code base has more, and most of those come once

# bytes, because their `translate` takes a third of the time of that of str
_SPACED = bytes(c if chr(c).isalnum() else ord(" ") for c in range(128)) + bytes(128)
_RUN = re.compile(r"[^\W_]+")
# HTTPServer is HTTP, Server; URLs is one word; userID2 is user, ID, 2
_WORD = re.compile(r"[A-Z]{2,}s?(?![a-z])|[A-Z]?[a-z]+|[A-Z]+|[0-9]+")
_LETTERS_OR_DIGITS = re.compile(r"[^\W\d_]+|\d+")
# Chinese characters stand for words and are not spaced: each is one, as in BERT
_IDEOGRAPH = re.compile("([\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0002fa1f])")


def runs(text: str) -> list[str]:
    """The runs of letters and digits in `text`, in order."""
    if text.isascii():
        return text.encode("ascii").translate(_SPACED).decode("ascii").split()
    # composed, because a combining accent is no letter and would cut its word
    return _RUN.findall(unicodedata.normalize("NFC", text))


def words(run: str) -> list[str]:
    """The words of one run, in order: lower case, without accents, split at case and digits."""
    if run.isascii():
        return [word.lower() for word in _WORD.findall(run)]
    found: list[str] = []
    for part in _LETTERS_OR_DIGITS.findall(_IDEOGRAPH.sub(r" \1 ", _without_accents(run))):
        found += words(part) if part.isascii() else [part.lower()]
    return found


class WordPiece:
    """Token ids by a vocabulary. Thread-safe; remembers the ids of runs that it has seen.

    `whole` are pieces that begin a word, with ids from 0; `continuing` are those inside a word,
    with ids from `len(whole)`.
    """

    def __init__(self, whole: Sequence[str], continuing: Sequence[str]) -> None:
        inside = range(len(whole), len(whole) + len(continuing))
        self._whole = dict(zip(whole, range(len(whole)), strict=True))
        self._continuing = dict(zip(continuing, inside, strict=True))
        self._seen = Seen(self.ids)

    def counts(self, text: str) -> tuple[list[tuple[int, ...]], list[int]]:
        """The ids of each distinct run of `text`, and how often the run comes; first seen first.

        A run of which the vocabulary knows nothing has no ids.
        """
        counted = Counter(runs(text))
        return list(map(self._seen.__getitem__, counted)), list(counted.values())

    def ids(self, run: str) -> tuple[int, ...]:
        """The ids of one run's words, in order; a word that cannot be covered has none."""
        return tuple(
            piece for word in words(run) for piece in cover(word, self._whole, self._continuing)
        )


def cover(word: str, whole: Mapping[str, int], continuing: Mapping[str, int]) -> list[int]:
    """The ids of the pieces of `word`, the longest first from the left; [] where that fails."""
    if len(word) > _LONGEST_WORD:
        return []
    ids: list[int] = []
    start, known = 0, whole
    while start < len(word):
        for end in range(len(word), start, -1):
            found = known.get(word[start:end])
            if found is not None:
                break
        else:
            return []
        ids.append(found)
        start, known = end, continuing
    return ids


class Seen(dict[str, tuple[int, ...]]):
    """Ids by run; finds those that it lacks, and forgets all when it is full. Thread-safe."""

    def __init__(self, ids: Callable[[str], tuple[int, ...]]) -> None:
        self._ids = ids

    def __missing__(self, run: str) -> tuple[int, ...]:
        ids = self._ids(run)
        if len(self) >= _CACHED_RUNS:
            self.clear()  # subtle: safe beside other threads, which only ever look one run up
        self[run] = ids
        return ids


def _without_accents(text: str) -> str:
    decomposed = unicodedata.normalize("NFD", text)
    return "".join(c for c in decomposed if unicodedata.category(c) != "Mn")
