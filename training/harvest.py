"""Harvest (query, passage) pairs from the downloaded packages: one JSON Lines file an archive.

What stands for a query, and for the passage that answers it:

    docstring   first paragraph of a docstring            the function without its docstring
    detail      a later paragraph of prose in it          the same
    class       first paragraph of a class's docstring    the class without it
    module      first paragraph of a module's docstring   the module's beginning without it
    message     text of an exception or a log line        the function around it, the text taken out
    comment     a comment of some length                  the lines that it stands above
    jsdoc       description in a /** */ comment           the code below it
    section     heading path of a section                 its text
    sentence    a sentence of a section                   the section without it

Usage: python training/harvest.py
"""

from __future__ import annotations

import ast
import json
import random
import re
import sysconfig
import textwrap
import warnings
from collections import Counter
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

import archives
from places import ARCHIVES, NEVER, PAIRS

MOST_OF_A_KIND = 1500  # from one package, so that no package speaks for all
_SKIPPED_FOLDERS = frozenset(
    [
        "test",
        "tests",
        "testing",
        "_vendor",
        "vendor",
        "vendored",
        "extern",
        "externals",
        "node_modules",
        "dist-es",
        "locale",
        "locales",
        "i18n",
        "cjs",
        "esm5",
        "umd",
    ]
)
_LONGEST_QUERY = 400
_LONGEST_PASSAGE = 4000

Pair = tuple[str, str, str]  # kind, query, passage


def python_pairs(source: str) -> Iterator[Pair]:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            tree = ast.parse(source)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return
    lines = source.splitlines(keepends=True)
    if len(lines) < tree.body[-1].end_lineno if tree.body else True:
        return
    yield from _documented(tree, lines, "module")
    for node in ast.walk(tree):
        if isinstance(node, ast.ClassDef):
            yield from _documented(node, lines, "class")
        elif isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            yield from _documented(node, lines, "docstring")
            yield from _messages(node, lines)
    yield from _comments(lines)


def _documented(node: ast.AST, lines: list[str], kind: str) -> Iterator[Pair]:
    docstring = ast.get_docstring(node)
    if not docstring or len(node.body) < 2:
        return
    paragraphs = [_one_line(p) for p in docstring.strip().split("\n\n")]
    passage = _without(node, node.body[0], lines)
    if not len(passage) >= 100:
        return
    passage = passage[:_LONGEST_PASSAGE]
    if len(paragraphs[0]) >= 20 and not paragraphs[0].startswith((">>>", ":")):
        yield kind, paragraphs[0][:_LONGEST_QUERY], passage
    if kind == "docstring":
        for paragraph in paragraphs[1:3]:
            if _is_prose(paragraph):
                yield "detail", paragraph[:_LONGEST_QUERY], passage


def _without(node: ast.AST, taken_out: ast.AST, lines: list[str]) -> str:
    decorators = getattr(node, "decorator_list", [])
    start = (decorators[0].lineno if decorators else getattr(node, "lineno", 1)) - 1
    end = getattr(node, "end_lineno", len(lines))
    kept = lines[start : taken_out.lineno - 1] + lines[taken_out.end_lineno : end]
    return textwrap.dedent("".join(kept))


def _messages(node: ast.FunctionDef | ast.AsyncFunctionDef, lines: list[str]) -> Iterator[Pair]:
    passage = "".join(lines[node.lineno - 1 : node.end_lineno])
    if not 150 <= len(passage) <= _LONGEST_PASSAGE:
        return
    for inner in ast.walk(node):
        if not isinstance(inner, ast.Call) or not inner.args:
            continue
        called = inner.func.attr if isinstance(inner.func, ast.Attribute) else ""
        called = inner.func.id if isinstance(inner.func, ast.Name) else called
        if not re.search(r"(Error|Exception|Warning|warn|warning|error|info|debug)$", called):
            continue
        text = inner.args[0]
        if not isinstance(text, ast.Constant) or not isinstance(text.value, str):
            continue
        message = _one_line(re.sub(r"%\(?\w*\)?[sdrf]|\{[^}]*\}", " ", text.value))
        if len(message) >= 30 and message.count(" ") >= 4:
            quoted = "".join(lines[text.lineno - 1 : text.end_lineno])
            if quoted in passage:
                yield "message", message[:_LONGEST_QUERY], passage.replace(quoted, "\n")
                return


