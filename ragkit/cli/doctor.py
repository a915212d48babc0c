"""`ragkit doctor`: is everything there that models need, and does it work."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

from ragkit.cli.options import print_json
from ragkit.cli.runners import host_option, json_option

if TYPE_CHECKING:
    from ragkit.kb.doctor import Finding, State

MARKS: Final = {"ok": "✓", "warning": "!", "failure": "✗", "skipped": "-"}
COLOURS: Final = {"ok": "green", "warning": "yellow", "failure": "red", "skipped": "bright_black"}


@click.command()
@click.option("--config", metavar="FILE", help="Examine its models. Default: ragkit.yaml, if any.")
@host_option
@click.option("--chat", is_flag=True, help="Ask chat models for a short answer too.")
@json_option
def doctor(config: str | None, host: str | None, chat: bool, as_json: bool) -> None:
    """Find out whether models are reachable, there and whole, and what to do where they are not.

    Looks for Docker Model Runner in every place where one may be, then tries each model of the
    configuration with a few short texts, as indexing and searching would: embedding models and
    rerankers are loaded and configured as these do it. Nothing is pulled, and no file of yours is
    sent anywhere.

    Exit codes: 0 all is well, or works with warnings; 2 something does not work.
    """
    from ragkit.kb.doctor import examine
    from ragkit.kb.places import configuration_file

    path = Path(config) if config else configuration_file(None)
    configuration = None
    if path is not None:
        from ragkit.config import load

        configuration = load(path)
    findings = examine(configuration, host=host, chat=chat)
    if as_json:
        found = list(findings)
        print_json(
            {
                "version": 1,
                "configuration": None if path is None else str(path),
                "findings": [_plain(one) for one in found],
            }
        )
    else:
        found = _shown(findings)
    if any(one.state == "failure" for one in found):
        sys.exit(2)


def _plain(finding: Finding) -> dict[str, object]:
    seconds = finding.seconds
    return {
        "check": finding.check,
        "subject": finding.subject,
        "state": finding.state,
        "detail": finding.detail,
        "remedy": finding.remedy.splitlines(),
        "seconds": None if seconds is None else round(seconds, 6),
        "data": dict(finding.data),
    }


def _shown(findings: Iterable[Finding]) -> list[Finding]:
    """Print each as it comes, below the name of what it is about; all of them."""
    found: list[Finding] = []
    for one in findings:
        if not found or found[-1].subject != one.subject:
            click.echo(("\n" if found else "") + click.style(one.subject, bold=True))
        found.append(one)
        click.echo(f"  {click.style(MARKS[one.state], fg=COLOURS[one.state])} {one.detail}")
        for step in one.remedy.splitlines():
            click.echo(f"    {click.style('try:', fg='cyan')} {step}")
    counted = Counter(one.state for one in found)
    words = [f"{counted['ok']} fine"]
    states: tuple[State, ...] = ("warning", "failure")
    for state in states:
        if count := counted[state]:
            words.append(f"{count} {state}{'' if count == 1 else 's'}")
    click.echo(f"\n{', '.join(words)}")
    return found
