"""An embedding model against what is configured of it, and against the indexes that it has made."""

from __future__ import annotations

from collections.abc import Iterator

from ragkit import stores
from ragkit.errors import RagkitError
from ragkit.kb.doctor import probes
from ragkit.kb.doctor.finding import Finding
from ragkit.kb.doctor.uses import Use
from ragkit.kb.parts import filled_in
from ragkit.kb.places import database_of
from ragkit.models.profiles import profile_of


def embedding(
    use: Use, target: probes.Target, path: str, *, own_limit: int | None, remedy: str
) -> Iterator[Finding]:
    """Its vectors, its dimensions, its limit, and whether its indexes have what it gives.

    `own_limit`: tokens that the model takes, if they are known; `remedy` raises the server's limit.
    """
    wanted = {s.vector_dimensions for _, s in use.strategies if s.vector_dimensions}
    dimensions = None
    for found in probes.embedding(target, path, profile_of(use.model.model), wanted=wanted):
        yield found
        if found.state == "failure" and found.check == "model.embedding":
            return
        if found.check == "model.embedding":
            dimensions = found.data["dimensions"]
    largest = max((filled_in(s.chunking).size for _, s in use.strategies), default=None)
    yield probes.long_input(target, path, chunk=largest, own_limit=own_limit, remedy=remedy)
    if isinstance(dimensions, int):
        yield from _indexes(use, dimensions)


def _indexes(use: Use, dimensions: int) -> Iterator[Finding]:
    """Each index that is there already, and whether the length of its vectors is still the same."""
    for source, settings in use.strategies:
        given = settings.vector_dimensions or dimensions
        names = (source.name, f"{source.name}/{settings.name}")
        try:
            database = database_of(source, settings)
            indexes = [one for one in stores.indexes(database) if one.name in names]
        except RagkitError as error:
            yield Finding("model.index", use.name, "failure", error.message, error.remedy)
            continue
        if not (complete := [one for one in indexes if one.complete]):
            words = f"{source.name}: not indexed yet"
            yield Finding("model.index", use.name, "skipped", words)
            continue
        has = complete[-1].dimensions
        data = {"index": complete[-1].name, "dimensions": has, "database": str(database)}
        if has in (None, given):
            words = f"{source.name}: its index has vectors of {has} dimensions"
            yield Finding("model.index", use.name, "ok", words, data=data)
        else:
            words = f"{source.name}: its index has vectors of {has} dimensions, the model {given}"
            remedy = "ragkit index builds a new one"
            yield Finding("model.index", use.name, "warning", words, remedy, data=data)
