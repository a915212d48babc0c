"""Making the databases of a knowledge base as small as what they hold."""

from __future__ import annotations

from ragkit import stores
from ragkit.config.rag import Source
from ragkit.kb.places import database_of
from ragkit.stores.compacting import Compacted


def compact(source: Source, *, prune: bool = False) -> list[Compacted]:
    """Compact every database of a knowledge base, one after the other; no model is asked.

    With `prune`, vectors of texts that are in no file any more are forgotten. Raises StoreError,
    and ConfigError for a database that is no file.
    """
    databases = dict.fromkeys(database_of(source, strategy) for strategy in source.strategies)
    return [stores.compact(database, prune=prune) for database in databases]
