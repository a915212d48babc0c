"""The words of a text, for the lexical search: of a chunk, of a query, and of a snippet.

A word of code is found as a whole and by its parts, however they are put together: `getUserName`,
`get_user_name` and `get-user-name` all give `getusername`, `get`, `user`, `name`; `UTF-8` and
`utf8` both give `utf8` and `utf`; `3.11.7` gives itself, `3.11`, `3`, `11` and `7`. A document and
a query are split by the same rules: the more of them agrees, the higher it scores.

A plural counts as its singular, and that is all the stemming there is: on 180 texts of changes to
three projects it gained 0.015 nDCG@10, while taking -ing and -ed off as well, or indexing a word
beside its stem, lost.

A term is lower case, without white space or quotes: letters, digits and marks of any script, and
inside it the `JOINERS`.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator
from functools import cache
from itertools import chain, pairwise

VERSION = 1
"""Changes whenever `terms` would give other terms for some text."""

JOINERS = "_-."
"""The ASCII characters that a term may hold besides letters and digits."""

_LONGEST = 128  # a longer word is a blob: a key, a hash, base64
_MOST = 64  # terms of a query
_CACHED = 50_000  # tokens; about 15 MB

# Whatever is not ASCII, and of ASCII letters, digits and `_`; written as all but the rest, since a
# range up to the last character takes milliseconds to compile.
_WORD = r"[^\x00-/:-@\[-^`{-\x7f]+"
# A token is what stands together: words, hyphens between them, and dots beside a digit. The dots
# of `os.path.join` part it, since `join` is what one asks for; those of `3.11.7` do not.
_TOKEN = re.compile(rf"{_WORD}(?:(?:-|\.(?=[0-9])|(?<=[0-9])\.){_WORD})*")
_INNER_UNDERSCORES = re.compile(r"(?<=[^_])_+(?=[^_])")
_BETWEEN_JOINERS = re.compile(r"[^.-]+")
_VERSION_NUMBER = re.compile(r"v?[0-9]+(?:\.[0-9]+){2,}")
# The `s?` keeps the plural of an acronym together: `userIDs` is user + ids.
_SMALL = r"[^\x00-`{-\x7f]"  # a to z, and whatever is not ASCII
_PART = re.compile(rf"[A-Z]+s?(?!{_SMALL})|[A-Z]?{_SMALL}+|[0-9]+")
# Scripts written without spaces between words: Thai, Lao, Burmese, Khmer; kana, Han, Hangul.
_UNSPACED = (
    r"\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff"
    r"\u1100-\u11ff\u3005-\u3007\u3040-\u30ff\u31f0-\u31ff\u3400-\u4dbf\u4e00-\u9fff"
    r"\ua960-\ua97f\uac00-\ud7ff\uf900-\ufaff\uff66-\uff9f\U00020000-\U0003ffff"
)
_PLAIN_WORD = re.compile(r"[^\W\d_]+(?:['’-][^\W\d_]+)*")

_STOP_WORDS = """
    a about above after again against all also am an and any are as at be because been before
    being below between both but by can cannot could did didn do does doesn doing don down
    during each else etc ever few for from further get had has have having he her here hers
    him his how i if in instead into is isn it its itself just let ll me more most my no nor
    not now of off on once one only onto or other our out over own per please rather s same
    she should so some such t than that the their them then there these they this those
    through to too under until up upon us use used uses using ve very via want was we were
    what when where whether which while who whom why will with within without would yet you
    your"""


def terms(text: str) -> list[str]:
    """The terms of a text in order, with repetitions: what a document is indexed by.

    Upper case, accents and other writings of the same character (NFKC) make no difference. Scripts
    without spaces give each two neighbouring characters, and a lone character as itself. Nothing
    is left out: what is frequent weighs little in BM25, and it may be all that a query has.
    """
    return list(chain.from_iterable(map(_known.__getitem__, _TOKEN.findall(text))))


def query_terms(query: str) -> list[str]:
    """The distinct terms to search for, in order; [] if the query has no word at all.

    Stop words are left out of a query in sentences, that is of three words or more of which most
    are plain ones, unless it has no other words: `to be or not to be` still finds something. Of
    more than 64 terms the longest stay, as they tell most; the first of those that are as long.
    """
    distinct = list(dict.fromkeys(terms(query)))
    if _in_sentences(query):
        distinct = [term for term in distinct if term not in _STOPS] or distinct
    if len(distinct) > _MOST:
        kept = set(sorted(distinct, key=len, reverse=True)[:_MOST])
        distinct = [term for term in distinct if term in kept]
    return distinct


def highlights(text: str, query: str) -> list[tuple[int, int]]:
    """Where the words of the query stand in the text: half-open character ranges, in order.

    Of a longer identifier only the parts that the query has are marked. Ranges neither overlap nor
    touch.
    """
    wanted = set(query_terms(query))
    marks = []
    for token in _TOKEN.finditer(text):
        if wanted.isdisjoint(_known[token.group()]):
            continue
        at = token.start()
        for start, end in _pieces(token.group()):
            piece = text[at + start : at + end]
            if not wanted.isdisjoint(_known[piece][:1]):  # the first term is the whole piece
                marks.append((at + start, at + end))
    merged: list[tuple[int, int]] = []
    for start, end in sorted(marks):
        if merged and start <= merged[-1][1]:
            merged[-1] = (merged[-1][0], max(end, merged[-1][1]))
        else:
            merged.append((start, end))
    return merged


def weight(text: str, query: str) -> int:
    """How much of the query stands in the text: the letters of its distinct words that do.

    Long words say more than short ones. 0 where none does.
    """
    return sum(map(len, {text[start:end].lower() for start, end in highlights(text, query)}))


def compat_terms(text: str) -> list[str]:
    """docker-agent's terms: split at white space and 15 signs, without short and stop words."""
    words = _COMPAT_SPACE.split(text.lower())
    stops = frozenset(_COMPAT_STOP_WORDS.split())
    return [word for word in words if len(word.encode()) > 2 and word not in stops]


