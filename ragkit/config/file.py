"""The file as a whole: what may stand at its top level."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from ragkit.config.agents import Agent, Metadata, Permissions
from ragkit.config.models import Model, Provider
from ragkit.config.rag import Source
from ragkit.config.toolsets import McpServer, Toolset


@dataclass(frozen=True, slots=True)
class File:
    """Knowledge bases, and the models and agents that use them."""

    version: (
        Literal[
            "0", "1", "2", "3", "4", "5", "6", "7", "8", "9", "10", "11", "12", "13", "14", "15"
        ]
        | None
    ) = None
    """Version of docker-agent's format that the file was written for; all are read alike."""
    rag: Mapping[str, Source] = field(default_factory=dict)
    """Knowledge bases, by name."""
    models: Mapping[str, Model] = field(default_factory=dict)
    """Models, by name."""
    providers: Mapping[str, Provider] = field(default_factory=dict)
    """Providers of your own, by name."""
    agents: Mapping[str, Agent] = field(default_factory=dict)
    """Agents, by name; the first one is the default unless there is a `root`."""
    toolsets: Mapping[str, Toolset] = field(default_factory=dict)
    """Toolsets that agents share by `use_toolsets`, by name."""
    mcps: Mapping[str, McpServer] = field(default_factory=dict)
    """MCP servers, by name."""
    metadata: Metadata = field(default_factory=Metadata)
    """About the file."""
    permissions: Permissions = field(default_factory=Permissions)
    """Which tools may run without asking."""
    commands: Mapping[str, Any] = field(default_factory=dict)
    """Groups of prompts that agents share by `use_commands`, by name."""
    skills: Mapping[str, Any] = field(default_factory=dict)
    """Groups of skills that agents share by `use_skills`, by name."""
    runtime: Mapping[str, Any] = field(default_factory=dict)
    """How agents are run unless the command line says otherwise."""
    budget: Mapping[str, Any] = field(default_factory=dict)
    """What a run may use up."""
    budgets: Mapping[str, Any] = field(default_factory=dict)
    """What agents may use up that name an entry, by name."""
    flavors: Mapping[str, Any] = field(default_factory=dict)
    """Changes of this file that a run may ask for, by name."""
