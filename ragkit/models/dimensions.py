"""How long the vectors of well-known embedding models are, after the models' own cards."""

from __future__ import annotations

import re
from typing import Final

from ragkit.models.profiles import profile_of

# By the name's start or the start of one of its parts; the first that fits.
_NATIVE: Final[tuple[tuple[str, int], ...]] = (
    (r"embeddinggemma", 768),
    (r"nomic-embed-text", 768),
    (r"nomic-embed-code", 3584),
    (r"mxbai-embed-large", 1024),
    (r"qwen3-embedding[-_]?0\.6b", 1024),
    (r"qwen3-embedding[-_]?4b", 2560),
    (r"qwen3-embedding[-_]?8b", 4096),
    (r"snowflake-arctic-embed-(xs|s)(?![a-z])", 384),
    (r"snowflake-arctic-embed-m", 768),
    (r"snowflake-arctic-embed-l", 1024),
    (r"bge-m3", 1024),
    (r"bge-small-en", 384),
    (r"bge-base-en", 768),
    (r"bge-large-en", 1024),
    (r"e5-small", 384),
    (r"e5-base", 768),
    (r"e5-large", 1024),
    (r"all-minilm", 384),
    (r"text-embedding-3-small", 1536),
    (r"text-embedding-3-large", 3072),
    (r"text-embedding-ada-002", 1536),
)
_MODELS: Final = tuple((re.compile(rf"(^|[-_.]){name}"), size) for name, size in _NATIVE)

EMBEDDED: Final = {"static": 256, "auto": 256, "minilm": 384}
"""Of the models that come with ragkit."""


def dimensions_of(provider: str, name: str) -> tuple[int, ...]:
    """Lengths that the vectors of a model may have, its own first; () for one that is not known.

    A shorter one than its own is possible where the model was trained to be cut.
    """
    if provider in ("embedded", "auto"):
        own = EMBEDDED.get(name)
        return () if own is None else (own,)
    last = name.rsplit("/", 1)[-1].split("@", 1)[0].replace(":", "-").lower()
    for pattern, size in _MODELS:
        if pattern.search(last):
            shorter = [n for n in profile_of(name).matryoshka if n < size]
            return (size, *sorted(shorter, reverse=True))
    return ()
