"""Text to the token ids of BERT uncased, as the model all-MiniLM-L6-v2 was trained with them.

Characters first: controls go, accents go, case goes; punctuation and Chinese characters become
words of their own. Each character's form is looked up in one table, so a text costs one
`translate`, one `split` and a look-up for each word. The words are then covered by pieces
(`wordpiece.cover`).

The ids are those of the `tokenizers` package, as `training/check_bert.py` checks, but for texts
with one of 560 marks and punctuation characters that Unicode got after 2016: that package takes
them for letters.
"""

from __future__ import annotations

import json
import re
import unicodedata
from bisect import bisect_right
from collections.abc import Mapping
from itertools import chain
from pathlib import Path
from typing import Final

from ragkit.errors import ModelError
from ragkit.models.embedded.wordpiece import Seen, cover

VERSION: Final = 1
"""Raised whenever some text gets other ids; a part of the model's fingerprint."""

_SPECIAL = re.compile(r"(\[(?:PAD|UNK|CLS|SEP|MASK)\])")
_CHINESE: Final = (
    (0x3400, 0x4DBF),
    (0x4E00, 0x9FFF),
    (0xF900, 0xFAFF),
    (0x20000, 0x2A6DF),
    (0x2A700, 0x2B81F),
    (0x2B920, 0x2CEAF),  # sic: the reference begins 256 later than the block
    (0x2F800, 0x2FA1F),
)


class Tokeniser:
    """Ids by BERT's vocabulary. Thread-safe; remembers the ids of words that it has seen."""

    def __init__(self, vocabulary: Mapping[str, int]) -> None:
        """`vocabulary` has the special tokens; `##ing` is the piece `ing` inside a word."""
        self._whole = vocabulary
        self._continuing = {
            piece[2:]: token for piece, token in vocabulary.items() if piece.startswith("##")
        }
        self._unknown = vocabulary["[UNK]"]
        self._first, self._last = vocabulary["[CLS]"], vocabulary["[SEP]"]
        self._forms = Forms()
        self._seen = Seen(self._pieces)

    def encode(self, text: str, limit: int) -> tuple[list[int], int]:
        """At most `limit` ids, with the first and last that BERT wants, and how many characters of
        `text` they stand for: all, unless it is too long."""
        ids, room = self.ids(text), limit - 2
        covered = len(text)
        if len(ids) > room:
            ends = range(len(text) + 1)
            covered = bisect_right(ends, room, key=lambda end: len(self.ids(text[:end]))) - 1
        return [self._first, *ids[:room], self._last], covered

    def ids(self, text: str) -> list[int]:
        """The ids of all words of `text`, in order."""
        found: list[int] = []
        for part in _SPECIAL.split(text):
            if part[:1] == "[" and part in self._whole and len(part) > 1:
                found.append(self._whole[part])
            else:
                words = part.translate(self._forms).split()
                found += chain.from_iterable(map(self._seen.__getitem__, words))
        return found

    def _pieces(self, word: str) -> tuple[int, ...]:
        return tuple(cover(word, self._whole, self._continuing)) or (self._unknown,)


class Forms(dict[int, str]):
    """What `str.translate` puts in the place of a character; finds what it lacks."""

    def __missing__(self, code: int) -> str:
        form = self[code] = _form(code)
        return form


def _form(code: int) -> str:
    char = chr(code)
    category = unicodedata.category(char)
    if char in "\t\n\r" or category in ("Zs", "Zl", "Zp"):
        return " "
    if category in ("Cc", "Cf", "Co", "Cs") or code == 0xFFFD:
        return ""
    form = "".join(
        f" {part} " if _is_punctuation(part) else part
        for part in unicodedata.normalize("NFD", char)
        if unicodedata.category(part) != "Mn"
    )
    form = "".join(part.lower() for part in form)  # one by one: no final form of sigma
    return f" {form} " if any(first <= code <= last for first, last in _CHINESE) else form


def _is_punctuation(char: str) -> bool:
    if char.isascii():
        return char.isprintable() and not char.isalnum() and char != " "
    return unicodedata.category(char).startswith("P")


def read(path: Path) -> Tokeniser:
    """The tokeniser of a `tokenizer.json`. Raises ModelError where it is another kind's."""
    try:
        vocabulary = json.loads(path.read_bytes())["model"]["vocab"]
        return Tokeniser(vocabulary)
    except OSError as error:
        raise ModelError(f"embedded/minilm: {path}: {error.strerror}") from error
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ModelError(f"embedded/minilm: {path} is not the vocabulary of BERT") from error
