"""What commands that speak to a model runner share: where it is, and how models are named."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TypeVar

import click

from ragkit.errors import ModelNotFound

if TYPE_CHECKING:
    from ragkit.models.dmr.runner import Runner

Command = TypeVar("Command", bound=Callable[..., Any])
T = TypeVar("T")


def host_option(command: Command) -> Command:
    """--host: which model runner is meant."""
    return click.option(
        "--host",
        metavar="URL",
        help="Where the model runner is. Default: $MODEL_RUNNER_HOST, or it is looked for.",
    )(command)


def json_option(command: Command) -> Command:
    return click.option(
        "--json", "as_json", is_flag=True, help="One JSON object; see docs/cli.md."
    )(command)


def runner_at(url: str | None) -> Runner:
    """The runner at a URL, or the one that is found; closed when the command ends.

    Raises ModelUnreachable.
    """
    from ragkit.models.dmr.discovery import find
    from ragkit.models.dmr.runner import Runner

    runner = Runner(find(url))
    if (context := click.get_current_context(silent=True)) is not None:
        context.call_on_close(runner.client.close)
    return runner


def plain(reference: str) -> str:
    """A reference as the runner knows it: `dmr/ai/qwen3` of a configuration is `ai/qwen3` there."""
    return reference.strip().removeprefix("dmr/")


def missing(runner: Runner, reference: str) -> ModelNotFound:
    """The error for a model that the runner does not have."""
    return ModelNotFound(
        f"{reference}: not found locally, at {runner.endpoint}",
        remedy=f"`ragkit models list` shows what is; `ragkit models pull {reference}` gets it",
    )


@contextmanager
def until_left(steps: Iterator[T]) -> Iterator[Iterator[T]]:
    """The steps of some work that ends when the block is left, however that happens."""
    try:
        yield steps
    finally:
        if (close := getattr(steps, "close", None)) is not None:
            close()
