"""A knowledge base: the hall, where every machine is known by name and they are put together.

What a search alone does not need is imported by the method that does.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import replace
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, TypeVar

from ragkit.config.rag import Source
from ragkit.errors import QueryError, StoreMismatch
from ragkit.events import Degraded, Listener, Waiting, ignore
from ragkit.kb import earlier
from ragkit.kb.earlier import Settled
from ragkit.kb.filtering import configured, named
from ragkit.kb.models import Hear, unheard
from ragkit.kb.ordering import fusing, ruling
from ragkit.kb.parts import Blueprint, blueprints, exactly
from ragkit.kb.places import locate
from ragkit.kb.prefetch import prefetching
from ragkit.kb.rerankers import reranking
from ragkit.kb.topology import topology
from ragkit.retriever import Answer, Trace, retrieve, untraced
from ragkit.types import ANYTHING, Filter, Hit, Index

if TYPE_CHECKING:
    from concurrent.futures import Executor

    from ragkit.evidence import Pack
    from ragkit.indexer import Summary
    from ragkit.kb.explanation import Explanation
    from ragkit.kb.freshness import Disk
    from ragkit.kb.report import IndexStatus, Plan
    from ragkit.kb.sharing import Shared
    from ragkit.part import Part
    from ragkit.stores.compacting import Compacted

__all__ = ["Answer", "KnowledgeBase"]

T = TypeVar("T")

LONG = 30.0
"""Seconds for which another process that indexes is waited for where that is all there is to do."""


class KnowledgeBase:
    """Documents, their indexes, and the way from a query to hits.

    Open one with `KnowledgeBase.open(path)` or from a `Source`. It may be searched from several
    threads; it is indexed by one at a time. Close it, or use it as a context manager.
    """

    def __init__(self, source: Source, *, read_only: bool = False, hear: Hear = unheard) -> None:
        """Build the parts and open the databases.

        `hear` gets what its models do otherwise than they are asked to, a sentence each, from any
        thread: flags that had to be rewritten, a configuration that was refused, a download.
        Raises NotBuilt, ConfigError, ModelError, StoreError; nothing is left open then.
        """
        configured(source)  # refused now rather than by every search
        self.configured = source
        self.source = source = earlier.rolled_back(source)
        self.blueprints: Sequence[Blueprint] = blueprints(source, hear)
        self._rules = ruling(source)
        self._reranking = reranking(source, hear)
        self._prefetch = prefetching(source)
        self._topology = topology(source)
        self._last_indexed: tuple[int, float | None] | None = None
        with ExitStack() as opened:
            for blueprint in self.blueprints:
                opened.callback(blueprint.let_go)
            if self._reranking:
                opened.callback(self._reranking.reranker.close)
            self.indexes: list[Index] = []
            for blueprint in self.blueprints:
                index = blueprint.opened(source, read_only=read_only)
                opened.callback(index.store.close)
                if index.shared:
                    opened.callback(index.shared.close)
                self.indexes.append(index)
            self._earlier: Settled | None = None
            if not all(index.store.is_complete for index in self.indexes):
                self._earlier = earlier.opened(source, self.blueprints, hear, opened)
            self._opened = opened.pop_all()

    @classmethod
    def open(
        cls,
        path: str | os.PathLike[str] | None = None,
        *,
        config: str | os.PathLike[str] | None = None,
        name: str | None = None,
        read_only: bool = False,
        hear: Hear = unheard,
    ) -> KnowledgeBase:
        """The knowledge base of a folder, a file, or a configuration; see `places.locate`.

        `name` chooses one where a configuration defines several. The first index is built by
        `index()`; until then there is nothing to find. Raises RagkitError.
        """
        return cls(locate(path, config=config, name=name), read_only=read_only, hear=hear)

    def index(
        self,
        listener: Listener = ignore,
        *,
        rebuild: bool = False,
        executor: Executor | None = None,
        part: Part | None = None,
        budget: float | None = None,
        wait: float | None = None,
    ) -> list[Summary]:
        """Bring every index up to the disk; one summary each.

        With `rebuild`, all files are read and chunked again; embeddings that are known are kept.
        With `part`, only what it covers is looked at. After `budget` seconds nothing more is begun,
        where an index was whole before; its summary says what is left. Another process that indexes
        is waited for, which is an event: for `wait` seconds, or as long as it takes.

        Raises StoreError and ModelError, StoreBusy after `wait`; files that fail are events. What
        was done stays done.
        """
        from ragkit.claims import claimed
        from ragkit.indexer import sync

        self._refuse_missing_root()
        ends = None if budget is None else time.monotonic() + budget
        timeout = self.source.indexing_timeout or None
        summaries = []
        databases = {blueprint.database for blueprint in self.blueprints}
        with claimed(
            [*databases],
            "index",
            wait=wait,
            waiting=lambda path, holder: listener(Waiting(str(path), str(holder))),
        ):
            recipe = earlier.recipe_of(self.source)
            for index in self.indexes:
                if rebuild:
                    index.store.clear()
                index.store.keep_recipe(recipe)
                left = None if ends is None else max(0.0, ends - time.monotonic())
                summaries.append(
                    sync(
                        index,
                        listener,
                        executor=executor,
                        timeout=timeout,
                        budget=left,
                        part=part,
                    )
                )
        return summaries

    @property
    def is_settled(self) -> bool:
        """Whether its settings are in force: another process may have gone back from them."""
        return earlier.rolled_back(self.configured) == self.source

    @property
    def in_force(self) -> Settled:
        """What is searched: indexes of earlier settings until the new ones are complete."""
        if self._earlier and not all(index.store.is_complete for index in self.indexes):
            return self._earlier
        return Settled(self.source, self.blueprints, self.indexes)

    def absent(self) -> list[str]:
        """Why models cannot be asked at the moment, a sentence each; without them, words answer."""
        from ragkit.kb.models import absent

        return [error.message for index in self.indexes for error in absent(index.strategies)]

    def search(
        self,
        query: str,
        limit: int | None = None,
        where: Filter = ANYTHING,
        *,
        exact: bool = False,
    ) -> list[Hit]:
        """The hits for a query, best first; at most `limit`, or as many as are configured.

        Only files that `where` lets through are looked at, of those that `results.filters` of the
        configuration does; `ragkit.kb.nearest` says why where there are none. With `exact` the
        query is compared with every vector, whatever is configured: slower, and nothing is missed.
        Raises QueryError for an empty query, StoreMismatch where nothing that fits the settings
        has been indexed yet.
        """
        return self.answer(query, limit, where, exact=exact).hits

    def answer(
        self,
        query: str,
        limit: int | None = None,
        where: Filter = ANYTHING,
        trace: Trace = untraced,
        *,
        exact: bool = False,
    ) -> Answer:
        """As `search`, with the stages, their times, and what had to be left out."""
        where = self.narrowed(where)
        notes, before = self._notes(), self._generation()
        find = partial(self._retrieved, query, self.most(limit), where, trace, exact=exact)
        if self._prefetch and trace is untraced:
            most = self.most(limit)
            indexes = self.in_force.indexes
            answer = self._prefetch.get(query, most, where, indexes, find, exact=exact)
        else:
            answer = find()
        if self._topology and trace is untraced:
            self._topology.remember(answer.hits, self.in_force.indexes)
        return replace(
            answer,
            hits=self._compared(before, lambda disk: disk.hits(answer.hits)),
            degraded=(*notes, *answer.degraded),
            generation=before,
            indexed_at=self._indexed_at(),
        )

    def pack(
        self,
        query: str,
        max_tokens: int,
        where: Filter = ANYTHING,
        cursor: str = "",
        trace: Trace = untraced,
        *,
        exact: bool = False,
    ) -> Pack:
        """Evidence for a reader with a budget: the best hits as runs of lines, none of them twice.

        Heads and texts of all passages have at most `max_tokens` by estimate. What did not fit is
        reached by the `cursor` of the page before, with the same query, filter and `exact`. Raises
        as `search`, and QueryError for a cursor that does not belong here and for a budget that not
        even one line fits in.
        """
        from ragkit.kb.packing import packed

        notes, before = self._notes(), self._generation()
        reads_all = self._reranking is not None and not self._reranking.top_k
        page = packed(
            self,
            lambda limit: self._retrieved(
                query, limit, where, trace, whole_files=False, exact=exact
            ),
            reads_all,
            query,
            max_tokens,
            where,
            cursor,
            exact=exact,
        )
        return replace(
            page,
            passages=self._compared(before, lambda disk: disk.passages(page.passages)),
            degraded=(*notes, *page.degraded),
            generation=before,
            indexed_at=self._indexed_at(),
        )

    def most(self, limit: int | None = None) -> int:
        """Most hits of an answer: `limit`, or as many as are configured."""
        return limit or self.source.results.limit or 15

    def why_not(
        self,
        query: str,
        path: str | os.PathLike[str],
        line: int | None = None,
        limit: int | None = None,
        where: Filter = ANYTHING,
        *,
        exact: bool = False,
    ) -> Explanation:
        """What became of an expected file, folder or line in the answer to a query.

        `path` is absolute, or relative to this folder or the root. Nothing is indexed. Raises as
        `search`, and QueryError for a path or a line that is nowhere.
        """
        from ragkit.kb.why_not import why_not

        return why_not(self, query, path, line, limit, self.narrowed(where), exact=exact)

    def narrowed(self, where: Filter = ANYTHING) -> Filter:
        """The filter of a search: what `where` lets through and the configuration does, too.

        Raises QueryError for a language that there is not.
        """
        return configured(self.source) & named(where)

    def status(self) -> list[IndexStatus]:
        """What is indexed and how it compares with the disk now; one for each index."""
        from ragkit.kb.report import status_of

        return [
            status_of(
                index,
                database=blueprint.database,
                models=blueprint.models,
                complete=index.store.is_complete,
            )
            for index, blueprint in zip(self.indexes, self.blueprints, strict=True)
        ]

    def compact(self, *, prune: bool = False) -> list[Compacted]:
        """Make its databases as small as what they hold, while others search; one report each.

        With `prune`, vectors of texts that are in no file any more are forgotten. Raises StoreBusy
        while something else writes, StoreFull where the disk cannot take a second copy meanwhile.
        """
        from ragkit.kb.compacting import compact

        return compact(self.source, prune=prune)

    def pack_embeddings(self, folder: str | os.PathLike[str]) -> list[Shared]:
        """Write the embeddings of its indexes as files that others can use; one report each.

        They hold hashes of texts and vectors, no text and no path. Raises StoreError, ModelError.
        """
        from ragkit.kb.sharing import pack

        return pack(self.blueprints, self.indexes, Path(folder))

    def unpack_embeddings(self, folder: str | os.PathLike[str]) -> list[Shared]:
        """Take in what such files have of its models; one report each.

        The next `index()` embeds nothing that was taken in. Raises StoreError for a pack that is
        missing, damaged, or of other models; what was taken in before stays.
        """
        from ragkit.claims import claimed
        from ragkit.kb.sharing import unpack

        databases = {blueprint.database for blueprint in self.blueprints}
        with claimed([*databases], "index", wait=LONG):
            return unpack(self.blueprints, self.indexes, Path(folder))

    def plan(self) -> list[Plan]:
        """What `index()` would do; one for each index. Reads and chunks every file."""
        from ragkit.kb.report import plan_of

        self._refuse_missing_root()
        return [
            plan_of(index, blueprint.dimensions)
            for index, blueprint in zip(self.indexes, self.blueprints, strict=True)
        ]

    def close(self) -> None:
        """Close the databases; a second call does nothing."""
        self._opened.close()

    def __enter__(self) -> KnowledgeBase:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def _retrieved(
        self,
        query: str,
        limit: int,
        where: Filter,
        trace: Trace,
        whole_files: bool | None = None,
        *,
        exact: bool = False,
    ) -> Answer:
        """The query walk; `whole_files`: as configured unless it is said."""
        results, now = self.source.results, self.in_force
        if whole_files is None:
            whole_files = results.return_full_content
        return retrieve(
            query,
            exactly(now.indexes) if exact else now.indexes,
            fuse=fusing(now.source, query),
            rules=self._topology.after(self._rules) if self._topology else self._rules,
            limit=limit,
            deduplicate=results.deduplicate,
            reranking=self._reranking,
            whole_files=whole_files,
            where=where,
            trace=trace,
        )

    def _compared(self, before: int, look: Callable[[Disk], T]) -> T:
        """What was found, compared with the disk; `before` is the generation that was searched.

        Where another process has indexed meanwhile, what the store remembers of a file need not be
        what was found, and the files themselves are read.
        """
        from ragkit.kb.freshness import Disk

        indexes = self.in_force.indexes
        found = look(Disk(self.source.root, indexes))
        if self._generation() == before:
            return found
        return look(Disk(self.source.root, indexes, by_stamps=False))

    def _generation(self) -> int:
        return sum(index.store.generation for index in self.in_force.indexes)

    def _indexed_at(self) -> float | None:
        """When a file was last indexed; looked up once for each generation."""
        indexes, generation = self.in_force.indexes, self._generation()
        if self._last_indexed is None or self._last_indexed[0] != generation:
            times = [at for index in indexes if (at := index.store.indexed_at) is not None]
            self._last_indexed = generation, max(times, default=None)
        return self._last_indexed[1]

    def _notes(self) -> list[Degraded]:
        now = self.in_force
        if now is self._earlier:
            what = (
                "the index of earlier settings answers until `ragkit index` has built the new one"
            )
            return [Degraded("index", what)]
        notes = [note for index in self.indexes if (note := self._unfinished(index))]
        if self.source != self.configured:
            what = "an index of earlier settings was gone back to; `ragkit rollback` returns"
            notes.append(Degraded("index", what))
        return notes

    def _unfinished(self, index: Index) -> Degraded | None:
        """A note for an index that is not whole. Raises StoreMismatch where there is nothing."""
        if index.store.is_complete:
            return None
        if index.store.statistics().chunks:
            return Degraded(index.name, "the index is incomplete; `ragkit index` completes it")
        what = (
            "the index was built with other settings or by another version of ragkit"
            if index.store.stale
            else "nothing is indexed yet"
        )
        raise StoreMismatch(f"{self.source.root}: {what}", remedy="index it: `ragkit index`")

    def _refuse_missing_root(self) -> None:
        """A folder that is away must not empty the index."""
        root = Path(self.source.root)
        if not root.is_dir():
            raise QueryError(f"{root}: no such folder", remedy="check the path or mount it")
