"""`ragkit rollback`: take back the index of earlier settings."""

from __future__ import annotations

import time

import click

from ragkit.cli.options import place


@click.command()
@place
def rollback(path: str | None, config: str | None, name: str | None) -> None:
    """Go back to the index that PATH had before its settings changed.

    When the model, the size of chunks or another setting changes, a new index is built beside the
    old one, which answers until then and is kept after that. This swaps the two at once: searches,
    `ragkit index` and `ragkit watch` go on with the earlier settings, and say so. A second time it
    returns to the new ones. The earlier index goes when settings change again, and with
    `ragkit compact --prune`.
    """
    from ragkit.kb.earlier import roll_back
    from ragkit.kb.places import sources

    for source in sources(path, config=config, name=name):
        for stored in roll_back(source):
            made = time.strftime("%Y-%m-%d %H:%M", time.localtime(stored.created))
            click.echo(f"{stored.name}: the index begun on {made} answers now")
