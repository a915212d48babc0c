"""A thread's connection to search with, and what it need not read twice."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import apsw

from ragkit.stores import admitted as admission
from ragkit.stores import connection as connections
from ragkit.stores import vectors
from ragkit.types import Filter

IDS_KEPT = 2_000_000
"""Ids that one reader remembers of what filters let through, of 8 bytes each; the latest filter's
always."""

CODES_KEPT = 64_000_000
"""Bytes of an index's codes that one reader remembers; of more, none."""


class Reader:
    """A connection that only reads, and what it remembers of the index between searches."""

    def __init__(self, connection: apsw.Connection, file: connections.File | None = None) -> None:
        self.sql = connection
        self.file = file
        """Which file it reads. Generations of another file say nothing of this one."""
        self._codes: list[vectors.Block] = []
        self._coded: tuple[int, int] | None = None
        self._version: tuple[int, object] | None = None
        self._admitted: dict[Filter, admission.Admitted] = {}

    def admitted(self, index: int, where: Filter) -> admission.Admitted:
        """What the filter lets through in the state that the open transaction sees."""
        version = (index, self.sql.pragma("data_version"))
        if version != self._version:
            self._version = version
            self._admitted.clear()
        found = self._admitted.pop(where, None)
        if found is None:  # an empty one is known, too
            found = admission.load(self.sql, index, where)
        self._admitted[where] = found  # the latest at the end
        while len(self._admitted) > 1 and sum(map(len, self._admitted.values())) > IDS_KEPT:
            del self._admitted[next(iter(self._admitted))]
        return found

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
