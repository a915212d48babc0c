"""What may be written, for editors (JSON Schema) and for readers (a table)."""

from __future__ import annotations

import ast
import inspect
import re
import sys
from collections.abc import Iterator, Mapping
from dataclasses import MISSING, is_dataclass
from functools import cache
from itertools import pairwise
from typing import Any, Final, Literal, get_args, get_origin

from ragkit.config.file import File
from ragkit.config.keys import Key, keys_of, members_of, unmarked
from ragkit.config.marks import DURATION, NONEMPTY, Also, Between, Moved, Needed, Only
from ragkit.config.rag import Source

_TYPES: Final = {int: "integer", float: "number", bool: "boolean", str: "string"}


def schema() -> dict[str, Any]:
    """JSON Schema (draft 2020-12) of a configuration file, for completion and checks in editors.

    It knows keys, types, ranges and which key belongs to which type; `load` also knows whether
    names are defined.
    """
    definitions: dict[str, Any] = {}
    top = _section(File, definitions)
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        **top,
        "title": "ragkit configuration",
        "$defs": dict(sorted(definitions.items())),
    }


def reference() -> str:
    """A Markdown table of all keys of a knowledge base: key, type, default, meaning."""
    rows = ["| key | type | default | meaning |", "|---|---|---|---|"]
    for path, key, text in _rows(Source, ""):
        cells = (f"`{path}`", _words(key.kind, key.marks), _default(key), text)
        rows.append("| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |")
    return "\n".join(rows) + "\n"


def documentation(section: Any) -> dict[str, str]:
    """Field → the string below it, in one line; of a derived class, its parents' fields too."""
    texts: dict[str, str] = {}
    for cls in reversed(section.__mro__[:-1]):
        body = _classes(cls.__module__)[cls.__name__].body
        for field, below in pairwise(body):
            match field, below:
                case (
                    ast.AnnAssign(target=ast.Name(id=name)),
                    ast.Expr(value=ast.Constant(value=str(text))),
                ):
                    texts[name] = " ".join(text.split())
    return texts


@cache
def _classes(module: str) -> dict[str, ast.ClassDef]:
    """The classes of a module as they are written: what stands below a field is kept only there."""
    tree = ast.parse(inspect.getsource(sys.modules[module]))
    return {node.name: node for node in tree.body if isinstance(node, ast.ClassDef)}


def _section(section: Any, definitions: dict[str, Any]) -> dict[str, Any]:
    texts, properties, required = documentation(section), {}, []
    for name, key in keys_of(section).items():
        described = {"description": _plain(texts[name]), **_of(key.kind, key.marks, definitions)}
        moved = next((mark for mark in key.marks if isinstance(mark, Moved)), None)
        if isinstance(key.field.default, str | int | float) and key.field.default != "":
            described["default"] = key.field.default
        if moved:
            described["deprecated"] = True
        properties[name] = described
        for other in key.spellings[1:]:
            described = {key: value for key, value in described.items() if key != "default"}
            text = f"Another name of {name}."
            properties[other] = {**described, "description": text, "deprecated": True}
        if key.required:
            required.append(_present(key))
    return {
        "type": "object",
        "title": _title(section),
        "description": _plain(" ".join((section.__doc__ or "").split())),
        "additionalProperties": False,
        "properties": properties,
        **({"allOf": rules} if (rules := [*required, *_type_rules(keys_of(section))]) else {}),
    }


def _type_rules(keys: Mapping[str, Key]) -> Iterator[dict[str, Any]]:
    """For each value of `type`: which keys it forbids and which it needs."""
    for kind in get_args(keys["type"].kind) if "type" in keys else ():
        foreign = {
            spelling: False
            for key in keys.values()
            if not key.fits(kind)
            for spelling in key.spellings
        }
        needed = [_present(key) for key in keys.values() if key.needed(kind)]
        if foreign or needed:
            yield {
                "if": {"properties": {"type": {"const": kind}}, "required": ["type"]},
                "then": {
                    **({"properties": foreign} if foreign else {}),
                    **({"allOf": needed} if needed else {}),
                },
            }


def _present(key: Key) -> dict[str, Any]:
    """The key is there, under any of its names."""
    ways = [{"required": [name]} for name in key.spellings]
    return ways[0] if len(ways) == 1 else {"anyOf": ways}


