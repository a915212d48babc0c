"""A configuration file: what loads, what it means, and what is said about what doesn't."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import asdict, fields
from pathlib import Path

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from ragkit.config import Configuration, discover, load, schema
from ragkit.config.loading import InvalidConfig
from ragkit.config.rag import Chunking, Fusion, Source, StrategySettings
from ragkit.errors import ConfigError, RagkitError

FIXTURES = Path(__file__).parent / "fixtures" / "config"
SEEDS = sorted(FIXTURES.glob("seed-*.yaml"))
EXAMPLES = sorted(set(FIXTURES.glob("*.yaml")) - set(SEEDS))

Write = Callable[[str], Path]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Writes a configuration and returns its path."""

    def write(text: str) -> Path:
        path = tmp_path / "agent.yaml"
        path.write_text(text, encoding="utf-8")
        return path

    return write


@pytest.fixture
def reading(write: Write) -> Callable[[str], Configuration]:
    return lambda text: load(write(text))


@pytest.fixture
def problems(write: Write) -> Callable[[str], list[str]]:
    """All problems of a text as `line: key: what | remedy`."""

    def problems(text: str) -> list[str]:
        path = write(text)
        with pytest.raises(InvalidConfig) as caught:
            load(path)
        found = [f"{p} | {p.remedy}".removeprefix(f"{path}:") for p in caught.value.problems]
        assert str(caught.value).startswith(str(path))
        return found

    return problems


def in_strategy(
    line: str, kind: str = "chunked-embeddings, embedding_model: embedded/static"
) -> str:
    """A file whose line 3 is the start of a flow mapping of a strategy with this in it."""
    return f"rag:\n  kb:\n    strategies: [{{type: {kind}, {line}}}]\n"


@pytest.mark.parametrize("path", SEEDS, ids=lambda path: path.stem)
def test_every_block_of_the_seed_page_loads_as_it_stands(path: Path) -> None:
    assert load(path).warnings == ()


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_files_in_the_shapes_of_docker_agents_examples_load(path: Path) -> None:
    assert load(path).agents


def test_a_team_of_agents_is_read_as_it_is_written() -> None:
    team = load(FIXTURES / "agents.yaml")
    lead, reader = team.agents.values()
    assert team.attached == {"lead": ("rules",), "reader": ()}
    assert [source.name for source in team.sources] == ["garden", "rules"]
    assert lead.fallback is not None
    assert (lead.fallback.retries, lead.fallback.cooldown) == (-1, 90)
    assert lead.structured_output is not None
    assert lead.structured_output.schema["required"] == ["text"]
    assert reader.commands == {"first": "Read this.", "second": "Read that."}
    assert (lead.skills, reader.skills) == (True, ("local", "https://skills.example.com"))
    assert (lead.toolsets[1].defer, lead.toolsets[3].defer) == (("forecast",), True)
    assert lead.toolsets[4].shell["moon"].args == {"day": {"type": "string"}}
    assert team.mcps["weather"].type == "mcp"
    assert team.toolsets["paper"].post_edit[0].path == "*.py"
    assert team.permissions.deny == ("mcp:*:delete",)
    assert (team.metadata.version, team.providers["gateway"].token_key) == ("1.2.0", "GATEWAY_KEY")
    assert team.models["careful"].routing[0].examples == ("hello", "thanks")


def test_a_model_is_split_at_its_first_slash() -> None:
    (source,) = load(FIXTURES / "seed-6.yaml").sources
    assert source.results.reranking is not None
    reranker = source.model(source.results.reranking.model)
    assert (reranker.provider, reranker.name) == ("dmr", "reranker")
    assert reranker.model == "hf.co/ggml-org/qwen3-reranker-0.6b-q8_0-gguf"
    embedder = source.model(str(source.strategies[0].embedding_model))
    assert (embedder.provider, embedder.model) == ("dmr", "ai/embeddinggemma")


def test_a_written_limit_counts_in_a_file_without_a_version() -> None:
    (source,) = load(FIXTURES / "seed-6.yaml").sources
    assert (source.strategies[0].limit, source.results.limit) == (20, 5)


