"""From nodes to the dataclasses that describe them, with every mistake on the way.

The type of a field says what its scalar means: `2024` is a text where a text is expected and a
number where a number is. That is stricter and kinder than YAML's own guesses (`no`, `1:30`, `010`).

One mistake does not hide the next. A value that is wrong is reported and becomes NOTHING, and so
does whatever it is part of; the rest of the file is still looked at.
"""

from __future__ import annotations

import re
from collections.abc import Mapping as AbstractMapping
from dataclasses import is_dataclass
from difflib import get_close_matches
from functools import partial
from typing import Any, Final, Literal, NamedTuple, get_args, get_origin

from ragkit.config import scalars
from ragkit.config.document import Mapping, Node, Scalar, Sequence
from ragkit.config.keys import Key, given_to, keys_of, members_of, unmarked
from ragkit.config.marks import (
    DURATION,
    NONEMPTY,
    ZERO_UNSETS,
    Also,
    Between,
    Checked,
    Moved,
    Only,
)

NOTHING: Final[Any] = object()
"""In place of a value that is wrong and has been reported."""

_UNPRINTABLE = re.compile("[\x00\ud800-\udfff]")  # no path and no terminal can take them


class Finding(NamedTuple):
    """Something to say about a key; prints as `file:line: key: text`."""

    file: str
    line: int
    key: str
    text: str
    remedy: str = ""

    def __str__(self) -> str:
        key = f"{self.key}: " if self.key else ""
        return f"{self.file}:{self.line}: {key}{self.text}"


