"""The model inside the package: a table of token vectors."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import pickle
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ragkit.errors import ModelError
from ragkit.models.embedded import StaticEmbedder, static, wordpiece

SHIPPED = Path(static.__file__).with_name("static.table")

FUNCTIONS = {
    "how are ignore rules applied?": (
        "def matches(self, path):\n"
        "    for pattern in reversed(self.gitignore_patterns):\n"
        "        if pattern.match(path):\n            return not pattern.negated\n"
    ),
    "parse a date written as ISO 8601": (
        "function fromISOString(text) {\n"
        "  const [year, month, day] = text.split('-').map(Number);\n"
        "  return new Date(Date.UTC(year, month - 1, day));\n}"
    ),
    "retry a request with exponential backoff": (
        "func (c *Client) doWithRetry(req *http.Request) (*http.Response, error) {\n"
        "    for attempt := 0; attempt < c.maxAttempts; attempt++ {\n"
        "        time.Sleep(c.baseDelay << attempt)\n    }\n}"
    ),
    "write the index to the database in one transaction": (
        "def replace(self, document, entries):\n    with self.connection:\n"
        "        self.connection.execute('begin immediate')\n"
        "        self.connection.executemany(INSERT, entries)\n"
    ),
    "Installation": "Run `pip install example` in a fresh virtual environment of Python 3.11.",
}


@pytest.fixture(scope="module")
def embedder():
    return StaticEmbedder()


def write_table(path, *, whole=("index", "search"), continuing=("ing",), header=None):
    """A table of three tokens in three dimensions, written as `static.Header` says."""
    rows = np.array([[100, 0, 0], [0, 50, 0], [0, 0, -20]], np.int8)
    documents = np.array([0.01, 0.02, 0.05], "<f4")
    queries = np.array([0.01, 0.04, 0.05], "<f4")
    pieces = "\n".join([*whole, *continuing]).encode()
    body = rows.tobytes() + documents.tobytes() + queries.tobytes() + pieces
    about = static.Header(
        tokeniser=wordpiece.VERSION,
        sha256=hashlib.sha256(body).hexdigest(),
        dimensions=3,
        whole=len(whole),
        continuing=len(continuing),
        damping=0.5,
        vocabulary_bytes=len(pieces),
    )
    line = json.dumps(dataclasses.asdict(about) | (header or {})).encode() + b"\n"
    path.write_bytes(static.MAGIC + line + body)
    return path


def test_a_text_is_the_damped_sum_of_its_rows(tmp_path):
    embedder = StaticEmbedder(write_table(tmp_path / "t"))
    expected = np.array([1 * 4**0.5, 1, -1]) / 6**0.5  # index four times, searching once
    text = "index index index searching index"
    np.testing.assert_allclose(embedder.embed([text], "document")[0], expected, rtol=1e-6)
    expected = np.array([1 * 4**0.5, 2, -1]) / 9**0.5
    np.testing.assert_allclose(embedder.embed([text], "query")[0], expected, rtol=1e-6)


@pytest.mark.parametrize("kind", ["document", "query"])
def test_vectors_are_float32_of_unit_length(embedder, kind):
    vectors = embedder.embed([*FUNCTIONS, *FUNCTIONS.values()], kind)
    assert vectors.shape == (10, 256) == (10, embedder.dimensions)
    assert vectors.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-6)


@given(st.lists(st.text(), max_size=4))
def test_any_text_has_a_unit_vector_or_none(embedder, texts):
    lengths = np.linalg.norm(embedder.embed(texts, "document"), axis=1)
    assert lengths.shape == (len(texts),)
    assert all(length == 0 or abs(length - 1) < 1e-5 for length in lengths)


@pytest.mark.parametrize("text", ["", " \n\t", "?!… ***", "🙂", "\ud800", "\0"])
def test_a_text_without_a_known_word_has_a_row_of_zeros(embedder, text):
    vectors = embedder.embed(["known words", text], "query")
    assert vectors[0].any()
    assert not vectors[1].any()


def test_no_texts_give_no_rows(embedder):
    assert embedder.embed([], "document").shape == (0, 256)


def test_a_vector_does_not_depend_on_the_other_texts(embedder):
    texts = [*FUNCTIONS, *FUNCTIONS.values(), "x" * 5000, "word " * 5000]
    together = embedder.embed(texts, "document")
    backwards = embedder.embed(texts[::-1], "document")[::-1]
    alone = np.concatenate([embedder.embed([text], "document") for text in texts])
    np.testing.assert_array_equal(together, backwards)
    np.testing.assert_array_equal(together, alone)


def test_a_stream_gives_each_text_once_with_the_vector_that_embed_gives(embedder, monkeypatch):
    monkeypatch.setattr(static, "_BLOCK", 4)
    texts = [*FUNCTIONS, *FUNCTIONS.values()]
    blocks = list(embedder.stream(texts, "query"))
    assert [block.positions for block in blocks] == [(0, 1, 2, 3), (4, 5, 6, 7), (8, 9)]
    assert not any(block.cut or block.failed for block in blocks)
    together = np.concatenate([block.vectors for block in blocks])
    np.testing.assert_array_equal(together, embedder.embed(texts, "query"))
    assert list(embedder.stream([], "query")) == []


def test_threads_get_the_vectors_that_one_thread_gets(monkeypatch):
    texts = [f"{text} variant{i} of{i * 7}" for i in range(60) for text in FUNCTIONS.values()]
    expected = StaticEmbedder().embed(texts, "document")
    monkeypatch.setattr(wordpiece, "_CACHED_RUNS", 100)  # so that they also forget all the time
    shared = StaticEmbedder()
    with ThreadPoolExecutor(8) as pool:
        for got in pool.map(lambda _: shared.embed(texts, "document"), range(16)):
            np.testing.assert_array_equal(got, expected)


def test_a_pickled_embedder_embeds_the_same(embedder):
    embedder.embed(["open it first"], "query")
    sent = pickle.dumps(embedder)
    assert len(sent) < 500  # where the table lies, not the table
    again = pickle.loads(sent)
    assert again.fingerprint == embedder.fingerprint
    texts = list(FUNCTIONS)
    np.testing.assert_array_equal(again.embed(texts, "query"), embedder.embed(texts, "query"))


def test_a_question_is_nearest_to_what_answers_it(embedder):
    queries = embedder.embed(list(FUNCTIONS), "query")
    documents = embedder.embed(list(FUNCTIONS.values()), "document")
    cosines = queries @ documents.T
    assert cosines.argmax(axis=1).tolist() == [0, 1, 2, 3, 4]
    # of the shipped table: the same on every machine, but for the last bits of a float32 sum
    np.testing.assert_allclose(np.diag(cosines), [0.212, 0.460, 0.692, 0.439, 0.307], atol=1e-3)


def test_the_fingerprint_tells_tables_and_tokenisers_apart(tmp_path, monkeypatch):
    first = StaticEmbedder(write_table(tmp_path / "a")).fingerprint
    assert StaticEmbedder(write_table(tmp_path / "b")).fingerprint == first
    other = StaticEmbedder(write_table(tmp_path / "c", whole=("find", "search")))
    assert other.fingerprint != first
    monkeypatch.setattr(wordpiece, "VERSION", 99)
    assert StaticEmbedder(write_table(tmp_path / "d")).fingerprint != first


@pytest.mark.parametrize(
    ("text", "ids"),
    [
        ("getHTTPResponse2", [(936, 6510, 2138, 2)]),
        ("def parse_config(path):", [(10878,), (23417,), (23395,), (2777,)]),
        ("Ünïcode straße ﬁle", [(21722,), (23392, 31024, 33016), (812, 31065)]),
        ("東京2024年", [(707, 583, 13690, 31064, 668)]),
        ("データ", [(542, 36418, 36389)]),
        ("по-русски", [(142, 32406), (143, 36018, 36017, 36017, 34438, 31847)]),
        ("검색", [(381, 36256, 36271, 36245, 36255, 36268)]),
        ("नमस्ते", [(273, 36135, 36142), (269,)]),
        ("بالعالم", [(217, 34851, 34378, 36098, 34851, 34378, 34032)]),
        ("tiếng Việt", [(4027, 31104), (16018,)]),
        ("x²+y³ ٣٤", [(33, 31904), (34, 33122), ()]),
        ("kwargs unguessableword", [(23394,), (3472, 34213, 33353, 33170)]),
        ("🙂 !?", []),
    ],
)
def test_the_shipped_vocabulary_covers_many_scripts(text, ids):
    """Ids as the reference WordPiece gives them for the same words (see training/)."""
    pieces, _ = wordpiece.WordPiece(*shipped_pieces()).counts(text)
    assert pieces == ids


def shipped_pieces():
    header = StaticEmbedder().header
    pieces = SHIPPED.read_bytes()[-header.vocabulary_bytes :].decode().split("\n")
    return pieces[: header.whole], pieces[header.whole :]


def test_the_shipped_table_is_small_and_names_itself(embedder):
    assert embedder.name == "embedded/static"
    assert SHIPPED.stat().st_size <= 10_000_000
    body = SHIPPED.read_bytes().split(b"\n", 2)[2]
    assert hashlib.sha256(body).hexdigest() in embedder.fingerprint


def refused(table):
    with pytest.raises(ModelError) as caught:
        StaticEmbedder(table).embed(["text"], "query")
    assert str(table) in caught.value.message
    assert caught.value.remedy
    return caught.value.message


def test_a_missing_table_is_a_model_error(tmp_path):
    assert "No such file" in refused(tmp_path / "none")


def test_a_flipped_bit_is_a_model_error(tmp_path):
    table = write_table(tmp_path / "t")
    data = bytearray(table.read_bytes())
    data[-30] ^= 1
    table.write_bytes(data)
    assert "damaged" in refused(table)


@pytest.mark.parametrize("kept", [0, 5, 40, -1])
def test_a_truncated_table_is_a_model_error(tmp_path, kept):
    table = write_table(tmp_path / "t")
    table.write_bytes(table.read_bytes()[:kept])
    refused(table)


def test_something_that_is_no_table_is_a_model_error(tmp_path):
    (tmp_path / "t").write_bytes(b"PK\x03\x04" + bytes(5000))
    assert "not a table" in refused(tmp_path / "t")
    refused(tmp_path)


@pytest.mark.parametrize(
    "header",
    [
        {"tokeniser": 0},
        {"sha256": "0" * 64},
        {"dimensions": 4},
        {"whole": "two"},
        {"whole": -2, "continuing": 5},
        {"whole": 2.0},
        {"continuing": 2},
        {"vocabulary_bytes": None},
        {"unknown": 1},
    ],
)
def test_a_header_that_does_not_fit_is_a_model_error(tmp_path, header):
    refused(write_table(tmp_path / "t", header=header))


def test_making_an_embedder_loads_no_numpy():
    code = (
        "import sys; from ragkit.models.embedded import StaticEmbedder; "
        "StaticEmbedder().fingerprint; sys.exit('numpy' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
