"""What every store promises. Inherit `StoreContract` and override the fixture `opened`."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Sequence
from hashlib import sha256
from typing import Any, TypeAlias

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ragkit.errors import QueryError, StoreError, StoreMismatch
from ragkit.types import ANYTHING, Chunk, Entry, Filter, Record

D = 8

Opened: TypeAlias = Callable[..., Any]
"""(fingerprint="a", dimensions=D, name="code") → a store in one and the same place."""


def unit(*values: float) -> Any:
    """A unit vector of D dimensions that begins with these values."""
    vector = np.zeros(D, np.float32)
    vector[: len(values)] = values
    return vector / (np.linalg.norm(vector) or 1)


def record(path: str, digest: str = "0", **fields: Any) -> Record:
    return Record(path, digest, size=len(path), mtime_ns=1, **fields)


def chunk(path: str, index: int, text: str) -> Chunk:
    return Chunk(path, index, text, index * 100, index * 100 + len(text), index + 1, index + 1)


def entry(path: str, index: int, words: str | None, vector: Any = None) -> Entry:
    """A chunk whose text is its words, with a key that is a hash of its vector."""
    key = None if vector is None else sha256(vector.tobytes()).digest()
    return Entry(chunk(path, index, words or "-"), words, key, vector)


def bm25(
    documents: Sequence[str], query: Sequence[str], k1: float = 1.2, b: float = 0.75
) -> list[float]:
    """The formula, written down plainly: a score for each document, 0 where no word is in it."""
    counts = [Counter(text.split()) for text in documents]
    mean = sum(c.total() for c in counts) / len(counts) or 1
    scores = [0.0] * len(counts)
    for word in dict.fromkeys(query):
        df = sum(word in c for c in counts)
        idf = math.log(1 + (len(counts) - df + 0.5) / (df + 0.5))
        for i, c in enumerate(counts):
            tf = c[word]
            if tf:
                scores[i] += idf * tf * (k1 + 1) / (tf + k1 * (1 - b + b * c.total() / mean))
    return scores


def paths(found: Sequence[tuple[Chunk, float]]) -> list[tuple[str, int]]:
    return [(c.path, c.index) for c, _ in found]


def fill(store: Any, rows: Any, size: int) -> list[bytes]:
    """Store vectors in files of `size` chunks, named by three digits; the key of each."""
    keys: list[bytes] = []
    for file, start in enumerate(range(0, len(rows), size)):
        path = f"{file:03}"
        entries = [entry(path, i, None, v) for i, v in enumerate(rows[start : start + size])]
        store.replace(record(path), entries)
        keys += [e.key for e in entries if e.key is not None]
    return keys


LANGUAGES = (None, "go", "python")

FILTERS: list[tuple[Filter, Callable[[Record], bool]]] = [
    (ANYTHING, lambda r: True),
    (Filter(languages=("go",)), lambda r: r.language == "go"),
    (Filter(languages=("go", "text")), lambda r: r.language != "python"),
    (Filter(types=("docs",)), lambda r: r.language is None),
    (Filter(modified_after=3.0), lambda r: r.mtime_ns >= 3e9),
    (Filter(("a/**",)), lambda r: r.path.startswith("a/")),
    (Filter(("!a", "!*3")), lambda r: r.path[0] != "a" and not r.path.endswith("3")),
    (
        Filter(("a",), modified_after=2.0) & Filter(types=("code",)),
        lambda r: r.path[0] == "a" and r.mtime_ns >= 2e9 and r.language is not None,
    ),
    (Filter(("nothing",)), lambda r: False),
]
"""Filters, and what they mean."""


def filtered_record(number: int, language: str | None, second: int) -> Record:
    path = f"{'ab'[number % 2]}/{number}"
    return Record(path, "0", size=1, mtime_ns=second * 10**9, language=language)


class StoreContract:
    @pytest.fixture
    def opened(self) -> Opened:
        raise NotImplementedError("return a factory of stores that share one place")

    @pytest.fixture
    def store(self, opened: Opened) -> Any:
        return opened()

    def kept(self, vector: Any) -> Any:
        """What the store keeps of a vector, (..., D): what it gives back, and what it compares."""
        return vector

    # ── documents ──

    def test_a_new_store_is_empty(self, store: Any) -> None:
        assert store.records() == {}
        assert store.chunks("a.py") == []
        assert store.nearest(unit(1), 5) == []
        assert store.matching(["a"], 5, k1=1.2, b=0.75) == []
        assert store.known([b"k"]) == {}
        assert store.statistics().chunks == 0

    def test_what_was_stored_comes_back_whole(self, opened: Opened) -> None:
        text = "naïve 日本 \ud83d\ud83d \0 '\""
        whole = Chunk("dir/ü \udcff.py", 3, text, 7, 7 + len(text), 2, 5, "Store > réplace")
        seen = Record(whole.path, "d", 9, 123456789012345678, "python", "indexed", "", 1.5)
        store = opened()
        store.replace(seen, [Entry(whole, "a", b"k", unit(1, 2))])
        store.close()
        store = opened()
        assert store.records() == {whole.path: seen}
        assert store.chunks(whole.path) == [whole]
        [(found, cosine)] = store.nearest(unit(1, 2), 5)
        assert found == whole
        assert cosine == pytest.approx(1, abs=1e-4)
        np.testing.assert_array_equal(store.known([b"k", b"?"])[b"k"], self.kept(unit(1, 2)))

    def test_replace_puts_the_new_in_the_place_of_all_the_old(self, store: Any) -> None:
        store.replace(record("a"), [entry("a", i, "old both", unit(1, i)) for i in range(5)])
        store.replace(record("a", "1"), [entry("a", 0, "new both", unit(0, 1))])
        assert store.records()["a"].digest == "1"
        assert [c.text for c in store.chunks("a")] == ["new both"]
        assert store.matching(["old"], 5, k1=1.2, b=0.75) == []
        assert paths(store.matching(["both"], 5, k1=1.2, b=0.75)) == [("a", 0)]
        assert paths(store.nearest(unit(1), 5)) == [("a", 0)]

    def test_a_file_may_have_no_chunks(self, store: Any) -> None:
        store.replace(record("a"), [entry("a", 0, "x", unit(1))])
        store.replace(record("a", "1"), [])
        assert store.records()["a"].digest == "1"
        assert store.statistics().documents == 1
        assert store.statistics().chunks == 0

    def test_note_keeps_the_chunks(self, store: Any) -> None:
        store.replace(record("a"), [entry("a", 0, "x", unit(1))])
        failed = record("a", "1", outcome="failed", reason="binary: NUL at 7")
        store.note(failed)
        store.note(record("b", "", outcome="skipped", reason="empty"))
        assert store.records()["a"] == failed
        assert store.records()["b"].outcome == "skipped"
        assert paths(store.matching(["x"], 5, k1=1.2, b=0.75)) == [("a", 0)]

    def test_delete_forgets_files_and_their_chunks(self, store: Any) -> None:
        for path in "abc":
            store.replace(record(path), [entry(path, 0, "x", unit(1, ord(path)))])
        store.delete(["a", "c", "never stored"])
        assert list(store.records()) == ["b"]
        assert paths(store.matching(["x"], 5, k1=1.2, b=0.75)) == [("b", 0)]
        assert paths(store.nearest(unit(1), 5)) == [("b", 0)]
        assert store.chunks("a") == []

    def test_embeddings_of_deleted_chunks_stay_known(self, store: Any) -> None:
        gone = entry("a", 0, "x", unit(3, 4))
        store.replace(record("a"), [gone])
        store.delete(["a"])
        assert gone.key is not None
        np.testing.assert_array_equal(store.known([gone.key])[gone.key], self.kept(unit(3, 4)))
        assert store.nearest(unit(3, 4), 5) == []
        store.replace(record("b"), [entry("b", 0, "x", unit(3, 4))])
        assert paths(store.nearest(unit(3, 4), 5)) == [("b", 0)]

    def test_statistics_count_what_is_there(self, store: Any) -> None:
        store.replace(record("a"), [entry("a", 0, "x", unit(1)), entry("a", 1, "y", unit(1))])
        store.replace(record("b"), [entry("b", 0, None, unit(2, 1)), entry("b", 1, "z")])
        store.replace(record("c"), [entry("c", 0, "x", unit(0, 1))])
        store.delete(["c"])
        counted = store.statistics()
        assert (counted.documents, counted.chunks) == (2, 4)
        assert (counted.words, counted.vectors) == (3, 3)
        assert counted.embeddings == 3
        assert counted.size > 0

    # ── vectors ──

    def test_nearest_gives_exact_cosines_best_first(self, store: Any) -> None:
        random = np.random.default_rng(7)
        rows = random.standard_normal((300, D)).astype(np.float32)
        rows /= np.linalg.norm(rows, axis=1, keepdims=True)
        for start in range(0, 300, 30):
            path = f"{start:03}"
            some = enumerate(rows[start : start + 30])
            store.replace(record(path), [entry(path, i, None, row) for i, row in some])
        for query in rows[::60] + random.standard_normal((5, D)).astype(np.float32) / 5:
            stored = self.kept(rows)
            cosines = stored @ query / np.linalg.norm(query) / np.linalg.norm(stored, axis=1)
            best = np.argsort(-cosines)[:10]
            found = store.nearest(query, 10)
            assert paths(found) == [(f"{i // 30 * 30:03}", i % 30) for i in best]
            assert [score for _, score in found] == pytest.approx(cosines[best], abs=1e-6)

    @pytest.mark.parametrize("dimensions", [3, 64, 100, 256, 768, 4096])
    def test_vectors_of_any_length_are_found(self, opened: Opened, dimensions: int) -> None:
        random = np.random.default_rng(dimensions)
        centres = random.standard_normal((20, dimensions)).astype(np.float32)
        spread = random.standard_normal((400, dimensions)).astype(np.float32) / 2
        store = opened(dimensions=dimensions)
        keys = fill(store, centres.repeat(20, axis=0) + spread, 20)
        store.complete()
        known = store.known(keys)
        stored = np.array([known[key] for key in keys], np.float64)
        stored /= np.linalg.norm(stored, axis=1, keepdims=True)
        missed = 0
        for query in centres:
            cosines = stored @ query / np.linalg.norm(query)
            best = np.sort(cosines)[:-11:-1]
            for exact in (True, False):
                found = store.nearest(query, 10, exact=exact)
                theirs = cosines[[20 * int(c.path) + c.index for c, _ in found]]
                assert [score for _, score in found] == pytest.approx(theirs, abs=1e-6)
                if exact:
                    assert theirs == pytest.approx(best, abs=1e-6)
                missed += int(np.count_nonzero(theirs < best[-1] - 1e-6))
        assert missed <= 2, "of 200"
        assert store.check() == []

    def test_an_exact_search_gives_the_best_of_what_a_filter_lets_through(self, store: Any) -> None:
        for number in range(60):
            seen = filtered_record(number, LANGUAGES[number % 3], number % 6)
            vectors = [None, unit(), unit(1, number), unit(number, 3, number % 7 + 1)]
            store.replace(seen, [entry(seen.path, i, "x", v) for i, v in enumerate(vectors)])
        records, query = store.records(), unit(2, 5, 1)
        every = store.nearest(query, 1000, exact=True)
        assert len(every) == 120
        assert every == store.nearest(query, 1000)
        for where, means in FILTERS:
            best = [(c, s) for c, s in every if means(records[c.path])]
            for limit in (1, 7, 1000):
                assert store.nearest(query, limit, where, exact=True) == best[:limit]
        assert store.nearest(unit(), 5, exact=True) == []
        assert store.nearest(query, 0, exact=True) == []

    @pytest.mark.parametrize("share", [1, 10, 50, 90])
    def test_a_filter_of_any_share_gives_its_own_best(self, opened: Opened, share: int) -> None:
        random = np.random.default_rng(share)
        rows = random.standard_normal((1000, 64)).astype(np.float32)
        store = opened(dimensions=64)
        languages = ["go" if i < share else "python" for i in range(100)]
        random.shuffle(languages)
        for file, language in enumerate(languages):
            some = enumerate(rows[10 * file : 10 * file + 10])
            chunks = [entry(f"{file:03}", i, f"w{i % 3}", row) for i, row in some]
            store.replace(record(f"{file:03}", language=language), chunks)
        store.complete()
        where, theirs = Filter(languages=("go",)), set(np.flatnonzero(np.array(languages) == "go"))
        missed = 0
        for query in rows[:10] + random.standard_normal((10, 64)).astype(np.float32) / 2:
            every = store.nearest(query, 1000, exact=True)
            best = [(c, s) for c, s in every if int(c.path) in theirs][:10]
            assert store.nearest(query, 10, where, exact=True) == best
            found = store.nearest(query, 10, where)
            assert len(found) == 10
            missed += len(set(paths(best)).difference(paths(found)))
        assert missed <= 2, "of 100"
        every = store.matching(["w1"], 2000, k1=1.2, b=0.75)
        best = [(c, s) for c, s in every if int(c.path) in theirs][:10]
        assert store.matching(["w1"], 10, where, k1=1.2, b=0.75) == best

    def test_equal_scores_are_ordered_by_path_and_start(self, store: Any) -> None:
        for path in ["b", "a/z", "c", "a"]:
            entries = [entry(path, i, "same word", unit(1, 1)) for i in (0, 1)]
            store.replace(record(path), entries)
        order = [(path, i) for path in ["a", "a/z", "b", "c"] for i in (0, 1)]
        for limit in (1, 3, 8, 20):
            assert paths(store.nearest(unit(1), limit)) == order[:limit]
            assert paths(store.matching(["word"], limit, k1=1.2, b=0.75)) == order[:limit]

    def test_a_zero_vector_is_like_nothing(self, store: Any) -> None:
        store.replace(record("a"), [entry("a", 0, "x", unit()), entry("a", 1, "y", unit(1))])
        assert paths(store.nearest(unit(1), 5)) == [("a", 1)]
        assert store.nearest(unit(), 5) == []
        assert store.statistics().vectors == 2

    @pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
    def test_a_vector_that_is_no_number_is_refused_and_nothing_changes(
        self, store: Any, bad: float
    ) -> None:
        store.replace(record("a"), [entry("a", 0, "x", unit(1))])
        broken = unit(1)
        broken[3] = bad
        with pytest.raises(StoreError, match="NaN"):
            store.replace(record("a", "1"), [entry("a", 0, "y", broken)])
        with pytest.raises(StoreError, match="NaN"):
            store.nearest(broken, 5)
        assert store.records()["a"].digest == "0"

    def test_a_vector_of_another_length_is_a_mismatch(self, store: Any) -> None:
        with pytest.raises(StoreMismatch, match="dimensions"):
            store.replace(record("a"), [entry("a", 0, "x", np.ones(D + 1, np.float32))])
        with pytest.raises(StoreMismatch, match="dimensions"):
            store.nearest(np.ones(D - 1, np.float32), 5)
        assert store.records() == {}

    def test_an_index_may_have_no_vectors(self, opened: Opened) -> None:
        store = opened(dimensions=None)
        store.replace(record("a"), [entry("a", 0, "x")])
        store.delete(["a"])
        store.replace(record("b"), [entry("b", 0, "x")])
        assert paths(store.matching(["x"], 5, k1=1.2, b=0.75)) == [("b", 0)]
        with pytest.raises(StoreMismatch):
            store.replace(record("c"), [entry("c", 0, "x", unit(1))])

    # ── words ──

    @settings(
        max_examples=40,
        deadline=None,
        suppress_health_check=[
            HealthCheck.differing_executors,
            HealthCheck.function_scoped_fixture,
            HealthCheck.too_slow,
        ],
    )
    @given(
        texts=st.lists(
            st.lists(st.sampled_from("abcdef"), max_size=12).map(" ".join), min_size=1, max_size=9
        ),
        query=st.lists(st.sampled_from("abcdxy"), max_size=6),
        k1=st.floats(0, 10),
        b=st.floats(0, 1),
    )
    def test_matching_is_bm25(
        self, store: Any, texts: list[str], query: list[str], k1: float, b: float
    ) -> None:
        store.delete(list(store.records()))
        for i, text in enumerate(texts):
            store.replace(record(str(i)), [entry(str(i), 0, text)])
        found = store.matching(query, 20, k1=k1, b=b)
        expected = bm25(texts, query, k1, b)
        assert {int(c.path) for c, _ in found} == {i for i, s in enumerate(expected) if s}
        assert [score for _, score in found] == sorted((s for _, s in found), reverse=True)
        for c, score in found:
            assert score == pytest.approx(expected[int(c.path)], rel=1e-5)

    @settings(
        max_examples=40,
        deadline=None,
        suppress_health_check=[
            HealthCheck.differing_executors,
            HealthCheck.function_scoped_fixture,
            HealthCheck.too_slow,
        ],
    )
    @given(
        files=st.lists(
            st.lists(st.lists(st.sampled_from("abcdef"), max_size=9).map(" ".join), min_size=1),
            min_size=1,
            max_size=6,
        ),
        query=st.lists(st.sampled_from("abcdxy"), max_size=6),
    )
    def test_files_match_as_one_text(
        self, store: Any, files: list[list[str]], query: list[str]
    ) -> None:
        store.delete(list(store.records()))
        for i, texts in enumerate(files):
            store.replace(record(str(i)), [entry(str(i), n, text) for n, text in enumerate(texts)])
        asked = [*map(str, range(0, len(files), 2)), "unknown"]
        found = store.matching_files(query, asked, k1=1.2, b=0.75)
        expected = bm25([" ".join(texts) for texts in files], query)
        assert found == {
            path: pytest.approx(expected[int(path)], rel=1e-5)
            for path in asked[:-1]
            if expected[int(path)]
        }

    @settings(
        max_examples=60,
        deadline=None,
        suppress_health_check=[
            HealthCheck.differing_executors,
            HealthCheck.function_scoped_fixture,
        ],
    )
    @given(
        st.text(min_size=1).filter(lambda word: not set(word) & set(" \t\n\v\f\r\x1c\x1d\x1e\x1f"))
    )
    def test_any_word_is_found_by_itself(self, store: Any, word: str) -> None:
        store.replace(record("a"), [entry("a", 0, f"one {word} two {word}")])
        assert paths(store.matching([word], 5, k1=1.2, b=0.75)) == [("a", 0)]

    def test_words_are_words_and_not_query_syntax(self, store: Any) -> None:
        store.replace(record("a"), [entry("a", 0, "x not near")])
        for word in ['"', "*", "a OR x", "NOT", "x*", "words:x", "^x", "'", "", " ", "(", "\\"]:
            found = store.matching([word], 5, k1=1.2, b=0.75)
            assert bool(found) == (word in ("a OR x", "NOT")), word

    def test_words_of_other_chunks_and_longer_words_do_not_match(self, store: Any) -> None:
        store.replace(record("a"), [entry("a", 0, "get gets get_it get-it get.it")])
        for word, found in [("get", True), ("ge", False), ("it", False), ("get.it", True)]:
            assert bool(store.matching([word], 5, k1=1.2, b=0.75)) == found

    # ── filters ──

    @settings(
        max_examples=60,
        deadline=None,
        suppress_health_check=[
            HealthCheck.differing_executors,
            HealthCheck.function_scoped_fixture,
            HealthCheck.too_slow,
        ],
    )
    @given(
        files=st.lists(
            st.tuples(
                st.sampled_from(LANGUAGES),
                st.integers(0, 5),
                st.lists(
                    st.tuples(
                        st.lists(st.sampled_from("abc"), max_size=4).map(" ".join),
                        st.sampled_from([None, (), (1,), (1, 1), (1, 2), (-1, 3)]),
                    ),
                    max_size=4,
                ),
            ),
            max_size=8,
        ),
        limit=st.integers(1, 12),
    )
    def test_a_filtered_answer_is_the_best_of_what_the_filter_lets_through(
        self, store: Any, files: list[Any], limit: int
    ) -> None:
        store.delete(list(store.records()))
        records = {}
        for number, (language, second, texts) in enumerate(files):
            seen = filtered_record(number, language, second)
            records[seen.path] = seen
            chunks = [
                entry(seen.path, i, words, None if values is None else unit(*values))
                for i, (words, values) in enumerate(texts)
            ]
            store.replace(seen, chunks)
        all_matching = store.matching(["a", "b"], 1000, k1=1.2, b=0.75)
        all_near = store.nearest(unit(1, 1), 1000)
        for where, means in FILTERS:
            matching = [(c, s) for c, s in all_matching if means(records[c.path])]
            near = [(c, s) for c, s in all_near if means(records[c.path])]
            assert store.matching(["a", "b"], limit, where, k1=1.2, b=0.75) == matching[:limit]
            assert store.nearest(unit(1, 1), limit, where) == near[:limit]

    def test_one_file_in_a_hundred_gives_its_own_best(self, store: Any) -> None:
        random = np.random.default_rng(11)
        rows = random.standard_normal((2000, D)).astype(np.float32)
        rows /= np.linalg.norm(rows, axis=1, keepdims=True)
        few = {7, 13}  # of 200 files of ten chunks; their words and vectors are nothing special
        for file in range(200):
            seen = filtered_record(file, "go" if file in few else "python", file)
            some = enumerate(rows[10 * file : 10 * file + 10])
            store.replace(seen, [entry(seen.path, i, "word " * (i + 1), row) for i, row in some])
        where = Filter(languages=("go",))
        query = unit(1, -1, 1)
        theirs = [i for i in range(2000) if i // 10 in few]
        best = sorted(theirs, key=lambda i: -float(rows[i] @ query))
        for limit in (1, 5, 20, 300):
            found = paths(store.nearest(query, limit, where))
            assert found == [(f"b/{i // 10}", i % 10) for i in best[:limit]]
            matching = store.matching(["word"], limit, where, k1=1.2, b=0.75)
            every = store.matching(["word"], 5000, k1=1.2, b=0.75)
            assert matching == [(c, s) for c, s in every if c.path in ("b/7", "b/13")][:limit]

    def test_a_text_of_several_files_is_found_where_the_filter_lets_it_through(
        self, store: Any
    ) -> None:
        for number, language in enumerate(["go", "python", "go"]):
            seen = filtered_record(number, language, 0)
            store.replace(seen, [entry(seen.path, 0, "same", unit(1))])
        near = store.nearest(unit(1), 1, Filter(languages=("python",)))
        assert paths(near) == [("b/1", 0)]
        near = store.nearest(unit(1), 5, Filter(languages=("go",)))
        assert paths(near) == [("a/0", 0), ("a/2", 0)]

    def test_a_filter_sees_files_as_they_were_noted_last(self, opened: Opened) -> None:
        writer, reader = opened(), opened()
        where = Filter(modified_after=5.0)
        writer.replace(filtered_record(0, None, 1), [entry("a/0", 0, "x", unit(1))])
        assert reader.matching(["x"], 5, where, k1=1.2, b=0.75) == []
        for store in (writer, reader):
            assert store.nearest(unit(1), 5, where) == []
        writer.note(filtered_record(0, None, 9))
        for store in (writer, reader):
            assert paths(store.matching(["x"], 5, where, k1=1.2, b=0.75)) == [("a/0", 0)]
            assert paths(store.nearest(unit(1), 5, where)) == [("a/0", 0)]
        writer.replace(filtered_record(1, None, 9), [entry("b/1", 0, "x", unit(1))])
        for store in (writer, reader):
            assert len(store.nearest(unit(1), 5, where)) == 2

    def test_a_glob_that_is_none_is_refused(self, store: Any) -> None:
        store.replace(record("a"), [entry("a", 0, "x", unit(1))])
        with pytest.raises(QueryError, match="no path can match"):
            store.matching(["x"], 5, Filter(("[",)), k1=1.2, b=0.75)
        with pytest.raises(QueryError, match="no path can match"):
            store.nearest(unit(1), 5, Filter(("[",)))

    # ── indexes that share a place ──

    def test_two_indexes_in_one_place_do_not_see_each_other(self, opened: Opened) -> None:
        code, docs = opened(), opened(name="docs")
        code.replace(record("a"), [entry("a", 0, "x", unit(1))])
        docs.replace(record("b"), [entry("b", 0, "x", unit(1))])
        code.complete()
        docs.complete()
        assert paths(code.matching(["x"], 5, k1=1.2, b=0.75)) == [("a", 0)]
        assert paths(docs.nearest(unit(1), 5)) == [("b", 0)]
        assert code.is_complete
        assert docs.is_complete

    def test_records_of_some_paths_are_those_and_what_is_below(self, store: Any) -> None:
        every = ["a", "a/b", "a/b/c", "a.b", "a0", "ab", "a/\udcff", "z%_/x", "é/x", "../up/x"]
        for path in every:
            store.note(record(path))
        assert set(store.records()) == set(every)
        assert set(store.records(["a"])) == {"a", "a/b", "a/b/c", "a/\udcff"}
        assert set(store.records(["a/b", "é", "nothing"])) == {"a/b", "a/b/c", "é/x"}
        assert set(store.records(["z%_", "../up"])) == {"z%_/x", "../up/x"}
        assert store.records([]) == {}

    def test_embeddings_are_shared_by_all_indexes(self, opened: Opened) -> None:
        known = entry("a", 0, "x", unit(1, 2))
        opened().replace(record("a"), [known])
        assert known.key is not None
        assert list(opened(name="docs").known([known.key])) == [known.key]

    def test_an_index_with_other_settings_is_built_beside_the_one_that_answers(
        self, opened: Opened
    ) -> None:
        old = opened("a")
        old.replace(record("a"), [entry("a", 0, "x", unit(1))])
        assert not old.is_complete
        old.complete()
        assert old.is_complete
        new = opened("b", dimensions=None)
        assert (new.is_complete, new.stale, new.answering_fingerprint) == (False, True, "a")
        new.replace(record("a"), [entry("a", 0, "y")])
        assert paths(old.matching(["x"], 5, k1=1.2, b=0.75)) == [("a", 0)]
        new.complete()
        assert (new.is_complete, new.stale, new.answering_fingerprint) == (True, False, "b")
        found = [(index.fingerprint, index.complete, index.kept) for index in new.indexes()]
        assert found == [("a", False, True), ("b", True, False)]
        assert old.records().keys() == {"a"}, "who reads it goes on"
        third = opened("c", dimensions=None)
        third.replace(record("a"), [entry("a", 0, "z")])
        third.complete()
        assert [index.fingerprint for index in new.indexes()] == ["b", "c"]
        with pytest.raises(StoreMismatch, match="replaced"):
            old.records()

    def test_vectors_are_known_before_any_chunk_uses_them(self, opened: Opened) -> None:
        vector = unit(1, 2)
        store = opened()
        store.keep({b"early": vector})
        store.close()
        store = opened()
        known = store.known([b"early", b"late"])
        np.testing.assert_array_equal(known[b"early"], self.kept(vector))
        assert store.statistics().vectors == 0
        assert store.nearest(vector, 5) == []
        assert not store.is_complete

    def test_no_wrong_vector_is_kept(self, store: Any) -> None:
        with pytest.raises(StoreError):
            store.keep({b"good": unit(1), b"bad": np.full(D, np.nan, np.float32)})
        with pytest.raises(StoreMismatch):
            store.keep({b"short": unit(1)[:4]})
        assert store.known([b"good", b"bad", b"short"]) == {}

    def test_the_generation_changes_with_the_chunks_alone(self, opened: Opened) -> None:
        store, other = opened(), opened()
        seen = [other.generation]
        for change in (
            lambda: store.replace(record("a"), [entry("a", 0, "x")]),
            lambda: store.delete(["a"]),
            store.clear,
        ):
            change()
            seen.append(other.generation)
        assert len(set(seen)) == 4
        store.note(record("b"))
        store.complete()
        assert other.generation == store.generation == seen[-1]

    def test_clear_forgets_files_and_keeps_embeddings(self, store: Any) -> None:
        known = entry("a", 0, "x", unit(1, 2))
        store.replace(record("a"), [known])
        store.complete()
        store.clear()
        assert store.records() == {}
        assert not store.is_complete
        assert store.nearest(unit(1, 2), 5) == []
        assert known.key is not None
        assert list(store.known([known.key])) == [known.key]
        store.replace(record("a"), [known])
        assert paths(store.nearest(unit(1, 2), 5)) == [("a", 0)]

    def test_an_index_that_is_complete_stays_so_while_files_change(self, opened: Opened) -> None:
        store = opened()
        store.replace(record("a"), [entry("a", 0, "x", unit(1))])
        store.complete()
        store.delete(["a"])
        store.note(record("b"))
        assert store.is_complete
        assert opened().is_complete

    def test_meta_is_remembered_by_index(self, opened: Opened) -> None:
        opened().set_meta("synced", "1")
        opened().set_meta("synced", "2")
        assert opened().meta() == {"synced": "2"}
        assert opened(name="docs").meta() == {}

    def test_a_sound_index_has_nothing_to_complain_about(self, store: Any) -> None:
        for path in "abc":
            vectors = [unit(1), unit(ord(path)), unit(), unit(2, ord(path))]
            store.replace(record(path), [entry(path, i, "x", v) for i, v in enumerate(vectors)])
        assert store.check() == []
        store.replace(record("big"), [entry("big", i, f"x w{i}", unit(1, i)) for i in range(300)])
        assert store.check() == []
        store.delete(["b", "big"])
        assert store.check() == []

    def test_a_closed_store_says_so(self, store: Any) -> None:
        store.close()
        store.close()
        with pytest.raises(StoreError, match="closed"):
            store.records()
        with pytest.raises(StoreError, match="closed"):
            store.delete(["a"])
