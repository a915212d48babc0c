"""ragkit: index code and documents, and answer questions over them.

All of it in one place:

    from ragkit import KnowledgeBase

    with KnowledgeBase.open("path/to/project") as kb:
        kb.index()
        for hit in kb.search("how are ignore rules applied?"):
            print(hit.chunk.location, hit.score)
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ragkit.version import __version__

if TYPE_CHECKING:
    from ragkit.errors import RagkitError
    from ragkit.evidence import Pack, Passage
    from ragkit.indexer import Summary
    from ragkit.kb import KnowledgeBase
    from ragkit.kb.explanation import Explanation
    from ragkit.kb.report import IndexStatus, Plan
    from ragkit.retriever import Answer
    from ragkit.types import Chunk, Document, Filter, Hit


__all__ = [
    "Answer",
    "Chunk",
    "Document",
    "Explanation",
    "Filter",
    "Hit",
    "IndexStatus",
    "KnowledgeBase",
    "Pack",
    "Passage",
    "Plan",
    "RagkitError",
    "Summary",
    "__version__",
]

_HOMES = {
    "Answer": "retriever",
    "Chunk": "types",
    "Document": "types",
    "Explanation": "kb.explanation",
    "Filter": "types",
    "Hit": "types",
    "IndexStatus": "kb.report",
    "KnowledgeBase": "kb",
    "Pack": "evidence",
    "Passage": "evidence",
    "Plan": "kb.report",
    "RagkitError": "errors",
    "Summary": "indexer",
}


def __getattr__(name: str) -> object:
    """Public names are loaded when they are asked for: `import ragkit` alone costs nothing."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
