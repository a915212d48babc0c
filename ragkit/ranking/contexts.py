"""What a chunk's context says: the symbols that it defines, or the headings above it."""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

from ragkit import lexical
from ragkit.ranking.asked import stem


class Symbol(NamedTuple):
    """A symbol that a chunk defines."""

    name: str
    """Without its scopes, in lower case."""
    stems: frozenset[str]
    """Of the words of its name."""
    all_stems: frozenset[str]
    """Those and of its scopes' names: what `Store > replace` says is in `Store` too."""


@lru_cache(maxsize=16384)
def symbols(context: str) -> tuple[Symbol, ...]:
    """The symbols of `Scope > Scope > name, name`, as the chunker of code writes it."""
    scopes, _, last = context.rpartition(" > ")
    around: frozenset[str] = frozenset()
    for scope in scopes.split(" > ") if scopes else ():
        around |= _stems_of_name(scope)
    found = []
    for written in last.split(", ") if last else ():
        name = written.rpartition(".")[2].rpartition(" ")[2]
        own = _stems_of_name(name)
        found.append(Symbol(name.lower(), own, own | around))
    return tuple(found)


@lru_cache(maxsize=16384)
def defined(context: str) -> tuple[frozenset[str], frozenset[str]]:
    """The names that it defines, and the stems of their words and their scopes' words."""
    found = symbols(context)
    stems = (symbol.all_stems for symbol in found)
    return frozenset(symbol.name for symbol in found), frozenset().union(*stems)


@lru_cache(maxsize=16384)
def headings(context: str) -> tuple[frozenset[str], frozenset[str]]:
    """The stems of the last heading of a path of headings, and of all."""
    last = context.rpartition(" > ")[2]
    return _stems_of_words(last), _stems_of_words(context)


@lru_cache(maxsize=16384)
def _stems_of_name(name: str) -> frozenset[str]:
    """`deleteObject` → delet, object: the parts of a name where it has any, else the whole."""
    terms = lexical.terms(name)
    return frozenset(map(stem, terms[1:] if len(terms) > 1 else terms))


def _stems_of_words(text: str) -> frozenset[str]:
    return frozenset(stem(term) for term in lexical.query_terms(text) if len(term) > 1)
