"""Embedding over HTTP, against a server that has the limits and the failures of the real ones."""

from __future__ import annotations

import subprocess
import sys
import textwrap
import threading
import time
import tracemalloc
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from embedding_server import (
    BAD_GATEWAY,
    DIED,
    EMPTY_500,
    GARBLED,
    HANGS,
    LOADING,
    RESET,
    SLOW_DOWN,
    TOO_FEW,
    EmbeddingServer,
    Fault,
    tokens,
    unit,
)
from hypothesis import given, settings
from hypothesis import strategies as st

from ragkit.errors import ModelBusy, ModelError, ModelNotFound, ModelUnreachable
from ragkit.models import dispatch
from ragkit.models.embedding import Identity, Limits, Patience, RemoteEmbedder
from ragkit.models.http import Client, Endpoint
from ragkit.models.profiles import Profile, profile_of
from ragkit.models.sending import PROBE
from ragkit.types import Embedded

QUICK = Patience(load=5.0, answer=5.0, deadline=5.0, query=2.0, pause=0.004)
PLAIN = Profile("plain")


def words(count: int, start: str = "w") -> str:
    """A text of so many words, each of one piece."""
    return " ".join([start] + ["word"] * (count - 1))


def some(count: int, length: int = 5) -> list[str]:
    return [words(length, f"n{i}") for i in range(count)]


@pytest.fixture
def server() -> Iterator[EmbeddingServer]:
    running = EmbeddingServer()
    yield running
    running.die()


Make = Callable[..., RemoteEmbedder]


@pytest.fixture
def make(server: EmbeddingServer) -> Iterator[Make]:
    made: list[RemoteEmbedder] = []

    def embedder(url: str = server.url, **options: Any) -> RemoteEmbedder:
        dimensions = options.pop("native", 8)
        settings = {
            "model": "ai/test",
            "name": "dmr/ai/test",
            "profile": PLAIN,
            "identity": lambda: Identity("sha256:1", dimensions),
            "patience": QUICK,
            **options,
        }
        made.append(RemoteEmbedder(Client(Endpoint(url)), **settings))
        return made[-1]

    yield embedder
    for one in made:
        one.close()


def matrix(texts: Sequence[str], **how: Any) -> np.ndarray[Any, Any]:
    return np.stack([unit(text, **how) for text in texts])


def gathered(stream: Iterator[Embedded], count: int) -> tuple[Any, dict[int, str], dict[int, str]]:
    """All of a stream: rows, what was cut, what failed; each position once."""
    rows: dict[int, Any] = {}
    cut: dict[int, str] = {}
    failed: dict[int, str] = {}
    for done in stream:
        assert len(done.positions) == len(done.vectors) > 0
        for position, row in zip(done.positions, done.vectors, strict=True):
            assert position not in rows
            rows[position] = row
        cut |= done.cut
        failed |= done.failed
    assert sorted(rows) == list(range(count))
    return np.stack([rows[i] for i in range(count)]), cut, failed


# What is sent, and what comes back


@pytest.mark.parametrize("base64", [True, False])
@pytest.mark.parametrize("shuffled", [True, False])
def test_vectors_are_of_unit_length_and_in_order(
    server: EmbeddingServer, make: Make, base64: bool, shuffled: bool
) -> None:
    server.base64, server.shuffled = base64, shuffled
    texts = some(100)
    vectors = make().embed(texts, "document")
    assert vectors.dtype == np.float32
    np.testing.assert_allclose(vectors, matrix(texts), atol=1e-6)
    assert {body["encoding_format"] for body in server.bodies} == {"base64"}
    assert {body["model"] for body in server.bodies} == {"ai/test"}


def test_a_stream_brings_each_text_once(server: EmbeddingServer, make: Make) -> None:
    texts = [words(1 + i * 7 % 60, f"n{i}") for i in range(300)]
    vectors, cut, failed = gathered(make(batch=7).stream(texts, "document"), 300)
    np.testing.assert_allclose(vectors, matrix(texts), atol=1e-6)
    assert (cut, failed) == ({}, {})
    assert set(server.sent.values()) == {1}


def test_no_text_makes_no_request(server: EmbeddingServer, make: Make) -> None:
    embedder = make()
    assert list(embedder.stream([], "document")) == []
    assert embedder.embed([], "query").shape == (0, 8)
    assert server.requests == []


