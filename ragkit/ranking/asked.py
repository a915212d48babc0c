"""What a query asks for: its words, the identifiers that it names, and of which kind it is."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal, TypeAlias

from ragkit import lexical

Kind: TypeAlias = Literal["symbol", "literal", "question", "prose"]

RUN = 4
"""Words in a row that make a phrase."""

_NAME = re.compile(r"[A-Za-z_$][\w$]{2,}")
_CASED = re.compile(r"[a-z0-9][A-Z]|[A-Za-z0-9]_[A-Za-z0-9]|^_|[A-Z]{2,}[a-z]")
"""Marks of a name in code: `fooBar`, `foo_bar`, `_foo`, `HTTPServer`."""
_MARKED = re.compile(
    r"`{1,2}([^`\n]{2,200})`{1,2}|(?<![\w$])([A-Za-z_$][\w$]++)\("
    r"|(?<![\w./])([A-Za-z_]\w*(?:(?:\.|::|->|\#)[A-Za-z_]\w+)+)"
)
"""What is quoted as code, called, or dotted; a word of any length is tried from its start alone."""
_QUESTION = re.compile(
    r"\s*(?:how|what|why|where|when|which|who|can|could|does|do|is|are|should)\b|.*\?\s*$",
    re.IGNORECASE | re.DOTALL,
)
_ENDINGS = ("ing", "ion", "ed", "er", "or", "es", "e", "s", "d")


@dataclass(frozen=True, slots=True)
class Asked:
    """A query as the rules see it."""

    text: str
    words: frozenset[str]
    """Its terms, as the lexical search has them."""
    stems: frozenset[str]
    """The stems of its terms."""
    identifiers: frozenset[str]
    """Names of code that it writes as such: in the case of code, called, dotted or quoted."""
    names: frozenset[str]
    """All words of it that could be a name, stop words aside, in lower case."""
    phrases: frozenset[str]
    """Each `RUN` words in a row, in lower case; of a shorter query in quotes, the whole."""
    kind: Kind
    """`symbol`: names alone. `literal`: quoted as a whole. `question`: a sentence that asks, or a
    few plain words. `prose`: anything longer, such as a report of a bug."""

    @staticmethod
    @lru_cache(maxsize=8)  # fusion and rules ask for the same query, one after the other
    def of(query: str) -> Asked:
        names = _NAME.findall(query)
        identifiers = {name for name in names if _CASED.search(name)}
        for marked in _MARKED.finditer(query):
            identifiers.update(_NAME.findall(marked[marked.lastindex or 0]))
        words = frozenset(lexical.query_terms(query))
        kind = _kind(query, bool(identifiers))
        tokens = query.lower().strip(" \"'`“”").split()
        runs = {" ".join(tokens[i : i + RUN]) for i in range(len(tokens) - RUN + 1)}
        if not runs and kind == "literal":
            runs = {" ".join(tokens)}
        return Asked(
            text=query,
            words=words,
            stems=frozenset(map(stem, words)),
            identifiers=frozenset(identifiers),
            names=frozenset(low for name in names if (low := name.lower()) in words),
            phrases=frozenset(runs),
            kind=kind,
        )


def stem(word: str) -> str:
    """A word without its ending, at least three letters of it: `deletes`, `deleting` → `delet`.

    Coarser than the index's terms: here it decides whether a name says what the query says.
    """
    for ending in _ENDINGS:
        if word.endswith(ending) and len(word) - len(ending) >= 3:
            return word[: -len(ending)]
    return word


def _kind(query: str, names_code: bool) -> Kind:
    text = query.strip()
    words = len(text.split())
    if len(text) > 2 and (text[0] + text[-1] in ('""', "''", "``", "“”")):
        return "literal"
    if words == 1 or (words <= 3 and names_code):
        return "symbol"
    if words <= 12 or (words <= 30 and _QUESTION.match(text)):
        return "question"
    return "prose"
