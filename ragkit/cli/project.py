"""`ragkit init`, `check` and `config`: writing a configuration and knowing that it is right."""

from __future__ import annotations

import click

from ragkit.cli.options import print_json
from ragkit.errors import ConfigError, RagkitError

FILE = "ragkit.yaml"


@click.command()
@click.argument("folder", default=".", metavar="[FOLDER]")
@click.option("--force", is_flag=True, help="Replace a ragkit.yaml that is there.")
def init(folder: str, force: bool) -> None:
    """Write a commented ragkit.yaml for the project in FOLDER (default: here)."""
    from pathlib import Path

    from ragkit.config import template

    target = Path(folder, FILE)
    name = Path(folder).resolve().name or "project"
    try:
        with target.open("w" if force else "x", encoding="utf-8") as file:
            file.write(template(name, ["."]))
    except FileExistsError:
        raise ConfigError(
            f"{target} exists", remedy="edit it, or replace it with --force"
        ) from None
    except OSError as error:
        raise ConfigError(f"{target}: {error.strerror}", remedy="choose another folder") from error
    click.echo(f"wrote {target}; `ragkit check` validates it, `ragkit search` uses it from now on")


@click.command()
@click.argument("file", required=False, metavar="[FILE]")
def check(file: str | None) -> None:
    """Validate a configuration (default: the ragkit.yaml that applies here).

    Exit codes: 0 all of it is right and works in this version, 2 it does not.
    """
    from pathlib import Path

    from ragkit.config import load
    from ragkit.config.rag import Tool
    from ragkit.kb.lint import examine
    from ragkit.kb.parts import not_built
    from ragkit.kb.places import configuration_file

    path = Path(file) if file else configuration_file(None)
    if path is None:
        raise ConfigError("there is no ragkit.yaml here", remedy="`ragkit init` writes one")
    configuration = load(path)
    for warning in configuration.warnings:
        click.echo(f"{click.style('warning:', fg='yellow')} {warning}", err=True)
    missing = [found for source in configuration.sources for found in not_built(source)]
    for where, what in missing:
        click.echo(f"{click.style('not built:', fg='yellow')} {where}: {what}", err=True)
    if missing:
        raise RagkitError(
            f"{path} is valid, but asks for what this version of ragkit cannot do yet",
            remedy="take it out, or wait for the version that has it",
        )
    if configuration.agents or any(source.tool != Tool() for source in configuration.sources):
        note = "agents and their tools are validated, but this version cannot run them yet"
        click.echo(f"{click.style('note:', fg='yellow')} {note}", err=True)
    traps = sum(found.state == "mend" for found in examine(path))
    if traps:
        what = "one thing" if traps == 1 else f"{traps} things"
        note = f"{what} should be mended all the same: `ragkit lint` says what, and how"
        click.echo(f"{click.style('note:', fg='yellow')} {note}", err=True)
    names = ", ".join(source.name for source in configuration.sources) or "none"
    click.echo(f"{path} is valid; knowledge bases: {names}")


@click.group()
def config() -> None:
    """About the configuration file."""


@config.command()
def schema() -> None:
    """Print the JSON Schema of ragkit.yaml, for editors."""
    from ragkit.config import schema

    print_json(schema())
