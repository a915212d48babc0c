"""Inverted lists: read from FTS5's pages, followed, and searched without looking at each chunk."""

from __future__ import annotations

import threading
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from random import Random
from typing import Any

import apsw
import numpy as np
import pytest
from contracts.store import bm25, entry, record
from hypothesis import given, settings
from hypothesis import strategies as st

from ragkit import stores
from ragkit.stores import leaves, lists, scoring, upgrading, words
from ragkit.stores.connection import query, value

FTS5 = (
    "create virtual table words_1 using "
    "fts5(words, content='', contentless_delete=1, detail=none, tokenize='ascii')"
)


def written(seed: int, page: int, spread: int) -> Iterator[tuple[apsw.Connection, dict[int, Any]]]:
    """An FTS5 table through random writes, deletions and merges, and what it should hold."""
    random = Random(seed)
    db = apsw.Connection(":memory:")
    db.execute(FTS5)
    db.execute("insert into words_1(words_1, rank) values('pgsz', ?)", (page,))
    held: dict[int, set[str]] = {}
    known = ["".join(random.choices("abc", k=random.randint(1, 12))) for _ in range(60)]
    known += ["é" * 70, "x" * 200, "x" * 199 + "y"]
    for _ in range(12):
        db.execute("begin")
        for _ in range(random.choice([1, 20, 200])):
            i = random.randint(1, 2000) * spread
            if held.pop(i, None):
                db.execute("delete from words_1 where rowid = ?", (i,))
            if random.random() < 0.7:
                held[i] = set(random.choices(known, k=random.randint(1, 30)))
                db.execute("insert into words_1(rowid, words) values(?, ?)", (i, " ".join(held[i])))
        db.execute("commit")
        command = random.choice([("optimize", 0), ("merge", -16), ("merge", 5), None, None, None])
        if command:
            db.execute("insert into words_1(words_1, rank) values(?, ?)", command)
        yield db, held


@pytest.mark.parametrize("page", [64, 500, 4050])
@pytest.mark.parametrize("spread", [1, 300, 1_000_000])
def test_lists_are_what_was_written_whatever_fts5_made_of_it(page: int, spread: int) -> None:
    for db, held in written(page + spread, page, spread):
        pages = leaves.read(db, "words_1")
        for low in ("", "a", "abc", "b", "x" * 199, "zz"):
            found: dict[str, list[int]] = defaultdict(list)
            for term, ids in leaves.between(db, pages, low, low + "bcc"):
                found[term] += ids.tolist()
            expected: dict[str, list[int]] = defaultdict(list)
            for i, theirs in sorted(held.items()):
                for word in theirs:
                    if low <= word <= low + "bcc":
                        expected[word].append(i)
            assert {term: sorted(ids) for term, ids in found.items() if ids} == expected


def test_pages_of_another_format_are_told(tmp_path: Path) -> None:
    db = apsw.Connection(":memory:")
    db.execute(FTS5)
    db.execute("insert into words_1(rowid, words) values(1, 'a b')")
    pages = leaves.read(db, "words_1")
    for broken in (b"", b"\x00\x00\x00\x04\x09", b"\x00\x00\xff\xff" + b"\xff" * 20):
        db.execute("update words_1_data set block = ? where id > 100", (broken,))
        with pytest.raises(leaves.Unknown):
            list(leaves.between(db, pages, "a", "b"))
    db.execute("update words_1_data set block = x'00000000ff00000103' where id = 10")
    with pytest.raises(leaves.Unknown):
        leaves.read(db, "words_1")
    db.execute("update words_1_config set v = 99 where k = 'version'")
    with pytest.raises(leaves.Unknown):
        leaves.read(db, "words_1")


