"""Long texts, asked for by words that stand in them, and short ones, asked for by what they say."""

from __future__ import annotations

import random
import re
from collections.abc import Iterator
from hashlib import sha256

from benchmarks.judgements import Query, Span
from benchmarks.making import Texts

FEWEST_WORDS, MOST_WORDS = 8, 20
"""Of an excerpt."""
SHORTEST_ABSTRACT = 60
"""Words that are left of a short text."""

_WORD = re.compile(r"[\"'_(]*[A-Za-z'’-]+[.,;:!?\"'_)]*")
_SENTENCE = re.compile(r"(?:(?:\([^)]*\)|/[^/]*/|\d\.|or|,)\s*)*(.+?[a-z\d)]{2})\.\s+")
"""The first of an entry; pronunciation and "1." before it."""


def excerpts(texts: Texts, count: int, seed: int = 4) -> list[Query]:
    """Words in a row as they stand in a text, and the lines where they are; each stands once."""
    drawn = random.Random(seed)
    paths = sorted(texts)
    lengths = [len(texts[path]) for path in paths]
    everything = " ".join(" ".join(texts[path].split()) for path in paths)
    found: dict[str, Query] = {}
    while len(found) < count:
        (path,) = drawn.choices(paths, lengths)
        text = texts[path]
        paragraph = _paragraph(text, drawn.randrange(len(text)))
        words = list(re.finditer(r"\S+", text[slice(*paragraph)]))
        wanted = drawn.randint(FEWEST_WORDS, MOST_WORDS)
        if len(words) < wanted or not _is_prose([word[0] for word in words]):
            continue
        first = drawn.randrange(len(words) - wanted + 1)
        said = " ".join(word[0] for word in words[first : first + wanted])
        if everything.count(said) != 1:
            continue
        start = paragraph[0] + words[first].start()
        end = paragraph[0] + words[first + wanted - 1].end()
        span = Span(text.count("\n", 0, start) + 1, text.count("\n", 0, end) + 1)
        found[said] = Query(_id(path, said), said, frozenset([path]), ((path, span),))
    return list(found.values())


def parts(text: str, name: str, size: int) -> dict[str, str]:
    """A long text as files of about `size` characters, cut between paragraphs."""
    files: dict[str, str] = {}
    part = ""
    for paragraph in re.split(r"(?<=\n)\n+", text):
        part += paragraph + "\n"
        if len(part) >= size:
            files[f"{name}-{len(files) + 1:02}.txt"] = part
            part = ""
    if part.strip():
        files[f"{name}-{len(files) + 1:02}.txt"] = part
    return files


def abstracts(
    dictionary: str, documents: int, count: int, seed: int = 4
) -> tuple[dict[str, str], list[Query]]:
    """Entries of a dictionary as files, and first sentences, taken out, that are asked for.

    An entry begins in the first column, its text is indented. A first sentence says what the entry
    is about, as a title does; the entry's own words stay in the rest.
    """
    entries = [
        entry for entry in _entries(dictionary) if len(entry[2].split()) >= SHORTEST_ABSTRACT
    ]
    drawn = random.Random(seed).sample(entries, min(documents, len(entries)))
    texts: dict[str, str] = {}
    queries = []
    for number, (words, sentence, rest) in enumerate(drawn):
        path = f"{number:04}.txt"
        said = f"{sentence}\n" if len(queries) >= count or not _asks(sentence) else ""
        texts[path] = f"{words}\n\n{said}{rest}\n"
        if not said:
            lines = Span(1, texts[path].count("\n"))
            query = Query(_id(words, sentence), sentence, frozenset([path]), ((path, lines),))
            queries.append(query)
    return texts, queries


def _entries(dictionary: str) -> Iterator[tuple[str, str, str]]:
    """(headwords, first sentence, the rest), without the dictionary's marks."""
    for found in re.finditer(r"^(\S.*(?:\n\S.*)*)\n\n((?:[ \t]+.*\n|\n)+)", dictionary, re.M):
        body = re.sub(r"\{([^{}]*)\}", r"\1", found[2])
        body = re.sub(r"<[a-z, ]+>|\(\d{4}-\d\d-\d\d\)|\[[^]]*\]|\(?https?://\S+", "", body)
        lines = [line.strip() for line in body.strip().split("\n")]
        begun = _SENTENCE.match(" ".join(lines))
        rest = re.sub(r"^\n+", "", "\n".join(_after(lines, begun.end()) if begun else lines))
        if begun:
            yield found[1].split("\n")[0], " ".join(begun[1].split()), rest


def _after(lines: list[str], characters: int) -> list[str]:
    """What is left of lines after so many characters of them joined by spaces."""
    for number, line in enumerate(lines):
        if characters <= len(line):
            return [line[characters:], *lines[number + 1 :]]
        characters -= len(line) + 1
    return []


def _asks(sentence: str) -> bool:
    return 6 <= len(sentence.split()) <= 40


def _paragraph(text: str, at: int) -> tuple[int, int]:
    """The offsets of the paragraph at an offset."""
    start = text.rfind("\n\n", 0, at)
    end = text.find("\n\n", at)
    return start + 2 if start >= 0 else 0, end if end >= 0 else len(text)


def _is_prose(words: list[str]) -> bool:
    """Whether most are plain words: no table, no links, no quotation with a mark at each line."""
    plain = sum(bool(_WORD.fullmatch(word)) for word in words)
    return ">" not in words and plain >= 0.85 * len(words)


def _id(*parts: str) -> str:
    return sha256(":".join(parts).encode()).hexdigest()[:10]
