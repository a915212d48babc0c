"""What each family of embedding models wants to read before a text, and to what sizes it is cut.

Model servers add no prefix of their own. A model that was trained with prefixes and gets none finds
less, and nothing says so; hence this table, after the models' own cards.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from dataclasses import dataclass
from typing import Final

from ragkit.types import Kind

_HOLE: Final = "{text}"


@dataclass(frozen=True, slots=True)
class Profile:
    """How to ask one family of models."""

    name: str
    query: str = _HOLE
    """Template of what is sent for a query; its end is `{text}`."""
    document: str = _HOLE
    """The same for a document's chunk."""
    matryoshka: Collection[int] = ()
    """To which numbers of dimensions a vector may be cut: the model was trained so that its first
    dimensions are a good vector by themselves."""

    def __post_init__(self) -> None:
        for template in (self.query, self.document):
            if not template.endswith(_HOLE):
                raise ValueError(f"a template ends with {_HOLE}, got {template!r}")

    def prefix(self, kind: Kind) -> str:
        """What comes before the text."""
        template = self.query if kind == "query" else self.document
        return template.removesuffix(_HOLE)


_PASSAGES: Final = "Represent this sentence for searching relevant passages: {text}"
_TASK: Final = "Given a web search query, retrieve relevant passages that answer the query"

# By the name's start or the start of one of its parts; the first that fits.
_PROFILES: Final[tuple[tuple[str, Profile], ...]] = (
    (
        r"embeddinggemma",
        Profile(
            "embeddinggemma",
            "task: search result | query: {text}",
            # a chunk's context comes as a line of its text, so there is no title left to give
            "title: none | text: {text}",
            (512, 256, 128),
        ),
    ),
    (
        r"nomic-embed-text-v2",
        Profile("nomic-embed-text-v2", "search_query: {text}", "search_document: {text}", (256,)),
    ),
    (
        r"nomic-embed-text-v1(?![.\d])",
        Profile("nomic-embed-text-v1", "search_query: {text}", "search_document: {text}"),
    ),
    (
        r"nomic-embed-text",
        Profile(
            "nomic-embed-text-v1.5",
            "search_query: {text}",
            "search_document: {text}",
            (512, 256, 128, 64),
        ),
    ),
    (
        r"nomic-embed-code",
        Profile("nomic-embed-code", "Represent this query for searching relevant code: {text}"),
    ),
    (r"mxbai-embed-large", Profile("mxbai-embed-large", _PASSAGES, matryoshka=(512, 256, 128, 64))),
    (
        r"qwen3-embedding",
        Profile(
            "qwen3-embedding",
            f"Instruct: {_TASK}\nQuery:{{text}}",  # no space after the colon, as trained
            matryoshka=range(32, 4097),
        ),
    ),
    (
        r"snowflake-arctic-embed(-[lm]-v2|2)",
        Profile("snowflake-arctic-embed-v2", "query: {text}", matryoshka=(256,)),
    ),
    (
        r"snowflake-arctic-embed-m-v1\.5",
        Profile("snowflake-arctic-embed-m-v1.5", _PASSAGES, matryoshka=(256,)),
    ),
    (r"snowflake-arctic-embed", Profile("snowflake-arctic-embed", _PASSAGES)),
    (r"granite-embedding", Profile("granite-embedding")),
    (r"bge-m3", Profile("bge-m3")),
    (
        r"bge-(small|base|large)-zh",
        Profile("bge-zh", "为这个句子生成表示以用于检索相关文章：{text}"),
    ),
    (r"bge-(small|base|large)(-en)?", Profile("bge-en", _PASSAGES)),
    (
        r"(multilingual-)?e5-[a-z0-9-]*instruct",
        Profile("e5-instruct", f"Instruct: {_TASK}\nQuery: {{text}}"),
    ),
    (r"(multilingual-)?e5-", Profile("e5", "query: {text}", "passage: {text}")),
    # OpenAI's own cut is the same as ours: first dimensions, made unit length
    (r"text-embedding-3-", Profile("text-embedding-3", matryoshka=range(1, 3073))),
)

_FAMILIES: Final = tuple(
    (re.compile(rf"(^|[-_.]){pattern}"), profile) for pattern, profile in _PROFILES
)


def profile_of(name: str) -> Profile:
    """The profile of a model by its name, such as `ai/embeddinggemma:latest` or
    `hf.co/Qwen/Qwen3-Embedding-0.6B-GGUF`; one without prefixes for a model that is not known."""
    last = name.rsplit("/", 1)[-1].split(":", 1)[0].split("@", 1)[0].lower()
    for pattern, profile in _FAMILIES:
        if pattern.search(last):
            return profile
    return Profile(last)
