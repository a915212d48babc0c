"""Descriptions of chunks in plain words, as a chat model writes them."""

from __future__ import annotations

import hashlib
import re
import threading
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from ragkit.errors import InputTooLong, ModelBusy, ModelError, ModelNotFound, ModelUnreachable
from ragkit.types import Chat, Message

if TYPE_CHECKING:
    from concurrent.futures import Future

    from ragkit.chunkers.facts import Facts
    from ragkit.config.prompts import Prompt
    from ragkit.types import Chunk

VERSION: Final = 1
"""Changes whenever the same model and prompt would give other descriptions."""

LONGEST: Final = 2_000
"""Characters of a description; four sentences have a fifth of that."""

PROMPT: Final = """\
Describe the part of a file below for a search index. People will look for it with questions in \
plain words.

Write two to four sentences of plain text. Name the functions, classes and types that it holds by \
their own names, what goes in and what comes out, what it depends on, what it changes, and what it \
is for. Say what it does, not how the code looks. Where it is prose or data, say what it is about \
and name its terms. Tell nothing that is not there. No heading, no list, no code, no introduction.

<part>
${content}
</part>"""
"""Where the configuration has none. It does not hold the path: files that are moved or copied need
no new description."""

PROMPT_WITH_FACTS: Final = PROMPT.replace(
    "<part>", "What the syntax tells of it:\n${ast_context}\n\n<part>"
)
"""The same with `ast_context`."""

_PROBE: Final = "Say yes."
_RECENT: Final = 2_000  # descriptions that are remembered until they are surely stored


@dataclass(frozen=True, slots=True)
class Description:
    """What a model said of a chunk, or why it said nothing."""

    text: str
    trouble: str = ""
    """Why there is no text; "" where there is one."""


class Describer:
    """A chat model and what it is asked. Thread-safe; asks for no description twice at one time."""

    def __init__(
        self,
        chat: Chat,
        prompt: Prompt,
        *,
        identity: str = "",
        ast_context: bool = False,
        concurrency: int = 3,
    ) -> None:
        """`identity` stands for the model and how it is sampled; `concurrency`: most requests at
        one time, of all threads together."""
        self.chat = chat
        self.concurrency = max(1, concurrency)
        self._turns = Turns(self.concurrency)
        self._prompt = prompt
        self._identity = identity or chat.name
        self._ast_context = ast_context
        self._lock = threading.Lock()
        self._recent: OrderedDict[bytes, Future[Description]] = OrderedDict()

    @property
    def mark(self) -> str:
        """Changes with the model, its sampling and the prompt; nothing is asked for it."""
        parts = (VERSION, self._identity, self._ast_context, self._prompt.pieces)
        return hashlib.blake2b(repr(parts).encode(), digest_size=8).hexdigest()

    def question(self, chunk: Chunk, facts: Facts) -> str:
        """What the model is asked about a chunk."""
        return self._prompt.filled(
            {
                "path": chunk.path,
                "basename": chunk.path.rpartition("/")[2],
                "chunk_index": str(chunk.index),
                "content": chunk.text,
                "ast_context": "\n".join(facts.lines) if self._ast_context else "",
            }
        )

    def key_of(self, question: str) -> bytes:
        """16 bytes that stand for (model, its sampling, exact question)."""
        asked = f"{VERSION}\0{self._identity}\0{question}"
        return hashlib.blake2b(asked.encode("utf-8", "surrogatepass"), digest_size=16).digest()

    def describe(self, key: bytes, question: str) -> Description:
        """The model's answer. Raises ModelError where it cannot be asked any more."""
        from concurrent.futures import Future  # it loads logging, which a search does not need

        with self._lock:
            found = self._recent.get(key)
            mine: Future[Description] | None = None
            if found is None:
                found = mine = self._recent[key] = Future()
                for oldest in list(self._recent)[: max(0, len(self._recent) - _RECENT)]:
                    if self._recent[oldest].done():
                        del self._recent[oldest]
        if mine:
            self._settle(mine, key, question)
        return found.result()

    def close(self) -> None:
        """Let the model's connections go."""
        self.chat.close()

    def _settle(self, mine: Future[Description], key: bytes, question: str) -> None:
        try:
            description = self._described(question)
        except BaseException as error:
            with self._lock:
                self._recent.pop(key, None)
            mine.set_exception(error)
            return
        if description.trouble:  # may be better next time
            with self._lock:
                self._recent.pop(key, None)
        mine.set_result(description)

    def _described(self, question: str) -> Description:
        """Ask, and once more where the answer broke off or found no room. Raises ModelError."""
        try:
            with self._turns.one():
                return self._ask(question)
        except (ModelBusy, ModelNotFound, ModelUnreachable):
            raise
        except InputTooLong as error:
            return self._alone(question, error)
        except ModelError:
            with self._turns.one():
                return self._again(question)

    def _alone(self, question: str, error: InputTooLong) -> Description:
        """Ask while nobody else does: some servers share their context between all requests."""
        if self._turns.width == 1:
            return Description("", error.message)
        with self._turns.alone():
            description = self._again(question)
        if description.text:
            self._turns.narrow()
        return description

    def _again(self, question: str) -> Description:
        try:
            return self._ask(question)
        except (ModelBusy, ModelNotFound, ModelUnreachable):
            raise
        except ModelError as error:
            if not isinstance(error, InputTooLong):
                self._ask(_PROBE)  # the chunk's fault or the server's: a short question tells
            return Description("", error.message)

    def _ask(self, question: str) -> Description:
        said, thought, finish = "", False, None
        answer = self.chat.chat([Message("user", question)])
        try:
            for delta in answer:
                said += delta.content
                thought = thought or bool(delta.reasoning)
                finish = delta.finish or finish
                if len(said) > LONGEST and len(spoken(said)) > LONGEST:
                    break  # it would go on: closing the answer stops it
        finally:
            close = getattr(answer, "close", None)
            if close:
                close()
        text = clipped(spoken(said), LONGEST, ended=finish != "length")
        if text:
            return Description(text)
        if finish == "length" and (thought or said):
            return Description("", "it thought until its max_tokens were used up")
        return Description("", "it answered nothing")