def _of(kind: Any, marks: tuple[Any, ...], definitions: dict[str, Any]) -> dict[str, Any]:
    """The schema of a type within its marks."""
    kind, more = unmarked(kind)
    marks = (*marks, *more)
    origin, args = get_origin(kind), get_args(kind)
    if kind is Any:
        return {}
    if members := [_of(member, marks, definitions) for member in members_of(kind)]:
        return members[0] if len(members) == 1 else {"anyOf": members}
    if is_dataclass(kind):
        name = _title(kind).replace(" ", "-")
        if name not in definitions:
            definitions[name] = {}  # subtle: a section that holds itself ends here
            definitions[name] = _section(kind, definitions)
        return {"$ref": f"#/$defs/{name}"}
    if origin is tuple:
        least = {"minItems": 1} if NONEMPTY in marks else {}
        return {"type": "array", "items": _of(args[0], (), definitions), **least}
    if origin is Mapping:
        return {"type": "object", "additionalProperties": _of(args[1], (), definitions)}
    return _scalar(kind, marks)


def _scalar(kind: Any, marks: tuple[Any, ...]) -> dict[str, Any]:
    if get_origin(kind) is Literal:
        words = [*get_args(kind)]
        words += [mark.name for mark in marks if isinstance(mark, Also) and mark.means]
        numbers = [int(word) for word in words if word.isdecimal()]  # a version without quotes
        return {"enum": [*words, *numbers]}
    bounds: dict[str, Any] = {}
    for mark in marks:
        if isinstance(mark, Between):
            bounds |= {} if mark.low is None else {"minimum": mark.low}
            bounds |= {} if mark.high is None else {"maximum": mark.high}
    if DURATION in marks:
        units = "".join(rf"([0-9.]+{unit})?" for unit in ("h", "m", "s", "ms"))
        return {"type": ["number", "string"], "pattern": f"^(?=.){units}$", **bounds}
    least = {"minLength": 1} if kind is str and NONEMPTY in marks else {}
    return {"type": _TYPES[kind], **bounds, **least}


def _rows(section: Any, path: str) -> Iterator[tuple[str, Key, str]]:
    """Every key below a section, depth first, with its documentation."""
    texts = documentation(section)
    for name, key in keys_of(section).items():
        if any(isinstance(mark, Moved) for mark in key.marks):
            continue
        inner, notes = f"{path}{name}", "".join(_notes(key))
        yield inner, key, texts[name] + notes
        below = _below(key.kind)
        if below is not None:
            suffix = "[]" if get_origin(key.kind) is tuple else ""
            yield from _rows(below, f"{inner}{suffix}.")


def _notes(key: Key) -> Iterator[str]:
    needed = {kind for mark in key.marks if isinstance(mark, Needed) for kind in mark.types}
    for mark in key.marks:
        if isinstance(mark, Only):
            yield f" For {', '.join(f'`{kind}`' for kind in mark.types)} only"
            yield ", which cannot do without." if needed else "."
        elif isinstance(mark, Also) and not mark.means:
            yield f" `{mark.name}` is read too, with a warning."


def _below(kind: Any) -> Any:
    """The section in a type: itself, optional, or in a list."""
    if is_dataclass(kind):
        return kind
    inner = members_of(kind) or (get_args(kind) if get_origin(kind) is tuple else ())
    return next((below for part in inner if (below := _below(part))), None)


def _words(kind: Any, marks: tuple[Any, ...]) -> str:
    """A type for readers: `whole number, at least 1`."""
    kind, more = unmarked(kind)
    marks = (*marks, *more)
    origin, args = get_origin(kind), get_args(kind)
    if members := members_of(kind):
        return " or ".join(_words(member, marks) for member in members)
    if is_dataclass(kind):
        return "section"
    if origin is tuple:
        return f"list of {_words(args[0], ())}s"
    if origin is Mapping:
        return f"name → {_words(args[1], ())}"
    if origin is Literal:
        return ", ".join(f"`{word}`" for word in args)
    if DURATION in marks:
        return "duration"
    words = {int: "whole number", float: "number", bool: "true or false", str: "text"}[kind]
    return ", ".join([words, *(_bounds(mark) for mark in marks if isinstance(mark, Between))])


def _bounds(mark: Between) -> str:
    if mark.low is None:
        return f"≤ {mark.high:,}"
    return f"≥ {mark.low:,}" if mark.high is None else f"{mark.low:,} to {mark.high:,}"


def _default(key: Key) -> str:
    default = key.field.default
    if key.required or (default is None and any(isinstance(m, Needed) for m in key.marks)):
        return "required"
    if DURATION in key.marks and isinstance(default, float):
        return f"{default / 60:g}m"
    if default is None or default is MISSING or default in ("", ()):
        return "–"
    return f"`{str(default).lower() if isinstance(default, bool) else default}`"


def _title(section: Any) -> str:
    """`StrategySettings` → `strategy settings`."""
    return re.sub(r"(?<!^)(?=[A-Z])", " ", section.__name__).lower()


def _plain(text: str) -> str:
    return text.replace("`", "")
