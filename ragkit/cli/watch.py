"""`ragkit watch`: keep indexes true until stopped, and say what is done, a line each."""

from __future__ import annotations

import signal
import threading
import time
from contextlib import suppress
from typing import TYPE_CHECKING

import click

from ragkit.cli.options import place
from ragkit.cli.ready import models_ready, pull_option

if TYPE_CHECKING:
    from ragkit.config.rag import Source
    from ragkit.events import Event, Listener
    from ragkit.indexer import Summary
    from ragkit.kb import KnowledgeBase
    from ragkit.part import Part
    from ragkit.watcher import Swept, Told

SHOWN = 5
"""Files of one walk that get a line each; of more, one line says how many."""


@click.command()
@place
@click.option(
    "--poll",
    is_flag=True,
    help="Look at all files again and again: for network drives and container mounts, which tell "
    "of no changes.",
)
@pull_option
def watch(path: str | None, config: str | None, name: str | None, poll: bool, pull: bool) -> None:
    """Keep the index of PATH (default: the repository around you) true until stopped.

    A file that is saved can be found within a second. Renamed and deleted files, changes of branch,
    new ignore rules and an edited configuration are followed; every knowledge base of a
    configuration is watched unless --kb names one. Searches by other processes go on meanwhile.

    While another process watches the same index, this one waits to take over. Stop it with Ctrl-C:
    what was done is kept.
    """
    from ragkit.kb.places import sources
    from ragkit.watcher import Watcher

    def load() -> tuple[Source, ...]:
        return sources(path, config=config, name=name)

    for source in load():
        models_ready(source, pull=pull)
    teller = _Teller()
    watcher = Watcher(load, teller.tell, poll=poll, sweep=_sweep)
    stop = threading.Event()
    with suppress(ValueError):  # not in the main thread, as in tests
        signal.signal(signal.SIGTERM, lambda number, frame: stop.set())
    with suppress(KeyboardInterrupt):
        watcher.run(stop)
    _say(f"stopped; {teller.files:,} files were indexed, {teller.removed:,} removed")


def _sweep(kb: KnowledgeBase, listener: Listener, part: Part | None) -> list[Summary]:
    from ragkit.cli.workers import Workers

    def listen(event: Event) -> None:
        from ragkit.events import Waiting

        if isinstance(event, Waiting):
            _say(f"{event.holder} is indexing; waiting")
        listener(event)

    with Workers() as executor:  # which starts none for a few files
        return kb.index(listen, executor=executor, part=part)


def _say(line: str, mark: str = "") -> None:
    """A line with the time; flushed, as somebody looks on."""
    now = click.style(time.strftime("%H:%M:%S"), dim=True)
    click.echo(f"{now} {mark}{line}")


class _Teller:
    """Prints what a watcher tells, and counts."""

    def __init__(self) -> None:
        self.files = 0
        self.removed = 0

    def tell(self, told: Told) -> None:
        from ragkit.watcher import Standby, Swept, Trouble, Watching, Well

        match told:
            case Swept():
                self._swept(told)
            case Watching(name, root, polls):
                how = "looking again and again" if polls else "watching"
                _say(f"{name}: up to date; {how} in {root}")
            case Standby(database, holder):
                _say(f"{holder} keeps {database} true; waiting to take over")
            case Trouble(what, remedy):
                _say(what, click.style("trouble: ", fg="yellow"))
                if remedy:
                    click.echo(f"           {click.style('try:', fg='cyan')} {remedy}")
            case Well(what):
                _say(what)

    def _swept(self, told: Swept) -> None:
        from ragkit.events import Failed, Indexed, Removed

        by_path: dict[tuple[type[Event], str], Event] = {}
        for event in told.events:  # several indexes may have one file
            if isinstance(event, Indexed | Removed | Failed):
                by_path.setdefault((type(event), event.path), event)
        events = list(by_path.values())
        indexed = [event for event in events if isinstance(event, Indexed)]
        removed = [event for event in events if isinstance(event, Removed)]
        failed = [event for event in events if isinstance(event, Failed)]
        self.files += len(indexed)
        self.removed += len(removed)
        seconds = f"{told.seconds:.1f} s"
        if len(events) > SHOWN:
            counts = ((indexed, "indexed"), (removed, "removed"), (failed, "failed"))
            what = ", ".join(f"{len(some):,} {done}" for some, done in counts if some)
            _say(f"{told.knowledge_base}: {what}; {seconds}")
            return
        for event in indexed:
            chunks = f"{event.chunks:,} chunk{'' if event.chunks == 1 else 's'}"
            _say(f"{event.path}: indexed, {chunks}, {event.embedded:,} embedded; {seconds}")
        for gone in removed:
            _say(f"{gone.path}: removed")
        for event in failed:
            _say(f"{event.path}: {event.reason}", click.style("not indexed: ", fg="yellow"))
