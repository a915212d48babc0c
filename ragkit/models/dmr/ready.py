"""A model made ready for work: there, configured, loaded.

The runner forgets configurations when it starts again, shares them between all clients and loads a
model for chat, too, whenever it is told one; so it is told once, and only what it does not have.
"""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Final

from ragkit.errors import ModelBusy, ModelError, ModelUnreachable
from ragkit.models.dmr import flags
from ragkit.models.dmr.options import Options
from ragkit.models.dmr.plans import check, limits, plan, suffices
from ragkit.models.dmr.records import Configuration, LocalModel, Mode
from ragkit.models.dmr.runner import FlagRefused, Runner, not_found
from ragkit.models.failures import Failure, Trouble, error_of, failure_of
from ragkit.models.http import Reply
from ragkit.models.retrying import Refused, patiently

LOAD: Final = 330.0
"""Seconds for a model to be loaded: the runner itself gives up after 300."""

RERANKING: Final = ("/engines/rerank", "/rerank", "/engines/llama.cpp/rerank")
"""Where versions have it; `/v1/rerank` is in none."""

_REQUESTS: Final[Mapping[Mode, tuple[tuple[str, ...], dict[str, object]]]] = {
    "embedding": (("/engines/v1/embeddings",), {"input": ["ready"]}),
    "reranking": (RERANKING, {"query": "ready", "documents": ["ready"]}),
    "completion": (
        ("/engines/v1/chat/completions",),
        {"messages": [{"role": "user", "content": "ready"}], "max_tokens": 1},
    ),
}
"""Requests that load a model. Versions before 1.0.15 also answer them."""

_HOPELESS: Final = re.compile(
    "unable to load runner.*(failed to load model|invalid argument)", re.S
)
"""The file or a flag is wrong: the next attempt would end in the same way."""

_NO_OPTIONS: Final = Options()


@dataclass(frozen=True, slots=True)
class Prepared:
    """A model that is loaded."""

    model: LocalModel
    """Its `reference` is what requests call it."""
    limit: int | None
    """Most tokens of a text; None where that is not known."""
    context: int | None
    """Most tokens under way together; None also where there is no such bound."""
    notices: tuple[str, ...] = ()
    """What is otherwise than it was asked for, in words."""


@dataclass(frozen=True, slots=True)
class _Told:
    """What came of configuring."""

    in_force: Configuration | None
    """None where nothing has changed."""
    notices: tuple[str, ...] = ()


_lock: Final = threading.Lock()
_loading: Final[dict[str, threading.Lock]] = {}
_told: Final[dict[tuple[str, ...], _Told]] = {}


def prepare(
    runner: Runner,
    reference: str,
    mode: Mode,
    options: Options = _NO_OPTIONS,
    *,
    load: bool = True,
) -> Prepared:
    """Have the model configured as it should be, and loaded.

    A configuration that the runner refuses is told among the notices, and the work goes on. Raises
    ModelNotFound, ModelError where the model cannot do it or be loaded, ModelUnreachable.
    """
    with _alone(runner):
        return _prepare(runner, reference, mode, options, load=load, again=False)


def prepare_again(
    runner: Runner, reference: str, mode: Mode, options: Options = _NO_OPTIONS
) -> Prepared:
    """The same where the model turns out to be run otherwise than it was told.

    The runner has forgotten the configuration, or began to load before it had it: it is told again
    and the model is loaded anew.
    """
    with _alone(runner):
        runner.unload(reference)
        return _prepare(runner, reference, mode, options, load=True, again=True)


def found(runner: Runner, reference: str) -> LocalModel:
    """The model. Raises ModelNotFound with the ways to get it."""
    model = runner.model(reference)
    if model is None:
        raise not_found(runner, reference)
    return model


def _alone(runner: Runner) -> threading.Lock:
    """One model is loaded at a time: several at once only take each other's memory."""
    with _lock:
        return _loading.setdefault(str(runner.endpoint), threading.Lock())


