"""Which language a file is in."""

from __future__ import annotations

import pytest

from ragkit.chunkers import language_of
from ragkit.chunkers.languages import LANGUAGES
from ragkit.chunkers.structured import CHUNKERS


@pytest.mark.parametrize(
    ("path", "language"),
    [
        ("src/a.py", "python"),
        ("a.PYI", "python"),
        ("a.test.ts", "typescript"),
        ("a.d.ts", "typescript"),
        ("a.c++", "cpp"),
        ("include/a.h", "cpp"),
        ("Makefile", "make"),
        ("sub/CMakeLists.txt", "cmake"),
        ("Dockerfile", "dockerfile"),
        ("api.Dockerfile", "dockerfile"),
        ("home/.bashrc", "bash"),
        ("Cargo.lock", "toml"),
        ("README.md", "markdown"),
        ("a.ipynb", "markdown"),
        ("docs/a.rst", "rst"),
        ("notes.txt", None),
        ("README", None),
        ("py", None),
        (".py", "python"),
        ("a.", None),
        ("a.py/b", None),
    ],
)
def test_a_name_tells_the_language(path: str, language: str | None) -> None:
    assert language_of(path) == language


@pytest.mark.parametrize(
    ("head", "language"),
    [
        ("#!/bin/sh", "bash"),
        ("#!/usr/bin/env python3.12\nimport os", "python"),
        ("#!/usr/bin/env -S PYTHONPATH=. python3 -u", "python"),
        ("#! /usr/local/bin/perl5.30 -w", "perl"),
        ("#!/usr/bin/env Rscript", "r"),
        ("#!/opt/unheard-of", None),
        ("#!", None),
        ("#!/usr/bin/env", None),
        ("\n#!/bin/sh", None),
        ("", None),
    ],
)
def test_where_the_name_does_not_tell_the_first_line_may(head: str, language: str | None) -> None:
    assert language_of("bin/tool", head) == language
    assert language_of("bin/tool.md", head) == "markdown"


def test_every_language_that_is_named_has_a_chunker() -> None:
    assert set(CHUNKERS) == LANGUAGES
