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


def test_rows_of_both_precisions_live_in_one_file(tmp_path: Path) -> None:
    """Texts are embedded once for all indexes: a rounded row gives way to one that is not."""
    fine = unit(1, 0.337, 0.1931)
    with ExitStack() as closing:
        place = tmp_path / "x.db"
        rounded = stores.open(place, "rounded", "a", D)
        whole = stores.open(place, "whole", "a", D, precision="float32")
        closing.callback(rounded.close)
        closing.callback(whole.close)
        rounded.replace(record("a"), [entry("a", 0, "x", fine), entry("a", 1, "y", unit(1))])
        key = entry("a", 0, "x", fine).key or b""
        assert whole.known([key]) == {}, "what is rounded must be embedded again"
        assert not np.array_equal(rounded.known([key])[key], fine)
        whole.replace(record("b"), [entry("b", 0, "x", fine)])
        rounded.keep({key: fine})
        for store in (rounded, whole):
            np.testing.assert_array_equal(store.known([key])[key], fine)
            assert store.nearest(fine, 1)[0][1] == pytest.approx(1, abs=1e-7)
            assert store.check() == []
        assert paths(rounded.nearest(fine, 9)) == [("a", 0), ("a", 1)]
        assert paths(rounded.nearest(fine, 9, exact=True)) == [("a", 0), ("a", 1)]


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
