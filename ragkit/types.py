"""What travels through ragkit, and the protocols of the machines that it travels through.

    File → Document → Chunk → Entry → Hit

Data is frozen. A protocol says all that its users may rely on.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Literal, Protocol, TypeAlias

if TYPE_CHECKING:  # floor 0 imports nothing third-party at run time
    from pathlib import Path

    import numpy as np
    from numpy.typing import NDArray

    Vector: TypeAlias = NDArray[np.float32]
    """(d,) float32, unit length (or all zeros: a text without a known word)."""
    Vectors: TypeAlias = NDArray[np.float32]
    """(n, d) float32, each row a `Vector`."""


@dataclass(frozen=True, slots=True)
class File:
    """A file that the walk found worth reading; nothing of its content is known yet."""

    path: str
    """POSIX, relative to the knowledge base's root; its identity in the index."""
    location: str
    """Where to open it: an absolute path of this machine."""
    size: int
    """Bytes."""
    mtime_ns: int


@dataclass(frozen=True, slots=True)
class Skip:
    """A file or folder that stays out of the index, and the rule that decided."""

    path: str
    rule: str
    """One word of: ignored, default, symlink, special, too-large, empty, binary, minified,
    generated, unreadable, missing."""
    detail: str = ""
    """The rule's own words, such as `.gitignore:3: *.log` or `2.1 GB, limit 1 MB`."""


@dataclass(frozen=True, slots=True)
class Document:
    """One file's text, and what decides whether it must be indexed again."""

    path: str
    text: str
    digest: str
    """sha256 of the file's bytes, hex."""
    language: str | None = None
    """As in `ragkit.chunkers`: "python", "markdown", …; None for plain text."""


@dataclass(frozen=True, slots=True)
class Chunk:
    """A run of text from one document: `text == document.text[start:end]`."""

    path: str
    index: int
    """0-based position in its document."""
    text: str
    start: int
    """Character offsets into the document's text, half-open."""
    end: int
    start_line: int
    """Lines are 1-based and inclusive."""
    end_line: int
    context: str = ""
    """Heading path or enclosing symbols (`Store > replace`): embedded and indexed with the text,
    never shown as text."""

    @property
    def location(self) -> str:
        """`path:start-end`, as editors and agents like it."""
        return f"{self.path}:{self.start_line}-{self.end_line}"


@dataclass(frozen=True, slots=True)
class Entry:
    """A chunk with all that its strategies search it by, ready to be stored."""

    chunk: Chunk
    words: str | None = None
    """Space-separated words for the lexical search, in order; None: not searched by words."""
    key: bytes | None = None
    """Hash of (model fingerprint, exact embedded text): equal keys have equal vectors."""
    vector: Vector | None = None
    cut: str = ""
    """Where models did less with it than they were asked to: what was embedded. "" as a rule."""
    failed: str = ""
    """Why this chunk could not be prepared: its file stays as it was. "" as a rule."""


Freshness: TypeAlias = Literal["fresh", "changed", "deleted"]
"""Of what was indexed, against the disk: it is there as it was, perhaps on other lines; its text is
not there any more; or its file is not."""


@dataclass(frozen=True, slots=True)
class Hit:
    """A chunk that answers a query; a higher score is better, whatever made it."""

    chunk: Chunk
    score: float
    scores: Mapping[str, float] = field(default_factory=dict)
    """Every score and rank given on the way: {"bm25": 7.1, "bm25.rank": 1, "rrf": 0.032, …}."""
    freshness: Freshness = "fresh"
    """As the answer left; lines are those of the disk then, where the text is still there."""


@dataclass(frozen=True, slots=True)
class Record:
    """What a store remembers of one file, so that an unchanged one is not read again."""

    path: str
    digest: str
    """sha256 of the bytes that were read; "" where nothing could be read."""
    size: int
    mtime_ns: int
    language: str | None = None
    outcome: Literal["indexed", "skipped", "failed"] = "indexed"
    reason: str = ""
    """Why it was skipped or failed: the rule, then the detail. Of an indexed file: what the model
    did not take of it, "" as a rule."""
    indexed_at: float = 0.0
    """Seconds since the epoch when this was written; set by the caller."""


