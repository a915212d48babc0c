"""The `toolsets:` of an agent: tools of one kind, a knowledge base among them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any, Literal

from ragkit.config.marks import (
    GIVEN,
    NONEMPTY,
    Between,
    Needed,
    Only,
    Problem,
    hidden,
)
from ragkit.config.rag import Source

_MCP = Only(("mcp",))
_PROCESS = Only(("mcp", "lsp"))
_WEB = Only(("a2a", "openapi", "open_url"))
_FETCH = Only(("fetch",))
_FILES = Only(("filesystem", "file"))
_SHELL = Only(("shell",))
_CATALOG = Only(("mcp_catalog",))
_WEBHOOK = Only(("webhook",))


@dataclass(frozen=True, slots=True)
class Remote:
    """An MCP server that is reached over HTTP."""

    url: Annotated[str, NONEMPTY]
    """Its address."""
    transport_type: Literal["streamable", "sse"] | None = None
    """How it is spoken to."""
    headers: Mapping[str, str] = field(default_factory=dict)
    """Sent with each request."""
    oauth: Mapping[str, Any] | None = None
    """How to sign in where the server does not register its clients."""


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
        "background_jobs",
        "file",
        "git",
        "mcp_catalog",
        "open_url",
        "plan",
        "scheduler",
        "session_context",
        "session_plan",
        "webhook",
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
    readonly: bool = False
    """Only tools that change nothing."""
    command: Annotated[str | None, NONEMPTY, _PROCESS, Needed(("lsp",), "pylsp")] = None
    """Program that serves the tools."""
    args: Annotated[tuple[str, ...], _PROCESS] = ()
    """Arguments of the program."""
    version: Annotated[str | None, _PROCESS] = None
    """Which version of the program."""
    env: Annotated[
        Mapping[str, str], Only(("mcp", "lsp", "shell", "script", "background_jobs"))
    ] = field(default_factory=dict)
    """Environment variables of the program."""
    working_dir: Annotated[str | None, NONEMPTY, _PROCESS] = None
    """Folder that the program runs in."""
    lifecycle: Annotated[Mapping[str, Any], _PROCESS] = field(default_factory=dict)
    """When the program is started again."""
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
    headers: Annotated[Mapping[str, str], Only((*_WEB.types, "fetch"))] = field(
        default_factory=dict
    )
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
    timeout: Annotated[int | None, Between(1), Only(("fetch", "api", "openapi"))] = None
    """Seconds that a request may take."""
    allowed_domains: Annotated[tuple[str, ...], _FETCH] = ()
    """Only these hosts. Unset: all."""
    blocked_domains: Annotated[tuple[str, ...], _FETCH] = ()
    """Not these hosts."""
    allow_private_ips: Annotated[bool, Only(("fetch", "api", "openapi", "a2a", "mcp"))] = False
    """Hosts of the local network, too."""
    sudo_askpass: Annotated[bool, _SHELL] = False
    """Ask the user for the password of sudo."""
    safer: Annotated[bool, _SHELL] = False
    """An old switch of docker-agent; without effect."""
    recall: Annotated[bool, Only(("background_jobs",))] = False
    """Tell the model when a job is done."""
    allowed_servers: Annotated[tuple[str, ...], _CATALOG] = ()
    """Only these servers of the catalogue. Unset: all."""
    blocked_servers: Annotated[tuple[str, ...], _CATALOG] = ()
    """Not these servers of the catalogue."""
    webhook_config: Annotated[
        Mapping[str, Any], _WEBHOOK, Needed(_WEBHOOK.types, "{url: https://example.org}")
    ] = field(default_factory=dict)
    """Where messages go."""
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
