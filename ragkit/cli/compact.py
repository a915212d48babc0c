"""`ragkit compact`: make the databases of a knowledge base as small as what they hold."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from ragkit.cli.options import place, print_json

if TYPE_CHECKING:
    from ragkit.stores.compacting import Compacted


@click.command()
@place
@click.option(
    "--prune",
    is_flag=True,
    help="Forget vectors of texts that are in no file any more, and the index before this one.",
)
@click.option("--json", "as_json", is_flag=True, help="One JSON object; see docs/cli.md.")
def compact(
    path: str | None, config: str | None, name: str | None, prune: bool, as_json: bool
) -> None:
    """Make the index of PATH (default: the repository around you) as small as what it holds.

    Worth it after many files have changed or gone. Searches go on meanwhile; while something else
    writes, this is refused. The disk must take a second copy for as long as it lasts. Whatever ends
    it early, the index is whole.

    Vectors of deleted and older texts are kept, so that nothing is embedded twice when they come
    back, as they do on another branch; so is the index of earlier settings, for `ragkit rollback`.
    --prune forgets both.
    """
    from dataclasses import asdict

    from ragkit.kb.compacting import compact as compacted
    from ragkit.kb.places import sources

    reports = []
    for source in sources(path, config=config, name=name):
        for done in compacted(source, prune=prune):
            reports.append(asdict(done))
            if not as_json:
                _show(done)
    if as_json:
        print_json({"version": 1, "databases": reports})


def _show(done: Compacted) -> None:
    """The whole, then the parts, the largest first."""
    from dataclasses import asdict

    from ragkit.cli.tables import table

    before, after = done.before, done.after
    click.echo(
        f"{done.database}: {_megabytes(before.total)} before, {_megabytes(after.total)} now; "
        f"{done.seconds:.1f} s"
    )
    parts = [(part, size, getattr(after, part)) for part, size in asdict(before).items()]
    rows = [
        (part, _megabytes(was).rjust(10), _megabytes(now).rjust(10))
        for part, was, now in sorted(parts, key=lambda part: -max(part[1:]))
        if max(was, now) >= _SHOWN
    ]
    for line in table(("part", "before".rjust(10), "now".rjust(10)), rows):
        click.echo(f"  {line}")


_SHOWN = 50_000  # bytes that are not 0.0 MB


def _megabytes(size: int) -> str:
    return f"{size / 1e6:,.1f} MB"
