"""The `rag:` block: knowledge bases, their strategies, and what becomes of their results.

Each class is a mapping of the YAML file and each field one of its keys, with the same name. The
string below a field is its documentation: JSON Schema and `docs/configuration.md` are made of it.
Sizes are in characters. None means "not written": whoever uses the value knows its own default.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import count
from typing import Annotated, Literal

from ragkit.config.filters import Filters
from ragkit.config.marks import (
    DURATION,
    GIVEN,
    NONEMPTY,
    ZERO_UNSETS,
    Also,
    Between,
    Moved,
    Needed,
    Only,
    Problem,
    hidden,
)
from ragkit.config.models import Model, Provider, inline
from ragkit.errors import ConfigError

_VECTORS = Only(("chunked-embeddings", "semantic-embeddings"))
_EMBEDDED = Needed(_VECTORS.types, "embedded/static")
_SEMANTIC = Only(("semantic-embeddings",))
_DESCRIBED = Needed(_SEMANTIC.types, "dmr/ai/qwen3")
_BM25 = Only(("bm25",))


@dataclass(frozen=True, slots=True)
class Chunking:
    """How documents are cut into chunks."""

    size: Annotated[int | None, Between(0, 1_000_000), ZERO_UNSETS] = None
    """Longest chunk, in characters. Unset or 0: 1500."""
    overlap: Annotated[int | None, Between(0, 1_000_000)] = None
    """Characters that a chunk of plain text repeats from the one before; at most half of `size`.
    Unset: 75."""
    respect_word_boundaries: bool = False
    """Move a cut back to the space before it, so that no word is split."""
    code_aware: bool | None = None
    """Cut source code at functions and classes and Markdown at headings. Unset: yes."""


@dataclass(frozen=True, slots=True)
class StrategySettings:
    """One way to search a knowledge base."""

    type: Literal["chunked-embeddings", "semantic-embeddings", "bm25"]
    """`chunked-embeddings`: by the meaning of chunks. `semantic-embeddings`: by the meaning of
    descriptions that a chat model writes of them. `bm25`: by words."""
    name: Annotated[str, NONEMPTY] = ""
    """Its name in scores and fusion weights, for two strategies of one type. Unset: the type, then
    the type with `-2`, `-3`, …"""
    docs: tuple[Annotated[str, NONEMPTY], ...] = ()
    """Files, folders and globs of this strategy alone, beside the shared ones."""
    database: Annotated[str | None, NONEMPTY] = None
    """Path of the database, relative to the file's folder. Unset: a place in the user's cache."""
    limit: Annotated[int, Between(1, 1_000_000)] = 5
    """Most candidates that this strategy hands to fusion."""
    threshold: float | None = None
    """Least score of a candidate: for embeddings a cosine; for bm25, from 0 to 1, the score a query
    word. Unset: no bound."""
    respect_vcs: bool | None = None
    """Leave files out that `.gitignore` names. Unset: as the knowledge base says."""
    chunking: Chunking = field(default_factory=Chunking)
    """How documents are cut into chunks."""
    embedding_model: Annotated[str | None, NONEMPTY, _VECTORS, _EMBEDDED, Also("model")] = None
    """What turns text into vectors: a key of `models`, `provider/model` or `auto`."""
    vector_dimensions: Annotated[int | None, Between(1, 65_536), _VECTORS] = None
    """Length of the model's vectors. Unset: taken from the model; written: verified."""
    similarity_metric: Annotated[
        Literal["cosine_similarity"], _VECTORS, Also("cosine", means="cosine_similarity")
    ] = "cosine_similarity"
    """How vectors are compared."""
    exact: Annotated[bool, _VECTORS] = False
    """Compare a query with every vector, so that none of the nearest is missed. Otherwise short
    codes say which are compared: far faster, and may miss a few."""
    vectors: Annotated[Literal["int8", "float32"] | None, _VECTORS] = None
    """How vectors are stored. `int8`: a byte a number; scores are those of the rounded vectors.
    `float32`: as the model gives them, in four times the room. Unset: `int8`, and `float32` with
    `exact`."""
    embedding_batch_size: Annotated[int, Between(1, 10_000), _VECTORS, Also("batch_size")] = 50
    """Most texts in one request to the embedding model."""
    max_embedding_concurrency: Annotated[int, Between(1, 1_000), _VECTORS] = 3
    """Most requests to a model at one time."""
    max_indexing_concurrency: Annotated[int, Between(1, 1_000), _VECTORS] = 3
    """Most files in work at one time."""
    chat_model: Annotated[str | None, NONEMPTY, _SEMANTIC, _DESCRIBED] = None
    """The model that describes chunks: a key of `models`, `provider/model` or `auto`."""
    semantic_prompt: Annotated[str | None, NONEMPTY, _SEMANTIC] = None
    """What the chat model is asked; may hold `${path}`, `${basename}`, `${chunk_index}`,
    `${content}` and `${ast_context}`. Unset: a prompt of our own."""
    ast_context: Annotated[bool, _SEMANTIC] = False
    """Tell the chat model which functions and classes the chunk holds."""
    k1: Annotated[float, Between(0), _BM25] = 1.5
    """How much a word counts that comes again: 0 counts it once."""
    b: Annotated[float, Between(0, 1), _BM25] = 0.75
    """How much long chunks are held back: 0 not at all, 1 fully."""
    tokenizer: Annotated[Literal["ragkit", "compat"], _BM25] = "ragkit"
    """How text becomes words. `ragkit`: parts of identifiers, singulars, pairs of Chinese
    characters. `compat`: as docker-agent, and its scores, from 0 to 1."""
    line: Annotated[int | None, GIVEN] = hidden(None)
    """Where the file says so, from 1; None where no file does."""

    def problems(self) -> Iterator[Problem]:
        if self.semantic_prompt is not None:
            from ragkit.config import prompts

            yield from prompts.problems("semantic_prompt", self.semantic_prompt)


