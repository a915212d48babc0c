"""The second stage: a model reads the best candidates beside the query and orders them again.

It may be given a budget of time. How many candidates it then reads follows from what it took for a
text before; where nothing is known yet, a few are read to find out.
"""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from queue import Empty, SimpleQueue
from typing import Final, TypeAlias

from ragkit.errors import ModelError
from ragkit.strategies.chunked_embeddings import embedded_text
from ragkit.types import Hit, Reranker

FIRST: Final = 8
"""Texts of the first request under a budget, when it is not known what one takes."""

_Scored: TypeAlias = "list[float] | Exception"


class Pace:
    """How long a reranker takes for a text, as measured. Thread-safe."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self.seconds: float | None = None
        """A text's, the last calls counting most; None before the first."""
        self._clock = clock
        self._changing = threading.Lock()
        self._late = 0  # calls that are still under way though nobody waits for them

    def within(
        self, budget: float, score: Callable[[Sequence[str]], list[float]], texts: Sequence[str]
    ) -> list[float]:
        """Scores of the first texts, of as many as could be had in `budget` seconds; [] for none.

        A call that takes longer is left to itself, so that a model that is still loading is there
        for a later query. Raises what `score` raises.
        """
        until = self._clock() + budget
        done: list[float] = []
        while len(done) < len(texts) and not self._late:
            size = self._affordable(until - self._clock(), len(texts) - len(done), bool(done))
            part = texts[len(done) : len(done) + size]
            found = self._timed(score, part, until) if part else None
            if found is None:
                break
            done += found
        return done

    def _affordable(self, left: float, rest: int, is_begun: bool) -> int:
        """How many more texts to send, at most `rest`."""
        if left <= 0:
            return 0
        if self.seconds is None:
            return min(FIRST, rest)
        count = min(int(0.9 * left / max(self.seconds, 1e-6)), rest)
        if not is_begun:
            return max(count, 1)  # what was slow once is tried again, with as little as there is
        return count if count >= min(rest, FIRST // 2) else 0  # a request for one is not worth it

    def _timed(
        self, score: Callable[[Sequence[str]], list[float]], part: Sequence[str], until: float
    ) -> list[float] | None:
        """The scores, or None where they do not come in time."""
        answer: SimpleQueue[_Scored] = SimpleQueue()

        def work() -> None:
            started = self._clock()
            scored: _Scored
            try:
                scored = score(part)
                self._learn((self._clock() - started) / len(part))
            except Exception as error:  # whoever waits raises it
                scored = error
            with self._changing:
                if is_left:
                    self._late -= 1
                else:
                    answer.put(scored)

        is_left: list[bool] = []
        threading.Thread(target=work, name="ragkit-reranking", daemon=True).start()
        try:
            scored = answer.get(timeout=max(until - self._clock(), 0.0))
        except Empty:
            with self._changing:
                if answer.empty():
                    is_left.append(True)
                    self._late += 1
                    return None
            scored = answer.get()
        if isinstance(scored, Exception):
            raise scored
        return scored

    def _learn(self, seconds: float) -> None:
        with self._changing:
            self.seconds = seconds if self.seconds is None else (self.seconds + seconds) / 2


@dataclass(frozen=True, slots=True)
class Reranking:
    """A model that orders the best candidates again, and how much of its word counts."""

    reranker: Reranker
    top_k: int = 0
    """Candidates that it reads, best first; 0: all. The others come after those that it kept."""
    threshold: float = 0.0
    """Least score, from 0 to 1, of a hit that it read."""
    blend: float = 0.0
    """Share, from 0 to 1, of the old place in the new order; 0: the model alone decides."""
    budget: float = 0.0
    """Seconds that it may take; 0: as long as it needs."""
    pace: Pace = field(default_factory=Pace, compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class Reranked:
    """What a reranker made of a ranking."""

    hits: list[Hit]
    note: str = ""
    """What it could not do as asked; "" as a rule."""
    refused: list[Hit] = field(default_factory=list)
    """Those that the model read and that do not reach the threshold, best first."""


def rerank(query: str, hits: Sequence[Hit], reranking: Reranking) -> Reranked:
    """The hits that the model read and found good enough, best first, ties by their old order.

    By the model's score s, or with a blend w by (1 - w) s + w / r: r is the old rank, so that the
    first places are the hardest to lose. Those beyond `top_k` follow in their old order: their
    scores are on another scale, so the two are never mixed, and where a threshold asks for a score
    they are left out. For those alone that the budget did not reach, the threshold does not count.

    Raises ModelError, also for a model that gives another number of scores, or none from 0 to 1.
    """
    count = reranking.top_k or len(hits)
    asked, unasked = hits[:count], hits[count:]
    scores = _scores(query, asked, reranking)
    read, unread = asked[: len(scores)], list(asked[len(scores) :])
    kept = _ordered(read, scores, reranking)
    if reranking.threshold == 0:
        unread += unasked
    note = ""
    if len(read) < len(asked):
        told = f"{len(read)} of {len(asked)}" if read else f"none of {len(asked)}"
        note = f"{told} candidates were read within {_duration(reranking.budget)}"
    elif read and not kept:
        best = max(scores)
        note = f"no candidate reached the threshold {reranking.threshold:g}; the best: {best:.3g}"
    return Reranked([*kept, *unread], note, _refused(read, scores, reranking))


def _scores(query: str, asked: Sequence[Hit], reranking: Reranking) -> list[float]:
    """Of the first of these hits: all of them, unless there is a budget. Raises ModelError."""
    texts = [embedded_text(hit.chunk) for hit in asked]
    reranker = reranking.reranker

    def score(part: Sequence[str]) -> list[float]:
        return _checked(reranker.rerank(query, part), len(part), reranker.name)

    if reranking.budget > 0:
        return reranking.pace.within(reranking.budget, score, texts)
    return score(texts)


def _checked(scores: Sequence[float], count: int, name: str) -> list[float]:
    """The scores, if they are what a reranker promises. Raises ModelError."""
    remedy = "choose another reranking model, or leave reranking out"
    if len(scores) != count:
        raise ModelError(f"{name}: {len(scores)} scores came for {count} texts", remedy)
    for score in scores:
        if not (math.isfinite(score) and 0 <= score <= 1):
            raise ModelError(f"{name}: {score:g} is no score from 0 to 1", remedy)
    return list(scores)


def _ordered(read: Sequence[Hit], scores: Sequence[float], reranking: Reranking) -> list[Hit]:
    """Hits that reach the threshold in their new order, with the scores that decided."""
    blend = reranking.blend
    by_model = sorted(range(len(read)), key=lambda at: -scores[at])  # stable
    ranks = {at: rank for rank, at in enumerate(by_model, 1)}
    good = [at for at in by_model if scores[at] >= reranking.threshold]
    final = {
        at: (1 - blend) * scores[at] + blend / (at + 1) if blend else scores[at] for at in good
    }
    good.sort(key=lambda at: (-final[at], at))
    ordered = []
    for rank, at in enumerate(good, 1):
        own = {"reranking": scores[at], "reranking.rank": float(ranks[at])}
        if blend:
            own |= {"blend": final[at], "blend.rank": float(rank)}
        ordered.append(replace(read[at], score=final[at], scores={**read[at].scores, **own}))
    return ordered


def _refused(read: Sequence[Hit], scores: Sequence[float], reranking: Reranking) -> list[Hit]:
    pairs = [pair for pair in zip(scores, read, strict=True) if pair[0] < reranking.threshold]
    pairs.sort(key=lambda pair: -pair[0])
    return [
        replace(hit, score=score, scores={**hit.scores, "reranking": score}) for score, hit in pairs
    ]


def _duration(seconds: float) -> str:
    """`800 ms`, `2.5 s`."""
    return f"{seconds * 1000:g} ms" if seconds < 1 else f"{seconds:g} s"
