"""What a chunk of source code holds, by its syntax: definitions, imports, calls.

The document is parsed as a whole, so that a method is seen in its class and a chunk that begins in
the middle of a function knows of which. What is told of a chunk lies in it, but for the names of
what encloses it and the package.
"""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ragkit.chunkers.languages import language_of
from ragkit.types import Chunk

if TYPE_CHECKING:
    from tree_sitter import Node

VERSION = 1
"""Changes whenever other facts would be told of some chunk."""

LINES = 8
"""Most lines of `Facts.lines`."""

_SIGNATURE = 240  # characters of a signature; docker-agent's bound
_STATEMENT = 80  # characters of an import
_LISTED = 10  # names in one line
_LARGEST = 300_000  # nodes that are looked at; a file of 1 MB has fewer

LABELS = {
    "javascript": "JavaScript",
    "typescript": "TypeScript",
    "tsx": "TypeScript (TSX)",
    "cpp": "C++",
    "csharp": "C#",
    "objc": "Objective-C",
    "php": "PHP",
    "ocaml": "OCaml",
    "powershell": "PowerShell",
    "proto": "Protocol Buffers",
    "graphql": "GraphQL",
    **{name: name.upper() for name in ("css", "hcl", "html", "json", "scss", "sql", "toml", "xml")},
}
"""Names of languages that are not just capitalised."""


@dataclass(frozen=True, slots=True)
class Symbol:
    """Something that is defined."""

    name: str
    kind: str
    """`Function`, `Method`, `Class`, …; `Symbol` where the syntax does not tell."""
    signature: str = ""
    """Its header on one line, without its body."""


@dataclass(frozen=True, slots=True)
class Facts:
    """What the syntax says of one chunk."""

    language: str | None = None
    package: str = ""
    within: str = ""
    """The symbols or headings around its beginning, or its context: `Store > replace`."""
    symbols: tuple[Symbol, ...] = ()
    """What is defined in it, in order."""
    imports: tuple[str, ...] = ()
    calls: tuple[str, ...] = ()

    @property
    def lines(self) -> list[str]:
        """At most eight lines `- Label: value`, as a prompt likes them; [] where nothing is known.

        The first symbol with its signature, then the names of the others.
        """
        language = LABELS.get(self.language or "", (self.language or "").capitalize())
        first, others = self.symbols[:1], self.symbols[1:]
        told = [
            ("Language", language),
            ("Package", self.package),
            ("Inside" if self.symbols or self.calls else "Section", self.within),
            *((symbol.kind, symbol.name) for symbol in first),
            *(("Signature", symbol.signature) for symbol in first),
            ("Also defines", listed([symbol.name for symbol in others])),
            ("Imports", listed(self.imports, "; ")),
            ("Calls", listed(self.calls)),
        ]
        return [f"- {label}: {value}" for label, value in told if value][:LINES]


def listed(words: Iterable[str], comma: str = ", ") -> str:
    """The first ten different words in a row."""
    different = list(dict.fromkeys(words))
    more = comma + "…" if len(different) > _LISTED else ""
    return comma.join(different[:_LISTED]) + more


def facts(chunks: Sequence[Chunk], text: str) -> list[Facts]:
    """The facts of each of these chunks of one document, in order.

    `text` is the document's, at least up to the last of them. Without a grammar, and for what is
    no code, only what the chunks say themselves.
    """
    from ragkit.chunkers.code import ascii_source
    from ragkit.chunkers.grammars import parse
    from ragkit.chunkers.symbols import RULES

    if not chunks:
        return []
    language = language_of(chunks[0].path, text[:200])
    root = None
    if language and language in RULES:
        source = ascii_source(text)
        root = parse(language, source)
    if root is None or language is None:
        return [Facts(language, within=chunk.context) for chunk in chunks]
    found = _Reading(language, text, source)
    found.read(root)
    return [found.of(chunk) for chunk in chunks]


