"""Before a knowledge base is opened: its models are pulled where somebody agrees to it."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

import click

if TYPE_CHECKING:
    from ragkit.config.rag import Source

Command = TypeVar("Command", bound=Callable[..., Any])


def pull_option(command: Command) -> Command:
    """--pull: yes to every question about models."""
    return click.option(
        "--pull", is_flag=True, help="Pull models that the model runner lacks, without asking."
    )(command)


def models_ready(source: Source, *, pull: bool) -> None:
    """Pull what the model runner lacks, with `pull` or where somebody can be asked and agrees.

    Where nobody can be asked it does nothing: opening the knowledge base tells what is missing.
    Raises ModelError for a pull that was declined or failed.
    """
    from ragkit.cli.pulling import ensure_pulled, is_interactive
    from ragkit.kb.models import served

    found = served(source)
    if not found or not (pull or is_interactive()):
        return
    from ragkit.cli.runners import runner_at
    from ragkit.errors import ModelUnreachable

    for url, references in found.items():
        try:
            runner = runner_at(url)
            runner.version()
        except ModelUnreachable:
            if pull:
                raise
            continue  # an index that is there still answers by words
        ensure_pulled(runner, references, pull=pull or None)
