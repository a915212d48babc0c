"""Which configuration file applies to a folder."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

FILE_NAMES: Final = ("ragkit.yaml", "ragkit.yml")


def discover(start: Path, stop: Path | None = None) -> Path | None:
    """The `ragkit.yaml` or `ragkit.yml` of `start` or its nearest parent, up to `stop` inclusive.

    Only existing regular files count. Without `stop` the search ends at the root.
    """
    folder = Path(os.path.abspath(start))
    last = Path(os.path.abspath(stop)) if stop is not None else None
    for parent in (folder, *folder.parents):
        for name in FILE_NAMES:
            if (parent / name).is_file():
                return parent / name
        if parent == last:
            return None
    return None
