"""From a file to its knowledge bases, models and agents: read, decode, cross-check."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path

from ragkit.config import document
from ragkit.config.agents import Agent, Metadata, Permissions
from ragkit.config.decoding import NOTHING, Decoder, Finding, nearest
from ragkit.config.file import File
from ragkit.config.models import Model, Provider
from ragkit.config.rag import Source
from ragkit.config.references import Declared, check, gather
from ragkit.config.toolsets import McpServer, Toolset
from ragkit.errors import ConfigError

_SHOWN = 20  # problems in one message
_REMEDY = "docs/configuration.md has every key; `ragkit init` writes an example"


class InvalidConfig(ConfigError):
    """A file with mistakes; `problems` holds all of them, in the order of their lines."""

    def __init__(self, problems: tuple[Finding, ...]) -> None:
        self.problems = problems
        if len(problems) == 1:
            super().__init__(str(problems[0]), problems[0].remedy or _REMEDY)
            return
        lines = [f"{item} ({item.remedy})" if item.remedy else str(item) for item in problems]
        more = [f"… and {len(lines) - _SHOWN} more"] if len(lines) > _SHOWN else []
        super().__init__("\n".join(lines[:_SHOWN] + more), _REMEDY)


@dataclass(frozen=True, slots=True)
class Configuration:
    """A file that holds together: every key known, every value in range, every name defined."""

    path: Path
    sources: tuple[Source, ...]
    """Every knowledge base: those of `rag:` in order, then those that toolsets hold inline."""
    models: Mapping[str, Model]
    providers: Mapping[str, Provider]
    agents: Mapping[str, Agent]
    toolsets: Mapping[str, Toolset]
    mcps: Mapping[str, McpServer]
    metadata: Metadata
    permissions: Permissions
    warnings: tuple[Finding, ...]
    """Keys that are read as others, in the order of their lines."""
    attached: Mapping[str, tuple[str, ...]]
    """Agent → the names of its knowledge bases, whichever way they are attached."""
    lines: Mapping[str, int] = field(repr=False)
    """Dotted key → the line that it is written in, from 1."""

    def where(self, key: str) -> str:
        """`file:line` of a dotted key, or of the nearest written one around it."""
        return f"{self.path}:{nearest(self.lines, key)}"


def load(path: Path) -> Configuration:
    """Read and check a file. Raises ConfigError, with all mistakes of the file in one."""
    root = os.path.dirname(os.path.abspath(path))
    node = document.read(path)
    if isinstance(node, document.Scalar) and node.is_null:
        raise ConfigError(f"{path}: is empty", "`ragkit init` writes a first one")
    decoder = Decoder(str(path), root)
    file = decoder.section(node, File, "")
    if file is not NOTHING and isinstance(node, document.Mapping):
        for found in check(file, _declared(node)):
            decoder.problem(decoder.line(found.key), *found)
    if decoder.problems:
        raise InvalidConfig(tuple(sorted(decoder.problems, key=lambda item: item.line)))
    sources, attached = gather(file)
    kept = {item.name for item in fields(Configuration)}
    tables = {item.name: getattr(file, item.name) for item in fields(file) if item.name in kept}
    return Configuration(
        path=path,
        sources=sources,
        warnings=tuple(sorted(decoder.warnings, key=lambda item: item.line)),
        attached=attached,
        lines=decoder.lines,
        **tables,
    )


def _declared(node: document.Mapping) -> Declared:
    tables = {}
    for item in fields(Declared):
        _, table = node.items.get(item.name, (0, None))
        tables[item.name] = tuple(table.items) if isinstance(table, document.Mapping) else ()
    return Declared(**tables)