@dataclass(frozen=True, slots=True)
class Fusion:
    """How the rankings of several strategies become one."""

    strategy: Annotated[
        Literal["rrf", "weighted", "max", "convex"] | None,
        Also("reciprocal_rank_fusion", means="rrf"),
    ] = None
    """`rrf`: by ranks. `weighted`: weighted sum of scores. `max`: the best score; for both, the
    score of bm25 is the one a query word, from 0 to 1. `convex`: weighted sum of scores scaled to
    0..1. Unset: `rrf` where `k` or `weights` are written, else ragkit's own, which weighs words and
    meaning by what the query is like."""
    k: Annotated[int, Between(0), ZERO_UNSETS] = 60
    """The constant of `rrf`: the larger, the less the first ranks count. 0: as unset."""
    weights: Mapping[str, Annotated[float, Between(0)]] = field(default_factory=dict)
    """Weight of each strategy, by name. Required by `weighted`; `convex` without them weighs all
    alike."""


@dataclass(frozen=True, slots=True)
class Ranking:
    """Rules on the fused ranking, before reranking; each can be switched off."""

    definitions: bool = True
    """Lift chunks that define a symbol which the query names."""
    symbols: bool = True
    """Lift chunks that define a symbol whose name says in its words what the query says."""
    headings: bool = True
    """Lift sections of prose whose headings say what the query says."""
    names: bool = True
    """Lift files whose name the query says."""
    phrases: bool = True
    """Lift chunks that hold what the query says, word for word."""
    files: bool = True
    """Lift chunks of files that fit the query as a whole, by their BM25 score."""
    noise: bool = True
    """Lower tests, examples, vendored and generated files, changelogs, migrations and
    translations, unless the query asks for them; prose below code where the query names code."""
    coherence: bool = True
    """Lift chunks of files that have several good ones."""


