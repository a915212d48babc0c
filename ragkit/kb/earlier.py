"""Indexes of earlier settings: one answers until the new one is complete, and can be taken back.

What settings an index was made with is remembered in its database, so that it can be searched with
the models and weights that it was made for, whatever the configuration says by now.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from ragkit import stores
from ragkit.claims import claimed
from ragkit.config.models import Model, Provider
from ragkit.config.plain import plain, read
from ragkit.config.rag import Fusion, Source, StrategySettings
from ragkit.errors import RagkitError, StoreError
from ragkit.kb.parts import Blueprint, blueprints
from ragkit.kb.places import database_of
from ragkit.types import Index

if TYPE_CHECKING:
    from ragkit.kb.models import Hear
    from ragkit.stores.schema import StoredIndex


WAIT = 30.0
"""Seconds for which another process that indexes is waited for."""


@dataclass(frozen=True, slots=True)
class Settled:
    """Settings of a knowledge base, and its indexes that are made by them, open."""

    source: Source
    blueprints: Sequence[Blueprint]
    indexes: Sequence[Index]


def recipe_of(source: Source) -> str:
    """The settings of a knowledge base that decide how its indexes are made and searched."""
    models = {name: replace(model, auth=None) for name, model in source.models.items()}
    return json.dumps(
        {
            "strategies": plain(source.strategies),
            "fusion": plain(source.results.fusion),
            "models": plain(models),
            "providers": plain(source.providers),
        },
        sort_keys=True,
    )


def made_by(source: Source, recipe: str) -> Source | None:
    """The knowledge base as it was configured then; None where that cannot be told any more."""
    try:
        told: Any = json.loads(recipe)
        return replace(
            source,
            strategies=read(tuple[StrategySettings, ...], told["strategies"]),
            results=replace(source.results, fusion=read(Fusion, told["fusion"])),
            models={name: read(Model, model) for name, model in told["models"].items()},
            providers={name: read(Provider, one) for name, one in told["providers"].items()},
        )
    except (ValueError, KeyError, TypeError):
        return None


def rolled_back(source: Source) -> Source:
    """What is in force: the settings as they are, or earlier ones that were gone back to.

    That is so where the index that answers does so in the place of one of these settings.
    """
    databases = {database_of(source, strategy) for strategy in source.strategies}
    stored = {database: stores.indexes(database) for database in databases}
    instead = [
        (database, one)
        for database, indexes in stored.items()
        for one in indexes
        if one.complete and one.instead_of
    ]
    for blueprint in _blueprints(source) if instead else ():
        for database, one in instead:
            is_mine = (database, one.name) == (blueprint.database, blueprint.name)
            if is_mine and one.instead_of.partition("-")[0] == blueprint.settings_mark:
                return made_by(source, one.recipe) or source
    return source


def opened(
    source: Source, blueprints_now: Sequence[Blueprint], hear: Hear, opened: ExitStack
) -> Settled | None:
    """The indexes of a knowledge base that answer and are of earlier settings; None without any.

    They are read only, and closed with `opened`.
    """
    now = {(b.database, b.name, b.settings_mark) for b in blueprints_now}
    for database in dict.fromkeys(b.database for b in blueprints_now):
        for stored in stores.indexes(database):
            is_ours = stored.name == source.name or stored.name.startswith(f"{source.name}/")
            if not (is_ours and stored.complete and stored.recipe):
                continue
            if (database, stored.name, _mark(stored)) in now:
                continue
            then = made_by(source, stored.recipe)
            if then is not None and (found := _opened(then, hear, opened)):
                return found
    return None


def _opened(source: Source, hear: Hear, opened: ExitStack) -> Settled | None:
    try:
        made = _blueprints(source, hear)
    except RagkitError:
        return None  # a model of then is not in this version, say
    for blueprint in made:
        opened.callback(blueprint.let_go)
    indexes = []
    for blueprint in made:
        found = stores.indexes(blueprint.database)
        one = next((i for i in found if i.name == blueprint.name and i.complete), None)
        if one is None:
            return None
        index = blueprint.as_it_was(source, one.fingerprint, one.dimensions)
        opened.callback(index.store.close)
        indexes.append(index)
    return Settled(source, made, indexes) if indexes else None


def roll_back(source: Source) -> list[StoredIndex]:
    """Let the indexes of a knowledge base answer that did before, where settings have changed.

    Done twice, it is as before. Raises StoreError where none is kept, or where this version of
    ragkit would make another index of the same settings, and could not keep it true; StoreBusy
    while another process indexes. Nothing is changed then.
    """
    now = _blueprints(rolled_back(source))
    with claimed([*{blueprint.database for blueprint in now}], "index", wait=WAIT):
        kept = [b for b in now if _going_back(source, b)] or now[
            :1
        ]  # which says that there is none
        return [stores.roll_back(blueprint.database, blueprint.name) for blueprint in kept]


def _going_back(source: Source, blueprint: Blueprint) -> bool:
    """Whether an earlier index is kept. Raises StoreError for one that could not be kept true."""
    stored = [one for one in stores.indexes(blueprint.database) if one.name == blueprint.name]
    kept = next((one for one in stored if one.kept), None)
    if kept is None:
        return False
    then = made_by(source, kept.recipe)
    if _mark(kept) not in {b.settings_mark for b in (_blueprints(then) if then else ())}:
        raise StoreError(
            f"{blueprint.database}: the earlier index was made by another version of ragkit, which "
            "this one cannot keep true",
            remedy="go back to that version, or keep the index that there is",
        )
    return True


def _blueprints(source: Source, hear: Hear | None = None) -> list[Blueprint]:
    return blueprints(source, hear) if hear else blueprints(source)


def _mark(stored: StoredIndex) -> str:
    """What its settings were, without its models as they were."""
    return stored.fingerprint.partition("-")[0]
