"""Token ids of BERT uncased."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import downloaded
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ragkit.errors import ModelError
from ragkit.models.embedded import bert, wordpiece

GOLDEN = Path(__file__).parent / "fixtures" / "bert.jsonl"

PIECES = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "a", "b", "##a", "##b", "ab", "##bab", "中"]
PIECES += ["-", "[", "]", "=", "!", ";", "c", "##c", "##lass", "ς", "σ", "##σ", "i"]
VOCABULARY = {piece: number for number, piece in enumerate(PIECES)}


@pytest.fixture
def tokeniser():
    return bert.Tokeniser(VOCABULARY)


def pieces(text):
    return [PIECES[token] for token in bert.Tokeniser(VOCABULARY).ids(text)]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", []),
        (" \n\t ", []),
        ("a b", ["a", "b"]),
        ("abbab", ["ab", "##bab"]),  # the longest piece from the left
        ("aXb", ["[UNK]"]),  # a word that cannot be covered is one unknown, whatever its pieces
        ("AB Ab", ["ab", "ab"]),
        ("á à ą", ["a", "a", "a"]),
        ("a-b", ["a", "-", "b"]),
        ("a[b]", ["a", "[", "b", "]"]),
        ("a中中b", ["a", "中", "中", "b"]),
        ("a\x00\x1c\x85\u200b\ue000\ufffdb", ["ab"]),  # controls are nothing, not even a gap
        ("a\u00a0b\u2028a", ["a", "b", "a"]),
        ("≠ \u037e", ["=", ";"]),  # punctuation below an accent, or by another name
        ("ΣΣ ς", ["σ", "##σ", "ς"]),  # lower case letter by letter
        ("İ", ["i"]),
        ("\ud800a", ["a"]),  # half a character, as in undecodable file names
    ],
)
def test_words_are_split_and_covered_as_bert_does(text, expected):
    assert pieces(text) == expected


def test_a_word_of_more_than_a_hundred_characters_is_unknown():
    assert pieces("a" * 100) == ["a"] + ["##a"] * 99
    assert pieces("a" * 101) == ["[UNK]"]
    assert pieces("a" * 60 + "-" + "a" * 60).count("##a") == 118


def test_special_tokens_in_a_text_are_themselves_as_they_are_written():
    assert pieces("a[MASK]b [SEP]") == ["a", "[MASK]", "b", "[SEP]"]
    assert pieces("[sep]") == ["[", "[UNK]", "]"]
    assert pieces("[[CLS]]") == ["[", "[CLS]", "]"]


def test_a_text_is_framed_and_cut_at_the_limit(tokeniser):
    first, last, a = (VOCABULARY[name] for name in ("[CLS]", "[SEP]", "a"))
    assert tokeniser.encode("", 5) == ([first, last], 0)
    assert tokeniser.encode("a a a", 5) == ([first, a, a, a, last], 5)
    assert tokeniser.encode("a a a a a", 5) == ([first, a, a, a, last], 6)


@given(st.text(alphabet="ab中-[ ]\n\u0301\u200bCLS", max_size=60), st.integers(2, 12))
def test_what_is_said_to_be_covered_is_what_the_ids_stand_for(text, limit):
    tokeniser = bert.Tokeniser(VOCABULARY)
    ids, covered = tokeniser.encode(text, limit)
    assert len(ids) <= limit
    if covered < len(text):
        assert len(tokeniser.ids(text)) > limit - 2
        assert len(tokeniser.ids(text[:covered])) <= limit - 2
    else:
        assert ids[1:-1] == tokeniser.ids(text)[: limit - 2]


@given(st.text(max_size=200))
def test_any_text_has_ids_and_they_do_not_depend_on_what_came_before(text):
    fresh, used = bert.Tokeniser(VOCABULARY), bert.Tokeniser(VOCABULARY)
    used.ids(text[::-1] + " " + text)
    assert used.ids(text) == fresh.ids(text)


def test_threads_get_the_ids_that_one_thread_gets(monkeypatch):
    texts = ["a" * (number % 90) + "-b中" * (number % 7) for number in range(500)]
    expected = [bert.Tokeniser(VOCABULARY).ids(text) for text in texts]
    monkeypatch.setattr(wordpiece, "_CACHED_RUNS", 10)  # so that they also forget all the time
    shared = bert.Tokeniser(VOCABULARY)
    with ThreadPoolExecutor(8) as pool:
        for got in pool.map(lambda _: list(map(shared.ids, texts)), range(16)):
            assert got == expected


@pytest.mark.parametrize(
    "content", ["", "[]", "{}", '{"model": {"vocab": {"a": 1}}}', '{"model": {"vocab": []}}', "\0"]
)
def test_a_file_that_is_no_vocabulary_of_bert_is_a_model_error(tmp_path, content):
    file = tmp_path / "tokenizer.json"
    file.write_text(content)
    with pytest.raises(ModelError, match="is not the vocabulary"):
        bert.read(file)


def test_a_missing_vocabulary_is_a_model_error(tmp_path):
    with pytest.raises(ModelError, match="No such file"):
        bert.read(tmp_path / "tokenizer.json")


@pytest.mark.engine
def test_ids_are_those_of_the_reference():
    """As training/check_bert.py wrote them with the `tokenizers` package."""
    tokeniser = bert.read(downloaded.minilm().tokenizer)
    for line in GOLDEN.read_text("utf-8").splitlines():
        golden = json.loads(line)
        assert tokeniser.ids(golden["text"]) == golden["ids"], golden["text"]
