"""Evidence of a knowledge base: its ranking, and the files that it lies in."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from ragkit import evidence
from ragkit.errors import QueryError
from ragkit.evidence import Pack
from ragkit.retriever import Answer
from ragkit.types import Chunk, Filter, Index

if TYPE_CHECKING:
    from ragkit.kb import KnowledgeBase

DEPTH = 200
"""Hits that one walk through the evidence goes down to."""


def packed(
    kb: KnowledgeBase,
    retrieved: Callable[[int], Answer],
    reads_all: bool,
    query: str,
    max_tokens: int,
    where: Filter,
    cursor: str,
    *,
    exact: bool = False,
) -> Pack:
    """A page of the evidence that `retrieved` finds, asked for a number of hits.

    The number is the same for every page, so that all are of one ranking. Where a model `reads_all`
    candidates again, it is that of an ordinary answer. Raises as `evidence.pack`.
    """
    if max_tokens < 1:
        raise QueryError(f"{max_tokens} tokens are no budget", remedy="give 1 or more")
    answer = retrieved(kb.most() if reads_all else max(DEPTH, kb.most()))
    page = evidence.pack(
        query,
        answer.hits,
        lambda path: chunks_of(kb.in_force.indexes, path),
        max_tokens=max_tokens,
        question=question(kb, query, where, exact=exact),
        cursor=cursor,
    )
    return replace(page, stages=answer.stages, degraded=(*answer.degraded, *page.degraded))


def chunks_of(indexes: Sequence[Index], path: str) -> list[Chunk]:
    """All chunks of a file, from the first index that has it; [] where none does."""
    return next((found for index in indexes if (found := index.store.chunks(path))), [])


def question(kb: KnowledgeBase, query: str, where: Filter, *, exact: bool = False) -> str:
    """What decides about a ranking besides the index."""
    return repr((query, kb.source.root, kb.source.name, _timeless(where), exact))


def _timeless(where: Filter) -> Filter:
    """`7d` is another time at each call; hits that leave the filter by it are noticed anyway."""
    since = None if where.modified_after is None else 0.0
    return replace(where, modified_after=since, also=tuple(map(_timeless, where.also)))
