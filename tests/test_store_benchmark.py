"""The benchmark of the store: its data keep what they promise, and ragkit's part runs."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchmarks import report_store, store
from benchmarks.storing import data, process
from benchmarks.storing.system import DOCUMENT, SHARDS, shard

ROOT = Path(store.__file__).parents[1]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a set of 4,000 rows of 64 dimensions."""
    folder = tmp_path_factory.mktemp("data") / "64-4k"
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(data.SETS, folder.name, (4_000, 64))
        data.make(folder.name, folder)
    return folder


def test_the_right_answers_are_those_of_comparing_every_row(made: Path) -> None:
    loaded = data.load(made)
    cosines = loaded.queries @ np.asarray(loaded.vectors).T
    here = np.array([shard(row) < 10 for row in range(len(loaded))])
    for truth, among in ((loaded.truth, here | True), (loaded.among["10 %"], here)):
        best = -np.sort(-np.where(among, cosines, -2), axis=1)[:, : data.NEAREST]
        assert np.array_equal(np.take_along_axis(cosines, truth, 1), best)
        assert among[truth].all()


def test_vectors_are_unit_rows_and_the_same_each_time(made: Path, tmp_path: Path) -> None:
    loaded = data.load(made)
    vectors, queries, fresh = data.by_rule(4_000, 64, tmp_path / "vectors.npy")
    assert np.array_equal(vectors, loaded.vectors)
    assert np.array_equal(queries, loaded.queries)
    for rows in (vectors, queries, fresh):
        assert np.allclose(np.linalg.norm(rows, axis=-1), 1, atol=1e-5)


def test_documents_are_dealt_out_to_all_folders() -> None:
    rows = [shard(row) for row in range(0, DOCUMENT * SHARDS, DOCUMENT)]
    assert rows == list(range(SHARDS))


def test_recall_is_the_share_of_right_rows_that_were_found() -> None:
    right = np.array([[1, 2, 3], [4, 5, 6]])
    assert process.recalled([[2, 1], [4, 9]], right, 2) == 0.75
    assert process.recalled([[3, 2, 1]], right, 10) == 1


def test_the_quickest_setting_that_finds_enough_is_chosen() -> None:
    tried = [{"effort": e, "recall": r} for e, r in ((1, 0.5), (2, 0.9796), (3, 0.98))]
    assert process.chosen(tried)["effort"] == 2
    assert process.chosen([*tried, {"effort": 4, "recall": 0.995}])["effort"] == 4


def test_a_system_is_built_asked_and_updated_in_processes_of_its_own(
    made: Path, tmp_path: Path
) -> None:
    def run(phase: str) -> dict[str, Any]:
        command = [sys.executable, "-m", "benchmarks.storing.process", "ours", "ragkit"]
        done = subprocess.run(
            [*command, str(made), str(tmp_path), phase], cwd=ROOT, capture_output=True, text=True
        )
        assert done.returncode == 0, done.stderr
        found: dict[str, Any] = json.loads(done.stdout)
        return found

    built, updated, cold = run("build"), run("update"), run("cold")
    assert built["size"] > 4_000 * 64
    assert updated["found"] == updated["seen elsewhere"] == 1
    assert 0 < cold["open"] < cold["first"]


def test_every_system_is_in_its_module() -> None:
    for name in store.ORDER:
        assert report_store._class(name).name == name
