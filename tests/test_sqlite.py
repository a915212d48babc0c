"""The SQLite store keeps the contract."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from contracts.store import D, Opened, StoreContract

from ragkit import stores


class TestSqliteStore(StoreContract):
    @pytest.fixture
    def opened(self, tmp_path: Path) -> Iterator[Opened]:
        with ExitStack() as closing:

            def opened(
                fingerprint: str = "a", dimensions: int | None = D, name: str = "code"
            ) -> Any:
                store = stores.open(tmp_path / "x.db", name, fingerprint, dimensions)
                closing.callback(store.close)
                return store

            yield opened
