"""How much of a query and a document fits into a reranker together.

It reads both at once, inside a prompt of its own, and refuses what is too long; there is no
tokeniser to ask. So tokens are estimated from bytes, at a rate that its answers teach.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from ragkit.models.failures import Failure

_FULL: Final = 0.9
"""Share of the limit that an estimate may reach: it may be wrong by some tokens."""

_TELLING: Final = 250
"""Bytes from which a pair tells more of the rate than of the prompt around it."""


class Room:
    """What one reranker takes."""

    def __init__(self, limit: int | None = None) -> None:
        self.limit = limit
        """Most tokens of query, document and what is around them; None: not known."""
        self._around = 90.0  # tokens of the prompt: 76 for Qwen3's kind, 3 for BERT's
        # of what was read; begins with a guess that some requests outweigh
        self._read_bytes, self._read_tokens = 3_000.0, 1_000.0

    def query(self, text: str) -> str:
        """As much of a query as leaves the same room for a document."""
        return self._cut(text, self._free() / 2)

    def document(self, query: str, text: str) -> str:
        """As much of a document as fits beside this query."""
        return self._cut(text, self._free() - self._tokens(query))

    def shortened(self, query: str, text: str, failure: Failure) -> tuple[str, str]:
        """Less of a query and a document that were refused as too long, by the refusal's numbers.

        An empty document where nothing is left to cut.
        """
        tokens, limit = failure.tokens, failure.limit
        if tokens and limit and tokens > limit:
            rate = (_bytes(query) + _bytes(text)) / max(1.0, tokens - self._around)
            free = max(limit * _FULL - self._around, limit / 2)
            less = _cut(query, free / 2 * rate)
            fitting = less, _cut(text, free * rate - _bytes(less))
            if fitting != (query, text):
                return fitting
        if len(query) > len(text):
            return query[: len(query) // 2], text
        return query, text[: len(text) // 2]

    def learn(self, query: str, documents: Sequence[str], tokens: int) -> None:
        """A request with these had so many tokens."""
        size = sum(_bytes(document) for document in documents) + _bytes(query) * len(documents)
        read = tokens - self._around * len(documents)
        if size < _TELLING * len(documents) or read < 1 or not 0.3 < size / read < 10:
            return
        self._read_bytes = 0.9 * self._read_bytes + size
        self._read_tokens = 0.9 * self._read_tokens + read

    def learn_around(self, query: str, documents: Sequence[str], tokens: int) -> None:
        """The same of short English texts: they tell how long the prompt around them is."""
        read = sum(_bytes(query) + _bytes(document) for document in documents) / 4.5
        self._around = min(max((tokens - read) / len(documents), 4.0), 400.0)

    def _free(self) -> float:
        """Tokens for query and document."""
        return float("inf") if self.limit is None else self.limit * _FULL - self._around

    def _tokens(self, text: str) -> float:
        return _bytes(text) / self._rate()

    def _rate(self) -> float:
        """Bytes per token: prose has more, code less."""
        return self._read_bytes / self._read_tokens

    def _cut(self, text: str, tokens: float) -> str:
        return _cut(text, max(tokens, 8.0) * self._rate())


def _cut(text: str, size: float) -> str:
    """The text's beginning of at most so many bytes."""
    if _bytes(text) <= size:
        return text
    return _encoded(text)[: int(max(size, 0))].decode("utf-8", "ignore")


def _bytes(text: str) -> int:
    return len(text) if text.isascii() else len(_encoded(text))


def _encoded(text: str) -> bytes:
    return text.encode("utf-8", "replace")
