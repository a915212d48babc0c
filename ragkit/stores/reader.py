"""A thread's connection to search with, and what it need not read twice."""

from __future__ import annotations

import apsw

from ragkit.stores import connection as connections
from ragkit.stores.admitted import Admitted, Filtered
from ragkit.types import Filter


class Reader:
    """A connection that only reads, and what it remembers of the index between searches."""

    def __init__(
        self, connection: apsw.Connection, file: connections.File | None, filtered: Filtered
    ) -> None:
        self.sql = connection
        self.file = file
        """Which file it reads. Generations of another file say nothing of this one."""
        self._filtered = filtered

    def admitted(self, index: int, where: Filter) -> Admitted:
        """What the filter lets through in the state that the open transaction sees."""
        return self._filtered.of(self.sql, self.file, index, where)

    def _generation(self, index: int) -> int:
        return int(
            connections.value(self.sql, "select generation from indexes where id = ?", (index,))
        )
