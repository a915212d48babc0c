"""Reading a file safely, and leaving out what is not worth indexing."""

from __future__ import annotations

import os
import random
import sysconfig
from pathlib import Path

import pytest

from ragkit.errors import ReadError
from ragkit.files import find, read_bytes, unfit
from ragkit.types import File


def file_at(path: Path) -> File:
    return File(path.name, str(path), 1, 1)


def rule(path: str, text: str | bytes) -> str | None:
    skip = unfit(path, text if isinstance(text, bytes) else text.encode())
    return skip and skip.rule


class TestReading:
    def test_all_bytes_come_back(self, tmp_path):
        (tmp_path / "a").write_bytes(b"\x00\r\n\xff" * 100_000)
        assert read_bytes(file_at(tmp_path / "a")) == b"\x00\r\n\xff" * 100_000

    def test_a_file_as_large_as_the_limit_is_read_and_a_larger_one_is_not(self, tmp_path):
        (tmp_path / "a").write_bytes(b"12345")
        assert read_bytes(file_at(tmp_path / "a"), max_bytes=5) == b"12345"
        with pytest.raises(ReadError, match="grew past 4 B") as error:
            read_bytes(file_at(tmp_path / "a"), max_bytes=4)
        assert error.value.remedy

    @pytest.mark.skipif(not os.path.exists("/dev/zero"), reason="needs /dev/zero")
    def test_a_device_that_never_ends_is_refused(self):
        with pytest.raises(ReadError, match="not a regular file"):
            read_bytes(file_at(Path("/dev/zero")))

    def test_a_fifo_is_refused_at_once(self, tmp_path):
        os.mkfifo(tmp_path / "a")
        with pytest.raises(ReadError, match="not a regular file"):
            read_bytes(file_at(tmp_path / "a"))

    def test_a_link_or_folder_that_took_its_place_is_refused(self, tmp_path):
        (tmp_path / "real").write_text("x")
        (tmp_path / "a").symlink_to("real")
        with pytest.raises(ReadError, match="not a regular file"):
            read_bytes(file_at(tmp_path / "a"))
        with pytest.raises(ReadError, match="not a regular file"):
            read_bytes(file_at(tmp_path))

    def test_a_file_that_is_gone_says_so(self, tmp_path):
        with pytest.raises(ReadError, match="a: it is gone") as error:
            read_bytes(file_at(tmp_path / "a"))
        assert error.value.remedy == "index again"

    @pytest.mark.parametrize(
        ("number", "says"), [(13, "permission denied"), (5, "I/O|Input/output")]
    )
    def test_the_systems_error_is_told(self, tmp_path, monkeypatch, number, says):
        def failing(path, flags):
            raise OSError(number, os.strerror(number), path)

        monkeypatch.setattr(os, "open", failing)
        with pytest.raises(ReadError, match=says) as error:
            read_bytes(file_at(tmp_path / "a"))
        assert error.value.remedy


class TestBinary:
    @pytest.mark.parametrize(
        "data",
        [
            b"text\0text",
            b"%PDF-1.7\nand text that has no NUL",
            bytes(random.Random(1).choices(range(1, 256), k=4000)),
            b"SQLite format 3\0" + b"x" * 5000,
        ],
    )
    def test_is_left_out(self, data):
        assert rule("a.txt", data) == "binary"

    @pytest.mark.parametrize(
        "data",
        [
            b"",
            b"plain\r\n\tand \x1b[31mred\x1b[0m\x0c",
            "UTF-16 has NULs".encode("utf-16"),
            "UTF-32 has more".encode("utf-32"),
            "größe".encode("latin-1") * 500,
            "日本語のテキスト".encode("shift-jis") * 500,
            "日本語のテキスト\n".encode("iso-2022-jp") * 500,
            "Привет, мир".encode("koi8-r") * 500,
        ],
    )
    def test_text_in_any_encoding_is_not(self, data):
        assert rule("a.txt", data) is None

    def test_a_nul_far_behind_does_not_count(self):
        assert rule("a.txt", b"text\n" * 2000 + b"\0") is None