_COMPAT_SPACE = re.compile(
    r"""[.,!?;:()\[\]{}"'\t-\r \x85\xa0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000]+"""
)
_COMPAT_STOP_WORDS = "the a an and or but in on at to for of as by is was are were be been"


class _Known(dict[str, tuple[str, ...]]):
    """Tokens and their terms, as far as they have been met: code repeats its words."""

    def __missing__(self, token: str) -> tuple[str, ...]:
        found = tuple(_token_terms(token))
        if len(token) <= _LONGEST:  # a longer one hardly comes again
            if len(self) >= _CACHED:
                self.clear()
            self[token] = found
        return found


_known = _Known()


def _in_sentences(query: str) -> bool:
    words = query.split()
    plain = sum(bool(_PLAIN_WORD.fullmatch(word.strip(".,;:!?()\"'`*"))) for word in words)
    return len(words) >= 3 and plain * 2 > len(words)


def _token_terms(token: str) -> list[str]:
    if token.isascii():
        return _joined(token)
    found: list[str] = []
    for run in _runs().finditer(_fold(token)):
        text = run.group()
        if run["spaced"]:
            for part in _TOKEN.findall(text):
                found += _joined(part)
        else:
            found += map("".join, pairwise(text)) if len(text) > 1 else [text]
    return found


@cache
def _runs() -> re.Pattern[str]:
    """Parts a text where it changes to or from a script without spaces."""
    # Compiled when first needed, for it takes 6 ms, and plain English does without.
    return re.compile(rf"(?P<spaced>[^ {_UNSPACED}]+)|[{_UNSPACED}]+")


