"""The SQLite store keeps the contract."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
from contracts.store import D, Opened, StoreContract, entry, paths, record, unit

from ragkit import stores
from ragkit.stores import codes, vectors
from ragkit.stores.database import Precision


class TestSqliteStore(StoreContract):
    precision: ClassVar[Precision] = "int8"

    def kept(self, vector: Any) -> Any:
        rows = [vectors.packed(row, self.precision) for row in np.atleast_2d(vector)]
        return vectors.unpacked(rows, D).reshape(vector.shape)

    @pytest.fixture
    def opened(self, tmp_path: Path) -> Iterator[Opened]:
        with ExitStack() as closing:

            def opened(
                fingerprint: str = "a", dimensions: int | None = D, name: str = "code"
            ) -> Any:
                store = stores.open(
                    tmp_path / "x.db", name, fingerprint, dimensions, precision=self.precision
                )
                closing.callback(store.close)
                return store

            yield opened


class TestFloat32Store(TestSqliteStore):
    precision: ClassVar[Precision] = "float32"


@pytest.mark.parametrize("held", [0, D, 64_000_000])
def test_a_search_by_vector_is_the_same_whether_codes_are_remembered_or_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, held: int
) -> None:
    monkeypatch.setattr(codes, "HELD", held)
    with ExitStack() as closing:
        searched, other = (stores.open(tmp_path / "x.db", "code", "a", D) for _ in range(2))
        closing.callback(searched.close)
        closing.callback(other.close)
        searched.replace(record("a"), [entry("a", 0, "one", unit(1, 0.5))])
        for _ in range(2):
            assert paths(searched.nearest(unit(1), 9)) == [("a", 0)]
        other.replace(record("b"), [entry("b", 0, "two", unit(1))])
        for _ in range(2):
            assert paths(searched.nearest(unit(1), 9)) == [("b", 0), ("a", 0)]
        other.delete(["a"])
        assert paths(searched.nearest(unit(1), 9)) == [("b", 0)]
