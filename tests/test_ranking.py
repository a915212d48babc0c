"""Rules on a fused ranking: what each promises, and what holds for all."""

from __future__ import annotations

from collections.abc import Mapping

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ragkit import ranking
from ragkit.ranking import RULES, Asked, paths, ranked
from ragkit.types import Chunk, Hit


def hit(path: str, score: float, *, text: str = "", context: str = "", start: int = 0) -> Hit:
    chunk = Chunk(path, 0, text, start, start + max(len(text), 1), 1, 1, context)
    return Hit(chunk, score, {"any": score})


def order(hits: list[Hit]) -> list[str]:
    return [hit.chunk.path for hit in hits]


def factors(query: str, *hits: Hit) -> dict[str, Mapping[str, float]]:
    """Path → what the rules said."""
    return {
        hit.chunk.path: {
            key.removeprefix("rule."): value
            for key, value in hit.scores.items()
            if key.startswith("rule.")
        }
        for hit in ranked(query, hits)
    }


PLAIN = [hit("a.py", 3.0), hit("b.py", 2.0), hit("c.py", 1.0)]


def test_where_no_rule_has_anything_to_say_the_same_hits_come_back() -> None:
    assert ranked("weather of tomorrow", PLAIN) == PLAIN
    assert all(a is b for a, b in zip(ranked("weather of tomorrow", PLAIN), PLAIN, strict=True))


def test_nothing_in_nothing_out() -> None:
    assert ranked("anything", []) == []


def test_the_definition_of_a_named_symbol_comes_first() -> None:
    user = hit("src/a.py", 2.0, context="main")
    definition = hit("src/b.py", 1.9, context="Feeder > is_squirrel")
    assert order(ranked("is_squirrel", [user, definition])) == ["src/b.py", "src/a.py"]
    assert factors("where is is_squirrel() called", user, definition)["src/b.py"]["definitions"] > 1


def test_a_definition_is_found_in_text_that_no_grammar_has_cut() -> None:
    text = "sub other { }\nfunction parseDate(text) { return 1 }"
    said = factors("parseDate", hit("a.unknown", 1.0, text=text), hit("b.unknown", 2.0))
    assert said["a.unknown"]["definitions"] > 1
    assert "definitions" not in said["b.unknown"]


def test_a_symbol_that_says_what_the_query_says_is_lifted() -> None:
    said = factors(
        "deletes the object from a store",
        hit("a.go", 2.0, context="Store > DeleteObject"),
        hit("b.go", 2.0, context="Store > Open"),
    )
    assert said["a.go"]["symbols"] > said["b.go"].get("symbols", 1)


def test_one_common_word_is_no_description() -> None:
    said = factors("how to get the weather", hit("a.go", 2.0, context="weather"), hit("b.go", 1.0))
    assert "symbols" not in said["a.go"]


def test_a_section_is_lifted_by_its_headings() -> None:
    said = factors(
        "how do I specify an optional group",
        hit("docs/clinic.rst", 1.0, context="Guide > Optional groups"),
        hit("docs/other.rst", 1.0, context="Guide > Return values"),
    )
    assert said["docs/clinic.rst"]["headings"] > said["docs/other.rst"].get("headings", 1)


def test_a_file_whose_name_the_query_says_is_lifted() -> None:
    said = factors("retry of failed tasks", hit("src/retry.py", 1.0), hit("src/state.py", 2.0))
    assert said["src/retry.py"]["names"] > 1
    assert "names" not in said["src/state.py"]


def test_the_name_of_a_package_is_that_of_its_folder() -> None:
    assert paths.stem_terms("lib/retry/__init__.py") == paths.stem_terms("lib/retry.py")


def test_what_is_quoted_word_for_word_comes_first() -> None:
    near = hit("a.md", 2.0, text="attribute has the no object of this kind")
    exact = hit("b.md", 1.5, text="AttributeError: 'str' object has\nno attribute 'link'")
    assert order(ranked("'str' object has no attribute", [near, exact])) == ["b.md", "a.md"]


