"""How the evaluation sets are made of the texts of a release: pure functions from texts to texts.

A corpus is a mapping from path to text. What stands for a query is taken out of it by whole lines,
so that the answer is not the query's own words.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeAlias

Texts: TypeAlias = Mapping[str, str]
"""Path → text."""
