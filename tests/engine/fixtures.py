"""What tests ask for: a runner, as new for each test."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from .canned import CannedEngine
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
