"""One context for chunks that are shown as one."""

from __future__ import annotations

from collections.abc import Sequence

_NAMES = 8  # of neighbours side by side
_LONGEST = 160  # characters


def together(contexts: Sequence[str]) -> str:
    """`Store > get` and `Store > put, delete` are `Store > get, put, delete`; at most 160
    characters."""
    distinct = list(dict.fromkeys(filter(None, contexts)))
    if len(distinct) < 2:
        return _cut(distinct[0]) if distinct else ""
    scopes = [context.split(" > ") for context in distinct]
    shared = scopes[0]
    for scope in scopes:
        same = (i for i, (a, b) in enumerate(zip(shared, scope, strict=False)) if a != b)
        shared = shared[: next(same, min(len(shared), len(scope)))]
    beside: dict[str, None] = {}  # a set that keeps the order
    for scope in scopes:
        rest = scope[len(shared) :]
        names = rest[0].split(", ") if len(rest) == 1 else rest[:1]
        beside.update(dict.fromkeys(names))
    names = list(beside)
    listed = ", ".join(names[:_NAMES]) + (", …" if len(names) > _NAMES else "")
    return _cut(" > ".join([*shared, listed]))


def _cut(context: str) -> str:
    return context if len(context) <= _LONGEST else context[: _LONGEST - 1] + "…"
