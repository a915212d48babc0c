"""Keeping knowledge bases true: what happens to files rings a bell, and the bell runs the walk.

An event is a hint where to look and never what to do: the walk over the part of the tree that was
heard of compares the disk with the index, so that renames, atomic saves, moved folders and ignore
rules come out right whatever events they cause. Events can be lost, so all is looked at from time
to time, too; where there are none, as on network drives, only that (`--poll`).
"""

from __future__ import annotations

import errno
import os
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ragkit.claims import Claim
from ragkit.config.rag import Source
from ragkit.errors import QueryError, RagkitError
from ragkit.events import Event, Listener
from ragkit.kb import KnowledgeBase
from ragkit.part import Part
from ragkit.watcher.bell import Bell
from ragkit.watcher.eyes import folders_of, is_below, observer
from ragkit.watcher.told import Standby, Swept, Tell, Told, Trouble, Watching, Well

if TYPE_CHECKING:
    from ragkit.indexer import Summary

__all__ = ["Standby", "Swept", "Tell", "Told", "Trouble", "Watcher", "Watching", "Well"]

MANY = 2_000
"""Places from which on everything is looked at."""

SWEEP = 60.0
"""Seconds between two looks at everything, at least: events may be lost."""

SHARE = 0.02
"""Of the time that may go into looks at everything, beside that."""

POLL = 1.0
"""Seconds between two looks at everything where there are no events, at least."""

POLLED = 0.1
"""Of the time that may go into them there."""

AGAIN = 5.0
"""Seconds after which a look at everything is tried again where one failed."""

TICK = 0.25
"""Seconds in which Ctrl-C, an edited configuration and a folder that went away are noticed."""

RULES = frozenset({".gitignore", ".ragkitignore", ".gitattributes", "exclude"})
"""Names of files that decide about others."""


@dataclass(slots=True)
class _Watched:
    """A knowledge base under watch."""

    kb: KnowledgeBase
    folders: dict[str, bool]
    """Whose events matter, without links; and whether those below it do, too."""
    claims: list[Claim]
    away: bool = False
    """Whether its root was not there at the last look."""
    due: float = 0.0
    """When everything is to be looked at again, as `time.monotonic` tells it."""