def test_queries_and_documents_get_the_prefixes_of_their_profile(
    server: EmbeddingServer, make: Make
) -> None:
    embedder = make(profile=profile_of("ai/embeddinggemma"))
    embedder.embed(["birds"], "query")
    embedder.embed(["birds"], "document")
    assert list(server.sent) == ["task: search result | query: birds", "title: none | text: birds"]


def test_texts_without_a_letter_are_not_sent_and_have_no_direction(
    server: EmbeddingServer, make: Make
) -> None:
    embedder = make(native=None)
    vectors = embedder.embed(["", "one", " \n\t", "\u3000"], "document")
    np.testing.assert_allclose(vectors[1], unit("one"), atol=1e-6)
    assert not vectors[[0, 2, 3]].any()
    assert list(server.sent) == ["one"]
    assert make(native=None).embed([" "], "query").shape == (1, 8)  # a probe says how wide it is


def test_half_characters_are_replaced(server: EmbeddingServer, make: Make) -> None:
    make().embed(["lone \ud83d one", "pair \ud83d\ude00 joined", "nul \0 stays"], "document")
    assert set(server.sent) == {"lone � one", "pair 😀 joined", "nul \0 stays"}


def test_requests_hold_no_more_than_they_may(server: EmbeddingServer, make: Make) -> None:
    server.limit = 10**9
    texts = [f"{i} " + "x" * 900_000 for i in range(9)] + some(100)
    make(batch=16).embed(texts, "document")
    for sent, _ in server.requests:
        assert len(sent) <= 16
        assert sum(map(len, sent)) <= 4 * 1024 * 1024


def test_a_server_that_takes_no_base64_is_asked_for_lists(
    server: EmbeddingServer, make: Make
) -> None:
    server.base64 = None
    texts = some(70)
    np.testing.assert_allclose(make().embed(texts, "document"), matrix(texts), atol=1e-6)
    assert len(server.failures) <= 3


# Dimensions and identity


def test_a_vector_is_cut_where_the_model_allows_it(server: EmbeddingServer, make: Make) -> None:
    profile = replace(PLAIN, matryoshka=(4, 2))
    embedder = make(profile=profile, dimensions=4)
    assert embedder.dimensions == 4
    vectors = embedder.embed(["one", ""], "document")
    np.testing.assert_allclose(vectors[0], unit("one", cut=4), atol=1e-6)
    assert vectors.shape == (2, 4)


@pytest.mark.parametrize(
    ("matryoshka", "asked", "choice"),
    [
        ((), 4, "to 8, or leave"),
        ((4, 2), 3, "to 2, 4, 8, or leave"),
        ((4, 2), 16, "to 2, 4, 8, or leave"),
        (range(2, 100), 1, "to 2 to 8, or leave"),
        (range(2, 100), 9, "to 2 to 8, or leave"),
    ],
)
@pytest.mark.parametrize("native", [8, None])
def test_a_size_that_the_model_cannot_give_is_an_error(
    server: EmbeddingServer, make: Make, matryoshka: Any, asked: int, choice: str, native: int
) -> None:
    profile = Profile("plain", matryoshka=matryoshka)
    embedder = make(profile=profile, dimensions=asked, native=native)
    with pytest.raises(ModelError, match=f"8 dimensions, vector_dimensions asks for {asked}") as e:
        embedder.embed(["one"], "document")
    assert choice in e.value.remedy
    with pytest.raises(ModelError):
        _ = embedder.dimensions


def test_the_models_own_size_may_be_asked_for(server: EmbeddingServer, make: Make) -> None:
    assert make(dimensions=8).embed(["one"], "document").shape == (1, 8)


def test_a_probe_decides_where_the_size_is_not_known(server: EmbeddingServer, make: Make) -> None:
    embedder = make(native=None)
    assert embedder.dimensions == 8
    assert embedder.dimensions == 8
    assert list(server.sent.items()) == [(PROBE, 1)]


def test_another_size_than_the_models_is_an_error_with_both_numbers(
    server: EmbeddingServer, make: Make
) -> None:
    with pytest.raises(ModelError, match="8 dimensions where 384 are expected"):
        make(native=384).embed(["one"], "document")


def test_a_size_that_changes_on_the_way_is_an_error(server: EmbeddingServer, make: Make) -> None:
    embedder = make(native=None)
    embedder.embed(["one"], "document")
    server.size = 4
    with pytest.raises(ModelError, match="4 dimensions where 8"):
        embedder.embed(["two"], "document")


