"""Why an expected file is not among the hits: the walk of a query, watched stage by stage.

There is no second walk: the query is answered as always, with a trace that keeps what each stage
left. Only what a strategy did not give is then asked for once more, without a limit.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from ragkit.duplicates import sameness
from ragkit.errors import QueryError
from ragkit.kb.depths import Depth, depth_of, ranked_in, step_of
from ragkit.kb.expected import Expected, Standing, expected, filtered, standing
from ragkit.kb.explanation import REMEDIES, Explanation, Step
from ragkit.types import ANYTHING, Filter, Hit

if TYPE_CHECKING:
    import os

    from ragkit.kb import KnowledgeBase

TRIES = 3
"""Limits that are tried to find one that shows the file: with the limit, the candidates grow."""

MOST = 10_000
"""The largest limit that is advised."""


def why_not(
    kb: KnowledgeBase,
    query: str,
    path: str | os.PathLike[str],
    line: int | None = None,
    limit: int | None = None,
    where: Filter = ANYTHING,
    *,
    exact: bool = False,
) -> Explanation:
    """Follow the query through the knowledge base and say what became of a file, folder or line.

    Raises as `KnowledgeBase.answer`, and QueryError for a path or a line that is nowhere.
    """
    if not query.strip():
        raise QueryError("the query is empty", remedy="say what to look for")
    known = {path for index in kb.in_force.indexes for path in index.store.records()}
    sought = expected(kb.source.root, str(path), line, known)
    pairs = zip(kb.in_force.indexes, kb.in_force.blueprints, strict=True)
    standings = [standing(index, sought, blueprint.docs) for index, blueprint in pairs]
    last = max(found.last_line for found in standings)
    if sought.line is not None and 0 < last < sought.line:
        raise QueryError(f"{sought.location}: it has {last} lines", remedy="give another line")
    whole = kb.narrowed(where)
    best = min(standings, key=lambda found: (found.last_line == 0, found.verdict != ""))
    entry = tuple(dict.fromkeys(step for found in standings for step in found.steps))
    case = Explanation(query, sought.path, sought.line, kb.most(limit), "", "", steps=entry)
    if not last:
        summary = f"{sought.location} is not in the index: {best.detail}"
        case = replace(case, verdict=best.verdict, summary=summary)
        if best.back:
            back = f"`!{best.back}` in a .ragkitignore at the root brings it back"
            return replace(case, remedies=(back,))
        return _with_remedies(case)
    if not whole.is_open:
        step = filtered(kb.in_force.indexes, sought, whole)
        case = replace(case, steps=(*case.steps, step))
        if not step.kept:
            summary = f"{sought.location} is no hit: {step.detail}"
            return _with_remedies(replace(case, verdict="filter", summary=summary))
    return _Followed.of(kb, case, sought, whole, exact).explained(best)


def _with_remedies(case: Explanation, *first: str) -> Explanation:
    return replace(case, remedies=(*first, *REMEDIES.get(case.verdict, ())))


@dataclass(frozen=True, slots=True)
class _Followed:
    """One query, and what each of its stages left."""

    kb: KnowledgeBase
    case: Explanation
    sought: Expected
    where: Filter
    """All that the search looks at."""
    exact: bool
    """Whether it compares every vector, whatever is configured."""
    left: Mapping[str, list[Hit]]
    """By stage, in the order of the walk."""
    hits: list[Hit]

    @classmethod
    def of(
        cls, kb: KnowledgeBase, case: Explanation, sought: Expected, where: Filter, exact: bool
    ) -> _Followed:
        """Answer the query. Raises as `KnowledgeBase.answer`."""
        left: dict[str, list[Hit]] = {}

        def trace(stage: str, hits: Sequence[Hit]) -> None:
            left[stage] = list(hits)

        answer = kb.answer(case.query, case.limit, where, trace=trace, exact=exact)
        notes = tuple((note.stage, note.reason) for note in answer.degraded)
        return cls(kb, replace(case, degraded=notes), sought, where, exact, left, answer.hits)

    def explained(self, found: Standing) -> Explanation:
        """The case with its verdict, all steps, and what would help."""
        depths = list(self._depths())
        steps = (*self.case.steps, *(depth.step for depth in depths), *self._stages())
        case = replace(self.case, steps=steps, rank=self._rank(self.hits))
        place = self.sought.location
        if case.rank is not None:
            words = f"{place} is hit number {case.rank} of {len(self.hits)}"
            if self.sought.is_folder:
                words += f": {self.hits[case.rank - 1].chunk.location}"
            return replace(case, verdict="hit", summary=words)
        verdict, why = self._lost(depths)
        if found.verdict:  # what was searched is not what is there
            verdict, why = found.verdict, found.detail
        needed = self._needed()
        first = [f"--limit {needed} shows it"] if needed else []
        if verdict == "candidates":
            first.append("ask in words that it has, or in a sentence that says what it does")
        case = replace(case, verdict=verdict, summary=f"{place} is no hit: {why}", needed=needed)
        return _with_remedies(case, *first)

    def _depths(self) -> Iterator[Depth]:
        """Of each strategy that answered."""
        for index in self.kb.in_force.indexes:
            for strategy in index.strategies:
                given = self.left.get(strategy.name)
                if given is None:
                    reason = dict(self.case.degraded).get(strategy.name, "it did not answer")
                    yield Depth(Step(strategy.name, False, detail=f"failed: {reason}"), "failed")
                else:
                    query, sought = self.case.query, self.sought
                    most = self.case.limit
                    yield depth_of(strategy, index, query, sought, self.where, given, most)

    def _later(self) -> list[tuple[str, list[Hit]]]:
        """The stages after the strategies, in order."""
        names = {
            strategy.name for index in self.kb.in_force.indexes for strategy in index.strategies
        }
        return [(stage, hits) for stage, hits in self.left.items() if stage not in names]

    def _stages(self) -> Iterator[Step]:
        """The steps after the strategies, up to the one after which nothing of it is left."""
        before: list[Hit] = []
        for stage, hits in self._later():
            was, rank = ranked_in(before, self.sought), ranked_in(hits, self.sought)
            if was is None and rank is None:
                return
            old = before[was - 1] if was else None
            yield step_of(stage, hits, rank, self._said(stage, old, hits, rank))
            before = hits

    def _said(self, stage: str, old: Hit | None, hits: Sequence[Hit], rank: int | None) -> str:
        """What a stage did to the hit that was the best until then."""
        new = hits[rank - 1] if rank else None
        if old is None:
            return ""
        if stage == "deduplication" and (new is None or new.chunk != old.chunk):
            return _repeated(old, hits)
        if new is None:
            return self._cut(stage, old)
        own = {name: score for name, score in new.scores.items() if name not in old.scores}
        if stage == "reranking" and not own:
            return "not read by the model"
        return ", ".join(f"{name} {score:.3g}" for name, score in own.items())

    def _cut(self, stage: str, old: Hit) -> str:
        reranking = self.kb.source.results.reranking
        if stage == "limit":
            return f"the limit is {self.case.limit}"
        if stage == "threshold" and reranking:
            return f"its score {old.score:.3g} is below the threshold {reranking.threshold:g}"
        if stage == "reranking" and reranking and reranking.top_k:
            return f"the model reads the best {reranking.top_k}, and a threshold asks for its score"
        return "left out"

    # ── the verdict ──

    def _rank(self, hits: Sequence[Hit]) -> int | None:
        return ranked_in(hits, self.sought)

    def _lost(self, depths: Sequence[Depth]) -> tuple[str, str]:
        """The stage that lost it, and why as a sentence."""
        later = [(stage, hits) for stage, hits in self._later() if stage != "limit"]
        ranks = [self._rank(hits) for _, hits in later]
        if not any(ranks):
            return _no_candidate(depths)
        best = max(n for n, rank in enumerate(ranks) if rank)
        if best + 1 < len(later):  # nothing of it is left after the next stage
            stage, hits = later[best + 1]
            old = later[best][1][(ranks[best] or 1) - 1]
            return stage, f"{stage} left it out: {self._said(stage, old, hits, None)}"
        limit, rank = self.case.limit, ranks[-1]
        place = f"it is at rank {rank} of {len(later[-1][1])}, and the limit is {limit}"
        within = [n for n, rank in enumerate(ranks) if rank and rank <= limit]
        if within and within[-1] + 1 < len(later):
            was, (stage, hits) = ranks[within[-1]], later[within[-1] + 1]
            said = self._said(stage, later[within[-1]][1][(was or 1) - 1], hits, self._rank(hits))
            why = f" ({said})" if said else ""
            moved = f"{stage} moved it from rank {was} to {self._rank(hits)}{why}"
            if self._rank(hits) == rank:
                return stage, f"{moved}, and the limit is {limit}"
            return stage, f"{moved}; {place}"
        return "limit", place

    def _needed(self) -> int | None:
        """The least limit that shows it, found by asking with larger ones."""
        limit, left = self.case.limit, self.left
        for _ in range(TRIES):
            stages = [hits for stage, hits in left.items() if stage != "limit"]
            rank = self._rank(stages[-1]) if stages else None
            if rank is None or rank > MOST or rank <= limit:
                return None
            limit = rank
            case = replace(self.case, limit=limit)
            tried = _Followed.of(self.kb, case, self.sought, self.where, self.exact)
            if found := self._rank(tried.hits):
                return found
            left = tried.left
        return None


def _no_candidate(depths: Sequence[Depth]) -> tuple[str, str]:
    verdicts = {depth.verdict for depth in depths} - {"failed"}
    said = [_depth_in_words(depth.step) for depth in depths]
    verdict = "threshold" if "threshold" in verdicts else "candidates"
    return verdict, f"it is no candidate: {'; '.join(said)}"


def _depth_in_words(step: Step) -> str:
    if step.rank is None:
        return f"{step.stage} does not find it" + (f" ({step.detail})" if step.detail else "")
    return f"{step.stage} has it at rank {step.rank:,} of {step.of:,}"


def _repeated(old: Hit, hits: Sequence[Hit]) -> str:
    """Which better hit made it a repetition."""
    for rank, hit in enumerate(hits, 1):
        if same := sameness(hit, old):
            return f"{old.chunk.location} has the {same} as {hit.chunk.location}, at rank {rank}"
    return "a better hit shows the same"
