"""Commands that are killed at any instant: what they leave opens, is sound, answers and goes on."""

from __future__ import annotations

import os
import random
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from benchmarks import processes
from benchmarks.truth import trees
from benchmarks.truth.state import at, damage, from_scratch, state_of
from ragkit import KnowledgeBase
from ragkit.config.rag import Source
from ragkit.errors import RagkitError, StoreMismatch

STEP = 0.02
"""Seconds between two saves while something watches."""

WATCHED = 1.0
"""Seconds for which a watch is killed at any instant, beside the time that an index run takes."""


LATE = 10
"""Kills of processes that had ended, for each that counts, after which a command is given up."""


@dataclass(frozen=True, slots=True)
class Size:
    """How much is done."""

    files: int = 200
    kills: int = 60
    """Of each command."""
    every: int = 10
    """Kills after which the next run must come to what a scratch build has."""
    seed: int = 1


QUICK = Size(files=20, kills=2, every=2)


@dataclass(slots=True)
class Kills:
    """What the kills of one command left."""

    seconds: float
    """How long the command takes where nobody kills it."""
    kills: int = 0
    """Of a process that was at work."""
    too_late: int = 0
    """Of one that had ended; they do not count."""
    no_database: int = 0
    """Kills before there was a database."""
    nothing_yet: int = 0
    """Kills after which a search said that nothing is indexed yet."""
    converged: int = 0
    """Runs after a kill that came to what a scratch build has."""
    failures: int = 0
    """Kills after which something was not as it should be."""
    problems: list[str] = field(default_factory=list)

    def figures(self) -> dict[str, object]:
        """As they are written."""
        return {
            "kills": self.kills,
            "failures": self.failures,
            "seconds": self.seconds,
            "too_late": self.too_late,
            "no_database": self.no_database,
            "nothing_yet": self.nothing_yet,
            "converged": self.converged,
            "problems": self.problems[:20],
        }