def test_the_fingerprint_knows_model_prefixes_and_cut(make: Make) -> None:
    gemma = profile_of("embeddinggemma")
    made = [
        make(),
        make(identity=lambda: Identity("sha256:2", 8)),
        make(profile=gemma),
        make(profile=gemma, dimensions=128),
    ]
    assert len({embedder.fingerprint for embedder in made}) == 4
    assert make().fingerprint == made[0].fingerprint


def test_identity_and_readiness_are_asked_once_and_only_when_needed(make: Make) -> None:
    asked: list[str] = []

    def ready() -> Limits:
        asked.append("ready")
        return Limits()

    def identity() -> Identity:
        asked.append("identity")
        return Identity("x", 8)

    embedder = make(ready=ready, identity=identity)
    assert asked == []
    for _ in range(2):
        _ = embedder.fingerprint
    assert asked == ["identity"]
    for text in ("one", "two"):
        embedder.embed([text], "query")
    assert asked == ["identity", "ready"]


def test_a_model_that_was_not_ready_is_asked_again(make: Make) -> None:
    ready = [ModelNotFound("no such model", "pull it")]

    def prepare() -> Limits:
        if ready:
            raise ready.pop()
        return Limits()

    embedder = make(ready=prepare)
    with pytest.raises(ModelNotFound):
        embedder.embed(["one"], "document")
    assert embedder.embed(["one"], "document").shape == (1, 8)


# Vectors that are none

NAN: list[float | None] = [1.0, float("nan")] + [0.0] * 6
NULL: list[float | None] = [None] * 8
ZEROS: list[float | None] = [0.0] * 8
INFINITE: list[float | None] = [float("inf")] + [0.0] * 7


@pytest.mark.parametrize("row", [NAN, NULL, ZEROS, INFINITE])
@pytest.mark.parametrize("base64", [True, False])
def test_a_text_without_a_vector_is_asked_for_once_more_alone(
    server: EmbeddingServer, make: Make, row: list[float | None], base64: bool
) -> None:
    server.base64 = base64
    texts = some(40)
    server.odd = {texts[3]: [row]}
    np.testing.assert_allclose(make().embed(texts, "document"), matrix(texts), atol=1e-6)
    assert [sent for sent, _ in server.requests].count([texts[3]]) == 1
    assert server.sent.total() == 41


def test_a_text_that_never_gets_a_vector_fails_alone(server: EmbeddingServer, make: Make) -> None:
    texts = some(40)
    server.odd = {texts[3]: [NAN] * 9}
    vectors, _, failed = gathered(make().stream(texts, "document"), 40)
    assert failed == {3: "ai/test gives a vector of zeros or not of numbers for it"}
    assert not vectors[3].any()
    assert server.sent[texts[3]] == 2
    with pytest.raises(ModelError, match="text 4 of 40: ai/test gives"):
        make().embed(texts, "document")


def test_very_large_and_very_small_vectors_keep_their_direction(
    server: EmbeddingServer, make: Make
) -> None:
    server.odd = {"large": [[3e38, 3e38] + [0.0] * 6], "small": [[1e-40, 0.0] + [0.0] * 6]}
    vectors = make().embed(["large", "small"], "document")
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1.0, atol=1e-6)


@pytest.mark.parametrize("row", [NAN, NULL, ZEROS])
def test_a_broken_model_is_refused(
    server: EmbeddingServer, make: Make, row: list[float | None]
) -> None:
    texts = some(40)
    server.odd = {text: [row] * 9 for text in [*texts, PROBE]}
    for native in (8, None):
        with pytest.raises(ModelError, match="ai/test is broken") as error:
            make(native=native).embed(texts, "document")
        assert "pull the model again" in error.value.remedy
    with pytest.raises(ModelError, match="is broken"):
        _ = make(native=None).dimensions
    assert len(server.requests) <= 6


# Texts that are too long


def test_the_one_text_that_is_too_long_is_found_and_cut(
    server: EmbeddingServer, make: Make
) -> None:
    texts = [*some(20), words(1000, "long"), *some(40)[20:]]
    embedder = make(batch=64)
    vectors, cut, failed = gathered(embedder.stream(texts, "document"), 41)
    assert failed == {}
    assert list(cut) == [20]
    others = [i for i in range(41) if i != 20]
    np.testing.assert_allclose(vectors[others], matrix([texts[i] for i in others]), atol=1e-6)
    [kept] = [text for text in server.embedded if text.startswith("long")]
    assert texts[20].startswith(kept)
    assert 0.8 * 512 < tokens(kept) <= 512
    assert cut[20] == (
        f"only the first {len(kept):,} of {len(texts[20]):,} characters were embedded "
        "(limit 512 tokens)"
    )
    np.testing.assert_allclose(vectors[20], unit(kept), atol=1e-6)
    assert max(server.sent[texts[i]] for i in others) <= 2
    assert set(server.embedded.values()) == {1}


