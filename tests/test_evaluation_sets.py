"""The evaluation sets are made so that the answers are where the judgements say."""

from __future__ import annotations

import csv
import gzip
import io
import tarfile
from contextlib import ExitStack
from dataclasses import asdict
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks import corpora, evaluation, keywords, releases, sets
from benchmarks.judgements import Query, Span
from benchmarks.making import (
    documented,
    golang,
    javascript,
    pages,
    prose,
    python,
    questions,
    snippets,
)
from ragkit import Chunk, Hit
from ragkit.kb.places import default_source

PYTHON = '''\
class Store:
    @cached
    def size(self, unit):
        """Return the size of the store in a unit.

        More of it.
        """
        total = sum(file.stat().st_size for file in self.folder.rglob("*"))
        return total / UNITS[unit] if unit else total, self.folder, self.name

    def other(self):
        return 2
'''
GO = """\
package store

// Size gives the size of the store in
// a unit.
//
// More of it.
func (s *Store) Size(unit string) int {
	if unit == "" {
		return s.total
	}
	return s.total / units[unit]
}

func other() int { return 2 }
"""
JAVASCRIPT = """\
/**
 * Gives the size of the {@link Store} in a unit.
 *
 * More of it.
 * @param {string} unit
 */
Store.prototype.size = function(unit) {
  if (!unit) {
    return this.total;
  }
  return this.total / units[unit];
};

/** @return {number} */
function other() { return 2; }
"""
LANGUAGES = [
    (python.documented, "a.py", PYTHON, "Return the size of the store in a unit.", "size"),
    (golang.documented, "a.go", GO, "Size gives the size of the store in a unit.", "Size"),
    (javascript.documented, "a.js", JAVASCRIPT, "Gives the size of the Store in a unit.", "size"),
]


@pytest.mark.parametrize(("find", "path", "text", "query", "name"), LANGUAGES)
def test_a_function_is_found_below_its_comment_and_answers_without_it(
    find: documented.Find, path: str, text: str, query: str, name: str
) -> None:
    (found,) = documented.found_in({path: text, f"tests/{path}": text}, find)
    assert (found.path, found.query, found.name) == (path, query, name)
    texts, (moved,) = documented.undocumented({path: text}, [found])
    lines = texts[path].split("\n")
    shown = "\n".join(lines[moved.function.first - 1 : moved.function.last])
    assert "More of it" not in texts[path]
    assert shown.lstrip().startswith(("@cached", "func (s *Store) Size", "Store.prototype.size"))
    assert shown.rstrip().endswith(("self.name", "}", "};"))
    assert "other" not in shown


@given(
    st.lists(st.text("ab", min_size=1), min_size=1, max_size=20, unique=True),
    st.sets(st.integers(1, 20)),
    st.integers(1, 20),
    st.integers(0, 20),
)
def test_a_span_shows_the_same_lines_after_others_are_gone(
    lines: list[str], gone: set[int], first: int, more: int
) -> None:
    span = Span(min(first, len(lines)), min(first + more, len(lines)))
    kept = [
        line
        for number, line in enumerate(lines, 1)
        if span.first <= number <= span.last and number not in gone
    ]
    left = documented.without("\n".join(lines), gone).split("\n")
    if not kept:
        with pytest.raises(ValueError, match="gone altogether"):
            documented.place(span, gone)
        return
    moved = documented.place(span, gone)
    assert left[moved.first - 1 : moved.last] == kept


def test_a_comment_that_documents_two_functions_is_no_question() -> None:
    one = documented.Documented("a", "f", "Says the same of two.", Span(2, 9), Span(1, 1))
    two = documented.Documented("b", "g", "Says the same of two.", Span(2, 9), Span(1, 1))
    assert documented.sample([one, two]) == []


@pytest.mark.parametrize(
    ("said", "name", "words"),
    [
        ("Returns the checksum of a given packfile.", "Checksum", "get checksum of packfile"),
        ("Size returns the size of the whole store", "Size", "get size of whole store"),
        ("Returns True if the ref is a symbolic one.", "f", "check if ref is symbolic one"),
        ("Retrieve all tags (also lightweight ones) by name.", "f", "get all tags by name"),
        ("Copies the content of a file into another.", "f", "copy content of file into another"),
    ],
)
def test_a_question_is_made_of_the_first_sentence_in_plain_words(
    said: str, name: str, words: str
) -> None:
    assert words in questions.question(said, name, "golang")


@pytest.mark.parametrize(
    "said",
    [
        "Returns the EncodedObject of a given hash.",  # an identifier
        "Helper class for everything that is loaded.",  # no verb
        "Returns it.",  # too little
    ],
)
def test_what_nobody_would_type_is_no_question(said: str) -> None:
    assert questions.question(said, "f", "golang") == ""


def test_a_snippet_is_a_function_without_its_docstring() -> None:
    texts, (query,) = snippets.snippets({"b.py": PYTHON, "tests/b.py": PYTHON}, 5)
    ((path, source),) = texts.items()
    assert query.relevant == {path}
    assert "size of store in unit" in query.text
    assert source.startswith("@cached")
    assert "Return the" not in source


