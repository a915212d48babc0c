"""Files that are no configuration at all: each is one message with its line, never a traceback."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import yaml

from ragkit.config import load
from ragkit.config.document import MAX_BYTES, Mapping, Scalar, Sequence, compose
from ragkit.errors import ConfigError


@pytest.fixture(autouse=True, params=["scanner in C", "scanner in Python"])
def scanner(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """PyYAML is built without its C part in some places; both must be told apart by speed alone."""
    if request.param == "scanner in Python":
        monkeypatch.delattr(yaml, "CSafeLoader")


@pytest.mark.parametrize(
    ("text", "line", "what", "remedy"),
    [
        ("a:\n\tb: 1", 2, "cannot start any token", "spaces, not with tabs"),
        ("a: 1\nb: 'x\nc: 2\n", 2, "quoted scalar", "close the quotes"),
        ('a: "C:\\Users"', 1, "quoted scalar", "double each backslash"),
        ("a: b: c", 1, "mapping values", "quote texts"),
        ("a: 1\nb: @c", 2, "cannot start any token", "quote texts that begin with @"),
        ("a: [1\n", 2, "flow sequence", "indentation"),
        ("a: 1\na: 2", 2, "a: written twice, first in line 1", "remove one"),
        ("a: *b", 1, "*b refers to no anchor", "define &b"),
        ("a: &a [*a]", 1, "*a holds itself", "write the value out"),
        ("a: !!python/object:os.system x", 1, "the tag", "remove it"),
        ("? [1]\n: 2", 1, "a key must be a word", "quote it"),
        ("a: 1\n<<: 5", 2, "<< merges mappings only", "alias"),
        ("a: 1\n---\nb: 2", 3, "a second document begins", "remove `---`"),
        ("a: 1\nb: \x01", 2, "the character U+0001 is not allowed", "remove it"),
    ],
)
def test_what_is_not_yaml_is_named_with_its_line(
    text: str, line: int, what: str, remedy: str
) -> None:
    with pytest.raises(ConfigError) as caught:
        compose(text, "agent.yaml")
    assert caught.value.message.startswith(f"agent.yaml:{line}: ")
    assert what in caught.value.message
    assert remedy in caught.value.remedy


@pytest.mark.parametrize("opening", ["[", "{a: ", "- "])
def test_deep_nesting_is_refused_before_it_can_exhaust_the_stack(opening: str) -> None:
    with pytest.raises(ConfigError, match="nested more than 60 deep"):
        compose(opening * 100_000, "agent.yaml")


def test_aliases_that_grow_exponentially_are_refused() -> None:
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 10)]
    with pytest.raises(ConfigError, match="more than 100,000 values, aliases followed"):
        compose("\n".join(lines), "agent.yaml")


def test_mappings_that_merge_exponentially_are_refused() -> None:
    lines = ["a0: &a0 {x: 1}"]
    lines += [f"a{n}: &a{n} {{<<: [{', '.join([f'*a{n - 1}'] * 10)}]}}" for n in range(1, 10)]
    with pytest.raises(ConfigError, match="aliases"):
        compose("\n".join(lines), "agent.yaml")


def test_of_merged_mappings_own_keys_win_and_then_the_earlier_ones() -> None:
    node = compose(
        "a: &a {x: 1, y: 1, z: 1}\nb: &b {x: 2, y: 2, w: 2}\nc: {<<: [*a, *b], x: 3}", "f"
    )
    assert isinstance(node, Mapping)
    _, merged = node.items["c"]
    assert isinstance(merged, Mapping)
    values = {
        key: value.text for key, (_, value) in merged.items.items() if isinstance(value, Scalar)
    }
    assert values == {"x": "3", "y": "1", "z": "1", "w": "2"}


def test_nodes_know_their_lines() -> None:
    node = compose("# first\na:\n  - b\n  - c: d\n", "f")
    assert isinstance(node, Mapping)
    line, items = node.items["a"]
    assert isinstance(items, Sequence)
    assert (line, items.line, items.items[0].line, items.items[1].line) == (2, 3, 3, 4)


@pytest.mark.parametrize("content", [b"", b"# only a comment\n", b"---\n", b"\xef\xbb\xbf", b"~"])
def test_an_empty_file_is_an_error_that_says_so(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "agent.yaml"
    path.write_bytes(content)
    with pytest.raises(ConfigError, match="is empty") as caught:
        load(path)
    assert "ragkit init" in caught.value.remedy


@pytest.mark.parametrize(("content", "shown"), [(b"- a\n", "a list"), (b"a\n", "a")])
def test_a_file_of_something_else_than_keys_is_an_error(
    tmp_path: Path, content: bytes, shown: str
) -> None:
    path = tmp_path / "agent.yaml"
    path.write_bytes(content)
    with pytest.raises(ConfigError, match=f"expected keys and values, not {shown}"):
        load(path)


def test_a_byte_order_mark_is_no_part_of_the_first_key(tmp_path: Path) -> None:
    path = tmp_path / "agent.yaml"
    path.write_bytes(b"\xef\xbb\xbfversion: 7\n")
    assert load(path).sources == ()


def test_a_file_in_another_encoding_is_an_error_at_its_line(tmp_path: Path) -> None:
    path = tmp_path / "agent.yaml"
    path.write_bytes("version: 7\n# für\n".encode("latin-1"))
    with pytest.raises(ConfigError) as caught:
        load(path)
    assert caught.value.message == f"{path}:2: not UTF-8"


def test_a_huge_file_is_refused_without_being_read(tmp_path: Path) -> None:
    path = tmp_path / "agent.yaml"
    with path.open("wb") as file:
        file.truncate(50 * MAX_BYTES)
    with pytest.raises(ConfigError, match="larger than 1 MB"):
        load(path)


def test_a_file_that_is_not_there_a_folder_and_an_impossible_path_are_errors(
    tmp_path: Path,
) -> None:
    with pytest.raises(ConfigError, match="there is no such file"):
        load(tmp_path / "none.yaml")
    with pytest.raises(ConfigError, match="is a folder"):
        load(tmp_path)
    with pytest.raises(ConfigError, match="cannot be read"):
        load(Path("a\0b"))
    with pytest.raises(ConfigError, match="cannot be read"):
        load(tmp_path / ("x" * 300))


def test_a_file_that_may_not_be_read_is_an_error(tmp_path: Path, permissions_bind: None) -> None:
    path = tmp_path / "agent.yaml"
    path.touch(mode=0)
    with pytest.raises(ConfigError, match="cannot be read"):
        load(path)


def test_a_pipe_is_refused_without_waiting_for_a_writer(tmp_path: Path) -> None:
    path = tmp_path / "agent.yaml"
    os.mkfifo(path)
    with pytest.raises(ConfigError, match="is not a file"):
        load(path)
