"""The standard library of the running Python: a corpus that every machine with ragkit has."""

from __future__ import annotations

import ast
import random
import shutil
import sysconfig
import textwrap
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

SOURCE = Path(sysconfig.get_paths()["stdlib"])

UNQUERIED = {"test", "tests", "idlelib", "lib2to3", "turtledemo", "ensurepip", "site-packages"}
"""Folders whose functions are not asked for; tests below any folder are not either."""


@dataclass(frozen=True, slots=True)
class Function:
    """A documented function: its docstring is the query, its source without it the answer."""

    path: str
    """Relative to the standard library, POSIX."""
    name: str
    query: str
    """The docstring's first paragraph, in one line."""
    source: str
    """Decorators, signature and body, without the docstring, dedented."""
    first: int
    last: int
    """Its lines in the file, from 1, inclusive, decorators included."""
    docstring: tuple[int, int]
    """The docstring's lines."""


def copy(folder: Path, suffix: str = "") -> None:
    """Copy the standard library: all files that end in `suffix`, less site-packages and compiled
    ones."""
    elsewhere = shutil.ignore_patterns("site-packages", "dist-packages", "__pycache__")

    def ignored(parent: str, names: list[str]) -> set[str]:
        other = {n for n in names if not n.endswith(suffix) and Path(parent, n).is_file()}
        return elsewhere(parent, names) | other

    shutil.copytree(SOURCE, folder, ignore=ignored, symlinks=True)


def sample(count: int = 500, seed: int = 2) -> list[Function]:
    """Functions with distinct queries and distinct sources, drawn from all that qualify."""
    queries: set[str] = set()
    sources: set[str] = set()
    found = []
    for function in documented():
        if function.query in queries or function.source in sources:
            continue
        queries.add(function.query)
        sources.add(function.source)
        found.append(function)
    random.Random(seed).shuffle(found)
    return found[:count]


def documented() -> Iterator[Function]:
    """Functions of 120 to 6,000 characters whose docstring begins with 25 or more, in order."""
    for path in sorted(SOURCE.rglob("*.py")):
        folders = path.relative_to(SOURCE).parts
        if folders[0] in UNQUERIED or {"test", "tests"} & set(folders):
            continue
        try:
            text = path.read_text(encoding="utf-8")
            yield from documented_in(path.relative_to(SOURCE).as_posix(), text)
        except (UnicodeDecodeError, SyntaxError):
            continue


def documented_in(path: str, text: str) -> Iterator[Function]:
    """Those of one file. Raises SyntaxError."""
    lines = text.splitlines(keepends=True)
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            function = _function(path, lines, node)
            if function and len(function.query) >= 25 and 120 <= len(function.source) <= 6000:
                yield function


def undocument(folder: Path, functions: list[Function]) -> list[Function]:
    """Take the functions' docstrings out of a copy of the library; where the functions are then.

    A docstring that begins alike elsewhere would give its answer away too: it goes as well.
    """
    queries = {function.query for function in functions}
    removed: dict[str, set[int]] = {}
    for function in documented():
        if function.query in queries:
            first, last = function.docstring
            removed.setdefault(function.path, set()).update(range(first, last + 1))
    for path, gone in removed.items():
        file = folder / path
        lines = file.read_text(encoding="utf-8").splitlines(keepends=True)
        kept = [line for number, line in enumerate(lines, start=1) if number not in gone]
        file.write_text("".join(kept), encoding="utf-8")
    return [_moved(function, removed[function.path]) for function in functions]


def _function(
    path: str, lines: list[str], node: ast.FunctionDef | ast.AsyncFunctionDef
) -> Function | None:
    """The function as a query and its answer; None without docstring or without more than that."""
    documentation = ast.get_docstring(node)
    if not documentation or len(node.body) < 2:
        return None
    docstring, end = node.body[0], node.end_lineno or node.lineno
    last_of_docstring = docstring.end_lineno or docstring.lineno
    first = min([node.lineno, *(decorator.lineno for decorator in node.decorator_list)])
    code = lines[first - 1 : docstring.lineno - 1] + lines[last_of_docstring:end]
    return Function(
        path=path,
        name=node.name,
        query=documentation.strip().split("\n\n")[0].replace("\n", " ").strip()[:400],
        source=textwrap.dedent("".join(code)),
        first=first,
        last=end,
        docstring=(docstring.lineno, last_of_docstring),
    )


def _moved(function: Function, gone: set[int]) -> Function:
    """The function where it is once lines are gone."""

    def place(line: int) -> int:
        return line - sum(1 for number in gone if number <= line)

    return Function(
        path=function.path,
        name=function.name,
        query=function.query,
        source=function.source,
        first=place(function.first),
        last=place(function.last),
        docstring=(0, 0),
    )
