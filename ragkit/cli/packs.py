"""How a pack of evidence looks: as text for people, as JSON for programs."""

from __future__ import annotations

import shlex

import click
from click.core import ParameterSource

from ragkit.cli import explaining
from ragkit.cli.rendering import JSON_VERSION, notes_and_times, staleness
from ragkit.evidence import Pack, Passage
from ragkit.kb import KnowledgeBase


def as_json(
    kb: KnowledgeBase, pack: Pack, ranks: explaining.Ranks | None = None
) -> dict[str, object]:
    """The pack as `--json` prints it; its shape is documented in docs/cli.md."""
    return {
        "version": JSON_VERSION,
        "query": pack.query,
        "knowledge_base": kb.source.name,
        "root": kb.source.root,
        "generation": pack.generation,
        "indexed_at": pack.indexed_at,
        "passages": [_passage(passage, ranks) for passage in pack.passages],
        "tokens": pack.tokens,
        "max_tokens": pack.max_tokens,
        "cursor": pack.cursor or None,
        "left_out": pack.left_out,
        **notes_and_times(pack.degraded, pack.stages),
    }


def _passage(passage: Passage, ranks: explaining.Ranks | None) -> dict[str, object]:
    return {
        "path": passage.path,
        "start_line": passage.start_line,
        "end_line": passage.end_line,
        "context": passage.context,
        "freshness": passage.freshness,
        "score": round(passage.score, 6),
        "tokens": passage.tokens,
        "is_cut": passage.is_cut,
        "text": passage.text,
        "hits": [
            {
                "rank": rank,
                "start_line": hit.chunk.start_line,
                "end_line": hit.chunk.end_line,
                "score": round(hit.score, 6),
                "scores": {name: round(score, 6) for name, score in hit.scores.items()},
                **({"ranks": ranks.of(hit)} if ranks else {}),
            }
            for rank, hit in zip(passage.ranks, passage.hits, strict=True)
        ],
    }


def paths(pack: Pack) -> list[str]:
    """The files of the passages, each once, best first."""
    return list(dict.fromkeys(passage.path for passage in pack.passages))


def show(pack: Pack, ranks: explaining.Ranks | None = None) -> None:
    """Print the passages to stdout: a head, the lines, an empty line between two.

    With `ranks`, also how their hits came about, which the budget knows nothing of.
    """
    for position, passage in enumerate(pack.passages):
        if position:
            click.echo()
        place = click.style(passage.location, fg="magenta", bold=True)
        symbol = click.style(f"  {passage.context}", fg="cyan") if passage.context else ""
        click.echo(place + symbol)
        click.echo(passage.text)
        if stale := staleness(passage.freshness):  # on stderr, as it was not counted
            click.echo(f"{passage.location}:{stale}", err=True)
        if ranks:
            for rank, hit in zip(passage.ranks, passage.hits, strict=True):
                title = f"hit {rank}, lines {explaining.lines(hit)}"
                explaining.show(hit, ranks.of(hit), title)
    if ranks:
        click.echo(explaining.times(pack.stages))
        click.echo(click.style(f"tokens: {pack.tokens} of {pack.max_tokens}, estimated", dim=True))


def say_more(pack: Pack, context: click.Context) -> None:
    """On stderr: what was cut, and the command that goes on."""
    if not pack.cursor:
        return
    cut = [passage for passage in pack.passages if passage.is_cut]
    if cut:
        hit = cut[-1].hits[-1]
        shown = ", ".join(f"{p.start_line}-{p.end_line}" for p in cut)
        mark = click.style("cut:", fg="yellow")
        click.echo(f"{mark} {hit.chunk.location}, of which {shown} fit", err=True)
    count = f"{pack.left_out} more hit{'s' if pack.left_out > 1 else ''}"
    mark = click.style("more:", fg="green")
    click.echo(f"{mark} {again(context, pack.cursor)}  # {count}", err=True)


def again(context: click.Context, cursor: str) -> str:
    """The command line of `context` with another cursor."""
    words = [context.command_path]
    for parameter in context.command.params:
        name = parameter.name or ""
        given = context.get_parameter_source(name) is ParameterSource.COMMANDLINE
        if name == "cursor" or not given:
            continue
        value = context.params.get(name)
        if isinstance(parameter, click.Argument):
            words.append(shlex.quote(str(value)))
        elif isinstance(parameter, click.Option):
            option = max(parameter.opts, key=len)
            if parameter.is_flag:
                words.append(option)
                continue
            for one in value if isinstance(value, tuple) else (value,):
                words += [option, shlex.quote(str(one))]
    return " ".join([*words, "--cursor", cursor])
