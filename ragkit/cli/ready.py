"""Before a knowledge base is asked: models are pulled if somebody agrees, files are indexed."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

import click

from ragkit.cli.options import say

if TYPE_CHECKING:
    from ragkit.config.rag import Source
    from ragkit.kb import KnowledgeBase

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


def refresh(kb: KnowledgeBase) -> None:
    """Bring the index up to the disk; where that cannot be now, a note says so.

    Raises what keeps it from being built where nothing is indexed that could answer.
    """
    from ragkit.cli.progress import refreshed
    from ragkit.errors import ModelError, StoreBusy

    try:
        refreshed(kb, failures_shown=0)
    except (StoreBusy, ModelError) as error:
        if not any(index.store.statistics().chunks for index in kb.indexes):
            raise
        say(f"not refreshed: {error.message}")