class Decoder:
    """Decodes nodes of one file and remembers what it finds."""

    def __init__(self, file: str, root: str) -> None:
        self.file = file
        self.root = root
        self.problems: list[Finding] = []
        self.warnings: list[Finding] = []
        self.lines: dict[str, int] = {}  # dotted key → the line that it is written in

    def problem(self, line: int, key: str, text: str, remedy: str = "") -> Any:
        """Report, and return NOTHING."""
        self.problems.append(Finding(self.file, line, key, text, remedy))
        return NOTHING

    def warn(self, line: int, key: str, text: str, remedy: str = "") -> None:
        self.warnings.append(Finding(self.file, line, key, text, remedy))

    def line(self, key: str) -> int:
        """Of the key, or of the nearest written one around it."""
        return nearest(self.lines, key)

    def value(self, node: Node, kind: Any, key: str, marks: tuple[Any, ...] = ()) -> Any:
        """`node` as a `kind` within its marks, or NOTHING."""
        kind, more = unmarked(kind)
        marks = (*marks, *more)
        self.lines.setdefault(key, node.line)
        origin = get_origin(kind)
        if kind is Any:
            return scalars.guessed(node)
        if members := members_of(kind):
            return self.value(node, alternative(node, members), key, marks)
        if is_dataclass(kind):
            return self.section(node, kind, key)
        if origin is tuple:
            return self.sequence(node, get_args(kind)[0], key, marks)
        if origin is AbstractMapping:
            return self.mapping(node, get_args(kind)[1], key)
        if not isinstance(node, Scalar) or node.is_null:
            expected = _EXPECTED[str if origin is Literal else kind]
            return self.problem(node.line, key, f"expected {expected}, not {scalars.shown(node)}")
        if origin is Literal:
            return self.choice(node, get_args(kind), key, marks)
        return self.scalar(node, kind, key, marks)

    def section(self, node: Node, kind: Any, key: str, name: str = "") -> Any:
        """A dataclass of a mapping; `name` is its key where the user chose it."""
        if isinstance(node, Scalar) and node.is_null:
            node = Mapping({}, node.line, 1)
        if not isinstance(node, Mapping):
            return self.problem(
                node.line, key, f"expected keys and values, not {scalars.shown(node)}"
            )
        values = self.values(node, kind, key)
        if any(value is NOTHING for value in values.values()):
            return NOTHING
        given = {
            "name": name or key,
            "root": self.root,
            "file": self.file,
            "line": self.lines.get(key, node.line),
            "key": key,
        }
        result = kind(**values, **{field: given[field] for field in given_to(kind) & given.keys()})
        return self.checked(result, key) if isinstance(result, Checked) else result

    def checked(self, result: Checked, key: str) -> Any:
        found = list(result.problems())
        for item in found:
            inner = _join(key, item.key)
            self.problem(self.line(inner), inner, item.text, item.remedy)
        return NOTHING if found else result

    def values(self, node: Mapping, kind: Any, key: str) -> dict[str, Any]:
        """The written keys of a section, decoded; reports unknown, foreign and missing ones."""
        keys = keys_of(kind)
        spelled = {spelling: item for item in keys.values() for spelling in item.spellings}
        given_type = self.type_of(node, keys)
        values: dict[str, Any] = {}
        for name, (line, value) in node.items.items():
            inner = _join(key, name)
            self.lines[inner] = line
            item = spelled.get(name)
            if item is None:
                values[name] = self.unknown(name, keys, given_type, line, inner)
                continue
            field = item.field.name
            if name != field:
                self.renamed(name, item, node, line, key)
                self.lines[_join(key, field)] = line
            for moved in (mark for mark in item.marks if isinstance(mark, Moved)):
                self.warn(line, inner, f"is read as {moved.to}", f"write it as {moved.to}")
            if field in values:
                continue
            if not item.fits(given_type):
                values[field] = self.foreign(item, given_type, line, inner)
            elif not (isinstance(value, Scalar) and value.is_null):
                decoded = self.value(value, item.kind, inner, item.marks)
                if not (ZERO_UNSETS in item.marks and decoded == 0):
                    values[field] = decoded
        for name, item in keys.items():
            if name not in values and (item.required or item.needed(given_type)):
                values[name] = self.missing(item, given_type, node, key)
        return values

    def missing(self, item: Key, kind: str | None, node: Mapping, key: str) -> Any:
        name, needed = item.field.name, item.needed(kind)
        text = f"{kind} needs {name}" if needed else f"{name} is missing"
        remedy = f"add `{name}: {needed.example}`, or another" if needed else _example(item)
        return self.problem(node.line, key, text, remedy)

    def type_of(self, node: Mapping, keys: dict[str, Key]) -> str | None:
        """The section's `type` if it has one that is known, for the keys that depend on it."""
        if "type" not in keys:
            return None
        default = keys["type"].field.default
        _, written = node.items.get("type", (0, Scalar(str(default), plain=True, line=0)))
        text = written.text if isinstance(written, Scalar) else ""
        return text if text in get_args(keys["type"].kind) else None

    def unknown(
        self, name: str, keys: dict[str, Key], kind: str | None, line: int, inner: str
    ) -> Any:
        known = [item.field.name for item in keys.values() if item.fits(kind)]
        return self.problem(line, inner, "unknown key", suggestion(name, known))

    def renamed(self, name: str, item: Key, node: Mapping, line: int, key: str) -> None:
        inner, field = _join(key, name), item.field.name
        if field in node.items:
            self.problem(line, inner, f"is another name of {field}, which is there too", "keep one")
        elif not any(isinstance(mark, Moved) for mark in item.marks):
            self.warn(line, inner, f"is read as {field}", f"write {field}")

    def foreign(self, item: Key, kind: str | None, line: int, inner: str) -> Any:
        types = next(mark.types for mark in item.marks if isinstance(mark, Only))
        allowed = " or ".join(types)
        return self.problem(
            line, inner, f"is for type {allowed}, not for {kind}", "remove it, or change the type"
        )

    def sequence(self, node: Node, kind: Any, key: str, marks: tuple[Any, ...]) -> Any:
        if not isinstance(node, Sequence):
            text = f"expected a list, not {scalars.shown(node)}"
            remedy = f"write [{node.text}]" if isinstance(node, Scalar) and node.text else ""
            return self.problem(node.line, key, text, remedy)
        items = [self.value(item, kind, f"{key}[{i}]") for i, item in enumerate(node.items)]
        if NONEMPTY in marks and not items:
            return self.problem(node.line, key, "is empty", "it needs at least one entry")
        return NOTHING if any(item is NOTHING for item in items) else tuple(items)

    def mapping(self, node: Node, kind: Any, key: str) -> Any:
        """A mapping whose keys are names that the user chose."""
        if isinstance(node, Scalar) and node.is_null:
            return {}
        if not isinstance(node, Mapping):
            return self.problem(
                node.line, key, f"expected names and values, not {scalars.shown(node)}"
            )
        result = {}
        for name, (line, value) in node.items.items():
            inner = _join(key, name)
            self.lines[inner] = line
            if not name or _UNPRINTABLE.search(name):
                result[name] = self.problem(line, key, "a name is empty or holds odd characters")
            else:
                plain, _ = unmarked(kind)
                decode = partial(self.section, name=name) if is_dataclass(plain) else self.value
                result[name] = decode(value, kind, inner)
        if is_dataclass(unmarked(kind)[0]):  # what is wrong in one leaves the others to look at
            return {name: value for name, value in result.items() if value is not NOTHING}
        return NOTHING if any(value is NOTHING for value in result.values()) else result

    def choice(self, node: Scalar, words: tuple[Any, ...], key: str, marks: tuple[Any, ...]) -> Any:
        others = {mark.name: mark.means for mark in marks if isinstance(mark, Also) and mark.means}
        word = others.get(node.text, node.text)
        if word in words:
            return word
        text = f"{scalars.shown(node)} is not one of {', '.join(map(str, words))}"
        return self.problem(node.line, key, text, suggestion(node.text, words))

    def scalar(self, node: Scalar, kind: Any, key: str, marks: tuple[Any, ...]) -> Any:
        if kind is str:
            return self.text(node, key, marks)
        read = scalars.duration if DURATION in marks else _READERS[kind]
        value = read(node)
        if value is None:
            expected = _EXPECTED[DURATION if DURATION in marks else kind]
            quoted = not node.plain and read(Scalar(node.text, True, node.line)) is not None
            remedy = f"remove the quotes: {node.text}" if quoted else ""
            text = f"expected {expected}, not {scalars.shown(node)}"
            return self.problem(node.line, key, text, remedy)
        for mark in marks:
            if isinstance(mark, Between) and not within(value, mark):
                return self.problem(
                    node.line, key, f"{scalars.shown(node)} is out of range", bounds(mark)
                )
        return value

    def text(self, node: Scalar, key: str, marks: tuple[Any, ...]) -> Any:
        if _UNPRINTABLE.search(node.text):
            return self.problem(node.line, key, "holds a character that no text can have")
        if NONEMPTY in marks and not node.text.strip():
            return self.problem(node.line, key, "is empty", "remove the key or give it a value")
        return node.text


