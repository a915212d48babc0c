"""`ragkit lint`: what becomes of each option of a configuration."""

from __future__ import annotations

import sys
from collections import Counter
from typing import TYPE_CHECKING, Final

import click

from ragkit.cli.options import print_json
from ragkit.cli.runners import json_option
from ragkit.errors import ConfigError

if TYPE_CHECKING:
    from ragkit.kb.lint import Finding, State

COLOURS: Final[dict[State, str]] = {
    "mend": "red",
    "differs": "yellow",
    "ignored": "bright_black",
    "honoured": "green",
}


@click.command()
@click.argument("file", required=False, metavar="[FILE]")
@click.option("--all", "everything", is_flag=True, help="Name what is honoured as written, too.")
@json_option
def lint(file: str | None, everything: bool, as_json: bool) -> None:
    """Say which options of FILE are honoured, work otherwise than in docker-agent, or do nothing.

    FILE (default: the ragkit.yaml that applies here) may have been written for docker-agent. What
    should be mended comes with what to do: a number of dimensions that the model does not have, a
    threshold on another scale, strategies that cut documents differently, paths that match
    nothing. No model is loaded and no server is asked.

    Exit codes: 0 nothing is to be mended, 1 something is, 2 the file cannot be read.
    """
    from pathlib import Path

    from ragkit.kb.lint import examine
    from ragkit.kb.places import configuration_file

    path = Path(file) if file else configuration_file(None)
    if path is None:
        raise ConfigError("there is no ragkit.yaml here", remedy="`ragkit init` writes one")
    found = examine(path)
    counts = Counter(one.state for one in found)
    if as_json:
        print_json(
            {
                "version": 1,
                "file": str(path),
                "counts": {state: counts[state] for state in COLOURS},
                "findings": [_plain(one) for one in found],
            }
        )
    else:
        for one in found:
            if everything or one.state != "honoured":
                _show(one)
        click.echo(_summary(counts, everything))
    sys.exit(1 if counts["mend"] else 0)


def _plain(found: Finding) -> dict[str, object]:
    return {
        "state": found.state,
        "line": found.line,
        "key": found.key,
        "text": found.text,
        "remedy": found.remedy,
        "see": found.see,
    }


def _show(found: Finding) -> None:
    see = click.style(f" ({found.see})", dim=True) if found.see else ""
    click.echo(f"{click.style(f'{found.state:<8}', fg=COLOURS[found.state])} {found}{see}")
    if found.remedy:
        click.echo(f"         {click.style('try:', fg='cyan')} {found.remedy}")


def _summary(counts: Counter[State], everything: bool) -> str:
    """`2 to mend, 5 differ (docs/compat.md), 3 ignored, 14 honoured (--all names them)`."""
    differ = "differs" if counts["differs"] == 1 else "differ"
    honoured = f"{counts['honoured']} honoured"
    return ", ".join(
        (
            f"{counts['mend']} to mend",
            f"{counts['differs']} {differ} from docker-agent (docs/compat.md)",
            f"{counts['ignored']} ignored",
            honoured if everything else f"{honoured} (--all names them)",
        )
    )