def test_what_is_not_written_has_the_documented_default(
    reading: Callable[[str], Configuration],
) -> None:
    (source,) = reading("rag: {kb: {docs: [.], strategies: [{type: bm25}]}}").sources
    assert source == Source(
        name="kb",
        root=source.root,
        docs=(".",),
        strategies=(StrategySettings(type="bm25", name="bm25"),),
    )
    assert source.respect_vcs
    assert source.strategies[0].limit == 5
    assert (source.strategies[0].k1, source.strategies[0].b) == (1.5, 0.75)
    assert source.strategies[0].chunking == Chunking(respect_word_boundaries=False)
    assert (source.results.limit, source.results.deduplicate) == (15, True)
    assert source.results.fusion == Fusion(strategy=None, k=60)
    assert source.indexing_timeout == 1800


def test_zero_means_the_default_where_docker_agent_has_it_so(
    reading: Callable[[str], Configuration],
) -> None:
    (source,) = reading(
        "rag: {kb: {strategies: [{type: bm25}], results: {limit: 0, fusion: {k: 0},"
        " reranking: {model: a/b, threshold: 0}}}}"
    ).sources
    assert (source.results.limit, source.results.fusion.k) == (15, 60)
    assert source.results.reranking is not None
    assert source.results.reranking.threshold == 0


def test_an_overlap_of_zero_is_kept(reading: Callable[[str], Configuration]) -> None:
    (source,) = reading(in_strategy("chunking: {overlap: 0}")).sources
    assert source.strategies[0].chunking.overlap == 0