_IMPORT = re.compile(r"(?:^|_)(?:imports?|include|using|use|open)(?:_|$)")
_IMPORTS = re.compile(r"imports|import_(?:list|spec_list|spec|header)")
_KEYWORD = re.compile(r"^(?:#\s*include|import|include|using|use|open)\b\s*")
_REQUIRING = frozenset({"require", "require_relative", "library", "source", "alias"})
_CALL = re.compile(
    r"(?:^|_)(?:call|invocation)(?:_|$)|^(?:command|new_expression|object_creation_expression"
    r"|application_expression)$"
)
_CALLED = ("function", "method", "name", "constructor", "type", "target", "macro")
_NAME = re.compile(r"[\w$@.:?!>-]+")
_LAST_NAME = re.compile(r"[\w$@]+[?!]?$")
_PACKAGE = re.compile(
    r"package_(?:clause|declaration|header|statement)|package|namespace_statement"
)
_BODY = re.compile(r"(?:^|_)(?:body|block|compound_statement|column_definitions)(?:_|$)")
_KINDS = tuple(
    (kind, re.compile(pattern))
    for kind, pattern in (
        ("Constructor", "constructor"),
        ("Method", "method"),
        ("Function", "func|fun_|function|subroutine|procedure|rpc"),
        ("Class", "class"),
        ("Interface", "interface|protocol"),
        ("Struct", "struct|derived_type"),
        ("Enum", "enum"),
        ("Trait", "trait"),
        ("Implementation", "impl"),
        ("Union", "union"),
        ("Record", "record"),
        ("Object", "object_(?:definition|declaration)|companion"),
        ("Contract", "contract"),
        ("Module", "mod_item|module|namespace|package"),
        ("Macro", "macro|preproc_function"),
        ("Table", "create_table"),
        ("View", "create_(?:materialized_)?view"),
        ("Message", "message"),
        ("Service", "service"),
        ("Test", "test"),
        ("Type", "type|alias"),
    )
)
_HOLDING = frozenset({"Class", "Interface", "Struct", "Enum", "Trait", "Implementation", "Object"})
_DEFINING = re.compile(r"\s*\(?\s*(?:def(?P<kind>\w*))")


