"""The chunker as a whole: the contract, the choice by language, what it falls back to."""

from __future__ import annotations

import gc
import pickle
import sys
import tracemalloc
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from contracts.chunker import ChunkerContract, check

from ragkit.chunkers import chunker, grammars, language_of
from ragkit.chunkers.structured import CHUNKERS
from ragkit.types import Chunk, Document

FIXTURES = sorted((Path(__file__).parent / "fixtures" / "chunkers").iterdir())


def document(text: str, language: str | None) -> Document:
    return Document("a/b", text, "", language)


def samples(*languages: str) -> tuple[str, ...]:
    return tuple(p.read_text("utf-8") for p in FIXTURES if language_of(p.name) in languages)


class TestText(ChunkerContract):
    language = None
    samples = samples("markdown", "python")


class TestMarkdown(ChunkerContract):
    language = "markdown"
    samples = samples("markdown")


class TestRestructuredText(ChunkerContract):
    language = "rst"
    samples = samples("rst")


class TestAsciidoc(ChunkerContract):
    language = "asciidoc"
    samples = samples("asciidoc")


class TestYaml(ChunkerContract):
    language = "yaml"
    samples = samples("yaml", "ini")


class TestPython(ChunkerContract):
    language = "python"
    samples = samples("python")


class TestTypescript(ChunkerContract):
    language = "typescript"
    samples = samples("typescript", "javascript")


class TestCpp(ChunkerContract):
    language = "cpp"
    samples = samples("cpp", "c")


@pytest.mark.parametrize("path", FIXTURES, ids=lambda path: path.name)
@pytest.mark.parametrize("size", [1, 30, 200, 1500])
def test_every_language_is_cut_without_loss(path: Path, size: int) -> None:
    text = path.read_text("utf-8")
    language = language_of(path.name, text)
    assert language in CHUNKERS
    check(text, chunker(size=size)(document(text, language)), size)


def test_every_structured_language_has_a_fixture() -> None:
    assert {language_of(p.name, p.read_text("utf-8")) for p in FIXTURES} == set(CHUNKERS)


def test_a_chunker_can_be_sent_to_another_process() -> None:
    cut = chunker(size=300, overlap=10)
    again = pickle.loads(pickle.dumps(cut))
    for language in (None, "markdown", "python"):
        text = "\n".join(samples("markdown", "python"))
        assert again(document(text, language)) == cut(document(text, language))


def test_threads_that_parse_at_once_do_not_disturb_one_another() -> None:
    cut = chunker(size=100)
    documents = [document(text, "python") for text in samples("python")] * 20
    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(cut, documents)) == [cut(one) for one in documents]


def without_structure(text: str, *, size: int) -> list[Chunk]:
    return chunker(size=size)(document(text, None))


def test_an_unknown_language_is_plain_text() -> None:
    text = "some words " * 100
    assert chunker(size=90)(document(text, "klingon")) == without_structure(text, size=90)


def test_code_is_plain_text_where_asked() -> None:
    (text,) = samples("python")
    cut = chunker(size=200, code_aware=False)
    assert cut(document(text, "python")) == without_structure(text, size=200)
    (prose,) = samples("markdown")
    assert cut(document(prose, "markdown"))[-1].context.startswith("Store")


@pytest.fixture
def no_grammars(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setitem(sys.modules, "semble_grammars", None)
    monkeypatch.setattr(grammars, "_PARSERS", grammars._Parsers())
    grammars._grammar.cache_clear()
    yield
    grammars._grammar.cache_clear()


def test_a_parse_leaves_nothing_of_its_source_in_memory() -> None:
    size = 20_000
    grammars.parse("python", b"x = 1\n" * (size // 6))
    tracemalloc.start()
    try:
        for n in range(20):
            grammars.parse("python", f"x = {n}\n".encode() * (size // 6))
        gc.collect()
        kept, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert kept < size


@pytest.mark.usefixtures("no_grammars")
def test_code_is_plain_text_where_there_are_no_grammars() -> None:
    (text,) = samples("python")
    assert chunker(size=200)(document(text, "python")) == without_structure(text, size=200)


def test_code_is_plain_text_where_the_parser_gives_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(grammars, "_PATIENCE", (0, 0.0))
    (text,) = samples("python")
    assert chunker(size=200)(document(text, "python")) == without_structure(text, size=200)
    monkeypatch.undo()
    assert chunker(size=200)(document(text, "python"))[0].context == "Thing"


def test_a_source_too_long_to_parse_is_plain_text(monkeypatch: pytest.MonkeyPatch) -> None:
    (text,) = samples("python")
    monkeypatch.setattr(grammars, "_LONGEST", len(text) - 1)
    assert chunker(size=200)(document(text, "python")) == without_structure(text, size=200)


@pytest.mark.parametrize("language", ["python", "javascript", "c", "json", "markdown", "yaml"])
@pytest.mark.parametrize("nested", ["[", "- ", "(("], ids=["brackets", "dashes", "parentheses"])
def test_deep_nesting_is_cut_without_loss(language: str, nested: str) -> None:
    text = nested * 100_000
    check(text, chunker()(document(text, language)), 1500)


@pytest.mark.parametrize(("language", "text"), [("scala", "`" * 100_000), ("lua", "a+" * 50_000)])
def test_what_drives_a_parser_mad_is_cut_as_plain_text(language: str, text: str) -> None:
    assert grammars.parse(language, text.encode()) is None
    check(text, chunker()(document(text, language)), 1500)


def test_deep_indentation_is_cut_without_loss() -> None:
    text = "".join(" " * i + "if x:\n" for i in range(600))
    for language in ("python", "yaml"):
        check(text, chunker(size=1500)(document(text, language)), 1500)
