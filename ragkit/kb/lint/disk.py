"""What a knowledge base names on the disk: documents that are not there, odd databases."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from ragkit import files
from ragkit.config.marks import Problem
from ragkit.config.rag import Source
from ragkit.errors import ConfigError
from ragkit.kb.places import database_of
from ragkit.types import File, Skip


def missing(source: Source) -> Iterator[Problem]:
    """Entries of `docs` that stand for no file: nothing by that name, or nothing to index in it."""
    entries = [(f"docs[{i}]", entry, source.respect_vcs) for i, entry in enumerate(source.docs)]
    for n, settings in enumerate(source.strategies):
        respects = source.respect_vcs if settings.respect_vcs is None else settings.respect_vcs
        entries += [
            (f"strategies[{n}].docs[{i}]", entry, respects) for i, entry in enumerate(settings.docs)
        ]
    for key, entry, respects in entries:
        skips = []
        for item in files.find(Path(source.root), (entry,), respect_vcs=respects):
            if isinstance(item, File):
                break
            skips.append(item)
        else:
            yield _nothing(key, entry, skips)


def _nothing(key: str, entry: str, skips: Sequence[Skip]) -> Problem:
    if not skips:
        return Problem(key, f"{entry}: the folder is empty", "name files, folders or globs")
    if all(skip.rule == "missing" for skip in skips):
        is_glob = any(sign in entry for sign in "*?[")
        text = "matches no file" if is_glob else "there is no such file or folder"
        return Problem(key, f"{entry}: {text}", "paths are relative to this file's folder")
    first = skips[0]
    detail = f", {first.detail}" if first.detail else ""
    return Problem(
        key,
        f"{entry}: all that is there is left out: {first.path} ({first.rule}{detail})",
        "`ragkit index --dry-run` lists what stays out, and why",
    )


def foreign_databases(source: Source) -> Iterator[Problem]:
    """Databases that are no file."""
    for index, settings in enumerate(source.strategies):
        try:
            database_of(source, settings)
        except ConfigError as error:
            yield Problem(f"strategies[{index}].database", error.message, error.remedy)


def watched_databases(source: Source) -> Iterator[tuple[str, str]]:
    """(key, words) of databases that lie among the documents."""
    for index, settings in enumerate(source.strategies):
        if settings.database is None or "://" in settings.database:
            continue
        place = database_of(source, settings).resolve()
        for entry in (*source.docs, *settings.docs) or (".",):
            folder = Path(source.root, Path(entry).expanduser()).resolve()
            if folder in place.parents:
                yield (
                    f"strategies[{index}].database",
                    f"it lies in {entry}, which is indexed; it and the files beside it stay out",
                )
                break


def shared_databases(sources: Sequence[Source]) -> Iterator[tuple[Source, str, str]]:
    """(source, key, words) of databases that an earlier source uses too."""
    owners: dict[Path, Source] = {}
    for source in sources:
        for index, settings in enumerate(source.strategies):
            if settings.database is None or "://" in settings.database:
                continue
            first = owners.setdefault(database_of(source, settings).resolve(), source)
            if first is not source:
                words = f"{first.name} keeps its index there too; each leaves the other's alone"
                yield source, f"strategies[{index}].database", words
