"""Prompts with placeholders: what is put in, what is refused."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ragkit.config import load
from ragkit.config.prompts import PLACEHOLDERS, problems, prompt
from ragkit.errors import ConfigError

VALUES = {name: f"<{name}>" for name in PLACEHOLDERS}
CONFIG = """\
rag:
  code:
    docs: [.]
    strategies:
      - type: semantic-embeddings
        embedding_model: embedded/static
        chat_model: dmr/ai/smollm2
        semantic_prompt: {prompt}
"""


def filled(text: str) -> str:
    return prompt(text).filled(VALUES)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("${path}:${chunk_index}", "<path>:<chunk_index>"),
        ("${basename}\n${ast_context}\n${content}", "<basename>\n<ast_context>\n<content>"),
        ("${ content }", "<content>"),
        (r"\${content} is ${content}", "${content} is <content>"),
        ("$content {content} $ {content} $$", "$content {content} $ {content} $$"),
        ("$${content}", "$<content>"),
        ("", ""),
    ],
)
def test_placeholders_are_those_of_a_template_literal(text: str, expected: str) -> None:
    assert filled(text) == expected


@given(st.dictionaries(st.sampled_from(PLACEHOLDERS), st.text()), st.data())
def test_a_value_is_put_in_as_it_is_whatever_it_looks_like(
    values: dict[str, str], data: st.DataObject
) -> None:
    plain = st.text().filter(lambda text: "$" not in text and not text.endswith("\\"))
    names = data.draw(st.lists(st.sampled_from(sorted(values)))) if values else []
    texts = data.draw(st.lists(plain, min_size=len(names) + 1, max_size=len(names) + 1))
    written = texts[0] + "".join(f"${{{n}}}{t}" for n, t in zip(names, texts[1:], strict=True))
    expected = texts[0] + "".join(values[n] + t for n, t in zip(names, texts[1:], strict=True))
    assert prompt(written).filled(values) == expected
    assert prompt(written).names == set(names)


@given(st.text(alphabet="${}\\ acontet"))
def test_any_text_is_refused_or_filled_in(text: str) -> None:
    if not list(problems("semantic_prompt", text)):
        assert "<content>" in filled(text) or "<ast_context>" in filled(text)


@pytest.mark.parametrize(
    ("written", "words"),
    [
        ("'Tell ${contents}, ${content}'", "unknown placeholder ${contents}"),
        ("'${content.trim()} ${content}'", "unknown placeholder ${content.trim()}"),
        ("'${} ${content}'", "unknown placeholder ${}"),
        ("'${content} and ${path'", "is not closed"),
        ("'Describe {content}.'", "would not see"),
    ],
)
def test_a_wrong_placeholder_is_told_with_its_line(
    tmp_path: Path, written: str, words: str
) -> None:
    file = tmp_path / "agent.yaml"
    file.write_text(CONFIG.format(prompt=written), encoding="utf-8")
    with pytest.raises(ConfigError) as caught:
        load(file)
    assert f"{file}:8: " in caught.value.message
    assert "semantic_prompt" in caught.value.message
    assert words in caught.value.message
    if "unknown" in words:
        for name in PLACEHOLDERS:
            assert f"${{{name}}}" in caught.value.remedy + caught.value.message


def test_a_prompt_on_several_lines_is_taken(tmp_path: Path) -> None:
    file = tmp_path / "agent.yaml"
    file.write_text(
        CONFIG.format(prompt="|\n          ${path}\n          ${ast_context}\n"), encoding="utf-8"
    )
    (source,) = load(file).sources
    assert source.strategies[0].semantic_prompt == "${path}\n${ast_context}\n"
