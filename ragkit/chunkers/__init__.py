"""Document → list[Chunk]: plain text, markup by its headings, code by its syntax.

`chunker(size=…)` makes the function that picks the right one by the document's language. A new
one is a file with one function and a row in `structured.CHUNKERS`.
"""

from __future__ import annotations

from dataclasses import dataclass

from ragkit.chunkers import text
from ragkit.chunkers.languages import language_of
from ragkit.types import Chunk, Chunker, Document

__all__ = ["VERSION", "chunker", "language_of"]

VERSION = 2
"""Changes whenever some document would be cut differently; part of an index's fingerprint."""


def chunker(
    *,
    size: int = 1500,
    overlap: int = 75,
    respect_word_boundaries: bool = False,
    code_aware: bool = True,
) -> Chunker:
    """A chunker that cuts each document by its language; it can be pickled.

    `size` is the longest chunk in characters (0 or less: 1000). `overlap` and
    `respect_word_boundaries` are for plain text; chunks by structure never overlap. Without
    `code_aware`, code is plain text. So is what has no grammar here or cannot be parsed.
    """
    size, overlap = text.normalised(size, overlap)
    return _ByLanguage(size, overlap, respect_word_boundaries, code_aware)


@dataclass(frozen=True, slots=True)
class _ByLanguage:
    size: int
    overlap: int
    words: bool
    code_aware: bool

    def __call__(self, document: Document) -> list[Chunk]:
        # the rules of fifty languages: only where there is something to cut
        from ragkit.chunkers.structured import CHUNKERS, CODE

        language = document.language or ""
        structured = CHUNKERS.get(language)
        if structured and (self.code_aware or language not in CODE):
            found = structured(document, size=self.size)
            if found is not None:
                return found
        return text.chunk(document, size=self.size, overlap=self.overlap, words=self.words)
