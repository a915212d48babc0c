"""The `agents:` block and what belongs to it: commands, permissions, metadata."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any, Literal

from ragkit.config.hooks import Hooks
from ragkit.config.marks import (
    DURATION,
    GIVEN,
    NONEMPTY,
    ZERO_UNSETS,
    Between,
    Problem,
    hidden,
)
from ragkit.config.toolsets import Toolset


@dataclass(frozen=True, slots=True)
class Fallback:
    """What happens when the agent's model fails."""

    models: tuple[Annotated[str, NONEMPTY], ...] = ()
    """Models to try, in order."""
    retries: Annotated[int, Between(-1), ZERO_UNSETS] = 2
    """Attempts after the first one, for each model; -1: none. 0: as unset."""
    cooldown: Annotated[float, DURATION, Between(0)] = 60.0
    """How long the first model is left alone."""
    no_fallback_status_codes: tuple[Annotated[int, Between(400, 599)], ...] = ()
    """HTTP codes that end the request."""


@dataclass(frozen=True, slots=True)
class Command:
    """A prompt that the user calls by name."""

    instruction: str = ""
    """The prompt."""
    description: str = ""
    """What it is for."""
    agent: str | None = None
    """The agent that it goes to. Unset: this one."""
    url: str | None = None
    """An address to open."""


@dataclass(frozen=True, slots=True)
class StructuredOutput:
    """The shape that answers must have."""

    name: Annotated[str, NONEMPTY]
    """Its name."""
    schema: Mapping[str, Any]
    """JSON Schema of an answer."""
    description: str = ""
    """What it holds."""
    strict: bool = False
    """Let the provider enforce the schema."""
    mode: Literal["native", "tool"] = "native"
    """By the provider itself, or by a tool that the model calls with its answer."""


@dataclass(frozen=True, slots=True)
class Agent:
    """A model with an instruction and tools."""

    name: Annotated[str, GIVEN]
    """Its key below `agents:`."""
    model: Annotated[str, NONEMPTY] = ""
    """A key of `models`, `provider/model`, several of them with commas, or `auto`. Required, unless
    there is a `harness`."""
    harness: Mapping[str, Any] | None = None
    """A program that is the agent, in place of a model."""
    description: str = ""
    """What the agent is for, said to other agents."""
    instruction: str = ""
    """What the agent is told."""
    instruction_file: str | tuple[str, ...] = ()
    """Files that say what the agent is told, in place of `instruction`."""
    welcome_message: str = ""
    """What the user reads first."""
    toolsets: tuple[Toolset, ...] = ()
    """The tools."""
    use_toolsets: tuple[Annotated[str, NONEMPTY], ...] = ()
    """Toolsets of the file's `toolsets:`, by name."""
    rag: tuple[Annotated[str, NONEMPTY], ...] = ()
    """Knowledge bases, by name."""
    sub_agents: tuple[Annotated[str, NONEMPTY], ...] = ()
    """Agents that may be given tasks."""
    handoffs: tuple[Annotated[str, NONEMPTY], ...] = ()
    """Agents that the conversation may be handed to."""
    force_handoff: Annotated[str | None, NONEMPTY] = None
    """The agent that gets the conversation after each answer."""
    fallback: Fallback | None = None
    """What happens when the model fails."""
    add_date: bool = False
    """Tell the model the date."""
    add_environment_info: bool = False
    """Tell the model about the machine."""
    code_mode_tools: bool = False
    """Offer the tools as one that runs code."""
    add_description_parameter: bool = False
    """Let the model say why it calls a tool."""
    max_iterations: Annotated[int, Between(0)] = 0
    """Most rounds of tool calls; 0: no bound."""
    num_history_items: Annotated[int, Between(0)] = 0
    """Most earlier messages sent; 0: all."""
    add_prompt_files: tuple[Annotated[str, NONEMPTY], ...] = ()
    """Files whose text is added to the instruction."""
    add_prompt_files_depth: Annotated[int, Between(0)] = 0
    """Levels of folders below in which files of these names are listed."""
    commands: Mapping[str, str | Command] | tuple[Mapping[str, str | Command], ...] = field(
        default_factory=dict
    )
    """Prompts that the user calls by name; a list of them becomes one mapping."""
    structured_output: StructuredOutput | None = None
    """The shape that answers must have."""
    use_commands: tuple[Annotated[str, NONEMPTY], ...] = ()
    """Groups of the file's `commands:`, by name."""
    skills: bool | tuple[str | Mapping[str, Any], ...] = False
    """Skills to offer: true for the local ones, or their sources, names or definitions."""
    use_skills: tuple[Annotated[str, NONEMPTY], ...] = ()
    """Groups of the file's `skills:`, by name."""
    hooks: Hooks | None = None
    """Commands that run when something happens."""
    readonly: bool = False
    """Only tools that change nothing."""
    safety: Literal["strict", "balanced", "restricted", "autonomous"] | None = None
    """Which tools may run without asking."""
    redact_secrets: bool = True
    """Hide passwords and keys from the model."""
    budgets: tuple[Annotated[str, NONEMPTY], ...] = ()
    """Entries of the file's `budgets:` that the agent spends, by name."""
    max_consecutive_tool_calls: Annotated[int, Between(0)] = 0
    """Most equal calls of a tool in a row; 0: 5."""
    max_old_tool_call_tokens: Annotated[int, Between(-1)] = 0
    """Most tokens of old tool results that are sent; 0 and -1: all."""
    max_tool_result_tokens: Annotated[int, Between(-1)] = 0
    """Most tokens of a tool's result; 0 and -1: no bound."""
    session_compaction: bool = True
    """Sum a long conversation up."""
    compaction_threshold: Annotated[float | None, Between(0, 1)] = None
    """From which share of the model's context on."""
    compaction_model: Annotated[str | None, NONEMPTY] = None
    """The model that sums up. Unset: the agent's."""
    cache: Mapping[str, Any] | None = None
    """Answers kept for questions that come again."""
    line: Annotated[int | None, GIVEN] = hidden(None)

    def __post_init__(self) -> None:
        if isinstance(self.commands, tuple):
            merged = {name: text for group in self.commands for name, text in group.items()}
            object.__setattr__(self, "commands", merged)

    def problems(self) -> Iterator[Problem]:
        if not self.model and self.harness is None:
            yield Problem("", "model is missing", "add `model:`, such as `model: auto`")


@dataclass(frozen=True, slots=True)
class Metadata:
    """About the file."""

    author: str = ""
    """Who wrote it."""
    license: str = ""
    """Its licence."""
    description: str = ""
    """What it is for."""
    readme: str = ""
    """More about it."""
    version: str = ""
    """Its version."""
    tags: tuple[str, ...] = ()
    """Words to find it by."""


@dataclass(frozen=True, slots=True)
class Permissions:
    """Which tools may run without asking; names may hold `*`."""

    allow: tuple[str, ...] = ()
    """Run without asking."""
    ask: tuple[str, ...] = ()
    """Always ask."""
    deny: tuple[str, ...] = ()
    """Never run."""
