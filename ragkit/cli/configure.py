"""`ragkit models configure`: telling the runner how a model is to be run."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

from ragkit.cli.runners import host_option, missing, plain, runner_at
from ragkit.errors import ConfigError

if TYPE_CHECKING:
    from ragkit.config import Configuration as File
    from ragkit.config.models import Model
    from ragkit.models.dmr.options import Options
    from ragkit.models.dmr.records import Configuration, LocalModel, Mode

MODES: Final[tuple[Mode, ...]] = ("embedding", "reranking", "completion")


@click.command(options_metavar="[OPTIONS]")
@click.argument("model", metavar="MODEL")
@click.argument("flags", metavar="[-- FLAGS...]", nargs=-1)
@click.option("--context-size", type=click.IntRange(min=-1), help="Tokens; -1: all it takes.")
@click.option(
    "--mode",
    type=click.Choice(MODES),
    help="Which work it is for. Default: what the configuration or the model's file says.",
)
@click.option("--keep-alive", metavar="D", help="How long it stays unused: 30m, 0, -1 (for ever).")
@click.option("--show", is_flag=True, help="Print what the runner has, and change nothing.")
@click.option("--config", metavar="FILE", help="Where MODEL may be a name. Default: ragkit.yaml.")
@host_option
def configure(
    model: str,
    flags: Sequence[str],
    context_size: int | None,
    mode: str | None,
    keep_alive: str | None,
    show: bool,
    config: str | None,
    host: str | None,
) -> None:
    """Tell the runner how to run MODEL, or print what it was told.

    MODEL may also be a key of `models:` in the configuration: its provider_opts are sent, changed
    by what is given here. FLAGS go to the engine, such as: -- --ubatch-size 2048. The runner keeps
    all of it until it is restarted, and uses it when it loads the model the next time.
    """
    if model == "show" and len(flags) == 1:  # as `docker model configure show MODEL`
        model, flags, show = flags[0], (), True
    entry, task = _entry(model, config)
    reference = entry.model if entry else plain(model)
    runner = runner_at(host or (entry.base_url if entry else None))
    if show:
        found = runner.configurations(reference)
        for one in found:
            click.echo(f"{one.model}  {one.mode}: {in_words(one.configuration)}")
        if not found:
            click.echo(f"{reference}: not configured; it runs as packaged", err=True)
        return
    local = runner.model(reference)
    if local is None:  # the runner itself would take a configuration for any name
        raise missing(runner, reference)
    options = _options(entry, context_size=context_size, keep_alive=keep_alive, flags=flags)
    said = str(entry.provider_opts.get("mode") or "") if entry else ""
    made = _configuration(reference, mode or said or task or _mode_of(local), options)
    for notice in options.notices:
        click.echo(f"{click.style('note:', fg='yellow')} {notice}", err=True)
    if not made.settings():
        raise ConfigError(
            f"{model}: there is nothing to configure",
            remedy="give --context-size, --keep-alive or flags after --, or see --show",
        )
    runner.configure(made)
    click.echo(f"configured {reference}  {made.mode}: {in_words(made)}")


def in_words(configuration: Configuration) -> str:
    """`context 2048 tokens, kept for 30m, flags --ubatch-size 2048`."""
    import shlex

    words = []
    if (size := configuration.context_size) is not None:
        words.append("all the context it takes" if size == -1 else f"context {size} tokens")
    if (kept := configuration.keep_alive) is not None:
        words.append("kept for ever" if kept.startswith("-") else f"kept for {kept}")
    if configuration.runtime_flags:
        words.append(f"flags {shlex.join(configuration.runtime_flags)}")
    if (draft := configuration.speculative) is not None:
        words.append(f"draft model {draft.draft_model}")
    if configuration.reasoning_budget is not None:
        words.append(f"reasoning budget {configuration.reasoning_budget}")
    if configuration.vllm:
        words.append(f"vLLM {dict(configuration.vllm)}")
    return ", ".join(words) or "nothing"


def _entry(name: str, config: str | None) -> tuple[Model | None, str | None]:
    """The entry of `models:` with that name, and the task that the file uses it for, if any."""
    from ragkit.kb.places import configuration_file

    path = Path(config) if config else configuration_file(None)
    if path is None:
        return None, None
    from ragkit.config import load

    file = load(path)
    entry = file.models.get(name)
    if entry is None:
        if config and "/" not in name:
            known = ", ".join(file.models) or "none"
            raise ConfigError(f"{path}: no model {name}", remedy=f"known in `models`: {known}")
        return None, None
    if entry.provider != "dmr":
        raise ConfigError(
            f"{path}: models.{name}: its provider is {entry.provider}",
            remedy="only models of dmr can be configured",
        )
    return entry, _task(file, name)


def _task(file: File, name: str) -> str | None:
    """What the file uses a model for; None where for nothing, or for several tasks."""
    from ragkit.kb.doctor import uses

    tasks = {use.task for use in uses(file) if use.model.name == name}
    return tasks.pop() if len(tasks) == 1 else None


def _options(
    entry: Model | None, *, context_size: int | None, keep_alive: str | None, flags: Sequence[str]
) -> Options:
    """What the file says, changed by what the command line says. Raises ConfigError."""
    from ragkit.models.dmr.options import options_of

    given: dict[str, object] = dict(entry.provider_opts) if entry else {}
    if context_size is not None:
        given["context_size"] = context_size
    if keep_alive is not None:
        given["keep_alive"] = keep_alive
    if flags:
        given.pop("raw_runtime_flags", None)
        given["runtime_flags"] = list(flags)
    return options_of(given)


def _mode_of(model: LocalModel) -> str:
    """The task that the model's file was made for."""
    from ragkit.models.dmr import records

    if model.pooling == records.RANK:
        return "reranking"
    return "completion" if model.pooling in (None, records.NONE) else "embedding"


def _configuration(reference: str, mode: str, options: Options) -> Configuration:
    from ragkit.models.dmr.records import Configuration

    chosen = next((one for one in MODES if one == mode), None)
    if chosen is None:
        raise ConfigError(
            f"{reference}: mode: {mode!r} is no mode", remedy=f"choose of {', '.join(MODES)}"
        )
    return Configuration(
        model=reference,
        mode=chosen,
        context_size=options.context_size,
        runtime_flags=options.runtime_flags,
        keep_alive=options.keep_alive,
        speculative=options.speculative if chosen == "completion" else None,
        reasoning_budget=options.reasoning_budget if chosen == "completion" else None,
        vllm=options.vllm,
    )
