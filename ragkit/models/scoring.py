"""A reranker's answer, checked, and its numbers made scores from 0 to 1.

Models of Qwen3's kind answer with probabilities, those of BERT's kind with logits, and nothing in
the answer says which. The range does: a number outside of 0 to 1 is no probability.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from typing import Any, Final, Literal, TypeAlias

from ragkit.models.answers import Garbled

Score: TypeAlias = Literal["auto", "logit", "probability"]
"""What a reranker's numbers are."""

_SLACK: Final = 1e-3
"""A probability may be so far out of range by rounding."""

# As llama.cpp names them. Their classifier has no last step that would make a probability.
_BERTS: Final = re.compile(r"[a-z0-9-]*bert[a-z0-9-]*")


def scores_of(answer: Any, count: int) -> list[float]:
    """The numbers of an answer in the order of the request, whatever order they came in.

    Takes the form of Jina (`results`, `relevance_score`), of Voyage (`data`) and of Text Embeddings
    Inference (a list, `score`). Raises Garbled for an index that is missing or comes twice, and for
    what is no finite number.
    """
    results = answer
    if isinstance(answer, Mapping):
        results = answer.get("results", answer.get("data"))
    if not isinstance(results, list) or not all(isinstance(each, Mapping) for each in results):
        raise Garbled("the answer has no list of scores")
    if len(results) != count:
        raise Garbled(f"{len(results)} scores came for {count} texts")
    found: dict[int, float] = {}
    for result in results:
        index, score = result.get("index"), result.get("relevance_score", result.get("score"))
        if type(index) is not int or not 0 <= index < count or index in found:
            raise Garbled(f"the scores' indices are not 0 to {count - 1}, each once")
        if type(score) not in (int, float) or not math.isfinite(score):
            raise Garbled(f"a score is not a number: {score}")
        found[index] = float(score)
    return [found[index] for index in range(count)]


def tokens_of(answer: Any) -> int | None:
    """Tokens of the whole request, where the server tells them."""
    usage = answer.get("usage") if isinstance(answer, Mapping) else None
    tokens = usage.get("prompt_tokens") if isinstance(usage, Mapping) else None
    return tokens if type(tokens) is int and tokens > 0 else None


class Scale:
    """Makes one model's numbers scores from 0 to 1. Once a logit, always a logit."""

    def __init__(self, score: Score = "auto", architecture: str = "") -> None:
        """`architecture` is that of the model's file; it decides where the range does not."""
        self._score = score
        self.architecture = architecture
        self._has_left = False  # whether any number was out of 0 to 1

    def unit(self, numbers: Sequence[float]) -> list[float]:
        """Scores from 0 to 1, in order; the order by size is that of the numbers."""
        if self._are_logits(numbers):
            return [_sigmoid(number) for number in numbers]
        return [min(1.0, max(0.0, number)) for number in numbers]

    def gap(self, numbers: Sequence[float]) -> float:
        """From which difference on one text is clearly better than another."""
        return 2.0 if self._are_logits(numbers) else 0.2

    def _are_logits(self, numbers: Sequence[float]) -> bool:
        if self._score != "auto":
            return self._score == "logit"
        if any(not -_SLACK <= number <= 1 + _SLACK for number in numbers):
            self._has_left = True
        return self._has_left or _BERTS.fullmatch(self.architecture) is not None


def _sigmoid(logit: float) -> float:
    if logit < 0:  # subtle: exp of a large number overflows, that of a small one does not
        return math.exp(logit) / (1 + math.exp(logit))
    return 1 / (1 + math.exp(-logit))
