"""Texts on their way to an embedding model: how many tokens they may have, and which go together.

A server of llama.cpp refuses a whole request because of one text that is too long, and it has no
tokeniser to ask beforehand. So tokens are estimated: a text is counted in pieces as tokenisers like
to make them (a word's letters by fives, digits by twos, every other sign by itself), and what
answers say of their tokens tells how many tokens a piece is with this model.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from heapq import nsmallest
from itertools import islice
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from ragkit.models.dispatch import Call
    from ragkit.models.failures import Trouble

MOST_BYTES: Final = 4 * 1024 * 1024
"""Of the texts of one request: Docker Model Runner takes 10 MiB of JSON."""

MOST_TOKENS: Final = 16_384
"""Of one request: enough to keep a model busy, and an answer comes every few seconds."""

# On 3,000 chunks of code, prose and JSON this is off by 6.5 % from BERT's count (one standard
# deviation), the number of bytes by 24 %.
_PIECE = re.compile(r"[A-Za-z]{1,5}|[0-9]{1,2}|[^\sA-Za-z0-9]")

_NEAREST = 512
"""So many of the waiting texts are looked at to fill a batch."""


@dataclass(slots=True, eq=False)
class Job:
    """One text to embed, for all who wait for it."""

    key: bytes
    """Stands for the exact text that was asked for."""
    text: str
    """What is sent: prefix and body, the body cut if need be."""
    head: int
    """Characters of the prefix."""
    body: int = 0
    """Characters of the body as it was given; found out from the text."""
    pieces: int = 0
    bytes: int = 0
    waiting: list[tuple[Call, int]] = field(default_factory=list)
    """Calls, and the text's position in each."""
    cut: str = ""
    """What of the text was embedded, if not all of it."""
    failed: str = ""
    """Why it cannot be embedded."""
    since: float | None = None
    """When a request with this text first failed."""
    misses: int = 0
    """Requests with it, and others, that failed …"""
    alone: Counter[Trouble] = field(default_factory=Counter)
    """… and those with it alone, by what went wrong."""
    blamed: int = 0
    """Requests with it that failed because some text was too long."""
    odd: int = 0
    """Vectors of it that were none."""

    def __post_init__(self) -> None:
        self.body = len(self.text) - self.head
        self._measure()

    def shorten(self, characters: int, limit: int | None) -> bool:
        """Keep so many characters, the prefix counted; False where nothing of the body is left.

        `limit` is in tokens, for the words that tell of it.
        """
        kept = min(characters, len(self.text) - 1) - self.head
        if kept < 1:
            return False
        self.text = self.text[: self.head + kept]
        self._measure()
        why = f"limit {limit:,} tokens" if limit else "the model takes no more"
        self.cut = f"only the first {kept:,} of {self.body:,} characters were embedded ({why})"
        return True

    def _measure(self) -> None:
        text = self.text
        self.pieces = len(_PIECE.findall(text)) + 2  # and the signs for beginning and end
        self.bytes = len(text) if text.isascii() else len(text.encode())


class Gauge:
    """What is known of a model's tokens, learnt from its answers; to be used under a lock."""

    def __init__(self, batch: int, limit: int | None) -> None:
        self.batch = batch
        """Most texts of a request."""
        self.most_bytes = MOST_BYTES
        self.limit = limit
        """Most tokens of a text; None while it is not known."""
        self.told = limit
        """The limit as a server named it, to be told to people."""
        self._rate = 1.0  # tokens per piece
        self._spread = 0.1  # how far a text is from that, one standard deviation
        self._answers = 0

    def tokens(self, job: Job) -> int:
        """Estimated."""
        return math.ceil(job.pieces * self._rate)

    def learn(self, jobs: Sequence[Job], tokens: int) -> None:
        """These texts have so many tokens together."""
        pieces = sum(job.pieces for job in jobs)
        found = tokens / pieces
        if not 0.02 < found < 50:
            return
        # The mean of n texts would be √n times as near to the truth as one, were they not of the
        # same files as a rule.
        off = (found / self._rate - 1) * len(jobs) ** 0.25
        weight = max(0.05, 1 / (self._answers + 1))
        if self._answers:
            spread = math.sqrt((1 - weight) * self._spread**2 + weight * off**2)
            self._spread = min(max(spread, 0.04), 0.4)
        self._rate += weight * (found - self._rate)
        self._answers += 1

    def learn_limit(self, limit: int, told: bool) -> None:
        """A text of more tokens was refused; `told`: by that number."""
        self.limit = limit if told or self.limit is None else min(limit, self.limit)
        if told:
            self.told = limit

    def learn_too_large(self, jobs: Sequence[Job]) -> None:
        """A request with these texts was refused for its size."""
        self.batch = max(1, min(self.batch, len(jobs) // 2))
        size = sum(job.bytes for job in jobs)
        self.most_bytes = max(64 * 1024, min(self.most_bytes, size // 2))

    def is_risky(self, job: Job) -> bool:
        """Whether it may be too long: then it goes alone, so that no other text fails with it."""
        if self.limit is None:
            return False
        return self.tokens(job) * (1 + 2 * self._spread) > self.limit

    def parts(self, jobs: Sequence[Job]) -> list[list[Job]]:
        """The same texts as requests: those surely too long are cut, the risky ones go alone."""
        for job in jobs:
            self._cut(job)
        safe = [job for job in jobs if not self.is_risky(job)]
        risky = [[job] for job in jobs if self.is_risky(job)]
        return [safe, *risky] if safe else risky

    def suspects(self, jobs: Sequence[Job]) -> list[list[Job]]:
        """The same texts in two requests, when one is too long and none looks so: the longest
        first, alone; halves when that has been wrong twice."""
        self._spread = min(self._spread * 1.5, 0.4)  # that was a surprise
        ordered = sorted(jobs, key=lambda job: -job.pieces)
        for job in ordered:
            job.blamed += 1
        first = 1 if max(job.blamed for job in jobs) <= 3 else len(jobs) // 2
        return [ordered[:first], ordered[first:]]

    def fill(self, pool: Iterable[Job], tokens: float) -> list[Job]:
        """The first text of the pool and those most like it in length, as one request.

        `tokens` bounds their estimated sum. The first goes in any case.
        """
        waiting = list(islice(pool, _NEAREST))
        first = waiting[0]
        if self.is_risky(first):
            return [first]
        safe = (job for job in waiting if not self.is_risky(job))
        nearest = nsmallest(self.batch, safe, key=lambda job: abs(job.pieces - first.pieces))
        left = min(tokens, MOST_TOKENS) - self.tokens(first)
        room = self.most_bytes - first.bytes
        chosen = [first]
        for job in nearest:
            left -= self.tokens(job)
            room -= job.bytes
            if job is first:
                left += self.tokens(job)
                room += job.bytes
            elif min(left, room) < 0 or len(chosen) == self.batch:
                break
            else:
                chosen.append(job)
        return chosen

    def _cut(self, job: Job) -> None:
        if self.limit is None or not self._answers:
            return
        estimate = self.tokens(job)
        if estimate * (1 - 2 * self._spread) > self.limit:
            job.shorten(int(len(job.text) * 0.9 * self.limit / estimate), self.told)
