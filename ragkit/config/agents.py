"""The `agents:` block and what belongs to it: toolsets, commands, hooks, permissions."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any, Literal

from ragkit.config.marks import (
    DURATION,
    GIVEN,
    NONEMPTY,
    ZERO_UNSETS,
    Between,
    Needed,
    Only,
    Problem,
    hidden,
)
from ragkit.config.rag import Source

_MCP = Only(("mcp",))
_PROCESS = Only(("mcp", "lsp"))
_WEB = Only(("a2a", "openapi"))
_FILES = Only(("filesystem",))


@dataclass(frozen=True, slots=True)
class Remote:
    """An MCP server that is reached over HTTP."""

    url: Annotated[str, NONEMPTY]
    """Its address."""
    transport_type: Literal["streamable", "sse"] | None = None
    """How it is spoken to."""
    headers: Mapping[str, str] = field(default_factory=dict)
    """Sent with each request."""


@dataclass(frozen=True, slots=True)
class Script:
    """A command offered as a tool."""

    cmd: Annotated[str, NONEMPTY]
    """The command line."""
    description: str = ""
    """What it does, said to the model."""
    args: Mapping[str, Any] = field(default_factory=dict)
    """Its parameters, as JSON Schema properties."""
    required: tuple[str, ...] | None = None
    """Parameters that must be given. Unset: all."""
    env: Mapping[str, str] = field(default_factory=dict)
    """Environment variables of the command."""
    working_dir: str | None = None
    """Folder that it runs in."""


@dataclass(frozen=True, slots=True)
class PostEdit:
    """A command that runs after a file was edited."""

    path: Annotated[str, NONEMPTY]
    """Glob of the files."""
    cmd: Annotated[str, NONEMPTY]
    """The command line; the variable `path` names the file."""


@dataclass(frozen=True, slots=True)
class ApiCall:
    """An HTTP request offered as a tool."""

    name: Annotated[str, NONEMPTY]
    """The tool's name."""
    endpoint: Annotated[str, NONEMPTY]
    """The address; may hold `${parameter}`."""
    method: Literal["GET", "POST", "PUT", "PATCH", "DELETE"] = "GET"
    """The HTTP method."""
    instruction: str = ""
    """What it does, said to the model."""
    args: Mapping[str, Any] = field(default_factory=dict)
    """Its parameters, as JSON Schema properties."""
    required: tuple[str, ...] = ()
    """Parameters that must be given."""
    headers: Mapping[str, str] = field(default_factory=dict)
    """Sent with each request."""
    output_schema: Mapping[str, Any] | None = None
    """JSON Schema of the answer."""


@dataclass(frozen=True, slots=True)
class Toolset:
    """Tools of one kind."""

    type: Literal[
        "rag",
        "filesystem",
        "think",
        "todo",
        "tasks",
        "memory",
        "shell",
        "script",
        "fetch",
        "mcp",
        "api",
        "a2a",
        "lsp",
        "user_prompt",
        "openapi",
        "model_picker",
        "background_agents",
    ]
    """Which kind."""
    tools: tuple[str, ...] = ()
    """Only these of its tools. Unset: all."""
    instruction: str | None = None
    """Added to the agent's instruction; may hold `{ORIGINAL_INSTRUCTIONS}`."""
    toon: str | None = None
    """Tools whose JSON results are shortened, as a regular expression."""
    model: str | None = None
    """The model that reads the results of these tools."""
    defer: bool | tuple[str, ...] = False
    """Tools that are shown to the model only when it looks for them."""
    command: Annotated[str | None, NONEMPTY, _PROCESS, Needed(("lsp",), "pylsp")] = None
    """Program that serves the tools."""
    args: Annotated[tuple[str, ...], _PROCESS] = ()
    """Arguments of the program."""
    version: Annotated[str | None, _PROCESS] = None
    """Which version of the program."""
    env: Annotated[Mapping[str, str], Only(("mcp", "lsp", "shell", "script"))] = field(
        default_factory=dict
    )
    """Environment variables of the program."""
    ref: Annotated[str | None, NONEMPTY, Only(("mcp", "rag"))] = None
    """A key of `mcps` or `docker:name`; for type rag, a key of `rag`."""
    remote: Annotated[Remote | None, _MCP] = None
    """A server that is reached over HTTP."""
    config: Annotated[Any, _MCP] = None
    """Passed to the server."""
    name: Annotated[str | None, NONEMPTY, Only(("mcp", "a2a", "rag"))] = None
    """Name of the toolset; of the knowledge base for `rag_config`."""
    rag_config: Annotated[Source | None, Only(("rag",))] = None
    """A knowledge base of this toolset alone."""
    url: Annotated[str | None, NONEMPTY, _WEB, Needed(_WEB.types, "https://example.org")] = None
    """Address of the agent or of the interface's description."""
    headers: Annotated[Mapping[str, str], _WEB] = field(default_factory=dict)
    """Sent with each request."""
    shared: Annotated[bool, Only(("todo",))] = False
    """One list for all agents."""
    path: Annotated[str | None, NONEMPTY, Only(("memory", "tasks"))] = None
    """Where it is kept."""
    shell: Annotated[
        Mapping[str, Script], Only(("script",)), Needed(("script",), "{hello: {cmd: echo hello}}")
    ] = field(default_factory=dict)
    """The commands, by the names of their tools."""
    api_config: Annotated[
        ApiCall | None, Only(("api",)), Needed(("api",), "{name: …, endpoint: …}")
    ] = None
    """The request."""
    post_edit: Annotated[tuple[PostEdit, ...], _FILES] = ()
    """Commands that run after edits."""
    ignore_vcs: Annotated[bool, _FILES] = True
    """Leave files out that `.gitignore` names."""
    allow_list: Annotated[tuple[str, ...], _FILES] = ()
    """Folders that may be used."""
    deny_list: Annotated[tuple[str, ...], _FILES] = ()
    """Folders that may not be used."""
    file_types: Annotated[tuple[str, ...], Only(("lsp",))] = ()
    """File name endings that the server is for."""
    timeout: Annotated[int | None, Between(1), Only(("fetch",))] = None
    """Seconds that a request may take."""
    models: Annotated[
        tuple[str, ...], Only(("model_picker",)), Needed(("model_picker",), "[auto]")
    ] = ()
    """The models to choose from."""
    line: Annotated[int | None, GIVEN] = hidden(None)

    def problems(self) -> Iterator[Problem]:
        either = {"mcp": ("command", "remote", "ref"), "rag": ("ref", "rag_config")}
        keys = either.get(self.type, ())
        written = [key for key in keys if getattr(self, key) is not None]
        if keys and len(written) != 1:
            words = " or ".join(keys)
            text = f"takes one of {words}, not several" if written else f"needs {words}"
            yield Problem("", f"type {self.type} {text}")


