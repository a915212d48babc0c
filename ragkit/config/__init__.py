"""What a `ragkit.yaml` (or a docker-agent file) says, as frozen data that has been checked.

`ragkit.config.rag` is the vocabulary of a knowledge base and imports nothing third-party, so that
one can be described without any file; PyYAML is loaded by `load` only.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ragkit.config.describing import reference, schema
    from ragkit.config.discovery import discover
    from ragkit.config.loading import Configuration, load
    from ragkit.config.starter import template

__all__ = ["Configuration", "discover", "load", "reference", "schema", "template"]

_HOMES = {
    "Configuration": "loading",
    "discover": "discovery",
    "load": "loading",
    "reference": "describing",
    "schema": "describing",
    "template": "starter",
}


def __getattr__(name: str) -> object:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