@dataclass(frozen=True, slots=True)
class Reranking:
    """A model that reads query and candidate together and orders the candidates again."""

    model: Annotated[str, NONEMPTY]
    """A key of `models` or `provider/model`."""
    method: Literal["auto", "native", "chat"] = "auto"
    """`native`: by an endpoint for reranking. `chat`: a chat model is asked for scores. `auto`: as
    the model's name or its server shows."""
    top_k: Annotated[int, Between(0)] = 0
    """Most candidates to rerank. 0: all."""
    threshold: Annotated[float, Between(0, 1)] = 0.5
    """Least score, from 0 to 1, of a reranked hit. 0: no bound."""
    criteria: str = ""
    """What makes a chunk relevant, in words; for chat models that rerank."""
    blend: Annotated[float, Between(0, 1)] = 0.0
    """Share of the old place in the new order: 0 is the model's order alone, 1 the old one."""
    budget: Annotated[float | None, DURATION, Between(0)] = None
    """Longest reranking, such as `800ms`: as many candidates are read as the time allows. Unset or
    0: no bound."""


@dataclass(frozen=True, slots=True)
class Prefetch:
    """Answers kept for queries that come again."""

    enabled: bool = False
    """Keep answers until the index changes."""
    max_entries: Annotated[int, Between(1)] = 32
    """Most answers kept."""
    max_candidates: Annotated[int | None, Between(0)] = None
    """Of docker-agent's guesses at the next query; without effect, as nothing is guessed."""
    min_similarity: Annotated[float | None, Between(0, 1)] = None
    """The same."""
    drift_threshold: Annotated[float | None, Between(0, 1)] = None
    """The same."""
    timeout: Annotated[float | None, DURATION, Between(0)] = None
    """The same."""


@dataclass(frozen=True, slots=True)
class TopologyPrior:
    """Prefer files that earlier answers came from."""

    enabled: bool = False
    """Do so."""
    weight: Annotated[float | None, Between(0)] = None
    """What such a file gains at most, as a share of the best hit's score. Unset or 0: 0.05."""
    max_source_history: Annotated[int | None, Between(0)] = None
    """Most earlier files remembered. Unset or 0: 32."""


@dataclass(frozen=True, slots=True)
class Results:
    """What becomes of the hits."""

    limit: Annotated[int, Between(0, 1_000_000), ZERO_UNSETS] = 15
    """Most hits in an answer. 0: as unset."""
    deduplicate: bool = True
    """Leave out hits that repeat a better one: its text, nearly its text, or its lines."""
    include_score: bool = False
    """Show the model the scores too."""
    filters: Filters = field(default_factory=Filters)
    """Which files every search looks at."""
    return_full_content: bool = False
    """Answer with whole files in place of chunks, each file once."""
    fusion: Fusion = field(default_factory=Fusion)
    """How the rankings of several strategies become one."""
    ranking: Ranking = field(default_factory=Ranking)
    """Rules on the fused ranking, before reranking."""
    reranking: Reranking | None = None
    """A model that orders the best candidates again. Unset: none."""
    prefetch: Prefetch | None = None
    """Answers kept for queries that come again. Unset: none."""
    topology_prior: TopologyPrior | None = None
    """Prefer files that earlier answers came from. Unset: no."""


@dataclass(frozen=True, slots=True)
class Tool:
    """The knowledge base as an agent sees it."""

    name: Annotated[str | None, NONEMPTY] = None
    """The tool's name. Unset: the name of the knowledge base."""
    description: str | None = None
    """What the tool is good for, said to the model. Unset: made from the name."""
    instruction: str | None = None
    """How to use the tool; becomes part of the agent's instruction. Unset: made from the name."""


_TOOL_KEYS = {"description": "description", "instruction": "instruction", "tool_name": "name"}


