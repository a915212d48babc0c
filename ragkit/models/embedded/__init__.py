"""The models that run in this process; each is loaded when its name is first used."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ragkit.models.embedded.minilm import MiniLMEmbedder as MiniLMEmbedder
    from ragkit.models.embedded.static import StaticEmbedder as StaticEmbedder

__all__ = ["MiniLMEmbedder", "StaticEmbedder"]


def __getattr__(name: str) -> object:
    if name == "StaticEmbedder":
        from ragkit.models.embedded.static import StaticEmbedder

        return StaticEmbedder
    if name == "MiniLMEmbedder":
        from ragkit.models.embedded.minilm import MiniLMEmbedder

        return MiniLMEmbedder
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
