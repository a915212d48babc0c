"""Search by meaning of descriptions: a chat model describes each chunk, the description is
embedded, and the chunk itself is what is found."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING

from ragkit.strategies.chunked_embeddings import embedded_text, nearest, with_vectors
from ragkit.strategies.describing import Describer, Description
from ragkit.types import ANYTHING, Embedder, Entry, Filter, Hit, Store
from ragkit.whole_files import joined

if TYPE_CHECKING:
    from ragkit.chunkers.facts import Facts
    from ragkit.types import Chunk, Memory


@dataclass(frozen=True, slots=True)
class SemanticEmbeddings:
    """Each chunk's description is embedded, after what the syntax tells; ranked by cosine."""

    embedder: Embedder
    describer: Describer
    name: str = "semantic-embeddings"
    limit: int = 200
    """Candidates that it gives unless more are asked for."""
    threshold: float = -1.0
    """Least cosine of a hit."""
    batch: int = 50
    """Chunks that are described before they are embedded together."""
    exact: bool = False
    """Whether the query is compared with every vector."""

    @property
    def fingerprint(self) -> str:
        return f"{self.embedder.fingerprint} {self.mark}"

    @property
    def mark(self) -> str:
        """Changes with what is configured of it; no model is asked for it."""
        from ragkit.chunkers import facts

        parts = (self.embedder.name, self.describer.mark, facts.VERSION)
        return hashlib.blake2b(repr(parts).encode(), digest_size=8).hexdigest()

    @property
    def models(self) -> tuple[str, ...]:
        """Names of the models that it is made with."""
        return (self.embedder.name, self.describer.chat.name)

    def close(self) -> None:
        """Let go what its models hold open."""
        self.embedder.close()
        self.describer.close()

    def prepare(self, entries: Sequence[Entry], memory: Memory) -> list[Entry]:
        """The entries with key and vector; the model is asked about what `memory` does not know.

        Descriptions are kept as they come. A chunk that the model says nothing of is embedded as
        it is, and its entry tells so. Raises ModelError.
        """
        facts = _facts_of(entries)
        questions = self._questions(entries, facts)
        described: dict[str, Description] = {}
        ready: list[Entry] = []
        for start in range(0, len(entries), self.batch):
            some = range(start, min(start + self.batch, len(entries)))
            new = [questions[i] for i in some if questions[i] not in described]
            described |= self._described(new, memory)
            pairs = [self._told(entries[i], facts[i], described[questions[i]]) for i in some]
            told, texts = [entry for entry, _ in pairs], [text for _, text in pairs]
            ready += with_vectors(told, texts, self.embedder, memory)
        return ready

    def undescribed(self, entries: Sequence[Entry], memory: Memory) -> dict[bytes, str]:
        """Questions that `prepare` would ask the chat model about these, by key."""
        questions = self._questions(entries, _facts_of(entries))
        asked = {self.describer.key_of(question): question for question in questions}
        known = memory.descriptions(list(asked))
        return {key: question for key, question in asked.items() if key not in known}

    def search(self, store: Store, query: str, limit: int, where: Filter = ANYTHING) -> list[Hit]:
        """Chunks whose descriptions are nearest to the query, from documents that `where` lets
        through; [] where the model knows none of its words."""
        return nearest(store, query, limit, where, self)

    def _questions(self, entries: Sequence[Entry], facts: Sequence[Facts]) -> list[str]:
        told = zip(entries, facts, strict=True)
        return [self.describer.question(entry.chunk, known) for entry, known in told]

    def _described(self, questions: Sequence[str], memory: Memory) -> dict[str, Description]:
        """What is said to each of the questions. Raises ModelError."""
        asked = {self.describer.key_of(question): question for question in questions}
        known = memory.descriptions(list(asked))
        described = {asked[key]: Description(text) for key, text in known.items()}
        new = {key: question for key, question in asked.items() if key not in known}
        for question, description in self._new(new, memory):
            described[question] = description
        return described

    def _new(self, asked: Mapping[bytes, str], memory: Memory) -> Iterator[tuple[str, Description]]:
        """(question, what is said to it) as the answers come; each is kept at once."""
        if not asked:
            return
        from ragkit.crew import Crew

        def ask(key: bytes, question: str) -> tuple[str, Description]:
            description = self.describer.describe(key, question)
            if description.text:
                crew.tell({key: description.text})
            return question, description

        with Crew(min(self.describer.concurrency, len(asked))) as crew:
            tasks = (partial(ask, key, question) for key, question in asked.items())
            yield from crew.done(tasks, memory.keep_descriptions)

    def _told(self, entry: Entry, facts: Facts, description: Description) -> tuple[Entry, str]:
        """The entry and what is embedded of it."""
        if description.text:
            return entry, described_text(entry.chunk, facts, description.text)
        name = self.describer.chat.name
        cut = f"not described by {name} ({description.trouble}): its own text is embedded"
        return replace(entry, cut=cut), embedded_text(entry.chunk)


def described_text(chunk: Chunk, facts: Facts, description: str) -> str:
    """What is embedded: what the syntax tells, a blank line, the description.

    Not the path, so that a file that is moved or copied embeds nothing; its words are found by
    `bm25`.
    """
    from ragkit.chunkers.facts import listed

    first, others = facts.symbols[:1], facts.symbols[1:]
    lines = [f"Package: {facts.package}"] if facts.package else []
    for symbol in first:
        name = f"{facts.within} > {symbol.name}" if facts.within else symbol.name
        lines.append(f"{symbol.kind}: {name}")
        if symbol.signature:
            lines.append(f"Signature: {symbol.signature}")
    if others:
        lines.append(f"Also contains: {listed([symbol.name for symbol in others])}")
    if not first and (within := facts.within or chunk.context):
        lines.append(f"Inside: {within}")
    return "\n".join([*lines, "", description] if lines else [description])


def _facts_of(entries: Sequence[Entry]) -> list[Facts]:
    """The facts of each, in order; the chunks of a document are all there."""
    from ragkit.chunkers.facts import facts

    by_path: dict[str, list[Chunk]] = {}
    for entry in entries:
        by_path.setdefault(entry.chunk.path, []).append(entry.chunk)
    found = {path: iter(facts(chunks, joined(chunks))) for path, chunks in by_path.items()}
    return [next(found[entry.chunk.path]) for entry in entries]
