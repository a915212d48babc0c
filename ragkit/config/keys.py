"""The keys of a section, as the fields of its dataclass declare them."""

from __future__ import annotations

from dataclasses import MISSING, Field, dataclass, fields
from functools import cache
from types import UnionType
from typing import Annotated, Any, Union, get_args, get_origin, get_type_hints

from ragkit.config.marks import GIVEN, Also, Needed, Only


@dataclass(frozen=True, slots=True)
class Key:
    """A key of a section, as its field declares it."""

    field: Field[Any]
    kind: Any
    marks: tuple[Any, ...]

    @property
    def required(self) -> bool:
        return self.field.default is MISSING and self.field.default_factory is MISSING

    @property
    def spellings(self) -> tuple[str, ...]:
        """Its name, then other accepted ones; a choice's other words are not names."""
        return self.field.name, *(
            mark.name for mark in self.marks if isinstance(mark, Also) and not mark.means
        )

    def needed(self, kind: str | None) -> Needed | None:
        """The mark that makes the key one that a section of that type cannot do without."""
        marks = (mark for mark in self.marks if isinstance(mark, Needed))
        return next((mark for mark in marks if kind in mark.types), None)

    def fits(self, kind: str | None) -> bool:
        """Whether the key belongs to a section of that type."""
        only = [mark for mark in self.marks if isinstance(mark, Only)]
        return kind is None or all(kind in mark.types for mark in only)


@cache
def keys_of(section: Any) -> dict[str, Key]:
    """The keys of a section, by name, in the order of its fields."""
    hints = get_type_hints(section, include_extras=True)
    found = {}
    for item in fields(section):
        kind, marks = unmarked(hints[item.name])
        if GIVEN not in marks:
            found[item.name] = Key(item, kind, marks)
    return found


@cache
def given_to(section: Any) -> frozenset[str]:
    """The fields of a section that are not keys of the file."""
    return frozenset({item.name for item in fields(section)} - keys_of(section).keys())


def unmarked(kind: Any) -> tuple[Any, tuple[Any, ...]]:
    """`Annotated[int, a, b]` → (int, (a, b)); anything else has no marks."""
    if get_origin(kind) is Annotated:
        inner, *marks = get_args(kind)
        return inner, tuple(marks)
    return kind, ()


def members_of(kind: Any) -> tuple[Any, ...]:
    """The types of a union, None left out; () for any other type."""
    if get_origin(kind) not in (UnionType, Union):
        return ()
    return tuple(member for member in get_args(kind) if member is not type(None))
