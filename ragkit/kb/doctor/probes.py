"""Small requests to a model that show whether it does what an index needs of it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from time import perf_counter
from typing import TYPE_CHECKING, Any, Final

from ragkit.errors import InputTooLong, ModelError, ModelUnreachable
from ragkit.kb.doctor.finding import Finding, State, timed
from ragkit.models.answers import Garbled, unit, vectors_of
from ragkit.models.failures import error_of, failure_of
from ragkit.models.http import Client, Unanswered
from ragkit.models.profiles import Profile
from ragkit.models.scoring import scores_of
from ragkit.models.speaking import Sampling
from ragkit.types import Chat, Message

if TYPE_CHECKING:
    from ragkit.types import Vectors

LOADING: Final = 330.0
"""Seconds that a first answer may take: the runner itself gives up on loading after 300."""

QUESTION: Final = "How do I change my password?"
NEAR: Final = "Passwords are reset in the settings: choose Security, then type a new password."
FAR: Final = "The dough rests for an hour before the bread is baked in a hot oven."

CAPITAL: Final = "What is the capital of France?"
PASSAGES: Final = (
    "The mitochondrion is the part of a cell that makes most of its energy.",
    "Paris is the capital and the largest city of France.",
    "Sourdough bread rises more slowly than bread made with baker's yeast.",
)
RIGHT: Final = 1
"""Which passage answers."""

SENTENCE: Final = "the house on the hill has a red door and two small windows to the garden "
LONG: Final = 700
"""Words of the long text. Each is at least one token, so it has at least as many of these."""

BRIEFLY: Final = Sampling(temperature=0.0, max_tokens=512)
"""For a short answer; models that think first need room for it."""

RERANKER: Final = "docker model pull hf.co/ggml-org/Qwen3-Reranker-0.6B-Q8_0-GGUF"
"""A reranker whose file is known to be whole."""


@dataclass(frozen=True, slots=True)
class Target:
    """One model of one server."""

    client: Client
    name: str
    """As the configuration says it."""
    model: str
    """As the server does."""

    def found(self, check: str, state: State, detail: str, **more: Any) -> Finding:
        return Finding(check, self.name, state, detail, **more)

    def failed(self, check: str, error: ModelError) -> Finding:
        return self.found(check, "failure", error.message, remedy=error.remedy)

    def ask(self, path: str, **body: object) -> tuple[Any, float]:
        """The JSON of the answer, and the seconds until it was there. Raises ModelError."""
        sent = {"model": self.model, **body}
        reply, seconds = timed(lambda: self.client.send("POST", path, sent, timeout=LOADING))
        if not 200 <= reply.status < 300:
            raise error_of(failure_of(reply), model=self.model, where=self.client.endpoint)
        return reply.json(), seconds


def embedding(
    target: Target, path: str, profile: Profile, *, wanted: Iterable[int] = ()
) -> Iterator[Finding]:
    """Whether its vectors are whole and say something; the dimensions in the first one's `data`.

    `wanted` are the dimensions that the configuration asks for.
    """
    import numpy as np

    check = "model.embedding"
    texts = [profile.prefix("query") + QUESTION]
    texts += [profile.prefix("document") + text for text in (NEAR, FAR)]
    try:
        answer, first = target.ask(path, input=texts, encoding_format="float")
        vectors = _vectors(answer, len(texts), target)
        _, second = target.ask(path, input=texts, encoding_format="float")
    except ModelError as error:
        yield target.failed(check, error)
        return
    if trouble := _unfit(vectors):
        yield target.found(
            check,
            "failure",
            f"its vectors cannot be used: {trouble}",
            remedy="take another file of this model (other quantization), or another model",
        )
        return
    dimensions = vectors.shape[1]
    norm = float(np.linalg.norm(vectors[0]))
    units, _ = unit(vectors, dimensions)
    near, far = (float(cosine) for cosine in units[1:] @ units[0])
    figures: dict[str, object] = {
        "dimensions": dimensions,
        "norm": round(norm, 4),
        "first_seconds": round(first, 4),
        "second_seconds": round(second, 4),
        "cosine_similar": round(near, 4),
        "cosine_other": round(far, 4),
    }
    yield target.found(
        check,
        "ok",
        f"{dimensions} dimensions, norm {norm:.3f}; "
        f"3 texts in {_ms(first)}, again in {_ms(second)}",
        seconds=second,
        data=figures,
    )
    for number in wanted:
        yield _dimensions(target, profile, dimensions, number)
    yield _similar(target, near, far)


def _dimensions(target: Target, profile: Profile, dimensions: int, wanted: int) -> Finding:
    """Whether vectors can be made as long as `vector_dimensions` says."""
    data = {"dimensions": dimensions, "configured": wanted}
    check = "model.dimensions"
    if wanted == dimensions:
        words = f"vector_dimensions: {wanted}, as its vectors have"
        return target.found(check, "ok", words, data=data)
    if wanted < dimensions and wanted in profile.matryoshka:
        words = f"vector_dimensions: the first {wanted} of its {dimensions} are kept"
        return target.found(check, "ok", words, data=data)
    fits = [str(size) for size in profile.matryoshka if size < dimensions]
    choices = f", or one of {', '.join(fits)}" if 0 < len(fits) < 10 else ""
    return target.found(
        check,
        "failure",
        f"vector_dimensions: {wanted}, but its vectors have {dimensions}",
        remedy=f"write {dimensions}{choices}, or leave vector_dimensions out",
        data=data,
    )


def _similar(target: Target, near: float, far: float) -> Finding:
    words = f"a similar text has cosine {near:.2f} to a question, an unrelated one {far:.2f}"
    data = {"similar": round(near, 4), "other": round(far, 4)}
    if near > far:
        return target.found("model.similarity", "ok", words, data=data)
    return target.found(
        "model.similarity",
        "warning",
        f"{words}: it cannot tell them apart",
        remedy="choose an embedding model; if it is one, take a newer file of it",
        data=data,
    )


def long_input(
    target: Target, path: str, *, chunk: int | None, own_limit: int | None, remedy: str
) -> Finding:
    """What becomes of a text of some 700 tokens.

    `chunk` is the longest chunk that is configured, in characters; `own_limit` the most tokens that
    the model itself takes; `remedy` says how the server's limit is raised.
    """
    check = "model.long_input"
    text = " ".join((SENTENCE * LONG).split()[:LONG])
    try:
        answer, seconds = target.ask(path, input=[text], encoding_format="float")
    except InputTooLong as error:
        limit = error.limit
    except ModelError as error:
        return target.failed(check, error)
    else:
        tokens = _tokens(answer)
        if tokens is None or tokens >= LONG:
            words = f"a text of {tokens:,} tokens passes" if tokens else "a long text passes"
            return target.found(check, "ok", words, seconds=seconds, data={"tokens": tokens})
        limit = tokens  # subtle: a server that cuts by itself counts only what it kept
    data = {"limit": limit, "model_limit": own_limit}
    said = f"texts over {limit:,} tokens" if limit else "texts of some 700 tokens"
    # three characters a token is what code takes
    if limit and chunk and chunk <= 3 * limit:
        words = f"{said} are cut; chunks of {chunk:,} characters are shorter"
        return target.found(check, "ok", words, data=data)
    own = own_limit is not None and limit is not None and limit >= own_limit
    smaller = f"make chunks smaller: chunking.size: {3 * (limit or 512):,}"
    return target.found(
        check,
        "warning",
        f"{said} are cut" + (", which is all that the model takes" if own else ""),
        remedy=smaller if own else f"{remedy}\n{smaller}" if remedy else smaller,
        data=data,
    )


def rerank(target: Target, paths: Sequence[str]) -> Finding:
    """Whether its scores have an order and a distance; `paths` are tried until one is served."""
    check = "model.reranking"
    try:
        scores, seconds = _scores(target, paths)
    except ModelError as error:
        return target.failed(check, error)
    right, others = scores[RIGHT], scores[:RIGHT] + scores[RIGHT + 1 :]
    logits = any(score < 0 or score > 1 for score in scores)
    gap = right - max(others)
    kind = "logits" if logits else "probabilities"
    shown = ", ".join(f"{score:.3g}" for score in scores)
    data = {"scores": scores, "kind": kind, "gap": gap, "seconds_per_pair": seconds / len(scores)}
    said = f"{kind}: {right:.3g} for the passage that answers, {max(others):.3g} for the next best"
    if all(abs(score) < 1e-9 for score in scores):
        state: State = "failure"
        said = f"it gives next to nothing to every passage ({shown}): its file lacks the classifier"
        remedy = f"take another file of it: {RERANKER}"
    elif gap <= 0:
        state, remedy = "failure", f"take another reranker, such as: {RERANKER}"
        said = f"the passage that answers is not the best: {shown}"
    elif gap < (2 if logits else 0.2):
        state, remedy = "warning", f"if hits are poor, take another: {RERANKER}"
        said += ": they are close together"
    else:
        state, remedy = "ok", ""
    pace = f"; {_ms(seconds / len(scores))} a pair"
    return target.found(check, state, said + pace, remedy=remedy, seconds=seconds, data=data)


def chat(name: str, machine: Chat) -> Finding:
    """Whether it answers in words, and how fast."""
    begun = perf_counter()
    first: float | None = None
    words, tokens = "", 0
    try:
        for delta in machine.chat([Message("user", "What is the capital of France? One word.")]):
            if first is None and (delta.content or delta.reasoning):
                first = perf_counter() - begun
            words += delta.content
            tokens = delta.usage.completion_tokens if delta.usage else tokens
    except ModelError as error:
        return Finding("model.chat", name, "failure", error.message, error.remedy)
    seconds = perf_counter() - begun
    if first is None:
        remedy = "look at the server's log (docker model logs), or choose another chat model"
        return Finding("model.chat", name, "failure", "its answer is empty", remedy)
    said = " ".join(words.split())
    shown = f"{said[:40]}…" if len(said) > 40 else said
    return Finding(
        "model.chat",
        name,
        "ok",
        f"answers {shown!r}; first word after {_ms(first)}, all after {_ms(seconds)}",
        seconds=seconds,
        data={"first_seconds": round(first, 4), "tokens": tokens, "answer": said},
    )


def _scores(target: Target, paths: Sequence[str]) -> tuple[list[float], float]:
    """Scores in the passages' order, and the seconds of a second call. Raises ModelError."""
    *others, last = paths
    for path in others:
        try:
            return _scored(target, path)
        except Unanswered:
            raise
        except ModelUnreachable:  # it is not served at this path
            continue
    return _scored(target, last)