def test_paths_refer_to_the_folder_of_the_file_wherever_the_process_is(
    write: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write("rag: {kb: {docs: [./src], strategies: [{type: bm25}]}}")
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    (source,) = load(Path("..", path.name)).sources
    assert source.root == str(tmp_path)
    assert source.docs == ("./src",)
    assert source.file == os.path.join("..", path.name)


def test_a_plain_scalar_is_a_text_where_a_text_is_expected(
    reading: Callable[[str], Configuration],
) -> None:
    (source,) = reading("rag: {no: {docs: [2024, no, 1.50], strategies: [{type: bm25}]}}").sources
    assert source.name == "no"
    assert source.docs == ("2024", "no", "1.50")


def test_anchors_aliases_and_merge_keys_are_followed(
    reading: Callable[[str], Configuration],
) -> None:
    configuration = reading(
        "rag:\n"
        "  one: &base\n"
        "    docs: &docs [./a, ./b]\n"
        "    strategies: [{type: bm25, limit: 7}]\n"
        "  two:\n"
        "    <<: *base\n"
        "    docs: [./c]\n"
        "  three:\n"
        "    docs: *docs\n"
        "    strategies: [{type: bm25}]\n"
    )
    one, two, three = configuration.sources
    assert two.strategies == one.strategies
    assert (two.docs, three.docs) == (("./c",), one.docs)


@pytest.mark.parametrize(
    ("written", "seconds"),
    [("30m", 1800), ("0s", 0), ("1m30s", 90), ("1.5h", 5400), ("90", 90), ("250ms", 0.25)],
)
def test_durations_are_seconds_or_carry_their_units(
    reading: Callable[[str], Configuration], written: str, seconds: float
) -> None:
    (source,) = reading(
        f"rag: {{kb: {{strategies: [{{type: bm25}}], indexing_timeout: {written}}}}}"
    ).sources
    assert source.indexing_timeout == seconds


@pytest.mark.parametrize(
    "version", ["", *(f"version: {q}{n}{q}\n" for n in range(16) for q in ("", '"'))]
)
def test_every_version_of_the_format_is_read_alike(
    reading: Callable[[str], Configuration], version: str
) -> None:
    (source,) = reading(version + in_strategy("limit: 20")).sources
    assert source.strategies[0].limit == 20


def test_an_unknown_version_is_an_error_that_lists_the_known_ones(
    problems: Callable[[str], list[str]],
) -> None:
    (problem,) = problems('version: "99"\n')
    assert problem.startswith('1: version: the text "99" is not one of 0, 1, 2, 3, 4, 5, 6, 7, 8')


# Attaching knowledge bases to agents


@pytest.mark.parametrize("version", ["", 'version: "5"\n', 'version: "7"\n', "version: 10\n"])
def test_three_ways_to_attach_a_knowledge_base_give_the_same_one(
    reading: Callable[[str], Configuration], version: str
) -> None:
    base = "docs: [.], strategies: [{type: bm25, limit: 9}]"
    named = version + f"rag: {{kb: {{{base}}}}}\n"
    forms = [
        named + "agents: {root: {model: auto, rag: [kb]}}",
        named + "agents: {root: {model: auto, toolsets: [{type: rag, ref: kb}]}}",
        f"{version}agents: {{root: {{model: auto, toolsets: "
        f"[{{type: rag, name: kb, rag_config: {{{base}}}}}]}}}}",
        f"{version}toolsets: {{t: {{type: rag, name: kb, rag_config: {{{base}}}}}}}\n"
        "agents: {root: {model: auto, use_toolsets: [t]}}",
    ]
    read = [reading(form) for form in forms]
    assert all(configuration.attached == {"root": ("kb",)} for configuration in read)
    assert all(configuration.sources == read[0].sources for configuration in read)


def test_inline_knowledge_bases_get_names_of_their_own(
    reading: Callable[[str], Configuration],
) -> None:
    inline = "{type: rag, rag_config: {docs: [.], strategies: [{type: bm25}]}}"
    configuration = reading(
        "rag: {rag: {strategies: [{type: bm25}]}}\n"
        f"agents:\n  a: {{model: auto, toolsets: [{inline}]}}\n"
        f"  b: {{model: auto, rag: [rag], toolsets: [{inline}]}}\n"
    )
    assert [source.name for source in configuration.sources] == ["rag", "rag-2", "rag-3"]
    assert configuration.attached == {"a": ("rag-2",), "b": ("rag", "rag-3")}
    assert configuration.sources[1].tool.name == "rag"


def test_a_name_that_nothing_defines_is_an_error_that_lists_the_known_ones(
    problems: Callable[[str], list[str]],
) -> None:
    found = problems(
        "models: {fast: {provider: dmr, model: ai/x, routing: [{model: slow, examples: []}]}}\n"
        "rag: {kb: {strategies: [{type: chunked-embeddings, embedding_model: fats}],\n"
        "           results: {reranking: {model: embedded/statik}}}}\n"
        "agents:\n"
        "  root:\n"
        "    model: fsat\n"
        "    rag: [kv]\n"
        "    sub_agents: [roots]\n"
        "    use_toolsets: [paper]\n"
        "    fallback: {models: [opnai/x]}\n"
        "    toolsets:\n"
        "      - {type: rag, ref: kv}\n"
        "      - {type: mcp, ref: weather}\n"
    )
    assert [line.split(" | ")[0] for line in found] == [
        "1: models.fast.routing[0].model: no model slow",
        "2: rag.kb.strategies[0].embedding_model: no model fats",
        "3: rag.kb.results.reranking.model: no embedded model statik",
        "6: agents.root.model: no model fsat",
        "7: agents.root.rag[0]: no knowledge base kv",
        "8: agents.root.sub_agents[0]: no agent roots",
        "9: agents.root.use_toolsets[0]: no toolset paper",
        "10: agents.root.fallback.models[0]: unknown provider opnai",
        "12: agents.root.toolsets[0].ref: no knowledge base kv",
        "13: agents.root.toolsets[1].ref: no MCP server weather",
    ]
    assert found[4].endswith("known: kb")
    assert "fast" in found[1]
    assert found[7].endswith("did you mean openai/x?")


def test_a_reference_with_a_slash_is_a_model_of_its_own(
    reading: Callable[[str], Configuration],
) -> None:
    (source,) = reading(
        "models: {dmr/x: {provider: openai, model: y}, y: {provider: openai, model: z}}\n"
        "rag: {kb: {strategies: [{type: bm25}]}}"
    ).sources
    assert source.model("dmr/x").provider == "dmr"
    assert source.model("y").model == "z"
    assert source.model("auto").provider == "auto"
    with pytest.raises(ConfigError, match="no model z"):
        source.model("z")


# Strategies


def test_two_strategies_of_one_type_have_names_of_their_own(
    reading: Callable[[str], Configuration],
) -> None:
    (source,) = reading(
        "rag: {kb: {strategies: [{type: bm25}, {type: bm25, name: bm25-2}, {type: bm25},"
        " {type: bm25, name: exact}]}}"
    ).sources
    assert [s.name for s in source.strategies] == ["bm25", "bm25-2", "bm25-3", "exact"]


def test_one_name_for_two_strategies_is_an_error(problems: Callable[[str], list[str]]) -> None:
    (problem,) = problems("rag: {kb: {strategies: [{type: bm25, name: a}, {type: bm25, name: a}]}}")
    assert "strategies[1].name: a is taken by another strategy" in problem


@pytest.mark.parametrize(
    ("fusion", "expected"),
    [
        ("{strategy: weighted}", "weighted fusion has no weight for bm25, bm25-2"),
        ("{strategy: weighted, weights: {bm25: 1}}", "weighted fusion has no weight for bm25-2"),
        ("{strategy: convex, weights: {bm25: 1}}", "convex fusion has no weight for bm25-2"),
        ("{weights: {bm25: 1, bm52: 1}}", "no strategy bm52"),
        ("{strategy: convex, weights: {bm25: 0, bm25-2: 0}}", "are all 0"),
        ("{strategy: rff}", "rff is not one of rrf, weighted, max, convex"),
    ],
)
def test_fusion_that_could_not_work_is_an_error_at_load(
    problems: Callable[[str], list[str]], fusion: str, expected: str
) -> None:
    strategies = "[{type: bm25}, {type: bm25}]"
    found = problems(f"rag: {{kb: {{strategies: {strategies}, results: {{fusion: {fusion}}}}}}}")
    assert expected in found[0]


@pytest.mark.parametrize("kind", ["chunked-embeddings", "semantic-embeddings"])
def test_an_embedding_strategy_needs_its_models(
    problems: Callable[[str], list[str]], kind: str
) -> None:
    found = problems(f"rag:\n  kb:\n    strategies:\n      - type: {kind}\n")
    assert found[0].startswith(f"4: rag.kb.strategies[0]: {kind} needs embedding_model")
    assert len(found) == (2 if kind.startswith("semantic") else 1)


def test_a_knowledge_base_needs_a_strategy(problems: Callable[[str], list[str]]) -> None:
    assert problems("rag:\n  kb:\n    docs: [.]\n") == [
        "2: rag.kb: no strategies | add `strategies: [{type: bm25}]`"
    ]


# Other spellings


def test_other_spellings_are_read_with_a_warning_at_their_line(
    reading: Callable[[str], Configuration],
) -> None:
    configuration = reading(
        "rag:\n"
        "  kb:\n"
        "    description: plants\n"
        "    strategies:\n"
        "      - type: chunked-embeddings\n"
        "        model: dmr/ai/x\n"
        "        batch_size: 7\n"
    )
    (source,) = configuration.sources
    (strategy,) = source.strategies
    assert (strategy.embedding_model, strategy.embedding_batch_size) == ("dmr/ai/x", 7)
    assert (source.tool.description, source.description) == ("plants", None)
    assert [str(w).removeprefix(f"{configuration.path}:") for w in configuration.warnings] == [
        "3: rag.kb.description: is read as tool.description",
        "6: rag.kb.strategies[0].model: is read as embedding_model",
        "7: rag.kb.strategies[0].batch_size: is read as embedding_batch_size",
    ]


def test_a_key_under_both_of_its_names_is_an_error(problems: Callable[[str], list[str]]) -> None:
    (problem,) = problems(in_strategy("model: dmr/x"))
    assert "model: is another name of embedding_model, which is there too" in problem


# Any values


@pytest.fixture(scope="module")
def scratch(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("any") / "ragkit.yaml"


@pytest.fixture(scope="module")
def validator() -> Draft202012Validator:
    return Draft202012Validator(schema())


def settings_of(kind: str) -> st.SearchStrategy[StrategySettings]:
    """Any strategy of a type that could stand in a file."""
    texts = st.text(st.characters(codec="utf-8", exclude_categories=("Cc", "Zl", "Zp")), min_size=1)
    texts = texts.filter(str.strip)
    vectors = {
        "embedding_model": texts.map(lambda text: f"dmr/{text}"),
        "vector_dimensions": st.none() | st.integers(1, 65536),
        "embedding_batch_size": st.integers(1, 10_000),
    }
    bm25 = {"k1": st.floats(0, 1e6), "b": st.floats(0, 1)}
    return st.builds(
        StrategySettings,
        type=st.just(kind),
        docs=st.lists(texts, max_size=2).map(tuple),
        database=st.none() | texts,
        limit=st.integers(1, 1_000_000),
        threshold=st.none() | st.floats(allow_nan=False, allow_infinity=False),
        respect_vcs=st.none() | st.booleans(),
        chunking=st.builds(
            Chunking,
            size=st.none() | st.integers(1, 1_000_000),
            overlap=st.none() | st.integers(0, 1_000_000),
            code_aware=st.none() | st.booleans(),
        ),
        **(bm25 if kind == "bm25" else vectors),
    )


@settings(max_examples=50, deadline=None)
@given(
    st.lists(
        st.sampled_from(["bm25", "chunked-embeddings"]).flatmap(settings_of), min_size=1, max_size=3
    )
)
def test_what_is_written_is_what_is_read(
    scratch: Path, validator: Draft202012Validator, strategies: list[StrategySettings]
) -> None:
    written = [
        {
            item.name: getattr(strategy, item.name)
            for item in fields(strategy)
            if getattr(strategy, item.name) != item.default
        }
        for strategy in strategies
    ]
    for keys in written:
        keys["docs"] = list(keys.get("docs", ()))
        chunking = asdict(keys["chunking"])
        keys["chunking"] = {key: value for key, value in chunking.items() if value is not None}
    file = {"rag": {"kb": {"strategies": written}}}
    assert not list(validator.iter_errors(file))
    text = yaml.safe_dump(file, allow_unicode=True, sort_keys=False)
    scratch.write_text(text, encoding="utf-8")
    (source,) = load(scratch).sources
    assert source.strategies == Source("kb", "/", strategies=tuple(strategies)).strategies


# Mistakes


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("rags: {}", "1: rags: unknown key | did you mean rag?"),
        ("rag: {kb: {dosc: []}}", "1: rag.kb.dosc: unknown key | did you mean docs?"),
        (
            in_strategy("treshold: 0.3"),
            "3: rag.kb.strategies[0].treshold: unknown key | did you mean threshold?",
        ),
        (
            "rag: {kb: {results: {limitt: 3}}}",
            "1: rag.kb.results.limitt: unknown key | did you mean limit?",
        ),
        ("models: {x: {provider: dmr, modle: y}}", "1: models.x.modle: unknown key"),
        ("agents: {root: {model: auto, tools: []}}", "1: agents.root.tools: unknown key"),
        (in_strategy("qwertz: 1"), "unknown key | known: type, name, docs, database"),
    ],
)
def test_a_key_that_is_not_known_is_an_error_with_a_suggestion(
    problems: Callable[[str], list[str]], text: str, expected: str
) -> None:
    assert any(expected in problem for problem in problems(text))


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("embedding_batch_size: 0", "0 is out of range | from 1 to 10,000"),
        ("max_embedding_concurrency: 0", "0 is out of range"),
        ("max_indexing_concurrency: -1", "-1 is out of range"),
        ("vector_dimensions: 0", "0 is out of range"),
        ("limit: 0", "0 is out of range | from 1 to 1,000,000"),
        ("chunking: {size: -1}", "-1 is out of range"),
        ("chunking: {overlap: -1}", "-1 is out of range"),
        ('limit: "20"', 'expected a whole number, not the text "20" | remove the quotes: 20'),
        ('threshold: "0.5"', "remove the quotes: 0.5"),
        ("limit: 2.5", "expected a whole number, not 2.5"),
        ("limit: many", "expected a whole number, not many"),
        ("limit: 010", "expected a whole number, not 010"),
        (f"limit: {'9' * 5000}", "expected a whole number, not 99999"),
        (f"limit: {'9' * 900}", "9… is out of range"),
        ("limit: [5]", "expected a whole number, not a list"),
        ("threshold: .inf", "expected a number, not .inf"),
        ("threshold: 1e999", "expected a number, not 1e999"),
        ("respect_vcs: yes", "expected true or false, not yes"),
        ("docs: ./src", "expected a list, not ./src | write [./src]"),
        ("docs: [{a: 1}]", "docs[0]: expected a text, not a mapping"),
        ("docs: [~]", "docs[0]: expected a text, not nothing"),
        ("docs: ['']", "docs[0]: is empty"),
        ('docs: ["a\\0b"]', "docs[0]: holds a character that no text can have"),
        ("chunking: 5", "expected keys and values, not 5"),
        ("k1: 2", "k1: is for type bm25, not for chunked-embeddings"),
        ("similarity_metric: dot", "dot is not one of cosine_similarity"),
    ],
)
def test_a_wrong_value_is_an_error_that_says_what_is_expected(
    problems: Callable[[str], list[str]], line: str, expected: str
) -> None:
    (problem,) = problems(in_strategy(line))
    assert problem.startswith("3: rag.kb.strategies[0].")
    assert expected in problem