@dataclass(frozen=True, slots=True)
class Filter:
    """Which documents a search looks at, before it looks: of each kind named, any of them.

    `Filter()` is all documents; `a & b` are those that both let through. See `ragkit.filters`.
    """

    paths: tuple[str, ...] = ()
    """Globs of paths; one that begins with `!` leaves out what it matches."""
    languages: tuple[str, ...] = ()
    """As in `Document.language`."""
    types: tuple[Literal["code", "docs"], ...] = ()
    modified_after: float | None = None
    """Seconds since the epoch; a file of this very moment is let through."""
    also: tuple[Filter, ...] = ()
    """What must hold beside."""

    def __post_init__(self) -> None:
        for name in ("paths", "languages", "types", "also"):  # a list, or one without a list
            given = getattr(self, name)
            one = isinstance(given, str | Filter)
            object.__setattr__(self, name, (given,) if one else tuple(given))

    @property
    def is_open(self) -> bool:
        """Whether every document comes through."""
        return self == ANYTHING

    def __and__(self, other: Filter) -> Filter:
        if self.is_open or self == other:
            return other
        return self if other.is_open else replace(self, also=(*self.also, other))


ANYTHING = Filter()
"""The filter that lets every document through."""


@dataclass(frozen=True, slots=True)
class Statistics:
    """What is in an index, counted in its store at this moment."""

    documents: int
    chunks: int
    words: int
    """Chunks that the lexical search knows; equal to `chunks` where there is one."""
    vectors: int
    """Chunks that have a vector; equal to `chunks` where vectors are made."""
    embeddings: int
    """Distinct embedded texts kept, those of deleted chunks included."""
    size: int
    """Bytes of the database on disk, its write-ahead log included."""
    source: int = 0
    """Bytes of the files that were indexed."""


@dataclass(frozen=True, slots=True)
class Sizes:
    """Bytes of a database by what they hold, as seen from one index; together they are its size."""

    texts: int = 0
    """Of chunks, compressed, with their contexts and lines."""
    words: int = 0
    """What the lexical search looks up."""
    codes: int = 0
    """What a search by vector looks through."""
    vectors: int = 0
    """Of all embedded texts of the file, those that no chunk uses any more included."""
    chunks: int = 0
    """Which chunk is of which document, and which vector it uses."""
    documents: int = 0
    """Paths of files, their digests and stamps."""
    descriptions: int = 0
    """What chat models wrote, of the whole file."""
    others: int = 0
    """Other indexes of the file."""
    rest: int = 0
    """The list of indexes, and what is in no table."""
    free: int = 0
    """Room that changes have left, for what comes next."""
    log: int = 0
    """The write-ahead log."""

    @property
    def total(self) -> int:
        """Bytes of the database on disk, its write-ahead log included."""
        return sum(getattr(self, name) for name in self.__slots__)


Chunker: TypeAlias = Callable[[Document], list[Chunk]]
"""A function without state: chunks in order; every character of the text is in some chunk."""

Kind: TypeAlias = Literal["document", "query"]
"""What a text is to a model that treats the two differently."""


@dataclass(frozen=True, slots=True)
class Embedded:
    """Some of the texts of one call, done."""

    positions: tuple[int, ...]
    """Which texts, by index into those of the call."""
    vectors: Vectors
    """(len(positions), d) float32 of unit rows; zeros for a failed text."""
    cut: Mapping[int, str] = field(default_factory=dict)
    """What was embedded of a text that is too long for the model, by position."""
    failed: Mapping[int, str] = field(default_factory=dict)
    """Why a text could not be embedded, by position: its row must not be stored."""


class Embedder(Protocol):
    """Turns texts into vectors."""

    @property
    def name(self) -> str:
        """As in the configuration: `embedded/static`."""

    @property
    def fingerprint(self) -> str:
        """Changes whenever the vector of some text would."""

    @property
    def dimensions(self) -> int: ...

    def embed(self, texts: Sequence[str], kind: Kind) -> Vectors:
        """(n, d) float32 of unit rows, in order. Thread-safe. Raises ModelError if any fails."""

    def stream(self, texts: Sequence[str], kind: Kind) -> Iterator[Embedded]:
        """The texts as they get done, in any order, each once. Thread-safe.

        Raises ModelError when nothing more can be done; what was yielded stays valid.
        """

    def close(self) -> None:
        """Let connections and threads go, if it has any; a second call does nothing."""