def test_a_quotation_is_found_far_down_where_its_words_put_it_first() -> None:
    others = [hit(f"{i}.md", 9.0 - i / 9) for i in range(60)]
    exact = hit("z.md", 2.0, text="It was the best of times, it was the worst of times").chunk
    quoted = Hit(exact, 2.0, {"bm25": 9.0, "bm25.file": 1.0})
    said = factors("the best of times, it was the worst", *others, quoted)
    assert said["z.md"]["phrases"] > 2


def test_who_gives_a_whole_excerpt_finds_its_place_wherever_it_stood() -> None:
    others = [hit(f"{i}.md", 100.0 - i, text="the best of times, it was") for i in range(15)]
    exact = hit("z.md", 1.0, text="It was the best of times, it was the worst of times")
    found = ranked("the best of times, it was the worst", [*others, exact])
    assert order(found)[0] == "z.md"


def test_of_several_places_that_hold_an_excerpt_the_better_stays_first() -> None:
    text = "it was the best of times, it was the worst of times"
    hits = [hit("a.md", 9.0), hit("b.md", 3.0, text=text), hit("c.md", 2.0, text=text)]
    assert order(ranked(text, hits)) == ["b.md", "c.md", "a.md"]


def test_a_file_that_fits_as_a_whole_is_lifted() -> None:
    scores = {"bm25": 1.0, "bm25.file": 9.0}
    parts = [
        Hit(hit("a.py", 1.0, text="x", start=at).chunk, score, scores)
        for at, score in ((0, 1.0), (9, 0.5))
    ]
    said = factors("weather", *parts, hit("b.py", 1.1))
    assert said["a.py"]["files"] > 1
    assert "files" not in said["b.py"]


def test_where_each_file_is_one_chunk_the_file_says_nothing_new() -> None:
    hits = [Hit(hit(f"{i}.txt", 1.0).chunk, 1.0, {"bm25.file": float(i)}) for i in range(1, 5)]
    assert all("files" not in said for said in factors("weather", *hits).values())


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("tests/test_a.py", "test"),
        ("t/unit/app.py", "test"),
        ("pkg/walk_test.go", "test"),
        ("src/walk.spec.ts", "test"),
        ("src/main/FooTest.java", "test"),
        ("examples/a.py", "example"),
        ("vendor/lib/a.go", "vendored"),
        ("web/node_modules/x/index.js", "vendored"),
        ("api/v1_pb2.py", "generated"),
        ("static/app.min.js", "generated"),
        ("CHANGELOG.md", "changelog"),
        ("docs/history/changes-1.2.rst", "changelog"),
        ("app/migrations/0001_initial.py", "migration"),
        ("locale/de/django.po", "locale"),
        ("README.md", "prose"),
        ("src/contest.py", ""),
        ("src/testing_ground/history.py", ""),
        ("src/latest.py", ""),
        ("Makefile", ""),
    ],
)
def test_what_lies_on_the_side_is_known_by_its_path(path: str, kind: str) -> None:
    assert paths.kind(path) == kind


def test_tests_rank_below_code_unless_they_are_asked_for() -> None:
    test, code = hit("tests/test_feeder.py", 2.0), hit("src/house.py", 1.9)
    other = hit("src/other.py", 0.1)
    assert order(ranked("squirrels at night", [test, code, other]))[0] == "src/house.py"
    assert order(ranked("tests for squirrels", [test, code, other]))[0] == "tests/test_feeder.py"


def test_a_long_text_names_tests_in_passing() -> None:
    report = "Squirrels are let in at night. " * 6 + "Added tests for the feeder as well."
    said = factors(report, hit("tests/test_feeder.py", 2.0), hit("src/house.py", 1.9))
    assert said["tests/test_feeder.py"]["noise"] < 1


def test_prose_answers_questions_as_well_as_code_does() -> None:
    assert "noise" not in factors("how are birds fed", hit("docs/birds.md", 1.0))["docs/birds.md"]
    assert "noise" in factors("fix is_squirrel at night", hit("docs/a.md", 1.0))["docs/a.md"]