@dataclass(frozen=True, slots=True)
class Source:
    """A knowledge base: which documents, how they are searched, what becomes of the hits."""

    name: Annotated[str, GIVEN]
    """Its key below `rag:`; unique in the file."""
    root: Annotated[str, GIVEN]
    """Absolute folder that relative paths refer to."""
    docs: tuple[Annotated[str, NONEMPTY], ...] = ()
    """Files, folders and globs, relative to the file's folder."""
    strategies: tuple[StrategySettings, ...] = ()
    """How it is searched; several rankings are fused into one. At least one is required. Those
    without a name are named by their types, in order."""
    respect_vcs: bool = True
    """Leave files out that `.gitignore` names."""
    results: Results = field(default_factory=Results)
    """What becomes of the hits."""
    tool: Tool = field(default_factory=Tool)
    """The knowledge base as an agent sees it."""
    indexing_timeout: Annotated[float, DURATION, Between(0)] = 1800.0
    """Longest first indexing, in seconds or as in `1h30m`. 0: no bound."""
    description: Annotated[str | None, Moved("tool.description")] = None
    """Old place of `tool.description`; None once it is there."""
    instruction: Annotated[str | None, Moved("tool.instruction")] = None
    """Another place of `tool.instruction`; None once it is there."""
    tool_name: Annotated[str | None, NONEMPTY, Also("name"), Moved("tool.name")] = None
    """Another place of `tool.name`; None once it is there."""
    tools: tuple[str, ...] = ()
    """Which of its tools agents get; there is one."""
    defer: bool | tuple[str, ...] = False
    """Show the tool to the model only when it looks for it."""
    file: Annotated[str | None, GIVEN] = hidden(None)
    """The file that says so; None where no file does."""
    line: Annotated[int | None, GIVEN] = hidden(None)
    """Its line in that file, from 1."""
    key: Annotated[str, GIVEN] = hidden("")
    """Its place in that file, dotted: `rag.code`, `agents.root.toolsets[0].rag_config`."""
    models: Annotated[Mapping[str, Model], GIVEN] = field(
        default_factory=dict, compare=False, repr=False
    )
    """What its references to the file's `models:` mean; see `model`."""
    providers: Annotated[Mapping[str, Provider], GIVEN] = field(
        default_factory=dict, compare=False, repr=False
    )
    """The file's own `providers:`, by name."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "strategies", tuple(_named(self.strategies)))
        for old, key in _TOOL_KEYS.items():
            said = getattr(self, old)
            if said is not None:
                tool = replace(self.tool, **{key: getattr(self.tool, key) or said})
                object.__setattr__(self, "tool", tool)
                object.__setattr__(self, old, None)

    def model(self, reference: str) -> Model:
        """The model that it means: `provider/model`, else a key of the file's `models:`.

        `auto` has the provider `auto`. Raises ConfigError for what is neither.
        """
        named = self.models.get(reference)
        found = inline(reference) if "/" in reference or named is None else named
        if found is None:
            raise ConfigError(f"no model {reference}", "write provider/model")
        return found

    def problems(self) -> Iterator[Problem]:
        if not self.strategies:
            yield Problem("", "no strategies", "add `strategies: [{type: bm25}]`")
        names = [strategy.name for strategy in self.strategies]
        for index, name in enumerate(names):
            if name in names[:index]:
                key = f"strategies[{index}].name"
                yield Problem(key, f"{name} is taken by another strategy", "choose another name")
        fusion = self.results.fusion
        for name in fusion.weights:
            if name not in names:
                known = ", ".join(names)
                yield Problem(
                    f"results.fusion.weights.{name}", f"no strategy {name}", f"one of: {known}"
                )
        if len(names) > 1 and fusion.weights and not any(fusion.weights.values()):
            yield Problem("results.fusion.weights", "are all 0", "give one a weight above 0")
        missing = [name for name in names if name not in fusion.weights]
        if missing and len(names) > 1 and _needs_weights(fusion):
            yield Problem(
                "results.fusion.weights",
                f"{fusion.strategy} fusion has no weight for {', '.join(missing)}",
                f"add `weights: {{{', '.join(f'{name}: 0.5' for name in names)}}}`",
            )


def _named(strategies: Sequence[StrategySettings]) -> Iterator[StrategySettings]:
    """Each with a name; `bm25`, `bm25-2`, … where none is written."""
    taken = {strategy.name for strategy in strategies}
    for strategy in strategies:
        names = (strategy.type if n == 1 else f"{strategy.type}-{n}" for n in count(1))
        name = strategy.name or next(name for name in names if name not in taken)
        taken.add(name)
        yield strategy if strategy.name else replace(strategy, name=name)


def _needs_weights(fusion: Fusion) -> bool:
    """Convex fusion weighs all alike when nothing is said, but half a list is a mistake."""
    return fusion.strategy == "weighted" or (fusion.strategy == "convex" and bool(fusion.weights))
