"""Evidence within a budget: what holds of every pack and of every walk through the pages."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterator, Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ragkit import chunkers, evidence
from ragkit.errors import QueryError
from ragkit.evidence import Pack, Passage, tokens_of
from ragkit.evidence.context import together
from ragkit.evidence.lines import lines_of
from ragkit.types import Chunk, Document, Hit

laws = settings(deadline=None, max_examples=40)

QUERY = "where does the squirrel eat"

WORDS = ["squirrel", "eats", "def feeder():", "return seed", "where", "", "", "x = 1", "松鼠吃"]
LINES = st.lists(st.sampled_from(WORDS), max_size=30).map("\n".join)
LONG = st.integers(180, 350).map(lambda n: "word " * n)
TEXTS = st.lists(st.one_of(LINES, LINES, LONG), max_size=4).map("\n".join)
FILES = st.dictionaries(st.sampled_from(["a.txt", "lib/b.py", "c.md"]), TEXTS, min_size=1)


def chunked(files: dict[str, str], size: int = 120, overlap: int = 30) -> dict[str, list[Chunk]]:
    """The chunks of some files, by path."""
    cut = chunkers.chunker(size=size, overlap=overlap)
    return {
        path: cut(Document(path, text, "", chunkers.language_of(path, text)))
        for path, text in files.items()
    }


@st.composite
def rankings(draw: st.DrawFn) -> tuple[dict[str, str], dict[str, list[Chunk]], list[Hit]]:
    """Files, their chunks, and some of these as hits in any order."""
    files = draw(FILES)
    size = draw(st.sampled_from([60, 120, 400]))
    chunks = chunked(files, size=size, overlap=draw(st.sampled_from([0, 30])))
    every = [chunk for found in chunks.values() for chunk in found]
    order = draw(st.permutations(every))[: draw(st.integers(0, 12))]
    return files, chunks, [Hit(chunk, 1 / rank) for rank, chunk in enumerate(order, 1)]


def pages(
    hits: Sequence[Hit], chunks: dict[str, list[Chunk]], budget: int, gap: int = evidence.GAP
) -> Iterator[Pack]:
    """The pages of one walk."""
    cursor = ""
    while True:
        page = evidence.pack(
            QUERY, hits, chunks.__getitem__, max_tokens=budget, cursor=cursor, gap=gap
        )
        yield page
        cursor = page.cursor
        if not cursor:
            return


def lines_shown(passage: Passage) -> range:
    return range(passage.start_line, passage.end_line + 1)


BUDGETS = st.integers(330, 1500)
"""From what the longest unit, of 400 to 600 characters, needs with its head."""


@laws
@given(rankings(), BUDGETS)
def test_a_pack_never_exceeds_its_budget_heads_included(ranking, budget):
    _, chunks, hits = ranking
    for page in pages(hits, chunks, budget):
        shown = "".join(f"{passage.head}\n{passage.text}\n\n" for passage in page.passages)
        assert page.tokens <= budget
        assert tokens_of(shown) <= page.tokens + 1e-6
        assert page.tokens == sum(passage.tokens for passage in page.passages)


@laws
@given(rankings(), BUDGETS)
def test_nothing_comes_twice_and_every_hit_comes_over_a_walk(ranking, budget):
    files, chunks, hits = ranking
    characters = Counter()
    lines = Counter()
    for page in pages(hits, chunks, budget):
        for passage in page.passages:
            characters.update((passage.path, i) for i in range(passage.start, passage.end))
            whole = [
                number
                for number in lines_shown(passage)
                if len(files[passage.path].split("\n")[number - 1]) < 1000
            ]
            lines.update((passage.path, number) for number in whole)
    assert set(characters.values()) <= {1}
    assert set(lines.values()) <= {1}
    for hit in hits:
        chunk = hit.chunk
        for i in range(chunk.start, chunk.end):
            line_break = files[chunk.path][i] == "\n"
            assert characters[chunk.path, i] == 1 or line_break


@laws
@given(rankings(), BUDGETS)
def test_a_passage_is_exactly_the_lines_that_it_names(ranking, budget):
    files, chunks, hits = ranking
    for page in pages(hits, chunks, budget):
        for passage in page.passages:
            indexed = lines_of(chunks[passage.path]).text
            assert passage.text == indexed[passage.start : passage.end]
            lines = files[passage.path].split("\n")
            named = [lines[number - 1].rstrip() for number in lines_shown(passage)]
            if max(map(len, named)) < 990:
                assert [line.rstrip() for line in passage.text.split("\n")] == named
            else:
                assert " ".join(passage.text.split()) in " ".join(files[passage.path].split())


@laws
@given(rankings(), BUDGETS)
def test_the_best_come_first_on_a_page_and_over_the_pages(ranking, budget):
    _, chunks, hits = ranking
    begun = 0  # the hits that were shown wholly before
    for page in pages(hits, chunks, budget):
        firsts = []
        for passage in page.passages:
            assert list(passage.ranks) == sorted(passage.ranks)
            assert [hits[rank - 1] for rank in passage.ranks] == list(passage.hits)
            firsts.append(next(rank for rank in passage.ranks if rank > begun))
            assert passage.score == hits[firsts[-1] - 1].score
        assert firsts == sorted(firsts)
        begun = len(hits) - page.left_out


@laws
@given(rankings(), BUDGETS)
def test_every_page_but_the_last_shows_something_and_all_are_the_same_again(ranking, budget):
    _, chunks, hits = ranking
    walk = list(pages(hits, chunks, budget))
    assert all(page.passages for page in walk[:-1])
    assert bool(walk[-1].passages) == bool(hits)
    assert walk == list(pages(hits, chunks, budget))
    assert [page.left_out for page in walk] == sorted((p.left_out for p in walk), reverse=True)
    assert walk[-1].left_out == 0


@laws
@given(rankings())
def test_with_room_for_all_there_is_one_page(ranking):
    _, chunks, hits = ranking
    assert len(list(pages(hits, chunks, 100_000))) == 1


@laws
@given(FILES, st.sampled_from([40, 200]), st.sampled_from([0, 20]))
def test_a_file_is_put_together_from_its_chunks(files, size, overlap):
    for path, chunks in chunked(files, size=size, overlap=overlap).items():
        plain = re.sub(r"[ ]+\n", "\n", files[path]).rstrip()
        assert re.sub(r"[ ]+\n", "\n", lines_of(chunks).text).rstrip() == plain


FEEDER = "\n".join(
    f"def weigh_{number}(visitor):\n    return visitor.weight * {number}\n" for number in range(30)
)


@pytest.fixture
def feeder() -> tuple[dict[str, list[Chunk]], Callable[..., Pack]]:
    """A file of thirty functions, and a pack of chosen chunks of it."""
    chunks = chunked({"feeder.py": FEEDER})

    def packed(*numbers: int, max_tokens: int = 2000, **options: object) -> Pack:
        hits = [Hit(chunks["feeder.py"][n], 1 / (1 + i)) for i, n in enumerate(numbers)]
        query = str(options.pop("query", QUERY))
        return evidence.pack(query, hits, chunks.__getitem__, max_tokens=max_tokens, **options)

    return chunks, packed


def test_neighbours_become_one_passage_of_the_better_rank(feeder):
    chunks, packed = feeder
    page = packed(5, 1, 2)
    assert [passage.ranks for passage in page.passages] == [(1,), (2, 3)]
    merged = page.passages[1]
    assert merged.start_line == chunks["feeder.py"][1].start_line
    assert merged.end_line == chunks["feeder.py"][2].end_line
    assert merged.context == "weigh_2, weigh_3, weigh_4, weigh_5"


def test_a_small_gap_is_shown_where_there_is_room(feeder):
    chunks, packed = feeder
    between = chunks["feeder.py"][2]
    wide = between.end_line - between.start_line + 3
    assert len(packed(1, 3, gap=wide).passages) == 1
    assert len(packed(1, 3, gap=0).passages) == 2
    tight = packed(1, 3, gap=0).tokens
    assert len(packed(1, 3, gap=wide, max_tokens=tight).passages) == 2


def test_a_gap_that_is_a_hit_waits_for_its_turn(feeder):
    _, packed = feeder
    first = packed(1, 3, 2, gap=10, max_tokens=packed(1, 3, gap=0).tokens)
    assert [passage.ranks for passage in first.passages] == [(1,), (2,)]
    assert first.left_out == 1


def test_what_does_not_fit_is_cut_around_the_best_line(feeder):
    chunks, packed = feeder
    number = next(i for i, c in enumerate(chunks["feeder.py"]) if "weigh_7(" in c.text)
    page = packed(number, max_tokens=40, query="weigh_7")
    (passage,) = page.passages
    assert "weigh_7(" in passage.text
    assert len(passage.text) < len(chunks["feeder.py"][number].text)
    assert passage.is_cut
    assert page.left_out == 1


def test_a_budget_for_nothing_names_the_least_that_would_do(feeder):
    _, packed = feeder
    with pytest.raises(QueryError, match="3 tokens are too few") as caught:
        packed(1, max_tokens=3)
    least = int(re.search(r"\d+", caught.value.remedy)[0])
    assert packed(1, max_tokens=least).passages
    with pytest.raises(QueryError, match="too few"):
        packed(1, max_tokens=least - 1)


def test_one_endless_line_is_shown_in_pieces_that_fit():
    text = "seed " * 20_000
    chunks = chunked({"blob.txt": text}, size=1500)
    hits = [Hit(chunks["blob.txt"][5], 1.0), Hit(chunks["blob.txt"][40], 0.5)]
    walk = list(pages(hits, chunks, 400))
    assert len(walk) > 1
    for page in walk:
        assert all(p.start_line == p.end_line == 1 for p in page.passages)


def test_a_file_indexed_anew_meanwhile_shows_what_was_found():
    old = chunked({"feeder.py": FEEDER})["feeder.py"]
    hits = [Hit(old[1], 1.0), Hit(old[3], 0.5)]
    for now in ([], chunked({"feeder.py": "# new\n\n" + FEEDER})["feeder.py"]):
        page = evidence.pack(QUERY, hits, lambda _, now=now: now, max_tokens=2000, gap=50)
        assert [passage.text for passage in page.passages] == [old[1].text, old[3].text]
        assert page.passages[0].start_line == old[1].start_line


def test_a_cursor_is_short_and_of_letters_that_need_no_quotes(feeder):
    _, packed = feeder
    cursor = packed(*range(8), max_tokens=60).cursor
    assert re.fullmatch(r"[\w-]{28}", cursor)


def test_a_cursor_of_another_query_is_refused(feeder):
    _, packed = feeder
    cursor = packed(*range(8), max_tokens=60, question="a").cursor
    assert packed(*range(8), max_tokens=60, question="a", cursor=cursor).passages
    with pytest.raises(QueryError, match="another query") as caught:
        packed(*range(8), max_tokens=60, question="b", cursor=cursor)
    assert "query and the filters" in caught.value.remedy


@pytest.mark.parametrize("forged", ["x", "AQACABAAG2BX_ErMka4wG5YaTTT1", "ä" * 28, " ", "../.."])
def test_what_is_no_cursor_is_refused(feeder, forged):
    _, packed = feeder
    with pytest.raises(QueryError, match="not a cursor"):
        packed(1, 2, cursor=forged)


@laws
@given(st.integers(0, 27), st.characters())
def test_a_cursor_with_another_letter_is_refused(at, letter):
    chunks = chunked({"feeder.py": FEEDER})
    hits = [Hit(chunk, 1.0) for chunk in chunks["feeder.py"]]
    cursor = next(pages(hits, chunks, 60)).cursor
    other = cursor[:at] + letter + cursor[at + 1 :]
    if other == cursor:
        return
    with pytest.raises(QueryError, match="cursor"):
        evidence.pack(QUERY, hits, chunks.__getitem__, max_tokens=60, cursor=other)


def test_a_cursor_whose_page_is_gone_is_refused_and_says_so(feeder):
    _, packed = feeder
    cursor = packed(*range(8), max_tokens=60).cursor
    with pytest.raises(QueryError, match="index has changed") as caught:
        packed(9, *range(8), max_tokens=60, cursor=cursor)
    assert "without a cursor" in caught.value.remedy


def test_a_change_behind_the_page_is_told_and_the_walk_goes_on(feeder):
    _, packed = feeder
    cursor = packed(*range(8), max_tokens=60).cursor
    page = packed(*range(7), 9, max_tokens=60, cursor=cursor)
    assert page.passages
    assert [note.stage for note in page.degraded] == ["cursor"]


def test_contexts_are_put_together():
    assert together([]) == ""
    assert together(["", "Store"]) == "Store"
    assert together(["Store > get", "Store > put, drop", "Store > get"]) == "Store > get, put, drop"
    assert together(["Store > get > inner", "Store > put"]) == "Store > get, put"
    assert together(["get", "Store > put"]) == "get, Store"
    assert together(["Store", "Store > put"]) == "Store > put"
    assert together([str(i) for i in range(20)]).endswith("6, 7, …")
    assert len(together(["x" * 500])) == 160


@laws
@given(st.text(max_size=300))
def test_the_estimate_of_a_text_is_that_of_its_lines(text):
    parts = text.split("\n")
    apart = sum(map(tokens_of, parts)) + tokens_of("\n") * (len(parts) - 1)
    assert tokens_of(text) == pytest.approx(apart)
