"""Questions as people type them into a search field, made of documentation by rule.

What a documentation comment says of a function is put into the plain words of somebody who does
not know the code. The first sentence alone; without markup and brackets; in lower case; the verb in
its plain form, and another one of the same meaning where `SYNONYMS` has it; articles dropped; cut
to the first ten words; then "how to", the language, or both around it, as its digest decides. A
sentence that holds an identifier, or does not begin with a verb of `VERBS`, gives no question:
nobody types that.
"""

from __future__ import annotations

import re
from hashlib import sha256

LONGEST = 10
"""Words of a question, before the language."""

SYNONYMS = {
    "add": "append",
    "build": "make",
    "calculate": "compute",
    "check": "test",
    "compute": "calculate",
    "construct": "create",
    "convert": "turn",
    "create": "make",
    "delete": "remove",
    "determine": "find out",
    "display": "show",
    "fetch": "download",
    "find": "search",
    "generate": "create",
    "initialize": "set up",
    "insert": "add",
    "iterate": "loop",
    "merge": "combine",
    "obtain": "get",
    "parse": "read",
    "read": "load",
    "remove": "delete",
    "retrieve": "get",
    "return": "get",
    "save": "store",
    "search": "look",
    "split": "divide",
    "test": "check",
    "update": "change",
    "validate": "check",
    "write": "save",
    "yield": "get",
}
"""Verb → what else it is called; used where a question begins with it."""


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


VERBS = _words(
    """
    accept allocate allow apply assert assign attach bind block break call cancel change clean
    clear clone close collect combine compare compress configure connect copy count cut decode
    decompress decrypt deflate describe destroy disable discard download draw drop dump emit
    empty enable encode encrypt ensure enumerate escape estimate evaluate execute expand export
    extract filter finish flush forget format get guess handle hash hide ignore import include
    increment infer install invert join keep kill list load lock look make map mark match
    measure modify mount move normalize open order pack pad parse pop post prepare print process
    produce prune pull push quote raise random reduce register release rename render replace
    report request reset resolve restore reverse rotate run sample scan schedule select send
    serialize set show shuffle shut sign simplify skip solve sort start stop store strip sum
    swap sync tell throw toggle transform translate traverse trim truncate turn unpack use
    verify visit wait walk warn watch wrap
    """
) | frozenset(SYNONYMS)
"""What a sentence must begin with."""

_THIRD_PERSON = re.compile(r"(\w+(?:ss|x|sh|ch))es|(\w+[^su])s")
_CONDITION = re.compile(
    r"(?:(?:returns?|checks?|determines?|tests?|tells?|reports?|verify|verifies)\s+)?"
    r"(?:true|false|whether|if|a bool(?:ean)?)\s+(?:(?:if|when|whether|iff|or not)\s+)?"
)
_FILLERS = _words("the a an given this that specified new some its")
_DANGLING = _words(
    "of to in on at by for with from and or as is are be if when that which into than not using has"
)


def question(said: str, name: str, language: str) -> str:
    """A question that the function `name` answers; "" where what was said makes none."""
    words = _plain(_unnamed(said, name))
    condition = _CONDITION.match(" ".join(words))
    if condition:
        asked = ["check", "if", *" ".join(words)[condition.end() :].split()]
    elif words and (verb := _infinitive(words[0])) in VERBS:
        asked = [*SYNONYMS.get(verb, verb).split(), *words[1:]]
    else:
        return ""
    asked = [asked[0], *(word for word in asked[1:] if word not in _FILLERS)][:LONGEST]
    while asked and asked[-1] in _DANGLING:
        asked.pop()
    if len(asked) < 4:
        return ""
    text = " ".join(asked)
    forms = (f"how to {text}", f"how to {text} in {language}", f"{language} {text}", text)
    return forms[sha256(said.encode()).digest()[0] % len(forms)]


def _unnamed(said: str, name: str) -> str:
    """Without the name of the function before the verb, as Go's documentation has it."""
    first, _, rest = said.partition(" ")
    named = first.lower() == name.lower() and _infinitive(rest.split(" ")[0]) in VERBS
    return rest if named else said


def _plain(said: str) -> list[str]:
    """Words of the first sentence in lower case; none where one is an identifier."""
    sentence = re.split(r"(?<=[\w)\]`'\"])[.:;!?](?:\s|$)", said, maxsplit=1)[0]
    sentence = re.sub(r"\([^)]*\)|\[[^]]*\]", " ", sentence)
    words = sentence.replace(",", " ").split()
    if any(map(_is_identifier, words)):
        return []
    return [word.strip("'\".").lower() for word in words]


def _is_identifier(word: str) -> bool:
    word = word.strip("'\".")
    return bool(
        re.search(r"[_\d=/\\@#$%&|.:`*<>{}]", word)
        or (word[1:] != word[1:].lower() and word != word.upper())
        or (len(word) == 1 and word not in "aA")
    )


def _infinitive(verb: str) -> str:
    found = _THIRD_PERSON.fullmatch(verb)
    if not found:
        return verb
    stem: str = found[1] or found[2]
    return stem[:-2] + "y" if verb.endswith("ies") and len(verb) > 4 else stem
