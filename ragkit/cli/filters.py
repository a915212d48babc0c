"""The options that say which files a search looks at."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from functools import wraps
from typing import TYPE_CHECKING, Any, Literal

import click

from ragkit.errors import QueryError

if TYPE_CHECKING:
    from ragkit.types import Filter

NAMES = {
    "paths": "--path",
    "languages": "--lang",
    "types": "--type",
    "modified_after": "--newer-than",
}
"""The option of each field of a `Filter`."""


@dataclass(frozen=True, slots=True)
class Asked:
    """What the options say."""

    globs: tuple[str, ...]
    languages: tuple[str, ...]
    kind: Literal["code", "docs"] | None
    newer_than: str | None

    def filter(self, root: str) -> Filter:
        """The filter that is meant in a knowledge base of this root.

        Raises UsageError for a bad glob, an unknown language or time.
        """
        from ragkit.types import ANYTHING

        if not (self.globs or self.languages or self.kind or self.newer_than is not None):
            return ANYTHING
        from ragkit.kb.filtering import filter_of

        try:
            return filter_of(
                paths=[from_root(glob, root) for glob in self.globs],
                languages=[one for names in self.languages for one in names.split(",")],
                type=self.kind,
                newer_than=self.newer_than,
            )
        except QueryError as error:
            raise click.UsageError(f"{error.message}: {error.remedy}") from error


def filters(command: Callable[..., Any]) -> Callable[..., Any]:
    """--path, --lang, --type and --newer-than, which the command gets as `asked`, an `Asked`."""

    @wraps(command)
    def collected(
        *args: Any,
        globs: tuple[str, ...],
        languages: tuple[str, ...],
        kind: Literal["code", "docs"] | None,
        newer_than: str | None,
        **options: Any,
    ) -> Any:
        return command(*args, asked=Asked(globs, languages, kind, newer_than), **options)

    for decorate in (
        click.option(
            "--newer-than",
            metavar="WHEN",
            help="Files changed within 7d (30m, 12h, 2w) or since 2026-01-31.",
        ),
        click.option(
            "--type",
            "kind",
            type=click.Choice(["code", "docs"]),
            help="docs: Markdown, reST, AsciiDoc, HTML, plain text. code: all else.",
        ),
        click.option(
            "--lang",
            "languages",
            multiple=True,
            metavar="NAME",
            help="Files in this language: python, py, go, c++, text, …; repeatable.",
        ),
        click.option(
            "--path",
            "globs",
            multiple=True,
            metavar="GLOB",
            help="Files and folders, as in a .gitignore: 'src/**/*.py', '*.md', docs; '!tests' "
            "leaves out; repeatable.",
        ),
    ):
        collected = decorate(collected)
    return collected


def from_root(glob: str, root: str) -> str:
    """The glob from the top of the knowledge base.

    `./x`, `../x` and absolute paths inside the root are meant from here; all else from the root.
    """
    if os.sep != "/":
        glob = glob.replace(os.sep, "/")
    mark, glob = ("!", glob[1:]) if glob.startswith("!") else ("", glob)
    inside = os.path.isabs(glob) and f"{glob}/".startswith(f"{root.replace(os.sep, '/')}/")
    if not (inside or glob in (".", "..") or glob.startswith(("./", "../"))):
        return mark + glob
    folder = "/" if glob.endswith("/") else ""
    path = os.path.relpath(os.path.abspath(glob), root).replace(os.sep, "/")
    return mark + ("/" if path == "." else f"/{path}{folder}")
