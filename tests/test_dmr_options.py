"""`provider_opts` of Docker Model Runner, and the plan that comes of them."""

from __future__ import annotations

import pytest

from ragkit.errors import ConfigError, ModelError
from ragkit.models.dmr.options import Options, options_of
from ragkit.models.dmr.plans import Limits, check, limits, plan, suffices
from ragkit.models.dmr.records import (
    Configuration,
    LocalModel,
    Speculative,
    local_model,
)


def model(
    architecture: str = "bert",
    *,
    pooling: int | None = 1,
    context: int | None = 512,
    stored: int | None = None,
    **more: str,
) -> LocalModel:
    gguf = {"general.architecture": architecture, **more}
    if pooling is not None:
        gguf[f"{architecture}.pooling_type"] = str(pooling)
    if context is not None:
        gguf[f"{architecture}.context_length"] = str(context)
    config = {"architecture": architecture, "gguf": gguf, "context_size": stored}
    return local_model({"id": "sha256:1", "tags": ["docker.io/ai/x:latest"], "config": config})


MINILM = model()
GEMMA = model("gemma-embedding", context=2048)
LONG = model("nomic-bert", context=8192)
QWEN = model("qwen3", pooling=3, context=32768, stored=2048)
MEAN = model("llama", pooling=1, context=4096)
BGE = model(pooling=4)
QWEN_RANK = model("qwen3", pooling=4, context=40960)
CHAT = model("llama", pooling=None, context=4096)
UNKNOWN = LocalModel("sha256:2", ("docker.io/ai/y:latest",), reference="ai/y")


# -- options


def test_the_options_of_the_page_are_read():
    options = options_of(
        {
            "speculative_draft_model": "ai/qwen3:0.6B-Q4_K_M",
            "speculative_num_tokens": "16",
            "speculative_acceptance_rate": "0.8",
            "runtime_flags": ["--ngl=33", "--threads=8"],
        }
    )

    assert options.speculative == Speculative("ai/qwen3:0.6B-Q4_K_M", 16, 0.8)
    assert options.runtime_flags == ("-ngl", "33", "--threads", "8")
    assert len(options.notices) == 2


def test_numbers_may_be_texts():
    options = options_of({"context_size": "4096", "reasoning-budget": "-1"})

    assert (options.context_size, options.reasoning_budget) == (4096, -1)


@pytest.mark.parametrize(
    ("written", "sent", "told"),
    [
        ("30m", "30m", False),
        ("-1", "-1", False),
        (-1, "-1", False),
        (0, "0", False),
        (300, "300s", True),
        ("90", "90s", True),
        (1.5, "1.5s", True),
        (-5, "-1", True),
        (None, None, False),
    ],
)
def test_how_long_to_stay_is_sent_as_a_duration(written, sent, told):
    options = options_of({"keep_alive": written})

    assert options.keep_alive == sent
    assert bool(options.notices) == told


@pytest.mark.parametrize(
    "given",
    [
        {"context_size": 0},
        {"context_size": -2},
        {"context_size": "many"},
        {"context_size": 1.5},
        {"context_size": True},
        {"keep_alive": "soon"},
        {"keep_alive": True},
        {"speculative_num_tokens": "a few"},
        {"speculative_acceptance_rate": "high"},
        {"speculative_draft_model": 3},
        {"rerank_score": "maybe"},
        {"runtime_flags": {"ngl": 3}},
        {"hf_overrides": "x"},
    ],
)
def test_what_cannot_be_meant_is_an_error_with_its_key_and_what_to_write(given):
    with pytest.raises(ConfigError, match=f"provider_opts.{next(iter(given))}") as caught:
        options_of(given)
    assert caught.value.remedy


def test_an_unknown_option_is_told():
    options = options_of({"contextsize": 3})

    assert "contextsize" in options.notices[0]
    assert not options.is_set


def test_options_for_vllm_are_sent_as_it_spells_them():
    options = options_of({"hf_overrides": {"a": 1}, "gpu_memory_utilization": 0.5})

    assert options.vllm == {"hf-overrides": {"a": 1}, "gpu-memory-utilization": 0.5}


def test_nothing_given_is_nothing_to_tell():
    assert options_of({}) == Options()
    assert not options_of({"rerank_score": "logit", "extra_body": {"a": 1}}).is_set


# -- plans

BOTH = ("--batch-size", "2048", "--ubatch-size", "2048")


def planned(model, mode, **given):
    made = plan(model, mode, options_of(given))
    return made and (made.context_size, made.runtime_flags)


