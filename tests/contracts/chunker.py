"""What every chunker promises, whatever the text.

class TestMine(ChunkerContract):
    language = "mine"
"""

from __future__ import annotations

from typing import ClassVar

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from ragkit.chunkers import chunker
from ragkit.types import Chunk, Document

pieces = st.sampled_from(
    [
        *(" ", "  ", "\n", "\n\n", "\t", "\r", "\u3000", "\u2028", "\xa0", "\x1f", "\ufeff"),
        *(
            "word",
            "a",
            "x" * 30,
            "数据库",
            "支持。",
            "，",
            "🦊",
            "é",
            "ﬁ",
            "İ",
            "\U0010ffff",
            "\x07",
        ),
        *("# Head", "## Sub", "Title\n=====", "---", "```", "~~~py", "| a | b |\n|---|---|"),
        *("* item", "> quote", "<!-- ", " -->", "::", ".. note::", "== Part", "----", "|==="),
        *("def f():", "class A:", "    pass", "@d", "// c", "/* ", " */", "fn f() {", "}", "{"),
        *("(", ")", "[", "]", '"', "'", "`", "=", ";", ",", "<a>", "</a>", "key: 1", "[t]"),
    ]
)
texts = st.one_of(
    st.lists(pieces, max_size=60).map("".join),
    st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=200),
)
sizes = st.integers(1, 60) | st.just(1500)


class ChunkerContract:
    """Subclass it and say which language; `cut` may be overridden for a chunker of its own."""

    language: ClassVar[str | None] = None
    samples: ClassVar[tuple[str, ...]] = ()
    """Texts in this language; pieces of them are cut too."""

    def cut(self, text: str, size: int) -> list[Chunk]:
        document = Document("a/b", text, "", self.language)
        return chunker(size=size, overlap=size // 4)(document)

    @given(text=texts, size=sizes)
    @example(text="x" * 5_000, size=50)
    @example(text="[" * 3_000, size=50)
    @example(text="数据库支持按相似度检索。" * 100, size=50)
    @example(text="```\n# not a heading\n" * 9, size=20)
    @settings(
        max_examples=60,
        deadline=None,
        suppress_health_check=[HealthCheck.differing_executors, HealthCheck.too_slow],
    )
    def test_any_text_is_cut_without_loss(self, text: str, size: int) -> None:
        check(text, self.cut(text, size), size)
        assert self.cut(text, size) == self.cut(text, size)

    @given(data=st.data(), size=sizes)
    @settings(
        max_examples=40, deadline=None, suppress_health_check=[HealthCheck.differing_executors]
    )
    def test_any_part_of_a_real_text_is_cut_without_loss(
        self, data: st.DataObject, size: int
    ) -> None:
        if not self.samples:
            pytest.skip("no samples")
        text = data.draw(st.sampled_from(self.samples))
        start = data.draw(st.integers(0, len(text)))
        stop = data.draw(st.integers(start, len(text)))
        check(text[start:stop], self.cut(text[start:stop], size), size)

    @pytest.mark.parametrize("text", ["", " ", "\n\n\t \u3000\r"], ids=["empty", "space", "blank"])
    def test_nothing_to_say_makes_no_chunk(self, text: str) -> None:
        assert self.cut(text, 100) == []


def check(text: str, chunks: list[Chunk], size: int) -> None:
    """Every law of a list of chunks, for the text that they were cut from."""
    covered = bytearray(len(text))
    start = 0
    for index, chunk in enumerate(chunks):
        assert chunk.index == index
        assert chunk.text == text[chunk.start : chunk.end]
        assert 0 < len(chunk.text) <= size
        assert chunk.text.strip()
        assert chunk.start >= start
        start = chunk.start
        assert chunk.start_line == text.count("\n", 0, chunk.start) + 1
        assert chunk.end_line == text.count("\n", 0, chunk.end) + 1
        covered[chunk.start : chunk.end] = b"\1" * len(chunk.text)
    lost = [text[i] for i, seen in enumerate(covered) if not seen and not text[i].isspace()]
    assert lost == []