MARKDOWN = """\
# Server

Something of the server.

```sh
# no heading
```

## Transport security

To encrypt the connection between servers,
set `tls` to true. You can also let the proxy do that.

More, so that the section is long enough. {}
""".format("It has many words. " * 20)
RESTRUCTURED = """\
======
Server
======

Something of the server.

Transport security
------------------

If you want to encrypt the connection between servers, set ``tls``
to true.

.. note:: To read this is not asked, really.
"""


@pytest.mark.parametrize(("path", "text"), [("a.md", MARKDOWN), ("a.rst", RESTRUCTURED)])
def test_a_page_has_its_sections_with_their_lines(path: str, text: str) -> None:
    first, second = pages.sections_of(path, text)
    assert (first.page, first.title) == ("Server", "Server")
    assert (second.page, second.title) == ("Server", "Transport security")
    lines = text.split("\n")[second.lines.first - 1 : second.lines.last]
    assert "Transport security" in lines[0]
    assert lines[-1].strip()
    assert text[second.start :].startswith(second.text)


@pytest.mark.parametrize(("path", "text"), [("a.md", MARKDOWN), ("a.rst", RESTRUCTURED)])
def test_a_wish_of_a_section_is_its_question(path: str, text: str) -> None:
    (asked,) = pages.wanted(pages.sections_of(path, text)[1])
    assert asked.question == "how do I encrypt the connection between servers?"
    assert "encrypt the connection" in text[slice(*asked.cut)]
    assert "set `" not in text[slice(*asked.cut)]


def test_a_clause_that_was_asked_is_gone_and_the_lines_stay() -> None:
    texts, asked = pages.questions({"a.md": MARKDOWN}, 3)
    assert [query.text for query in asked] == ["how do I encrypt the connection between servers?"]
    assert "encrypt" not in texts["a.md"]
    assert "set `tls` to true." in texts["a.md"]
    assert texts["a.md"].count("\n") == MARKDOWN.count("\n")
    ((path, span),) = asked[0].spans
    assert texts[path].split("\n")[span.first - 1] == "## Transport security"


def test_an_excerpt_stands_once_in_the_lines_that_it_names() -> None:
    words = ["alpha", "beta", "gamma", "delta", "epsilon", "zeta", "eta", "theta", "iota", "kappa"]
    text = "\n\n".join(
        "\n".join(" ".join(words[(n * k + k) % 10] for n in range(1, 8)) for k in range(p, p + 4))
        for p in range(1, 9)
    )
    found = prose.excerpts({"a.txt": text}, 5)
    assert len(found) == 5
    for query in found:
        ((path, span),) = query.spans
        lines = " ".join(text.split("\n")[span.first - 1 : span.last])
        assert path == "a.txt"
        assert query.text in lines
        assert " ".join(text.split()).count(query.text) == 1


@given(st.lists(st.text("ab \n", min_size=1), max_size=20), st.integers(1, 50))
def test_parts_of_a_long_text_hold_all_its_words(paragraphs: list[str], size: int) -> None:
    text = "\n\n".join(paragraphs)
    divided = prose.parts(text, "a", size)
    assert " ".join(divided.values()).split() == text.split()


def test_an_entry_is_asked_for_by_its_first_sentence_which_is_not_in_it() -> None:
    dictionary = "".join(
        f"{name}\n\n   <language> A {name} thing for {{counting}} what is\n   there, in words. "
        f"{'The rest of it says more. ' * 20}\n   (2014-09-11)\n\n"
        for name in ("ada", "bob")
    )
    texts, asked = prose.abstracts(dictionary, documents=2, count=1)
    (query,) = asked
    (path,) = query.relevant
    name = texts[path].split("\n")[0]
    assert query.text == f"A {name} thing for counting what is there, in words"
    assert "counting" not in texts[path]
    (other,) = set(texts) - {path}
    assert "counting" in texts[other]


def test_a_query_is_in_one_part_for_ever() -> None:
    parts = [sets.part_of("web-forge", str(number)) for number in range(6)]
    assert parts == ["tune", "tune", "held", "held", "tune", "held"]
    assert sets.part_of("sqlalchemy", "1") == "held"
    assert sets.part_of("celery", "1") == "tune"


def test_a_set_that_was_kept_is_loaded_again(tmp_path: Path) -> None:
    query = Query("1", "what", frozenset(["a.py"]), (("a.py", Span(1, 2)),))
    (tmp_path / "forge").mkdir()
    sets.write("web-forge", "forge", [query], tmp_path)
    found = sets.load("web-forge", tmp_path)
    assert (found.root, found.kind) == (tmp_path / "forge", "web")
    assert [(q.id, q.text, q.relevant, q.spans) for q in found.queries] == [
        ("1", "what", frozenset(["a.py"]), (("a.py", Span(1, 2)),))
    ]
    assert [*found.tuning, *found.held] == list(found.queries)


def test_a_set_that_was_not_made_says_how(tmp_path: Path) -> None:
    with pytest.raises(SystemExit, match="has not been made"):
        sets.load("web-forge", tmp_path)


