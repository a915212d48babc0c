"""Docker Model Runner: where it is, what it has, and its models made ready for work."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ragkit.models.dmr.models import chat, embedder, reranker

__all__ = ["chat", "embedder", "reranker"]


def __getattr__(name: str) -> object:
    """Loaded when they are asked for: names of models alone need none of it."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from ragkit.models.dmr import models

    return getattr(models, name)
