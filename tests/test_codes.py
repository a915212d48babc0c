"""What a store remembers of its codes follows what is written, by whomever."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import apsw
import numpy as np
import pytest
from contracts.store import record
from test_scan import clustered

from ragkit import stores
from ragkit.stores import changes, codes, fitting
from ragkit.stores.sqlite import SqliteStore
from ragkit.types import Chunk, Entry


@pytest.fixture
def opened(tmp_path: Path) -> Iterator[Any]:
    with ExitStack() as closing:

        def opened(dimensions: int = 512, **options: Any) -> SqliteStore:
            store = stores.open(tmp_path / "x.db", "code", "a", dimensions, **options)
            closing.callback(store.close)
            return store

        yield opened


def put(store: SqliteStore, path: str, vectors: Any) -> None:
    entries = [
        Entry(Chunk(path, i, "text", i, i + 4, 1, 1), None, vector.tobytes()[:16], vector)
        for i, vector in enumerate(vectors)
    ]
    store.replace(record(path), entries)


def found(store: SqliteStore, query: Any, limit: int = 10, **options: Any) -> list[tuple[str, int]]:
    return [(c.path, c.index) for c, _ in store.nearest(query, limit, **options)]


def read_anew(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Gets a number for every time that all codes are read."""
    times: list[int] = []
    real = codes._read

    def counted(*given: Any) -> Any:
        times.append(1)
        return real(*given)

    monkeypatch.setattr(codes, "_read", counted)
    return times


def test_another_writer_s_change_is_seen_by_reading_what_changed(
    opened: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    reader, writer = opened(), opened()
    rows = clustered(3_000, 512)
    for at in range(0, 3_000, 100):
        put(writer, f"{at:04}", rows[at : at + 100])
    times = read_anew(monkeypatch)
    assert found(reader, rows[250])[0] == ("0200", 50)
    assert times == [1]
    fresh = clustered(100, 512, seed=9)
    for round_, path in enumerate(("0200", "0700", "0200", "new")):
        put(writer, path, fresh[round_ * 20 : round_ * 20 + 20])
        assert found(reader, fresh[round_ * 20 + 7])[0] == (path, 7)
        assert ("0200", 50) not in found(reader, rows[250], 500)
    writer.delete(["new"])
    assert "new" not in {path for path, _ in found(reader, fresh[67], 100)}
    assert times == [1], "the rest was not read again"
    assert found(opened(), fresh[47], 300) == found(reader, fresh[47], 300)


@pytest.mark.parametrize("how", ["clear", "many", "trimmed"])
def test_what_cannot_be_followed_is_read_anew(
    opened: Any, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    monkeypatch.setattr(changes, "KEPT", 50 if how == "trimmed" else changes.KEPT)
    monkeypatch.setattr(codes, "FOLLOWED", 100)
    reader, writer = opened(), opened()
    rows = clustered(900, 512)
    put(writer, "old", rows[:300])
    times = read_anew(monkeypatch)
    assert found(reader, rows[5])[0] == ("old", 5)
    if how == "clear":
        writer.clear()
    put(writer, "new", rows[300:360] if how == "clear" else rows[300:])
    assert found(reader, rows[310])[0] == ("new", 10)
    assert (("old", 5) in found(reader, rows[5])) == (how != "clear")
    assert len(times) == 2


def test_codes_that_are_too_many_to_be_held_are_read_for_each_search(
    opened: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(codes, "HELD", 64 * 100)
    store = opened(64)
    rows = clustered(2_500, 64)
    for at in range(0, 2_500, 500):
        put(store, f"{at}", rows[at : at + 500])
    times = read_anew(monkeypatch)
    for at in (0, 777, 2_499):
        assert found(store, rows[at])[0] == (f"{at // 500 * 500}", at % 500)
        assert found(store, rows[at], 20) == found(store, rows[at], 20, exact=True)
    assert len(times) == 6


def coding(path: Path) -> tuple[Any, ...]:
    file = apsw.Connection(str(path))
    try:
        sql = "select kind, sums, breadth, rows from codings"
        return tuple(file.execute(sql).fetchall()[0])
    finally:
        file.close()


def recall(store: SqliteStore, queries: Any) -> float:
    """Of the ten nearest, by comparing all."""
    return float(
        np.mean(
            [len(set(found(store, q)) & set(found(store, q, exact=True))) / 10 for q in queries]
        )
    )


@pytest.mark.parametrize(
    ("dimensions", "mean"), [(64, 0.5), (256, 0.5), (256, 2.0), (768, 0.5), (768, 3.0)]
)
def test_codes_are_as_good_as_the_data_asks_for(
    opened: Any, tmp_path: Path, dimensions: int, mean: float
) -> None:
    store = opened(dimensions)
    rows = clustered(3_000, dimensions, mean)
    reader = opened(dimensions)
    for at in range(0, 3_000, 500):
        put(store, f"{at}", rows[at : at + 500])
    assert found(reader, rows[3])[0] == ("0", 3)
    store.complete()
    assert coding(tmp_path / "x.db")[-1] == 3_000
    for one in (store, reader):
        assert recall(one, clustered(20, dimensions, mean, seed=3)) >= 0.99
    assert store.check() == []


def test_a_kind_that_does_not_do_is_replaced_by_one_that_does(
    opened: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fitting, "WANTED", {10: 1.01})  # what no search by signs can do
    store, reader = opened(512), opened(512)
    rows = clustered(2_100, 512)
    for at in range(0, 2_100, 300):
        put(store, f"{at}", rows[at : at + 300])
    assert coding(tmp_path / "x.db")[0] == "bit"
    assert found(reader, rows[3])[0] == ("0", 3)
    store.complete()
    assert coding(tmp_path / "x.db") == ("int8", 0, 1, 2_100)
    for one in (store, reader):
        assert recall(one, clustered(10, 512, seed=3)) == 1
    put(store, "0", rows[:10])
    assert found(reader, rows[3])[0] == ("0", 3)
    assert store.check() == []


def test_what_is_measured_once_is_measured_again_when_the_index_has_doubled(
    opened: Any, tmp_path: Path
) -> None:
    store = opened(64)
    rows = clustered(6_000, 64)
    for at in range(0, 6_000, 500):
        put(store, f"{at}", rows[at : at + 500])
        store.complete()
    assert coding(tmp_path / "x.db")[-1] == 4_000


def test_few_dimensions_are_told_apart_by_signs_of_sums(opened: Any, tmp_path: Path) -> None:
    store = opened(256)
    rows = clustered(4_000, 256)
    for at in range(0, 4_000, 500):
        put(store, f"{at}", rows[at : at + 500])
    store.complete()
    kind, sums, breadth, _ = coding(tmp_path / "x.db")
    assert (kind, sums) == ("bit", codes.SUMS)
    assert breadth <= fitting.GOOD
    assert recall(store, clustered(30, 256, seed=3)) >= 0.99


def test_more_signs_are_tried_where_fewer_do_not_do(
    opened: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fitting, "SUMS", (8, 768))
    store, reader = opened(128), opened(128)
    rows = clustered(2_100, 128)
    for at in range(0, 2_100, 300):
        put(store, f"{at}", rows[at : at + 300])
    assert found(reader, rows[3])[0] == ("0", 3)
    store.complete()
    assert coding(tmp_path / "x.db")[:2] == ("bit", 768)
    for one in (store, reader):
        assert recall(one, clustered(10, 128, seed=3)) >= 0.99