@pytest.mark.parametrize(
    ("of", "mode", "expected", "tokens", "context"),
    [
        (MINILM, "embedding", None, 512, None),
        (GEMMA, "embedding", (2048, BOTH), 2048, None),
        (LONG, "embedding", (2048, BOTH), 2048, None),
        (QWEN, "embedding", (8192, ()), 8192, 8192),
        (MEAN, "embedding", (4096, BOTH), 2048, 4096),
        (UNKNOWN, "embedding", (8192, BOTH), 2048, 8192),
        (BGE, "reranking", None, 512, None),
        (QWEN_RANK, "reranking", (4096, BOTH), 2048, 4096),
        (CHAT, "completion", None, 4096, 4096),
        (QWEN, "completion", None, 2048, 2048),
    ],
)
def test_what_is_good_for_a_model_and_how_much_it_then_takes(of, mode, expected, tokens, context):
    made = plan(of, mode, Options())

    assert planned(of, mode) == expected
    assert made is None or made.keep_alive == "30m"
    in_force = made or Configuration("x", mode)
    assert limits(of, in_force) == Limits(tokens, context)


def test_left_alone_an_encoder_takes_what_llama_cpp_works_on_at_once():
    assert limits(GEMMA, Configuration("x", "embedding")).tokens == 512


def test_a_context_of_the_users_decides_how_long_texts_may_be():
    flags = ("--batch-size", "8192", "--ubatch-size", "8192")

    assert planned(LONG, "embedding", context_size=8192) == (8192, flags)
    assert planned(LONG, "embedding", context_size=-1) == (-1, flags)
    assert planned(QWEN, "embedding", context_size=1024) == (1024, ())


def test_flags_of_the_users_stay_and_the_rest_is_filled_in():
    made = planned(GEMMA, "embedding", runtime_flags="-ub 1024 --threads 8")

    assert made == (2048, ("-ub", "1024", "--threads", "8", "--batch-size", "2048"))
    assert planned(GEMMA, "embedding", runtime_flags="-c 1024")[0] is None


def test_any_option_of_the_users_is_told_even_where_the_defaults_do():
    made = plan(MINILM, "embedding", options_of({"keep_alive": "1h"}))

    assert made.keep_alive == "1h"


def test_chat_is_configured_only_as_the_user_says():
    given = {"context_size": 8192, "speculative_draft_model": "ai/small", "reasoning-budget": 0}
    made = plan(CHAT, "completion", options_of(given))

    assert made.body() == {
        "model": "docker.io/ai/x:latest",
        "mode": "completion",
        "context-size": 8192,
        "speculative": {"draft_model": "ai/small"},
        "llamacpp": {"reasoning-budget": 0},
    }
    assert "speculative" not in plan(GEMMA, "embedding", options_of(given)).body()


def test_the_pooling_that_a_user_names_counts():
    flagged = options_of({"runtime_flags": "--pooling last"})

    assert limits(GEMMA, plan(GEMMA, "embedding", flagged)).tokens == 2048
    assert "--ubatch-size" not in plan(GEMMA, "embedding", flagged).runtime_flags


def test_another_clients_configuration_stays_where_it_does_as_well():
    wanted = plan(GEMMA, "embedding", Options())
    compose = Configuration(
        "x", "embedding", 2048, ("--embeddings", "-b", "4096", "-ub", "2048"), None
    )

    assert suffices(compose, wanted, GEMMA)
    assert not suffices(Configuration("x", "embedding", 2048), wanted, GEMMA)
    pooled = Configuration("x", "embedding", 2048, (*compose.runtime_flags, "--pooling", "cls"))
    assert not suffices(pooled, wanted, GEMMA)


# -- what a model can do


@pytest.mark.parametrize(
    ("of", "words"),
    [
        (BGE, "is a reranker"),
        (model(pooling=0), "is a chat model"),
        (
            model("llama", pooling=None, **{"tokenizer.chat_template": "{{ x }}"}),
            "is a chat model",
        ),
    ],
)
def test_what_cannot_embed_is_refused_before_any_text_is_sent(of, words):
    with pytest.raises(ModelError, match=words) as caught:
        check(of, "embedding", Options(), "ai/x")
    assert "embedding model" in caught.value.remedy


def test_a_chat_template_alone_makes_no_chat_model():
    embeds = model("qwen3", pooling=3, **{"tokenizer.chat_template": "{{ x }}"})

    assert check(embeds, "embedding", Options(), "ai/x") == ()


def test_the_user_may_say_how_to_pool():
    options = options_of({"runtime_flags": "--pooling mean"})

    assert check(model(pooling=0), "embedding", options, "ai/x") == ()


def test_an_embedding_model_asked_to_rerank_is_told():
    assert check(GEMMA, "reranking", Options(), "ai/embeddinggemma")
    assert check(GEMMA, "reranking", Options(), "ai/bge-reranker") == ()
    assert check(BGE, "reranking", Options(), "ai/x") == ()
