"""Where things are: the knowledge base that a path means, and its database."""

from __future__ import annotations

import hashlib
import os
import re
from pathlib import Path

from ragkit import files
from ragkit.config import discover
from ragkit.config.rag import Chunking, Results, Source, StrategySettings
from ragkit.errors import ConfigError, QueryError

# Chosen by measurement, see benchmarks/tuning.py; they hold where nothing is configured.

CANDIDATES = 200
"""Hits that each strategy gives to fusion."""

SIZE = 2000
"""Longest chunk, in characters: about 50 lines, most functions whole."""

K1, B = 1.2, 0.9
"""Of BM25: chunks are cut to a size, so a longer one rarely says more; it is held back more."""


def locate(
    path: str | os.PathLike[str] | None = None,
    *,
    config: str | os.PathLike[str] | None = None,
    name: str | None = None,
) -> Source:
    """The knowledge base that is meant: a configured one, or the defaults for a folder or file.

    With neither `path` nor `config`, a `ragkit.yaml` in this folder or above it, up to the
    repository's top; else the enclosing repository; else this folder. With a path, a
    `ragkit.yaml` in it counts, one above it doesn't: who names a folder means that folder.
    Raises ConfigError for a configuration that is wrong or has no such knowledge base, and
    QueryError for a path that is missing.
    """
    found = sources(path, config=config, name=name)
    if len(found) > 1:
        raise ConfigError(
            f"{found[0].file}: it defines several knowledge bases: {_names(found)}",
            remedy="choose one with --kb",
        )
    return found[0]


def sources(
    path: str | os.PathLike[str] | None = None,
    *,
    config: str | os.PathLike[str] | None = None,
    name: str | None = None,
) -> tuple[Source, ...]:
    """As `locate`, but all knowledge bases of a configuration unless `name` chooses one."""
    found = configured(path, config)
    if not found:
        if name is not None:
            raise ConfigError(
                f"there is no configuration that could define {name!r}",
                remedy="name its file with --config",
            )
        return (default_source(path),)
    if name is None:
        return found
    chosen = tuple(source for source in found if source.name == name)
    if not chosen:
        raise ConfigError(
            f"{found[0].file}: no knowledge base is called {name!r}",
            remedy=f"choose of: {_names(found)}",
        )
    return chosen


def configured(
    path: str | os.PathLike[str] | None = None, config: str | os.PathLike[str] | None = None
) -> tuple[Source, ...]:
    """All knowledge bases of the configuration that applies; () where none does."""
    try:
        file = Path(config) if config is not None else configuration_file(path)
    except OSError as error:
        raise QueryError(f"{path}: {error.strerror}", remedy="check its permissions") from error
    if file is None:
        return ()
    from ragkit.config import load  # 0.1 s that an unconfigured search saves

    sources = load(file).sources
    if not sources:
        raise ConfigError(
            f"{file}: it defines no knowledge base",
            remedy="add a `rag:` block; `ragkit init` writes one",
        )
    return sources


def configuration_file(path: str | os.PathLike[str] | None) -> Path | None:
    """The `ragkit.yaml` that applies to a path, or to this folder and those above it."""
    if path is not None:
        return discover(Path(path), Path(path))
    here = Path.cwd()
    return discover(here, files.enclosing_repository(here) or here)


def default_source(path: str | os.PathLike[str] | None = None) -> Source:
    """What is indexed without any configuration: words and embedded vectors of all that is there.

    Raises QueryError where the path is missing, or where none is given and this folder is a home
    folder or the top of the file system: nobody means to index that by accident.
    """
    if path is None:
        here = Path.cwd()
        root = files.enclosing_repository(here) or here
        if root in (Path.home(), Path(root.anchor)):
            raise QueryError(
                f"{root} is not a project", remedy=f"name the folder to search: ragkit … {root}"
            )
    else:
        root = Path(path).expanduser().absolute()
        if not root.exists():
            raise QueryError(f"{path}: no such file or folder", remedy="check the path")
    root = root.resolve()
    docs = (".",)
    if not root.is_dir():
        root, docs = root.parent, (root.name,)
    chunking = Chunking(size=SIZE)
    return Source(
        name=root.name or "root",
        root=str(root),
        docs=docs,
        strategies=(
            StrategySettings(
                type="bm25", name="bm25", limit=CANDIDATES, chunking=chunking, k1=K1, b=B
            ),
            StrategySettings(
                type="chunked-embeddings",
                name="chunked-embeddings",
                limit=CANDIDATES,
                chunking=chunking,
                embedding_model="embedded/static",
            ),
        ),
        results=Results(limit=10),
        indexing_timeout=0.0,
    )


def database_of(source: Source, strategy: StrategySettings) -> Path:
    """The file that holds a strategy's index: where the YAML says, else in the user's cache.

    The name carries a hash of what is indexed, so that two projects of one name keep apart.
    """
    if strategy.database:
        if "://" in strategy.database:
            raise ConfigError(
                f"{strategy.database}: only SQLite files are supported",
                remedy="give `database` the path of a file",
            )
        return Path(source.root, Path(strategy.database).expanduser())
    what = (source.root, source.name, *source.docs) if source.file else (source.root, *source.docs)
    mark = hashlib.sha256("\0".join(what).encode()).hexdigest()[:10]
    return cache_folder() / f"{source.name}-{mark}.db"


def cache_folder() -> Path:
    """Where databases without a configured place live; `RAGKIT_CACHE_DIR` overrides."""
    if chosen := os.environ.get("RAGKIT_CACHE_DIR"):
        return Path(chosen).expanduser().absolute()
    from platformdirs import user_cache_path

    return user_cache_path("ragkit", appauthor=False)


SHARED = 1_000_000_000
"""Bytes of embeddings that the databases of a user share, unless it is said: a million of 768
dimensions."""


def shared_bytes() -> int:
    """How many bytes of embeddings databases share; 0 for none. `RAGKIT_SHARED_EMBEDDINGS` says.

    Raises ConfigError where it says what is no size.
    """
    said = os.environ.get("RAGKIT_SHARED_EMBEDDINGS")
    if said is None:
        return SHARED
    matched = re.fullmatch(r"(\d+)\s*([kMG]?)B?", said.strip())
    if not matched:
        raise ConfigError(
            f"RAGKIT_SHARED_EMBEDDINGS: {said!r} is no size",
            remedy="give 500MB, 2GB, or 0 for none",
        )
    return int(matched[1]) * {"": 1, "k": 1_000, "M": 1_000_000, "G": 1_000_000_000}[matched[2]]


def _names(sources: tuple[Source, ...]) -> str:
    return ", ".join(source.name for source in sources)
