"""What tests ask for: a runner, as new for each test."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from ragkit.errors import ModelError

from .canned import CannedEngine
from .catalogue import CATALOGUE, generated
from .gguf_models import minilm
from .llama_engine import LlamaEngine, lacking
from .plain import OpenAIServer
from .runner import Runner


@pytest.fixture(scope="session")
def _light_runner() -> Iterator[Runner]:
    runner = Runner(CannedEngine())
    yield runner
    runner.close()


@pytest.fixture
def light_runner(_light_runner: Runner) -> Iterator[Runner]:
    """Docker Model Runner without an engine: its limits and errors, and vectors out of hashes."""
    yield _light_runner
    _light_runner.reset()


@pytest.fixture(scope="session")
def _light_openai() -> Iterator[OpenAIServer]:
    server = OpenAIServer(CannedEngine())
    yield server
    server.close()


@pytest.fixture
def light_openai(_light_openai: OpenAIServer) -> Iterator[OpenAIServer]:
    """A server with OpenAI's routes at `base_url`, without an engine."""
    yield _light_openai
    _light_openai.reset()


@pytest.fixture(scope="session")
def _engine() -> Iterator[LlamaEngine]:
    if reason := lacking():
        pytest.skip(reason)
    try:
        minilm()
    except ModelError as error:
        pytest.skip(f"no weights: {error}")
    engine = LlamaEngine()
    yield engine
    engine.close()


@pytest.fixture(scope="session")
def _runner(_engine: LlamaEngine) -> Iterator[Runner]:
    runner = Runner(_engine, [generated(model) for model in CATALOGUE])
    yield runner
    runner.close()


@pytest.fixture
def runner(_runner: Runner) -> Iterator[Runner]:
    """Docker Model Runner with llama.cpp behind it: for what only true vectors show."""
    # what `_configure` loads besides costs a process, and is `preloads` all the same
    _runner.loads_for_completion = False
    yield _runner
    _runner.reset()


@pytest.fixture
def openai_server(_engine: LlamaEngine) -> Iterator[OpenAIServer]:
    """A server with OpenAI's routes at `base_url`, and llama.cpp behind it."""
    server = OpenAIServer(_engine)
    yield server
    server.reset()
    server.close()
