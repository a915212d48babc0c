"""Words of texts and queries, and where a query's words stand in a text."""

from __future__ import annotations

import ast
import math
import sysconfig
import unicodedata
from collections import Counter, defaultdict
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from ragkit.lexical import JOINERS, compat_terms, highlights, query_terms, terms


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Reader", "reader"),
        ("getUserName", "getusername get user name"),
        ("get_user_name", "getusername get user name"),
        ("get-user-name", "getusername get user name"),
        ("GET_USER_NAME", "getusername get user name"),
        ("HTTPServer", "httpserver http server"),
        ("userIDs", "userid user ids"),
        ("_private", "_private private"),
        ("__init__", "__init__ init"),
        ("sha256sum", "sha256sum sha 256 sum"),
        ("UTF-8", "utf8 utf 8"),
        ("3.11.7", "3.11.7 3.11 3 11 7"),
        ("v1.2.3", "v1.2.3 v1.2 v1 2 3"),
        ("os.path.join", "os path join"),
        ("x86-64", "x8664 x86 86 64"),
        ("n - 1", "n 1"),
        ("E501:", "e501 501"),
        ("0x7f3a", "0x7f3a"),
        ("don't", "don t"),
        ("--- ___ ... -_-", ""),
        ("it's a_b.", "it s ab"),
        ("", ""),
    ],
)
def test_a_word_is_kept_whole_and_split(text, expected):
    assert " ".join(terms(text)) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("向量数据库", "向量 量数 数据 据库"),
        ("猫", "猫"),
        ("猫 と 犬。", "猫 と 犬"),
        ("東京API-v2", "東京 apiv2 api v2"),
        ("데이터 베이스", "데이 이터 베이 이스"),
        ("สวัสดี", "สว วั ัส สด ดี"),
        ("Größe naïve Æon", "gross naive æon"),
        ("Ёлка ЖУК", "елка жук"),
        ("ＡＢＣ１２", "abc12 abc 12"),
        ("ﬁnd", "find"),
        ("हिन्दी", "हिन्दी"),
        ("größeÄndern", "grosseandern gross andern"),
        ("foo—bar…", "foo bar"),
        ("😀 ok 🎉", "ok"),
    ],
)
def test_every_script_has_its_words(text, expected):
    assert " ".join(terms(text)) == expected


@pytest.mark.parametrize("text", ["école", "Ångström", "데이터", "ガギグ", "việt nam", "أكل"])
def test_composed_and_decomposed_writing_are_the_same(text):
    assert terms(unicodedata.normalize("NFD", text)) == terms(text)


@pytest.mark.parametrize(
    ("one", "many"),
    [
        *[("class", "classes"), ("cache", "caches"), ("query", "queries"), ("cookie", "cookies")],
        *[("database", "databases"), ("index", "indexes"), ("match", "matches"), ("box", "boxes")],
        *[("size", "sizes"), ("alias", "aliases"), ("status", "statuses"), ("key", "keys")],
        *[("response", "responses"), ("type", "types"), ("address", "addresses"), ("tie", "ties")],
    ],
)
def test_a_plural_counts_as_its_singular(one, many):
    assert terms(one) == terms(many)


@pytest.mark.parametrize(("one", "other"), [("pass", "pas"), ("this", "thi"), ("sing", "s")])
def test_what_is_no_plural_is_left_alone(one, other):
    assert terms(one) != terms(other)


@settings(max_examples=200)
@given(st.text(max_size=80))
@example("\u0345İ½ﷺ①-ｶﾞ.९")
def test_a_term_can_be_stored_between_spaces(text):
    for term in terms(text):
        assert term
        assert term == term.lower()
        assert all(
            one.isalnum() or one in JOINERS or unicodedata.category(one)[0] == "M" for one in term
        )


@settings(max_examples=100)
@given(st.text(max_size=60))
def test_terms_are_made_of_terms(text):
    assert terms(" ".join(text.split())) == [t for part in text.split() for t in terms(part)]


@settings(max_examples=100)
@given(st.text(max_size=60))
def test_a_query_looks_for_what_a_document_has(text):
    assert set(query_terms(text)) <= set(terms(text))
    assert bool(query_terms(text)) == bool(terms(text))


def test_a_blob_is_one_term():
    blob = "QmFzZTY0" * 1000
    assert terms(blob) == [blob[:128].lower()]


class TestQueries:
    def test_terms_are_distinct_and_in_order(self):
        assert query_terms("get_user get_name user") == [
            "getuser",
            "get",
            "user",
            "getname",
            "name",
        ]

    def test_a_sentence_loses_its_stop_words(self):
        assert query_terms("How are ignore rules applied?") == ["ignore", "rule", "applied"]
        assert query_terms("what does `os.path.join` do?") == ["os", "path", "join"]

    @pytest.mark.parametrize("query", ["is_not", "not in", "__all__", "this.get(it, if=in, x=[])"])
    def test_code_keeps_them(self, query):
        assert query_terms(query) == list(dict.fromkeys(terms(query)))

    def test_stop_words_alone_are_looked_for(self):
        assert query_terms("to be or not to be") == ["to", "be", "or", "not"]

    @pytest.mark.parametrize("query", ["", "  \n", "!?", "_", "…"])
    def test_no_words_no_terms(self, query):
        assert query_terms(query) == []

    def test_a_huge_query_is_cut_to_its_longest_words(self):
        words = [f"{chr(97 + n % 26) * (2 + n % 18)}" for n in range(1000)]
        found = query_terms("identifier_of_interest " + " ".join(words) + " q" * 40_000)
        assert len(found) == 64
        assert "identifierofinterest" in found
        assert "q" not in found


