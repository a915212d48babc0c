"""Rerankers behind an endpoint of their own: of Docker Model Runner, llama.cpp, vLLM and others."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Final, Literal, TypeAlias

from ragkit.errors import ModelError
from ragkit.models.answers import Garbled
from ragkit.models.failures import Failure, Trouble, error_of, failure_of
from ragkit.models.fitting import Room
from ragkit.models.http import Client, Reply
from ragkit.models.retrying import Refused, patiently
from ragkit.models.scoring import Scale, Score, scores_of, tokens_of
from ragkit.models.sending import Patience

BATCH: Final = 32
"""Most documents of a request: each is scored by itself, so parts can be put together."""

QUESTION: Final = "What is the capital of France?"
ANSWER: Final = "Paris is the capital and largest city of France."
NONSENSE: Final = (
    "Knead flour, water and yeast, let it rise, and bake the bread hot.",
    "A mutex lets one thread at a time enter a critical section.",
)

PATHS: Final = ("/engines/rerank", "/rerank", "/engines/llama.cpp/rerank")
"""Of Docker Model Runner, the newest first."""

Form: TypeAlias = Literal["documents", "texts"]
"""What the list of texts is called; `texts` is Text Embeddings Inference's word."""


@dataclass(frozen=True, slots=True)
class Loaded:
    """What is known of a model once it is ready."""

    limit: int | None = None
    """Most tokens of query, document and the prompt around them."""
    architecture: str = ""
    """Of its file, as llama.cpp names it."""


