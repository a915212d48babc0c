"""A thread's connection to search with, and what it need not read twice."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import apsw

from ragkit.stores import connection as connections
from ragkit.stores import vectors
from ragkit.stores.admitted import Admitted, Filtered
from ragkit.types import Filter

CODES_KEPT = 64_000_000
"""Bytes of an index's codes that one reader remembers; of more, none."""


class Reader:
    """A connection that only reads, and what it remembers of the index between searches."""

    def __init__(
        self, connection: apsw.Connection, file: connections.File | None, filtered: Filtered
    ) -> None:
        self.sql = connection
        self.file = file
        """Which file it reads. Generations of another file say nothing of this one."""
        self._codes: list[vectors.Block] = []
        self._coded: tuple[int, int] | None = None
        self._filtered = filtered

    def admitted(self, index: int, where: Filter) -> Admitted:
        """What the filter lets through in the state that the open transaction sees."""
        return self._filtered.of(self.sql, self.file, index, where)

    def codes(self, index: int, dimensions: int) -> Iterable[vectors.Block]:
        """Codes of the index in the state that the open transaction sees; to be read to the end.

        They are remembered as long as they are not too many to be read anew each time.
        """
        state = (index, self._generation(index))
        if state == self._coded:
            return self._codes
        return self._read_codes(state, dimensions)

    def _read_codes(self, state: tuple[int, int], dimensions: int) -> Iterator[vectors.Block]:
        self._codes, self._coded = [], None
        read: list[vectors.Block] = []
        left = CODES_KEPT
        for block in vectors.blocks(self.sql, state[0], dimensions):
            left -= block.rows.nbytes
            if left >= 0:
                read.append(block)
            else:
                read.clear()
            yield block
        if left >= 0:
            self._codes, self._coded = read, state

    def _generation(self, index: int) -> int:
        return int(
            connections.value(self.sql, "select generation from indexes where id = ?", (index,))
        )
