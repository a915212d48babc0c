"""Words of code and prose, and the pieces that cover them."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ragkit.models.embedded.wordpiece import WordPiece, runs, words


def all_words(text: str) -> list[str]:
    return [word for run in runs(text) for word in words(run)]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("getHTTPResponse", ["get", "http", "response"]),
        ("HTTPServer2", ["http", "server", "2"]),
        ("parse_config_file", ["parse", "config", "file"]),
        ("URLs and IDs", ["urls", "and", "ids"]),
        ("sha256 = x.utf8", ["sha", "256", "x", "utf", "8"]),
        ("MAX_RETRIES: int = 3", ["max", "retries", "int", "3"]),
        ("don't stop!", ["don", "t", "stop"]),
        ("a\tb\r\nc\x0bd", ["a", "b", "c", "d"]),
        ("Ünïcode Café", ["unicode", "cafe"]),
        ("cafe\u0301 nai\u0308ve", ["cafe", "naive"]),
        ("straßeNAME", ["straßename"]),
        ("ﬁle №5", ["ﬁle", "5"]),
        ("データ索引", ["テータ", "索", "引"]),
        ("搜索code索引Index", ["搜", "索", "code", "索", "引", "index"]),
        ("Поиск по-русски", ["поиск", "по", "русски"]),
        ("東京2024年", ["東", "京", "2024", "年"]),
        ("x²+y³", ["x²", "y³"]),
        ("٣٤ и 12", ["٣٤", "и", "12"]),
        ("🙂 emoji🙂face", ["emoji", "face"]),
        ("\ud800 lone", ["lone"]),
        ("_ -- ** //", []),
        ("", []),
    ],
)
def test_identifiers_and_languages_are_split_into_words(text, expected):
    assert all_words(text) == expected


@given(st.text())
def test_words_are_lower_case_and_hold_no_separator(text):
    for word in all_words(text):
        assert word
        assert not re.search(r"[\s_]", word)
        assert word == word.lower() or not word.isascii()


@given(st.text(), st.text())
def test_texts_joined_by_a_space_have_the_words_of_both(first, second):
    assert all_words(f"{first} {second}") == all_words(first) + all_words(second)


@pytest.fixture
def tokeniser():
    return WordPiece(["index", "ing", "un", "know", "a", "5"], ["ing", "er", "known", "k", "n"])


@pytest.mark.parametrize(
    ("run", "expected"),
    [
        ("index", (0,)),
        ("indexing", (0, 6)),
        ("Indexer", (0, 7)),
        ("unknown", (2, 8)),
        ("indexUnknown5", (0, 2, 8, 5)),
        ("zzz", ()),
        ("unknowz", ()),
        ("indexZzz", (0,)),
    ],
)
def test_the_longest_pieces_cover_a_word(tokeniser, run, expected):
    assert tokeniser.ids(run) == expected


def test_words_of_more_than_a_hundred_characters_are_left_out(tokeniser):
    assert tokeniser.ids("index" + "ing" * 31) == (0, *[6] * 31)
    assert tokeniser.ids("index" + "ing" * 32) == ()


def test_counts_tell_each_run_once(tokeniser):
    assert tokeniser.counts("index indexing? a index") == ([(0,), (0, 6), (4,)], [2, 1, 1])
    assert tokeniser.counts("") == ([], [])


def test_forgetting_what_was_seen_changes_nothing(tokeniser, monkeypatch):
    text = "index indexing unknown a 5 zzz indexer"
    before = tokeniser.counts(text)
    monkeypatch.setattr("ragkit.models.embedded.wordpiece._CACHED_RUNS", 2)
    assert tokeniser.counts("a b c d e f g") == tokeniser.counts("a b c d e f g")
    assert tokeniser.counts(text) == before
    assert len(tokeniser._seen) <= 4