@dataclass(frozen=True, slots=True)
class McpServer(Toolset):
    """An MCP server that toolsets refer to."""

    type: Literal["mcp"] = "mcp"
    """Always mcp."""


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


@dataclass(frozen=True, slots=True)
class Hook:
    """A command that runs when something happens."""

    type: Literal["command"]
    """Its kind."""
    command: Annotated[str, NONEMPTY]
    """The command line."""
    timeout: Annotated[int, Between(1)] = 60
    """Seconds that it may take."""


@dataclass(frozen=True, slots=True)
class HookMatcher:
    """Hooks of some tools."""

    hooks: Annotated[tuple[Hook, ...], NONEMPTY]
    """What runs."""
    matcher: str = "*"
    """Names of the tools, as a regular expression; `*`: all."""


@dataclass(frozen=True, slots=True)
class Hooks:
    """Commands that run when something happens."""

    pre_tool_use: tuple[HookMatcher, ...] = ()
    """Before a tool is called."""
    post_tool_use: tuple[HookMatcher, ...] = ()
    """After a tool was called."""
    session_start: tuple[Hook, ...] = ()
    """When a session begins."""
    session_end: tuple[Hook, ...] = ()
    """When a session ends."""
    on_user_input: tuple[Hook, ...] = ()
    """When the user is asked."""
    stop: tuple[Hook, ...] = ()
    """When an answer is complete."""
    notification: tuple[Hook, ...] = ()
    """When the user is told something."""


@dataclass(frozen=True, slots=True)
class Agent:
    """A model with an instruction and tools."""

    name: Annotated[str, GIVEN]
    """Its key below `agents:`."""
    model: Annotated[str, NONEMPTY]
    """A key of `models`, `provider/model`, several of them with commas, or `auto`."""
    description: str = ""
    """What the agent is for, said to other agents."""
    instruction: str = ""
    """What the agent is told."""
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
    commands: Mapping[str, str | Command] | tuple[Mapping[str, str | Command], ...] = field(
        default_factory=dict
    )
    """Prompts that the user calls by name; a list of them becomes one mapping."""
    structured_output: StructuredOutput | None = None
    """The shape that answers must have."""
    skills: bool | tuple[str, ...] = False
    """Skills to offer: true for the local ones, or their sources."""
    hooks: Hooks | None = None
    """Commands that run when something happens."""
    line: Annotated[int | None, GIVEN] = hidden(None)

    def __post_init__(self) -> None:
        if isinstance(self.commands, tuple):
            merged = {name: text for group in self.commands for name, text in group.items()}
            object.__setattr__(self, "commands", merged)


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


@dataclass(frozen=True, slots=True)
class Permissions:
    """Which tools may run without asking; names may hold `*`."""

    allow: tuple[str, ...] = ()
    """Run without asking."""
    ask: tuple[str, ...] = ()
    """Always ask."""
    deny: tuple[str, ...] = ()
    """Never run."""
