"""`ragkit pack` and `ragkit unpack`: embeddings as files that a team or its CI publishes."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from ragkit.cli.options import place, print_json, say

if TYPE_CHECKING:
    from collections.abc import Callable

    from ragkit.kb import KnowledgeBase
    from ragkit.kb.sharing import Shared


@click.command()
@click.argument("folder")
@place
@click.option("--json", "as_json", is_flag=True, help="One JSON object; see docs/cli.md.")
def pack(
    folder: str, path: str | None, config: str | None, name: str | None, as_json: bool
) -> None:
    """Write the embeddings of PATH's index as files into FOLDER, for others to unpack.

    A clone of the same repository that unpacks them embeds only what is new in it. A pack holds
    hashes of texts and their vectors: no text and no path. Its files are named by what is in them;
    the manifest names the model, and no other can use it.
    """
    _share(folder, path, config, name, as_json, lambda kb: kb.pack_embeddings(folder), _packed)


@click.command()
@click.argument("folder")
@place
@click.option("--json", "as_json", is_flag=True, help="One JSON object; see docs/cli.md.")
def unpack(
    folder: str, path: str | None, config: str | None, name: str | None, as_json: bool
) -> None:
    """Take the embeddings in FOLDER into PATH's index, as far as it does not have them.

    The next `ragkit index` or search embeds none of the texts that were in the pack. Every file is
    compared with its name before it is used. Stopped at any time, it goes on when it is run again.
    """
    _share(folder, path, config, name, as_json, lambda kb: kb.unpack_embeddings(folder), _unpacked)


def _share(
    folder: str,
    path: str | None,
    config: str | None,
    name: str | None,
    as_json: bool,
    share: Callable[[KnowledgeBase], list[Shared]],
    line: Callable[[Shared], str],
) -> None:
    from dataclasses import asdict

    from ragkit.kb import KnowledgeBase
    from ragkit.kb.places import sources

    reports = []
    for source in sources(path, config=config, name=name):
        with KnowledgeBase(source, hear=say) as kb:
            for shared in share(kb):
                reports.append(asdict(shared))
                if not as_json:
                    click.echo(line(shared))
    if as_json:
        print_json({"version": 1, "packs": reports})


def _packed(shared: Shared) -> str:
    size = sum((Path(shared.folder) / name).stat().st_size for name in shared.files)
    return (
        f"{shared.index}: {shared.embeddings:,} embeddings of {shared.model} in "
        f"{len(shared.files):,} files, {size / 1e6:,.1f} MB: {shared.folder}"
    )


def _unpacked(shared: Shared) -> str:
    return (
        f"{shared.index}: {shared.new:,} of {shared.embeddings:,} embeddings of {shared.model} "
        "were new"
    )
