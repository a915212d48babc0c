"""What tests take from the internet: once, to a folder that all runs and processes share.

RAGKIT_TEST_CACHE names it; where it is unset, it is the user's own cache folder of ragkit, whatever
cache folder a test sets for itself.
"""

from __future__ import annotations

import os
from functools import cache
from pathlib import Path

from platformdirs import user_cache_path

from ragkit.models.embedded import weights


def folder() -> Path:
    chosen = os.environ.get("RAGKIT_TEST_CACHE")
    return Path(chosen) if chosen else user_cache_path("ragkit", appauthor=False)


@cache
def minilm() -> weights.Weights:
    """The real all-MiniLM-L6-v2; tests that need it are marked `engine`."""
    return weights.find(folder(), notice=print)