class TestMinified:
    PACKED = "".join(f"function f{n}(a,b){{return a+b*{n}}}var x{n}=f{n}(1,2);" for n in range(400))
    PROSE = "It was the best of times, it was the worst of times, and so it went on. " * 400

    @pytest.mark.parametrize(
        "path", ["a.js", "a.css", "a.json", "a.ts", "a.py", "a.svg", "a", "a.txt"]
    )
    def test_packed_code_is_left_out(self, path):
        assert rule(path, self.PACKED) == "minified"
        assert rule(path, "/* licence */\n" * 20 + self.PACKED + "\n") == "minified"

    def test_data_in_one_line_is_left_out(self):
        numbers = ",".join(str(n / 7) for n in range(2000))
        assert rule("vectors.jsonl", f"[{numbers}]\n[{numbers}]\n") == "minified"
        assert rule("data.json", '{"key": "' + self.PROSE + '"}') == "minified"

    @pytest.mark.parametrize("path", ["a.md", "a.txt", "a.html", "a.csv", "a.tex", "a.py"])
    def test_prose_in_one_line_is_not(self, path):
        assert rule(path, self.PROSE) is None

    @pytest.mark.parametrize(
        "text", ["吾輩は猫である。名前はまだ無い。" * 900, "สวัสดีชาวโลก" * 900, "Привет" * 2000]
    )
    def test_scripts_without_spaces_are_not(self, text):
        assert rule("a.txt", text) is None

    def test_code_around_one_long_line_is_not(self):
        code = "def f(x):\n    return x + 1\n\n" * 800
        assert rule("a.py", code + f"DATA = '{'QUJD' * 2000}'\n") is None

    def test_a_small_file_or_a_table_is_not(self):
        assert rule("a.json", '{"name": "x", "version": "1.0.0"}' * 30) is None
        assert rule("a.csv", "1,2,3,4,5\n" * 5000) is None

    def test_a_notebook_with_a_picture_is_not(self):
        assert rule("a.ipynb", '{"png": "' + "QUJD" * 20_000 + '"}') is None


class TestGenerated:
    @pytest.mark.parametrize(
        ("path", "head"),
        [
            ("a.go", "// Code generated by stringer; DO NOT EDIT.\n\npackage a\n"),
            ("a_pb2.py", "# Generated by the protocol buffer compiler.  DO NOT EDIT!\n"),
            ("a.php", "<?php\n/**\n * @generated SignedSource<<0a>>\n */\n"),
            (
                "a.ts",
                "/* tslint:disable */\n/**\n * NOTE: auto generated by X\n * Do not edit it.\n */",
            ),
            ("a.sql", "-- This file is auto-generated.\n-- Do not modify by hand.\n"),
            ("a.xml", "<?xml version='1.0'?>\n<!-- generated, do not edit -->\n"),
        ],
    )
    def test_is_left_out_by_its_head(self, path, head):
        assert rule(path, head + "x = 1\n" * 50) == "generated"

    @pytest.mark.parametrize(
        ("path", "text"),
        [
            ("a.py", 'MARK = "Code generated by us; DO NOT EDIT."\n'),
            ("a.py", "# Writes generated code.\n"),
            ("a.py", "# Do not edit while the server runs.\n"),
            ("a.py", "x = 1\n" * 30 + "# generated, do not edit\n"),
            ("a.py", "# the mark is you@generated.org, as they say\n"),
            ("cli.md", "<!-- generated by cog, do not edit -->\n# Commands\n"),
        ],
    )
    def test_speaking_of_it_is_not_enough(self, path, text):
        assert rule(path, text) is None

    def test_the_detail_quotes_the_line(self):
        skip = unfit("a.go", b"\n// Code generated by x. DO NOT EDIT.\n")
        assert skip is not None
        assert skip.detail == "line 2: // Code generated by x. DO NOT EDIT."


def test_hardly_any_source_of_the_standard_library_is_left_out():
    library = Path(sysconfig.get_paths()["stdlib"])
    packages = ["json", "email", "asyncio", "http", "xml", "encodings", "lib2to3", "idlelib"]
    files = [
        file
        for file in find(library, [name for name in packages if (library / name).is_dir()])
        if isinstance(file, File) and file.path.endswith(".py")
    ]
    assert len(files) > 200
    left_out = [skip for file in files if (skip := unfit(file.path, read_bytes(file)))]
    assert [skip for skip in left_out if skip.rule != "generated"] == []
    assert len(left_out) * 50 < len(files)
