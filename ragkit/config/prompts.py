"""Prompts with placeholders, in the look of JavaScript's template literals: `${content}`."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from ragkit.config.marks import Problem

PLACEHOLDERS: Final = ("path", "basename", "chunk_index", "content", "ast_context")
"""What a `semantic_prompt` may hold."""

# `\${` is no placeholder, as in JavaScript; a `${` that nothing closes ends with the text
_PLACEHOLDER: Final = re.compile(r"\\\$\{|\$\{([^{}]*)(\}?)")


@dataclass(frozen=True, slots=True)
class Prompt:
    """A text with places to fill in."""

    pieces: tuple[tuple[str, str], ...]
    """(text, name of the placeholder after it), the name "" at the end of the prompt."""

    @property
    def names(self) -> frozenset[str]:
        """Its placeholders, each once."""
        return frozenset(name for _, name in self.pieces if name)

    def filled(self, values: Mapping[str, str]) -> str:
        """The prompt with these values; what looks like a placeholder in a value stays as it is.

        Raises KeyError where one is missing.
        """
        return "".join(text + (values[name] if name else "") for text, name in self.pieces)


def prompt(text: str) -> Prompt:
    """The prompt that was written; one with `problems` is not to be filled in."""
    pieces = []
    literal, start = "", 0
    for found in _PLACEHOLDER.finditer(text):
        literal += text[start : found.start()]
        start = found.end()
        if found[1] is None:
            literal += "${"
        else:
            pieces.append((literal, found[1].strip()))
            literal = ""
    return Prompt((*pieces, (literal + text[start:], "")))


def problems(key: str, text: str) -> Iterator[Problem]:
    """What is wrong with a `semantic_prompt`."""
    known = ", ".join(f"${{{name}}}" for name in PLACEHOLDERS)
    names: set[str] = set()
    for found in _PLACEHOLDER.finditer(text):
        if found[1] is None:
            continue
        name = found[1].strip()
        names.add(name)
        if not found[2]:
            shown = found[0][:40]
            yield Problem(key, f"{shown!r} is not closed", r"add }, or write \${ for the two signs")
        elif name not in PLACEHOLDERS:
            yield Problem(key, f"unknown placeholder ${{{name}}}", f"known: {known}")
    if names <= set(PLACEHOLDERS) and not names & {"content", "ast_context"}:
        text = "without ${content} the model would not see what it is to describe"
        yield Problem(key, text, "add ${content}")