class _Reading:
    """One walk over a document's tree, and what it found, each with its offset."""

    def __init__(self, language: str, text: str, source: bytes) -> None:
        from ragkit.chunkers.symbols import RULES

        self._language = language
        self._text = text
        self._source = source
        self._rules = RULES[language]
        self._package = ""
        self._symbols: list[tuple[int, int, Symbol]] = []  # start, end
        self._imports: list[tuple[int, str]] = []
        self._calls: list[tuple[int, str]] = []

    def read(self, root: Node) -> None:
        """Visit the nodes in the order of the text."""
        cursor = root.walk()
        for _ in range(_LARGEST):
            node = cursor.node
            goes_in = node is None or not node.is_named or self._visit(node)
            if goes_in and cursor.goto_first_child():
                continue
            while not cursor.goto_next_sibling():
                if not cursor.goto_parent():
                    return

    def of(self, chunk: Chunk) -> Facts:
        """What lies in the chunk."""
        around = [
            symbol.name
            for start, end, symbol in self._symbols
            if start < chunk.start and chunk.start < end
        ]
        first = bisect_left(self._symbols, chunk.start, key=lambda found: found[0])
        last = bisect_left(self._symbols, chunk.end, key=lambda found: found[0])
        symbols = dict.fromkeys(symbol for _, _, symbol in self._symbols[first:last])
        known = {symbol.name for symbol in symbols}
        calls = (name for name in _within(self._calls, chunk) if name not in known)
        return Facts(
            self._language,
            self._package,
            " > ".join(dict.fromkeys(around)) or ("" if symbols else chunk.context),
            tuple(symbols),
            tuple(dict.fromkeys(_within(self._imports, chunk))),
            tuple(dict.fromkeys(calls)),
        )

    def _visit(self, node: Node) -> bool:
        """Note what the node is; whether there may be more inside."""
        kind, start = node.type, node.start_byte
        if _PACKAGE.fullmatch(kind) and not self._package:
            self._package = self._package_of(node)
            return False
        if _IMPORT.search(kind) and node.child_by_field_name("body") is None:
            if _IMPORTS.fullmatch(kind) and kind != "import_spec" and kind != "import_header":
                return True
            if any(_IMPORTS.fullmatch(part.type) for part in node.named_children[:4]):
                return True
            self._imports.append((start, self._import(node)))
            return False
        defines = self._define(node)
        if not defines and _CALL.search(kind):
            self._call(node)
        return True

    def _package_of(self, node: Node) -> str:
        words = self._one_line(node.start_byte, node.end_byte, _STATEMENT).rstrip("; {")
        return words.partition(" ")[2].strip() or words

    def _import(self, node: Node) -> str:
        words = self._one_line(node.start_byte, node.end_byte, _STATEMENT).rstrip("; ")
        return _KEYWORD.sub("", words) or words

    def _call(self, node: Node) -> None:
        called = next(filter(None, map(node.child_by_field_name, _CALLED)), None)
        if called is None and node.named_child_count:
            called = node.named_child(0)
        if called is None:
            return
        words = self._text[called.start_byte : min(called.end_byte, called.start_byte + 200)]
        if words in _REQUIRING:
            self._imports.append((node.start_byte, self._import(node)))
            return
        if not (len(words) <= 60 and _NAME.fullmatch(words)):
            last = _LAST_NAME.search(words)
            words = last[0] if last else ""
        if words:
            self._calls.append((node.start_byte, words))

    def _define(self, node: Node) -> bool:
        """Note the symbols that the node itself defines; whether it does."""
        from ragkit.chunkers.symbols import before, inside

        rule = self._rules.get(node.type)
        if rule is None or rule is inside or rule is before:
            return False
        names = []
        for parts in rule(node, self._rules, self._source):
            words = [self._text[part.start_byte : part.end_byte].strip("\"'") for part in parts]
            names.append(" ".join(".".join(words).split())[:_STATEMENT])
        for name in filter(None, names):
            kind = self._kind(node)
            symbol = Symbol(name, kind, self._signature(node) if kind != "Symbol" else "")
            self._symbols.append((node.start_byte, node.end_byte, symbol))
        return bool(names)

    def _kind(self, node: Node) -> str:
        held = node.child_by_field_name("value") or node.child_by_field_name("right")
        held = held or node.child_by_field_name("rhs")
        kinds = [part.type for part in (node.child_by_field_name("type"), held, node) if part]
        if node.type == "impl_item":  # its type is what it is for
            kinds = [node.type]
        if node.type in ("call", "list_lit"):  # Elixir and Lisp define by calling
            word = _DEFINING.match(self._text, node.start_byte)
            kinds = [
                {"module": "module", "n": "function", "": "function"}.get(
                    word["kind"].rstrip("p-") if word else "?", ""
                )
            ]
        found = next((k for kind in kinds for k, p in _KINDS if p.search(kind)), "Symbol")
        if found == "Function":
            for start, end, symbol in reversed(self._symbols[-50:]):
                if start <= node.start_byte < end:
                    return "Method" if symbol.kind in _HOLDING else found
        return found

    def _signature(self, node: Node) -> str:
        held = node.child_by_field_name("value") or node.child_by_field_name("right") or node
        body = node.child_by_field_name("body") or held.child_by_field_name("body")
        if body is None:
            parts: Iterator[Node] = iter(held.named_children[:_LISTED])
            body = next((part for part in parts if _BODY.search(part.type)), None)
        end = body.start_byte if body and body.start_byte > node.start_byte else node.end_byte
        if body is None:
            line = self._text.find("\n", node.start_byte, end)
            end = line if line > 0 else end
        words = self._one_line(node.start_byte, end, _SIGNATURE)
        words = re.sub(r"(?<=[(\[]) |,? (?=[)\]])", "", words)
        return re.sub(r"\s*(?:\{|=>|:=|=|:|\b(?:do|begin|is|as))$", "", words)

    def _one_line(self, start: int, end: int, most: int) -> str:
        # what is long is cut before its blanks are counted: nobody reads a megabyte for a line
        words = " ".join(self._text[start : min(end, start + 4 * most)].split())
        return words if len(words) <= most else words[: most - 1].rstrip() + "…"


def _within(found: Sequence[tuple[int, str]], chunk: Chunk) -> Iterator[str]:
    first = bisect_left(found, chunk.start, key=lambda item: item[0])
    last = bisect_left(found, chunk.end, key=lambda item: item[0])
    return (name for _, name in found[first:last])