def test_the_limit_is_learnt_once(server: EmbeddingServer, make: Make) -> None:
    texts = [words(1000 if i % 10 == 3 else 50, f"n{i}") for i in range(300)]
    _, cut, failed = gathered(make().stream(texts, "document"), 300)
    assert len(cut) == 30
    assert failed == {}
    assert len(server.failures) <= 6
    short = [text for text in texts if tokens(text) < 512]
    assert sum(server.sent[text] for text in short) <= len(short) + 64


def test_a_text_of_about_the_limit_goes_alone_and_whole(
    server: EmbeddingServer, make: Make
) -> None:
    embedder = make(ready=lambda: Limits(tokens=512))
    embedder.embed(some(64, 40), "document")
    texts = [*some(20, 41), words(508, "near")]
    _, cut, _ = gathered(embedder.stream(texts, "document"), 21)
    assert cut == {}
    assert ([texts[20]], 200) in server.requests
    assert server.failures == []


def test_the_prefix_counts_and_stays(server: EmbeddingServer, make: Make) -> None:
    embedder = make(profile=Profile("x", document="a prefix of six words : {text}"))
    _, cut, _ = gathered(embedder.stream([words(2000)], "document"), 1)
    [kept] = server.embedded
    assert kept.startswith("a prefix of six words : w word")
    assert f"of {len(words(2000)):,} characters" in cut[0]
    characters = len(kept) - len("a prefix of six words : ")
    assert f"first {characters:,} of" in cut[0]


def test_without_numbers_a_text_is_halved_until_it_fits(
    server: EmbeddingServer, make: Make
) -> None:
    server.numbers = False
    texts = [*some(20), words(1500, "long"), *some(40)[20:], words(1400, "tall")]
    _, cut, failed = gathered(make(batch=64).stream(texts, "document"), 42)
    assert failed == {}
    assert set(cut) == {20, 41}
    assert "the model takes no more" in cut[20]
    kept = [text for text in server.embedded if text.startswith(("long", "tall"))]
    assert all(200 < tokens(text) <= 512 for text in kept)
    assert max(server.sent[text] for text in some(40)) <= 3


def test_without_usage_the_limit_is_kept_all_the_same(server: EmbeddingServer, make: Make) -> None:
    server.usage = False
    texts = [words(700 if i % 3 else 50, f"n{i}") for i in range(60)]
    _, cut, failed = gathered(make().stream(texts, "document"), 60)
    assert len(cut) == 40
    assert failed == {}


def test_many_texts_that_are_too_long_in_one_request(server: EmbeddingServer, make: Make) -> None:
    texts = [words(600 + i, f"n{i}") for i in range(32)]
    _, cut, failed = gathered(make().stream(texts, "document"), 32)
    assert len(cut) == 32
    assert failed == {}


def test_texts_that_do_not_look_too_long_are_found(server: EmbeddingServer, make: Make) -> None:
    """Signs without spaces: a token to this server, a hundred pieces to us, and the reverse."""
    texts = ["#" * 600 + f" {i}" for i in range(60)] + [" ".join("a" * 540) for _ in range(1)]
    _, cut, failed = gathered(make(batch=64).stream(texts, "document"), 61)
    assert list(cut) == [60]
    assert failed == {}
    assert max(server.sent[text] for text in texts[:60]) <= 9


def test_a_prefix_that_alone_is_too_long_fails_the_text_only(
    server: EmbeddingServer, make: Make
) -> None:
    server.limit = 10
    embedder = make(profile=Profile("x", query=" ".join("prefix" for _ in range(30)) + " {text}"))
    embedder.embed(["a short document"], "document")
    _, _, failed = gathered(embedder.stream(["word"], "query"), 1)
    assert "too large to process" in failed[0]


def test_a_server_that_has_lost_its_configuration_gets_it_again_once(
    server: EmbeddingServer, make: Make
) -> None:
    calls: list[int] = []

    def reconfigure() -> Limits:
        calls.append(1)
        server.limit = 2048
        return Limits(tokens=2048)

    texts = [words(1000, f"n{i}") for i in range(40)]
    embedder = make(ready=lambda: Limits(tokens=2048), reconfigure=reconfigure)
    _, cut, failed = gathered(embedder.stream(texts, "document"), 40)
    assert (cut, failed, calls) == ({}, {}, [1])


