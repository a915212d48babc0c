"""Code: what is kept whole, what it is called, and where it is cut."""

from __future__ import annotations

from pathlib import Path

import pytest
from contracts.chunker import check

from ragkit.chunkers import chunker, language_of
from ragkit.chunkers.packing import LINES
from ragkit.types import Chunk, Document

FIXTURES = Path(__file__).parent / "fixtures" / "chunkers"

CONTEXTS = {
    "Dockerfile": ["build"],
    "Sample.cs": [
        "Shop",
        "Shop > Store",
        "Shop > Store > Store",
        "Shop > Store",
        "Shop > Store > Replace",
        "Shop > Thing, ILoader, Colour",
    ],
    "Sample.java": ["", "Store", "Store > replace", "Thing, Loader, Colour"],
    "sample.c": ["LIMIT, thing, store_t", "find", "replace, colour"],
    "sample.clj": ["shop.store, limit", "replace-thing, Thing"],
    "sample.cmake": ["replace", "load"],
    "sample.cpp": [
        "shop",
        "shop > Store > Store, ~Store",
        "shop > Store > replace",
        "shop, shop::Store<Thing>::size, main",
    ],
    "sample.css": [":root, .store > .thing:hover, .store > .thing:focus", "(max-width: 40em)"],
    "sample.dart": ["Thing", "Store", "Store > replace", "Colour, Named, Loading, main"],
    "sample.erl": ["store, thing, replace", "load"],
    "sample.ex": [
        "Shop.Store",
        "Shop.Store",
        "Shop.Store > replace, empty",
        "Shop.Store > thing",
        "String.Chars",
    ],
    "sample.f90": ["store > thing", "store > replace", "store > load"],
    "sample.go": ["Store", "Thing, Loader", "Store.Replace", "Load"],
    "sample.graphql": ["Thing, Colour, Mutation"],
    "sample.groovy": ["", "Store", "load"],
    "sample.hcl": ["variable.limit, resource.aws_s3_bucket.store"],
    "sample.hs": ["Thing, Store", "Loader", "replace, size"],
    "sample.html": ["", ""],
    "sample.jl": ["Shop > Thing, Store", "Shop > replace", "Shop > size, thing, Loader"],
    "sample.js": ["", "Store", "Store > replace", "load, walk"],
    "sample.json": ["name, things, scripts"],
    "sample.kt": ["Thing", "Store", "Store > replace", "Store", "Loader, Shop, size, Colour"],
    "sample.lua": ["Store.new", "Store:replace, load", ""],
    "sample.m": ["Store", "Store"],
    "sample.mk": ["all, store, .PHONY, clean"],
    "sample.ml": ["thing", "Store > t", "Store > replace", "load, Missing"],
    "sample.nix": ["", "replace"],
    "sample.php": [
        "Shop, Store",
        "Store > __construct",
        "Store",
        "Store > replace",
        "Loader, Named, Colour, load",
    ],
    "sample.pl": ["Shop::Store, new", "replace"],
    "sample.proto": ["Thing, Store", "Colour"],
    "sample.ps1": ["", "Store", "Get-Store"],
    "sample.py": ["Thing", "Store > __init__", "Store > replace", "load"],
    "sample.r": ["replace", "load"],
    "sample.rb": ["Shop", "Shop > Store > replace, load", "Shop > Thing"],
    "sample.rs": ["Thing, Store", "Store > new", "Store > replace", "Loader, Colour, thing, tests"],
    "sample.scala": ["Thing", "Store", "Store > replace", "Store, Loader"],
    "sample.scss": ["thing, .store"],
    "sample.sh": ["replace", "load"],
    "sample.sol": ["Store", "Store > replace", "Loader"],
    "sample.sql": ["thing, thing_by_count, many", "replace_thing", ""],
    "sample.svelte": ["", ""],
    "sample.swift": ["Thing", "Store", "Store", "Store > replace", "Loader, Store, Colour", "open"],
    "sample.toml": ["name, thing, tool.replace, colour"],
    "sample.ts": ["Thing, Things, Colour", "Store", "Store > replace", "Tools"],
    "sample.tsx": ["Props, Thing", "Store"],
    "sample.vue": ["", ""],
    "sample.xml": ["store"],
    "sample.zig": ["Thing", "Store", "Store", "Store > replace", "load, replace"],
}
"""At 220 characters a chunk: most classes are too large for one, most methods are not."""


def cut(text: str, language: str | None, size: int) -> list[Chunk]:
    chunks = chunker(size=size)(Document("a/b", text, "", language))
    check(text, chunks, size)
    return chunks


def cut_fixture(name: str, size: int) -> list[Chunk]:
    text = (FIXTURES / name).read_text("utf-8")
    return cut(text, language_of(name, text), size)


@pytest.mark.parametrize("name", CONTEXTS)
def test_a_chunk_is_called_by_the_symbols_it_lies_in_and_defines(name: str) -> None:
    assert [chunk.context for chunk in cut_fixture(name, 220)] == CONTEXTS[name]


