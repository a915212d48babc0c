"""Questions to documentation in Markdown and reStructuredText: the page and section that answer.

A question is made of a clause that says what the reader wants: "To enable TLS, set …" answers "how
do I enable TLS?". The clause is taken out of the page, its lines stay. Others are made of headings,
which stay, as nobody would write a page without them.
"""

from __future__ import annotations

import random
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from hashlib import sha256
from itertools import pairwise

from benchmarks.judgements import Query, Span
from benchmarks.making import Texts

LONGEST_LINES = 100
"""A longer section is no answer."""
SHORTEST_SECTION = 300
"""Characters."""


@dataclass(frozen=True, slots=True)
class Section:
    """A heading and the text up to the next one of any level."""

    path: str
    page: str
    """The first heading of the page."""
    title: str
    lines: Span
    start: int
    """Offset of the first character below the heading."""
    text: str
    """What is below the heading."""


@dataclass(frozen=True, slots=True)
class Asked:
    """A question, the section that answers it, and which characters of the page say so."""

    question: str
    section: Section
    cut: tuple[int, int] = (0, 0)
    """Half-open."""


def questions(texts: Texts, count: int, seed: int = 4) -> tuple[Texts, list[Query]]:
    """The pages without the clauses that were asked for, and the questions, a third of headings."""
    sections = [s for path in sorted(texts) for s in sections_of(path, texts[path]) if _fit(s)]
    random.Random(seed).shuffle(sections)
    clauses = [asked for section in sections for asked in _first(wanted(section))]
    clauses = list({asked.question: asked for asked in clauses}.values())[: count - count // 3]
    taken = {(asked.section.path, asked.section.start) for asked in clauses}
    rest = [s for s in sections if (s.path, s.start) not in taken]
    asked = [*clauses, *_headings(rest)][:count]
    return _cut(texts, clauses), [
        Query(
            id=sha256(f"{a.section.path}:{a.question}".encode()).hexdigest()[:10],
            text=a.question,
            relevant=frozenset([a.section.path]),
            spans=((a.section.path, a.section.lines),),
        )
        for a in asked
    ]


def sections_of(path: str, text: str) -> list[Section]:
    """The sections of a page in order; none for what is no Markdown or reStructuredText."""
    find = _markdown if path.endswith(".md") else _restructured if path.endswith(".rst") else None
    if find is None:
        return []
    lines = text.split("\n")
    offsets = [0]
    for line in lines:
        offsets.append(offsets[-1] + len(line) + 1)
    heads = list(find(lines))
    ends = [*(first for first, _, _ in heads), len(lines)][1:]
    return [
        Section(
            path=path,
            page=heads[0][2],
            title=title,
            lines=Span(first + 1, _last(lines, first, end)),
            start=offsets[below],
            text="\n".join(lines[below:end]),
        )
        for (first, below, title), end in zip(heads, ends, strict=True)
    ]


def wanted(section: Section) -> Iterator[Asked]:
    """Questions that the section's sentences answer by themselves."""
    for begin, sentence in _sentences(section):
        for pattern, whole, form in _WISHES:
            found = pattern.match(sentence)
            said = _said(found[1]) if found else ""
            if found and said:
                end = len(sentence) if whole else found.end()
                cut = (section.start + begin, section.start + begin + end)
                yield Asked(form.format(said), section, cut)
                break


_WISHES = (
    # clause; whether the whole sentence goes with it; the question
    (re.compile(r"To\s+([a-z][^,.:;()]+),\s+"), False, "how do I {}?"),
    (
        re.compile(
            r"(?:If|When)\s+you\s+(?:want|need|wish|would\s+like|have)\s+to\s+([^,.:;()]+),\s+"
        ),
        False,
        "how do I {}?",
    ),
    (re.compile(r"You\s+can\s+(?:also\s+|either\s+)?([a-z][^.:;()]+)\.$"), True, "how can I {}?"),
    (re.compile(r"It\s+is\s+(?:also\s+)?possible\s+to\s+([^.:;()]+)\.$"), True, "can I {}?"),
    (
        re.compile(
            r"This\s+(?:page|section|document|chapter|guide|tutorial)\s+"
            r"(?:describes|explains|shows|covers)\s+(how\s+to\s+[^.:;()]+)\.$"
        ),
        True,
        "{}",
    ),
)
_ELSEWHERE = re.compile(
    r"\b(this|these|those|that|above|below|following|it|its|they|them|here|do so|also|same)\b", re.I
)


def _said(clause: str) -> str:
    """A clause as its reader would say it; "" where it says too little alone."""
    plain = _unmarked(clause)
    if not 4 <= len(plain.split()) <= 16 or _ELSEWHERE.search(plain):
        return ""
    plain = re.sub(r"\byour\b", "my", plain)
    return re.sub(r"\byou\b", "I", plain)


def _unmarked(text: str) -> str:
    text = re.sub(r":[\w:]+:`~?([^`<]*)(?:<[^>]*>)?`", r"\1", text)
    text = re.sub(r"!?\[([^]]*)\](?:\([^)]*\)|\[[^]]*\])?", r"\1", text)
    text = re.sub(r"[`*|]+|\b_|_\b", "", text)
    return " ".join(text.split())


def _headings(sections: Sequence[Section]) -> Iterator[Asked]:
    """Headings of several words that no other section has, with the page where that says more."""
    times: dict[str, int] = {}
    for section in sections:
        times[section.title] = times.get(section.title, 0) + 1
    for section in sections:
        title, page = _unmarked(section.title), _unmarked(section.page)
        words = title.split()
        if times[section.title] > 1 or not 2 <= len(words) <= 12 or "`" in section.title:
            continue
        asked = title[0].lower() + title[1:]
        if asked.lower() != page.lower() and len(words) < 5:
            form = ("{} in {}", "{1}: {0}")[sha256(title.encode()).digest()[0] % 2]
            asked = form.format(asked, page)
        yield Asked(asked, section)


def _cut(texts: Texts, asked: Sequence[Asked]) -> dict[str, str]:
    """The texts without the cut characters; line ends stay: all lines keep their numbers."""
    cuts: dict[str, list[tuple[int, int]]] = {}
    for each in asked:
        cuts.setdefault(each.section.path, []).append(each.cut)
    kept = dict(texts)
    for path, places in cuts.items():
        text = kept[path]
        for start, end in sorted(places, reverse=True):
            text = text[:start] + "\n" * text.count("\n", start, end) + text[end:]
        kept[path] = text
    return kept


def _first(asked: Iterator[Asked]) -> list[Asked]:
    one = next(asked, None)
    return [one] if one else []


def _fit(section: Section) -> bool:
    prose = sum(len(sentence) for _, sentence in _sentences(section))
    return section.lines.lines <= LONGEST_LINES and prose >= SHORTEST_SECTION


def _sentences(section: Section) -> Iterator[tuple[int, str]]:
    """Sentences of its paragraphs, each with its offset in the text: no code, lists, directives."""
    plain = _blanked(section.text, r"^(```|~~~).*?^\1.*?$|<!--.*?-->")
    plain = _blanked(plain, r"^(?:[ \t]|\.\. |[-*+>#|=~:]|\d+\.|\[[^]]*\]:).*$")
    for paragraph in re.finditer(r"(?:^\S.*\n?)+", plain, re.M):
        begin = paragraph.start()
        for found in re.finditer(r"\S.*?(?:[.!?](?=\s|$)|\Z)", paragraph[0], re.S):
            yield begin + found.start(), found[0]


def _blanked(text: str, pattern: str) -> str:
    def blank(found: re.Match[str]) -> str:
        return re.sub(r"[^\n]", " ", found[0])

    flags = re.M | re.S if pattern.startswith("^(`") else re.M
    return re.sub(pattern, blank, text, flags=flags)


def _markdown(lines: Sequence[str]) -> Iterator[tuple[int, int, str]]:
    """(line of the heading, line below it, title), lines from 0."""
    fenced = False
    for number, line in enumerate(lines):
        if re.match(r"\s*(```|~~~)", line):
            fenced = not fenced
        found = re.match(r"#{1,6}\s+(.+?)\s*#*$", line)
        if found and not fenced:
            yield number, number + 1, found[1]


def _restructured(lines: Sequence[str]) -> Iterator[tuple[int, int, str]]:
    for number, (line, under) in enumerate(pairwise(lines)):
        underlined = re.fullmatch(r"([=\-~^\"'`#*+.:_])\1{2,}", under.rstrip())
        if underlined and line[:1].strip() and len(under.rstrip()) >= len(line.rstrip()):
            over = number > 0 and lines[number - 1].rstrip() == under.rstrip()
            yield number - over, number + 2, line.strip()


def _last(lines: Sequence[str], first: int, end: int) -> int:
    """The number, from 1, of the last line of text in [first, end)."""
    while end > first + 1 and not lines[end - 1].strip():
        end -= 1
    return end
