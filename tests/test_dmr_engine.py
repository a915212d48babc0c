"""Models made ready on a true llama.cpp: the limits are those that were promised."""

from __future__ import annotations

import numpy as np
import pytest

from ragkit.errors import ModelError
from ragkit.models import dmr
from ragkit.models.dmr import ready
from ragkit.models.dmr.places import endpoint_of
from ragkit.models.dmr.ready import prepare
from ragkit.models.dmr.runner import Runner
from ragkit.types import Message

pytestmark = pytest.mark.engine


@pytest.fixture(params=["tcp", "unix"])
def place(request, runner, monkeypatch):
    monkeypatch.setattr(ready, "_told", {})
    return runner.url if request.param == "tcp" else f"unix://{runner.socket}"


def tokens(count: int) -> str:
    return "the " * (count - 2)


def embedded(client: Runner, reference: str, count: int) -> int:
    body = {"model": reference, "input": [tokens(count)]}
    return client.client.send("POST", "/engines/v1/embeddings", body, timeout=120).status


def test_an_encoder_takes_exactly_the_limit_that_it_was_made_ready_for(place):
    client = Runner(endpoint_of(place))
    assert embedded(client, "ai/embeddinggemma", 600) == 500
    limit = prepare(client, "ai/embeddinggemma", "embedding").limit

    assert limit == 2048
    assert embedded(client, "ai/embeddinggemma", limit) == 200
    assert embedded(client, "ai/embeddinggemma", limit + 1) in (400, 500)
    client.client.close()


def test_what_needs_no_configuration_has_the_limit_that_it_has(place):
    client = Runner(endpoint_of(place))
    limit = prepare(client, "ai/all-minilm", "embedding").limit

    assert limit == 512
    assert embedded(client, "ai/all-minilm", limit) == 200
    assert embedded(client, "ai/all-minilm", limit + 1) in (400, 500)
    client.client.close()


def test_like_texts_have_like_vectors(place):
    made = dmr.embedder("ai/all-minilm", base_url=place)
    texts = ["a cat sleeps on the sofa", "a kitten naps on the couch", "the stock market fell"]
    a, b, c = made.embed(texts, "document")
    made.close()

    assert float(a @ b) > float(a @ c) + 0.3
    assert np.isclose(np.linalg.norm(a), 1, atol=1e-4)


def test_a_chat_answers(place):
    made = dmr.chat("ai/smollm2", base_url=place)
    answer = "".join(delta.content for delta in made.chat([Message("user", "hello")]))
    made.close()

    assert answer


def test_a_flag_that_stops_llama_cpp_is_told(place):
    made = dmr.embedder(
        "ai/all-minilm", base_url=place, options={"runtime_flags": ["--threads", "many"]}
    )
    with pytest.raises(ModelError) as caught:
        made.embed(["x"], "document")
    made.close()

    assert caught.value.remedy