def test_a_configuration_that_does_not_help_is_not_sent_again(
    server: EmbeddingServer, make: Make
) -> None:
    calls: list[int] = []

    def reconfigure() -> Limits:
        calls.append(1)
        return Limits(tokens=2048)

    texts = [words(1000, f"n{i}") for i in range(40)]
    embedder = make(ready=lambda: Limits(tokens=2048), reconfigure=reconfigure)
    _, cut, _ = gathered(embedder.stream(texts, "document"), 40)
    assert (len(cut), calls) == (40, [1])


# Many at once


def test_tokens_under_way_stay_below_the_context(server: EmbeddingServer, make: Make) -> None:
    server.context, server.limit, server.pace = 1000, 900, 0.0005
    texts = some(200, 50)
    embedder = make(ready=lambda: Limits(tokens=900, context=1000))
    np.testing.assert_allclose(embedder.embed(texts, "document"), matrix(texts), atol=1e-6)
    assert server.failures == []


def test_an_overflowing_context_means_less_at_once(server: EmbeddingServer, make: Make) -> None:
    server.context, server.pace = 700, 0.0005
    texts = some(150, 50)
    np.testing.assert_allclose(make().embed(texts, "document"), matrix(texts), atol=1e-6)
    assert set(server.embedded.values()) == {1}


def test_no_more_requests_at_once_than_allowed(server: EmbeddingServer, make: Make) -> None:
    server.pace = 0.002
    make(batch=4, concurrency=3).embed(some(200), "document")
    assert server.most_at_once == 3


def test_threads_share_requests_and_texts(server: EmbeddingServer, make: Make) -> None:
    server.pace = 0.0005
    texts = some(120)
    embedder = make(batch=32)
    results: dict[int, Any] = {}

    def ask(which: int) -> None:
        results[which] = embedder.embed(texts[which * 10 : which * 10 + 40], "document")

    threads = [threading.Thread(target=ask, args=(which,)) for which in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for which, vectors in results.items():
        expected = matrix(texts[which * 10 : which * 10 + 40])
        np.testing.assert_allclose(vectors, expected, atol=1e-6)
    assert set(server.sent.values()) == {1}
    assert len(server.requests) <= 12


def test_a_text_that_was_just_embedded_is_not_sent_again(
    server: EmbeddingServer, make: Make
) -> None:
    embedder = make()
    texts = [*some(10), words(1000), *some(10)]
    first = gathered(embedder.stream(texts, "document"), 21)
    count = len(server.requests)
    second = gathered(embedder.stream(texts[::-1], "document"), 21)
    assert len(server.requests) == count
    np.testing.assert_array_equal(first[0], second[0][::-1])
    assert first[1] == second[1]  # it is in the middle


def test_what_is_remembered_is_bounded(
    server: EmbeddingServer, make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dispatch, "REMEMBERED_BYTES", 10 * 8 * 4)
    embedder = make(batch=5)
    embedder.embed(some(25), "document")
    embedder.embed(some(25), "document")
    assert server.sent.total() >= 40


def test_a_query_does_not_wait_for_the_documents(server: EmbeddingServer, make: Make) -> None:
    embedder = make(batch=8, concurrency=2)
    held = threading.Event()

    def judge(texts: list[str]) -> Fault | None:
        if "query" not in texts:
            held.wait(2)
        return None

    embedder.embed(["warm"], "query")
    server.judge = judge
    stream = threading.Thread(target=embedder.embed, args=(some(100), "document"))
    stream.start()
    try:
        started = time.monotonic()
        embedder.embed(["query"], "query")
        assert time.monotonic() - started < 1
        assert len(server.requests) == 2  # only queries have been answered
    finally:
        held.set()
        stream.join()


def test_while_questions_come_documents_go_one_request_at_a_time(
    server: EmbeddingServer, make: Make
) -> None:
    server.pace = 0.002
    embedder = make(batch=4, concurrency=3)
    embedder.embed(some(40), "document")
    assert server.most_at_once == 3
    embedder.embed(["query"], "query")
    server.most_at_once = 0
    embedder.embed(some(80)[40:], "document")
    assert server.most_at_once == 1


def test_a_caller_that_takes_nothing_gets_nothing_more_made(
    server: EmbeddingServer, make: Make
) -> None:
    stream = make(batch=4, concurrency=2).stream(some(500), "document")
    next(stream)
    time.sleep(0.1)
    assert server.sent.total() <= 4 * 2 * 2
    stream.close()  # type: ignore[attr-defined]
    sent = server.sent.total()
    time.sleep(0.05)
    assert server.sent.total() - sent <= 8


class Endless(Sequence[str]):
    """So many texts, made when they are asked for."""

    def __init__(self, count: int) -> None:
        self._count = count

    def __len__(self) -> int:
        return self._count

    def __getitem__(self, index: Any) -> Any:
        if index >= self._count:
            raise IndexError(index)
        return f"text {index} " + "some more words " * 10


def test_memory_does_not_grow_with_the_number_of_texts(
    server: EmbeddingServer, make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dispatch, "REMEMBERED_BYTES", 10_000)
    server.requests = Forgetful()
    server.bodies = Forgetful()
    peaks: list[int] = []
    for count in (600, 3000):
        embedder = make()
        embedder.embed(["warm up"], "document")
        tracemalloc.start()
        for _ in embedder.stream(Endless(count), "document"):
            pass
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] < peaks[0] * 1.5 + 200_000


