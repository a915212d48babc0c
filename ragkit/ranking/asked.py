"""What a query asks for: its words, the identifiers that it names, and of which kind it is."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal, TypeAlias

from ragkit import lexical

Kind: TypeAlias = Literal["symbol", "literal", "question", "prose"]

_IDENTIFIER = re.compile(r"[A-Za-z_$][\w$]{2,}")
_CASED = re.compile(r"[a-z0-9][A-Z]|[A-Za-z0-9]_[A-Za-z0-9]|^_|[A-Z]{2,}[a-z]")
"""Marks of a name in code: `fooBar`, `foo_bar`, `_foo`, `HTTPServer`."""
_QUOTED = re.compile(r"`{1,2}([^`\n]{2,200})`{1,2}")
_CALLED = re.compile(r"([A-Za-z_$][\w$]+)\(")
_DOTTED = re.compile(r"(?<![\w./])[A-Za-z_]\w*(?:(?:\.|::|->|#)[A-Za-z_]\w+)+")
_QUESTION = re.compile(
    r"\s*(?:how|what|why|where|when|which|who|can|could|does|do|is|are|should)\b|.*\?\s*$",
    re.IGNORECASE | re.DOTALL,
)


@dataclass(frozen=True, slots=True)
class Asked:
    """A query as the rules see it."""

    text: str
    words: frozenset[str]
    """Its terms, as the lexical search has them."""
    identifiers: frozenset[str]
    """Names of code that it writes as such: in the case of code, called, dotted or quoted."""
    names: frozenset[str]
    """All words of it that could be a name, as they are written."""
    kind: Kind
    """`symbol`: names alone. `literal`: quoted as a whole. `question`: asks in a sentence, or in a
    few plain words. `prose`: anything longer, such as a report of a bug."""

    @staticmethod
    def of(query: str) -> Asked:
        names = frozenset(_IDENTIFIER.findall(query))
        named = {name for name in names if _CASED.search(name)}
        named |= set(_CALLED.findall(query))
        for quoted in _QUOTED.findall(query):
            named.update(_IDENTIFIER.findall(quoted))
        for dotted in _DOTTED.findall(query):
            named.update(_IDENTIFIER.findall(dotted))
        identifiers = frozenset(named)
        words = frozenset(lexical.query_terms(query))
        return Asked(query, words, identifiers, names, _kind(query, identifiers))


def _kind(query: str, identifiers: frozenset[str]) -> Kind:
    text = query.strip()
    tokens = text.split()
    if len(text) > 2 and text[0] == text[-1] and text[0] in "\"'`“”":
        return "literal"
    if len(tokens) <= 3 and (identifiers or len(tokens) == 1):
        return "symbol"
    if len(tokens) <= 12 or (_QUESTION.match(text) and len(tokens) <= 30):
        return "question"
    return "prose"
