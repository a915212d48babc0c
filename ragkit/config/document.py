"""The text of a configuration file as a tree of nodes that know their lines.

PyYAML's events are composed here and not by its own composer, because that one follows nesting by
recursion in C (100,000 brackets end the process), lets the last of two equal keys win, and shares
aliases that grow exponentially when they are followed. And scalars stay as they were written: what
`no` or `2024` means is for the type of its key to say (see `decoding`).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from ragkit.errors import ConfigError

if TYPE_CHECKING:
    import yaml

MAX_BYTES: Final = 1_000_000
MAX_DEPTH: Final = 60
MAX_NODES: Final = 100_000  # aliases counted as often as they are used

_STANDARD_TAGS = frozenset(
    f"tag:yaml.org,2002:{name}" for name in ("str", "int", "float", "bool", "null", "map", "seq")
)


@dataclass(frozen=True, slots=True)
class Scalar:
    text: str
    plain: bool
    """Written without quotes: it may be a number, a boolean or null."""
    line: int
    size: int = 1

    @property
    def is_null(self) -> bool:
        return self.plain and self.text in ("", "~", "null", "Null", "NULL")


@dataclass(frozen=True, slots=True)
class Sequence:
    items: tuple[Node, ...]
    line: int
    size: int
    """Nodes below it and itself, aliases followed."""


@dataclass(frozen=True, slots=True)
class Mapping:
    items: dict[str, tuple[int, Node]]
    """Key → (the line of the key, its value)."""
    line: int
    size: int


Node: TypeAlias = Scalar | Sequence | Mapping


def read(path: Path) -> Node:
    """The file's one document. Raises ConfigError if it cannot be read or is not YAML."""
    return compose(_text(path), str(path))


def compose(text: str, file: str) -> Node:
    """The one document of `text`; an empty one is a null scalar. Raises ConfigError."""
    import yaml

    # The scanner in C is four times as fast; the pure one knows the same language.
    loader: type[Any] = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    try:
        return _Composer(file, yaml.parse(text, Loader=loader)).document()
    except yaml.reader.ReaderError as error:
        line = text.count("\n", 0, max(error.position, 0)) + 1
        raise ConfigError(
            f"{file}:{line}: the character {_name(error.character)} is not allowed in YAML",
            "remove it",
        ) from error
    except yaml.MarkedYAMLError as error:
        raise _syntax_error(error, text, file) from error


def _text(path: Path) -> str:
    try:
        # A pipe would wait for its writer, and has no folder that paths could refer to.
        if path.exists() and not path.is_file() and not path.is_dir():
            raise ConfigError(f"{path}: is not a file", "write the YAML to a file")
        with path.open("rb") as file:
            content = file.read(MAX_BYTES + 1)
    except FileNotFoundError as error:
        raise ConfigError(
            f"{path}: there is no such file", "`ragkit init` writes a first one"
        ) from error
    except IsADirectoryError as error:
        raise ConfigError(f"{path}: is a folder", "name the YAML file in it") from error
    except (OSError, ValueError) as error:  # ValueError: a NUL in the path
        reason = getattr(error, "strerror", None) or str(error)
        raise ConfigError(f"{path}: cannot be read: {reason}", "check the path") from error
    if len(content) > MAX_BYTES:
        raise ConfigError(
            f"{path}: larger than {MAX_BYTES // 1_000_000} MB", "is this the configuration file?"
        )
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise ConfigError(f"{path}:{line}: not UTF-8", "save the file as UTF-8") from error