class Forgetful(list[Any]):
    def append(self, item: Any) -> None:
        pass


def test_threads_end_when_there_is_nothing_to_do(
    server: EmbeddingServer, make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dispatch, "_IDLE", 0.02)
    embedder = make()
    embedder.embed(some(100), "document")
    until = time.monotonic() + 5
    while working() and time.monotonic() < until:
        time.sleep(0.01)
    assert working() == []
    embedder.embed(["again"], "document")


def working() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == "ragkit-embedding"]


# Failures


@pytest.mark.parametrize(
    "fault", [BAD_GATEWAY, EMPTY_500, RESET, LOADING, SLOW_DOWN, DIED, GARBLED, TOO_FEW]
)
def test_what_passes_is_tried_again(server: EmbeddingServer, make: Make, fault: Fault) -> None:
    embedder = make()
    embedder.embed(["warm"], "query")
    faults = [fault]
    server.judge = lambda texts: faults.pop() if faults else None
    texts = some(50)
    np.testing.assert_allclose(embedder.embed(texts, "document"), matrix(texts), atol=1e-6)
    assert max(server.embedded.values()) == 1


def test_a_request_that_kills_the_model_is_sent_in_halves(
    server: EmbeddingServer, make: Make
) -> None:
    embedder = make()
    embedder.embed(["warm"], "query")
    server.judge = lambda texts: DIED if len(texts) > 5 else None
    texts = some(32)
    np.testing.assert_allclose(embedder.embed(texts, "document"), matrix(texts), atol=1e-6)
    assert max(server.sent[text] for text in texts) <= 4


def test_a_request_that_is_too_large_is_sent_in_halves_and_later_ones_are_smaller(
    server: EmbeddingServer, make: Make
) -> None:
    server.judge = lambda texts: Fault(400, "request too large\n") if len(texts) > 10 else None
    texts = some(200)
    np.testing.assert_allclose(make().embed(texts, "document"), matrix(texts), atol=1e-6)
    assert len(server.failures) <= 6


def test_how_long_to_wait_is_up_to_the_server(server: EmbeddingServer, make: Make) -> None:
    embedder = make()
    embedder.embed(["warm"], "query")
    wait = [replace(SLOW_DOWN, headers={"Retry-After": "0.15"})]
    server.judge = lambda texts: wait.pop() if wait else None
    started = time.monotonic()
    embedder.embed(some(50), "document")
    assert time.monotonic() - started >= 0.15


@pytest.mark.parametrize(
    "fault",
    [
        Fault(500, {"error": {"code": 500, "message": "ill-formed UTF-8"}}),
        Fault(400, {"error": {"code": 400, "message": "no such words"}}),
        EMPTY_500,
        RESET,
        DIED,
        GARBLED,
    ],
)
@pytest.mark.parametrize("bad", [0, 17])
def test_one_bad_text_fails_alone(
    server: EmbeddingServer, make: Make, fault: Fault, bad: int
) -> None:
    texts = some(70)
    server.judge = lambda sent: fault if texts[bad] in sent else None
    vectors, _, failed = gathered(make().stream(texts, "document"), 70)
    assert list(failed) == [bad]
    assert failed[bad].startswith(server.url)
    good = [i for i in range(70) if i != bad]
    np.testing.assert_allclose(vectors[good], matrix([texts[i] for i in good]), atol=1e-6)
    assert max(server.embedded.values()) == 1


