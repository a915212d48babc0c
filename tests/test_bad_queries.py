"""Queries that nobody planned for: each is answered, or refused plainly, and at once."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Ragkit = Callable[..., Any]

QUICK = 2.0
"""Seconds that any query may take here; what is not quick takes far longer."""


@pytest.fixture
def find(ragkit: Ragkit, project: Path) -> Callable[..., Any]:
    """A search of the project, which is indexed by then."""
    (project / "notes" / "鳥.md").write_text("# 鳥の数え方\n\n庭の餌台で鳥を数える。\n")
    (project / "notes" / "طيور.md").write_text("# الطيور\n\nعد الطيور في الحديقة كل صباح.\n")
    (project / "notes" / "chat.txt").write_text("The owl is back 🦉🎉 and so are we.\n")
    assert ragkit("index", project).code == 0

    def search(query: str, *options: object) -> Any:
        started = time.perf_counter()
        done = ragkit("search", query, project, *options)
        assert time.perf_counter() - started < QUICK
        assert "Traceback" not in done.err
        return done

    return search


def best(done: Any) -> str:
    assert done.code == 0, done
    return str(json.loads(done.out)["hits"][0]["path"])


@pytest.mark.parametrize(
    ("query", "path"),
    [
        ("鳥を数える", "notes/鳥.md"),
        ("餌台", "notes/鳥.md"),
        ("عد الطيور", "notes/طيور.md"),
        ("الحديقة", "notes/طيور.md"),
    ],
)
def test_another_script_finds_what_is_written_in_it(find: Any, query: str, path: str) -> None:
    assert best(find(query, "--json")) == path


@pytest.mark.parametrize("query", ["сколько птиц", "पक्षी", "ᚠᚢᚦ", "🦉", "🦉🎉", "👩\u200d👧"])
def test_a_script_that_nothing_is_written_in_is_no_error(find: Any, query: str) -> None:
    done = find(query, "--json")
    assert done.code in (0, 1)
    assert json.loads(done.out)["query"] == query


@pytest.mark.parametrize("query", ["!!!", "???", "--- ... ---", "“”", "\u200b", "\u3000"])
def test_punctuation_alone_finds_nothing_and_says_so(
    find: Any, ragkit: Ragkit, project: Path, query: str
) -> None:
    done = ragkit("search", "--", query, project)
    assert done.code in (1, 2)
    assert done.out == ""
    assert done.err.startswith(("no hit", "Usage: ", "error: "))
    assert "Traceback" not in done.err


@pytest.mark.parametrize("query", ["the", "to be or not to be", "what is it", "and or not"])
def test_stop_words_alone_are_searched_for(find: Any, query: str) -> None:
    assert find(query).code == 0


def test_ten_thousand_hits_are_as_many_as_there_are(find: Any, project: Path) -> None:
    for number in range(300):
        (project / "notes" / f"{number}.txt").write_text(f"Bird {number} was at the feeder.\n")
    ragkit_json = find("bird feeder", "-n", 10_000, "--json")
    found = json.loads(ragkit_json.out)["hits"]
    assert [hit["rank"] for hit in found] == list(range(1, len(found) + 1))
    assert len({hit["path"] for hit in found}) > 200
    assert len({(hit["path"], hit["start_line"], hit["end_line"]) for hit in found}) == len(found)


@pytest.mark.parametrize("limit", ["0", "-1", "10001", "many", "1e3"])
def test_a_limit_out_of_range_is_refused(find: Any, limit: str) -> None:
    done = find("bird", f"--limit={limit}")
    assert (done.code, done.out) == (2, "")
    assert "--limit" in done.err


@pytest.mark.parametrize(
    "text", ["squirrel weight ", "x" * 1000 + " ", "x", "x.", "x(", "`x", "_", "?", "鳥", "a-"]
)
def test_a_query_of_100_kilobytes_is_answered_at_once(find: Any, text: str) -> None:
    done = find((text * 100_000)[:100_000], "--files")
    assert "Traceback" not in done.err
    assert done.code in (0, 1)


def test_a_page_of_prose_finds_what_it_is_about(find: Any) -> None:
    filler = "We looked at many other things on that day, and none of them had any bearing. "
    page = filler * 300 + "The squirrel weighs more than 250 grams on the perch of the feeder."
    assert best(find(page, "--json")) == "src/feeder.py"


TRACE = """Traceback (most recent call last):
  File "/home/ann/birdhouse/main.py", line 12, in <module>
    main()
  File "/home/ann/birdhouse/src/feeder.py", line 9, in weigh
    return sum(self.samples) / len(self.samples)
           ~~~~~~~~~~~~~~~~~~^~~~~~~~~~~~~~~~~~~
ZeroDivisionError: division by zero
"""


def test_a_pasted_stack_trace_finds_the_place(find: Any) -> None:
    assert best(find(TRACE, "--json")) == "src/feeder.py"
    assert best(find(TRACE * 40, "--json")) == "src/feeder.py"


@pytest.mark.parametrize(
    "query",
    [
        "squirrel\0weight",
        "squirrel \udcff weight",
        "\ud800squirrel\udfff",
        "squirrel\x1b[31m weight\x07",
        "\r\nsquirrel\r\n",
        "squirrel\ufffe\uffff",
        "\u202esquirrel",
    ],
)
def test_what_is_no_text_is_taken_for_a_gap(find: Any, query: str) -> None:
    done = find(query)
    assert done.code == 0, done
    assert "squirrel" in done.out.lower()
    assert json.loads(find(query, "--json").out)["hits"]


@pytest.mark.parametrize(
    "query",
    ["') or 1=1 --", "squirrel*", '"squirrel', "NEAR(a b)", "col:bird", "%s %d {0}", "^squirrel$"],
)
def test_a_query_is_no_language(find: Any, query: str) -> None:
    done = find(query)
    assert done.code in (0, 1)
    assert "error" not in done.err


@pytest.mark.parametrize("query", ["鳥", "🦉", "squirrel\0", "\udcff", "!!!", "x" * 100_000])
def test_why_not_takes_them_too(ragkit: Ragkit, project: Path, query: str) -> None:
    ragkit("index", project)
    done = ragkit("why-not", query, "README.md", project, "--json")
    assert done.code in (0, 1), done
    assert json.loads(done.out)["path"] == "README.md"
