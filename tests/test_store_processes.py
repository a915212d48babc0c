"""Several at one database: killed writers, a crowd of readers, compaction and upgrades beside."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import Any

import apsw
import pytest
from contracts.store import D, entry, record, unit

from ragkit import stores
from ragkit.errors import StoreBusy, StoreError
from ragkit.stores import connection as connections
from ragkit.stores.sqlite import SqliteStore

HERE = Path(__file__).parent

forks = pytest.mark.skipif(not hasattr(os, "fork"), reason="processes cannot be forked here")


def opened(path: Path, **options: Any) -> SqliteStore:
    return stores.open(path, "code", "a", D, **options)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[SqliteStore]:
    """A complete index of six files, which was searched already."""
    with closing(opened(tmp_path / "x.db")) as made:
        for i in range(6):
            entries = [entry(str(i), j, f"x w{j}", unit(i + 1, j)) for j in range(9)]
            made.replace(record(str(i)), entries)
        made.complete()
        assert content(made)
        yield made


def content(store: SqliteStore) -> object:
    return (
        store.records(),
        {path: store.chunks(path) for path in store.records()},
        store.matching(["x", "w2"], 1000),
        store.nearest(unit(1, 1), 1000),
    )


def ran(*command: str) -> Any:
    """What a program in another process printed, as JSON. It must end well."""
    found = subprocess.run(
        [sys.executable, *command], cwd=HERE.parent, capture_output=True, text=True, check=False
    )
    assert found.returncode == 0, found.stdout + found.stderr
    return json.loads(found.stdout)


@forks
def test_writers_that_are_killed_and_a_crowd_of_readers_find_whole_states_only() -> None:
    options = ["--kills", "30", "--readers", "100", "--processes", "4", "--seconds", "1"]
    told = ran("-m", "benchmarks.storing.faults", *options)
    assert told["killed"]["problems"] == told["crowd"]["problems"] == []
    assert told["killed"]["kills"] == 30
    assert told["killed"]["steps"] >= 30
    assert told["crowd"]["searches"] >= 100
    assert told["crowd"]["writes"] > 1


UPGRADES = """
import json, os, random, shutil, signal, sys, time
from pathlib import Path
sys.path[:0] = {path!r}
import old_databases
from benchmarks.storing.faults import _forked
from contracts.store import D, entry, record, unit
from ragkit import stores
folder, chance, seen = Path({folder!r}), random.Random(3), []
files = [
    (record(str(i)), [entry(str(i), j, f"x w{{j}}", unit(i + 1, j)) for j in range(20)])
    for i in range(20)
]
old_databases.make(folder / "old.db", 2, "code", "a", D, files)
keys = [e.key for _, entries in files for e in entries]
for n in range(12):
    path = folder / f"{{n}}.db"
    shutil.copy(folder / "old.db", path)

    def upgrade(pipe):
        os.write(pipe, b"go")
        stores.open(path, "code", "a", D).close()
        os.write(pipe, b"done")

    child, pipe = _forked(upgrade)
    os.read(pipe, 2)
    time.sleep(chance.uniform(0, 0.04))
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    done = os.read(pipe, 4) == b"done"
    os.close(pipe)
    store = stores.open(path, "code", "a", D)
    assert store.check() == [], store.check()
    assert {{p: store.chunks(p) for p in store.records()}} == {{
        seen.path: [e.chunk for e in entries] for seen, entries in files
    }}
    assert len(store.matching(["x"], 1000)) == len(store.nearest(unit(1, 1), 1000)) == 400
    assert set(store.known(keys)) == set(keys)
    store.close()
    seen.append(done)
print(json.dumps(seen))
"""


@forks
def test_an_upgrade_that_is_killed_is_done_by_the_next_process(tmp_path: Path) -> None:
    script = UPGRADES.format(path=[str(HERE), str(HERE.parent)], folder=str(tmp_path))
    done = ran("-c", script)
    assert len(done) == 12
    assert not all(done)


@pytest.mark.parametrize("tidy", ["vacuum", "compact"])
def test_another_process_may_compact_the_file_at_any_time(store: SqliteStore, tidy: str) -> None:
    store.replace(record("0", "1"), [])
    store.delete(["1", "2"])
    expected = content(store)
    if tidy == "compact":
        stores.compact(store.path)
    else:
        other = apsw.Connection(str(store.path))
        other.execute("vacuum")
        other.close()
    assert content(store) == expected
    with closing(opened(store.path)) as new:
        assert content(new) == expected
    store.replace(record("new"), [entry("new", 0, "x", unit(9))])
    assert store.check() == []
    with closing(opened(store.path)) as new:
        assert content(new) == content(store) != expected


def test_compaction_beside_a_writer_says_who_is_busy(store: SqliteStore) -> None:
    expected = content(store)
    with store._writing():
        with pytest.raises(StoreBusy, match="another process is writing") as raised:
            stores.compact(store.path, wait=0.01)
        assert raised.value.remedy
    assert content(store) == expected


def test_the_log_stays_short_where_there_is_always_a_reader(
    store: SqliteStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connections, "LOG_BYTES", 500_000)
    with closing(opened(store.path)) as writer:
        stop = threading.Event()
        longest = written = 0

        def read() -> None:
            while not stop.is_set():
                store.matching(["x"], 5)

        with ThreadPoolExecutor(2) as pool:
            readers = [pool.submit(read) for _ in range(2)]
            try:
                for n in range(40):
                    entries = [entry("n", i, f"x {n}", unit(n + 1, i)) for i in range(20)]
                    before = connections.log_size(store.path)
                    writer.replace(record("n", str(n)), entries)
                    after = connections.log_size(store.path)
                    longest = max(longest, after)
                    written += max(after - before, 0)
            finally:
                stop.set()
        for reader in readers:
            reader.result()
        assert written > 1_000_000
        assert longest < 1_000_000
        assert writer.check() == []


def test_a_store_that_is_closed_while_others_search_says_so(tmp_path: Path) -> None:
    store = opened(tmp_path / "x.db")
    store.replace(record("a"), [entry("a", i, "x", unit(1, i)) for i in range(50)])
    started = threading.Barrier(4)

    def search() -> str:
        store.matching(["x"], 5)
        started.wait()
        try:
            while True:
                store.matching(["x"], 5)
                store.nearest(unit(1), 5)
        except StoreError as error:
            return error.message

    with ThreadPoolExecutor(3) as pool:
        told = [pool.submit(search) for _ in range(3)]
        started.wait()
        store.close()
        assert {found.result() for found in told} == {f"{store.path}: the store is closed"}