def test_a_text_that_hangs_the_server_fails_alone(server: EmbeddingServer, make: Make) -> None:
    texts = some(4)
    embedder = make(patience=replace(QUICK, answer=0.1), batch=4)
    embedder.embed(["warm"], "query")
    server.judge = lambda sent: HANGS if texts[1] in sent else None
    _, _, failed = gathered(embedder.stream(texts, "document"), 4)
    assert list(failed) == [1]


def test_a_server_that_dies_on_the_way_leaves_what_was_done(
    server: EmbeddingServer, make: Make
) -> None:
    done: list[int] = []
    stream = make(batch=4).stream(some(200), "document")
    started = time.monotonic()

    def take() -> None:
        for some_done in stream:
            done.extend(some_done.positions)
            if len(done) >= 40:
                server.die()

    with pytest.raises(ModelUnreachable) as error:
        take()
    assert server.url in error.value.message
    assert len(done) >= 40
    assert time.monotonic() - started < 5


def test_a_server_that_starts_again_is_waited_for(server: EmbeddingServer, make: Make) -> None:
    embedder = make(batch=4, patience=replace(QUICK, pause=0.05))
    embedder.embed(["warm"], "query")
    server.die()
    started: list[EmbeddingServer] = []
    timer = threading.Timer(0.12, lambda: started.append(EmbeddingServer(server.port)))
    timer.start()
    try:
        texts = some(20)
        np.testing.assert_allclose(embedder.embed(texts, "document"), matrix(texts), atol=1e-6)
    finally:
        timer.join()
        started[0].die()


def test_where_nobody_listens_it_is_said_at_once(make: Make) -> None:
    nobody = EmbeddingServer()
    nobody.die()
    started = time.monotonic()
    for kind in ("document", "query"):
        with pytest.raises(ModelUnreachable, match="nothing listens there") as error:
            make(nobody.url, patience=Patience()).embed(some(50), kind)
        assert error.value.remedy
    assert time.monotonic() - started < 0.9


@pytest.mark.parametrize(
    ("fault", "kind"),
    [
        (Fault(404, "error while getting model: model not found\n"), ModelNotFound),
        (Fault(404, "404 page not found\n"), ModelUnreachable),
        (Fault(401, "who are you?"), ModelError),
        (Fault(501, {"error": {"message": "This server does not support embeddings"}}), ModelError),
        (Fault(400, {"error": {"message": "Pooling type 'none' is not OAI compatible"}}),
         ModelError),
        (GARBLED, ModelError),
        (TOO_FEW, ModelError),
        (Fault(500, "unable to load runner: failed to load model"), ModelError),
    ],
)  # fmt: skip
@pytest.mark.parametrize("kind_of_text", ["document", "query"])
def test_a_server_that_never_does_it_is_one_error_after_few_requests(
    server: EmbeddingServer, make: Make, fault: Fault, kind: type[ModelError], kind_of_text: Any
) -> None:
    server.judge = lambda texts: fault
    with pytest.raises(kind) as error:
        make().embed(some(100 if kind_of_text == "document" else 1), kind_of_text)
    assert server.url in error.value.message
    assert len(server.requests) <= 3


@pytest.mark.parametrize("fault", [BAD_GATEWAY, RESET, LOADING, SLOW_DOWN])
def test_patience_has_an_end(server: EmbeddingServer, make: Make, fault: Fault) -> None:
    server.judge = lambda texts: fault
    started = time.monotonic()
    kind = ModelBusy if fault in (LOADING, SLOW_DOWN) else ModelError
    with pytest.raises(kind):
        make(patience=replace(QUICK, deadline=0.4)).embed(some(100), "document")
    assert time.monotonic() - started < 3


def test_after_an_error_the_next_call_begins_anew(server: EmbeddingServer, make: Make) -> None:
    embedder = make()
    server.judge = lambda texts: Fault(404, "model not found")
    with pytest.raises(ModelNotFound):
        embedder.embed(some(100), "document")
    server.judge = lambda texts: None
    texts = some(100)
    np.testing.assert_allclose(embedder.embed(texts, "document"), matrix(texts), atol=1e-6)


