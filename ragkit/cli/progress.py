"""Indexing as it is seen on a terminal: a bar while it works, a line when it is done."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

import click

from ragkit.events import (
    Described,
    Embedding,
    Event,
    Failed,
    Indexed,
    Scanned,
    Shortened,
    Skipped,
    Unchanged,
    Waiting,
)

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID

    from ragkit.indexer import Summary
    from ragkit.kb import KnowledgeBase


def refreshed(
    kb: KnowledgeBase,
    *,
    rebuild: bool = False,
    failures_shown: int = 10,
    budget: float | None = None,
    wait: float | None = None,
) -> list[Summary]:
    """Index with a bar on stderr where that is a terminal; `budget` and `wait` as of `kb.index`.

    Files that failed and entries of `docs` that are not there are named on stderr.
    """
    from ragkit.cli.workers import Workers

    with bar() as listener, Workers() as executor:
        failures: list[Failed] = []
        shortened: list[Shortened] = []
        missing: dict[str, str] = {}

        def listen(event: Event) -> None:
            if isinstance(event, Waiting) and wait is None:
                click.echo(f"{event.holder} is indexing; waiting for it", err=True)
            if isinstance(event, Failed):
                failures.append(event)
            if isinstance(event, Shortened):
                shortened.append(event)
            if isinstance(event, Skipped) and event.skip.rule == "missing":
                missing[event.skip.path] = event.skip.detail
            listener(event)

        try:
            summaries = kb.index(
                listen, rebuild=rebuild, executor=executor, budget=budget, wait=wait
            )
        except KeyboardInterrupt:
            listener.stop()
            if listener.stale:
                left = listener.stale - listener.done
                click.echo(
                    f"stopped: {listener.done:,} of {listener.stale:,} files are indexed, "
                    f"{left:,} are left; `ragkit index` goes on from here",
                    err=True,
                )
            raise
    for path, detail in missing.items():  # an entry of `docs` that several indexes may have
        click.echo(f"{click.style('not there:', fg='yellow')} {path}: {detail}", err=True)
    _name("not indexed:", failures, shown=failures_shown)
    _name("not whole:", shortened, shown=failures_shown)
    return summaries


def _name(mark: str, events: Sequence[Failed | Shortened], *, shown: int) -> None:
    """Each of the first few on a line of stderr, and how many more there are."""
    for event in events[:shown]:
        click.echo(f"{click.style(mark, fg='yellow')} {event.path}: {event.reason}", err=True)
    if (more := len(events) - shown) > 0:
        note = click.style("note:", fg="yellow")
        click.echo(f"{note} {more} {mark.rstrip(':')}; `ragkit status` tells why", err=True)


@contextmanager
def bar() -> Iterator[Bar]:
    """A listener that draws a progress bar on stderr; where stderr is no terminal, nothing."""
    drawing = Bar()
    try:
        yield drawing
    finally:
        drawing.stop()


class Bar:
    """Draws once there is work: a search that finds nothing stale shows no bar. And counts."""

    def __init__(self) -> None:
        self.progress: Progress | None = None
        self.task: TaskID | None = None
        self.described = 0
        self.embedded = 0
        self.stale = 0
        """Files of this walk that have to be read."""
        self.done = 0
        """Those that have been."""

    def __call__(self, event: Event) -> None:
        if isinstance(event, Indexed | Unchanged | Failed) or (
            isinstance(event, Skipped) and event.size
        ):
            self.done += 1
        if isinstance(event, Scanned):
            self.stale, self.done = event.stale, 0
            self.start(event)
        elif self.progress is None or self.task is None:
            return
        elif isinstance(event, Embedding | Described):
            self.embedded += event.texts if isinstance(event, Embedding) else 0
            self.described += event.texts if isinstance(event, Described) else 0
            done = [f"{self.described:,} chunks described"] if self.described else []
            done += [f"{self.embedded:,} chunks embedded"] if self.embedded else []
            self.progress.update(self.task, embedded=", ".join(done))
        elif isinstance(event, Indexed | Unchanged | Failed | Skipped):
            self.progress.advance(self.task, event.size)

    def start(self, event: Scanned) -> None:
        self.stop()
        if not event.stale or not sys.stderr.isatty():
            return
        # rich takes 70 ms to import: only where there is something to draw
        from rich.console import Console
        from rich.progress import (
            BarColumn,
            DownloadColumn,
            Progress,
            TextColumn,
            TimeRemainingColumn,
        )

        self.progress = Progress(
            TextColumn("indexing {task.description}"),
            BarColumn(),
            DownloadColumn(),
            TextColumn("{task.fields[embedded]}"),
            TimeRemainingColumn(),
            console=Console(stderr=True),
            transient=True,
        )
        self.task = self.progress.add_task(
            f"{event.index} ({event.stale:,} files)", total=event.stale_bytes, embedded=""
        )
        self.progress.start()

    def stop(self) -> None:
        if self.progress is not None:
            self.progress.stop()
            self.progress = None
