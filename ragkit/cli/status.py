"""`ragkit status`: what is indexed, counted in the index and on the disk at this moment."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from ragkit.cli.options import place, print_json

if TYPE_CHECKING:
    from ragkit.kb.report import IndexStatus
    from ragkit.types import Sizes, Statistics

SHOWN = 10
"""Paths of one kind that are listed; `--json` lists all."""


@click.command()
@place
@click.option("--json", "as_json", is_flag=True, help="One JSON object; see docs/cli.md.")
def status(path: str | None, config: str | None, name: str | None, as_json: bool) -> None:
    """Say what is indexed of PATH (default: the repository around you).

    Everything is counted in the index and compared with the disk: files, chunks, what is stale,
    what failed and why, the model, the place of the database, its size, and what takes it.
    """
    from dataclasses import asdict

    from ragkit.kb import KnowledgeBase
    from ragkit.kb.places import sources

    reports = []
    for source in sources(path, config=config, name=name):
        with KnowledgeBase(source, read_only=True) as kb:
            for found in kb.status():
                reports.append(asdict(found))
                if not as_json:
                    _show(found)
    if as_json:
        print_json({"version": 1, "indexes": reports})


def _show(status: IndexStatus) -> None:
    from collections import Counter
    from datetime import datetime

    counted = status.statistics
    rules = Counter(skip.rule for skip in status.skips)
    rules.update(record.reason.partition(":")[0] for record in status.skipped)
    left_out = ", ".join(f"{count:,} {rule}" for rule, count in rules.most_common())
    when = (
        datetime.fromtimestamp(status.indexed_at).astimezone().strftime("%Y-%m-%d %H:%M:%S %Z")
        if status.indexed_at
        else "never"
    )
    lines = (
        ("files", f"{counted.documents:,} indexed of {status.files:,} on the disk"),
        ("chunks", f"{counted.chunks:,} ({counted.words:,} by words, {counted.vectors:,} vectors)"),
        ("stale", f"{len(status.stale):,} changed or new, {len(status.gone):,} gone"),
        ("failed", f"{len(status.failed):,}"),
        ("left out", left_out or "nothing"),
        ("model", "; ".join((*status.models, *status.absent)) or "none: words only"),
        ("indexed", when + ("" if status.complete else " (incomplete: `ragkit index` goes on)")),
        ("database", f"{status.database} ({_taken(counted)})"),
        ("a chunk", _by_part(status.sizes, counted.chunks) or "nothing stored yet"),
    )
    click.echo(click.style(status.name, bold=True))
    for what, value in lines:
        click.echo(f"  {what:<9} {value}")
    _list("stale", status.stale)
    _list("gone", status.gone)
    _list("failed", [f"{record.path}: {record.reason}" for record in status.failed])
    _list("not whole", [f"{record.path}: {record.reason}" for record in status.shortened])


def _taken(counted: Statistics) -> str:
    """`61.3 MB, 1.9 times the files indexed`"""
    size = f"{counted.size / 1e6:.1f} MB"
    if counted.source:
        return f"{size}, {counted.size / counted.source:.1f} times the files that it indexes"
    return size


def _by_part(sizes: Sizes, chunks: int) -> str:
    """`1,240 bytes: texts 560, vectors 284, …`, the largest first; "" without a chunk."""
    from dataclasses import asdict

    if not chunks:
        return ""
    each = {part: round(size / chunks) for part, size in asdict(sizes).items()}
    largest = sorted(each.items(), key=lambda part: -part[1])
    parts = ", ".join(f"{part} {size:,}" for part, size in largest if size)
    return f"{sizes.total / chunks:,.0f} bytes: {parts}"


def _list(what: str, paths: object) -> None:
    names = list(paths) if isinstance(paths, list | tuple) else []
    for path in names[:SHOWN]:
        click.echo(f"  {click.style(what, fg='yellow'):<9} {path}")
    if len(names) > SHOWN:
        click.echo(f"  … and {len(names) - SHOWN:,} more ({what}); --json lists all")
