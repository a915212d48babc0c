"""What a path says about a file: its name in words, and whether it is something on the side."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import lru_cache

from ragkit import lexical
from ragkit.ranking.asked import Asked

FACTORS = {
    "": 1.0,
    "prose": 0.8,
    "test": 0.4,
    "example": 0.8,
    "vendored": 0.5,
    "generated": 0.5,
    "changelog": 0.6,
    "migration": 0.8,
    "locale": 0.5,
}
"""Kind of file → what the `noise` rule makes of it; "" is none of them. In a ranking of prose
alone all are lowered alike, which changes nothing."""

_FOLDERS = {
    "test": "t test tests testing testdata test-data __tests__ __mocks__ __snapshots__ spec specs "
    "e2e fixture fixtures mock mocks androidTest integrationTest",
    "example": "example examples sample samples demo demos benchmark benchmarks bench perf",
    "vendored": "vendor vendors vendored third_party third-party thirdparty _vendor "
    "node_modules bower_components",
    "generated": "generated __generated__ autogen",
    "migration": "migrations alembic",
    "locale": "locale locales i18n l10n translations",
}
_KIND_OF_FOLDER = {name: kind for kind, names in _FOLDERS.items() for name in names.split()}

_KIND_OF_FILE = (
    (
        "test",
        re.compile(
            r"test_|tests?\.\w+$|conftest\.py$|\w+[._-](?:tests?|spec|e2e)\.\w+$"
            r"|\w+(?:Tests?|Spec|IT)\.(?:java|kt|cs|swift|scala|php|groovy)$"
        ),
    ),
    (
        "changelog",
        re.compile(
            r"(?:change(?:s|log)?|history|news|releases?|release[-_]?notes|whatsnew)"
            r"(?:[-_.]?v?\d[\d.x]*)?(?:\.(?:md|rst|txt|adoc|mdx))?$",
            re.IGNORECASE,
        ),
    ),
    (
        "generated",
        re.compile(
            r".*(?:_pb2(?:_grpc)?\.pyi?|\.pb\.\w+|[._]generated\.\w+|\.g\.dart|\.min\.\w+)$"
        ),
    ),
    ("locale", re.compile(r".*\.(?:po|pot|xliff?|arb)$")),
)

_ASKED = {
    "test": r"tests?|testing|tested|testcase|fixtures?|mocks?|specs?",
    "example": r"examples?|samples?|demos?|benchmarks?",
    "vendored": r"vendor\w*|third.party",
    "generated": r"generated|autogen\w*",
    "changelog": r"change ?logs?|changes|release notes|history|what.?s new|released?",
    "migration": r"migrat\w+|alembic",
    "locale": r"locales?|translat\w+|i18n|l10n|locali[sz]\w+|internationali[sz]\w+",
}
_ASKS = {kind: re.compile(rf"\b(?:{words})\b", re.I) for kind, words in _ASKED.items()}

_PROSE = frozenset(
    ["md", "mdx", "markdown", "rst", "txt", "adoc", "asciidoc", "org", "tex", "html", "htm", "pdf"]
)
"""Endings of files with text for people."""

_NAMELESS = frozenset(["__init__", "__main__", "index", "mod", "main", "lib", "readme", "package"])
"""Stems that say nothing: their folder is the name."""


@lru_cache(maxsize=8192)
def kind(path: str) -> str:
    """A key of `FACTORS`."""
    *folders, name = path.split("/")
    for folder in folders:
        if found := _KIND_OF_FOLDER.get(folder):
            return found
    for found, pattern in _KIND_OF_FILE:
        if pattern.match(name):
            return found
    return "prose" if is_prose(path) else ""


@lru_cache(maxsize=8192)
def is_prose(path: str) -> bool:
    """Whether a file is text for people rather than code."""
    return path.rpartition("/")[2].rpartition(".")[2].lower() in _PROSE


def factors(asked: Asked) -> Mapping[str, float]:
    """`FACTORS`, less those kinds that the query is after.

    A long text names tests in passing. Code is what it is about, and what names of code are about:
    all else may be answered by prose as well.
    """
    found = dict(FACTORS)
    if asked.kind != "prose":
        if not asked.identifiers:
            found["prose"] = 1.0
        for kind, pattern in _ASKS.items():
            if pattern.search(asked.text):
                found[kind] = 1.0
    return found


@lru_cache(maxsize=8192)
def stem_terms(path: str) -> frozenset[str]:
    """The words of a file's name without its endings; of `__init__` and the like, the folder's."""
    *folders, name = path.split("/")
    stem = name.partition(".")[0] or name
    if stem.lower() in _NAMELESS and folders:
        stem = folders[-1]
    return frozenset(lexical.terms(stem))
