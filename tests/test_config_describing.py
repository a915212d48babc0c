"""What is made of the definitions: JSON Schema, the table of keys, the first configuration."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from ragkit.config import load, reference, schema, template
from ragkit.config.describing import documentation
from ragkit.config.file import File
from ragkit.config.keys import keys_of
from ragkit.config.rag import Results, Source, StrategySettings

FIXTURES = sorted((Path(__file__).parent / "fixtures" / "config").glob("*.yaml"))


@pytest.fixture(scope="module")
def validator() -> jsonschema.Draft202012Validator:
    jsonschema.Draft202012Validator.check_schema(schema())
    return jsonschema.Draft202012Validator(schema())


def errors(validator: jsonschema.Draft202012Validator, text: str) -> list[str]:
    return [error.message for error in validator.iter_errors(yaml.safe_load(text))]


@pytest.mark.parametrize("path", FIXTURES, ids=lambda path: path.stem)
def test_the_schema_accepts_what_loads(
    validator: jsonschema.Draft202012Validator, path: Path
) -> None:
    assert errors(validator, path.read_text()) == []


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("rag: {kb: {strategies: [{type: bm25, treshold: 1}]}}", "'treshold' was unexpected"),
        ("rag: {kb: {dosc: []}}", "'dosc' was unexpected"),
        ("rag: {kb: {strategies: [{type: bm25, limit: 0}]}}", "less than the minimum of 1"),
        ("rag: {kb: {strategies: [{type: bm25, limit: many}]}}", "not of type 'integer'"),
        ("rag: {kb: {strategies: [{type: bm25, embedding_model: a/b}]}}", "False schema"),
        ("rag: {kb: {strategies: [{type: chunked-embeddings}]}}", "not valid under any"),
        ("rag: {kb: {strategies: [{type: bm26}]}}", "'bm26' is not one of"),
        ("rag: {kb: {results: {reranking: {}}}}", "'model' is a required property"),
        ("models: {x: {provider: dmr, model: y, temperature: 3}}", "greater than the maximum"),
        ("agents: {a: {model: auto, toolsets: [{type: todo, path: x}]}}", "False schema"),
        ("version: 99", "99 is not one of"),
    ],
)
def test_the_schema_rejects_what_does_not_load(
    validator: jsonschema.Draft202012Validator, tmp_path: Path, text: str, what: str
) -> None:
    assert any(what in error for error in errors(validator, text))


@pytest.mark.parametrize("version", ["7", '"7"'])
def test_the_schema_accepts_a_version_with_and_without_quotes(
    validator: jsonschema.Draft202012Validator, version: str
) -> None:
    assert errors(validator, f"version: {version}") == []


def test_other_spellings_are_deprecated_and_accepted(
    validator: jsonschema.Draft202012Validator,
) -> None:
    properties = schema()["$defs"]["strategy-settings"]["properties"]
    assert properties["model"]["deprecated"]
    assert "deprecated" not in properties["embedding_model"]
    assert (
        errors(validator, "rag: {kb: {strategies: [{type: chunked-embeddings, model: a}]}}") == []
    )


def test_everything_in_the_schema_is_described_and_no_class_name_shows() -> None:
    for part in _parts(schema()):
        for name, described in part.get("properties", {}).items():
            if "then" not in part and isinstance(described, dict) and "const" not in described:
                assert described["description"].endswith((".", "…")), name
        assert not re.search("[A-Z]", part.get("title", ""))
    assert not any(re.search("[A-Z]", name) for name in schema()["$defs"])


def _parts(node: Any) -> Iterator[dict[str, Any]]:
    if isinstance(node, dict):
        if "title" in node:
            yield node
        for value in node.values():
            yield from _parts(value)
    elif isinstance(node, list):
        for item in node:
            yield from _parts(item)


def test_each_field_that_is_a_key_says_what_it_means() -> None:
    seen, waiting = set(), [File]
    while waiting:
        section = waiting.pop()
        seen.add(section)
        texts = documentation(section)
        assert set(keys_of(section)) <= set(texts), section
        for key in keys_of(section).values():
            waiting += [found for found in _sections(key.kind) if found not in seen]
    assert {Source, Results} <= seen


def _sections(kind: Any) -> Iterator[type[Any]]:
    from dataclasses import is_dataclass
    from typing import get_args

    if is_dataclass(kind) and isinstance(kind, type):
        yield kind
    for part in get_args(kind):
        yield from _sections(part)


def test_the_table_has_a_row_for_each_key_with_its_default() -> None:
    lines = reference().splitlines()
    assert lines[0].startswith("| key ")
    rows = {line.split(" | ")[0].strip("| `"): line for line in lines[2:]}
    assert len(rows) == len(lines) - 2
    moved = {"description", "instruction", "tool_name"}
    assert set(keys_of(Source)) - set(rows) == moved
    for name in keys_of(StrategySettings):
        assert f"strategies[].{name}" in rows
    assert "| `60` |" in rows["results.fusion.k"]
    assert "| `true` |" in rows["results.deduplicate"]
    assert "| required |" in rows["results.reranking.model"]
    assert all(len(re.split(r"(?<!\\)\|", line)) == 6 for line in lines)


def test_the_first_configuration_means_what_holds_without_one(tmp_path: Path) -> None:
    from ragkit.kb.places import default_source

    path = tmp_path / "ragkit.yaml"
    path.write_text(template(tmp_path.name, ["."]), encoding="utf-8")
    configuration = load(path)
    assert configuration.warnings == ()
    assert configuration.sources == (default_source(tmp_path),)


def test_the_keys_in_comments_of_the_first_configuration_are_right_too(tmp_path: Path) -> None:
    lines = template("kb", ["."]).splitlines()
    head = next(n for n, line in enumerate(lines) if line == "rag:")
    keys = [re.sub(r"^( *)# ", r"\1", line) for line in lines[head:]]
    path = tmp_path / "ragkit.yaml"
    path.write_text("\n".join(keys), encoding="utf-8")
    (source,) = load(path).sources
    assert source.strategies[1].chunking.size == 2000
    assert source.results.fusion.strategy == "rrf"


def test_the_first_configuration_passes_its_schema(
    validator: jsonschema.Draft202012Validator,
) -> None:
    assert errors(validator, template("my project", ["src", "*.md"])) == []


NAMES = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), min_size=1)


@pytest.fixture(scope="module")
def scratch(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("init") / "ragkit.yaml"


@settings(max_examples=50, deadline=None)
@given(NAMES, st.lists(NAMES.filter(str.strip), min_size=1))
def test_any_name_and_any_path_come_back_from_the_first_configuration(
    scratch: Path, name: str, docs: list[str]
) -> None:
    scratch.write_text(template(name, docs), encoding="utf-8")
    (source,) = load(scratch).sources
    assert (source.name, source.docs) == (name, tuple(docs))
