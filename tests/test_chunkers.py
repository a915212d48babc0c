"""The chunker as a whole: every language keeps the contract; the right one is picked."""

from __future__ import annotations

from contracts.chunker import ChunkerContract


class TestText(ChunkerContract):
    language = None


class TestMarkdown(ChunkerContract):
    language = "markdown"


class TestPython(ChunkerContract):
    language = "python"
