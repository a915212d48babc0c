"""What becomes of each option of a configuration, and which are traps.

Reads the file and looks at the disk; loads no model and asks no server.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Final

from ragkit.config.loading import InvalidConfig, load
from ragkit.errors import ConfigError
from ragkit.kb.lint import differences, disk, models
from ragkit.kb.lint.finding import Finding, State
from ragkit.kb.lint.traps import traps

if TYPE_CHECKING:
    from ragkit.config import Configuration
    from ragkit.config.rag import Source

__all__ = ["Finding", "State", "examine"]

COMPAT: Final = "docs/compat.md"
_AGENTS: Final = "is checked; this version runs no agents"
_ABOUT: Final = (
    *("permissions", "metadata", "commands", "skills"),
    *("runtime", "budget", "budgets", "flavors"),
)


def examine(path: Path) -> list[Finding]:
    """Everything there is to say about a file, in the order of its lines.

    Mistakes come as findings too; what cannot be read, or is no YAML, raises ConfigError.
    """
    try:
        configuration = load(path)
    except InvalidConfig as error:
        return [_mistake(found) for found in error.problems]
    return sorted(_Lint(configuration).findings(), key=lambda found: found.line)


def _mistake(found: object) -> Finding:
    from ragkit.config.decoding import Finding as Decoded

    assert isinstance(found, Decoded)
    text = found.text
    if found.key.endswith("reranking.threshold"):
        text += "; the scores of a model that gives logits are made 0 to 1, too"
    return Finding("mend", found.file, found.line, found.key, text, found.remedy)


class _Lint:
    """One file that loads."""

    def __init__(self, configuration: Configuration) -> None:
        self.configuration = configuration

    def findings(self) -> Iterator[Finding]:
        for found in self.configuration.warnings:
            yield self.finding("differs", found.key, found.text, found.remedy, "names")
        for source in self.configuration.sources:
            yield from self.of_source(source)
        for name, words in self.attached():
            yield self.finding("mend", f"rag.{name}", words, f"add `rag: [{name}]` to an agent")
        for source, key, words in disk.shared_databases(self.configuration.sources):
            yield self.finding("differs", f"{source.key}.{key}", words, chapter="files")
        yield from self.of_models()
        yield from self.of_the_rest()

    def finding(
        self, state: State, key: str, text: str, remedy: str = "", chapter: str = ""
    ) -> Finding:
        file, _, line = self.configuration.where(key).rpartition(":")
        see = f"{COMPAT}#{chapter}" if chapter else ""
        return Finding(state, file, int(line), key, text, remedy, see)

    def of_source(self, source: Source) -> Iterator[Finding]:
        places = list(self.written(source.key))
        for find in (traps, disk.missing, disk.foreign_databases):
            for found in find(source):
                if found.key.endswith(".limit") and found.key not in places:
                    continue  # nobody meant the default
                key = f"{source.key}.{found.key}"
                yield self.finding("mend", key, found.text, found.remedy)
        for key, words in disk.watched_databases(source):
            yield self.finding("differs", f"{source.key}.{key}", words, chapter="files")
        yield from self.not_built(source)
        for place in places:
            row = differences.row_of(source, place)
            if row:
                key = f"{source.key}.{place}"
                yield self.finding(row.state, key, row.text, chapter=row.chapter)
            else:
                yield self.finding("honoured", f"{source.key}.{place}", "")
        for index, settings in enumerate(source.strategies):
            said = list(differences.unwritten(settings))
            key = f"strategies[{index}]"
            if f"{key}.limit" not in places and source.results.limit > settings.limit:
                said.append(("as many candidates as results.limit (docker-agent: 5)", "candidates"))
            yield from self.silence(f"{source.key}.{key}", said)
        yield from self.silence(source.key, list(differences.unwritten_results(source)))

    def silence(self, key: str, said: list[tuple[str, str]]) -> Iterator[Finding]:
        """One finding of all that is not written."""
        if said:
            words = "; ".join(words for words, _ in said)
            yield self.finding("differs", key, f"where nothing is written: {words}", "", said[0][1])

    def not_built(self, source: Source) -> Iterator[Finding]:
        from ragkit.kb.parts import not_built

        try:
            for _, what in not_built(source):
                remedy = "take it out, or wait for the version that has it"
                yield self.finding("mend", source.key, what, remedy)
        except ConfigError as error:
            yield self.finding("mend", source.key, error.message, error.remedy)

    def attached(self) -> Iterator[tuple[str, str]]:
        """(name, words) of knowledge bases that no agent has, though there are agents."""
        used = {name for names in self.configuration.attached.values() for name in names}
        for source in self.configuration.sources:
            if self.configuration.agents and source.name not in used:
                yield source.name, "no agent has this knowledge base"

    def of_models(self) -> Iterator[Finding]:
        tasks = models.tasks_of(self.configuration)
        others = models.by_agents(self.configuration)
        for name, model in self.configuration.models.items():
            key = f"models.{name}"
            for words in models.rewritten(model):
                yield self.finding("differs", f"{key}.provider_opts", words, chapter="models")
            if not tasks[name]:
                words = _AGENTS if name in others else "nothing uses this model"
                yield self.finding("ignored", key, words, chapter="agents")
                continue
            for place in self.written(key):
                state, words, chapter = models.told(model, place, tasks[name])
                yield self.finding(state, f"{key}.{place}", words, chapter=chapter)
        for name in self.configuration.providers:
            yield self.finding("honoured", f"providers.{name}", "")

    def of_the_rest(self) -> Iterator[Finding]:
        """One finding for each agent, server, …; what attaches a knowledge base is honoured."""
        config = self.configuration
        if "version" in config.lines:
            yield self.finding("honoured", "version", "")
        for key in (*_ABOUT, *(f"mcps.{name}" for name in config.mcps)):
            if key in config.lines:
                yield self.finding("ignored", key, _AGENTS, chapter="agents")
        for name, agent in config.agents.items():
            key = f"agents.{name}"
            yield self.finding("ignored", key, _AGENTS, chapter="agents")
            for index in range(len(agent.rag)):
                yield self.finding("honoured", f"{key}.rag[{index}]", "")
            for index, toolset in enumerate(agent.toolsets):
                if toolset.type == "rag":
                    yield self.finding("honoured", f"{key}.toolsets[{index}]", "")
        for name, toolset in config.toolsets.items():
            state: State = "honoured" if toolset.type == "rag" else "ignored"
            words = "" if state == "honoured" else _AGENTS
            yield self.finding(state, f"toolsets.{name}", words)

    def written(self, key: str) -> Iterator[str]:
        """Places below a key that have a value of their own, without those of other names."""
        lines = self.configuration.lines
        old = {found.key for found in self.configuration.warnings}
        # a key that was written by another name has a line by both
        new = {
            f"{found.key.rpartition('.')[0]}.{found.text.removeprefix('is read as ')}"
            for found in self.configuration.warnings
        }
        new |= {f"{name.removesuffix('.name')}.tool_name" for name in old}
        inner = {
            name[: max(name.rfind("."), name.rfind("["))]
            for name in lines
            if name.startswith((f"{key}.", f"{key}["))
        }
        for name in lines:
            if name.startswith(f"{key}.") and name not in inner | old | new:
                yield name.removeprefix(f"{key}.")
