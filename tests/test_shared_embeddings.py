"""What one database of a user has embedded, the others need not."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from test_cli import Ragkit

from ragkit.errors import ConfigError
from ragkit.kb.places import shared_bytes
from ragkit.stores.shared import SharedEmbeddings


def rows(count: int, seed: int = 0, dimensions: int = 64) -> dict[bytes, Any]:
    vectors = np.random.default_rng(seed).standard_normal((count, dimensions)).astype(np.float32)
    return {b"%08d-%07d" % (seed, i): row for i, row in enumerate(vectors)}


def test_the_embedded_table_needs_no_such_file(ragkit: Ragkit, project: Path, cache: Path) -> None:
    ragkit("index", project)
    assert not (cache / "embeddings.db").exists()


def test_what_is_kept_is_known_to_others(tmp_path: Path) -> None:
    one, other = (SharedEmbeddings(tmp_path / "e.db", 10**9) for _ in range(2))
    some = rows(300)
    assert other.known(list(some), 64) == {}
    one.keep(some)
    found = other.known([*some, b"unknown"], 64)
    assert found.keys() == some.keys()
    for key, row in some.items():
        assert np.allclose(found[key], row, atol=np.abs(row).max() / 127)
    assert other.known(list(some), 32) == {}, "another length is another model's"
    one.close()
    other.close()


def test_what_was_used_longest_ago_goes_first(tmp_path: Path) -> None:
    shared = SharedEmbeddings(tmp_path / "e.db", 400_000)
    now = [1_000_000.0]
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr("time.time", lambda: now[0])
        first = rows(1_000, 0)
        shared.keep(first)
        now[0] += 90_000
        used = list(first)[:100]
        assert len(shared.known(used, 64)) == 100
        for seed in range(1, 8):
            now[0] += 90_000
            shared.keep(rows(1_000, seed))
    last = rows(1_000, 7)
    assert len(shared.known(list(last), 64)) == 1_000
    assert len(shared.known(list(first)[100:], 64)) == 0
    assert (tmp_path / "e.db").stat().st_size < 800_000
    shared.close()


def test_threads_share_one_file(tmp_path: Path) -> None:
    shared = SharedEmbeddings(tmp_path / "e.db", 10**9)

    def work(seed: int) -> None:
        for part in range(5):
            some = rows(50, seed * 10 + part)
            shared.keep(some)
            assert len(shared.known(list(some), 64)) == 50

    threads = [threading.Thread(target=work, args=(seed,)) for seed in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    shared.close()
    every = [key for seed in range(40) for key in rows(50, seed)]
    assert len(SharedEmbeddings(tmp_path / "e.db", 10**9).known(every, 64)) == 20 * 50


@pytest.mark.parametrize(
    ("said", "size"),
    [("0", 0), ("500MB", 500_000_000), ("2GB", 2 * 10**9), ("10k", 10_000), (None, 10**9)],
)
def test_its_size_can_be_said(said: str | None, size: int, monkeypatch: pytest.MonkeyPatch) -> None:
    if said is None:
        monkeypatch.delenv("RAGKIT_SHARED_EMBEDDINGS", raising=False)
    else:
        monkeypatch.setenv("RAGKIT_SHARED_EMBEDDINGS", said)
    assert shared_bytes() == size


@pytest.mark.parametrize("said", ["", "lots", "-1", "1.5GB", "2TB"])
def test_a_size_that_is_none_is_an_error(said: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAGKIT_SHARED_EMBEDDINGS", said)
    with pytest.raises(ConfigError, match="RAGKIT_SHARED_EMBEDDINGS"):
        shared_bytes()
