"""Which folders are watched, and hearing of what happens in them."""

from __future__ import annotations

import os
import warnings
from collections.abc import Collection, Mapping
from typing import Any

from ragkit.config.rag import Source
from ragkit.watcher.bell import Bell


def observer(bell: Bell, folders: Mapping[str, bool], own: Collection[str]) -> Any:
    """A running observer, which rings the bell for what happens in folders.

    And below them, where that is said; not for the databases that are `own`, and what lies beside
    them. Raises OSError where there cannot be one.
    """
    # 60 ms that nobody else waits for
    from watchdog import events
    from watchdog.observers import Observer

    # said of folders that come and go quickly, by a thread of watchdog's own; nothing is lost by it
    warnings.filterwarnings("ignore", "Callback with id", RuntimeWarning)

    class Handler(events.FileSystemEventHandler):
        def on_any_event(self, event: events.FileSystemEvent) -> None:
            for told in (event.src_path, event.dest_path):
                place = os.fsdecode(told)
                if place and _matters(place, own):
                    bell.ring(place)

    wanted = [
        *(events.FileCreatedEvent, events.FileModifiedEvent, events.FileClosedEvent),
        *(events.FileMovedEvent, events.FileDeletedEvent),
        *(events.DirCreatedEvent, events.DirMovedEvent, events.DirDeletedEvent),
    ]
    running = Observer()
    handler = Handler()
    try:
        for folder, deep in folders.items():
            around = {f: True for f, whole in folders.items() if whole and f != folder}
            if not is_below(folder, around) and os.path.isdir(folder):
                running.schedule(handler, folder, recursive=deep, event_filter=wanted)
        running.start()
    except BaseException:
        running.unschedule_all()
        raise
    return running


def _matters(place: str, own: Collection[str]) -> bool:
    """Whether a place can be anything but git's or ragkit's own."""
    if "/.git/" in place.replace(os.sep, "/"):
        return os.path.basename(place) == "exclude"
    return not any(place == path or place.startswith(path + "-") for path in own) and not (
        place.endswith((".index-lock", ".watch-lock"))
    )


def folders_of(source: Source) -> dict[str, bool]:
    """Folders in which something may belong in the knowledge base, without links.

    And whether it may also lie below: of a file that is named, only its folder matters.
    """
    found: dict[str, bool] = {}
    docs = [*source.docs, *(doc for strategy in source.strategies for doc in strategy.docs)]
    for entry in docs or ["."]:
        place = os.path.join(source.root, os.path.expanduser(entry))
        deep = not os.path.isfile(place)
        while any(sign in place for sign in "*?[") or not os.path.isdir(place):
            place, above = os.path.dirname(place), place
            if place == above:
                break
        place = os.path.realpath(place)
        found[place] = found.get(place, False) or deep
    return found


def is_below(place: str, folders: Mapping[str, bool]) -> bool:
    """Whether a place is one of the folders, or lies where events of one matter."""
    if place in folders or os.path.dirname(place) in folders:
        return True
    return any(deep and place.startswith(f.rstrip(os.sep) + os.sep) for f, deep in folders.items())
