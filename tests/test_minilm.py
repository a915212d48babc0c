"""all-MiniLM-L6-v2 in this process."""

from __future__ import annotations

import json
import math
import pickle
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from itertools import chain

import downloaded
import numpy as np
import pytest

from ragkit.errors import MissingExtra, ModelError
from ragkit.models.embedded import MiniLMEmbedder, bert, minilm, onnx, weights

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
    "Installation": "Run `pip install example` in a fresh virtual environment of Python 3.11.",
}
TEXTS = [
    *FUNCTIONS,
    *FUNCTIONS.values(),
    "a",
    "日本語 Ünïcode 🙂",
    "def f(x):\n    return x\n" * 12,
]
LONG = "".join(f"line {number}: the quick brown fox\n" for number in range(200))


@pytest.fixture(scope="module")
def embedder():
    downloaded.minilm()
    made = MiniLMEmbedder(cache=downloaded.folder())
    yield made
    made.close()


class Reference:
    """The same model in plain float64: Devlin et al. 2018, then the mean of the tokens' rows."""

    def __init__(self, files: weights.Weights) -> None:
        data = memoryview(files.model.read_bytes())
        size = int.from_bytes(data[:8], "little")
        header = json.loads(bytes(data[8 : 8 + size]))
        tensors = data[8 + size :]
        header.pop("__metadata__")
        self.tensors = {
            name: np.frombuffer(tensors[slice(*entry["data_offsets"])], "<f4")
            .reshape(entry["shape"])
            .astype(np.float64)
            for name, entry in header.items()
            if entry["dtype"] == "F32"
        }
        self.tokeniser = bert.read(files.tokenizer)

    def embed(self, text):
        ids, _ = self.tokeniser.encode(text, minilm.LIMIT)
        table = "embeddings.{}_embeddings.weight"
        rows = self.tensors[table.format("word")][ids]
        rows = rows + self.tensors[table.format("position")][: len(ids)]
        rows = rows + self.tensors[table.format("token_type")][0]
        rows = self.normalised("embeddings.LayerNorm", rows)
        for layer in range(6):
            rows = self.layer(f"encoder.layer.{layer}.", rows)
        mean = rows.mean(axis=0)
        return mean / np.linalg.norm(mean)

    def layer(self, name, rows):
        attended = self.dense(f"{name}attention.output.dense", self.attention(name, rows))
        rows = self.normalised(f"{name}attention.output.LayerNorm", attended + rows)
        inner = self.dense(f"{name}intermediate.dense", rows)
        errors = map(math.erf, (inner / math.sqrt(2)).ravel().tolist())
        inner *= (1 + np.fromiter(errors, float, inner.size).reshape(inner.shape)) / 2
        inner = self.dense(f"{name}output.dense", inner)
        return self.normalised(f"{name}output.LayerNorm", inner + rows)

    def attention(self, name, rows):
        queries, keys, values = (
            self.dense(f"{name}attention.self.{part}", rows).reshape(-1, 12, 32)
            for part in ("query", "key", "value")
        )
        met = np.einsum("ihd,jhd->hij", queries, keys) / math.sqrt(32)
        shares = np.exp(met - met.max(axis=-1, keepdims=True))
        shares /= shares.sum(axis=-1, keepdims=True)
        return np.einsum("hij,jhd->ihd", shares, values).reshape(-1, 384)

    def dense(self, name, rows):
        return rows @ self.tensors[f"{name}.weight"].T + self.tensors[f"{name}.bias"]

    def normalised(self, name, rows):
        centred = rows - rows.mean(axis=-1, keepdims=True)
        scaled = centred / np.sqrt((centred**2).mean(axis=-1, keepdims=True) + 1e-12)
        return scaled * self.tensors[f"{name}.weight"] + self.tensors[f"{name}.bias"]


@pytest.mark.engine
def test_vectors_are_those_of_a_plain_forward_pass(embedder):
    reference = Reference(downloaded.minilm())
    texts = [*TEXTS[::2], LONG]
    expected = np.array([reference.embed(text) for text in texts])
    cosines = (embedder.embed(texts, "document") * expected).sum(axis=1)
    assert cosines.min() > 0.999999


@pytest.mark.engine
@pytest.mark.parametrize("kind", ["document", "query"])
def test_vectors_are_float32_of_unit_length(embedder, kind):
    vectors = embedder.embed(TEXTS, kind)
    assert vectors.shape == (len(TEXTS), 384) == (len(TEXTS), embedder.dimensions)
    assert vectors.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-6)


@pytest.mark.engine
def test_a_question_is_nearest_to_what_answers_it(embedder):
    queries = embedder.embed(list(FUNCTIONS), "query")
    documents = embedder.embed(list(FUNCTIONS.values()), "document")
    assert (queries @ documents.T).argmax(axis=1).tolist() == [0, 1, 2, 3]


@pytest.mark.engine
@pytest.mark.parametrize("text", ["", " \n\t", "\0\u200b"])
def test_a_text_without_a_word_has_a_row_of_zeros(embedder, text):
    vectors = embedder.embed(["words", text], "document")
    assert vectors[0].any()
    assert not vectors[1].any()


@pytest.mark.engine
def test_a_vector_does_not_depend_on_the_other_texts(embedder):
    together = embedder.embed(TEXTS, "document")
    backwards = embedder.embed(TEXTS[::-1], "document")[::-1]
    alone = np.concatenate([embedder.embed([text], "document") for text in TEXTS])
    np.testing.assert_array_equal(together, backwards)
    np.testing.assert_array_equal(together, alone)


