"""`ragkit why-not`: what became of the file that was expected to answer."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import click

from ragkit.cli.filters import Asked, filters
from ragkit.cli.options import place, print_json, say
from ragkit.cli.ready import models_ready, pull_option, refresh, refresh_option

if TYPE_CHECKING:
    from ragkit.kb.explanation import Explanation, Step


@click.command("why-not")
@click.argument("query")
@click.argument("file", metavar="FILE[:LINE]")
@place
@filters
@click.option("-n", "--limit", type=click.IntRange(1, 10_000), help="Most hits.  [default: 10]")
@click.option("--json", "as_json", is_flag=True, help="One JSON object; see docs/cli.md.")
@click.option("--exact", is_flag=True, help="Compare with every vector: slower, misses none.")
@pull_option
@refresh_option
def why_not(
    query: str,
    file: str,
    path: str | None,
    config: str | None,
    name: str | None,
    asked: Asked,
    limit: int | None,
    as_json: bool,
    exact: bool,
    pull: bool,
    refreshing: float | None,
) -> None:
    """Say where FILE was lost on its way into the hits for QUERY, or which hit it is.

    FILE is what you expected to be found: a file, a folder (then its best file counts), or a line
    as in src/app.py:12; relative to this folder or to the root of what is searched. The query runs
    as `ragkit search` would run it, with the same options, and each stage tells what it made of
    the file: its rank and score, the words of the query that it has and lacks, the rule that
    ignored it, the limit that would show it.

    Exit codes: 0 it is among the hits, 1 it is not, 2 an error.
    """
    if not query.strip():
        raise click.UsageError("the query is empty: say what to look for")
    from ragkit.kb import KnowledgeBase
    from ragkit.kb.expected import place_of
    from ragkit.kb.places import locate

    source = locate(path, config=config, name=name)
    where = asked.filter(source.root)
    models_ready(source, pull=pull)
    with KnowledgeBase(source, read_only=refreshing == 0, hear=say) as kb:
        if refreshing != 0:
            refresh(kb, refreshing)
        wanted, line = place_of(file, source.root)
        explanation = kb.why_not(query, wanted, line, limit, where, exact=exact)
        if as_json:
            print_json(as_object(explanation))
        else:
            show(explanation)
    sys.exit(0 if explanation.rank else 1)


def as_object(explanation: Explanation) -> dict[str, object]:
    """The explanation as `--json` prints it; its shape is documented in docs/cli.md."""
    from dataclasses import asdict

    whole = asdict(explanation)
    whole["degraded"] = [{"stage": s, "reason": r} for s, r in explanation.degraded]
    return {"version": 1, **whole}


def show(explanation: Explanation) -> None:
    """The verdict, then a table of the stages, then what helps; notes go to stderr."""
    from ragkit.cli.tables import table

    rows = [_row(step, explanation.path) for step in explanation.steps]
    for stage, reason in explanation.degraded:
        say(f"{stage}: {reason}")
    mark = ("green" if explanation.rank else "yellow") if explanation.steps else None
    click.echo(click.style(explanation.summary, bold=True, fg=mark))
    header, *lines = table(("STAGE", "RANK", "SCORE", "LINES", "IN", ""), rows)
    click.echo(f"\n{click.style(header, dim=True)}")
    for step, line in zip(explanation.steps, lines, strict=True):
        click.echo(line if step.kept else click.style(line, fg="yellow"))
    for number, remedy in enumerate(explanation.remedies):
        click.echo(f"{'' if number else chr(10)}{click.style('try:', fg='cyan')} {remedy}")


WIDEST = 28
"""Characters of a context that are shown."""


def _row(step: Step, path: str) -> tuple[str, ...]:
    """Cells of a step; of a folder, the file that counts is told."""
    if step.rank:
        rank = f"{step.rank:,} of {step.of:,}"
        rank = rank if step.kept else f"({rank})"
    else:
        rank = "" if step.kept else "lost" if step.of is None else f"none of {step.of:,}"
    score = "" if step.score is None else f"{step.score:.3f}"
    lines = "-".join(map(str, step.lines)) if step.lines else ""
    if step.path not in ("", path):
        lines = f"{step.path}:{lines}"
    context = step.context
    if len(context) > WIDEST:  # its end is the nearest
        context = f"…{context[1 - WIDEST :]}"
    return step.stage, rank, score, lines, context, step.detail
