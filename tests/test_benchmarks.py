"""The measures of the benchmarks agree with a reference, and their parts keep what they promise."""

from __future__ import annotations

import math
import os
import subprocess
import sys
from pathlib import Path

import ir_measures
import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks import judgements, library, measures, processes
from ragkit import Chunk

ITEMS = [f"file{number}.py" for number in range(15)]
rankings = st.lists(st.sampled_from(ITEMS), unique=True)
relevant = st.sets(st.sampled_from(ITEMS), min_size=1)
depths = st.sampled_from([1, 3, 10])


def reference(measure: object, ranking: list[str], right: set[str]) -> float:
    """The value that ir_measures gives; it orders by score, so ranks become falling scores."""
    run = [
        ir_measures.ScoredDoc("q", item, float(len(ranking) - rank))
        for rank, item in enumerate(ranking)
    ]
    qrels = [ir_measures.Qrel("q", item, 1) for item in right]
    return float(ir_measures.calc_aggregate([measure], qrels, run)[measure])


@given(rankings, relevant, depths)
def test_ndcg_is_that_of_the_reference(ranking: list[str], right: set[str], k: int) -> None:
    ours = measures.ndcg(ranking, right, k)
    assert ours == pytest.approx(reference(ir_measures.nDCG @ k, ranking, right), abs=1e-6)


@given(rankings, relevant, depths)
def test_recall_is_that_of_the_reference(ranking: list[str], right: set[str], k: int) -> None:
    ours = measures.recall(ranking, right, k)
    assert ours == pytest.approx(reference(ir_measures.R @ k, ranking, right), abs=1e-6)


@given(rankings, relevant, depths)
def test_reciprocal_rank_is_that_of_the_reference(
    ranking: list[str], right: set[str], k: int
) -> None:
    ours = measures.reciprocal_rank(ranking, right, k)
    assert ours == pytest.approx(reference(ir_measures.RR @ k, ranking, right), abs=1e-6)


def test_a_worked_example_of_every_measure() -> None:
    ranking = ["x", "a", "y", "b"]
    assert measures.recall(ranking, {"a", "b", "c"}, 3) == pytest.approx(1 / 3)
    assert measures.reciprocal_rank(ranking, {"a", "b"}, 10) == 1 / 2
    ideal = 1 + 1 / math.log2(3)
    expected = (1 / math.log2(3) + 1 / math.log2(5)) / ideal
    assert measures.ndcg(ranking, {"a", "b"}, 10) == pytest.approx(expected)


def test_an_item_that_comes_twice_counts_once() -> None:
    assert measures.recall(["a", "a", "b"], {"a", "b"}, 2) == 1.0
    assert measures.ndcg(["a", "a"], {"a"}, 2) == 1.0


def test_a_query_without_relevant_items_counts_nothing() -> None:
    assert measures.ndcg(["a"], set(), 10) == 0.0
    assert measures.recall(["a"], set(), 10) == 0.0


@given(st.lists(st.floats(0, 1), min_size=1, max_size=30))
def test_an_interval_lies_within_the_values_and_is_the_same_each_time(values: list[float]) -> None:
    low, high = measures.interval(values)
    assert min(values) - 1e-9 <= low <= high <= max(values) + 1e-9
    assert measures.interval(values) == (low, high)


def test_an_interval_is_as_wide_as_the_normal_approximation_says() -> None:
    values = [0.0, 1.0] * 200
    low, high = measures.interval(values)
    half = 1.96 * 0.5 / math.sqrt(len(values))
    assert (low, high) == pytest.approx((0.5 - half, 0.5 + half), abs=0.005)


def test_differences_are_taken_query_by_query() -> None:
    assert measures.differences([1.0, 0.5], [0.5, 0.5]) == [0.5, 0.0]
    with pytest.raises(ValueError, match="longer"):
        measures.differences([1.0], [0.5, 0.5])


def test_a_chunk_shows_a_span_if_it_shares_half_of_the_shorter_and_is_no_dump() -> None:
    def shows(first: int, last: int, span: judgements.Span) -> bool:
        chunk = Chunk("a.py", 0, "", 0, 0, start_line=first, end_line=last)
        return judgements.hits_span(chunk, "a.py", span)

    span = judgements.Span(11, 20)
    assert shows(16, 40, span)
    assert not shows(17, 40, span)
    assert shows(19, 20, span)
    assert shows(1, 80, span)
    assert not shows(1, 81, span)
    assert shows(1, 120, judgements.Span(41, 100))
    assert not judgements.hits_span(Chunk("b.py", 0, "", 0, 0, 11, 20), "a.py", span)


@pytest.mark.parametrize("name", judgements.SETS)
def test_every_query_of_a_set_has_a_relevant_file(name: str) -> None:
    queries = judgements.load(name)
    assert len(queries) == 60
    assert all(query.text.strip() and query.relevant for query in queries)
    assert all(path in query.relevant for query in queries for path, _ in query.spans)


def test_a_function_is_asked_for_by_its_docstring_and_found_without_it() -> None:
    (function,) = library.documented_in(
        "a.py",
        f'''\
import os

@decorated
def walk(top):
    """Give every file below a folder, in order.

    More words.
    """
    {"found = os.walk(top); " * 6}
    return found
''',
    )
    assert function.query == "Give every file below a folder, in order."
    assert "More words" not in function.source
    assert function.source.startswith("@decorated\ndef walk(top):\n    found")
    assert (function.first, function.last, function.docstring) == (3, 10, (5, 8))


def test_a_run_says_what_the_process_took_and_said() -> None:
    line = "import time; held = b'1' * 80_000_000; time.sleep(0.3); print('done')"
    run = processes.python(line)
    assert run.output == "done\n"
    assert run.code == 0
    assert 80 < run.memory < 400
    assert run.cpu > 0


def test_a_run_that_fails_is_an_error() -> None:
    with pytest.raises(RuntimeError, match="gone wrong"):
        processes.python("raise SystemExit('gone wrong')")


@pytest.mark.parametrize("page", ["benchmarks/README.md", "docs/retrieval.md", "docs/store.md"])
def test_the_tables_of_a_page_are_those_of_the_results(page: str) -> None:
    folder = Path(measures.__file__).parent
    done = subprocess.run(
        [sys.executable, "-m", "cogapp", "--check", "--diff", page],
        capture_output=True,
        text=True,
        cwd=folder.parent,
        env={**os.environ, "PYTHONPATH": str(folder.parent)},
    )
    assert done.returncode == 0, f"run `cog -r {page}`\n{done.stdout}{done.stderr}"