def test_whole_numbers_may_be_written_with_a_point(
    reading: Callable[[str], Configuration],
) -> None:
    (source,) = reading(in_strategy("limit: 20.0")).sources
    assert source.strategies[0].limit == 20
    assert isinstance(source.strategies[0].limit, int)


@pytest.mark.parametrize(
    ("entry", "expected"),
    [
        ("temperature: 2.1", "temperature: 2.1 is out of range | from 0 to 2"),
        ("top_p: -0.1", "top_p: -0.1 is out of range"),
        ("presence_penalty: 3", "presence_penalty: 3 is out of range"),
        ("max_tokens: 0", "max_tokens: 0 is out of range"),
        ("provider_opts: {runtime_flag: []}", "provider_opts.runtime_flag: unknown option of dmr"),
        ("provider_opts: {speculative_num_tokens: many}", "expected a number, not 'many'"),
        ("provider_opts: {runtime_flags: 3}", "expected a list or a text, not 3"),
        ("provider_opts: {runtime_flags: a, raw_runtime_flags: b}", "excludes runtime_flags"),
    ],
)
def test_a_model_that_could_not_be_asked_is_an_error(
    problems: Callable[[str], list[str]], entry: str, expected: str
) -> None:
    (problem,) = problems(f"models: {{x: {{provider: dmr, model: y, {entry}}}}}")
    assert expected in problem


