"""Whatever is in the file: it loads, or one ConfigError says why not."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ragkit.config import load
from ragkit.config.file import File
from ragkit.config.keys import keys_of
from ragkit.errors import ConfigError

FIXTURES = sorted((Path(__file__).parent / "fixtures" / "config").glob("*.yaml"))
fuzz = settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("fuzz") / "agent.yaml"


def survives(path: Path, content: bytes) -> None:
    path.write_bytes(content)
    try:
        load(path)
    except ConfigError as error:
        message = error.message
    else:
        message = str(path)
    assert str(path) in message
    message.encode()  # what cannot be printed would be a traceback in the terminal


@fuzz
@given(st.binary(max_size=300))
def test_any_bytes(path: Path, content: bytes) -> None:
    survives(path, content)


@fuzz
@given(st.text(st.sampled_from("ab:-?[]{}&*!|>'\"%@`#,\n\t \\<~=0é"), max_size=60))
def test_any_text_of_yamls_own_characters(path: Path, text: str) -> None:
    survives(path, text.encode())


@fuzz
@given(st.sampled_from(FIXTURES), st.data())
def test_a_right_file_with_a_part_gone_or_something_put_in(
    path: Path, fixture: Path, data: st.DataObject
) -> None:
    text = fixture.read_text()
    start = data.draw(st.integers(0, len(text)))
    end = data.draw(st.integers(start, min(start + 30, len(text))))
    inserted = data.draw(
        st.sampled_from(["", ":", "- ", "[", "'", "&a ", "*a", "\n", "~", "0", "{}"])
    )
    survives(path, (text[:start] + inserted + text[end:]).encode())


def _words() -> list[str]:
    """Every key that is valid anywhere."""
    words, waiting = set(), [File]
    for section in waiting:
        for name, key in keys_of(section).items():
            words.add(name)
            waiting += [kind for kind in _sections(key.kind) if kind not in waiting]
    return sorted(words)


def _sections(kind: Any) -> list[Any]:
    from dataclasses import is_dataclass
    from typing import get_args

    return [kind] if is_dataclass(kind) else [s for part in get_args(kind) for s in _sections(part)]


VALUES = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5)
VALUES |= st.sampled_from(["bm25", "chunked-embeddings", "rag", "mcp", "auto", "a/b", "1m", "rrf"])
STRUCTURES = st.recursive(
    VALUES,
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(_words()), inner, max_size=4)
    ),
    max_leaves=8,
)


@fuzz
@given(st.dictionaries(st.sampled_from(sorted(keys_of(File))), STRUCTURES, max_size=4))
def test_any_structure_of_valid_keys(path: Path, structure: Any) -> None:
    survives(path, json.dumps(structure).encode())
