"""What must hold of any model runner, whatever its version and models."""

from __future__ import annotations

import os
from collections.abc import Iterator

import numpy as np
import pytest

from ragkit.models.chat import RemoteChat, Sampling
from ragkit.models.dmr.records import LocalModel
from ragkit.models.dmr.references import name_of
from ragkit.models.dmr.runner import Runner
from ragkit.models.embedding import Identity, RemoteEmbedder
from ragkit.models.http import Client
from ragkit.models.profiles import profile_of
from ragkit.models.reranking import RemoteReranker
from ragkit.types import Message

TEXTS = (
    "Paris is the capital and largest city of France.",
    "Bananas are yellow when they are ripe.",
    "def add(a, b):\n    return a + b",
    "Größe, naïveté, 中文, 🎉",
)


@pytest.fixture
def embedder(live: Runner, embedding_model: LocalModel) -> Iterator[RemoteEmbedder]:
    """With the limits that the runner has now: nothing is configured."""
    made = RemoteEmbedder(
        Client(live.endpoint),
        model=embedding_model.reference,
        name=embedding_model.reference,
        profile=profile_of(name_of(embedding_model.reference)),
        identity=lambda: Identity(embedding_model.id, embedding_model.dimensions),
    )
    yield made
    made.close()


def test_the_runner_is_found_and_lists_its_models(live: Runner) -> None:
    assert live.backends()
    for model in live.models():
        assert model.id.startswith("sha256:")
        found = live.model(model.reference)
        assert found is not None
        assert found.id == model.id


def test_a_model_that_is_not_there_is_none(live: Runner) -> None:
    assert live.model("ai/no-model-of-this-name:ever") is None


def test_vectors_have_the_length_one_and_the_order_of_the_texts(
    embedder: RemoteEmbedder, embedding_model: LocalModel
) -> None:
    together = embedder.embed(TEXTS, "document")
    assert together.shape == (len(TEXTS), embedder.dimensions)
    np.testing.assert_allclose(np.linalg.norm(together, axis=1), 1, atol=1e-4)
    alone = np.vstack([embedder.embed([text], "document") for text in TEXTS])
    assert (together * alone).sum(axis=1).min() > 0.999
    nearest = (together @ alone.T).argmax(axis=1)
    assert nearest.tolist() == list(range(len(TEXTS)))


def test_a_question_is_nearest_to_its_answer(embedder: RemoteEmbedder) -> None:
    question = embedder.embed(["What is the capital of France?"], "query")[0]
    assert int((embedder.embed(TEXTS, "document") @ question).argmax()) == 0


def test_a_text_of_any_length_is_embedded_and_the_others_with_it(
    embedder: RemoteEmbedder,
) -> None:
    long = " ".join(f"number {n} of many words" for n in range(3000))
    done = list(embedder.stream([TEXTS[0], long, TEXTS[1]], "document"))
    assert sorted(at for part in done for at in part.positions) == [0, 1, 2]
    assert not any(part.failed for part in done)
    norms = np.concatenate([np.linalg.norm(part.vectors, axis=1) for part in done])
    np.testing.assert_allclose(norms, 1, atol=1e-4)


def test_a_reranker_tells_an_answer_from_nonsense(
    live: Runner, reranking_model: LocalModel
) -> None:
    reranker = RemoteReranker(
        Client(live.endpoint),
        model=reranking_model.reference,
        name=reranking_model.reference,
        architecture=reranking_model.architecture,
    )
    try:
        answer, nonsense = reranker.self_check()
    finally:
        reranker.close()
    assert 1 >= answer > nonsense >= 0


def test_a_chat_model_answers_in_pieces_and_can_be_interrupted(
    live: Runner, chat_model: LocalModel
) -> None:
    chat = RemoteChat(
        Client(live.endpoint),
        model=chat_model.reference,
        name=chat_model.reference,
        sampling=Sampling(temperature=0, max_tokens=400),
    )
    question = [Message("user", "Say hello.")]
    try:
        pieces = list(chat.chat(question))
        assert "".join(piece.content + piece.reasoning for piece in pieces).strip()
        assert pieces[-1].finish or pieces[-1].usage
        interrupted = chat.chat(question)
        next(interrupted)
        interrupted.close()
        assert next(iter(chat.chat(question)))
    finally:
        chat.close()


def test_a_model_can_be_pulled(live: Runner) -> None:
    reference = os.environ.get("RAGKIT_LIVE_PULL")
    if not reference:
        pytest.skip("RAGKIT_LIVE_PULL names none")
    steps = list(live.pull(reference))
    assert steps[-1].phase == "success"
    assert live.model(reference) is not None