class _Composer:
    """Builds nodes of events; each method starts behind the event that it is given."""

    def __init__(self, file: str, events: Iterator[yaml.Event]) -> None:
        self.file = file
        self.events = events
        self.anchors: dict[str, Node | None] = {}  # None: not finished yet

    def document(self) -> Node:
        import yaml

        node: Node | None = None
        for event in self.events:
            if isinstance(event, yaml.DocumentStartEvent | yaml.StreamStartEvent):
                continue
            if isinstance(event, yaml.DocumentEndEvent | yaml.StreamEndEvent):
                continue
            if node is not None:
                raise self.error(event, "a second document begins", "keep one and remove `---`")
            node = self.node(event, depth=0)
        return node if node is not None else Scalar("", plain=True, line=1)

    def node(self, event: yaml.Event, depth: int) -> Node:
        import yaml

        if isinstance(event, yaml.AliasEvent):
            return self.alias(event)
        if depth > MAX_DEPTH:
            raise _too_deep(self.file, _line(event))
        tag, anchor = getattr(event, "tag", None), getattr(event, "anchor", None)
        if tag not in (None, "!") and tag not in _STANDARD_TAGS:
            raise self.error(event, f"the tag {tag} is not known", "remove it")
        if anchor is not None:
            self.anchors[anchor] = None
        node: Node
        if isinstance(event, yaml.ScalarEvent):
            plain = event.style in (None, "") and tag in (None, *(_STANDARD_TAGS - {_TEXT}))
            node = Scalar(event.value, plain, _line(event))
        elif isinstance(event, yaml.SequenceStartEvent):
            node = self.sequence(event, depth)
        else:
            node = self.mapping(event, depth)
        if anchor is not None:
            self.anchors[anchor] = node
        return node

    def alias(self, event: yaml.AliasEvent) -> Node:
        name = event.anchor
        if name not in self.anchors:
            raise self.error(event, f"*{name} refers to no anchor", f"define &{name} above it")
        node = self.anchors[name]
        if node is None:
            raise self.error(event, f"*{name} holds itself", "write the value out")
        return node

    def sequence(self, start: yaml.Event, depth: int) -> Sequence:
        import yaml

        items: list[Node] = []
        size = 1
        while not isinstance(event := next(self.events), yaml.SequenceEndEvent):
            items.append(self.node(event, depth + 1))
            size = self.grown(event, size + items[-1].size)
        return Sequence(tuple(items), _line(start), size)

    def mapping(self, start: yaml.Event, depth: int) -> Mapping:
        import yaml

        own: dict[str, tuple[int, Node]] = {}
        merged: dict[str, tuple[int, Node]] = {}
        size = 1
        while not isinstance(event := next(self.events), yaml.MappingEndEvent):
            key, line = self.node(event, depth + 1), _line(event)
            value = self.node(next(self.events), depth + 1)
            size = self.grown(event, size + key.size + value.size)
            if not isinstance(key, Scalar):
                raise self.error(event, "a key must be a word", "quote it if it holds [ or {")
            if key.plain and key.text == "<<":
                merged = {**self.merge(event, value), **merged}
            elif key.text in own:
                first = own[key.text][0]
                raise self.error(
                    event, f"{key.text}: written twice, first in line {first}", "remove one"
                )
            else:
                own[key.text] = (line, value)
        return Mapping({**merged, **own}, _line(start), size)

    def merge(self, event: yaml.Event, value: Node) -> dict[str, tuple[int, Node]]:
        """The keys that `<<` brings in; of several mappings the earlier wins."""
        items: dict[str, tuple[int, Node]] = {}
        for node in value.items if isinstance(value, Sequence) else (value,):
            if not isinstance(node, Mapping):
                raise self.error(event, "<< merges mappings only", "give it an alias of a mapping")
            items = {**node.items, **items}
        return items

    def grown(self, event: yaml.Event, size: int) -> int:
        if size > MAX_NODES:
            raise self.error(
                event, f"more than {MAX_NODES:,} values, aliases followed", "use fewer of them"
            )
        return size

    def error(self, event: yaml.Event, text: str, remedy: str) -> ConfigError:
        return ConfigError(f"{self.file}:{_line(event)}: {text}", remedy)


_TEXT = "tag:yaml.org,2002:str"


def _line(event: yaml.Event) -> int:
    mark = event.start_mark
    return int(mark.line) + 1 if mark else 1


def _name(character: str | bytes | int) -> str:
    if isinstance(character, int):
        return f"U+{character:04X}"
    return " ".join(f"U+{ord(c):04X}" for c in str(character))


def _too_deep(file: str, line: int) -> ConfigError:
    return ConfigError(f"{file}:{line}: nested more than {MAX_DEPTH} deep", "flatten it")


def _syntax_error(error: yaml.MarkedYAMLError, text: str, file: str) -> ConfigError:
    """PyYAML's own words, with the line to look at and what is usually wrong there."""
    what = " ".join(part for part in (error.context, error.problem) if part)
    quoted = "quoted scalar" in what
    # subtle: an open quote ends with the file; where it began is where to look
    mark = (quoted and error.context_mark) or error.problem_mark or error.context_mark
    line = mark.line + 1 if mark else 1
    if "nesting depth" in what:  # libyaml's own limit, 1,000: its scanner runs ahead of the events
        return _too_deep(file, line)
    lines = text.splitlines()
    written = lines[line - 1] if line <= len(lines) else ""
    if "\t" in written[: len(written) - len(written.lstrip())]:
        remedy = "indent with spaces, not with tabs"
    elif quoted:
        remedy = "close the quotes, and double each backslash between double ones"
    else:
        remedy = "check the indentation; quote texts that begin with @ or ` or hold `: ` or ` #`"
    return ConfigError(f"{file}:{line}: not YAML: {what}", remedy)
