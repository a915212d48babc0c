"""Before a knowledge base is asked: models are pulled if somebody agrees, files are indexed."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import wraps
from typing import TYPE_CHECKING, Any, TypeVar, cast

import click

from ragkit.cli.options import say

if TYPE_CHECKING:
    from ragkit.config.rag import Source
    from ragkit.kb import KnowledgeBase

LONGEST = 5.0
"""Seconds for which another process that indexes is waited for; then what is indexed answers."""

SHOWN = 5
"""Files that are named where there was no time for them."""

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


def _budget(context: click.Context, parameter: click.Parameter, value: str) -> float | None:
    """Seconds of `300ms` or `2s`; 0 for `off`, None for `full`."""
    if value in ("off", "full"):
        return 0.0 if value == "off" else None
    matched = re.fullmatch(r"(\d+(?:\.\d+)?)(ms|s)", value)
    if not matched or not float(matched[1]):
        raise click.BadParameter(f"{value!r} is no budget: give 300ms, 2s, full or off")
    return float(matched[1]) / (1000 if matched[2] == "ms" else 1)


def refresh_option(command: Command) -> Command:
    """--refresh and --no-refresh, which the command gets as `refreshing`: see `_budget`."""

    @wraps(command)
    def collected(*args: Any, refreshing: float | None, no_refresh: bool, **options: Any) -> Any:
        return command(*args, refreshing=0.0 if no_refresh else refreshing, **options)

    for decorate in (
        click.option("--no-refresh", is_flag=True, help="As --refresh off."),
        click.option(
            "--refresh",
            "refreshing",
            callback=_budget,
            default="2s",
            show_default=True,
            metavar="BUDGET",
            help="How long to index what has changed before the search: 300ms, 2s, full, or off. "
            "What is left then is named. The first index is always built whole.",
        ),
    ):
        collected = decorate(collected)
    return cast("Command", collected)


@dataclass(frozen=True, slots=True)
class Left:
    """What there was no time for."""

    files: tuple[str, ...] = ()
    """Known to have changed since they were indexed."""
    whole: bool = False
    """Whether all files were looked at."""


def refresh(kb: KnowledgeBase, budget: float | None) -> Left:
    """Bring the index up to the disk, as far as there is time; what is left.

    What is left, and why it could not be done at all, is said. Raises what keeps the index from
    being built where nothing is indexed that could answer. `budget` as of `_budget`.
    """
    from ragkit.cli.progress import refreshed
    from ragkit.errors import ModelError, StoreBusy

    is_whole = all(index.store.is_complete for index in kb.in_force.indexes)
    wait = None if not is_whole else LONGEST if budget is None else budget
    try:
        summaries = refreshed(kb, failures_shown=0, budget=budget, wait=wait)
    except (StoreBusy, ModelError) as error:
        if not any(index.store.statistics().chunks for index in kb.in_force.indexes):
            raise
        say(f"not refreshed: {error.message}")
        return Left()
    left = tuple(sorted({path for summary in summaries for path in summary.left}))
    if left:
        more = f" and {len(left) - SHOWN:,} more" if len(left) > SHOWN else ""
        say(f"not indexed yet: {', '.join(left[:SHOWN])}{more}; --refresh full waits for them")
    whole = all(summary.whole for summary in summaries)
    if not whole:
        say("there was no time to look at all files; --refresh full takes it")
    return Left(left, whole)
