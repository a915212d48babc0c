"""From settings to machines: the indexes of a knowledge base, their strategies and stores."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, cast

from ragkit import chunkers, files, readers, stores
from ragkit.config.rag import Chunking, Fusion, Source, StrategySettings
from ragkit.errors import ConfigError, ModelError, NotBuilt, ReadError
from ragkit.kb.models import (
    Absent,
    Hear,
    can_embed,
    chat_model,
    embedder_of,
    resolved,
    unheard,
    waits,
)
from ragkit.kb.places import cache_folder, database_of, shared_bytes
from ragkit.kb.rerankers import can_rerank
from ragkit.strategies.bm25 import BM25
from ragkit.strategies.chunked_embeddings import ChunkedEmbeddings, Embedding
from ragkit.types import Document, Embedder, File, Index, Skip, Strategy

if TYPE_CHECKING:
    from ragkit.stores.database import Precision
    from ragkit.stores.shared import SharedEmbeddings

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
    threads: int = 0
    precision: Precision = "int8"
    """How its vectors are stored."""

    @property
    def settings_mark(self) -> str:
        """Changes with anything configured that would make other rows of the same files."""
        chunking = filled_in(self.chunking)
        parts: dict[str, object] = {
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
            "strategies": [_mark(strategy) for strategy in self.strategies],
        }
        if self.precision != "int8":  # indexes of before there was a choice stay what they are
            parts["vectors"] = self.precision
        return _hash(parts)

    @property
    def fingerprint(self) -> str:
        """The settings' mark, and that of the models as they are now. Raises ModelError."""
        models = [embedder.fingerprint for embedder in self._embedders]
        return f"{self.settings_mark}-{_hash(models)}"

    @property
    def dimensions(self) -> int | None:
        """Length of its vectors; None where no strategy makes any. Raises ModelError."""
        return self._embedders[0].dimensions if self._embedders else None

    @property
    def embedded_by(self) -> str | None:
        """Fingerprint of the model that makes its vectors; None for none. Raises ModelError."""
        return self._embedders[0].fingerprint if self._embedders else None

    @property
    def models(self) -> tuple[str, ...]:
        """Names of the models that it is made with."""
        return tuple(name for strategy in self._embedding for name in strategy.models)

    @property
    def _embedders(self) -> list[Embedder]:
        return [strategy.embedder for strategy in self._embedding]

    @property
    def _embedding(self) -> list[Embedding]:
        return [s for s in self.strategies if isinstance(s, Embedding)]

    def opened(self, source: Source, *, read_only: bool = False) -> Index:
        """The index, with its store open; where a model is away, as it was last complete.

        Raises ModelError where a model is away and there is no such index; StoreError.
        """
        strategies = self.strategies
        try:
            fingerprint, dimensions = self.fingerprint, self.dimensions
        except ModelError as error:
            last = self._last()
            if last is None:
                raise
            fingerprint, dimensions = last
            strategies = tuple(_without_model(s, error) for s in strategies)
        return self._index(source, strategies, fingerprint, dimensions, read_only)

    def as_it_was(self, source: Source, fingerprint: str, dimensions: int | None) -> Index:
        """An index of these settings that another version of ragkit may have made, to be searched.

        By words alone where its model is away, or is another under the same name by now.
        """
        strategies = self.strategies
        models = fingerprint.partition("-")[2]
        try:
            if models != _hash([embedder.fingerprint for embedder in self._embedders]):
                raise ModelError("the model is another than the one that the index was made with")
        except ModelError as error:
            strategies = tuple(_without_model(s, error) for s in strategies)
        return self._index(source, strategies, fingerprint, dimensions, read_only=True)

    def _index(
        self,
        source: Source,
        strategies: tuple[Strategy, ...],
        fingerprint: str,
        dimensions: int | None,
        read_only: bool,
    ) -> Index:
        chunking = filled_in(self.chunking)
        return Index(
            name=self.name,
            store=stores.open(
                self.database,
                self.name,
                fingerprint,
                dimensions,
                read_only=read_only,
                precision=self.precision,
            ),
            strategies=strategies,
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
            threads=self.threads,
            dimensions=dimensions,
            shared=self._shared(),
        )

    def _shared(self) -> SharedEmbeddings | None:
        """Where models are waited for, what any database of this user knows; as int8 alone."""
        limit = shared_bytes()
        if not self.threads or not limit or self.precision != "int8":
            return None
        from ragkit.stores.shared import SharedEmbeddings

        return SharedEmbeddings(cache_folder() / "embeddings.db", limit)

    def let_go(self) -> None:
        """Close what its models hold open: connections and threads."""
        for strategy in self._embedding:
            strategy.close()

    def _last(self) -> tuple[str, int | None] | None:
        """Fingerprint and dimensions of the complete index of these settings, if there is one."""
        for index in stores.indexes(self.database):
            settings, _, _ = index.fingerprint.partition("-")
            if index.complete and (index.name, settings) == (self.name, self.settings_mark):
                return index.fingerprint, index.dimensions
        return None


def _mark(strategy: Strategy) -> str:
    """Of a strategy as it is configured; no model is asked for it."""
    return strategy.mark if isinstance(strategy, Embedding) else strategy.fingerprint


def _hash(value: object) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()[:16]