class Reranker(Protocol):
    """Reads query and text together and says how well the text answers."""

    @property
    def name(self) -> str:
        """As in the configuration."""

    def rerank(self, query: str, texts: Sequence[str]) -> list[float]:
        """One score from 0 to 1 for each text, in order. Thread-safe. Raises ModelError."""

    def close(self) -> None:
        """Let connections go, if it has any; a second call does nothing."""


@dataclass(frozen=True, slots=True)
class ToolCall:
    """A chat model asks for a tool."""

    id: str
    name: str
    arguments: str
    """JSON text, as the model wrote it: it may be wrong."""


@dataclass(frozen=True, slots=True)
class Message:
    """One turn of a conversation."""

    role: Literal["system", "user", "assistant", "tool"]
    content: str = ""
    calls: tuple[ToolCall, ...] = ()
    """What an assistant asked for."""
    call_id: str | None = None
    """Which call a tool's message answers."""


@dataclass(frozen=True, slots=True)
class Tool:
    """A tool as a chat model sees it."""

    name: str
    description: str
    parameters: Mapping[str, object]
    """JSON Schema of its arguments."""


@dataclass(frozen=True, slots=True)
class Usage:
    """Tokens of one chat request."""

    prompt_tokens: int
    completion_tokens: int


@dataclass(frozen=True, slots=True)
class Delta:
    """A piece of a streamed answer."""

    content: str = ""
    reasoning: str = ""
    calls: tuple[ToolCall, ...] = ()
    """Whole calls, each once, when the model has finished writing them."""
    finish: str | None = None
    """Why the answer ended: stop, length, tool_calls; None while it goes on."""
    usage: Usage | None = None


class Chat(Protocol):
    """A model that answers in words."""

    @property
    def name(self) -> str:
        """As in the configuration."""

    def chat(
        self,
        messages: Sequence[Message],
        tools: Sequence[Tool] = (),
        *,
        schema: Mapping[str, object] | None = None,
    ) -> Iterator[Delta]:
        """The answer as it is written; closing the iterator cancels it. Raises ModelError.

        With `schema`, the content is JSON that fits it.
        """

    def close(self) -> None:
        """Let connections go, if it has any; a second call does nothing."""


class Memory(Protocol):
    """What models have made of texts, by a hash of all that decided it; every store is one."""

    def known(self, keys: Sequence[bytes]) -> Mapping[bytes, Vector]:
        """Vectors stored under these keys, also of chunks that are gone."""

    def keep(self, embedded: Mapping[bytes, Vector]) -> None:
        """Make vectors known before any chunk uses them, so that no interruption loses them."""

    def descriptions(self, keys: Sequence[bytes]) -> Mapping[bytes, str]:
        """Descriptions stored under these keys, also of chunks that are gone."""

    def keep_descriptions(self, described: Mapping[bytes, str]) -> None:
        """Make descriptions known, as soon as a model has written them."""


class Packed(Protocol):
    """What was written as files for others."""

    @property
    def embeddings(self) -> int: ...

    @property
    def parts(self) -> Sequence[tuple[str, int]]:
        """Names of the files, and how many embeddings are in each."""


class Shared(Protocol):
    """Vectors that several databases share. Thread-safe; never raises."""

    def known(self, keys: Sequence[bytes], dimensions: int) -> Mapping[bytes, Vector]:
        """Those of the vectors that are there."""

    def keep(self, embedded: Mapping[bytes, Vector]) -> None:
        """Keep vectors for others, too."""

    def close(self) -> None: ...


