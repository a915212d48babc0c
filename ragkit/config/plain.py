"""Settings as plain data, to be remembered, and back."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import MISSING, fields, is_dataclass
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

T = TypeVar("T")


def plain(value: Any) -> Any:
    """Dataclasses as objects of JSON, without what is left at its default; tuples as lists."""
    if is_dataclass(value) and not isinstance(value, type):
        return {
            field.name: plain(getattr(value, field.name))
            for field in fields(value)
            if getattr(value, field.name) != _default(field)
        }
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [plain(item) for item in value]
    return value


def _default(field: Any) -> Any:
    if field.default_factory is not MISSING:
        return field.default_factory()
    return field.default


def read(kind: type[T], data: Any) -> T:
    """The settings that `plain` made this of.

    Raises ValueError where it is none of that kind, as one of another version of ragkit may be.
    """
    try:
        found: T = _read(kind, data)
    except (TypeError, KeyError, AttributeError) as error:
        raise ValueError(f"no {kind.__name__}: {error}") from error
    return found


def _read(kind: Any, data: Any) -> Any:
    origin, given = get_origin(kind), get_args(kind)
    if origin is Annotated:
        return _read(given[0], data)
    if origin in (Union, UnionType):
        return _read_one_of(given, data)
    if origin is Literal:
        if data not in given:
            raise ValueError(f"{data!r} is none of {given}")
        return data
    if is_dataclass(kind):
        hints = get_type_hints(kind, include_extras=True)
        unknown = set(data) - {field.name for field in fields(kind)}
        if unknown:
            raise ValueError(f"{kind} has no {', '.join(sorted(unknown))}")
        return kind(**{name: _read(hints[name], item) for name, item in data.items()})  # type: ignore[operator]
    if origin is tuple:
        kinds = given[:1] * len(data) if given[-1] is Ellipsis else given
        return tuple(_read(one, item) for one, item in zip(kinds, data, strict=True))
    if isinstance(origin, type) and issubclass(origin, Mapping):
        return {key: _read(given[1], item) for key, item in data.items()}
    if kind is Any:
        return data
    if kind is float and isinstance(data, int) and not isinstance(data, bool):
        return float(data)
    if not isinstance(data, kind):
        raise ValueError(f"{data!r} is no {kind}")
    return data


def _read_one_of(kinds: tuple[Any, ...], data: Any) -> Any:
    """As the first kind that it fits."""
    if data is None and NoneType in kinds:
        return None
    for kind in kinds:
        try:
            return _read(kind, data)
        except (ValueError, TypeError, AttributeError):
            continue
    raise ValueError(f"{data!r} is none of {kinds}")
