"""Where headings and blocks begin, by markup language.

Nothing else matters to a chunker, so lines are scanned, not parsed. Each scanner takes a text and
gives its lines that begin something, in order.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from typing import NamedTuple


class Line(NamedTuple):
    """A line that begins something."""

    start: int
    """Character offset."""
    level: int = 0
    """Of a heading, from 1; 0 for a block."""
    title: str = ""
    """Of a heading; one without a title ends what is under the last one of its level."""
    glued: bool = False
    """It belongs with the line before it."""


_LONGEST = 1_000
"""Characters of a line that are looked at: no expression below needs long on so few."""

_FENCE = re.compile(r"[ \t]*(`{3,}(?!.*`)|~{3,})")
_ATX = re.compile(r" {0,3}(#{1,6})(?:[ \t]+(.*?))??(?:[ \t]+#+)?[ \t]*$")
_SETEXT = re.compile(r" {0,3}(=+|-+)[ \t]*$")
_NOT_A_TITLE = re.compile(r"[ \t]*(?:[-*+>|<]|\d+[.)]|$)|    |\t")
_FRONT_MATTER = re.compile(
    r"(---|\+\+\+)[ \t]*\n(?s:.*?)^(?:\1|\.\.\.)[ \t]*(?:\n|\Z)", re.MULTILINE
)


def markdown(text: str) -> Iterator[Line]:
    """Headings (ATX and Setext) and blocks; front matter and fences have none inside."""
    front_matter = _FRONT_MATTER.match(text)
    fence = ""
    blank = True
    titled = -1  # start of the line before, where it may be the title of a Setext heading
    for start, line in _lines(text, front_matter.end() if front_matter else 0):
        if fence:
            if line.strip().startswith(fence) and not line.strip().strip(fence[0]):
                fence = ""
            blank = not fence
            continue
        opened = _FENCE.match(line)
        heading = None if opened else _ATX.match(line)
        underline = _SETEXT.match(line) if titled >= 0 else None
        if opened:
            fence = opened[1]
            yield Line(start, glued=not blank)
        elif heading:
            yield Line(start, len(heading[1]), _plain(heading[2] or ""))
        elif underline:
            yield Line(titled, 1 if underline[1][0] == "=" else 2, _plain(text[titled:start]))
        elif blank and line.strip():
            yield Line(start, glued=line[0] in " \t")
        titled = -1 if opened or heading or underline or _NOT_A_TITLE.match(line) else start
        blank = not line.strip() or bool(heading or underline)


_RULER = re.compile(r"([!-/:-@\[-`{-~])\1{2,}[ \t]*$")
_TARGET = re.compile(r"\.\. (?:_|index::|module::|currentmodule::)")
_OBJECT = re.compile(
    r"( *)\.\. (?:\w+:)?(?:class|exception|function|method|attribute|data|decorator|option"
    r"|classmethod|staticmethod|property|type|macro|member|describe|confval|envvar)::[ ]+(.*)"
)
_OBJECT_LEVEL = 20  # under every section, and deeper by its indentation


def rst(text: str) -> Iterator[Line]:
    """Sections, in the order in which their underlines appear, described objects, and blocks."""
    lines = list(_lines(text))
    styles: list[str] = []
    objects: list[int] = []  # indentations of the described objects around this line
    target = -1  # start of the labels before a heading
    blank, i = True, 0
    while i < len(lines):
        start, line = lines[i]
        section = _section(lines, i) if blank and line and line[0] != " " else None
        bare = line.lstrip(" ")
        if section:
            style, title, height = section
            if style not in styles:
                styles.append(style)
            yield Line(start if target < 0 else target, styles.index(style) + 1, _plain(title))
            objects, target, blank = [], -1, True
            i += height
            continue
        if bare and target >= 0 and not _TARGET.match(line):
            yield Line(target)
            target = -1
        if bare and blank:
            indent = len(line) - len(bare)
            ended = [known for known in objects if known >= indent]
            objects = [known for known in objects if known < indent]
            if described := _OBJECT.match(line):
                objects.append(indent)
                yield Line(start, _OBJECT_LEVEL + indent, described[2].partition("(")[0].strip())
            elif ended:
                yield Line(start, _OBJECT_LEVEL + ended[0])
            elif _TARGET.match(line):
                target = start if target < 0 else target
            else:
                yield Line(start, glued=indent > 0)
        blank = not bare
        i += 1
    if target >= 0:
        yield Line(target)


def _section(lines: list[tuple[int, str]], i: int) -> tuple[str, str, int] | None:
    """The heading that begins at this line: its style, title and height in lines."""
    following = [line for _, line in lines[i : i + 3]] + ["", ""]
    over, title, under = following[:3]
    ruler = _RULER.match(over)
    if ruler:
        if title.strip() and _RULER.match(under) and under[0] == over[0]:
            return over[0] * 2, title, 3
        return None
    if _RULER.match(title) and len(title.rstrip()) >= min(len(over.rstrip()), 4):
        return title[0], over, 2
    return None


_DELIMITER = re.compile(r"(-{4,}|\.{4,}|={4,}|\*{4,}|\+{4,}|_{4,}|/{4,}|`{3,}|\|={3,})[ \t]*$")
_ASCIIDOC = re.compile(r"(={1,6}|#{1,6})[ \t]+(\S.*)$")


def asciidoc(text: str) -> Iterator[Line]:
    """Sections and blocks; delimited blocks have none inside."""
    inside = ""
    blank = True
    for start, line in _lines(text):
        delimiter = _DELIMITER.match(line) or (inside == "" and re.match(r"(```)", line))
        heading = None if inside or delimiter else _ASCIIDOC.match(line)
        if delimiter:
            if not inside:
                inside = delimiter[1]
                if blank:
                    yield Line(start)
            elif inside == delimiter[1]:
                inside = ""
        elif heading:
            yield Line(start, len(heading[1]), _plain(heading[2]))
        elif blank and not inside and line.strip():
            yield Line(start, glued=line[0] in " +")
        blank = not inside and (not line.strip() or bool(heading))


_KEY = re.compile(
    r"( *)((?:- +)*)(\"[^\"]*\"|'[^']*'|[^\s#\-\"'][^#]*?|-[^\s#][^#]*?):(?:[ \t]+(.*))?$"
)
_SCALAR = re.compile(r".*(?::|- |^)[ \t]*[|>][-+\d]*[ \t]*(?:#.*)?$")


def yaml(text: str) -> Iterator[Line]:
    """Keys whose value is a block, as headings by their indentation; other entries are blocks.

    Not by a grammar: the one at hand kills the process on a few hundred levels.
    """
    literal = -1  # indentation of the key whose text these lines are
    after_comment = False
    for start, line in _lines(text):
        bare = line.lstrip(" ")
        indent = len(line) - len(bare)
        if not bare or (literal >= 0 and indent > literal):
            continue
        literal = indent if _SCALAR.match(line) else -1
        key = _KEY.match(line)
        if key and not (key[4] or "").partition("#")[0].strip() and not key[2]:
            yield Line(start, indent + 1, key[3].strip("\"'"), glued=after_comment)
        else:
            yield Line(start, glued=after_comment)
        after_comment = bare.startswith("#")


def ini(text: str) -> Iterator[Line]:
    """`[sections]` and blocks."""
    blank = True
    for start, line in _lines(text):
        section = re.match(r"[ \t]*\[([^\]]+)\][ \t]*$", line)
        if section:
            yield Line(start, 1, section[1].strip())
        elif blank and line.strip():
            yield Line(start)
        blank = not line.strip()


def _lines(text: str, start: int = 0) -> Iterator[tuple[int, str]]:
    """Start and text of each line from `start` on; of long ones no more than a heading has."""
    while start < len(text):
        newline = text.find("\n", start)
        end = len(text) if newline < 0 else newline
        yield start, text[start : min(end, start + _LONGEST)]
        start = end + 1


def _plain(title: str) -> str:
    """A title without its markup: links, roles, code marks, emphasis and {#anchors}."""
    title = title[:_LONGEST]
    title = re.sub(r"!?\[([^\]]*)\](?:\([^)]*\)|\[[^\]]*\])?", r"\1", title)
    title = re.sub(r":[\w:-]+:`([^`]*)`", r"\1", title)
    title = re.sub(r"\{[#.:][^}]*\}", "", title)
    return " ".join(title.replace("`", "").replace("**", "").strip("*").split())


OUTLINES: Mapping[str, Callable[[str], Iterator[Line]]] = {
    "asciidoc": asciidoc,
    "ini": ini,
    "markdown": markdown,
    "rst": rst,
    "yaml": yaml,
}
"""Language → its scanner."""
