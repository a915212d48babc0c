"""How an answer looks: as text for people, as JSON for programs."""

from __future__ import annotations

from collections.abc import Iterator

import click

from ragkit import lexical
from ragkit.kb import Answer, KnowledgeBase
from ragkit.kb.nearest import Unmatched
from ragkit.types import Hit

JSON_VERSION = 1
"""Raised when a field changes its meaning or goes; new fields may come without."""


def as_json(
    kb: KnowledgeBase, answer: Answer, missed: Unmatched | None = None
) -> dict[str, object]:
    """The answer as `--json` prints it; its shape is documented in docs/cli.md."""
    nothing = {"message": missed.message, "nearest": list(missed.nearest)} if missed else None
    return {
        "version": JSON_VERSION,
        "query": answer.query,
        "knowledge_base": kb.source.name,
        "root": kb.source.root,
        "hits": [_hit(rank, hit) for rank, hit in enumerate(answer.hits, 1)],
        "degraded": [{"stage": d.stage, "reason": d.reason} for d in answer.degraded],
        "seconds": {stage: round(seconds, 6) for stage, seconds in answer.stages},
        **({"unmatched": nothing} if nothing else {}),
    }


def _hit(rank: int, hit: Hit) -> dict[str, object]:
    chunk = hit.chunk
    return {
        "rank": rank,
        "path": chunk.path,
        "start_line": chunk.start_line,
        "end_line": chunk.end_line,
        "context": chunk.context,
        "score": round(hit.score, 6),
        "scores": {name: round(score, 6) for name, score in hit.scores.items()},
        "text": chunk.text,
    }


def paths(answer: Answer) -> list[str]:
    """The files of the hits, each once, best first."""
    return list(dict.fromkeys(hit.chunk.path for hit in answer.hits))


def why_nothing(kb: KnowledgeBase) -> str:
    """What to say where there is no hit."""
    if any(index.store.statistics().chunks for index in kb.indexes):
        return "no hit"
    return (
        f"no hit: there is nothing to index in {kb.source.root}; "
        "`ragkit index --dry-run` lists what stays out, and why"
    )


def show(answer: Answer, *, context: int, explain: bool) -> None:
    """Print the hits to stdout, notes to stderr; colour only on a terminal."""
    for note in answer.degraded:
        click.echo(f"{click.style('note:', fg='yellow')} {note.stage}: {note.reason}", err=True)
    for position, hit in enumerate(answer.hits):
        if position:
            click.echo()
        click.echo(_headline(hit))
        for number, line in snippet(hit, answer.query, context):
            click.echo(f"{click.style(f'{number:>6}', dim=True)}  {line}")
        if explain:
            click.echo(click.style(f"        {_history(hit)}", dim=True))
    if explain:
        times = ", ".join(f"{stage} {seconds * 1000:.1f} ms" for stage, seconds in answer.stages)
        click.echo(click.style(f"\ntimes: {times}", dim=True))


def _headline(hit: Hit) -> str:
    symbol = f"  {hit.chunk.context}" if hit.chunk.context else ""
    place = click.style(hit.chunk.location, fg="magenta", bold=True)
    return f"{place}{click.style(symbol, fg='cyan')}  {click.style(f'{hit.score:.3f}', dim=True)}"


def _history(hit: Hit) -> str:
    """`bm25 12.301 (#1) · chunked-embeddings 0.541 (#3) · convex 0.970 (#1)`."""
    parts = []
    for name, score in hit.scores.items():
        if name.endswith(".rank"):
            continue
        rank = hit.scores.get(f"{name}.rank")
        parts.append(f"{name} {score:.3f}" + (f" (#{rank:.0f})" if rank else ""))
    return " · ".join(parts)


def snippet(hit: Hit, query: str, context: int) -> Iterator[tuple[int, str]]:
    """(line number, line) around the line that answers best, the query's words highlighted."""
    lines = hit.chunk.text.split("\n")
    marks = [lexical.highlights(line, query) for line in lines]
    best = max(range(len(lines)), key=lambda i: (_weight(lines[i], marks[i]), -i))
    first = max(0, best - context)
    last = min(len(lines), first + 2 * context + 1)
    first = max(0, min(first, last - 2 * context - 1))
    shown = range(first, last)
    while shown and not lines[shown[0]].strip():
        shown = shown[1:]
    while shown and not lines[shown[-1]].strip():
        shown = shown[:-1]
    for i in shown:
        yield hit.chunk.start_line + i, _marked(lines[i], marks[i])


def _weight(line: str, spans: list[tuple[int, int]]) -> int:
    """Letters of distinct words that match: long words say more than short ones."""
    return sum(len(word) for word in {line[start:end].lower() for start, end in spans})


WIDEST = 200
"""Characters of a line that are shown; minified lines have no end."""


def _marked(line: str, spans: list[tuple[int, int]]) -> str:
    begin = 0
    if len(line) > WIDEST:
        begin = max(0, spans[0][0] - WIDEST // 4) if spans else 0
    end = begin + WIDEST
    out, position = ["…"] if begin else [], begin
    for start, stop in spans:
        if start < position or stop > end:
            continue
        out += [line[position:start], click.style(line[start:stop], fg="red", bold=True)]
        position = stop
    out.append(line[position:end])
    if end < len(line):
        out.append("…")
    return "".join(out).rstrip()
