"""From settings to machines: the indexes of a knowledge base, their strategies and stores."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from importlib.util import find_spec
from pathlib import Path

from ragkit import chunkers, files, fusion, readers, stores
from ragkit.config.rag import Chunking, Source, StrategySettings
from ragkit.errors import ConfigError, NotBuilt, ReadError
from ragkit.kb.places import database_of
from ragkit.retriever import Fusion
from ragkit.strategies.bm25 import BM25
from ragkit.strategies.chunked_embeddings import ChunkedEmbeddings
from ragkit.types import Document, Embedder, File, Index, Skip, Strategy

CHUNK_SIZE = 1500
"""Characters; docker-agent's default for text."""
OVERLAP = 75


@dataclass(frozen=True, slots=True)
class Blueprint:
    """An index before its store is opened: strategies that share documents, chunks, database."""

    name: str
    database: Path
    strategies: tuple[Strategy, ...]
    docs: tuple[str, ...]
    respect_vcs: bool
    chunking: Chunking

    @property
    def fingerprint(self) -> str:
        """Changes with anything that would make other rows of the same files."""
        chunking = resolved(self.chunking)
        parts = {
            "files": files.VERSION,
            "readers": readers.VERSION,
            "chunkers": chunkers.VERSION,
            # without the grammars code is cut as text
            "grammars": find_spec("semble_grammars") is not None,
            "chunking": [
                chunking.size,
                chunking.overlap,
                chunking.respect_word_boundaries,
                chunking.code_aware,
            ],
            "strategies": [strategy.fingerprint for strategy in self.strategies],
        }
        return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:16]

    @property
    def dimensions(self) -> int | None:
        """Length of its vectors; None where no strategy makes any."""
        return self._embedders[0].dimensions if self._embedders else None

    @property
    def models(self) -> tuple[str, ...]:
        """Names of the models that make its vectors."""
        return tuple(embedder.name for embedder in self._embedders)

    @property
    def _embedders(self) -> list[Embedder]:
        return [s.embedder for s in self.strategies if isinstance(s, ChunkedEmbeddings)]

    def opened(self, source: Source, *, read_only: bool = False) -> Index:
        """The index, with its store open. Raises StoreError."""
        chunking = resolved(self.chunking)
        store = stores.open(
            self.database, self.name, self.fingerprint, self.dimensions, read_only=read_only
        )
        return Index(
            name=self.name,
            store=store,
            strategies=self.strategies,
            find=partial(
                files.find,
                Path(source.root),
                self.docs,
                respect_vcs=self.respect_vcs,
                own=(self.database,),
            ),
            read=read,
            chunk=chunkers.chunker(
                size=chunking.size,
                overlap=chunking.overlap,
                respect_word_boundaries=chunking.respect_word_boundaries,
                code_aware=chunking.code_aware,
            ),
        )


@dataclass(frozen=True, slots=True)
class ResolvedChunking:
    """Chunking with every default filled in."""

    size: int
    overlap: int
    respect_word_boundaries: bool
    code_aware: bool


def resolved(chunking: Chunking) -> ResolvedChunking:
    """Fill in what the configuration leaves open."""
    return ResolvedChunking(
        size=CHUNK_SIZE if chunking.size is None else chunking.size,
        overlap=OVERLAP if chunking.overlap is None else chunking.overlap,
        respect_word_boundaries=bool(chunking.respect_word_boundaries),
        code_aware=chunking.code_aware is not False,
    )


def read(file: File) -> Document | Skip:
    """One file's text, or the rule by which its content stays out. Raises ReadError."""
    data = files.read_bytes(file)
    if skip := files.unfit(file.path, data):
        return skip
    digest = hashlib.sha256(data).hexdigest()
    try:
        text = readers.decode(file.path, data)
    except ReadError as error:
        error.digest = digest
        raise
    return Document(file.path, text, digest, chunkers.language_of(file.path, text[:200]))


