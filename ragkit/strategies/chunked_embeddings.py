"""Search by meaning: the embedding of each chunk, compared with that of the query."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Protocol, runtime_checkable

from ragkit.types import ANYTHING, Chunk, Embedder, Entry, Filter, Hit, Store

if TYPE_CHECKING:
    from ragkit.types import Memory, Vector


@dataclass(frozen=True, slots=True)
class ChunkedEmbeddings:
    """Each chunk is embedded with its context; hits are ranked by cosine."""

    embedder: Embedder
    name: str = "chunked-embeddings"
    limit: int = 200
    """Candidates that it gives unless more are asked for."""
    threshold: float = -1.0
    """Least cosine of a hit."""
    exact: bool = False
    """Whether the query is compared with every vector."""

    @property
    def fingerprint(self) -> str:
        return self.embedder.fingerprint

    @property
    def mark(self) -> str:
        """Changes with what is configured of it; no model is asked for it."""
        return self.embedder.name

    @property
    def models(self) -> tuple[str, ...]:
        """Names of the models that it is made with."""
        return (self.embedder.name,)

    def close(self) -> None:
        """Let go what its model holds open."""
        self.embedder.close()

    def prepare(self, entries: Sequence[Entry], memory: Memory) -> list[Entry]:
        """The entries with key and vector; only texts that no key is known for are embedded."""
        texts = [embedded_text(entry.chunk) for entry in entries]
        return with_vectors(entries, texts, self.embedder, memory)

    def search(self, store: Store, query: str, limit: int, where: Filter = ANYTHING) -> list[Hit]:
        """Chunks nearest to the query; [] where the model knows none of its words."""
        return nearest(store, query, limit, where, self)


@runtime_checkable
class Embedding(Protocol):
    """A strategy that searches by vectors."""

    @property
    def embedder(self) -> Embedder: ...

    @property
    def name(self) -> str: ...

    @property
    def threshold(self) -> float: ...

    @property
    def exact(self) -> bool: ...

    @property
    def mark(self) -> str:
        """Changes with what is configured of it; no model is asked for it."""

    @property
    def models(self) -> tuple[str, ...]:
        """Names of the models that it is made with."""

    def close(self) -> None:
        """Let go what its models hold open."""


def nearest(store: Store, query: str, limit: int, where: Filter, strategy: Embedding) -> list[Hit]:
    """Chunks whose vectors are nearest to the query's, from the strategy's threshold up."""
    vector = strategy.embedder.embed([query], "query")[0]
    if not vector.any():
        return []
    return [
        Hit(chunk, score, {strategy.name: score})
        for chunk, score in store.nearest(vector, limit, where, exact=strategy.exact)
        if score >= strategy.threshold
    ]


def with_vectors(
    entries: Sequence[Entry], texts: Sequence[str], embedder: Embedder, memory: Memory
) -> list[Entry]:
    """The entries, in order, with key and vector of the text at the same place.

    Only texts that no key is known for are embedded. Raises ModelError.
    """
    keys = [key_of(embedder.fingerprint, text) for text in texts]
    vectors = dict(memory.known(list(dict.fromkeys(keys))))
    new = {key: text for key, text in zip(keys, texts, strict=True) if key not in vectors}
    cut: dict[bytes, str] = {}
    failed: dict[bytes, str] = {}
    if new:
        order = list(new)
        for done in embedder.stream(list(new.values()), "document"):
            cut |= {order[position]: words for position, words in done.cut.items()}
            failed |= {order[position]: words for position, words in done.failed.items()}
            rows = zip(done.positions, done.vectors, strict=True)
            fresh = {order[i]: row for i, row in rows if i not in done.failed}
            memory.keep(fresh)
            vectors |= fresh
    return [
        _embedded(entry, key, vectors, cut, failed)
        for entry, key in zip(entries, keys, strict=True)
    ]


def _embedded(
    entry: Entry,
    key: bytes,
    vectors: Mapping[bytes, Vector],
    cut: Mapping[bytes, str],
    failed: Mapping[bytes, str],
) -> Entry:
    if key in failed:
        return replace(entry, failed=failed[key])
    words = "; ".join(filter(None, (entry.cut, cut.get(key, ""))))
    return replace(entry, key=key, vector=vectors[key], cut=words)


def embedded_text(chunk: Chunk) -> str:
    """What is embedded: context, then text. Not the path, so that a rename embeds nothing."""
    return f"{chunk.context}\n{chunk.text}" if chunk.context else chunk.text


def key_of(fingerprint: str, text: str) -> bytes:
    """16 bytes that stand for (model, exact embedded text)."""
    model = fingerprint.encode()
    return hashlib.blake2b(model + b"\0" + text.encode(), digest_size=16).digest()
