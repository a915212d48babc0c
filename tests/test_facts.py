"""What the syntax tells of a chunk."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ragkit import chunkers
from ragkit.chunkers.facts import LINES, Facts, facts
from ragkit.chunkers.symbols import RULES
from ragkit.types import Chunk, Document

SAMPLES = Path(__file__).parent / "fixtures" / "chunkers"


def cut(path: str, text: str, size: int = 1500, *, code_aware: bool = True) -> list[Chunk]:
    chunk = chunkers.chunker(size=size, code_aware=code_aware)
    return chunk(Document(path, text, "", chunkers.language_of(path, text[:200])))


def lines_of(path: str, text: str) -> list[str]:
    (chunk,) = cut(path, text)
    return facts([chunk], text)[0].lines


@pytest.mark.parametrize(
    ("path", "text", "expected"),
    [
        (
            "a.py",
            "import os\nfrom a import b\n\nclass Store(Base):\n    def put(self, x: int) -> str:\n"
            "        return os.getenv(x)\n",
            [
                "- Language: Python",
                "- Class: Store",
                "- Signature: class Store(Base)",
                "- Also defines: put",
                "- Imports: os; from a import b",
                "- Calls: os.getenv",
            ],
        ),
        (
            "a.go",
            'package shop\n\nimport (\n\t"fmt"\n\t"os"\n)\n\n'
            "func (s *Store) Put(x int) (string, error) {\n\treturn fmt.Sprint(x), nil\n}\n",
            [
                "- Language: Go",
                "- Package: shop",
                "- Method: Store.Put",
                "- Signature: func (s *Store) Put(x int) (string, error)",
                '- Imports: "fmt"; "os"',
                "- Calls: fmt.Sprint",
            ],
        ),
        (
            "a.js",
            'import fs from "fs";\nconst path = require("path");\n\n'
            "export const put = async (x, y) => {\n  return fs.read(path.join(x, y));\n};\n",
            [
                "- Language: JavaScript",
                "- Function: put",
                "- Signature: put = async (x, y)",
                '- Imports: fs from "fs"; require("path")',
                "- Calls: fs.read, path.join",
            ],
        ),
        (
            "a.rs",
            "use std::fs;\n\nimpl Store {\n    pub fn put(&self, x: u8) -> Option<String> {\n"
            "        fs::read(x)\n    }\n}\n",
            [
                "- Language: Rust",
                "- Implementation: Store",
                "- Signature: impl Store",
                "- Also defines: put",
                "- Imports: std::fs",
                "- Calls: fs::read",
            ],
        ),
        (
            "A.java",
            "package shop;\nimport java.util.Map;\n\nclass Store {\n"
            "    String put(int x) throws E { return Map.of(x); }\n}\n",
            [
                "- Language: Java",
                "- Package: shop",
                "- Class: Store",
                "- Signature: class Store",
                "- Also defines: put",
                "- Imports: java.util.Map",
                "- Calls: of",
            ],
        ),
        (
            "a.md",
            "# Birds\n\n## Seeds\n\nText.\n",
            ["- Language: Markdown", "- Section: Birds > Seeds"],
        ),
        ("notes.txt", "Nothing to be told.\n", []),
    ],
)
def test_facts_name_what_a_chunk_defines_imports_and_calls(
    path: str, text: str, expected: list[str]
) -> None:
    assert lines_of(path, text) == expected


def test_a_method_is_seen_in_its_class_though_its_chunk_lacks_the_header() -> None:
    methods = "".join(
        f"    def method_{n}(self, x: int) -> int:\n        return self.helper(x, {n})\n\n"
        for n in range(12)
    )
    text = f"class Store:\n{methods}"
    chunks = cut("a.py", text, 300)
    found = facts(chunks, text)
    assert len(chunks) > 3
    last = found[-1]
    assert last.within == "Store"
    assert {symbol.kind for symbol in last.symbols} == {"Method"}
    assert last.symbols[0].signature.startswith("def method_")


def test_the_middle_of_a_function_knows_which() -> None:
    body = "".join(f"    values.append(work({n}))\n" for n in range(60))
    text = f"def long_one(values):\n{body}"
    chunks = cut("a.py", text, 300)
    found = facts(chunks, text)
    assert found[0].symbols[0].name == "long_one"
    assert found[1].symbols == ()
    assert found[1].within == "long_one"
    assert found[1].calls == ("values.append", "work")


def test_facts_do_not_change_with_the_rest_of_the_file() -> None:
    found = []
    for rest in ("def two(b):\n    return b\n", "def three(c, d):\n    return open(c)\n"):
        text = "def one(a):\n    return a\n\n\n" + rest
        found.append(facts(cut("a.py", text, 40), text)[0])
    assert found[0] == found[1]


@pytest.mark.parametrize("sample", sorted(SAMPLES.iterdir()), ids=lambda path: path.name)
@pytest.mark.parametrize("size", [80, 400, 4000])
def test_every_language_has_facts_of_at_most_eight_lines(sample: Path, size: int) -> None:
    text = sample.read_text(encoding="utf-8")
    chunks = cut(sample.name, text, size)
    found = facts(chunks, text)
    assert len(found) == len(chunks)
    for told in found:
        assert 1 <= len(told.lines) <= LINES
        assert all(line.startswith("- ") and ": " in line for line in told.lines)
        assert not any("\n" in line for line in told.lines)
    language = chunkers.language_of(sample.name, text[:200])
    if RULES.get(language):
        assert any(told.symbols for told in found), language


def test_a_chunk_of_overlapping_windows_has_the_facts_of_its_lines() -> None:
    text = "".join(f"def function_{n}():\n    return {n}\n\n\n" for n in range(40))
    chunks = cut("a.py", text, 200, code_aware=False)
    for chunk, told in zip(chunks, facts(chunks, text), strict=True):
        for symbol in told.symbols:
            assert f"def {symbol.name}"[:6] in chunk.text


@given(st.text(max_size=300), st.sampled_from(["a.py", "a.go", "a.ts", "a.rb", "a.ex", "a.html"]))
def test_any_text_has_facts(text: str, path: str) -> None:
    chunks = cut(path, text, 60)
    found = facts(chunks, text)
    assert len(found) == len(chunks)
    assert all(len(told.lines) <= LINES for told in found)


def test_nothing_is_told_of_nothing() -> None:
    assert facts([], "") == []
    assert Facts().lines == []