@pytest.mark.engine
def test_a_stream_gives_each_text_once_in_small_blocks(embedder, monkeypatch):
    monkeypatch.setattr(minilm, "_BLOCK", 4)
    blocks = list(embedder.stream(TEXTS, "document"))
    assert [len(block.positions) for block in blocks] == [4, 4, len(TEXTS) - 8]
    assert list(chain.from_iterable(block.positions for block in blocks)) == [*range(len(TEXTS))]
    together = np.concatenate([block.vectors for block in blocks])
    np.testing.assert_array_equal(together, embedder.embed(TEXTS, "document"))
    assert not any(block.cut or block.failed for block in blocks)


@pytest.mark.engine
def test_a_stream_that_is_left_has_done_no_more_than_it_gave(embedder, monkeypatch):
    monkeypatch.setattr(minilm, "_BLOCK", 1)
    asked = iter(["first", "second"])

    class Watched(list):
        def __getitem__(self, position):
            return next(asked)

    stream = embedder.stream(Watched(["first", "second"]), "document")
    assert next(stream).positions == (0,)
    stream.close()
    assert next(asked) == "second"


@pytest.mark.engine
def test_of_a_long_text_the_beginning_is_embedded_and_that_is_said(embedder):
    (block,) = embedder.stream(["short", LONG], "document")
    assert list(block.cut) == [1]
    read = int(block.cut[1].split()[3].replace(",", ""))
    assert block.cut[1] == (
        f"only the first {read:,} of {len(LONG):,} characters were embedded "
        f"(limit {minilm.LIMIT} tokens)"
    )
    alone = embedder.embed([LONG[:read]], "document")[0]
    np.testing.assert_array_equal(block.vectors[1], alone)


@pytest.mark.engine
def test_threads_get_the_vectors_that_one_thread_gets(embedder):
    expected = embedder.embed(TEXTS, "document")
    shared = MiniLMEmbedder(cache=downloaded.folder())
    with ThreadPoolExecutor(4) as pool:
        for got in pool.map(lambda _: shared.embed(TEXTS, "document"), range(8)):
            np.testing.assert_allclose(got, expected, atol=1e-6)
    shared.close()


@pytest.mark.engine
def test_a_pickled_embedder_embeds_the_same(embedder):
    sent = pickle.dumps(MiniLMEmbedder(cache=downloaded.folder(), notice=lambda message: None))
    again = pickle.loads(sent)
    assert again.fingerprint == embedder.fingerprint
    np.testing.assert_allclose(
        again.embed(TEXTS[:2], "query"), embedder.embed(TEXTS[:2], "query"), atol=1e-6
    )


@pytest.mark.engine
def test_a_closed_embedder_opens_again(embedder):
    expected = embedder.embed(["text"], "query")
    embedder.close()
    embedder.close()
    np.testing.assert_array_equal(embedder.embed(["text"], "query"), expected)


@pytest.mark.engine
def test_nothing_is_said_where_the_files_are_there():
    said: list[str] = []
    MiniLMEmbedder(cache=downloaded.folder(), notice=said.append).embed(["text"], "query")
    assert said == []


@pytest.mark.engine
@pytest.mark.parametrize("threads", ["1", "3", "0"])
def test_the_number_of_threads_changes_no_vector(embedder, monkeypatch, threads):
    monkeypatch.setenv("RAGKIT_THREADS", threads)
    other = MiniLMEmbedder(cache=downloaded.folder())
    expected = embedder.embed(TEXTS[:3], "query")
    np.testing.assert_allclose(other.embed(TEXTS[:3], "query"), expected, atol=1e-6)


@pytest.mark.parametrize("threads", ["two", "-1", "1.5", ""])
def test_a_number_of_threads_that_is_none_is_refused(monkeypatch, threads):
    monkeypatch.setenv("RAGKIT_THREADS", threads)
    with pytest.raises(ModelError, match="RAGKIT_THREADS") as caught:
        MiniLMEmbedder().embed(["text"], "query")
    assert caught.value.remedy


def test_no_texts_need_no_model(monkeypatch):
    monkeypatch.setenv("RAGKIT_MINILM", "/nowhere")
    assert MiniLMEmbedder().embed([], "document").shape == (0, 384)
    assert list(MiniLMEmbedder().stream([], "document")) == []


def test_without_onnxruntime_the_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(MissingExtra) as caught:
        MiniLMEmbedder().embed(["text"], "query")
    assert caught.value.remedy == "pip install 'ragkit[local]'"


def test_the_fingerprint_names_all_that_decides_a_vector(monkeypatch):
    before = MiniLMEmbedder().fingerprint
    assert before.startswith(f"embedded/minilm:{weights.MODEL.sha256}:")
    for module, name in ((bert, "VERSION"), (onnx, "VERSION"), (minilm, "LIMIT")):
        with monkeypatch.context() as changed:
            changed.setattr(module, name, 99)
            assert MiniLMEmbedder().fingerprint != before
    assert MiniLMEmbedder().fingerprint == before


def test_making_an_embedder_loads_and_looks_for_nothing():
    code = (
        "import sys; from ragkit.models.embedded import MiniLMEmbedder; "
        "e = MiniLMEmbedder(); e.name, e.fingerprint, e.dimensions; e.close(); "
        "sys.exit(bool({'numpy', 'onnxruntime', 'httpx2', 'platformdirs'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\x02\0\0\0\0\0\0\0{}",
        b"\xff" * 100,
        b"\x14\0\0\0\0\0\0\0" + b'{"a":{"dtype":"F8"}}',
        b"\x02\0\0\0\0\0\0\0[]",
    ],
)
def test_a_file_without_the_tensors_is_a_model_error(tmp_path, content):
    file = tmp_path / "model.safetensors"
    file.write_bytes(content)
    with pytest.raises(ModelError, match="has not the tensors"):
        onnx.graph(file)