def _scored(target: Target, path: str) -> tuple[list[float], float]:
    body: dict[str, object] = {"query": CAPITAL, "documents": list(PASSAGES)}
    target.ask(path, **body)  # whatever the first one takes longer
    answer, seconds = target.ask(path, **body)
    try:
        return scores_of(answer, len(PASSAGES)), seconds
    except Garbled as error:
        raise _unexpected(target, f"scores: {error}") from None


def _vectors(answer: Any, count: int, target: Target) -> Vectors:
    """Raw vectors (count, d) in order; a value that is null is NaN. Raises ModelError."""
    try:
        return vectors_of(answer, count)[0]
    except Garbled as error:
        raise _unexpected(target, f"vectors: {error}") from None


def _unexpected(target: Target, what: str) -> ModelError:
    where = target.client.endpoint
    return ModelError(
        f"{where}: {target.model} answered with something else than {what}",
        "check that the model is one for this task",
    )


def _unfit(vectors: Vectors) -> str:
    """Why nothing can be searched with these vectors; "" where something can."""
    import numpy as np

    if bad := int((~np.isfinite(vectors)).sum()):
        return f"{bad} of {vectors.size} values are no numbers (NaN)"
    if not vectors.any(axis=1).all():
        return "they are all zeros"
    if vectors.shape[1] == 1:
        return "they have one dimension: this is a reranker"
    return ""


def _tokens(answer: Any) -> int | None:
    try:
        return int(answer["usage"]["prompt_tokens"]) or None
    except (KeyError, TypeError, ValueError):
        return None


def _ms(seconds: float) -> str:
    return f"{seconds * 1000:,.0f} ms" if seconds < 10 else f"{seconds:,.1f} s"