def test_pages_of_another_format_are_read_by_fts5(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = stores.open(tmp_path / "x.db", "code", "a", None)
    for i in range(30):
        store.replace(record(str(i)), [entry(str(i), 0, "a " * (i % 4) + "b " * i)])
    by_pages = store.matching(["a", "b"], 10)
    monkeypatch.setattr(leaves, "VERSIONS", ())
    other = stores.open(tmp_path / "x.db", "code", "a", None)
    assert other.matching(["a", "b"], 10) == by_pages
    assert len(by_pages) == 10


# ── searching ──

TEXTS = st.lists(st.lists(st.sampled_from("abcdefghij"), max_size=9).map(" ".join), max_size=8)


def zipf(seed: int, count: int) -> list[str]:
    """Texts whose words are as unequal as words are, some of them equal."""
    chance = np.random.default_rng(seed)
    texts = [
        " ".join(f"w{n}" for n in chance.zipf(1.3, chance.integers(1, 60)) if n < 500)
        for _ in range(count)
    ]
    return texts + texts[: count // 10]


@pytest.mark.parametrize(("k1", "b"), [(1.2, 0.75), (0.0, 0.0), (2.0, 1.0), (1.5, 0.0)])
def test_the_best_are_the_best_of_all_ties_included(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, k1: float, b: float
) -> None:
    monkeypatch.setattr(scoring, "FIRST", 30)  # so that few chunks are enough to leave some out
    texts = zipf(3, 900)
    store = stores.open(tmp_path / "x.db", "code", "a", None)
    for n in range(0, len(texts), 30):
        file = enumerate(texts[n : n + 30])
        store.replace(record(str(n)), [entry(str(n), i, text) for i, text in file])
    chance = np.random.default_rng(5)
    for limit in (1, 5, 50, 2000):
        asked = [f"w{n}" for n in chance.zipf(1.2, 25) if n < 500] + ["w1", "w2", "none"]
        scores = bm25(texts, asked, k1, b)
        expected = sorted((s for s in scores if s > 0), reverse=True)[:limit]
        with store._reading() as (reader, index):
            assert index is not None
            shared = store._lists(reader, index)
            ids, found = scoring.best(reader.sql, shared, asked, limit, k1, b)
            some, few = np.zeros((2, len(texts) + 2), np.bool_)  # the last is False
            some[1:-1:3], few[2:300:60] = True, True
            answers = [
                (marks, scoring.best(reader.sql, shared, asked, limit, k1, b, marks)[1])
                for marks in (some, few)
            ]
        assert found[:limit].tolist() == pytest.approx(expected, rel=1e-9)
        tied = [s for s in scores if s > 0 and s >= expected[-1] * (1 - 1e-12)]
        assert len(ids) == len(tied)
        for marks, answer in answers:  # ids count from 1 in the order of writing
            theirs = [scores[i - 1] for i in np.flatnonzero(marks) if scores[i - 1] > 0]
            best = sorted(theirs, reverse=True)
            assert answer[:limit].tolist() == pytest.approx(best[:limit], rel=1e-9)


# ── following ──


@settings(max_examples=30, deadline=None)
@given(
    st.lists(st.tuples(st.sampled_from("pqrs"), st.none() | TEXTS), min_size=1, max_size=25),
    st.integers(1, 6),
)
def test_what_is_followed_is_what_would_be_read_anew(
    tmp_path_factory: pytest.TempPathFactory,
    steps: list[tuple[str, list[str] | None]],
    every: int,
) -> None:
    path = tmp_path_factory.mktemp("x") / "x.db"
    writer, reader = (stores.open(path, "code", "a", None) for _ in range(2))
    asked = list("aceg")
    for i, (name, texts) in enumerate(steps):
        if texts is None:
            writer.delete([name])
        else:
            writer.replace(record(name), [entry(name, n, text) for n, text in enumerate(texts)])
        if i % every == 0:
            fresh = stores.open(path, "code", "a", None)
            assert reader.matching(asked, 5) == fresh.matching(asked, 5)
            files = reader.matching_files(asked, "pqrs")
            assert files == pytest.approx(fresh.matching_files(asked, "pqrs"), rel=1e-12)
            fresh.close()
    writer.close()
    reader.close()


def test_a_change_is_read_without_the_rest(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    writer, reader = (stores.open(tmp_path / "x.db", "code", "a", None) for _ in range(2))
    for name in "pq":
        writer.replace(record(name), [entry(name, i, "a b " * i) for i in range(9)])
    assert len(reader.matching(["a"], 50)) == 16
    monkeypatch.setattr(lists, "load", None)
    monkeypatch.setattr(lists, "read", None)
    writer.replace(record("p"), [entry("p", i, "a c") for i in range(3)])
    writer.delete(["q"])
    assert [chunk.path for chunk, _ in reader.matching(["a"], 50)] == ["p"] * 3


def test_what_changed_too_much_or_was_cleared_is_read_anew(tmp_path: Path) -> None:
    writer, reader = (stores.open(tmp_path / "x.db", "code", "a", None) for _ in range(2))
    for size in (3, words.LOGGED + 1, 2):
        writer.replace(record("p"), [entry("p", i, "a") for i in range(size)])
        assert len(reader.matching(["a"], 5000)) == size
    writer.clear()
    assert reader.matching(["a"], 5) == []
    for i in range(words.KEPT + 5):
        writer.replace(record("p"), [entry("p", 0, f"a w{i}")])
    assert len(reader.matching([f"w{i}"], 5)) == 1
    [rows] = query(apsw.Connection(str(tmp_path / "x.db")), "select count(*) from worded_1")
    assert rows[0] <= words.KEPT
    for _ in range(5):
        writer.replace(record("q"), [entry("q", i, "a") for i in range(words.LOGGED)])
        assert len(reader.matching(["a"], 5000)) == words.LOGGED + 1
    [rows] = query(apsw.Connection(str(tmp_path / "x.db")), "select count(*) from worded_1")
    assert rows[0] <= 3


def test_lists_beyond_what_is_kept_are_let_go_and_read_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = stores.open(tmp_path / "x.db", "code", "a", None)
    store.replace(record("p"), [entry("p", i, f"a b w{i}") for i in range(50)])
    monkeypatch.setattr(lists, "KEPT_BYTES", 600)
    asked = ["a", *(f"w{i}" for i in range(50))]
    first = store.matching(asked, 50)
    with store._reading() as (reader, index):
        assert index is not None
        kept = store._lists(reader, index)
        assert 0 < kept.nbytes <= 600
        assert kept.nbytes == sum(p.nbytes for p in kept.lists.values())
    assert store.matching(asked, 50) == first


def test_threads_that_search_while_another_writes_see_one_state_each(tmp_path: Path) -> None:
    path = tmp_path / "x.db"
    writer, shared = (stores.open(path, "code", "a", None) for _ in range(2))
    wrong: list[object] = []
    done = threading.Event()

    def search() -> None:
        while not done.is_set():
            found = shared.matching(["a", "b"], 100)
            texts = {chunk.text for chunk, _ in found}
            if len(found) not in (0, 20) or len(texts) > 1:
                wrong.append(found)

    threads = [threading.Thread(target=search) for _ in range(4)]
    for thread in threads:
        thread.start()
    for i in range(60):
        writer.replace(record("p"), [entry("p", n, f"a b w{i}") for n in range(20)])
    done.set()
    for thread in threads:
        thread.join()
    assert wrong == []


def test_completing_leaves_few_segments(tmp_path: Path) -> None:
    store = stores.open(tmp_path / "x.db", "code", "a", None)
    for i in range(60):
        store.replace(record(str(i)), [entry(str(i), n, f"a w{n} v{i}") for n in range(20)])
    store.complete()
    db = apsw.Connection(str(tmp_path / "x.db"))
    assert value(db, "select count(distinct segid) from words_1_idx") == 1
    assert len(store.matching(["a"], 5000)) == 1200


def test_a_file_from_before_lengths_were_kept_gets_them(tmp_path: Path) -> None:
    store = stores.open(tmp_path / "x.db", "code", "a", None)
    for i in range(30):
        texts = [f"a w{n} " * (i % 3) for n in range(i)]
        store.replace(record(str(i)), [entry(str(i), n, text) for n, text in enumerate(texts)])
    store.delete(["7", "29"])
    found = store.matching(["a", "w3"], 1000)
    store.close()
    db = apsw.Connection(str(tmp_path / "x.db"))
    rows = "select block, places from lengths_1 order by block"
    before = query(db, rows)
    db.execute("drop table lengths_1; drop table worded_1")
    upgrading._words_followed(db)
    assert query(db, rows) == before
    db.close()
    again = stores.open(tmp_path / "x.db", "code", "a", None)
    assert again.matching(["a", "w3"], 1000) == found