class Turns:
    """Who may ask now: a few at one time, fewer when their requests have no room together."""

    def __init__(self, width: int) -> None:
        self.width = width
        self._changed = threading.Condition()
        self._busy = 0
        self._alone = 0  # those that ask alone, or wait for it

    @contextmanager
    def one(self) -> Iterator[None]:
        """Wait for a turn, and hold it."""
        with self._changed:
            self._changed.wait_for(lambda: self._busy < self.width and not self._alone)
            self._busy += 1
        try:
            yield
        finally:
            self._leave()

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Wait until nobody asks, and let nobody."""
        with self._changed:
            self._alone += 1
            self._changed.wait_for(lambda: not self._busy)
            self._busy += 1
        try:
            yield
        finally:
            with self._changed:
                self._alone -= 1
            self._leave()

    def narrow(self) -> None:
        """Let one less ask at one time, but one at least."""
        with self._changed:
            self.width = max(1, self.width - 1)

    def _leave(self) -> None:
        with self._changed:
            self._busy -= 1
            self._changed.notify_all()


_THOUGHT: Final = re.compile(
    r"<(think|thinking|thought|reasoning)>.*?(?:</\1>|\Z)|\[THINK\].*?(?:\[/THINK\]|\Z)",
    re.DOTALL | re.IGNORECASE,
)
# templates that begin the thought themselves leave only its end in the answer
_REST_OF_THOUGHT: Final = re.compile(
    r"\A.*</(?:think|thinking|thought|reasoning)>", re.DOTALL | re.IGNORECASE
)


def spoken(answer: str) -> str:
    """An answer without what a model thought aloud before it, and without blanks around it."""
    return _REST_OF_THOUGHT.sub("", _THOUGHT.sub("", answer)).strip()


def clipped(text: str, most: int, *, ended: bool = True) -> str:
    """At most `most` characters, cut behind a sentence or else a word.

    A text that has not `ended` loses its last sentence, if that is not the only one.
    """
    if len(text) <= most and (ended or text[-1:] in ".!?。！？"):
        return text
    text = text[:most]
    sentences = list(re.finditer(r"[.!?](?=\s)|[。！？]|[.!?]\Z", text))
    if sentences and sentences[-1].end() * 2 > len(text):
        return text[: sentences[-1].end()]
    space = text.rfind(" ")
    return (text[:space] if space * 2 > len(text) else text).rstrip() + "…"
