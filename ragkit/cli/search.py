"""`ragkit search`: bring the index up to date, ask it, print the hits."""

from __future__ import annotations

import sys

import click

from ragkit.cli.filters import NAMES, Asked, filters
from ragkit.cli.options import place, print_json, say
from ragkit.cli.ready import models_ready, pull_option, refresh


@click.command()
@click.argument("query")
@place
@filters
@click.option("-n", "--limit", type=click.IntRange(1, 10_000), help="Most hits.  [default: 10]")
@click.option("--json", "as_json", is_flag=True, help="One JSON object; see docs/cli.md.")
@click.option("--files", "only_files", is_flag=True, help="Paths only, best first.")
@click.option(
    "-C",
    "--context",
    type=click.IntRange(0, 1_000),
    default=2,
    show_default=True,
    metavar="N",
    help="Lines to show before and after the best line of a hit.",
)
@click.option("--explain", is_flag=True, help="Every score and rank on the way, and the times.")
@pull_option
@click.option("--no-refresh", is_flag=True, help="Search what is indexed; look at no file.")
def search(
    query: str,
    path: str | None,
    config: str | None,
    name: str | None,
    asked: Asked,
    limit: int | None,
    as_json: bool,
    only_files: bool,
    context: int,
    explain: bool,
    pull: bool,
    no_refresh: bool,
) -> None:
    """Search PATH (default: the repository around you) for QUERY.

    The index is built or refreshed first: only files that changed are read again. Hits are
    printed as path:first-last, with the symbol or heading they lie in and a score.

    Exit codes: 0 hits, 1 no hit, 2 an error.
    """
    if not query.strip():
        raise click.UsageError("the query is empty: say what to look for")
    from ragkit.cli import rendering
    from ragkit.kb import KnowledgeBase
    from ragkit.kb.nearest import unmatched
    from ragkit.kb.places import locate

    source = locate(path, config=config, name=name)
    where = asked.filter(source.root)
    models_ready(source, pull=pull)
    with KnowledgeBase(source, read_only=no_refresh, hear=say) as kb:
        if not no_refresh:
            refresh(kb)
        answer = kb.answer(query, limit, where)
        missed = None if answer.hits else unmatched(kb, where, NAMES)
        if not answer.hits:
            click.echo(missed or rendering.why_nothing(kb), err=True)
        if as_json:
            print_json(rendering.as_json(kb, answer, missed))
        elif only_files:
            click.echo("\n".join(rendering.paths(answer)), nl=bool(answer.hits))
        else:
            rendering.show(answer, context=context, explain=explain)
    sys.exit(0 if answer.hits else 1)