def test_several_good_chunks_of_a_file_lift_it() -> None:
    hits = [hit("a.py", 10.0), *(hit("b.py", 9.0, text="x", start=at) for at in range(3))]
    said = factors("weather", *hits, hit("c.py", 1.0))
    assert said["b.py"]["coherence"] > 1
    assert "coherence" not in said["a.py"]


FILE = {"bm25.file": 2.0}


@pytest.mark.parametrize("name", RULES)
def test_each_rule_can_be_switched_off(name: str) -> None:
    hits = [
        Hit(hit("tests/feeder_test.py", 1.0, context="Feeder > is_squirrel").chunk, 1.0, FILE),
        hit("tests/feeder_test.py", 1.0, text="what is_squirrel feeder says", start=5),
        hit("docs/feeder.md", 0.9, context="Feeder > Squirrels"),
    ]
    query = "what is_squirrel feeder says"

    def said(off: tuple[str, ...] = ()) -> set[str]:
        return {k for h in ranked(query, hits, off) for k in h.scores if k.startswith("rule.")}

    assert f"rule.{name}" in said()
    assert f"rule.{name}" not in said((name,))


@pytest.mark.parametrize(
    ("query", "kind"),
    [
        ("SqliteStore.replace", "symbol"),
        ("retry", "symbol"),
        ('"no such table"', "literal"),
        ("how is the index kept", "question"),
        ("store of vectors", "question"),
        ("Fixed the walk. " * 12, "prose"),
    ],
)
def test_the_kind_of_a_query(query: str, kind: str) -> None:
    assert Asked.of(query).kind == kind


def test_identifiers_are_known_by_their_case_their_call_their_dots_and_their_quotes() -> None:
    asked = Asked.of("why does fooBar or foo_bar, run() and os.path in `plain` fail on Monday")
    assert asked.identifiers == {"fooBar", "foo_bar", "run", "path", "plain"}


def test_names_of_code_give_words_more_weight() -> None:
    assert ranking.balance("fix is_squirrel") > ranking.balance("fix the squirrels")


WORDS = ["squirrel", "is_squirrel", "feeder", "test", "docs", "the", "'str' object has no"]
some_hit = st.builds(
    hit,
    st.sampled_from(["src/feeder.py", "tests/a.py", "docs/a.md", "b.go", "vendor/x.js"]),
    st.integers(-8, 8).map(lambda eighths: eighths / 8),
    text=st.lists(st.sampled_from(WORDS), max_size=4).map(" ".join),
    context=st.sampled_from(["", "Feeder > is_squirrel", "Guide > Feeding the squirrel"]),
    start=st.integers(0, 3),
)
some_hits = st.lists(some_hit, max_size=12).map(lambda hits: sorted(hits, key=lambda h: -h.score))
some_query = st.lists(st.sampled_from(WORDS), min_size=1, max_size=6).map(" ".join)


@settings(max_examples=200, deadline=None)
@given(some_query, some_hits)
def test_rules_reorder_and_neither_lose_nor_invent(query: str, hits: list[Hit]) -> None:
    found = ranked(query, hits)
    assert sorted(map(id, (h.chunk for h in found))) == sorted(map(id, (h.chunk for h in hits)))
    assert [h.score for h in found] == sorted((h.score for h in found), reverse=True)
    assert found == ranked(query, hits)


@settings(max_examples=200, deadline=None)
@given(some_query, some_hits, st.sampled_from([1 / 64, 1 / 4, 8.0]), st.sampled_from([-4, 0, 2]))
def test_rules_weigh_the_same_on_every_scale(
    query: str, hits: list[Hit], unit: float, zero: float
) -> None:
    if len({hit.score for hit in hits}) > 1:
        scaled = [Hit(h.chunk, zero + unit * h.score, h.scores) for h in hits]
        expected = [zero + unit * h.score for h in ranked(query, hits)]
        assert [h.score for h in ranked(query, scaled)] == pytest.approx(expected)


@settings(max_examples=100, deadline=None)
@given(some_query, some_hits)
def test_without_rules_nothing_changes(query: str, hits: list[Hit]) -> None:
    assert ranked(query, hits, off=frozenset(RULES)) == hits
