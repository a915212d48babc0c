"""Names of models: which spellings mean the same."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ragkit.models.dmr.references import (
    asked,
    canonical,
    is_id,
    is_on_hugging_face,
    name_of,
    same,
    short,
)

HEX = "0123456789abcdef" * 4

CANONICAL = [
    ("", ""),
    ("   ", ""),
    ("embeddinggemma", "ai/embeddinggemma:latest"),
    ("  embeddinggemma\n", "ai/embeddinggemma:latest"),
    ("embeddinggemma:", "ai/embeddinggemma:latest"),
    ("MyModel", "ai/mymodel:latest"),
    ("ai/qwen3-embedding:0.6B-F16", "ai/qwen3-embedding:0.6B-F16"),
    ("AI/Qwen3-Embedding:0.6B-F16", "ai/qwen3-embedding:0.6B-F16"),
    ("docker.io/ai/x", "ai/x:latest"),
    ("index.docker.io/ai/x:8B", "ai/x:8B"),
    ("registry-1.docker.io/me/x", "me/x:latest"),
    ("docker.io/x", "ai/x:latest"),
    ("docker.io/", ""),
    ("docker.io/ docker.io/x", "ai/x:latest"),
    (
        "hf.co/ggml-org/Qwen3-Reranker-0.6B-Q8_0-GGUF",
        "huggingface.co/ggml-org/qwen3-reranker-0.6b-q8_0-gguf:latest",
    ),
    ("hf.co/Org/Repo:Q8_0", "huggingface.co/org/repo:Q8_0"),
    ("huggingface.co/Org/Repo", "huggingface.co/org/repo:latest"),
    ("localhost:5000/ai/x:t", "localhost:5000/ai/x:t"),
    ("localhost:5000/ai/x", "localhost:5000/ai/x:latest"),
    ("registry.example.com/team/x:v1", "registry.example.com/team/x:v1"),
    ("0123456789ab", "0123456789ab"),
    ("abc123", "ai/abc123:latest"),
    ("0123456789AB", "ai/0123456789ab:latest"),
    (HEX, f"sha256:{HEX}"),
    (f"sha256:{HEX}", f"sha256:{HEX}"),
]

pieces = st.one_of(
    st.sampled_from(
        ["docker.io/", "index.docker.io/", "hf.co/", "huggingface.co/", "ai/", "/", ":", "latest"]
    ),
    st.sampled_from(["Org/", "model", "GGUF", "Q8_0", "localhost:5000/", "sha256:", HEX, " "]),
    st.text(alphabet="0123456789abcdef", min_size=12, max_size=12),
    st.text(max_size=4),
)
references = st.lists(pieces, max_size=6).map("".join)


@pytest.mark.parametrize(("reference", "expected"), CANONICAL)
def test_every_spelling_has_one_canonical_form(reference, expected):
    assert canonical(reference) == expected


@given(references)
def test_the_canonical_form_is_its_own(reference):
    assert canonical(canonical(reference)) == canonical(reference)


@given(references, references, references)
def test_meaning_the_same_is_an_equivalence(a, b, c):
    assert same(a, a)
    assert same(a, b) == same(b, a)
    if same(a, b) and same(b, c):
        assert same(a, c)


@given(references)
def test_what_is_sent_and_what_is_shown_mean_the_same_model(reference):
    assert same(asked(reference), reference)
    if not is_id(reference):
        assert same(short(reference), reference)


@given(references)
def test_what_is_sent_has_an_organisation_and_a_tag(reference):
    sent = asked(reference)
    assert not sent or is_id(sent) or ("/" in sent and ":" in sent.rsplit("/", 1)[-1])


@pytest.mark.parametrize("action", ["purge", "create", "load"])
def test_no_name_can_spell_an_action_of_the_server(action):
    assert asked(action) == f"ai/{action}:latest"


def test_hugging_face_is_sent_as_old_servers_know_it():
    assert asked("huggingface.co/Org/Repo:Q8_0") == "hf.co/org/repo:Q8_0"


@pytest.mark.parametrize(
    ("tag", "shown"),
    [
        ("docker.io/ai/embeddinggemma:latest", "embeddinggemma"),
        ("ai/qwen3:14B", "qwen3:14B"),
        ("docker.io/me/x:latest", "me/x"),
        ("huggingface.co/org/repo:latest", "huggingface.co/org/repo"),
        (f"sha256:{HEX}", "0123456789ab"),
        ("ai/0123456789ab:latest", "ai/0123456789ab"),
    ],
)
def test_tags_are_shown_as_docker_shows_them(tag, shown):
    assert short(tag) == shown


@pytest.mark.parametrize(
    ("reference", "name"),
    [
        ("ai/EmbeddingGemma:latest", "embeddinggemma"),
        ("hf.co/Qwen/Qwen3-Embedding-0.6B-GGUF:Q8_0", "qwen3-embedding-0.6b-gguf"),
        ("localhost:5000/x", "x"),
    ],
)
def test_the_name_of_a_model_is_its_last_part(reference, name):
    assert name_of(reference) == name


@pytest.mark.parametrize(
    ("reference", "expected"),
    [
        ("hf.co/a/b", True),
        ("HF.co/a/b", True),
        ("huggingface.co/a/b:Q8_0", True),
        ("docker.io/ai/hf.co", False),
        ("example.com/hf.co/a", False),
        ("ai/x", False),
    ],
)
def test_only_hugging_face_is_hugging_face(reference, expected):
    assert is_on_hugging_face(reference) is expected