METHODS = [
    *("Sample.java", "sample.c", "sample.cmake", "sample.dart", "sample.go", "sample.hs"),
    *("sample.jl", "sample.js", "sample.kt", "sample.lua", "sample.ml", "sample.php", "sample.pl"),
    *("sample.py", "sample.r", "sample.rb", "sample.rs", "sample.scala", "sample.sh"),
    *("sample.sql", "sample.swift", "sample.ts", "sample.zig"),
]


@pytest.mark.parametrize("name", METHODS)
def test_a_comment_stays_with_the_function_under_it(name: str) -> None:
    text = (FIXTURES / name).read_text("utf-8")
    comment = next(line for line in text.splitlines() if "in the place of another" in line)
    (chunk,) = [chunk for chunk in cut_fixture(name, 260) if comment in chunk.text]
    assert "replace" in chunk.text.split(comment)[1].lower()


def test_a_file_that_fits_is_one_chunk() -> None:
    (chunk,) = cut_fixture("sample.py", 1500)
    assert (chunk.start, chunk.start_line, chunk.end_line) == (0, 1, 32)
    assert chunk.context == "Thing, Store, load"


def function(name: str, statements: int, indent: str = "") -> str:
    body = "".join(f"{indent}    value_{i} = compute({i})\n" for i in range(statements))
    return f"{indent}def {name}():\n{body}{indent}    return 0\n"


def test_functions_that_fit_are_whole_and_small_neighbours_share_a_chunk() -> None:
    text = "\n\n".join(function(f"f{i}", i % 7) for i in range(20))
    chunks = cut(text, "python", 300)
    for i in range(20):
        assert any(function(f"f{i}", i % 7).rstrip() in chunk.text for chunk in chunks)
    assert len(chunks) < 20
    assert all(chunk.text.startswith("def f") for chunk in chunks)


def test_a_large_function_is_cut_at_its_statements() -> None:
    chunks = cut(function("outer", 50), "python", 300)
    assert {chunk.context for chunk in chunks} == {"outer"}
    assert all(chunk.text.lstrip().startswith(("def", "value", "return")) for chunk in chunks)
    assert all(len(chunk.text) > 150 for chunk in chunks[:-1])


def test_a_large_class_is_cut_at_its_methods() -> None:
    text = "class Store:\n" + "\n".join(function(f"m{i}", 5, "    ") for i in range(6))
    chunks = cut(text, "python", 420)
    assert [chunk.context for chunk in chunks] == [
        "Store > m0, m1",
        "Store > m2, m3",
        "Store > m4, m5",
    ]
    assert chunks[1].text.startswith("    def m2")  # with its indentation


def test_a_long_text_inside_code_is_cut_at_lines_then_at_words() -> None:
    text = 'NOTE = """\n' + "some words in a line\n" * 40 + "word " * 200 + '\n"""\n'
    chunks = cut(text, "python", 200)
    assert all(not chunk.text.startswith("ord") for chunk in chunks)
    assert chunks[1].text.startswith("some words")


def test_offsets_are_characters_whatever_the_characters_are() -> None:
    text = "# 店🏪é\n" + "\n\n".join(f"def 函数_{i}():\n    return '🏪店{i}é'" for i in range(9))
    chunks = cut(text, "python", 60)
    assert [chunk.context for chunk in chunks][-1] == "函数_7, 函数_8"
    assert chunks[-1].text == text[text.index("def 函数_7") :]


def test_a_symbol_may_be_wrapped() -> None:
    text = (
        "export default class Store {\n"
        + "".join(f"  m{i}() {{\n    return compute({i});\n  }}\n" for i in range(9))
        + "}\n"
    )
    contexts = [chunk.context for chunk in cut(text, "javascript", 120)]
    assert contexts[0] == "Store > m0, m1"
    assert all(context.startswith("Store > ") for context in contexts)


def test_many_names_are_cut_short() -> None:
    text = "".join(f"def {'f' * 90}{i}(): pass\n" for i in range(14))
    (chunk,) = cut(text, "python", 3000)
    assert len(chunk.context) < 500
    minified = "".join(f"function f{i}(){{return {i}}}" for i in range(5_000))
    assert all(len(chunk.context) < 500 for chunk in cut(minified, "javascript", 1500))


def test_broken_code_is_cut_like_any_other() -> None:
    text = (FIXTURES / "sample.py").read_text("utf-8")
    text = text.replace("return Store(os.", "return Store((os.")
    assert any("replace" in chunk.context for chunk in cut(text, "python", 220))


def test_no_chunk_of_many_short_lines_is_longer_than_a_page() -> None:
    text = "package a\n\n" + "".join(f"func F{n}() {{\n\tx()\n}}\n\n" for n in range(90))
    chunks = chunker(size=2000)(Document("a.go", text, "", "go"))
    assert max(chunk.end_line - chunk.start_line + 1 for chunk in chunks) <= LINES
    assert all(chunk.text.startswith(("package", "func")) for chunk in chunks)
    assert "".join("".join(chunk.text for chunk in chunks).split()) == "".join(text.split())