def test_numbers_of_speculative_decoding_may_be_texts(
    reading: Callable[[str], Configuration],
) -> None:
    configuration = reading(
        "models: {x: {provider: dmr, model: y, provider_opts: "
        '{speculative_num_tokens: "16", speculative_acceptance_rate: "0.8"}}}'
    )
    assert configuration.models["x"].provider_opts["speculative_num_tokens"] == "16"


@pytest.mark.parametrize(
    ("toolset", "expected"),
    [
        ("type: todo, path: x", "path: is for type memory or tasks, not for todo"),
        ("type: filesystem, ref: kb", "ref: is for type mcp or rag, not for filesystem"),
        ("type: mcp, rag_config: {}", "rag_config: is for type rag, not for mcp"),
        ("type: rag", "type rag needs ref or rag_config"),
        ("type: mcp", "type mcp needs command or remote or ref"),
        ("type: mcp, command: a, ref: docker:b", "takes one of command or remote or ref"),
        ("type: a2a", "a2a needs url"),
        ("type: lsp", "lsp needs command"),
        ("type: script", "script needs shell"),
        ("type: model_picker", "model_picker needs models"),
        ("type: filesytem", "filesytem is not one of rag, filesystem"),
        ("tools: [a]", "type is missing"),
    ],
)
def test_a_toolset_has_the_keys_of_its_type(
    problems: Callable[[str], list[str]], toolset: str, expected: str
) -> None:
    found = problems(f"agents: {{root: {{model: auto, toolsets: [{{{toolset}}}]}}}}")
    assert expected in found[0]