def _joined(token: str) -> list[str]:
    """A token's whole and its words; of a version number also the first two numbers."""
    if "-" not in token and "." not in token:
        return _word(token)
    words = [found for word in _BETWEEN_JOINERS.findall(token) if (found := _word(word))]
    found = []
    if len(words) > 1 and len(token) <= _LONGEST:
        found.append(re.sub("[-_]", "", token.lower()))
        if _VERSION_NUMBER.fullmatch(token):
            found.append(f"{words[0][0]}.{words[1][0]}")
    return found + list(chain.from_iterable(words))


def _word(word: str) -> list[str]:
    """A word's whole and its parts, of which one of a single character says too little.

    Nothing, if it is of underscores alone.
    """
    lower = word.lower()
    if len(word) > _LONGEST:
        return [lower[:_LONGEST]]
    if word.isalpha() and word[1:] == lower[1:]:  # most words: plain, or with a capital
        return [_singular(lower)]
    parts = _PART.findall(word)
    if not parts:
        return []
    # The underscores around a private name stay, so that it differs from the public one.
    whole = _INNER_UNDERSCORES.sub("", lower) if "_" in lower else lower
    if len(parts[0]) == len(word):
        return [_singular(whole)]
    return [_singular(whole), *[_singular(part.lower()) for part in parts if len(part) > 1]]


def _pieces(token: str) -> Iterator[tuple[int, int]]:
    """Where the things stand in a token that have terms of their own, itself among them."""
    if token.isascii():
        yield from _spaced_pieces(token, 0)
        return
    for run in _runs().finditer(token):
        if run["spaced"]:
            for part in _TOKEN.finditer(run.group()):
                yield from _spaced_pieces(part.group(), run.start() + part.start())
        else:
            for start in range(run.start(), run.end()):
                yield start, min(start + 2, run.end())


def _spaced_pieces(token: str, at: int) -> Iterator[tuple[int, int]]:
    yield at, at + len(token)
    for pattern in (_BETWEEN_JOINERS, _PART):
        for piece in pattern.finditer(token):
            yield at + piece.start(), at + piece.end()


_SINGULAR_IN_S = frozenset(["alias", "atlas", "bias", "canvas", "lens"])


def _singular(word: str) -> str:
    """A word of letters without its plural: classes, class → class; caches, cache → cach.

    What comes out need not be a word; it must only be the same for the singular and the plural.
    """
    if len(word) < 4 or word[-1] not in "se" or not word.isalpha() or word in _SINGULAR_IN_S:
        return word
    if word[-1] == "s" and word[-2] not in "sui":
        word = word[:-1]
    if word.endswith("ie") and len(word) > 3:
        return word[:-2] + "y"
    return word[:-1] if word.endswith(("se", "xe", "ze", "he")) else word


_STOPS = frozenset(map(_singular, _STOP_WORDS.split()))


class _Folded(dict[int, str]):
    """Code points and what becomes of them, as far as they have been met: é → e, ß → ss, — → space.

    What is not a letter, digit, mark or joiner becomes a space.
    """

    def __missing__(self, code: int) -> str:
        plain = _without_accents(chr(code))
        if not plain.isascii():
            plain = _without_accents(plain.casefold())
        self[code] = "".join(one if _is_wordly(one) else " " for one in plain)
        return self[code]


_folded = _Folded((code, chr(code)) for code in range(128))


def _fold(token: str) -> str:
    """The token in one writing. Capitals of ASCII stay, since a word is split at them."""
    return unicodedata.normalize("NFKC", token).translate(_folded)


def _without_accents(text: str) -> str:
    # U+0300 to U+036F alone: the marks of Devanagari, Arabic or kana make another letter.
    apart = unicodedata.normalize("NFD", text)
    return unicodedata.normalize("NFC", re.sub("[\u0300-\u036f]", "", apart))


def _is_wordly(character: str) -> bool:
    return character.isalnum() or character in JOINERS or unicodedata.category(character)[0] == "M"