def blueprints(source: Source) -> list[Blueprint]:
    """The indexes of a knowledge base; strategies that chunk alike share one.

    Raises NotBuilt for what this version cannot do yet, ConfigError for what no version could.
    """
    refuse_what_is_not_built(source)
    groups: dict[tuple[object, ...], list[StrategySettings]] = {}
    for settings in source.strategies:
        places = (database_of(source, settings), _docs(source, settings))
        key = (*places, _respects_vcs(source, settings), resolved(settings.chunking))
        # one vector a chunk: a second embedding strategy needs an index of its own
        crowded = any(s.type != "bm25" for s in groups.get(key, ())) and settings.type != "bm25"
        groups.setdefault((*key, settings.name) if crowded else key, []).append(settings)
    return [
        Blueprint(
            name=source.name if len(groups) == 1 else f"{source.name}/{group[0].name}",
            database=database_of(source, group[0]),
            strategies=tuple(_strategy(source, settings) for settings in group),
            docs=_docs(source, group[0]),
            respect_vcs=_respects_vcs(source, group[0]),
            chunking=group[0].chunking,
        )
        for group in groups.values()
    ]


def fusing(source: Source) -> Fusion:
    """The fusion that the results of a knowledge base ask for."""
    settings = source.results.fusion
    weights = {strategy.name: 1.0 for strategy in source.strategies} | dict(settings.weights or {})
    match settings.strategy:
        case "weighted":
            return partial(fusion.weighted, weights=weights)
        case "max":
            return fusion.maximum
        case "convex":
            return partial(fusion.convex, weights=weights)
        case _:
            return partial(fusion.rrf, k=settings.k)


def refuse_what_is_not_built(source: Source) -> None:
    """Raise NotBuilt for the first setting that this version would otherwise have to ignore."""
    for where, what in not_built(source):
        raise NotBuilt(
            f"{where}: {what} in this version of ragkit",
            remedy="take it out, or wait for the version that has it",
        )


def not_built(source: Source) -> Iterator[tuple[str, str]]:
    """(where, what) of each setting that is valid and cannot be honoured yet."""
    for settings in source.strategies:
        where = _where(source, settings)
        if settings.type == "semantic-embeddings":
            yield where, "semantic-embeddings are not built yet"
        if settings.type == "chunked-embeddings" and not _is_built(source, settings):
            model = settings.embedding_model
            yield where, f"embedding_model: {model} is not built yet (embedded/static is)"
    results = source.results
    for key, asked in (
        ("reranking", results.reranking is not None),
        ("return_full_content", results.return_full_content),
        ("prefetch", results.prefetch is not None and results.prefetch.enabled),
        ("topology_prior", results.topology_prior is not None and results.topology_prior.enabled),
    ):
        if asked:
            yield _where(source), f"results.{key} is not built yet"


def _is_built(source: Source, settings: StrategySettings) -> bool:
    """Whether the embedding model is one that this version can load; `auto` takes what there is."""
    model = source.model(settings.embedding_model or "auto")
    return model.provider == "auto" or (model.provider, model.model) == ("embedded", "static")


def _strategy(source: Source, settings: StrategySettings) -> Strategy:
    if settings.type == "bm25":
        return BM25(
            name=settings.name,
            limit=settings.limit,
            k1=settings.k1,
            b=settings.b,
            threshold=settings.threshold or 0.0,
        )
    embedder = _embedder()
    wanted = settings.vector_dimensions
    if wanted is not None and wanted != embedder.dimensions:
        raise ConfigError(
            f"{_where(source, settings)}: vector_dimensions: {wanted}, but the vectors of "
            f"{embedder.name} have {embedder.dimensions}",
            remedy="leave vector_dimensions out",
        )
    return ChunkedEmbeddings(
        embedder,
        name=settings.name,
        limit=settings.limit,
        threshold=-1.0 if settings.threshold is None else settings.threshold,
    )


def _embedder() -> Embedder:
    from ragkit.models.embedded import StaticEmbedder

    return StaticEmbedder()


def _docs(source: Source, settings: StrategySettings) -> tuple[str, ...]:
    """Shared documents and the strategy's own, each once."""
    return tuple(dict.fromkeys((*source.docs, *settings.docs))) or (".",)


def _respects_vcs(source: Source, settings: StrategySettings) -> bool:
    return source.respect_vcs if settings.respect_vcs is None else settings.respect_vcs


def _where(source: Source, settings: StrategySettings | None = None) -> str:
    """`file:line: rag.name` as far as it is known."""
    place = f"rag.{source.name}" + (f".strategies.{settings.name}" if settings else "")
    line = settings.line if settings else source.line
    return f"{source.file}:{line}: {place}" if source.file and line else place