class TestHighlights:
    @pytest.mark.parametrize(
        ("text", "query", "marked"),
        [
            ("def getUserName(user):", "user", ["User", "user"]),
            ("def getUserName(x):", "get_user_name", ["getUserName"]),
            ("Caches the class.", "classes cache", ["Caches", "class"]),
            ("in UTF-8 or utf8", "utf-8", ["UTF-8", "utf8"]),
            ("naïve, nai\u0308ve", "naive", ["naïve", "nai\u0308ve"]),
            ("请使用向量数据库。", "数据库", ["数据库"]),
            ("x = a + b", "where is a?", ["a"]),
            ("nothing here", "else", []),
            ("nothing here", "", []),
            ("__init__ init", "init", ["init", "init"]),
        ],
    )
    def test_marks_the_words_of_the_query(self, text, query, marked):
        assert [text[start:end] for start, end in highlights(text, query)] == marked

    @settings(max_examples=100)
    @given(st.text(max_size=60), st.text(max_size=20))
    def test_ranges_are_ordered_and_apart(self, text, query):
        marks = highlights(text, text[:20] + " " + query)
        edges = [edge for mark in marks for edge in mark]
        assert edges == sorted(set(edges))
        assert all(0 <= edge <= len(text) for edge in edges)


class TestCompatibleTerms:
    @pytest.mark.parametrize(
        ("text", "expected"),
        [
            ("The cat sat on the mat.", "cat sat mat"),
            ("A dog chased the cat; the cat ran.", "dog chased cat cat ran"),
            (
                "Vector databases store embeddings for search.",
                "vector databases store embeddings search",
            ),
            (
                "BM25 ranks documents by term frequency and document length.",
                "bm25 ranks documents term frequency document length",
            ),
            ("向量数据库支持按相似度检索", "向量数据库支持按相似度检索"),
            ("go", ""),
            ("call get_user-name/x (now)", "call get_user-name/x now"),
            ('"it\'s"\u00a0né', "né"),
        ],
    )
    def test_are_docker_agents(self, text, expected):
        assert " ".join(compat_terms(text)) == expected

    def test_give_its_golden_scores(self):
        texts = ["The cat sat on the mat.", "A dog chased the cat; the cat ran."]
        texts += ["Vector databases store embeddings for search."]
        texts += ["BM25 ranks documents by term frequency and document length."]
        texts += ["向量数据库支持按相似度检索"]
        scores = bm25([compat_terms(text) for text in texts], ["cat", "dog"], k1=1.5)
        assert [round(min(score / 2, 1), 6) for score in scores] == [0.502318, 1, 0, 0, 0]


def bm25(documents: list[list[str]], query: list[str], k1: float = 1.2, b: float = 0.75):
    """Each document's score, straight from the formula."""
    return Words(documents).scores(query, k1, b)


class Words:
    """Documents by their terms."""

    def __init__(self, documents: list[list[str]]) -> None:
        self.lengths = [len(document) for document in documents]
        self.places: dict[str, Counter[int]] = defaultdict(Counter)
        for index, document in enumerate(documents):
            for term in document:
                self.places[term][index] += 1

    def scores(self, query: list[str], k1: float = 1.2, b: float = 0.75) -> list[float]:
        count = len(self.lengths)
        mean = sum(self.lengths) / count
        scores = [0.0] * count
        for term in query:
            found = self.places.get(term, {})
            idf = math.log((count - len(found) + 0.5) / (len(found) + 0.5) + 1)
            for index, tf in found.items():
                norm = k1 * (1 - b + b * self.lengths[index] / mean)
                scores[index] += idf * tf * (k1 + 1) / (tf + norm)
        return scores


def test_fifty_identifiers_are_found_however_they_are_written():
    library = Path(sysconfig.get_paths()["stdlib"])
    sources = sorted(
        path for name in ("asyncio", "email") for path in (library / name).glob("*.py")
    )
    chunks: list[str] = []
    places = defaultdict(list)
    for path in sources:
        text = path.read_text(encoding="utf-8")
        lines = text.splitlines()
        first = len(chunks)
        chunks += ["\n".join(lines[at : at + 30]) for at in range(0, len(lines), 30)]
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.FunctionDef | ast.ClassDef) and len(terms(node.name)) > 2:
                places[node.name].append(first + (node.lineno - 1) // 30)
    names = sorted(name for name, at in places.items() if len(at) == 1)
    names = names[:: len(names) // 50][:50]
    words = Words([terms(chunk) for chunk in chunks])
    hits = 0
    for name in names:
        for query in (name, f"{name}()", name.strip("_").replace("_", "-")):
            scores = words.scores(query_terms(query))
            best = sorted(range(len(chunks)), key=lambda index: -scores[index])[:10]
            hits += places[name][0] in best
    assert hits >= 0.98 * 3 * len(names)