class RemoteReranker:
    """Scores texts over HTTP. Thread-safe; nothing is asked of the server before it is needed.

    What does not fit beside the query is cut. Before the first texts, two of its own show whether
    the model can tell an answer from nonsense.
    """

    def __init__(
        self,
        client: Client,
        *,
        model: str,
        name: str,
        paths: Sequence[str] = PATHS,
        forms: Sequence[Form] = ("documents",),
        limit: int | None = None,
        score: Score = "auto",
        architecture: str = "",
        ready: Callable[[], Loaded] = Loaded,
        reconfigure: Callable[[], Loaded] | None = None,
        explain: Callable[[Failure], ModelError] | None = None,
        patience: Patience = Patience(),  # noqa: B008
    ) -> None:
        """`paths` and `forms` are tried in turn where the server does not know one. `ready` is
        called once, before the first texts, and what it returns counts for more than `limit` and
        `architecture`; `reconfigure` at most once, when the server takes less than that said. Both
        may raise ModelError. `explain` words what the server refuses."""
        self.name = name
        self._client = client
        self._model = model
        self._spellings = [(path, form) for form in forms for path in paths]
        self._spelling: tuple[str, Form] | None = None
        self._ready = ready
        self._reconfigure = reconfigure
        self._explain = explain or partial(error_of, model=model, where=client.endpoint)
        self._patience = patience
        self._room = Room(limit)
        self._scale = Scale(score, architecture)
        self._batch = BATCH
        self._answered: float | None = None  # when the last scores came
        self._starting = threading.Lock()
        self._is_checked = False
        self._broken: tuple[str, str] | None = None
        self._closed = threading.Event()

    def rerank(self, query: str, texts: Sequence[str]) -> list[float]:
        """One score from 0 to 1 for each text, in order; 0 for one without any letter.

        Raises ModelError: also for a model that is no reranker, or a broken one.
        """
        full = [position for position, text in enumerate(texts) if text.strip()]
        scores = [0.0] * len(texts)
        if not full:
            return scores
        with self._starting:
            if not self._is_checked:
                self._check()
        numbers = self._numbers(_defused(query), [_defused(texts[position]) for position in full])
        for position, score in zip(full, self._scale.unit(numbers), strict=True):
            scores[position] = score
        return scores

    def self_check(self) -> tuple[float, float]:
        """Scores from 0 to 1 of a text that answers a question and of one that does not.

        Raises ModelError where they are not clearly apart.
        """
        with self._starting:
            self._broken = None
            return self._check()

    def close(self) -> None:
        """Let the connections go; a call that is under way is not tried again."""
        self._closed.set()
        self._client.close()

    def _check(self) -> tuple[float, float]:
        if self._broken:
            raise ModelError(*self._broken)
        self._learn(self._ready())
        # subtle: without a classifier the same text scores otherwise in another place
        texts = [NONSENSE[0], ANSWER, NONSENSE[1], ANSWER]
        try:
            answer = self._ask(QUESTION, texts)
        except Refused as refused:
            raise self._explain(refused.failure) from None
        numbers = self._read(answer, len(texts))
        if tokens := tokens_of(answer):
            self._room.learn_around(QUESTION, texts, tokens)
        gap = self._scale.gap(numbers)
        right, nonsense = sorted(numbers[1::2]), max(numbers[0::2])
        self._broken = self._fault(right, nonsense, gap)
        if self._broken:
            raise ModelError(*self._broken)
        self._is_checked = True
        low, high = self._scale.unit([nonsense, right[0]])
        return high, low

    def _learn(self, loaded: Loaded) -> None:
        self._room.limit = loaded.limit or self._room.limit
        self._scale.architecture = loaded.architecture or self._scale.architecture

    def _fault(self, right: Sequence[float], nonsense: float, gap: float) -> tuple[str, str] | None:
        """What is wrong with a model that gives these numbers, and what helps.

        `right` are those of one text, the least first.
        """
        told = f"{right[0]:.3g} to an answer and {nonsense:.3g} to nonsense"
        where = f"{self._client.endpoint}: {self._model}"
        if max(abs(right[-1]), abs(nonsense)) < 1e-6:
            return (
                f"{where} is broken: it gives {told}, as files without the classifier do",
                "take another file of it, such as hf.co/ggml-org/Qwen3-Reranker-0.6B-Q8_0-GGUF",
            )
        is_unsteady = right[-1] - right[0] > gap / 2
        if is_unsteady:
            told = f"{right[0]:.3g} and {right[-1]:.3g} to the same text"
        if is_unsteady or right[0] - nonsense < gap:
            return (
                f"{where} does not rerank: it gives {told}",
                "choose a model that was made for reranking, or another file of this one",
            )
        return None

    def _numbers(self, query: str, documents: Sequence[str]) -> list[float]:
        """What the model says of each document, which are cut and sent in parts as need be."""
        query = self._room.query(query)
        pairs = [(query, self._room.document(query, document)) for document in documents]
        numbers = [0.0] * len(pairs)
        size = self._batch
        todo = deque(list(range(len(pairs)))[at : at + size] for at in range(0, len(pairs), size))
        while todo:
            part = todo.popleft()
            query, sent = pairs[part[0]][0], [pairs[at][1] for at in part]
            try:
                answer = self._ask(query, sent)
            except Refused as refused:
                todo.extendleft(reversed(self._after(refused.failure, pairs, part)))
                continue
            for at, number in zip(part, self._read(answer, len(part)), strict=True):
                numbers[at] = number
            if tokens := tokens_of(answer):
                self._room.learn(query, sent, tokens)
        return numbers

    def _after(
        self, failure: Failure, pairs: list[tuple[str, str]], part: list[int]
    ) -> list[list[int]]:
        """What to send in the place of a part that was refused; pairs are cut. Raises ModelError.

        All queries of a part are the same.
        """
        if failure.trouble is Trouble.INPUT_TOO_LONG:
            if self._mended(failure) or self._shorten(failure, pairs, part):
                return [part]
        elif failure.trouble is Trouble.BODY_TOO_LARGE:
            self._batch = max(1, len(part) // 2)
        if failure.trouble not in _DIVISIBLE or len(part) == 1:
            raise self._explain(failure) from None
        # the longer ones by themselves: what is too long is among them
        part = sorted(part, key=lambda at: len(pairs[at][1]))
        half = len(part) // 2
        return [part[:half], part[half:]]

    def _mended(self, failure: Failure) -> bool:
        """Whether the server takes more again: it may have lost its configuration."""
        limit, known = failure.limit, self._room.limit
        if limit and known and limit < known and self._reconfigure:
            reconfigure, self._reconfigure = self._reconfigure, None
            self._learn(reconfigure())
            return True
        return False

    def _shorten(self, failure: Failure, pairs: list[tuple[str, str]], part: list[int]) -> bool:
        """Whether any pair of this part could be cut by what the refusal says."""
        if failure.limit:
            self._room.limit = failure.limit
        query = self._room.query(pairs[part[0]][0])
        shorter = [(query, self._room.document(query, pairs[at][1])) for at in part]
        if len(part) == 1 and shorter[0] == pairs[part[0]]:
            shorter = [self._room.shortened(*pairs[part[0]], failure)]
            if not shorter[0][1]:
                return False
        is_shorter = any(pair != pairs[at] for at, pair in zip(part, shorter, strict=True))
        for at, pair in zip(part, shorter, strict=True):
            pairs[at] = pair
        return is_shorter

    def _ask(self, query: str, documents: Sequence[str]) -> Any:
        """The answer's value. Raises Refused, and ModelError where no path leads there."""
        spellings = [self._spelling] if self._spelling else self._spellings
        for path, form in spellings:
            body: dict[str, object] = {"model": self._model, "query": query, form: list(documents)}
            if form == "texts":
                body["truncate"] = True
            try:
                reply = self._patiently(path, body, len(documents))
            except Refused as refused:
                if not _is_misspelt(refused.failure):
                    raise
                continue
            self._spelling, self._answered = (path, form), time.monotonic()
            return reply.json()
        raise ModelError(
            f"{self._client.endpoint} has no endpoint for reranking",
            remedy="choose a server that has one (Docker Model Runner since 1.0.4, llama.cpp, "
            "vLLM, Text Embeddings Inference), or leave reranking out",
        )

    def _patiently(self, path: str, body: object, count: int) -> Reply:
        patience, since = self._patience, self._answered
        is_warm = since is not None and time.monotonic() - since < patience.idle
        timeout = patience.answer if is_warm else patience.load

        def attempt() -> Reply:
            if self._closed.is_set():
                raise ModelError(f"{self.name} is closed")
            reply = self._client.send("POST", path, body, timeout=timeout)
            if count > 1 and reply.status >= 400:
                failure = failure_of(reply)
                if failure.trouble is Trouble.OVERLOADED:  # less at once, in place of the same
                    raise Refused(failure)
            return reply

        return patiently(
            attempt,
            deadline=patience.query if is_warm else patience.load,
            restarts=2 if is_warm else 0,
            sleep=lambda seconds: self._closed.wait(seconds * patience.pause),
        )

    def _read(self, answer: Any, count: int) -> list[float]:
        try:
            return scores_of(answer, count)
        except Garbled as error:
            raise ModelError(
                f"{self._client.endpoint}: {self._model}: {error}",
                remedy="look at the server's log; it may serve another kind of model",
            ) from error


_DIVISIBLE: Final = (Trouble.INPUT_TOO_LONG, Trouble.BODY_TOO_LARGE, Trouble.OVERLOADED)
"""What may go well with fewer documents at once."""


def _is_misspelt(failure: Failure) -> bool:
    """Whether the server does not know this path, or wants `texts` for `documents`."""
    wants_texts = failure.status in (400, 422) and "`texts`" in failure.message
    return failure.trouble is Trouble.WRONG_PATH or wants_texts


def _defused(text: str) -> str:
    """The text without what a reranker's prompt would replace.

    A space of no width keeps the words as they are: llama.cpp puts the document wherever
    `{document}` stands, in the query too.
    """
    return text.replace("{query}", "{\u200bquery}").replace("{document}", "{\u200bdocument}")
