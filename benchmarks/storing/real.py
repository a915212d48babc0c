"""Vectors of real text: the embedded model's, of what lies below the running Python's library."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks import library
from benchmarks.storing.data import FRESH, QUERIES
from benchmarks.storing.system import DOCUMENT

if TYPE_CHECKING:
    from ragkit.types import Vectors

SUFFIXES = (".py", ".pyi", ".md", ".rst", ".txt", ".json", ".h", ".c", ".js", ".css", ".html")


def make(folder: Path, most: int) -> tuple[Vectors, Vectors, Vectors]:
    """Vectors written to `folder/vectors.npy`, questions and fresh documents.

    The questions are docstrings' first paragraphs: they stand in the chunks, with the code that
    they are about. 20 chunks that follow each other are a document.
    """
    import numpy as np

    from ragkit.models.embedded import StaticEmbedder

    embedder = StaticEmbedder()
    fresh, texts = FRESH * DOCUMENT, list(_texts(most + FRESH * DOCUMENT))
    made = embedder.embed(texts, "document")
    rows = (len(made) - fresh) // DOCUMENT * DOCUMENT
    questions = [function.query for function in library.sample(QUERIES)]
    np.save(folder / "vectors.npy", made[:rows])
    return (
        np.load(folder / "vectors.npy", mmap_mode="r"),
        embedder.embed(questions, "query"),
        made[-fresh:].reshape(FRESH, DOCUMENT, -1),
    )


def _texts(most: int) -> Iterator[str]:
    """Chunks as they are embedded, each text once."""
    from ragkit.chunkers import chunker
    from ragkit.kb.places import SIZE
    from ragkit.strategies.chunked_embeddings import embedded_text
    from ragkit.types import Document

    cut, seen = chunker(size=SIZE), set[str]()
    for path in sorted(p for p in library.SOURCE.rglob("*") if p.suffix in SUFFIXES):
        if path.stat().st_size > 1_000_000:
            continue
        text = path.read_text(encoding="utf-8", errors="replace")
        language = "python" if path.suffix in (".py", ".pyi") else None
        name = path.relative_to(library.SOURCE).as_posix()
        for chunk in cut(Document(name, text, "", language)):
            embedded = embedded_text(chunk)
            if embedded not in seen:
                seen.add(embedded)
                yield embedded
            if len(seen) == most:
                return
