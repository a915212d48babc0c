"""All that an index says, so that two can be compared; and hits, compared with the disk."""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeAlias

from ragkit import KnowledgeBase
from ragkit.config.rag import Source
from ragkit.kb.places import default_source
from ragkit.stores.sqlite import SqliteStore
from ragkit.strategies.chunked_embeddings import embedded_text, key_of
from ragkit.types import Chunk, Hit

Place: TypeAlias = tuple[str, int]
"""The path of a chunk, and which of the file's it is."""


@dataclass(frozen=True, slots=True)
class State:
    """The content of an index, and its answers."""

    chunks: Mapping[Place, Chunk]
    vectors: Mapping[Place, bytes]
    """As they are stored; b"" where one is missing."""
    hits: Mapping[str, Sequence[tuple[str, int, int, float]]]
    """Query → path, lines and score to six places."""

    def differences(self, other: State) -> list[str]:
        """What is not the same in both, a few words each."""
        pairs: Sequence[tuple[str, Mapping[Any, object], Mapping[Any, object]]] = (
            ("chunk", self.chunks, other.chunks),
            ("vector", self.vectors, other.vectors),
            ("hits", self.hits, other.hits),
        )
        return [
            f"{what} {key}"
            for what, ours, theirs in pairs
            for key in sorted({*ours, *theirs})
            if ours.get(key) != theirs.get(key)
        ]


def at(root: Path, database: Path) -> Source:
    """A folder without configuration, with its index in this file."""
    source = default_source(root)
    strategies = tuple(replace(one, database=str(database)) for one in source.strategies)
    return replace(source, strategies=strategies)


def state_of(kb: KnowledgeBase, queries: Iterable[str] = ()) -> State:
    """What the one index of a knowledge base says now."""
    (index,), model = kb.indexes, kb.blueprints[0].embedded_by or ""
    chunks = {
        (chunk.path, chunk.index): chunk
        for path in index.store.records()
        for chunk in index.store.chunks(path)
    }
    keys = {place: key_of(model, embedded_text(chunk)) for place, chunk in chunks.items()}
    known = index.store.known(list(dict.fromkeys(keys.values())))
    vectors = {p: known[key].tobytes() if key in known else b"" for p, key in keys.items()}
    return State(chunks, vectors, {query: _answer(kb, query) for query in queries})


def damage(kb: KnowledgeBase) -> list[str]:
    """What is wrong with its database, a sentence each."""
    (index,) = kb.indexes
    assert isinstance(index.store, SqliteStore)
    return index.store.check()


def _answer(kb: KnowledgeBase, query: str) -> list[tuple[str, int, int, float]]:
    hits = [(hit.chunk, round(hit.score, 6)) for hit in kb.search(query)]
    found = [(c.path, c.start_line, c.end_line, score) for c, score in hits]
    return sorted(found, key=lambda hit: (-hit[3], hit))  # equals may come in any order


def from_scratch(root: Path, queries: Iterable[str] = ()) -> State:
    """What an index says that is built of this folder now."""
    with (
        tempfile.TemporaryDirectory(prefix="ragkit-scratch-") as folder,
        KnowledgeBase(at(root, Path(folder, "scratch.db"))) as kb,
    ):
        kb.index()
        return state_of(kb, queries)


def misplaced(root: Path, hits: Iterable[Hit]) -> list[str]:
    """Hits that are said to be fresh, and whose text is not what is on these lines."""
    return [
        hit.chunk.location for hit in hits if hit.freshness == "fresh" and not _is_at(root, hit)
    ]


def _is_at(root: Path, hit: Hit) -> bool:
    """Whether the text begins in the first of its lines and ends in the last."""
    chunk = hit.chunk
    try:
        lines = (root / chunk.path).read_text(encoding="utf-8").split("\n")
    except OSError:
        return False
    shown = lines[chunk.start_line - 1 : chunk.end_line]
    if chunk.text.strip() not in "\n".join(shown):
        return False
    if len(shown) == 1:
        return True
    # a window of text may begin and end within a line
    first, *_, last = chunk.text.split("\n")
    return shown[0].endswith(first) and shown[-1].startswith(last)