def test_all_mistakes_of_a_file_are_in_one_error_first_line_first(write: Write) -> None:
    path = write(
        "agents: {root: {model: fast, toolsets: [{type: rag, ref: nope}]}}\n"
        "rag:\n"
        "  kb:\n"
        "    strategies:\n"
        "      - type: bm25\n"
        "        treshold: 1\n"
        "        limit: many\n"
        "    results: {limit: -1}\n"
        "  other:\n"
        "    strategies: [{type: bm26}]\n"
        "models: {fast: {provider: dmr}}\n"
    )
    with pytest.raises(InvalidConfig) as caught:
        load(path)
    assert [problem.line for problem in caught.value.problems] == [1, 6, 7, 8, 10, 11]
    lines = caught.value.message.splitlines()
    assert lines[0] == (
        f"{path}:1: agents.root.toolsets[0].ref: no knowledge base nope (known: kb, other)"
    )
    assert lines[1] == (
        f"{path}:6: rag.kb.strategies[0].treshold: unknown key (did you mean threshold?)"
    )


def test_one_mistake_is_a_message_and_its_remedy(write: Write) -> None:
    path = write(in_strategy("treshold: 1"))
    with pytest.raises(RagkitError) as caught:
        load(path)
    assert caught.value.message == f"{path}:3: rag.kb.strategies[0].treshold: unknown key"
    assert caught.value.remedy == "did you mean threshold?"


