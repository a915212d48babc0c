"""The `hooks:` of an agent: what runs when something happens."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated, Literal

from ragkit.config.marks import NONEMPTY, Between, Needed


@dataclass(frozen=True, slots=True)
class Hook:
    """Something that runs when something happens."""

    type: Literal["command", "builtin", "model"]
    """A command line, something built into docker-agent, or a model that is asked."""
    command: Annotated[str | None, NONEMPTY, Needed(("command", "builtin"), "echo done")] = None
    """The command line, or the name of what is built in."""
    name: str = ""
    """Its name in logs."""
    args: tuple[str, ...] = ()
    """Its arguments."""
    timeout: Annotated[int, Between(1)] = 60
    """Seconds that it may take."""
    env: Mapping[str, str] = field(default_factory=dict)
    """Environment variables of the command."""
    working_dir: str | None = None
    """Folder that the command runs in."""
    on_error: Literal["warn", "ignore", "block"] = "warn"
    """What happens when it fails."""
    model: Annotated[str | None, NONEMPTY, Needed(("model",), "auto")] = None
    """The model that is asked."""
    prompt: Annotated[str | None, NONEMPTY, Needed(("model",), "Is that safe?")] = None
    """What it is asked."""
    schema: str = ""
    """How its answer is read."""


@dataclass(frozen=True, slots=True)
class HookMatcher:
    """Hooks of some tools."""

    hooks: Annotated[tuple[Hook, ...], NONEMPTY]
    """What runs."""
    matcher: str = "*"
    """Names of the tools, as a regular expression; `*`: all."""
    preempt_yolo: bool = False
    """Run even where nothing is asked before tools are called."""


@dataclass(frozen=True, slots=True)
class Hooks:
    """What runs when something happens."""

    pre_tool_use: tuple[HookMatcher, ...] = ()
    """Before a tool is called."""
    post_tool_use: tuple[HookMatcher, ...] = ()
    """After a tool was called."""
    permission_request: tuple[HookMatcher, ...] = ()
    """Before the user is asked whether a tool may run."""
    tool_response_transform: tuple[HookMatcher, ...] = ()
    """Before a tool's result is used: it may be changed."""
    session_start: tuple[Hook, ...] = ()
    """When a session begins."""
    session_end: tuple[Hook, ...] = ()
    """When a session ends."""
    user_prompt_submit: tuple[Hook, ...] = ()
    """When the user has said something."""
    user_steering_messages_submit: tuple[Hook, ...] = ()
    """When the user has said something meanwhile."""
    user_followup_submit: tuple[Hook, ...] = ()
    """When a message that waited is taken up."""
    turn_start: tuple[Hook, ...] = ()
    """Before a turn."""
    turn_end: tuple[Hook, ...] = ()
    """After a turn."""
    before_llm_call: tuple[Hook, ...] = ()
    """Before the model is asked."""
    after_llm_call: tuple[Hook, ...] = ()
    """After the model has answered."""
    pre_compact: tuple[Hook, ...] = ()
    """Before the conversation is summed up."""
    before_compaction: tuple[Hook, ...] = ()
    """Before the conversation is summed up: it may be forbidden."""
    after_compaction: tuple[Hook, ...] = ()
    """After the conversation was summed up."""
    subagent_stop: tuple[Hook, ...] = ()
    """When another agent has done its task."""
    on_user_input: tuple[Hook, ...] = ()
    """When the user is asked."""
    stop: tuple[Hook, ...] = ()
    """When an answer is complete."""
    notification: tuple[Hook, ...] = ()
    """When the user is told something."""
    on_error: tuple[Hook, ...] = ()
    """When a turn fails."""
    on_max_iterations: tuple[Hook, ...] = ()
    """When the most rounds are reached."""
    on_agent_switch: tuple[Hook, ...] = ()
    """When another agent takes over."""
    on_session_resume: tuple[Hook, ...] = ()
    """When the user lets it go on."""
    on_tool_approval_decision: tuple[Hook, ...] = ()
    """When it is decided whether a tool may run."""
    worktree_create: tuple[Hook, ...] = ()
    """When a working tree was made for the session."""
