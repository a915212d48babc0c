"""Plain text: the golden vectors of docker-agent, and what it lost."""

from __future__ import annotations

import pytest
from contracts.chunker import check

from ragkit.chunkers import chunker
from ragkit.types import Document

FOX = "The quick brown fox jumps over the lazy dog. The dog was sleeping peacefully under a tree."
ALPHABET = "abcdefghijklmnopqrstuvwxyz"


def cut(text: str, size: int, overlap: int, *, words: bool) -> list[str]:
    chunks = chunker(size=size, overlap=overlap, respect_word_boundaries=words)(
        Document("a.txt", text, "")
    )
    normal = size if size > 0 else 1000
    check(text, chunks, normal)
    return [chunk.text for chunk in chunks]


@pytest.mark.parametrize(
    ("text", "size", "overlap", "words", "expected"),
    [
        pytest.param(
            *(FOX, 30, 5, False),
            [
                "The quick brown fox jumps over",
                "over the lazy dog. The dog wa",
                "og was sleeping peacefully und",
                "y under a tree.",
            ],
            id="fox",
        ),
        pytest.param(
            *(FOX, 30, 5, True),
            [
                "The quick brown fox jumps over",
                "over the lazy dog. The dog was",
                "was sleeping peacefully under",
                "a tree.",
            ],
            id="fox by words",
        ),
        pytest.param(
            *("one two three four five six seven eight", 20, 5, True),
            ["one two three four", "four five six seven", "eight"],
            id="numbers by words",
        ),
        pytest.param(
            *("This is a test text for chunking", 10, 2, False),
            ["This is a", "a test tex", "ext for ch", "chunking"],
            id="short",
        ),
        pytest.param(
            *(ALPHABET, 10, 10, False),
            ["abcdefghij", "fghijklmno", "klmnopqrst", "pqrstuvwxy", "uvwxyz"],
            id="overlap as large as the size",
        ),
        pytest.param("", 10, 2, False, [], id="empty"),
    ],
)
def test_golden_vectors(
    text: str, size: int, overlap: int, words: bool, expected: list[str]
) -> None:
    assert cut(text, size, overlap, words=words) == expected


def test_without_a_boundary_the_next_window_overlaps_the_cut() -> None:
    found = cut("x" * 120 + " tail", 50, 10, words=True)
    assert found == ["x" * 50, "x" * 50, "x" * 40 + " tail"]


def test_chinese_is_cut_behind_its_punctuation() -> None:
    found = cut("向量数据库支持检索。" * 8, 25, 5, words=True)
    assert all(chunk.endswith("。") for chunk in found)
    assert cut("数据。 库", 4, 0, words=True) == ["数据。", "库"]


def test_full_width_space_is_a_boundary() -> None:
    assert cut("数据库\u3000相似度", 5, 0, words=True) == ["数据库", "相似度"]


def test_no_overlap_is_allowed() -> None:
    assert cut(ALPHABET, 10, 0, words=False) == ["abcdefghij", "klmnopqrst", "uvwxyz"]
    assert cut("one two three", 8, 0, words=True) == ["one two", "three"]


@pytest.mark.parametrize(
    ("size", "overlap", "normal"),
    [(0, 0, (1000, 0)), (-5, 10, (1000, 10)), (10, -3, (10, 0)), (7, 9, (7, 3)), (1, 1, (1, 0))],
)
def test_impossible_sizes_are_read_as_docker_agent_reads_them(
    size: int, overlap: int, normal: tuple[int, int]
) -> None:
    text = "a b " * 700
    assert cut(text, size, overlap, words=False) == cut(text, *normal, words=False)


def test_one_line_of_ten_megabytes_is_cut() -> None:
    text = "0123456789" * 1_000_000
    chunks = chunker(respect_word_boundaries=True)(Document("a.txt", text, ""))
    assert [chunk.start for chunk in chunks] == list(range(0, len(text) - 75, 1425))
    assert chunks[-1].end == len(text)
    assert {chunk.end_line for chunk in chunks} == {1}
