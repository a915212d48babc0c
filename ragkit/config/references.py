"""Names that one part of the file uses and another defines: checked, and followed."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from difflib import get_close_matches
from functools import partial

from ragkit.config.agents import Agent
from ragkit.config.decoding import suggestion
from ragkit.config.file import File
from ragkit.config.marks import Problem
from ragkit.config.models import EMBEDDED, PROVIDERS, inline
from ragkit.config.rag import Source
from ragkit.config.toolsets import Toolset


@dataclass(frozen=True, slots=True)
class Declared:
    """The names in the file's tables, those of wrong entries included."""

    rag: tuple[str, ...]
    models: tuple[str, ...]
    providers: tuple[str, ...]
    agents: tuple[str, ...]
    toolsets: tuple[str, ...]
    mcps: tuple[str, ...]
    commands: tuple[str, ...]
    skills: tuple[str, ...]
    budgets: tuple[str, ...]


def check(file: File, declared: Declared) -> Iterator[Problem]:
    """Names that are used and not defined; keys are dotted from the top of the file."""
    for name, source in file.rag.items():
        yield from _in_source(source, f"rag.{name}", declared)
    for name, model in file.models.items():
        for index, reference in enumerate(model.first_available):
            key = f"models.{name}.first_available[{index}]"
            yield from _in_model(reference, key, declared)
            if reference in file.models and file.models[reference].first_available:
                yield Problem(key, f"{reference} is such a choice itself", "name its models here")
        for index, route in enumerate(model.routing):
            yield from _in_model(route.model, f"models.{name}.routing[{index}].model", declared)
    for name, toolset in file.toolsets.items():
        yield from _in_toolset(toolset, f"toolsets.{name}", declared)
    for name, agent in file.agents.items():
        yield from _in_agent(agent, f"agents.{name}", declared)


def _in_source(source: Source, key: str, declared: Declared) -> Iterator[Problem]:
    for index, strategy in enumerate(source.strategies):
        for field in ("embedding_model", "chat_model"):
            reference = getattr(strategy, field)
            if reference is not None:
                yield from _in_model(reference, f"{key}.strategies[{index}].{field}", declared)
    if source.results.reranking is not None:
        reference = source.results.reranking.model
        yield from _in_model(reference, f"{key}.results.reranking.model", declared)


def _in_toolset(toolset: Toolset, key: str, declared: Declared) -> Iterator[Problem]:
    if toolset.type == "rag" and toolset.ref is not None:
        yield from _in_names(toolset.ref, f"{key}.ref", "knowledge base", declared.rag)
    if toolset.type == "mcp" and toolset.ref is not None and ":" not in toolset.ref:
        yield from _in_names(toolset.ref, f"{key}.ref", "MCP server", declared.mcps)
    if toolset.rag_config is not None:
        yield from _in_source(toolset.rag_config, f"{key}.rag_config", declared)
    if toolset.model is not None:
        yield from _in_model(toolset.model, f"{key}.model", declared)
    for index, reference in enumerate(toolset.models):
        yield from _in_model(reference, f"{key}.models[{index}]", declared)


def _in_agent(agent: Agent, key: str, declared: Declared) -> Iterator[Problem]:
    for reference in agent.model.split(",") if agent.model else ():
        yield from _in_model(reference.strip(), f"{key}.model", declared)
    for index, reference in enumerate(agent.fallback.models if agent.fallback else ()):
        yield from _in_model(reference, f"{key}.fallback.models[{index}]", declared)
    for index, name in enumerate(agent.rag):
        yield from _in_names(name, f"{key}.rag[{index}]", "knowledge base", declared.rag)
    for index, name in enumerate(agent.use_toolsets):
        yield from _in_names(name, f"{key}.use_toolsets[{index}]", "toolset", declared.toolsets)
    for field, what, known in (
        ("use_commands", "group of commands", declared.commands),
        ("use_skills", "group of skills", declared.skills),
        ("budgets", "budget", declared.budgets),
    ):
        for index, name in enumerate(getattr(agent, field)):
            yield from _in_names(name, f"{key}.{field}[{index}]", what, known)
    for field in ("sub_agents", "handoffs"):
        for index, name in enumerate(getattr(agent, field)):
            if "/" not in name:  # an agent of a registry, or at an address
                yield from _in_names(name, f"{key}.{field}[{index}]", "agent", declared.agents)
    for index, toolset in enumerate(agent.toolsets):
        yield from _in_toolset(toolset, f"{key}.toolsets[{index}]", declared)


def _in_names(name: str, key: str, what: str, known: tuple[str, ...]) -> Iterator[Problem]:
    if name not in known:
        remedy = f"known: {', '.join(known)}" if known else f"the file defines no {what}"
        yield Problem(key, f"no {what} {name}", remedy)


def _in_model(reference: str, key: str, declared: Declared) -> Iterator[Problem]:
    if reference in declared.models or reference == "auto":
        return
    model = inline(reference)
    if model is None:
        known = ", ".join(declared.models) or "none"
        remedy = f"known in `models`: {known}; or write provider/model, such as embedded/static"
        yield Problem(key, f"no model {reference or '(empty)'}", remedy)
    elif model.provider == "embedded" and model.model not in EMBEDDED:
        yield Problem(key, f"no embedded model {model.model}", suggestion(model.model, EMBEDDED))
    elif model.provider not in (known_providers := (*PROVIDERS, *declared.providers)):
        near = get_close_matches(model.provider, known_providers, n=1, cutoff=0.75)
        if near:  # one that is like no other may be a provider of docker-agent's that is new
            remedy = f"did you mean {near[0]}/{model.model}?"
            yield Problem(key, f"unknown provider {model.provider}", remedy)


def gather(file: File) -> tuple[tuple[Source, ...], dict[str, tuple[str, ...]]]:
    """All knowledge bases, inline ones too, and for each agent the names of its own.

    An inline one is named by its toolset, or `rag`; a name that is taken gets `-2`, `-3`, …
    """
    sources = {
        name: replace(source, models=file.models, providers=file.providers)
        for name, source in file.rag.items()
    }
    place = partial(_place, file=file, sources=sources)
    shared = {name: place(toolset) for name, toolset in file.toolsets.items()}
    used = {}
    for agent in file.agents.values():
        names = [*agent.rag]
        names += [name for toolset in agent.toolsets if (name := place(toolset))]
        names += [name for key in agent.use_toolsets if (name := shared[key])]
        used[agent.name] = tuple(dict.fromkeys(names))
    return tuple(sources.values()), used


def _place(toolset: Toolset, *, file: File, sources: dict[str, Source]) -> str | None:
    """The name of the toolset's knowledge base; an inline one is added to `sources`."""
    if toolset.type != "rag":
        return None
    if toolset.rag_config is None:
        return toolset.ref
    wanted = toolset.name or "rag"
    name, number = wanted, 1
    while name in sources:
        number += 1
        name = f"{wanted}-{number}"
    tool = toolset.rag_config.tool
    if name != wanted and tool.name is None:  # the agent still knows it by the name it wrote
        tool = replace(tool, name=wanted)
    sources[name] = replace(
        toolset.rag_config, name=name, tool=tool, models=file.models, providers=file.providers
    )
    return name
