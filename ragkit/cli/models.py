"""`ragkit models`: what a model runner has, and what becomes of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING

import click

from ragkit.cli.configure import configure
from ragkit.cli.options import print_json
from ragkit.cli.runners import host_option, json_option, missing, plain, runner_at, until_left
from ragkit.cli.tables import age, table
from ragkit.errors import ModelError, ModelNotFound

if TYPE_CHECKING:
    from ragkit.kb.doctor import Finding
    from ragkit.models.dmr.records import LocalModel, Running
    from ragkit.models.dmr.runner import Runner

model_argument = click.argument("model", metavar="MODEL")
models_argument = click.argument("names", metavar="MODEL...", nargs=-1, required=True)


@click.group()
def models() -> None:
    """The models of Docker Model Runner, and those that are built in.

    MODEL is a name such as ai/embeddinggemma, docker.io/ai/qwen3:14B, hf.co/org/name:Q8_0, one of
    another registry, or an id.
    """


models.add_command(configure)


@models.command("list")
@json_option
@host_option
def list_(as_json: bool, host: str | None) -> None:
    """List the models that are there, of the runner and built in."""
    from ragkit.kb.doctor import embedded

    built_in = list(embedded())
    error: ModelError | None = None
    runner: Runner | None = None
    found: list[LocalModel] = []
    try:
        runner = runner_at(host)
        found = runner.models()
    except ModelError as caught:
        error = caught
    if as_json:
        print_json(
            {
                "version": 1,
                "runner": str(runner.endpoint) if runner and not error else None,
                "models": [described(model) for model in found],
                "embedded": [
                    {"name": one.subject, "usable": one.state == "ok", "detail": one.detail}
                    for one in built_in
                ],
            }
        )
    else:
        if error is None:
            _show_models(found)
            click.echo()
        _show_built_in(built_in)
    if error is not None:  # what is built in needs no runner, so that much was told
        raise error


@models.command()
@models_argument
@host_option
def pull(names: Sequence[str], host: str | None) -> None:
    """Pull models, from Docker Hub, Hugging Face (hf.co/…) or another registry.

    What is there already is brought up to date. HF_TOKEN, where it is set, is the key for Hugging
    Face. Ctrl-C cancels; Docker Hub's downloads go on from there the next time. embedded/minilm
    is downloaded for ragkit itself.
    """
    from ragkit.cli.pulling import pull_one

    wanted = list(map(plain, names))
    if "embedded/minilm" in wanted:
        from ragkit.models.embedded import weights

        found = weights.find(notice=lambda message: click.echo(message, err=True))
        click.echo(f"embedded/minilm: {found.folder}", err=True)
    if served := [name for name in wanted if not name.startswith("embedded/")]:
        runner = runner_at(host)
        for name in served:
            pull_one(runner, name)


@models.command()
@models_argument
@click.option("-f", "--force", is_flag=True, help="Remove all tags of a model named by its id.")
@host_option
def rm(names: Sequence[str], force: bool, host: str | None) -> None:
    """Remove models from the runner."""
    runner = runner_at(host)
    for name in names:
        for line in runner.remove(plain(name), force=force):
            click.echo(line)


@models.command()
@json_option
@host_option
def ps(as_json: bool, host: str | None) -> None:
    """List the models that are loaded."""
    runner = runner_at(host)
    running = runner.running()
    if as_json:
        print_json({"version": 1, "running": [asdict(one) for one in running]})
        return
    header = ("MODEL NAME", "BACKEND", "MODE", "STATE", "LAST USED", "KEPT FOR")
    for line in table(header, [_running(one) for one in running]):
        click.echo(line)


@models.command()
@models_argument
@host_option
def unload(names: Sequence[str], host: str | None) -> None:
    """Free the memory that models take; what is computing stays."""
    runner = runner_at(host)
    for name in names:
        if runner.model(plain(name)) is None:
            raise missing(runner, plain(name))
    count = runner.unload(*map(plain, names))
    click.echo(f"unloaded {count} {'process' if count == 1 else 'processes'}")


@models.command()
@model_argument
@click.option("-r", "--remote", is_flag=True, help="Ask its registry instead of the runner's disk.")
@json_option
@host_option
def inspect(model: str, remote: bool, as_json: bool, host: str | None) -> None:
    """Say what is known of one model: tags, id, dimensions, context, the GGUF's metadata."""
    runner = runner_at(host)
    name = plain(model)
    found = runner.remote(name) if remote else runner.model(name)
    if found is None and remote:
        raise ModelNotFound(
            f"{name}: its registry does not have it, or asks for a key, or is out of reach",
            remedy="check the name; for a private model pull it with its key (HF_TOKEN)",
        )
    if found is None:
        raise missing(runner, name)
    if as_json:
        print_json({"version": 1, **described(found), "metadata": dict(found.metadata)})
        return
    values = described(found) | {"created": age(found.created)}
    for what, value in values.items():
        shown = ", ".join(value) if isinstance(value, list) else value
        click.echo(f"{what:<13} {'' if shown is None else shown}".rstrip())
    for key, text in sorted(found.metadata.items()):
        click.echo(f"  {key} = {text}")


@models.command()
@click.option("-f", "--follow", is_flag=True, help="Go on as it is written, until Ctrl-C.")
@click.option("--no-engines", is_flag=True, help="Leave out what the engines wrote.")
@host_option
def logs(follow: bool, no_engines: bool, host: str | None) -> None:
    """Print the runner's log and that of its engines: the place for errors of llama.cpp."""

    lines = runner_at(host).logs(follow=follow, engines=not no_engines)
    with until_left(lines):
        for line in lines:
            click.echo(line)


def described(model: LocalModel) -> dict[str, object]:
    """A model as `--json` prints it."""
    return {
        "id": model.id,
        "tags": list(model.tags),
        "created": model.created,
        "format": model.format,
        "architecture": model.architecture,
        "parameters": model.parameters,
        "quantization": model.quantization,
        "size": model.size,
        "context": model.context,
        "dimensions": model.dimensions,
        "pooling": model.pooling,
    }


def _show_models(models: Sequence[LocalModel]) -> None:
    from ragkit.models.dmr.references import short

    header = (
        "MODEL NAME", "PARAMETERS", "QUANTIZATION", "ARCHITECTURE", "MODEL ID", "CREATED",
        "CONTEXT", "SIZE",
    )  # fmt: skip
    rows = []
    for model in models:
        for name in [short(tag) for tag in model.tags] or ["<none>"]:
            rows.append(
                (
                    name,
                    model.parameters,
                    model.quantization,
                    model.architecture,
                    model.id.removeprefix("sha256:")[:12],
                    age(model.created),
                    "" if model.context is None else str(model.context),
                    model.size,
                )
            )
    for line in table(header, sorted(rows)):
        click.echo(line)


def _show_built_in(findings: Sequence[Finding]) -> None:
    click.echo("BUILT IN")
    width = max(len(one.subject) for one in findings)
    for one in findings:
        click.echo(f"{one.subject:<{width}}  {one.detail}")
        if one.remedy:
            click.echo(f"{'':<{width}}  {click.style('try:', fg='cyan')} {one.remedy}")


def _running(one: Running) -> tuple[str, ...]:
    from ragkit.models.dmr.references import short

    state = "loading" if one.loading else "in use" if one.in_use else "idle"
    # while it is in use, the runner gives the year 1
    used = "" if one.in_use or one.last_used.startswith("0001-") else one.last_used
    return (short(one.model), one.backend, one.mode, state, used, one.keep_alive or "5m (default)")