def test_a_thousand_mistakes_are_cut_short_in_the_message(write: Write) -> None:
    path = write("".join(f"key{n}: 1\n" for n in range(1000)))
    with pytest.raises(InvalidConfig) as caught:
        load(path)
    assert len(caught.value.problems) == 1000
    assert len(caught.value.message.splitlines()) == 21


def test_every_key_can_be_found_in_the_file_again() -> None:
    configuration = load(FIXTURES / "seed-6.yaml")
    (source,) = configuration.sources
    assert (source.file, source.line) == (str(configuration.path), 7)
    assert source.strategies[0].line == 10
    assert configuration.where(f"{source.key}.results.reranking") == f"{configuration.path}:14"
    assert configuration.where(f"{source.key}.results.reranking.top_k").endswith(":14")
    assert configuration.where("nowhere").endswith(":1")


# Which file


@pytest.mark.parametrize("name", ["ragkit.yaml", "ragkit.yml"])
def test_the_nearest_file_above_is_found_up_to_where_the_search_ends(
    tmp_path: Path, name: str
) -> None:
    inner = tmp_path / "a" / "b"
    inner.mkdir(parents=True)
    (tmp_path / name).touch()
    assert discover(inner) == tmp_path / name
    assert discover(inner, stop=tmp_path) == tmp_path / name
    assert discover(inner, stop=tmp_path / "a") is None
    (tmp_path / "a" / "ragkit.yaml").mkdir()  # a folder of that name is no configuration
    assert discover(inner) == tmp_path / name


def test_describing_a_knowledge_base_needs_nothing_third_party() -> None:
    script = (
        "import sys; before = set(sys.modules); import ragkit.config.rag; "
        "print(*{name.partition('.')[0] for name in set(sys.modules) - before})"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    assert set(done.stdout.split()) - {"ragkit"} <= set(sys.stdlib_module_names)
