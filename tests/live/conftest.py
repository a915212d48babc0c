"""Tests against a real model runner: collected only where MODEL_RUNNER_HOST names one.

    MODEL_RUNNER_HOST=http://127.0.0.1:12434 python -m pytest tests/live

They take what is local and change nothing; a model that RAGKIT_LIVE_PULL names is pulled.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator

import pytest

from ragkit.models.dmr.discovery import find
from ragkit.models.dmr.records import LocalModel
from ragkit.models.dmr.runner import Runner

collect_ignore_glob = [] if os.environ.get("MODEL_RUNNER_HOST") else ["*"]

UNITS = {"": 1, "k": 1e3, "m": 1e6, "g": 1e9, "t": 1e12}


@pytest.fixture(scope="session")
def live() -> Iterator[Runner]:
    runner = Runner(find())
    yield runner
    runner.client.close()


@pytest.fixture(scope="session")
def smallest(live: Runner) -> Callable[[Callable[[LocalModel], bool]], LocalModel]:
    """The smallest local model that fits; skips the test where there is none."""

    def choose(fits: Callable[[LocalModel], bool]) -> LocalModel:
        fitting = [model for model in live.models() if fits(model)]
        if not fitting:
            pytest.skip("no such model is local")
        return min(fitting, key=_bytes)

    return choose


@pytest.fixture(scope="session")
def embedding_model(
    smallest: Callable[[Callable[[LocalModel], bool]], LocalModel],
) -> LocalModel:
    return smallest(lambda model: model.pooling in (1, 2, 3))


@pytest.fixture(scope="session")
def reranking_model(
    smallest: Callable[[Callable[[LocalModel], bool]], LocalModel],
) -> LocalModel:
    return smallest(lambda model: model.pooling == 4)


@pytest.fixture(scope="session")
def chat_model(smallest: Callable[[Callable[[LocalModel], bool]], LocalModel]) -> LocalModel:
    return smallest(lambda model: model.format == "gguf" and not model.pooling)


def _bytes(model: LocalModel) -> float:
    found = re.match(r"([\d.]+)\s*([kmgt]?)", model.size.lower())
    return float(found[1]) * UNITS[found[2]] if found else float("inf")