def _comments(lines: list[str]) -> Iterator[Pair]:
    i = 0
    while i < len(lines):
        start = i
        while i < len(lines) and lines[i].lstrip().startswith("# "):
            i += 1
        comment = _one_line(" ".join(line.lstrip()[2:].strip() for line in lines[start:i]))
        if i > start and start > 20 and _is_prose(comment):
            passage = textwrap.dedent("".join(lines[i : i + 14]))
            if len(passage) >= 200:
                yield "comment", comment[:_LONGEST_QUERY], passage[:1200]
        i = max(i, start + 1)


def javascript_pairs(source: str) -> Iterator[Pair]:
    if max(map(len, source.split("\n"))) > 1000:  # minified
        return
    for match in re.finditer(r"/\*\*((?:[^*]|\*(?!/)){20,2500})\*/[ \t]*\n", source):
        text = "\n".join(re.sub(r"^\s*\*? ?", "", line) for line in match[1].split("\n"))
        text = re.split(
            r"\n\s*@|\n\s*\n", re.sub(r"^\s*@(description|desc|summary)\s+", "", text.strip())
        )[0]
        query = _one_line(re.sub(r"\{@\w+\s+([^}]*)\}|</?\w+>", r" \1 ", text))
        if len(query) < 25 or query.startswith("@") or query.count(" ") < 3 or "opyright" in query:
            continue
        passage = _block(source, match.end())
        if len(passage) >= 100:
            yield "jsdoc", query[:_LONGEST_QUERY], passage[:_LONGEST_PASSAGE]


def _block(source: str, start: int) -> str:
    """From `start` to the end of the braces opened first, or to the next comment or 40 lines."""
    end = start
    depth, opened = 0, False
    for line in source[start : start + _LONGEST_PASSAGE].split("\n"):
        if line.lstrip().startswith("/**"):
            break
        end += len(line) + 1
        depth += line.count("{") - line.count("}")
        opened = opened or "{" in line
        if (opened and depth <= 0) or depth < 0:
            break
    return textwrap.dedent(source[start:end])


_UNDERLINED = re.compile(r"^([=\-~^\"'*+#])\1{3,}\s*$")


def sections(text: str) -> Iterator[tuple[str, str]]:
    """Heading path (the last two headings) and text of each section of Markdown or RST."""
    path: list[str] = []
    body: list[str] = []
    lines = text.split("\n")
    fenced = False
    i = 0
    while i <= len(lines):
        line = lines[i] if i < len(lines) else "# end"
        if line.lstrip().startswith(("```", "~~~")):
            fenced = not fenced
        match = re.match(r"(#{1,5})\s+(.+?)\s*#*$", line) if not fenced or i == len(lines) else None
        below = lines[i + 1] if i + 1 < len(lines) else ""
        underlined = (
            line.strip()
            and not line.startswith((" ", "="))
            and _UNDERLINED.match(below)
            and len(below.strip()) >= len(line.strip()) - 1
        )
        if match or underlined:
            if path:
                yield " ".join(path[-2:]), "\n".join(body).strip()
            body = []
            depth = len(match[1]) if match else {"=": 1, "-": 2}.get(below[0], 3)
            path = [*path[: depth - 1], _plain(match[2] if match else line)]
            i += 1 if match else 2
        else:
            body.append(line)
            i += 1


def prose_pairs(text: str) -> Iterator[Pair]:
    for heading, body in sections(text):
        if not 150 <= len(body) <= _LONGEST_PASSAGE:
            continue
        if len(heading) >= 12 and not re.search(r"\d+\.\d+", heading):
            yield "section", heading[:_LONGEST_QUERY], body
        sentences = [s for s in re.split(r"(?<=[.?!])\s+", body) if _is_prose(_one_line(s))]
        if len(sentences) >= 3:
            chosen = sentences[len(body) % len(sentences)]  # any one, and the same every time
            yield "sentence", _plain(chosen)[:_LONGEST_QUERY], body.replace(chosen, " ")


