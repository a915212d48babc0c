"""The weights that the engine runs: generated once, kept in a folder that all runs share."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable
from functools import cache
from pathlib import Path

from platformdirs import user_cache_path

from ragkit.models.embedded import weights

VERSION = 1
"""Raised when a generated file becomes another one."""


def folder() -> Path:
    """The user's cache folder of ragkit; RAGKIT_TEST_CACHE overrides."""
    named = os.environ.get("RAGKIT_TEST_CACHE")
    return Path(named) if named else user_cache_path("ragkit", appauthor=False)


@cache
def minilm() -> weights.Weights:
    """The published files, downloaded once. Raises ModelError where they cannot be had."""
    return weights.find(folder())


def path(name: str) -> Path:
    """The file of one of MODELS; made where it is not there yet. Raises ModelError."""
    kept = folder() / "tests" / f"gguf-{VERSION}" / f"{name}.gguf"
    if not kept.exists():
        kept.parent.mkdir(parents=True, exist_ok=True)
        # written aside and moved: another process may be making the same file
        with tempfile.TemporaryDirectory(dir=kept.parent, prefix=".") as aside:
            made = Path(aside) / kept.name
            _makers()[name](made)
            os.replace(made, kept)
    return kept


def _makers() -> dict[str, Callable[[Path], None]]:
    from . import gguf_bert, gguf_causal

    return {
        "minilm": lambda out: gguf_bert.write_minilm(out, minilm()),
        "rank": lambda out: gguf_bert.write_reranker(out, minilm()),
        "long": lambda out: gguf_bert.write_long(out, minilm()),
        "causal": gguf_causal.write_embedder,
        "chat": gguf_causal.write_chat,
        "thinking": lambda out: gguf_causal.write_chat(out, thinks=True),
        "broken": _write_broken,
    }


def _write_broken(out: Path) -> None:
    """Not what a GGUF begins with."""
    out.write_bytes(b"BROK" + bytes(4096))
