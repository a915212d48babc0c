"""Readers: bytes of any encoding become text whose lines an editor would count alike."""

from __future__ import annotations

import codecs
import json
import subprocess
import sys
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ragkit.errors import ReadError
from ragkit.readers import decode


def read(path: str, data: bytes) -> str | ReadError:
    try:
        return decode(path, data)
    except ReadError as error:
        return error


WORDS = "Grüße, 数据库 🦊\nzweite Zeile\n"


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(WORDS.encode(), id="utf-8"),
        pytest.param(codecs.BOM_UTF8 + WORDS.encode(), id="utf-8 with a mark"),
        pytest.param(codecs.BOM_UTF16_LE + WORDS.encode("utf-16-le"), id="utf-16-le"),
        pytest.param(codecs.BOM_UTF16_BE + WORDS.encode("utf-16-be"), id="utf-16-be"),
        pytest.param(codecs.BOM_UTF32_LE + WORDS.encode("utf-32-le"), id="utf-32-le"),
        pytest.param(codecs.BOM_UTF32_BE + WORDS.encode("utf-32-be"), id="utf-32-be"),
    ],
)
def test_unicode_is_read_with_and_without_its_mark(data: bytes) -> None:
    assert decode("a.txt", data) == WORDS


@pytest.mark.parametrize(
    ("encoding", "words"),
    [
        ("cp1252", "Die Größe der Straße wäre für die Bürger ungefähr gleich geblieben. " * 5),
        ("cp1251", "Съешь же ещё этих мягких французских булок, да выпей чаю. " * 5),
        ("shift_jis", "吾輩は猫である。名前はまだ無い。どこで生れたかとんと見当がつかぬ。" * 5),
        ("gb18030", "人人生而自由，在尊严和权利上一律平等。他们赋有理性和良心。" * 5),
    ],
)
def test_older_encodings_are_recognised(encoding: str, words: str) -> None:
    assert decode("a.txt", words.encode(encoding)) == words


def test_only_line_feeds_end_lines() -> None:
    assert decode("a.txt", b"a\r\nb\rc\n\r\nd\r") == "a\nb\nc\n\nd\n"
    assert decode("a.txt", "a\u2028b\x0cc\x85d".encode()) == "a\u2028b\x0cc\x85d"


def test_nothing_is_no_text() -> None:
    assert decode("a.txt", b"") == ""
    assert decode("a.txt", codecs.BOM_UTF8) == ""


@given(st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\r\ufeff")))
def test_utf8_is_read_as_it_was_written(text: str) -> None:
    assert decode("a.py", text.encode()) == text


@given(st.binary(max_size=300))
def test_any_bytes_are_text_or_a_clear_error(data: bytes) -> None:
    found = read("dir/a.txt", data)
    if isinstance(found, ReadError):
        assert found.message.startswith("dir/a.txt: ")
        assert found.remedy
    else:
        assert "\r" not in found


def test_a_file_that_breaks_off_in_the_middle_of_a_character_is_an_error() -> None:
    with pytest.raises(ReadError, match=r"a\.txt: its first bytes say UTF-16") as caught:
        decode("a.txt", codecs.BOM_UTF16_LE + b"a\0b")
    assert caught.value.remedy


def test_binary_is_an_error_with_a_remedy() -> None:
    with pytest.raises(ReadError, match=r"^x/a\.bin: neither UTF-8 nor") as caught:
        decode("x/a.bin", b"\0\xff\xfe\x80" * 50)
    assert ".ragkitignore" in caught.value.remedy


def test_utf8_needs_nothing_third_party() -> None:
    code = (
        "import sys; from ragkit.readers import decode; decode('a', 'é'.encode());"
        "assert 'charset_normalizer' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def notebook(*cells: dict[str, Any], **about: Any) -> bytes:
    return json.dumps({"cells": cells, "nbformat": 4, **about}).encode()


def test_a_notebook_is_its_cells_as_markdown_without_outputs() -> None:
    data = notebook(
        {"cell_type": "markdown", "source": ["# Title\n", "\n", "Words."]},
        {"cell_type": "code", "source": "x = 1\nx\n", "outputs": [{"text": "secret"}]},
        {"cell_type": "code", "source": []},
        {"cell_type": "raw", "source": "raw"},
    )
    assert decode("a.IPYNB", data) == "# Title\n\nWords.\n\n```python\nx = 1\nx\n```\n\nraw"


def test_the_code_of_a_notebook_is_in_its_language() -> None:
    cell = {"cell_type": "code", "source": "x"}
    for metadata, fence in [
        ({"language_info": {"name": "R"}}, "```r"),
        ({"kernelspec": {"name": "ir", "language": "julia"}}, "```julia"),
        ({"language_info": {"name": "no\nword"}}, "```python"),
        ([], "```python"),
    ]:
        assert decode("a.ipynb", notebook(cell, metadata=metadata)).startswith(fence + "\n")


def test_code_that_writes_fences_is_fenced_by_a_longer_one() -> None:
    data = notebook({"cell_type": "code", "source": "print('''\n````\n''')"})
    assert decode("a.ipynb", data) == "`````python\nprint('''\n````\n''')\n`````"


def test_an_old_notebook_is_read_too() -> None:
    cells = [
        {"cell_type": "heading", "level": 2, "source": "Title"},
        {"cell_type": "code", "input": ["x = 1"]},
    ]
    data = json.dumps({"worksheets": [{"cells": cells}], "nbformat": 3}).encode()
    assert decode("a.ipynb", data) == "## Title\n\n```python\nx = 1\n```"


@pytest.mark.parametrize(
    "data",
    [b"", b"{", b"[]", b"3", b"{}", b'{"cells": 1}', b"[" * 100_000, b"\xff\xfe\0"],
    ids=["empty", "cut", "list", "number", "no cells", "cells", "deep", "binary"],
)
def test_a_broken_notebook_is_an_error_with_a_remedy(data: bytes) -> None:
    with pytest.raises(ReadError, match=r"^a\.ipynb: ") as caught:
        decode("a.ipynb", data)
    assert caught.value.remedy


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(
            st.sampled_from(["cells", "cell_type", "source", "metadata", "worksheets", "level"]),
            inner | st.sampled_from(["code", "heading", "markdown"]),
            max_size=4,
        )
    ),
    max_leaves=20,
)


@given(json_values)
def test_any_json_is_a_notebook_or_a_clear_error(value: object) -> None:
    found = read("a.ipynb", json.dumps(value).encode())
    assert isinstance(found, str) or found.message.startswith("a.ipynb: not a notebook")
