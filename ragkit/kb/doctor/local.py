"""A model of Docker Model Runner: is it there, is it one for its task, does it do it."""

from __future__ import annotations

from collections.abc import Generator, Iterator
from dataclasses import replace
from typing import Final

from ragkit.errors import ModelError, RagkitError
from ragkit.kb.doctor import probes
from ragkit.kb.doctor.finding import Finding, State, timed
from ragkit.kb.doctor.indexed import embedding
from ragkit.kb.doctor.uses import Use
from ragkit.models.chat import RemoteChat
from ragkit.models.dmr.options import Options, options_of
from ragkit.models.dmr.ready import RERANKING, Prepared, prepare
from ragkit.models.dmr.records import NONE, RANK, LocalModel
from ragkit.models.dmr.references import short
from ragkit.models.dmr.runner import Runner

EMBEDDINGS: Final = "/engines/v1/embeddings"


WHEN: Final = {"embedding": "indexing", "reranking": "searching"}


def examine(use: Use, runner: Runner, *, chat: bool) -> Iterator[Finding]:
    """Findings about one model and its task. It is never pulled.

    An embedding model or a reranker is configured and loaded as indexing and searching would do it.
    """
    reference = use.model.model
    try:
        model = runner.model(reference)
        options = options_of(use.model.provider_opts)
    except RagkitError as error:
        yield Finding("model", use.name, "failure", error.message, error.remedy)
        return
    if model is None:
        yield _missing(use)
        return
    if use.undecided and model.pooling in (None, NONE):
        use = replace(use, task="completion")
    yield _identity(use, model)
    for found in _suitable(use, model):
        yield found
        if found.state == "failure":
            return
    for notice in options.notices:
        yield Finding("model.options", use.name, "warning", notice)
    if draft := options.speculative and options.speculative.draft_model:
        yield from _draft(use, draft, runner)
    if use.task == "completion" and not chat:
        yield from _configured(use, runner)
        words = "not asked for an answer: give --chat"
        yield Finding("model.chat", use.name, "skipped", words)
    elif (prepared := (yield from _prepared(use, runner, options))) is not None:
        yield from _configured(use, runner)
        yield from _probed(use, runner, prepared)


def _missing(use: Use) -> Finding:
    reference = use.model.model
    return Finding(
        "model",
        use.name,
        "failure",
        f"not found locally; used by {', '.join(use.places)}",
        f"docker model pull {reference}",
        data={"local": False, "task": use.task, "places": list(use.places)},
    )


def _identity(use: Use, model: LocalModel) -> Finding:
    words = [", ".join(map(short, model.tags)) or "untagged", short(model.id)]
    words += [model.architecture, model.parameters, model.quantization, model.size]
    if model.dimensions is not None and use.task == "embedding":
        words.append(f"{model.dimensions} dimensions")
    if model.context is not None:
        words.append(f"context {model.context:,} tokens")
    return Finding(
        "model",
        use.name,
        "ok",
        f"there, for {use.task}: " + ", ".join(filter(None, words)),
        data={
            "local": True,
            "task": use.task,
            "places": list(use.places),
            "id": model.id,
            "tags": list(model.tags),
            "dimensions": model.dimensions,
            "context": model.context,
            "pooling": model.pooling,
        },
    )


def _suitable(use: Use, model: LocalModel) -> Iterator[Finding]:
    """What its pooling type says about the task; nothing where they fit."""
    state: State = "failure"
    if use.task == "embedding" and model.pooling == RANK:
        trouble = "it is a reranker: its vectors mean nothing"
        remedy = "choose an embedding model, such as: docker model pull ai/embeddinggemma"
    elif use.task == "reranking" and model.pooling not in (None, NONE, RANK):
        trouble = "it is an embedding model, not a reranker"
        remedy = f"choose a reranker, such as: {probes.RERANKER}"
    elif use.task == "embedding" and model.pooling in (None, NONE):
        state, trouble = "warning", "its file does not say that it is an embedding model"
        remedy = "if hits are poor, choose another, such as: docker model pull ai/embeddinggemma"
    else:
        return
    data = {"pooling": model.pooling}
    yield Finding("model.task", use.name, state, trouble, remedy, data=data)


def _draft(use: Use, draft: str, runner: Runner) -> Iterator[Finding]:
    try:
        found = runner.model(draft)
    except ModelError as error:
        yield Finding("model.draft", use.name, "failure", error.message, error.remedy)
        return
    state: State = "ok" if found else "failure"
    words = "there" if found else "not found locally"
    remedy = "" if found else f"docker model pull {draft}"
    yield Finding("model.draft", use.name, state, f"draft model {draft}: {words}", remedy)


def _configured(use: Use, runner: Runner) -> Iterator[Finding]:
    """What the runner has been told about the model by whoever uses it."""
    try:
        found = runner.configurations(use.model.model)
    except ModelError as error:
        yield Finding("model.configuration", use.name, "warning", error.message, error.remedy)
        return
    for one in found:
        settings = one.configuration.settings()
        words = ", ".join(f"{key} {_plain(value)}" for key, value in settings.items())
        yield Finding(
            "model.configuration",
            use.name,
            "ok",
            f"configured on the runner for {one.mode}: {words or 'nothing'}",
            data={"mode": one.mode, "settings": settings},
        )


def _plain(value: object) -> str:
    return " ".join(map(str, value)) if isinstance(value, list) else str(value)


def _prepared(
    use: Use, runner: Runner, options: Options
) -> Generator[Finding, None, Prepared | None]:
    """Configure and load it as indexing does; None where that was not possible."""
    try:
        prepared, seconds = timed(lambda: prepare(runner, use.model.model, use.task, options))
    except RagkitError as error:
        yield Finding("model.loading", use.name, "failure", error.message, error.remedy)
        return None
    told = set(options.notices)
    for notice in prepared.notices:
        if notice not in told:
            yield Finding("model.configuration", use.name, "warning", notice)
    words = "loaded" if use.task == "completion" else f"loaded as {WHEN[use.task]} does it"
    if prepared.limit is not None and use.task != "completion":
        words += f"; should take texts of {prepared.limit:,} tokens"
    data = {"limit": prepared.limit}
    yield Finding("model.loading", use.name, "ok", words, seconds=seconds, data=data)
    return prepared


def _probed(use: Use, runner: Runner, prepared: Prepared) -> Iterator[Finding]:
    model = prepared.model
    target = probes.Target(runner.client, use.name, model.reference)
    if use.task == "reranking":
        yield probes.rerank(target, RERANKING)
        return
    if use.task == "completion":
        yield _answering(use, runner, prepared)
        return
    raise_limit = (
        f"let the runner take more: ragkit models configure {use.model.model} --mode embedding "
        "--context-size 2048 -- --batch-size 2048 --ubatch-size 2048"
    )
    yield from embedding(
        use,
        target,
        EMBEDDINGS,
        own_limit=model.trained_context or model.context,
        remedy=raise_limit,
    )


def _answering(use: Use, runner: Runner, prepared: Prepared) -> Finding:
    machine = RemoteChat(
        runner.client, model=prepared.model.reference, name=use.name, sampling=probes.BRIEFLY
    )
    return probes.chat(use.name, machine)
