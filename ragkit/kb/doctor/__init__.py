"""Whether models are reachable, there and whole: findings, each with what helps.

Nothing is pulled and no index is written. Embedding models and rerankers of the configuration are
configured and loaded as indexing and searching would do it, and get a few sentences of our own.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from ragkit.kb.doctor.built_in import embedded
from ragkit.kb.doctor.finding import Finding, State
from ragkit.kb.doctor.uses import Use, uses

if TYPE_CHECKING:
    from ragkit.config import Configuration
    from ragkit.models.dmr.runner import Runner

__all__ = ["Finding", "State", "Use", "embedded", "examine", "uses"]


def examine(
    configuration: Configuration | None, *, host: str | None = None, chat: bool = False
) -> Iterator[Finding]:
    """Look at everything that the configuration's models need; without one, at what is there.

    `host`: where the model runner is, whatever the configuration says. With `chat`, chat models are
    asked for a short answer. Findings come as they are made: some take a while.
    """
    found = [] if configuration is None else uses(configuration)
    here = [use for use in found if use.model.provider == "dmr"]
    yield from _of_runners(here, host, chat, needed=configuration is None or bool(here))
    for use in found:
        if use.model.provider not in ("dmr", "embedded", "auto"):
            from ragkit.kb.doctor.endpoint import examine as examined

            yield from examined(use, chat=chat)
        elif use.model.provider == "auto" and use.task == "completion":
            words = "auto: which model that is, is chosen when an agent runs"
            yield Finding("model.chat", use.name, "skipped", words)
    names = {use.name for use in found}
    yield from embedded({"embedded/static" if name == "auto" else name for name in names})


def _of_runners(
    uses: Sequence[Use], host: str | None, chat: bool, *, needed: bool
) -> Iterator[Finding]:
    """Each runner that is used, the models below it; the usual one even if nothing uses it."""
    from ragkit.kb.doctor import runner

    urls = dict.fromkeys(host or use.model.base_url for use in uses) or {host: None}
    for url in urls:
        there = yield from runner.examine(url, needed=needed or host is not None)
        try:
            for use in uses:
                if (host or use.model.base_url) == url:
                    yield from _of_model(use, there, chat)
        finally:
            if there is not None:
                there.client.close()


def _of_model(use: Use, there: Runner | None, chat: bool) -> Iterator[Finding]:
    if there is None:
        words = f"for {use.task}: not looked at, as no model runner answers"
        yield Finding("model", use.name, "skipped", words)
        return
    from ragkit.kb.doctor import local

    yield from local.examine(use, there, chat=chat)
