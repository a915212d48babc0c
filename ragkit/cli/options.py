"""What several commands take and print, said once.

Commands import what they need when they run: `ragkit --help` waits for click alone.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import click

Command = TypeVar("Command", bound=Callable[..., Any])


def place(command: Command) -> Command:
    """PATH, --config and --kb: which knowledge base is meant."""
    for decorate in (
        click.option(
            "--kb", "name", metavar="NAME", help="The knowledge base, where there are several."
        ),
        click.option(
            "--config",
            metavar="FILE",
            help="A YAML file with a `rag:` block. Default: ragkit.yaml in PATH, or above you.",
        ),
        click.argument("path", required=False, metavar="[PATH]"),
    ):
        command = decorate(command)
    return command


def print_json(value: object) -> None:
    """One JSON value to stdout, readable by people too."""
    import json

    text = json.dumps(value, ensure_ascii=False, indent=2)
    # half a surrogate pair, out of a query or a path, becomes the escape that JSON has for it
    click.echo(text.encode("utf-8", "backslashreplace").decode())


def say(notice: str) -> None:
    """A note on stderr."""
    click.echo(f"{click.style('note:', fg='yellow')} {notice}", err=True)
