"""Markup: headings as context, blocks whole where they fit."""

from __future__ import annotations

import pytest
from contracts.chunker import check

from ragkit.chunkers import chunker
from ragkit.types import Chunk, Document

FENCE = "```sh\n# not a heading\npip install store\n\nstore --help\n```"
TABLE = "| a | b |\n|---|---|\n| 1 | 2 |\n| 3 | 4 |"


def cut(text: str, size: int, language: str = "markdown") -> list[Chunk]:
    chunks = chunker(size=size)(Document("a.md", text, "", language))
    check(text, chunks, size)
    return chunks


def contexts(text: str, size: int, language: str = "markdown") -> list[str]:
    return [chunk.context for chunk in cut(text, size, language)]


def section(heading: str, words: int = 12) -> str:
    return f"{heading}\n\n" + "word " * words + "\n\n"


def test_headings_are_the_context_of_what_is_under_them() -> None:
    text = section("# Guide") + section("## Install") + section("### Linux") + section("## Use")
    text += section("# Reference")
    assert contexts(text, 90) == [
        "Guide",
        "Guide > Install",
        "Guide > Install > Linux",
        "Guide > Use",
        "Reference",
    ]


def test_small_sections_share_a_chunk_under_the_heading_above_both() -> None:
    text = "# Guide\n\n" + "".join(section(f"## Part {i}", 2) for i in range(4))
    assert contexts(text, 400) == ["Guide > Part 0, Part 1, Part 2, Part 3"]


@pytest.mark.parametrize(
    ("heading", "title"),
    [
        ("Title\n=====", "Title"),
        ("Title\n-", "Title"),
        ("# Title #", "Title"),
        ("   ## Title", "Title"),
        ("# `code` and **bold**", "code and bold"),
        ("# See [the guide](http://example.org) {#anchor}", "See the guide"),
        ("# C#", "C#"),
        ("#no heading", ""),
        ("    # code", ""),
        ("| a |\n---", ""),
        ("- item\n---", ""),
        ("####### seven", ""),
    ],
)
def test_what_a_heading_is(heading: str, title: str) -> None:
    assert contexts(f"{heading}\n\nwords\n", 400) == [title]


def test_front_matter_and_fences_hold_no_headings() -> None:
    text = f"---\ntitle: x\n# no heading\n---\n\nIntro.\n\n# Guide\n\n{FENCE}\n"
    assert contexts(text, 90) == ["", "Guide"]


def test_an_unclosed_fence_reaches_to_the_end() -> None:
    assert set(contexts("# Guide\n\n```\n" + "# no heading\n" * 50, 100)) == {"Guide"}


@pytest.mark.parametrize("block", [FENCE, TABLE], ids=["fence", "table"])
def test_blocks_that_fit_are_whole(block: str) -> None:
    text = "# Guide\n\n" + "word " * 20 + f"\n\n{block}\n\n" + "word " * 20 + "\n"
    assert any(block in chunk.text for chunk in cut(text, 110))


def test_a_large_fence_is_cut_at_lines_and_a_long_line_at_words() -> None:
    text = "```\n" + "a line of code\n" * 30 + "word " * 60 + "\n```\n"
    chunks = cut(text, 100)
    lines = set(text.splitlines()) | {""}
    assert all(set(chunk.text.splitlines()) <= lines for chunk in chunks[:4])
    assert all(not chunk.text.startswith("ord") for chunk in chunks)


def test_lines_are_counted_from_one() -> None:
    first, second = cut("# A\n\n" + "word " * 12 + "\n\n\n# B\n\n" + "word " * 12, 80)
    assert (first.start_line, first.end_line) == (1, 3)
    assert (second.start_line, second.end_line) == (6, 8)


@pytest.mark.parametrize("line", ["# " + "[" * 200_000, "# a" + " " * 200_000 + "b"])
def test_a_line_without_end_is_cut_at_once(line: str) -> None:
    assert len(cut(line, 1500)) > 0
    assert len(cut(line + "\n===\n", 1500)) > 0


RST = """\
.. _top:

=======
Library
=======

Words that introduce the library to its reader.

Functions
---------

.. function:: open(path, mode="r")

   Opens it, and says so in some words.

   Example::

      open("x")

.. class:: Store(path)

   Keeps things for as long as they are wanted.

   .. method:: Store.replace(before, after)

      Puts a thing in the place of another.

Words after the class, of the section again.

.. _other:

Other
-----
Words.
"""


def test_restructured_text_has_sections_and_described_objects() -> None:
    assert contexts(RST, 135, "rst") == [
        "Library",
        "Library > Functions > open",
        "Library > Functions > Store",
        "Library > Functions > Store > Store.replace",
        "Library > Functions, Other",
    ]
    assert cut(RST, 60, "rst")[-1].text.startswith(".. _other:")


ASCIIDOC = """\
= Store
:toc:

Words that introduce the store to its reader, and then some more.

== Install

----
== not a heading
pip install store
----

== Use

Words on how to use it, of which there are many.
"""


def test_asciidoc_has_sections() -> None:
    assert contexts(ASCIIDOC, 90, "asciidoc") == ["Store", "Store > Install", "Store > Use"]


YAML = """\
on:
  push: {branches: [main]}
jobs:
  # Run the tests.
  test:
    runs-on: linux
    steps:
      - run: |
          key:
            make test
  release:
    needs: test
"""


def test_yaml_keys_are_the_context_of_their_blocks() -> None:
    found = cut(YAML, 70, "yaml")
    assert [chunk.context for chunk in found] == [
        "on",
        "jobs > test",
        "jobs > test > steps",
        "jobs > release",
    ]
    assert "# Run the tests.\n  test:" in found[1].text
