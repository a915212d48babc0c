"""Which nodes of a syntax tree define a symbol, and where its name stands: data, by language."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    from tree_sitter import Node

Naming: TypeAlias = "Callable[[Node, Rules], Iterable[Node]]"
Rules: TypeAlias = Mapping[str, "Naming"]


def field(*path: str) -> Naming:
    """The name is in the child under this field, or in its child under the next, and so on."""

    def names(node: Node, rules: Rules) -> Iterable[Node]:
        found: Node | None = node
        for step in path:
            found = found.child_by_field_name(step) if found else None
        return (found,) if found else ()

    return names


def child(*types: str) -> Naming:
    """The name is the first child of one of these types."""

    def names(node: Node, rules: Rules) -> Iterable[Node]:
        for found in node.named_children:
            if found.type in types:
                return (found,)
        return ()

    return names


def declarator(node: Node, rules: Rules) -> Iterable[Node]:
    """C's way: `int *(*name)(void)` has its name at the bottom of the declarators."""
    found = node.child_by_field_name("declarator")
    while found and (deeper := found.child_by_field_name("declarator")):
        found = deeper
    return (found,) if found else ()


def inside(node: Node, rules: Rules) -> Iterable[Node]:
    """A wrapper: the names are those of its children."""
    for part in node.named_children[:_WIDEST]:
        rule = rules.get(part.type)
        if rule:
            yield from rule(part, rules)


_WIDEST = 20

NAME = field("name")

RULES: Mapping[str, Rules] = {
    "python": {
        "function_definition": NAME,
        "class_definition": NAME,
        "decorated_definition": inside,
    },
}