def test_every_set_has_a_corpus_and_none_was_trained_on() -> None:
    table = Path(corpora.__file__).parents[1] / "training" / "packages.tsv"
    with table.open(encoding="utf-8") as lines:
        rows = csv.DictReader(lines, delimiter="\t")
        trained = {row["name"].lower() for row in rows if row["use"] == "train"}
    for corpus in corpora.CORPORA:
        assert corpus.release.name.lower() not in trained
    names = {name.rpartition("-")[2] for name in sets.NAMES}
    assert {corpus.name.rpartition("-")[2] for corpus in corpora.CORPORA} == names


def packed(folder: Path, name: str, files: dict[str, bytes]) -> Path:
    path = folder / name
    with tarfile.open(path, "w:gz") as archive:
        for member, data in files.items():
            info = tarfile.TarInfo(member)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    return path


def test_an_archive_gives_its_files_below_the_top_folder(tmp_path: Path) -> None:
    files = {"a-1/b.py": b"1", "a-1/c.md.gz": gzip.compress(b"# c"), "a-1/../../x": b"2"}
    archive = packed(tmp_path, "a-1.tgz", files)
    assert dict(releases.members(archive)) == {"b.py": b"1", "c.md": b"# c"}


def test_another_archive_than_the_pinned_one_is_refused(tmp_path: Path) -> None:
    release = releases.Release("npm", "a", "1", "0" * 64)
    (tmp_path / "a-1").mkdir()
    packed(tmp_path / "a-1", "a-1.tgz", {"a-1/b.py": b"1"})
    with pytest.raises(SystemExit, match="is not the release"):
        releases.fetch(release, tmp_path)


def hit(path: str, first: int, text: str) -> Hit:
    return Hit(Chunk(path, 0, text, 0, len(text), first, first + text.count("\n")), 1.0)


def test_coverage_counts_the_lines_that_fit_into_the_characters() -> None:
    hits = [hit("a.py", 1, "12345\n12345"), hit("b.py", 7, "12345\n12345\n12345")]
    spans = [("a.py", Span(2, 3)), ("b.py", Span(8, 9))]
    covered = [evaluation.coverage(hits, spans, n) for n in (0, 11, 12, 23, 24, 30, 99)]
    assert covered == [0.0, 0.0, 0.25, 0.25, 0.5, 0.75, 0.75]


def test_a_search_for_keywords_prefers_the_file_that_holds_most_of_them(tmp_path: Path) -> None:
    (tmp_path / "a.py").write_text("commit\n" * 9, "utf-8")
    (tmp_path / "b.py").write_text("x\n" * 30 + "Commit the Index\n" + "x\n" * 30, "utf-8")
    found = keywords.Folder(tmp_path).search("how to commit an index")
    assert [hit.chunk.path for hit in found] == ["b.py", "a.py"]
    assert (found[0].chunk.start_line, found[0].chunk.end_line) == (21, 41)
    assert "Commit the Index" in found[0].chunk.text


def test_sets_of_a_kind_are_pooled_query_by_query() -> None:
    found = {
        "web-forge": {"rrf": {"R@10": [1.0]}, "ragkit": {"R@10": [0.5]}},
        "web-closure": {"rrf": {"R@10": [0.0, 1.0]}},
        "celery": {"rrf": {"R@10": [0.25]}},
    }
    pooled = evaluation.by_kind(found)
    assert pooled == {
        "web": {"rrf": {"R@10": [1.0, 0.0, 1.0]}},
        "changes": {"rrf": {"R@10": [0.25]}},
    }


def test_a_gain_is_that_of_the_same_queries() -> None:
    values = {"rrf": {"R@10": [0.0, 1.0]}, "ragkit": {"R@10": [1.0, 1.0]}}
    found = evaluation.summary(values, "rrf")
    assert found["queries"] == 2
    assert found["gains"] == {"ragkit": {"R@10": [0.5, 0.0, 1.0]}}


def test_each_rule_can_be_switched_off_alone(tmp_path: Path) -> None:
    source = default_source(tmp_path)
    for rule in evaluation.RULES:
        ranking = evaluation.without(source, rule).results.ranking
        assert [name for name, on in asdict(ranking).items() if not on] == [rule]
    assert evaluation.without(source, "fusion").results.fusion.strategy == "rrf"
    assert evaluation.without(source, "") == source


def test_the_columns_of_a_corpus_are_asked_and_judged(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    for name, body in (("store", "keep the size of files"), ("walk", "list folders in order")):
        (tmp_path / "a" / f"{name}.py").write_text(f"def {name}():\n    '''{body}'''\n", "utf-8")
    query = Query("1", "list folders", frozenset(["walk.py"]), (("walk.py", Span(1, 2)),))
    with pytest.MonkeyPatch.context() as patch, ExitStack() as opened:
        patch.setenv("RAGKIT_CACHE_DIR", str(tmp_path / "cache"))
        asked = evaluation.systems(tmp_path / "a", opened, ["static"])
        values = evaluation.scored(asked, [query])
    assert list(values) == ["keywords", "bm25", "vectors", "rrf", "ragkit"]
    assert all(of["nDCG@10"] == [1.0] and of["span hit@5"] == [1.0] for of in values.values())
