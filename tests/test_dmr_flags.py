"""Flags for llama.cpp: what is written, what is sent, what is told."""

from __future__ import annotations

import pytest

from ragkit.errors import ConfigError
from ragkit.models.dmr.flags import (
    batch,
    changing,
    context,
    rewritten,
    ubatch,
    without,
)


def sent(flags):
    return " ".join(rewritten(flags)[0])


def test_the_flags_of_the_page_are_rewritten_and_each_is_told():
    tokens, notices = rewritten(["--ngl=33", "--threads=8"])

    assert tokens == ("-ngl", "33", "--threads", "8")
    assert notices == (
        "runtime_flags: --ngl=33 is sent as -ngl 33",
        "runtime_flags: --threads=8 is sent as --threads 8",
    )


def test_flags_that_are_right_are_sent_as_they_are_and_nothing_is_told():
    flags = ["-ngl", "33", "--threads", 8, "--repeat-penalty", 1.1, "--ctx-size", -1, "--mlock"]

    assert rewritten(flags) == (tuple(map(str, flags)), ())


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        ("--ngl 33 --threads 8", "-ngl 33 --threads 8"),
        ("--ngl=33,--threads=8", "-ngl 33 --threads 8"),
        ("--ngl=33, --threads=8", "-ngl 33 --threads 8"),
        ("-ngl,33,-t,8", "-ngl 33 -t 8"),
        ("-ts 3,1 -ngl 20", "-ts 3,1 -ngl 20"),
        ("--tensor-split=3,1", "--tensor-split 3,1"),
        ("--samplers 'top_k;temperature'", "--samplers top_k;temperature"),
        (
            """--chat-template-kwargs '{"a":1,"b":-2}'""",
            """--chat-template-kwargs {"a":1,"b":-2}""",
        ),
        ("", ""),
        (" , ", ""),
    ],
)
def test_a_text_is_split_like_a_shell_does_and_at_commas_between_flags(written, expected):
    assert sent(written) == expected


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        ("--n_gpu_layers=33", "--n-gpu-layers 33"),
        ("--n-gpu-layers", "--n-gpu-layers"),
        ("--ub=2048", "-ub 2048"),
        ("--context-size=4096", "--ctx-size 4096"),
        ("--threads 8", "--threads 8"),
        ("--fa=on", "-fa on"),
        ("-ngl=33", "-ngl 33"),
    ],
)
def test_other_spellings_become_those_that_are_taken(written, expected):
    tokens, notices = rewritten([written])

    assert " ".join(tokens) == expected
    assert len(notices) == (0 if written == expected and " " not in written else 1)


def test_a_switch_that_yaml_reads_as_true_is_on():
    assert sent(["-fa", True, "--kv-offload", False]) == "-fa on --kv-offload off"


@pytest.mark.parametrize("written", ["--model", "--lora", "--host", "--log-file"])
def test_a_flag_that_no_runner_takes_stays_and_is_named(written):
    tokens, notices = rewritten([written, "x"])

    assert tokens == (written, "x")
    assert len(notices) == 1
    assert written in notices[0]
    assert "take it out" in notices[0]


def test_a_path_is_named_as_refused():
    tokens, notices = rewritten(["--grammar", "a/b"])

    assert tokens == ("--grammar", "a/b")
    assert "a/b" in notices[0]


@pytest.mark.parametrize("written", [[None], [["-ngl"]], [{"-ngl": 1}], "-ngl '33"])
def test_what_is_no_flag_is_an_error_with_its_key(written):
    with pytest.raises(ConfigError, match="runtime_flags") as caught:
        rewritten(written)
    assert caught.value.remedy


def test_a_refused_flag_goes_with_its_values():
    flags = ("-ub", "2048", "--numa", "distribute", "-t", "8")

    assert without(flags, "--numa") == ("-ub", "2048", "-t", "8")
    assert without(flags, "8") == ("-ub", "2048", "--numa", "distribute")
    assert without(("--mlock", *flags), "--mlock") == flags
    assert without(flags, "--unknown") == flags


def test_numbers_are_read_where_the_last_flag_says_them():
    flags = ("-b", "512", "--batch-size", "2048", "-ub", "1024", "-c", "x")

    assert batch(flags) == 2048
    assert ubatch(flags) == 1024
    assert context(flags) is None


def test_only_flags_that_change_vectors_count_as_such():
    flags = ("-ngl", "33", "--pooling", "mean", "--threads", "8", "--rope-scale", "2", "-ub", "99")

    assert changing(flags) == ("--pooling", "mean", "--rope-scale", "2")


def test_a_key_is_not_told():
    tokens, notices = rewritten(["--api-key=sesame"])

    assert tokens == ("--api-key", "sesame")
    assert "sesame" not in " ".join(notices)
