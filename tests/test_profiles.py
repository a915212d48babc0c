"""Which prefixes and sizes a model's name stands for."""

from __future__ import annotations

import pytest

from ragkit.models.profiles import Profile, profile_of

PASSAGES = "Represent this sentence for searching relevant passages: "
TASK = "Given a web search query, retrieve relevant passages that answer the query"


@pytest.mark.parametrize(
    ("name", "query", "document"),
    [
        ("ai/embeddinggemma", "task: search result | query: ", "title: none | text: "),
        ("hf.co/ggml-org/embeddinggemma-300M-GGUF:Q8_0", "task: search result | query: ",
         "title: none | text: "),
        ("ai/nomic-embed-text-v1.5:latest", "search_query: ", "search_document: "),
        ("text-embedding-nomic-embed-text-v1.5", "search_query: ", "search_document: "),
        ("nomic-ai/nomic-embed-text-v2-moe-GGUF", "search_query: ", "search_document: "),
        ("nomic-embed-code", "Represent this query for searching relevant code: ", ""),
        ("ai/mxbai-embed-large", PASSAGES, ""),
        ("ai/qwen3-embedding:0.6B-F16", f"Instruct: {TASK}\nQuery:", ""),
        ("hf.co/Qwen/Qwen3-Embedding-8B-GGUF", f"Instruct: {TASK}\nQuery:", ""),
        ("ai/snowflake-arctic-embed-l-v2-vllm", "query: ", ""),
        ("snowflake-arctic-embed2", "query: ", ""),
        ("Snowflake/snowflake-arctic-embed-m-v1.5", PASSAGES, ""),
        ("snowflake-arctic-embed-s", PASSAGES, ""),
        ("ai/granite-embedding-multilingual", "", ""),
        ("bge-m3", "", ""),
        ("hf.co/CompendiumLabs/bge-small-en-v1.5-gguf", PASSAGES, ""),
        ("bge-large-zh-v1.5", "为这个句子生成表示以用于检索相关文章：", ""),
        ("intfloat/multilingual-e5-large-instruct", f"Instruct: {TASK}\nQuery: ", ""),
        ("intfloat/multilingual-e5-small", "query: ", "passage: "),
        ("e5-base-v2", "query: ", "passage: "),
        ("all-minilm", "", ""),
        ("thenlper/gte-base", "", ""),
        ("localhost:5000/ai/embeddinggemma:tag", "task: search result | query: ",
         "title: none | text: "),
        ("something-else", "", ""),
    ],
)  # fmt: skip
def test_each_family_gets_its_prefixes(name: str, query: str, document: str) -> None:
    profile = profile_of(name)
    assert (profile.prefix("query"), profile.prefix("document")) == (query, document)


@pytest.mark.parametrize(
    ("name", "allowed", "not_allowed"),
    [
        ("embeddinggemma", (512, 256, 128), (64, 300)),
        ("nomic-embed-text-v1.5", (64, 512), (65,)),
        ("nomic-embed-text-v1", (), (64, 512)),
        ("nomic-embed-text", (64, 512), ()),
        ("qwen3-embedding", (32, 100, 1024), (31,)),
        ("bge-m3", (), (512,)),
        ("who-knows", (), (128,)),
    ],
)
def test_vectors_are_cut_only_where_the_model_was_trained_for_it(
    name: str, allowed: tuple[int, ...], not_allowed: tuple[int, ...]
) -> None:
    matryoshka = profile_of(name).matryoshka
    assert all(size in matryoshka for size in allowed)
    assert not any(size in matryoshka for size in not_allowed)


def test_an_unknown_model_keeps_its_own_name() -> None:
    assert profile_of("hf.co/Some/Thing-GGUF:Q4").name == "thing-gguf"


def test_a_template_without_a_place_for_the_text_is_refused() -> None:
    with pytest.raises(ValueError, match="ends with"):
        Profile("mine", query="query: ")


def test_the_embedded_model_has_the_length_that_is_known() -> None:
    from ragkit.models.dimensions import dimensions_of
    from ragkit.models.embedded import StaticEmbedder

    assert dimensions_of("embedded", "static") == (StaticEmbedder().dimensions,)
