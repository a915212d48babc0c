"""Search by meaning: the embedding of each chunk, compared with that of the query."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from ragkit.types import Chunk, Embedder, Entry, Hit, Store

if TYPE_CHECKING:
    from ragkit.types import Known


@dataclass(frozen=True, slots=True)
class ChunkedEmbeddings:
    """Each chunk is embedded with its context; hits are ranked by cosine."""

    embedder: Embedder
    name: str = "chunked-embeddings"
    limit: int = 200
    """Candidates that it gives unless more are asked for."""
    threshold: float = -1.0
    """Least cosine of a hit."""

    @property
    def fingerprint(self) -> str:
        return self.embedder.fingerprint

    def prepare(self, entries: Sequence[Entry], known: Known) -> list[Entry]:
        """The entries with key and vector; only texts that no key is known for are embedded."""
        texts = [embedded_text(entry.chunk) for entry in entries]
        keys = [key_of(self.embedder.fingerprint, text) for text in texts]
        vectors = dict(known(list(dict.fromkeys(keys))))
        new = {key: text for key, text in zip(keys, texts, strict=True) if key not in vectors}
        if new:
            vectors |= zip(new, self.embedder.embed(list(new.values()), "document"), strict=True)
        return [
            replace(entry, key=key, vector=vectors[key])
            for entry, key in zip(entries, keys, strict=True)
        ]

    def search(self, store: Store, query: str, limit: int) -> list[Hit]:
        """Chunks nearest to the query; [] where the model knows none of its words."""
        vector = self.embedder.embed([query], "query")[0]
        if not vector.any():
            return []
        return [
            Hit(chunk, score, {self.name: score})
            for chunk, score in store.nearest(vector, limit)
            if score >= self.threshold
        ]


def embedded_text(chunk: Chunk) -> str:
    """What is embedded: context, then text. Not the path, so that a rename embeds nothing."""
    return f"{chunk.context}\n{chunk.text}" if chunk.context else chunk.text


def key_of(fingerprint: str, text: str) -> bytes:
    """16 bytes that stand for (model, exact embedded text)."""
    model = fingerprint.encode()
    return hashlib.blake2b(model + b"\0" + text.encode(), digest_size=16).digest()
