"""`ragkit index`: build or refresh the index, or say what that would do."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from ragkit.cli.options import place, print_json, say
from ragkit.cli.ready import models_ready, pull_option

if TYPE_CHECKING:
    from ragkit.indexer import Summary
    from ragkit.kb.report import Plan


@click.command()
@place
@click.option("--dry-run", is_flag=True, help="Say what would be indexed; write nothing.")
@click.option("--rebuild", is_flag=True, help="Read and chunk every file again.")
@pull_option
@click.option("--json", "as_json", is_flag=True, help="One JSON object; see docs/cli.md.")
def index(
    path: str | None,
    config: str | None,
    name: str | None,
    dry_run: bool,
    rebuild: bool,
    pull: bool,
    as_json: bool,
) -> None:
    """Build or refresh the index of PATH (default: the repository around you).

    Only files that changed are read, and only texts that are new are embedded. Every knowledge
    base of a configuration is indexed unless --kb names one.
    """
    from dataclasses import asdict

    from ragkit.kb import KnowledgeBase
    from ragkit.kb.places import sources

    reports: list[dict[str, object]] = []
    for source in sources(path, config=config, name=name):
        if not dry_run:
            models_ready(source, pull=pull)
        with KnowledgeBase(source, hear=say) as kb:
            if dry_run:
                for plan in kb.plan():
                    reports.append(_planned(plan))
                    if not as_json:
                        _show_plan(plan)
            else:
                from ragkit.cli.progress import refreshed

                for summary in refreshed(kb, rebuild=rebuild):
                    reports.append(asdict(summary))
                    if not as_json:
                        click.echo(_line(summary))
            for reason in kb.absent():
                say(f"{source.name}: {reason}")
    if as_json:
        print_json({"version": 1, "plans" if dry_run else "summaries": reports})


def _line(summary: Summary) -> str:
    parts = [f"{summary.indexed:,} indexed"]
    for count, what in (
        (summary.unchanged, "unchanged on a second look"),
        (summary.removed, "removed"),
        (summary.failed, "failed"),
    ):
        if count:
            parts.append(f"{count:,} {what}")
    return (
        f"{summary.index}: {summary.found:,} files, {', '.join(parts)}; "
        f"{summary.chunks:,} chunks written, {summary.embedded:,} embedded; "
        f"{summary.seconds:.1f} s"
    )


def _duration(seconds: float | None) -> str:
    return (
        "time unknown: the model cannot be asked" if seconds is None else f"about {seconds:.1f} s"
    )


def _planned(plan: Plan) -> dict[str, object]:
    from dataclasses import asdict

    return {
        "index": plan.index,
        "files": [asdict(file) for file in plan.files],
        "skips": [asdict(skip) for skip in plan.skips],
        "failed": [{"path": path, "reason": reason} for path, reason in plan.failed],
        "gone": list(plan.gone),
        "chunks": plan.chunks,
        "crowded": [{"folder": folder, "chunks": chunks} for folder, chunks in plan.crowded()],
        "seconds": plan.seconds,
        "described": plan.described,
    }


def _show_plan(plan: Plan) -> None:
    """Which files go in and which stay out, the largest, and what it would take."""
    for file in plan.files:
        state = click.style("new ", fg="green") if file.stale else "    "
        click.echo(f"{state} {file.chunks:>6,}  {file.path}")
    for skip in plan.skips:
        detail = f" ({skip.detail})" if skip.detail else ""
        click.echo(f"{click.style('out ', fg='yellow')} {'':>6}  {skip.path}: {skip.rule}{detail}")
    for path, reason in plan.failed:
        click.echo(f"{click.style('fail', fg='red')} {'':>6}  {path}: {reason}")
    for path in plan.gone:
        click.echo(f"gone {'':>6}  {path}")
    if plan.files:
        click.echo("\nlargest:")
        for file in plan.largest():
            click.echo(f"     {file.chunks:>6,}  {file.path}")
    stale = sum(file.stale for file in plan.files)
    click.echo(
        f"\n{plan.index}: {len(plan.files):,} files, {plan.chunks:,} chunks; "
        f"{stale:,} files to read, {_duration(plan.seconds)}"
    )
    if plan.described:
        click.echo(f"{plan.described:,} chunks to describe: as many requests to the chat model")
    for folder, chunks in plan.crowded():
        share = chunks / plan.chunks
        click.echo(
            f"{click.style('warning:', fg='yellow')} {folder}/ holds {share:.0%} of the chunks; "
            "if it is not what you search for, name it in .ragkitignore"
        )