class Watcher:
    """Keeps knowledge bases true until it is stopped. One thread runs it."""

    def __init__(
        self,
        load: Callable[[], Sequence[Source]],
        tell: Tell,
        *,
        poll: bool = False,
        sweep: Callable[[KnowledgeBase, Listener, Part | None], list[Summary]] | None = None,
    ) -> None:
        """`load` gives what the configuration says now; it is asked again when that has changed.

        `sweep` runs a walk, `KnowledgeBase.index` unless given. Raises what `load` raises.
        """
        self._load = load
        self._tell = tell
        self._polls = poll
        self._sweep = sweep or (lambda kb, listener, part: kb.index(listener, part=part))
        self.bell = Bell()
        self._observer: Any = None
        self._seen: list[object] = []
        self._troubles: dict[str, str] = {}
        self._sources = tuple(load())
        self._configuration = self._stamps()

    def run(self, stop: threading.Event) -> None:
        """Watch until `stop` is set. Raises RagkitError where a knowledge base cannot be opened."""
        while not stop.is_set():
            with ExitStack() as opened:
                watched = [self._opened(source, opened) for source in self._sources]
                if not self._claimed(watched, stop):
                    return
                opened.callback(self._close_eyes)
                self._open_eyes(watched)
                for one in watched:
                    self._look(one, None)
                    self._tell(Watching(one.kb.source.name, one.kb.source.root, self._polls))
                self._watch(watched, stop)

    def _watch(self, watched: Sequence[_Watched], stop: threading.Event) -> None:
        """Until it is stopped, or the configuration says otherwise than before."""
        while not stop.is_set():
            places = self.bell.heard(TICK)
            if self._is_changed():
                return
            if self._lost_sight(watched):
                self._close_eyes()
                self._open_eyes(watched)
            everything = len(places) > MANY or any(map(_decides, places))
            for one in watched:
                mine = {place for place in places if is_below(place, one.folders)}
                due = self._is_due(one)
                if (mine or due) and not one.kb.is_settled:
                    return  # it was gone back from these settings: all is looked at with others
                if (everything and mine) or due:
                    self._look(one, None)
                elif mine:
                    self._look(one, Part(one.kb.source.root, mine))

    # ── looking ──

    def _look(self, one: _Watched, part: Part | None) -> None:
        """Run a walk; what goes wrong is told once, and again when it is over."""
        name, heard = one.kb.source.name, list[Event]()
        began = time.monotonic()
        try:
            summaries = self._sweep(one.kb, heard.append, part)
        except RagkitError as error:
            one.away = isinstance(error, QueryError)  # the root: it may come back
            one.due = time.monotonic() + AGAIN
            self._trouble(name, error)
            return
        one.away = False
        self._well(name)
        now = time.monotonic()
        if part is None:
            least, share = (POLL, POLLED) if self._polls else (SWEEP, SHARE)
            one.due = now + max(least, (now - began) / share)
        if any(s.indexed or s.removed or s.failed for s in summaries):
            self._tell(Swept(name, tuple(summaries), tuple(heard), now - began))

    def _is_due(self, one: _Watched) -> bool:
        """Whether it is time to look at everything."""
        if one.away:
            return os.path.isdir(one.kb.source.root)
        return time.monotonic() >= one.due

    # ── events ──

    def _open_eyes(self, watched: Sequence[_Watched]) -> None:
        """Hear of what happens in all folders; where that cannot be, poll."""
        if self._polls:
            return
        self._seen = [_identity(folder) for one in watched for folder in one.folders]
        try:
            self._observer = observer(self.bell, _together(watched), _databases(watched))
        except OSError as error:
            self._polls = True
            if error.errno in (errno.ENOSPC, errno.EMFILE):
                limit = "max_user_watches" if error.errno == errno.ENOSPC else "max_user_instances"
                what = "there are more folders than this system lets anyone watch"
                remedy = f"raise the limit: sudo sysctl fs.inotify.{limit}=524288"
            else:
                what, remedy = f"no events of files: {error.strerror or error}", ""
            self._tell(Trouble(f"{what}; looking at everything again and again instead", remedy))

    def _close_eyes(self) -> None:
        if self._observer is not None:
            self._observer.stop()
            with suppress(RuntimeError):  # it was never started
                self._observer.join(5)
            self._observer = None

    def _lost_sight(self, watched: Sequence[_Watched]) -> bool:
        """Whether folders must be watched anew: one went away or is another, or a thread ended."""
        seen = [_identity(folder) for one in watched for folder in one.folders]
        changed = seen != self._seen
        self._seen = seen
        if changed:
            for one in watched:
                one.due = 0.0
        return changed or (self._observer is not None and not self._observer.is_alive())

    # ── configuration and claims ──

    def _opened(self, source: Source, opened: ExitStack) -> _Watched:
        kb = opened.enter_context(KnowledgeBase(source))
        databases = sorted({blueprint.database for blueprint in kb.blueprints})
        claims = [Claim(database, "watch") for database in databases]
        for claim in claims:
            opened.callback(claim.release)
        return _Watched(kb, folders_of(source), claims)

    def _claimed(self, watched: Sequence[_Watched], stop: threading.Event) -> bool:
        """Wait until nobody else watches these databases; whether this process does now."""
        for claim in [claim for one in watched for claim in one.claims]:
            told = False
            while not claim.take():
                if not told:
                    told = True
                    self._tell(Standby(str(claim.database), str(claim.holder())))
                if stop.wait(TICK):
                    return False
        return True

    def _is_changed(self) -> bool:
        """Whether the configuration is another one, which works; else the last one stays."""
        stamps = self._stamps()
        if stamps == self._configuration:
            return False
        self._configuration = stamps
        try:
            sources = tuple(self._load())
            for source in sources:
                KnowledgeBase(source, read_only=True).close()
        except (RagkitError, OSError) as error:
            self._trouble("configuration", error)
            return False
        self._well("configuration")
        changed = sources != self._sources
        self._sources = sources
        return changed

    def _stamps(self) -> list[tuple[str, object]]:
        """What tells an edited file of the configuration."""
        files = dict.fromkeys(source.file for source in self._sources if source.file)
        return [(str(file), _stamp(file)) for file in files]

    # ── what is told ──

    def _trouble(self, about: str, error: Exception) -> None:
        message = error.message if isinstance(error, RagkitError) else str(error)
        if self._troubles.get(about) != message:
            self._troubles[about] = message
            remedy = error.remedy if isinstance(error, RagkitError) else ""
            what = message if about != "configuration" else f"{message}; the last one stays"
            self._tell(Trouble(what, remedy))

    def _well(self, about: str) -> None:
        if message := self._troubles.pop(about, None):
            self._tell(Well(f"over: {message}"))


def _decides(place: str) -> bool:
    """Whether what lies there may decide about other files."""
    return os.path.basename(place) in RULES


def _identity(folder: str) -> object:
    """Tells a folder from another in its place; None where there is none."""
    try:
        status = os.stat(folder)
    except OSError:
        return None
    return status.st_dev, status.st_ino


def _stamp(file: str | Path) -> object:
    try:
        status = os.stat(file)
    except OSError:
        return None
    return status.st_mtime_ns, status.st_size, status.st_ino


def _together(watched: Sequence[_Watched]) -> dict[str, bool]:
    """The folders of all of them."""
    folders: dict[str, bool] = {}
    for one in watched:
        for folder, deep in one.folders.items():
            folders[folder] = folders.get(folder, False) or deep
    return folders


def _databases(watched: Sequence[_Watched]) -> set[str]:
    """Where their databases are, without links."""
    return {os.path.realpath(b.database) for one in watched for b in one.kb.blueprints}
