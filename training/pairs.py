"""Load the harvested pairs: of the packages that train, or of those held out to measure."""

from __future__ import annotations

import json
import random
from dataclasses import dataclass, field

from places import HELD_OUT, PAIRS


@dataclass(slots=True)
class Pairs:
    """Parallel lists: the passage at i answers the query at i."""

    queries: list[str] = field(default_factory=list)
    passages: list[str] = field(default_factory=list)
    kinds: list[str] = field(default_factory=list)
    packages: list[str] = field(default_factory=list)


def load(*, held_out: bool) -> Pairs:
    """Pairs in an order that is random and always the same; a query or a passage comes once."""
    rows = []
    for path in sorted(PAIRS.glob("*.jsonl")):
        lines = path.read_text("utf-8").split("\n")
        package = json.loads(lines[0])["package"]
        if (package in HELD_OUT) == held_out:
            rows += [(package, json.loads(line)) for line in lines[1:] if line]
    random.Random(1).shuffle(rows)
    loaded, seen = Pairs(), set()
    for package, row in rows:
        query, passage = row["query"], row["passage"]
        keys = {query.lower(), (passage[:200], row["kind"] == "detail")}
        if keys & seen:
            continue
        seen |= keys
        loaded.queries.append(query)
        loaded.passages.append(passage)
        loaded.kinds.append(row["kind"])
        loaded.packages.append(package)
    return loaded