def _prepare(
    runner: Runner, reference: str, mode: Mode, options: Options, *, load: bool, again: bool
) -> Prepared:
    model = found(runner, reference)
    if options.speculative and options.speculative.draft_model and mode == "completion":
        found(runner, options.speculative.draft_model)
    notices = (*options.notices, *check(model, mode, options, reference))
    in_force = Configuration(model.reference, mode)
    wanted = plan(model, mode, options)
    if wanted is not None:
        there = _there(runner, model, mode)
        if there is not None and _does(there, wanted, model, options):
            in_force = there
        else:
            told = _tell(runner, model, wanted, None if again else there)
            in_force = told.in_force or there or in_force
            notices += told.notices
    if load:
        _load(runner, model, mode, reference)
    takes = limits(model, in_force)
    return Prepared(model, takes.tokens, takes.context, notices)


def _there(runner: Runner, model: LocalModel, mode: Mode) -> Configuration | None:
    """What the runner says it runs the model with."""
    for one in runner.configurations(model.reference):
        if one.mode == mode:
            return one.configuration
    return None


def _does(there: Configuration, wanted: Configuration, model: LocalModel, options: Options) -> bool:
    if there.like(wanted):
        return True
    return not options.is_set and suffices(there, wanted, model)


def _tell(
    runner: Runner, model: LocalModel, wanted: Configuration, there: Configuration | None
) -> _Told:
    """Configure, unless this process has done so before and something else is `there` now.

    Then another program wants it otherwise; to tell it again would have the model loaded anew for
    each of the two in turn.
    """
    key = (str(runner.endpoint), model.id, wanted.mode, json.dumps(wanted.settings()))
    before = _told.get(key)
    if before is not None and there is not None:
        if before.in_force is not None and there.like(before.in_force):
            return before
        return _Told(None, (f"{wanted.model}: another program has configured it; it stays so",))
    _told[key] = _configure(runner, wanted)
    return _told[key]


def _configure(runner: Runner, wanted: Configuration) -> _Told:
    """As it is wanted, without what is refused. Raises ModelUnreachable; ModelError where vectors
    would be others than those that were asked for."""
    trying, notices = wanted, list[str]()
    while True:
        try:
            runner.configure(trying)
            return _Told(trying, tuple(notices))
        except FlagRefused as refused:
            fewer = flags.without(trying.runtime_flags, refused.flag)
            if flags.changing(fewer) != flags.changing(trying.runtime_flags):
                raise
            notices.append(f"{refused.message}: left out; {refused.remedy}")
            if fewer == trying.runtime_flags:
                break
            trying = replace(trying, runtime_flags=fewer)
        except ModelUnreachable:
            raise
        except ModelBusy as busy:
            return _Told(None, (*notices, f"{busy.message}; it goes on as it is loaded"))
        except ModelError as error:
            notices.append(f"{wanted.model} could not be configured: {error.message}")
            break
    return _Told(_least(runner, wanted), tuple(notices))


def _least(runner: Runner, wanted: Configuration) -> Configuration | None:
    """Configure the context alone, which every version takes; None where even that fails."""
    if wanted.context_size is None or flags.changing(wanted.runtime_flags):
        return None
    least = Configuration(wanted.model, wanted.mode, wanted.context_size)
    try:
        runner.configure(least)
    except ModelUnreachable:
        raise
    except ModelError:
        return None
    return least


def _load(runner: Runner, model: LocalModel, mode: Mode, name: str) -> None:
    """Load it for this work. Raises ModelError."""
    paths, body = _REQUESTS[mode]
    for path in paths:
        failure = _load_through(runner, path, {"model": model.reference, **body})
        if failure is None or failure.trouble is not Trouble.WRONG_PATH:
            break
    if failure is None:
        return
    if failure.trouble is Trouble.NOT_FOUND:  # removed since we looked
        raise not_found(runner, name)
    raise error_of(failure, model=name, where=runner.endpoint)


def _load_through(runner: Runner, path: str, body: object) -> Failure | None:
    """None when it is loaded."""

    def attempt() -> Reply:
        headers = {"x-preload-only": "true"}
        reply = runner.client.send("POST", path, body, timeout=LOAD, headers=headers)
        if reply.status == 500 and _HOPELESS.search(reply.text):
            # subtle: the engine's own words below it ("loading model") would be worth patience
            raise Refused(replace(failure_of(reply), trouble=Trouble.NOT_LOADED))
        return reply

    try:
        patiently(attempt, deadline=LOAD + 60, sleep=runner.sleep)
    except Refused as refused:
        return refused.failure
    return None