class Store(Memory, Protocol):
    """What is remembered of one index. Writes come from one thread, reads from any."""

    def records(self, paths: Sequence[str] | None = None) -> dict[str, Record]:
        """Every file that was looked at, by path; or those of some paths, and of what is below."""

    def replace(self, record: Record, entries: Sequence[Entry]) -> None:
        """Put a file's entries in the place of all it had, in one transaction."""

    def note(self, record: Record) -> None:
        """Remember a file's new stamp or failure; its chunks stay as they are."""

    def delete(self, paths: Sequence[str]) -> None:
        """Forget files and their chunks, in one transaction."""

    def nearest(
        self, vector: Vector, limit: int, where: Filter = ANYTHING, *, exact: bool = False
    ) -> list[tuple[Chunk, float]]:
        """Chunks by cosine in [-1, 1], best first; ties by (path, start).

        The best of those in documents that `where` lets through, however few those are. All stored
        vectors are compared if `exact`; otherwise a few of the best may be missed.
        """

    def matching(
        self, words: Sequence[str], limit: int, where: Filter = ANYTHING, *, k1: float, b: float
    ) -> list[tuple[Chunk, float]]:
        """Chunks that hold any of the words, by BM25 (> 0), best first; ties by (path, start).

        The best of those in documents that `where` lets through; their scores are the same with
        and without it.
        """

    def matching_files(
        self, words: Sequence[str], paths: Collection[str], *, k1: float, b: float
    ) -> dict[str, float]:
        """BM25 of these files, each as one text; those that hold none of the words are left out."""

    def chunks(self, path: str) -> list[Chunk]:
        """A file's chunks in order; [] for an unknown path."""

    @property
    def is_complete(self) -> bool:
        """Whether a whole walk has ended since this index was begun."""

    @property
    def stale(self) -> bool:
        """Whether the index that answers was built with other settings than this one's."""

    @property
    def generation(self) -> int:
        """Another number after any change of the chunks, by any process."""

    @property
    def indexed_at(self) -> float | None:
        """When a file was last indexed, in seconds since the epoch; None for none."""

    def complete(self) -> None:
        """All files have been walked: this index answers, and the one that did is kept."""

    def keep_recipe(self, recipe: str) -> None:
        """Remember the settings that this index is made with."""

    def clear(self) -> None:
        """Forget all files; known embeddings stay. The index is not complete any more."""

    def statistics(self) -> Statistics: ...

    def pack(self, folder: Path, model: str) -> Packed:
        """Write the embeddings that this index uses as files; `model` is who made them."""

    def unpack(self, folder: Path, model: str) -> tuple[int, int]:
        """Take in the embeddings of such files that are new: how many, and of how many.

        Raises StoreMismatch where another model made them.
        """

    def sizes(self) -> Sizes:
        """What the database takes on the disk, by part; a second or so for a gigabyte."""

    def close(self) -> None: ...


class Strategy(Protocol):
    """How to prepare chunks and how to search what was stored; holds no store."""

    @property
    def name(self) -> str:
        """Unique in its knowledge base; the key of its scores."""

    @property
    def fingerprint(self) -> str:
        """Changes whenever `prepare` would make other entries of the same chunks."""

    @property
    def limit(self) -> int:
        """Candidates that it gives to fusion unless more are asked for."""

    def prepare(self, entries: Sequence[Entry], memory: Memory) -> list[Entry]:
        """The entries, in order, with what this strategy searches by.

        What costs time is looked up in `memory`, and kept there as it gets done. One chunk's
        trouble is told in its entry (`cut`, `failed`); ModelError is raised when no chunk can be
        prepared any more.
        """

    def search(self, store: Store, query: str, limit: int, where: Filter = ANYTHING) -> list[Hit]:
        """At most `limit` hits from documents that `where` lets through, best first.

        None for a query that has nothing to look for.
        """


@dataclass(frozen=True, slots=True)
class Index:
    """One set of files, how to read and chunk them, and the strategies that share the chunks."""

    name: str
    store: Store
    strategies: tuple[Strategy, ...]
    find: Callable[..., Iterator[File | Skip]]
    """Lists the files as they are on the disk now; with `part`, only those that it covers."""
    read: Callable[[File], Document | Skip]
    """Reads one; a Skip where its content rules it out. Raises ReadError."""
    chunk: Chunker
    dimensions: int | None = None
    """Length of its vectors; None for no vectors."""
    shared: Shared | None = None
    """Where vectors are looked up that the store has not, and kept for others."""
    threads: int = 0
    """Batches prepared at one time by threads of this process, where a model server is waited
    for; 0: models run where the walk runs, or where its caller says."""
