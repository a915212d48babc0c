"""What can go wrong, as one tree.

    RagkitError(message, remedy="")
    ├── ConfigError                 agent.yaml:8: treshold: unknown key
    ├── NotBuilt                    agent.yaml:9: reranking: not built yet in this version
    ├── ReadError                   docs/a.txt: permission denied
    ├── MissingExtra                reading docs/a.pdf needs pypdfium2
    ├── ModelError                  embedded/static: its table is damaged
    │   ├── ModelUnreachable        no model runner answers at http://127.0.0.1:12434
    │   ├── ModelNotFound           the runner has no model ai/embeddinggemma
    │   ├── ModelBusy               the runner is loading another model
    │   └── InputTooLong            513 tokens, the model takes 512
    ├── QueryError                  the query is empty
    ├── IndexingTimeout             indexing took longer than 1800 s
    └── StoreError                  /x/code.db is not a ragkit database
        ├── StoreBusy               another process is writing
        ├── StoreFull               no space left on the disk
        └── StoreMismatch           built with another model

`except RagkitError` catches all of it. Foreign exceptions are translated at the border of the one
room that owns the package, with `from error`. Errors of single files are events (`events.Failed`).
"""

from __future__ import annotations


class RagkitError(Exception):
    """Says what is wrong and where; `remedy` is a command or a choice, or ""."""

    def __init__(self, message: str, remedy: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.remedy = remedy


class ConfigError(RagkitError):
    """The configuration is wrong: `file:line: key: what`."""


class NotBuilt(ConfigError):
    """The configuration is right and asks for what this version of ragkit cannot do yet."""


class ReadError(RagkitError):
    """A file cannot be read or decoded."""

    digest = ""
    """sha256 of the bytes that could not be decoded, hex; "" where none could be read."""


class MissingExtra(RagkitError):
    """An optional dependency is not installed."""


class ModelError(RagkitError):
    """A model cannot be loaded or did not do its work."""


class ModelUnreachable(ModelError):
    """Nothing answers where the model should be served, or something else does."""


class ModelNotFound(ModelError):
    """The server answers and does not have the model."""


class ModelBusy(ModelError):
    """The server cannot take the request now; raised when patience has ended."""


class InputTooLong(ModelError):
    """A text has more tokens than the model takes."""

    def __init__(
        self, message: str, remedy: str = "", *, tokens: int | None = None, limit: int | None = None
    ) -> None:
        super().__init__(message, remedy)
        self.tokens = tokens
        """Of the text that was sent; None where the server did not say."""
        self.limit = limit
        """Most tokens that it takes; None where the server did not say."""


class QueryError(RagkitError):
    """The query cannot be answered as it is asked."""


class IndexingTimeout(RagkitError):
    """Indexing reached its bound; what was done is kept, the next walk goes on from there."""


class StoreError(RagkitError):
    """The database cannot be used."""


class StoreBusy(StoreError):
    """Another process is writing."""


class StoreFull(StoreError):
    """The disk is full; nothing of the transaction was written."""


class StoreMismatch(StoreError):
    """The index was built with another model, other settings or another version of ragkit."""