def test_an_error_reaches_every_thread_that_waits(server: EmbeddingServer, make: Make) -> None:
    embedder = make()
    embedder.embed(["warm"], "query")
    server.judge = lambda texts: Fault(404, "model not found", after=0.05)
    errors: list[ModelError] = []

    def ask(which: int) -> None:
        try:
            embedder.embed([f"{which} {text}" for text in some(50)], "document")
        except ModelError as error:
            errors.append(error)

    threads = [threading.Thread(target=ask, args=(which,)) for which in range(5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(5)
    assert [type(error) for error in errors] == [ModelNotFound] * 5


# Ends


def test_closing_ends_threads_and_tells_those_who_wait(server: EmbeddingServer, make: Make) -> None:
    server.judge = lambda texts: LOADING
    embedder = make(patience=Patience())
    errors: list[ModelError] = []

    def ask() -> None:
        try:
            embedder.embed(some(50), "document")
        except ModelError as error:
            errors.append(error)

    thread = threading.Thread(target=ask)
    thread.start()
    while not server.requests:
        time.sleep(0.005)
    embedder.close()
    thread.join(2)
    assert [error.message for error in errors] == ["the embedding model has been closed"]
    with pytest.raises(ModelError, match="closed"):
        embedder.embed(["one"], "document")


SCRIPT = """
import sys
from ragkit.models.embedding import Identity, RemoteEmbedder
from ragkit.models.http import Client, Endpoint
from ragkit.models.profiles import Profile

embedder = RemoteEmbedder(
    Client(Endpoint(sys.argv[1])), model="m", name="m", profile=Profile("p"),
    identity=lambda: Identity("x", 8),
)
stream = embedder.stream([f"text {i}" for i in range(1000)], "document")
next(stream)
print("begun", flush=True)
if sys.argv[2] == "leave":
    sys.exit(0)
for done in stream:
    pass
"""


@pytest.mark.parametrize("way", ["leave", "interrupt"])
@pytest.mark.skipif(sys.platform == "win32", reason="signals differ there")
def test_a_program_ends_at_once_while_requests_are_under_way(
    server: EmbeddingServer, way: str
) -> None:
    import signal

    count = iter(range(10**9))
    server.judge = lambda texts: replace(HANGS, after=1.5) if next(count) else None
    command = [sys.executable, "-c", textwrap.dedent(SCRIPT), server.url, way]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        assert process.stdout.readline() == b"begun\n"
        started = time.monotonic()
        if way == "interrupt":
            time.sleep(0.05)
            process.send_signal(signal.SIGINT)
        process.wait(10)
        assert time.monotonic() - started < 1.2
        stderr = process.stderr.read().decode()
    assert ("KeyboardInterrupt" in stderr) is (way == "interrupt")
    if way == "leave":
        assert (process.returncode, stderr) == (0, "")


# Whatever happens

FAULTS = [BAD_GATEWAY, EMPTY_500, RESET, LOADING, SLOW_DOWN, DIED, GARBLED, TOO_FEW]


@settings(max_examples=30, deadline=None)
@given(
    lengths=st.lists(st.integers(0, 900), min_size=1, max_size=60),
    batch=st.integers(1, 40),
    concurrency=st.integers(1, 4),
    faults=st.lists(st.none() | st.sampled_from(FAULTS), max_size=8),
    numbers=st.booleans(),
)
def test_failures_that_pass_change_nothing(
    lengths: list[int],
    batch: int,
    concurrency: int,
    faults: list[Fault | None],
    numbers: bool,
) -> None:
    texts = [words(length, f"n{i % 50}") if length else "" for i, length in enumerate(lengths)]
    server = EmbeddingServer()
    server.numbers = numbers
    # a model that dies twice of the same text is not started for it again
    left = [fault for i, fault in enumerate(faults) if fault != DIED or DIED not in faults[:i]]

    def judge(sent: list[str]) -> Fault | None:
        fault = left.pop() if left else None
        # what has never given a vector is believed to be something else
        return None if fault in (GARBLED, TOO_FEW) and not server.embedded else fault

    server.judge = judge
    embedder = RemoteEmbedder(
        Client(Endpoint(server.url)),
        model="ai/test",
        name="dmr/ai/test",
        profile=PLAIN,
        identity=lambda: Identity("x", 8),
        batch=batch,
        concurrency=concurrency,
        patience=replace(QUICK, pause=0.001, deadline=30.0),
    )
    try:
        vectors, cut, failed = gathered(embedder.stream(texts, "document"), len(texts))
        assert failed == {}
        for i, text in enumerate(texts):
            if not text:
                assert not vectors[i].any()
            elif tokens(text) <= 512 and i not in cut:
                np.testing.assert_allclose(vectors[i], unit(text), atol=1e-6)
            else:
                assert i in cut
        assert set(cut) >= {i for i, text in enumerate(texts) if tokens(text) > 512}
        assert set(server.embedded.values()) <= {1}
    finally:
        embedder.close()
        server.die()
