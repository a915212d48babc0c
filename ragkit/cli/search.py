"""`ragkit search`: bring the index up to date, ask it, print the hits."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING

import click

from ragkit.cli.filters import NAMES, Asked, filters
from ragkit.cli.options import place, print_json, say
from ragkit.cli.ready import Left, models_ready, pull_option, refresh, refresh_option

if TYPE_CHECKING:
    from ragkit.kb import KnowledgeBase
    from ragkit.types import Filter


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
@click.option(
    "--max-tokens",
    type=click.IntRange(min=1),
    metavar="N",
    help="Evidence of at most N tokens in the place of hits: whole lines, none of them twice.",
)
@click.option("--cursor", metavar="TOKEN", help="With --max-tokens: go on behind that page.")
@click.option("--exact", is_flag=True, help="Compare with every vector: slower, misses none.")
@click.option("--explain", is_flag=True, help="Every score and rank on the way, and the times.")
@pull_option
@refresh_option
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
    max_tokens: int | None,
    cursor: str | None,
    exact: bool,
    explain: bool,
    pull: bool,
    refreshing: float | None,
) -> None:
    """Search PATH (default: the repository around you) for QUERY.

    The index is built or refreshed first: only files that changed are read again. Hits are
    printed as path:first-last, with the symbol or heading they lie in and a score; the lines are
    those of the file as it is now, and a hit whose text is not there any more says so.

    With --max-tokens, what is printed is for a reader with a budget: as many of the best hits as
    fit, neighbours as one passage, and on stderr the command that goes on.

    Exit codes: 0 hits, 1 no hit, 2 an error.
    """
    if not query.strip():
        raise click.UsageError("the query is empty: say what to look for")
    if cursor is not None and max_tokens is None:
        raise click.UsageError("--cursor goes with --max-tokens: say how much to show")
    if limit is not None and max_tokens is not None:
        raise click.UsageError("--limit and --max-tokens exclude each other: the budget decides")
    from ragkit.kb import KnowledgeBase
    from ragkit.kb.places import locate

    source = locate(path, config=config, name=name)
    where = asked.filter(source.root)
    models_ready(source, pull=pull)
    with KnowledgeBase(source, read_only=refreshing == 0, hear=say) as kb:
        left = refresh(kb, refreshing) if refreshing != 0 else Left()
        asking = _Asking(kb, query, where, exact, as_json, only_files, explain, left)
        if max_tokens is None:
            found = asking.hits(limit, context)
        else:
            found = asking.evidence(max_tokens, cursor or "")
    sys.exit(0 if found else 1)


@dataclass(frozen=True, slots=True)
class _Asking:
    """A query, and how its answer is to be printed. Each method says whether there was a hit."""

    kb: KnowledgeBase
    query: str
    where: Filter
    exact: bool
    as_json: bool
    only_files: bool
    explain: bool
    left: Left

    def hits(self, limit: int | None, context: int) -> bool:
        """Print the hits."""
        from ragkit.cli import explaining, rendering
        from ragkit.retriever import untraced

        ranks = explaining.Ranks() if self.explain else None
        trace = ranks or untraced
        answer = self.kb.answer(self.query, limit, self.where, trace, exact=self.exact)
        nothing = {} if answer.hits else self._nothing()
        rendering.say_degraded(answer.degraded)
        if self.as_json:
            print_json(rendering.as_json(self.kb, answer, ranks) | nothing | self._stale())
        elif self.only_files:
            click.echo("\n".join(rendering.paths(answer)), nl=bool(answer.hits))
        else:
            rendering.show(answer, context=context, ranks=ranks)
        return bool(answer.hits)

    def evidence(self, max_tokens: int, cursor: str) -> bool:
        """Print a pack."""
        from ragkit.cli import explaining, packs, rendering
        from ragkit.retriever import untraced

        ranks = explaining.Ranks() if self.explain else None
        trace = ranks or untraced
        pack = self.kb.pack(self.query, max_tokens, self.where, cursor, trace, exact=self.exact)
        nothing = {} if pack.passages else self._nothing()
        rendering.say_degraded(pack.degraded)
        if self.as_json:
            print_json(packs.as_json(self.kb, pack, ranks) | nothing | self._stale())
        elif self.only_files:
            click.echo("\n".join(packs.paths(pack)), nl=bool(pack.passages))
        else:
            packs.show(pack, ranks)
        if not self.as_json:
            packs.say_more(pack, click.get_current_context())
        return bool(pack.passages)

    def _stale(self) -> dict[str, object]:
        return {"stale": list(self.left.files), "looked_at_all": self.left.whole}

    def _nothing(self) -> dict[str, object]:
        """Say why there is no hit; what JSON has of it."""
        from ragkit.cli import rendering
        from ragkit.kb.nearest import unmatched

        missed = unmatched(self.kb, self.where, NAMES)
        message = str(missed or rendering.why_nothing(self.kb, self.query))
        click.echo(message, err=True)
        return rendering.nothing_as_json(message, missed)
