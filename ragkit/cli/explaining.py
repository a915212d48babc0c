"""How a hit came about: every score and rank on the way, stage by stage."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import click

from ragkit.types import Hit

Place = tuple[str, int, int]
"""Path, start and end: what a hit is the same by at every stage."""

_SECOND = ("reranking", "blend")
_AFTER = ("topology",)


class Ranks:
    """A trace of the query walk that remembers where each hit stood after each stage."""

    def __init__(self) -> None:
        self._stages: dict[str, dict[Place, int]] = {}

    def __call__(self, stage: str, hits: Sequence[Hit]) -> None:
        self._stages[stage] = {_place(hit): rank for rank, hit in enumerate(hits, 1)}

    def of(self, hit: Hit) -> dict[str, int]:
        """Stage → rank from 1, in the order of the stages; those that had the hit."""
        place = _place(hit)
        return {name: ranks[place] for name, ranks in self._stages.items() if place in ranks}


def _place(hit: Hit) -> Place:
    return hit.chunk.path, hit.chunk.start, hit.chunk.end


def lines(hit: Hit) -> str:
    """`12-40`."""
    return f"{hit.chunk.start_line}-{hit.chunk.end_line}"


def show(hit: Hit, ranks: Mapping[str, int] | None = None, title: str = "") -> None:
    """Print the history of a hit, a line a stage, dimly."""
    if title:
        click.echo(click.style(f"        {title}", dim=True))
    for stage, what in history(hit, ranks or {}):
        click.echo(click.style(f"        {stage:<9} {what}", dim=True))


def times(stages: Sequence[tuple[str, float]]) -> str:
    """`times: bm25 5.2 ms, fusion 1.2 ms; 6.4 ms in all`."""
    listed = ", ".join(f"{stage} {seconds * 1000:.1f} ms" for stage, seconds in stages)
    total = sum(seconds for _, seconds in stages) * 1000
    return click.style(f"\ntimes: {listed}; {total:.1f} ms in all", dim=True)


def history(hit: Hit, ranks: Mapping[str, int]) -> Iterator[tuple[str, str]]:
    """(stage, what it gave) of a hit, in the order of the walk: scores with their ranks."""
    groups: dict[str, list[str]] = {}
    scores = hit.scores
    found = [name for name in scores if f"{name}.rank" in scores and name not in _SECOND]
    for name, score in scores.items():
        if name.endswith(".rank"):
            continue
        if name.startswith("rule."):
            groups.setdefault("rules", []).append(f"{name[5:]} ×{score:.3f}")
        elif name in _SECOND:
            groups.setdefault("reranked", []).append(_scored(name, score, scores.get(_rank(name))))
        elif name in found or name.rpartition(".")[0] in found:
            groups.setdefault("searched", []).append(_scored(name, score, scores.get(_rank(name))))
        elif name in _AFTER:
            groups.setdefault("nearby", []).append(_scored(name, score, None))
        else:
            groups.setdefault("fused", []).append(_scored(name, score, ranks.get("fusion")))
    if "rules" in ranks and "rules" in groups:
        groups["rules"].append(f"→ #{ranks['rules']}")
    for stage in ("searched", "fused", "rules", "nearby", "reranked"):
        if stage in groups:
            yield stage, ", ".join(groups[stage]).replace(", →", " →")
    last = ranks.get("limit")
    yield "score", _scored("", hit.score, last).strip()


def _rank(name: str) -> str:
    return f"{name}.rank"


def _scored(name: str, score: float, rank: float | None) -> str:
    return f"{name} {score:.3f}" + (f" (#{rank:.0f})" if rank else "")
