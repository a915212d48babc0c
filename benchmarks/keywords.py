"""What somebody finds who searches a folder for each word of a query, as with ripgrep.

For each keyword the matches that `rg -i -F --count-matches KEYWORD` counts in each file; files that
hold more of the keywords come first, then those with more matches. A file shows its densest place.
It is done in Python, with equal counts, because a process for each keyword would take hours.
"""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path

from ragkit import Chunk, Hit

AROUND = 10
"""Lines shown before and after the line that holds most of the keywords."""
FILES = 15
"""Files in an answer."""

STOP_WORDS = frozenset(
    """
    about after all also and any are because been but can could did does done for from get gets has
    have how into its just like made make more most not now off one only other our out over should
    some such than that the their them then there these they this those use used uses using was way
    were what when where which while who why will with without would you your
    """.split()  # noqa: SIM905
)


class Folder:
    """The texts of a folder, and how often each keyword was found in them."""

    def __init__(self, root: Path) -> None:
        self._texts = {
            path.relative_to(root).as_posix(): path.read_text("utf-8", errors="replace")
            for path in sorted(root.rglob("*"))
            if path.is_file()
        }
        self._lower = {path: text.lower() for path, text in self._texts.items()}
        self._counts: dict[str, dict[str, int]] = {}

    def search(self, query: str) -> list[Hit]:
        """One hit a file, best first; its score is the number of keywords it holds."""
        words = keywords(query)
        held: Counter[str] = Counter()
        matches: Counter[str] = Counter()
        for word in words:
            for path, count in self.counts(word).items():
                held[path] += 1
                matches[path] += count
        best = sorted(held, key=lambda path: (-held[path], -matches[path], path))[:FILES]
        return [Hit(self._densest(path, words), float(held[path])) for path in best]

    def counts(self, word: str) -> dict[str, int]:
        """Matches of a word in every file that has any, case aside."""
        if word not in self._counts:
            found = ((path, text.count(word)) for path, text in self._lower.items() if word in text)
            self._counts[word] = dict(found)
        return self._counts[word]

    def _densest(self, path: str, words: list[str]) -> Chunk:
        lines = self._lower[path].split("\n")
        held = [sum(word in line for word in words) for line in lines]
        best = held.index(max(held))
        first, last = max(0, best - AROUND), min(len(lines), best + AROUND + 1)
        text = "\n".join(self._texts[path].split("\n")[first:last])
        return Chunk(path, 0, text, 0, len(text), first + 1, last)


def keywords(query: str) -> list[str]:
    """The distinct words of a query that one would search for, in lower case."""
    words = re.findall(r"[a-z_][a-z0-9_]{2,}", query.lower())
    return list(dict.fromkeys(word for word in words if word not in STOP_WORDS))