class Trial:
    """A tree, its index, and the commands that work on them."""

    def __init__(self, folder: Path, size: Size) -> None:
        self.size = size
        self.chance = random.Random(size.seed)
        self.root, self.cache, self.pack = folder / "tree", folder / "cache", folder / "pack"
        trees.grow(self.root, size.files, self.chance, (1, 15))
        self.index()
        (self.database,) = self.cache.glob("tree-*.db")
        self.source: Source = at(self.root, self.database)
        processes.ragkit(["pack", str(self.pack), str(self.root)], self.cache)
        self.starting = processes.ragkit(["status", str(self.root)], self.cache).wall
        """Seconds, about, until a command begins its work: this one only looks."""

    def index(self) -> None:
        """Bring the index up to the disk. Raises RuntimeError where it fails."""
        processes.ragkit(["index", str(self.root)], self.cache)

    def forget(self) -> None:
        """Leave no database."""
        shutil.rmtree(self.cache, ignore_errors=True)

    def churn(self) -> None:
        """Change half of the files; some go and some come."""
        trees.branch(self.root, self.chance, self.size.files // 2)
        if len(trees.files(self.root)) < self.size.files:
            trees.grow(self.root, self.size.files, self.chance, (1, 15))

    def indexed_churn(self) -> None:
        """Change files and index them: a database that has something to give back."""
        self.churn()
        with KnowledgeBase(self.source) as kb:
            kb.index()

    def other_settings(self) -> None:
        """Leave a database whose index was made with other settings."""
        self.forget()
        strategies = tuple(
            replace(one, chunking=replace(one.chunking, size=400)) for one in self.source.strategies
        )
        with KnowledgeBase(replace(self.source, strategies=strategies)) as kb:
            kb.index()

    def save(self) -> None:
        """Change one file."""
        path = self.chance.choice(trees.files(self.root))
        path.write_text(trees.changed(path, self.chance), encoding="utf-8")

    def commands(self) -> dict[str, tuple[Sequence[str], Callable[[], None], bool]]:
        """Name → arguments, what comes before each run, whether files are saved meanwhile."""
        root = str(self.root)
        return {
            "index, from nothing": (["index", root], self.forget, False),
            "index, update": (["index", root], self.churn, False),
            "index, other settings": (["index", root], self.other_settings, False),
            "watch": (["watch", root], self.churn, True),
            "compact": (["compact", root, "--prune"], self.indexed_churn, False),
            "unpack": (["unpack", str(self.pack), root], self.forget, False),
        }

    def kill(self, name: str) -> Kills:
        """Kill one command again and again, each time at another instant of its run.

        One kill of four is at any instant, the others are not before a command can have begun its
        work.
        """
        arguments, before, saving = self.commands()[name]
        done = Kills(self._takes(arguments, before, saving))
        while done.kills < self.size.kills and done.too_late < LATE * self.size.kills:
            before()
            # mostly when it has begun its work: before that there is little to break
            begun = min(self.starting, done.seconds / 2) if done.kills % 4 else 0.0
            after = self.chance.uniform(begun, done.seconds)
            if not self._killed(arguments, after, self.save if saving else None):
                done.too_late += 1
                continue
            done.kills += 1
            told = self._problems(done)
            if told or done.kills % self.size.every == 0:
                told += self._converged(done)
            if told:
                done.failures += 1
                done.problems += [f"kill {done.kills}, at {after:.3f} s: {what}" for what in told]
                self.forget()  # each kill is to count by itself
                self.index()
        return done

    def _takes(self, arguments: Sequence[str], before: Callable[[], None], saving: bool) -> float:
        """Seconds in which a command is killed: as many as it takes."""
        before()
        if saving:
            return processes.ragkit(["index", str(self.root)], self.cache).wall + WATCHED
        return processes.ragkit(arguments, self.cache).wall

    def _killed(
        self, arguments: Sequence[str], after: float, meanwhile: Callable[[], None] | None
    ) -> bool:
        """Start a command and kill it after so many seconds; False where it had ended before."""
        repository = str(processes.REPOSITORY)
        places = {"PYTHONPATH": repository, "RAGKIT_CACHE_DIR": str(self.cache)}
        process = subprocess.Popen(
            [sys.executable, "-m", "ragkit", *arguments],
            env={**os.environ, **places},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        ends = time.monotonic() + after
        while meanwhile and time.monotonic() < ends - STEP:
            meanwhile()
            time.sleep(STEP)
        time.sleep(max(0.0, ends - time.monotonic()))
        ended = process.poll() is not None
        process.kill()
        process.wait()
        return not ended

    def _problems(self, done: Kills) -> list[str]:
        """What is not as it should be right after a kill."""
        if not self.database.exists():
            done.no_database += 1
            return []
        try:
            with KnowledgeBase(self.source, read_only=True) as kb:
                found = damage(kb)
                try:
                    kb.search(trees.QUERIES[0])
                except StoreMismatch as error:
                    if "nothing is indexed yet" not in error.message:
                        raise
                    done.nothing_yet += 1
                return found
        except RagkitError as error:
            return [error.message]

    def _converged(self, done: Kills) -> list[str]:
        """What is other than in a scratch build after another run."""
        try:
            self.index()
            with KnowledgeBase(self.source, read_only=True) as kb:
                found = damage(kb)
                found += state_of(kb, trees.QUERIES).differences(
                    from_scratch(self.root, trees.QUERIES)
                )
        except (RagkitError, RuntimeError) as error:
            return [str(error)]
        done.converged += not found
        return found[:10]


def measure(folder: Path, size: Size) -> dict[str, Any]:
    """Kill every command so many times."""
    trial = Trial(folder, size)
    found = {name: trial.kill(name) for name in trial.commands()}
    return {
        "files": size.files,
        "kills": sum(kills.kills for kills in found.values()),
        "failures": sum(kills.failures for kills in found.values()),
        "commands": {name: kills.figures() for name, kills in found.items()},
    }
