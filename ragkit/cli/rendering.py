"""How an answer looks: as text for people, as JSON for programs."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import click

from ragkit import lexical
from ragkit.cli import explaining
from ragkit.events import Degraded
from ragkit.kb import Answer, KnowledgeBase
from ragkit.kb.nearest import Unmatched
from ragkit.types import Freshness, Hit

JSON_VERSION = 1
"""Raised when a field changes its meaning or goes; new fields may come without."""


def as_json(
    kb: KnowledgeBase, answer: Answer, ranks: explaining.Ranks | None = None
) -> dict[str, object]:
    """The answer as `--json` prints it; its shape is documented in docs/cli.md."""
    return {
        "version": JSON_VERSION,
        "query": answer.query,
        "knowledge_base": kb.source.name,
        "root": kb.source.root,
        "generation": answer.generation,
        "indexed_at": answer.indexed_at,
        "hits": [_hit(rank, hit, ranks) for rank, hit in enumerate(answer.hits, 1)],
        **notes_and_times(answer.degraded, answer.stages),
    }


def notes_and_times(
    degraded: Sequence[Degraded], stages: Sequence[tuple[str, float]]
) -> dict[str, object]:
    """What every answer of `--json` ends with."""
    return {
        "degraded": [{"stage": note.stage, "reason": note.reason} for note in degraded],
        "seconds": {stage: round(seconds, 6) for stage, seconds in stages},
    }


def _hit(rank: int, hit: Hit, ranks: explaining.Ranks | None) -> dict[str, object]:
    chunk = hit.chunk
    return {
        "rank": rank,
        "path": chunk.path,
        "start_line": chunk.start_line,
        "end_line": chunk.end_line,
        "context": chunk.context,
        "freshness": hit.freshness,
        "score": round(hit.score, 6),
        "scores": {name: round(score, 6) for name, score in hit.scores.items()},
        **({"ranks": ranks.of(hit)} if ranks else {}),
        "text": chunk.text,
    }


def paths(answer: Answer) -> list[str]:
    """The files of the hits, each once, best first."""
    return list(dict.fromkeys(hit.chunk.path for hit in answer.hits))


def nothing_as_json(message: str, missed: Unmatched | None) -> dict[str, object]:
    """What `--json` has more where there is no hit: why, and what comes nearest to a filter."""
    if missed is None:
        return {"no_hit": message}
    nearest = {"message": missed.message, "nearest": list(missed.nearest)}
    return {"no_hit": message, "unmatched": nearest}


def why_nothing(kb: KnowledgeBase, query: str) -> str:
    """What to say where there is no hit, a line."""
    if not any(index.store.statistics().chunks for index in kb.in_force.indexes):
        return (
            f"no hit: there is nothing to index in {kb.source.root}; "
            "`ragkit index --dry-run` lists what stays out, and why"
        )
    words = lexical.query_terms(query)
    if not words:
        return "no hit: the query has no letter or digit to look for"
    if bars := _thresholds(kb):
        return f"no hit: none reaches {' or '.join(bars)}"
    listed = ", ".join(words[:_LISTED]) + (", …" if len(words) > _LISTED else "")
    return f"no hit: no file that was searched has any of: {listed}"


_LISTED = 12  # words


def _thresholds(kb: KnowledgeBase) -> list[str]:
    """The scores that hits must have, as they are configured."""
    found = [
        f"the threshold {strategy.threshold:g} of {strategy.name}"
        for strategy in kb.source.strategies
        if strategy.threshold
    ]
    reranking = kb.source.results.reranking
    if reranking and reranking.threshold:
        found.append(f"the threshold {reranking.threshold:g} of reranking")
    return found


def say_degraded(degraded: Sequence[Degraded]) -> None:
    """What an answer had to do without, on stderr."""
    for note in degraded:
        click.echo(f"{click.style('note:', fg='yellow')} {note.stage}: {note.reason}", err=True)


def show(answer: Answer, *, context: int, ranks: explaining.Ranks | None = None) -> None:
    """Print the hits to stdout; colour only on a terminal. With `ranks`, how they came about."""
    for position, hit in enumerate(answer.hits):
        if position:
            click.echo()
        click.echo(_headline(hit))
        for number, line in snippet(hit, answer.query, context):
            click.echo(f"{click.style(f'{number:>6}', dim=True)}  {line}")
        if ranks:
            explaining.show(hit, ranks.of(hit))
    if ranks:
        click.echo(explaining.times(answer.stages))


def _headline(hit: Hit) -> str:
    symbol = f"  {hit.chunk.context}" if hit.chunk.context else ""
    place = click.style(hit.chunk.location, fg="magenta", bold=True)
    score = click.style(f"{hit.score:.3f}", dim=True)
    return f"{place}{click.style(symbol, fg='cyan')}  {score}{staleness(hit.freshness)}"


def staleness(freshness: Freshness) -> str:
    """What the head of a hit says where the disk says otherwise than the hit."""
    said = {"changed": "changed since it was indexed", "deleted": "its file is gone"}
    return f"  {click.style(said[freshness], fg='yellow')}" if freshness in said else ""


def snippet(hit: Hit, query: str, context: int) -> Iterator[tuple[int, str]]:
    """(line number, line) around the line that answers best, the query's words highlighted."""
    lines = hit.chunk.text.split("\n")
    marks = [lexical.highlights(line, query) for line in lines]
    best = max(range(len(lines)), key=lambda i: (lexical.weight(lines[i], query), -i))
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