def alternative(node: Node, members: tuple[Any, ...]) -> Any:
    """The member of a union that has the node's shape, or the first: it then says what is wrong."""
    for member in members:
        plain, _ = unmarked(member)
        if _shape(plain) is not type(node):
            continue
        if not isinstance(node, Scalar) or plain not in _READERS:
            return member
        if _READERS[plain](node) is not None:
            return member
    return members[0]


def nearest(lines: AbstractMapping[str, int], key: str) -> int:
    """The line of a dotted key, or of the nearest one around it that has one; else 1."""
    while key and key not in lines:
        key = key[: max(key.rfind("."), key.rfind("["), 0)]
    return lines.get(key, 1)


def within(value: float, mark: Between) -> bool:
    low_enough = mark.high is None or value <= mark.high
    return low_enough and (mark.low is None or value >= mark.low)


def bounds(mark: Between) -> str:
    """`at least 1`, `from 0 to 1`, `at most 2`."""
    if mark.low is None:
        return f"at most {mark.high:,}"
    return f"at least {mark.low:,}" if mark.high is None else f"from {mark.low:,} to {mark.high:,}"


def suggestion(name: str, known: Any) -> str:
    """`did you mean threshold?`, or all that is known if nothing is near."""
    known = list(map(str, known))
    near = get_close_matches(name.lower(), known, n=1, cutoff=0.6)
    if near:
        return f"did you mean {near[0]}?"
    return f"known: {', '.join(known)}" if known else ""


_READERS: Final[dict[Any, Any]] = {
    int: scalars.whole,
    float: scalars.number,
    bool: scalars.boolean,
}
_EXPECTED: Final[dict[Any, str]] = {
    int: "a whole number",
    float: "a number",
    bool: "true or false",
    str: "a text",
    DURATION: "a duration such as 90s or 1h30m",
}


def _shape(kind: Any) -> type[Node]:
    if is_dataclass(kind) or get_origin(kind) is AbstractMapping:
        return Mapping
    return Sequence if get_origin(kind) is tuple else Scalar


def _join(key: str, name: str) -> str:
    if not key or not name:
        return key or name
    return f"{key}{name}" if name.startswith("[") else f"{key}.{name}"


def _example(item: Key) -> str:
    words = get_args(item.kind) if get_origin(item.kind) is Literal else ()
    known = f" with one of: {', '.join(words)}" if words else ""
    return f"add `{item.field.name}:`{known}"
