"""What a filter lets through of an index, as ids: searches look at these and no others.

A filter is about documents, so it is about chunks. An embedding may be shared by chunks of several
documents: it is a candidate where any of them comes through, and then only those chunks are hits.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING

import apsw

from ragkit import filters
from ragkit.stores.connection import query
from ragkit.stores.rows import from_sql
from ragkit.stores.words import numbers
from ragkit.types import Filter

if TYPE_CHECKING:
    from collections.abc import Mapping

    import numpy as np
    from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class Admitted:
    """The chunks of the documents that a filter lets through, and the embeddings they use."""

    chunks: NDArray[np.int64]
    """(n,) ids, ascending."""
    embeddings: NDArray[np.int64]
    """(m,) ids, in any order; one that several chunks use is there several times."""

    def __len__(self) -> int:
        """Ids, with room for the rest of it: what it costs to remember."""
        return len(self.chunks) + len(self.embeddings) + 100

    def among(self, chunks: Mapping[int, int]) -> dict[int, int]:
        """Those of the chunks that come through."""
        import numpy as np

        if not (chunks and len(self.chunks)):
            return {}
        ids = np.fromiter(chunks, np.int64, len(chunks))
        places = np.searchsorted(self.chunks, ids).clip(max=len(self.chunks) - 1)
        return {i: chunks[i] for i in ids[self.chunks[places] == ids].tolist()}


def load(connection: apsw.Connection, index: int, where: Filter) -> Admitted:
    """What comes through of an index. Raises QueryError for a glob that is none."""
    import numpy as np

    lets_through = filters.test_of(where)
    documents = query(connection, f"select id, path, language, mtime_ns from documents_{index}")
    ids = [i for i, path, language, at in documents if lets_through(from_sql(path), language, at)]
    # group_concat leaves NULL out: the two lists are of different lengths, in no order
    chunks, embeddings = query(
        connection,
        f"select group_concat(id), group_concat(embedding) from chunks_{index} "
        "where document in (select value from json_each(?))",
        (json.dumps(ids),),
    )[0]
    return Admitted(np.sort(numbers(chunks)), numbers(embeddings))
