"""Random edits beside queries: the index must become that of a scratch build, and hits be true."""

from __future__ import annotations

import random
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from unittest import mock

from benchmarks import results
from benchmarks.truth import trees
from benchmarks.truth.state import at, from_scratch, misplaced, state_of
from ragkit import KnowledgeBase, watcher
from ragkit.config.rag import Source

LONGEST = 20.0
"""Seconds after which an index that is not that of a scratch build counts as another one."""

LOOK = 0.01
"""Seconds between two looks whether a save can be found."""

BUDGET = 2.0
"""Seconds that a refresh before a query may take, as in `ragkit search`."""


@dataclass(frozen=True, slots=True)
class Size:
    """How much is done."""

    files: int = 300
    edits: int = 1_000
    between: int = 25
    """Edits from one quiet moment to the next."""
    saves: int = 50
    seed: int = 1


QUICK = Size(files=40, edits=30, between=10, saves=3)


@dataclass(slots=True)
class Seen:
    """What was compared, and what was wrong."""

    comparisons: int = 0
    differences: int = 0
    """Comparisons in which the index was another than the scratch build."""
    queries: int = 0
    fresh_hits: int = 0
    """Hits that were said to be fresh."""
    other_hits: int = 0
    """Hits that were said to be changed or deleted."""
    misplaced: int = 0
    """Fresh hits whose lines were others on the disk."""
    edits: Counter[str] = field(default_factory=Counter)
    settled: list[float] = field(default_factory=list)
    """Seconds from the last edit until the index was right; no less than a scratch build takes."""
    problems: list[str] = field(default_factory=list)

    def ask(self, kb: KnowledgeBase, root: Path, chance: random.Random) -> None:
        """A query, and whether its hits are on the disk where they are said to be."""
        hits = kb.search(chance.choice(trees.QUERIES))
        wrong = misplaced(root, hits)
        fresh = sum(hit.freshness == "fresh" for hit in hits)
        self.queries += 1
        self.fresh_hits += fresh
        self.other_hits += len(hits) - fresh
        self.misplaced += len(wrong)
        self.problems += [f"not there: {place}" for place in wrong]

    def compare(self, kb: KnowledgeBase, root: Path, longest: float) -> None:
        """Whether the index becomes that of a scratch build within so many seconds."""
        quiet = time.monotonic()
        wanted = from_scratch(root, trees.QUERIES)
        ends = max(quiet + longest, time.monotonic())
        while True:
            found = state_of(kb, trees.QUERIES).differences(wanted)
            if not found or time.monotonic() >= ends:
                break
            time.sleep(0.1)
        self.comparisons += 1
        self.differences += bool(found)
        self.settled.append(time.monotonic() - quiet)
        self.problems += [f"after {self.edits.total()} edits: {what}" for what in found[:10]]

    def figures(self) -> dict[str, object]:
        """As they are written."""
        told: dict[str, object] = {
            name: getattr(self, name)
            for name in ("comparisons", "differences", "queries", "fresh_hits", "other_hits")
        }
        return told | {
            "misplaced": self.misplaced,
            "edits": dict(sorted(self.edits.items())),
            "problems": self.problems[:20],
        }


@contextmanager
def watched(source: Source) -> Iterator[list[watcher.Told]]:
    """A watcher in a thread, from the moment on in which it is up to date; what it tells.

    It looks at everything only once: what is right is right by events.
    """
    told: list[watcher.Told] = []
    ready, stop = threading.Event(), threading.Event()

    def tell(one: watcher.Told) -> None:
        told.append(one)
        if isinstance(one, watcher.Watching):
            ready.set()

    with mock.patch.object(watcher, "SWEEP", 1e6):
        watching = watcher.Watcher(lambda: (source,), tell)
        thread = threading.Thread(target=watching.run, args=(stop,), daemon=True)
        thread.start()
        try:
            if not ready.wait(120):
                raise RuntimeError(f"nothing is watched: {told}")
            yield told
        finally:
            stop.set()
            thread.join(30)


def edited(
    kb: KnowledgeBase, root: Path, size: Size, before_query: Callable[[], object], longest: float
) -> Seen:
    """Edit, ask, and compare in quiet moments, `before_query` before each look at the index."""
    seen, chance = Seen(), random.Random(size.seed)
    for number in range(1, size.edits + 1):
        seen.edits[trees.edit(root, chance, number)] += 1
        time.sleep(chance.choice((0, 0, 0.01, 0.1)))
        if chance.random() < 0.4:
            before_query()
            seen.ask(kb, root, chance)
        if number % size.between == 0:
            before_query()
            seen.compare(kb, root, longest)
    return seen


def by_watching(folder: Path, size: Size) -> tuple[Seen, list[float]]:
    """Under watch; and seconds from each of some saves until it was found."""
    root, source = _tree(folder, size)
    with watched(source) as told, KnowledgeBase(source, read_only=True) as kb:
        seen = edited(kb, root, size, lambda: None, LONGEST)
        seen.problems += [one.what for one in told if isinstance(one, watcher.Trouble)]
        trees.branch(root, random.Random(size.seed), size.files)  # without rules
        seen.compare(kb, root, LONGEST)
        return seen, [until_found(kb, root, number) for number in range(size.saves)]


def until_found(kb: KnowledgeBase, root: Path, number: int) -> float:
    """Seconds from a save of some file until a search finds what was saved; inf for never."""
    chance = random.Random(number)
    path = chance.choice(trees.files(root))
    word = f"zyx{number}qwv"
    time.sleep(chance.uniform(0.2, 1))
    text = path.read_text(encoding="utf-8") + f"\n{word} {word}\n"
    path.write_text(text, encoding="utf-8")
    saved = time.monotonic()
    while not any(word in hit.chunk.text for hit in kb.search(word, limit=5)):
        if time.monotonic() > saved + LONGEST:
            return float("inf")
        time.sleep(LOOK)
    return time.monotonic() - saved


def by_refreshing(folder: Path, size: Size) -> Seen:
    """Brought up to the disk before each query: within a budget, or as long as it takes."""
    root, source = _tree(folder, size)
    chance = random.Random(size.seed)
    with KnowledgeBase(source) as kb:
        kb.index()
        seen = edited(
            kb, root, size, lambda: kb.index(budget=chance.choice((BUDGET, None))), longest=0
        )
        kb.index()
        seen.compare(kb, root, longest=0)
        return seen


def _tree(folder: Path, size: Size) -> tuple[Path, Source]:
    root = folder / "tree"
    trees.grow(root, size.files, random.Random(size.seed), (1, 30))
    return root, at(root, folder / "index.db")


def measure(folder: Path, size: Size) -> dict[str, Any]:
    """Both ways to keep an index true, and how soon a save is found."""
    watching, saves = by_watching(folder / "watch", size)
    refreshing = by_refreshing(folder / "refresh", size)
    return {
        "files": size.files,
        "watch": watching.figures() | {"settled_s": results.spread(watching.settled)},
        "refresh": refreshing.figures(),
        "saves": size.saves,
        "save_s": results.spread(saves),
    }