def _one_line(text: str) -> str:
    return " ".join(text.split())


def _plain(text: str) -> str:
    return _one_line(re.sub(r"[`*]|\(https?:[^)]*\)|:\w+:|<[^>]*>", " ", text))


def _is_prose(text: str) -> bool:
    if not len(text) >= 40 or text.startswith((">>>", ":", "-", "*", "..", "|", "Args", "Param")):
        return False
    letters = sum(c.isalpha() or c == " " for c in text)
    return letters > 0.85 * len(text) and text.count(" ") >= 6 and "----" not in text


def _shingles(text: str) -> set[int]:
    lines = [line.strip() for line in text.split("\n") if len(line.strip()) > 8]
    return {hash(tuple(lines[i : i + 3])) for i in range(max(1, len(lines) - 2))}


def _docstrings(source: str) -> Iterator[str]:
    for match in re.finditer(r'"""(.+?)"""', source, re.DOTALL):
        yield match[1]


class StandardLibrary:
    """Knows the standard library's texts, so that no pair of it or of a copy is trained on."""

    def __init__(self) -> None:
        self.docstrings: set[str] = set()
        self.shingles: set[int] = set()
        for path in sorted(Path(sysconfig.get_paths()["stdlib"]).rglob("*.py")):
            if "site-packages" in path.parts:
                continue
            source = path.read_text("utf-8", "replace")
            self.shingles |= _shingles(source)
            self.docstrings |= {
                _one_line(d.strip().split("\n\n")[0])[:_LONGEST_QUERY].lower()
                for d in _docstrings(source)
            }

    def has(self, query: str, passage: str) -> bool:
        shingles = _shingles(passage)
        return query.lower() in self.docstrings or len(shingles & self.shingles) > 0.3 * len(
            shingles
        )


def pairs_of(path: PurePosixPath, text: str) -> Iterator[Pair]:
    if _SKIPPED_FOLDERS & set(path.parts) or re.match(r"test_|conftest|.*\.min\.", path.name):
        return
    if re.search(
        r"(?i)licen[cs]e|changelog|changes|history|news|authors|security|conduct", path.name
    ):
        return
    if path.suffix == ".py":
        yield from python_pairs(text)
    elif path.suffix in (".md", ".rst"):
        yield from prose_pairs(text)
    else:
        yield from javascript_pairs(text)


def harvest(package: archives.Package, standard: StandardLibrary) -> list[dict[str, str]]:
    found: list[Pair] = []
    seen: set[str] = set()
    for path, text in archives.texts(package.archive):
        for kind, query, passage in pairs_of(path, text):
            key = query.lower()[:80] + passage[:300]
            if key not in seen:
                seen.add(key)
                found.append((kind, query, passage))
    random.Random(package.name).shuffle(found)
    counts: Counter[str] = Counter()
    kept = []
    for kind, query, passage in found:
        if counts[kind] < MOST_OF_A_KIND and not standard.has(query, passage):
            counts[kind] += 1
            kept.append({"kind": kind, "query": query, "passage": passage})
    return kept


def main() -> None:
    PAIRS.mkdir(parents=True, exist_ok=True)
    standard = StandardLibrary()
    for archive in sorted(
        p for p in ARCHIVES.glob("*/*") if p.suffix in (".whl", ".gz", ".tgz", ".zip")
    ):
        target = PAIRS / (archive.name + ".jsonl")
        if target.exists():
            continue
        package = archives.package(archive)
        about = {"package": package.name, "version": package.version, "licence": package.licence}
        usable = package.permissive and package.name not in NEVER
        rows = harvest(package, standard) if usable else []
        text = "".join(json.dumps(row) + "\n" for row in [about, *rows])
        target.write_text(text, "utf-8")
        print(f"{package.name} {package.version} ({package.licence}): {len(rows)}", flush=True)


if __name__ == "__main__":
    main()