def exactly(indexes: Sequence[Index]) -> list[Index]:
    """The indexes, to be searched without missing any of the nearest vectors."""
    return [
        replace(index, strategies=tuple(_exact(strategy) for strategy in index.strategies))
        for index in indexes
    ]


def _exact(strategy: Strategy) -> Strategy:
    if not isinstance(strategy, Embedding):
        return strategy
    return replace(cast("ChunkedEmbeddings", strategy), exact=True)  # each has that field


def _without_model(strategy: Strategy, error: ModelError) -> Strategy:
    if not isinstance(strategy, Embedding):
        return strategy
    gone = Absent(strategy.embedder.name, error)
    return replace(cast("ChunkedEmbeddings", strategy), embedder=gone)  # each has that field


@dataclass(frozen=True, slots=True)
class ResolvedChunking:
    """Chunking with every default filled in."""

    size: int
    overlap: int
    respect_word_boundaries: bool
    code_aware: bool


def filled_in(chunking: Chunking) -> ResolvedChunking:
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


def blueprints(source: Source, hear: Hear = unheard) -> list[Blueprint]:
    """The indexes of a knowledge base; strategies that chunk alike share one.

    Raises NotBuilt for what this version cannot do yet, ConfigError for what no version could.
    """
    refuse_what_is_not_built(source)
    groups: dict[tuple[object, ...], list[StrategySettings]] = {}
    for settings in source.strategies:
        places = (database_of(source, settings), _docs(source, settings))
        key = (*places, _respects_vcs(source, settings), filled_in(settings.chunking))
        crowded = any(_exclude(settings, other) for other in groups.get(key, ()))
        groups.setdefault((*key, settings.name) if crowded else key, []).append(settings)
    return [
        Blueprint(
            name=source.name if len(groups) == 1 else f"{source.name}/{group[0].name}",
            database=database_of(source, group[0]),
            strategies=tuple(_strategy(source, settings, hear) for settings in group),
            docs=_docs(source, group[0]),
            respect_vcs=_respects_vcs(source, group[0]),
            chunking=group[0].chunking,
            threads=max((s.max_indexing_concurrency for s in group if waits(source, s)), default=0),
            precision=next(map(precision_of, (s for s in group if s.type != "bm25")), "int8"),
        )
        for group in groups.values()
    ]


def precision_of(settings: StrategySettings) -> Precision:
    """How a strategy's vectors are stored: as written, else as `exact` wants them."""
    return settings.vectors or ("float32" if settings.exact else "int8")


def _exclude(one: StrategySettings, other: StrategySettings) -> bool:
    """Whether they need indexes of their own: a chunk has one vector, and one list of words."""
    if one.type == "bm25" and other.type == "bm25":
        return one.tokenizer != other.tokenizer
    return one.type != "bm25" and other.type != "bm25"


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
            from ragkit.kb.describers import can_describe

            model = chat_model(source, settings)
            if not can_describe(model):
                yield where, f"chat_model: chat models of {model.provider} are not built yet"
        if settings.type != "bm25":
            model = resolved(source, settings.embedding_model or "auto")
            if not can_embed(model):
                yield where, f"embedding_model: models of {model.provider} are not built yet"
    results = source.results
    if results.reranking and not can_rerank(model := resolved(source, results.reranking.model)):
        yield _where(source), f"results.reranking: models of {model.provider} are not built yet"


def _strategy(source: Source, settings: StrategySettings, hear: Hear) -> Strategy:
    if settings.type == "bm25":
        return BM25(
            name=settings.name,
            limit=settings.limit,
            k1=settings.k1,
            b=settings.b,
            threshold=settings.threshold or 0.0,
            tokenizer=settings.tokenizer,
            per_word=_per_word(source, settings),
        )
    embedder = embedder_of(source, settings, hear)
    wanted = settings.vector_dimensions
    here = resolved(source, settings.embedding_model or "auto").provider in ("auto", "embedded")
    # servers' models are asked when the index is opened; some can give shorter vectors
    if wanted is not None and here and wanted != embedder.dimensions:
        raise ConfigError(
            f"{_where(source, settings)}: vector_dimensions: {wanted}, but the vectors of "
            f"{embedder.name} have {embedder.dimensions}",
            remedy="leave vector_dimensions out",
        )
    threshold = -1.0 if settings.threshold is None else settings.threshold
    if settings.type == "chunked-embeddings":
        return ChunkedEmbeddings(
            embedder, settings.name, settings.limit, threshold, exact=settings.exact
        )
    # the usual search has no use for these
    from ragkit.kb.describers import describer_of
    from ragkit.strategies.semantic_embeddings import SemanticEmbeddings

    return SemanticEmbeddings(
        embedder,
        describer_of(source, settings, hear),
        name=settings.name,
        limit=settings.limit,
        threshold=threshold,
        batch=settings.embedding_batch_size,
        exact=settings.exact,
    )


def _per_word(source: Source, settings: StrategySettings) -> bool:
    """Whether scores of BM25 are wanted as docker-agent has them, from 0 to 1.

    Weights that were chosen there mean the same here; ragkit's own fusion wants plain ones.
    """
    fusion = source.results.fusion
    if len(source.strategies) > 1 and fusion.strategy in ("weighted", "max"):
        return True
    return settings.tokenizer == "compat" and (len(source.strategies) == 1 or fusion != Fusion())


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
