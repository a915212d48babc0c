"""Chunks that a chat model describes: from YAML to hits, whatever the model and its server do."""

from __future__ import annotations

import contextlib
import re
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from engine import faults
from engine.plain import OpenAIServer
from engine.runner import Runner

from ragkit import KnowledgeBase
from ragkit.chunkers.facts import facts
from ragkit.config.prompts import prompt
from ragkit.errors import ConfigError, InputTooLong, ModelError, ModelUnreachable, NotBuilt
from ragkit.events import Described, Embedding, Event, Failed, Indexed, Shortened
from ragkit.strategies.describing import LONGEST, Describer, clipped, spoken
from ragkit.strategies.semantic_embeddings import described_text
from ragkit.types import Chunk, Delta, Message, Tool

CONFIG = """
models:
  embedder:
    provider: dmr
    model: ai/embeddinggemma
    base_url: {url}
  describer:
    provider: dmr
    model: ai/smollm2
    base_url: {url}
rag:
  code:
    docs: [./src]
    strategies:
      - type: semantic-embeddings
        embedding_model: embedder
        chat_model: describer
        embedding_batch_size: 4
        database: ./code.db
        limit: 20
        {more}
    results:
      limit: 5
"""
MEANINGS = {
    "zork": "Counts the birds that come to a feeder in winter.",
    "quux": "Opens the door of the garage for a bicycle.",
    "blip": "Sends letters to readers who asked for a newspaper.",
}
Made = Callable[..., Path]


def meaning(request: dict[str, Any]) -> str:
    """What the model of these tests says of a chunk: the meaning of the nonsense in it."""
    question = request["messages"][-1]["content"]
    known = [text for word, text in MEANINGS.items() if word in question]
    return known[0] if known else f"It holds number {len(question)}."


@pytest.fixture
def made(tmp_path: Path, light_runner: Runner) -> Made:
    """Write code and a configuration; the configuration's path."""
    light_runner.engine.reply = meaning

    def write(sources: Mapping[str, str] | None = None, more: str = "") -> Path:
        folder = tmp_path / "src"
        folder.mkdir(exist_ok=True)
        for name, text in (sources or {f"{word}.py": code(word) for word in MEANINGS}).items():
            (folder / name).write_text(text, encoding="utf-8")
        config = tmp_path / "agent.yaml"
        config.write_text(CONFIG.format(url=light_runner.url, more=more), encoding="utf-8")
        return config

    return write


def code(word: str, functions: int = 1) -> str:
    return "\n\n".join(f"def {word}_{n}(a):\n    return {word} + {n}\n" for n in range(functions))


def many(count: int) -> dict[str, str]:
    return {f"f{n:02}.py": f"def nonsense_{n}(a):\n    return a + {n}\n" for n in range(count)}


def walked(config: Path) -> list[Event]:
    seen: list[Event] = []
    with KnowledgeBase.open(config=config) as kb:
        kb.index(seen.append)
    return seen


def questions(runner: Runner | OpenAIServer) -> list[str]:
    """What the chat model was asked and answered, in order."""
    return [seen["messages"][-1]["content"] for seen in requests(runner)]


def requests(runner: Runner | OpenAIServer) -> list[dict[str, Any]]:
    """Bodies of the requests that the chat model answered, but for the one that loads it."""
    chats = runner.seen("*/chat/completions")
    asked = [seen.json for seen in chats if seen.status == 200 and b'"messages"' in seen.body]
    return [each for each in asked if len(each["messages"][-1]["content"]) > len("ready")]


def embedded(runner: Runner) -> list[str]:
    """What was embedded, as documents and queries."""
    return [text for seen in runner.seen("*/embeddings") if seen.body for text in seen.texts]


def first(config: Path, query: str) -> tuple[str, str]:
    """Path and text of the best hit."""
    with KnowledgeBase.open(config=config) as kb:
        best = kb.search(query)[0].chunk
        return best.path, best.text


# what is found


def test_a_chunk_is_found_by_its_description_and_returned_as_it_is(
    made: Made, light_runner: Runner
) -> None:
    config = made()
    seen = walked(config)
    assert len([e for e in seen if isinstance(e, Indexed)]) == 3
    assert sum(e.texts for e in seen if isinstance(e, Described)) == 3
    assert first(config, "birds in winter") == ("src/zork.py", code("zork").strip())
    assert first(config, "bicycle garage") == ("src/quux.py", code("quux").strip())


def test_what_is_embedded_is_what_the_syntax_tells_and_the_description(
    made: Made, light_runner: Runner
) -> None:
    walked(made({"zork.py": code("zork", 2)}))
    (text,) = [text for text in embedded(light_runner) if MEANINGS["zork"] in text]
    assert text.endswith(
        "Function: zork_0\nSignature: def zork_0(a)\nAlso contains: zork_1\n\n" + MEANINGS["zork"]
    )
    assert "return" not in text
    assert "zork.py" not in text


def test_the_prompt_of_our_own_holds_the_chunk_and_asks_for_a_short_sober_answer(
    made: Made, light_runner: Runner
) -> None:
    walked(made({"zork.py": code("zork")}))
    (asked,) = requests(light_runner)
    assert code("zork").strip() in asked["messages"][0]["content"]
    assert asked["temperature"] <= 0.3
    assert 256 <= asked["max_tokens"] <= 4096
    assert asked["chat_template_kwargs"] == {"enable_thinking": False}
    assert "src" not in asked["messages"][0]["content"], "a rename must ask nothing"


def test_a_prompt_of_the_file_gets_all_its_placeholders(made: Made, light_runner: Runner) -> None:
    text = "'${path}|${basename}|${chunk_index}|${ast_context}|${content}'"
    walked(made({"zork.py": code("zork")}, f"semantic_prompt: {text}\n        ast_context: true"))
    told = "- Language: Python\n- Function: zork_0\n- Signature: def zork_0(a)"
    assert questions(light_runner) == [f"src/zork.py|zork.py|0|{told}|{code('zork').strip()}"]


def test_without_ast_context_the_model_is_not_told_what_the_syntax_tells(
    made: Made, light_runner: Runner
) -> None:
    walked(made({"zork.py": code("zork")}))
    walked(made({"zork.py": code("zork")}, "ast_context: true"))
    without, told = questions(light_runner)
    assert "- Function:" not in without
    assert "- Function: zork_0" in told


# what is asked how often


def test_no_description_is_asked_for_twice(made: Made, light_runner: Runner) -> None:
    sources = {name: text for name, text in many(8).items()}
    config = made(sources | {f"copy-{name}": text for name, text in sources.items()})
    walked(config)
    counts = Counter(questions(light_runner))
    assert len(counts) == 8
    assert set(counts.values()) == {1}
    walked(config)
    with KnowledgeBase.open(config=config) as kb:
        kb.index(rebuild=True)
    assert Counter(questions(light_runner)) == counts


def test_a_renamed_file_asks_nothing_of_any_model(made: Made, light_runner: Runner) -> None:
    config = made()
    walked(config)
    before = len(questions(light_runner)), len(embedded(light_runner))
    (config.parent / "src" / "zork.py").rename(config.parent / "src" / "birds.py")
    walked(config)
    assert (len(questions(light_runner)), len(embedded(light_runner))) == before
    assert first(config, "birds in winter")[0] == "src/birds.py"


def test_what_was_described_before_the_server_died_is_not_asked_again(
    made: Made, light_runner: Runner, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ragkit.models.retrying.pause", lambda *_: 0.01)
    config = made(many(24))
    described = 0

    def stop_after_some(event: Event) -> None:
        nonlocal described
        if isinstance(event, Described):
            described += event.texts
            if described == 9:
                light_runner.down()

    with KnowledgeBase.open(config=config) as kb:
        with pytest.raises(ModelUnreachable):
            kb.index(stop_after_some)
        assert not kb.indexes[0].store.is_complete
    stored = described
    answered = len(questions(light_runner))
    assert 9 <= stored <= answered < 24
    light_runner.up()
    seen = walked(config)
    assert len([e for e in seen if isinstance(e, Indexed)]) == 24
    assert sum(e.texts for e in seen if isinstance(e, Described)) == 24 - stored
    twice = [q for q, count in Counter(questions(light_runner)).items() if count > 1]
    assert len(twice) <= answered - stored, "only answers that nobody was there to hear"


def test_an_index_through_failures_equals_one_without(
    made: Made, light_runner: Runner, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ragkit.models.retrying.pause", lambda *_: 0.01)
    config = made(many(20))
    usual = (faults.EMPTY_500, faults.BAD_GATEWAY, faults.too_many(0), faults.HALF)
    light_runner.fail("*/chat/completions", usual, rate=0.15, seed=3)
    seen = walked(config)
    assert len([e for e in seen if isinstance(e, Indexed)]) == 20
    assert not [e for e in seen if isinstance(e, Failed | Shortened)]


def test_no_more_requests_at_one_time_than_configured(made: Made, light_runner: Runner) -> None:
    now = most = 0
    lock = threading.Lock()
    together = threading.Barrier(2)

    def reply(request: dict[str, Any]) -> str:
        nonlocal now, most
        with lock:
            now += 1
            most = max(most, now)
        with contextlib.suppress(threading.BrokenBarrierError):
            together.wait(0.2)  # two at a time, and a third would be seen
        with lock:
            now -= 1
        return meaning(request)

    light_runner.engine.reply = reply
    sources = many(8) | {"large.py": code("zork", 300)}
    config = made(sources, "max_embedding_concurrency: 2")
    walked(config)
    assert most == 2


def test_a_plan_tells_how_many_requests_it_would_take(made: Made, light_runner: Runner) -> None:
    sources = many(8)
    config = made(sources | {f"copy-{name}": text for name, text in sources.items()})
    with KnowledgeBase.open(config=config) as kb:
        (plan,) = kb.plan()
    assert plan.chunks == 16
    assert plan.described == 8
    assert plan.seconds is not None
    assert plan.seconds > 0
    assert len(questions(light_runner)) == 2, "a plan must not cost what it plans"
    walked(config)
    made({"new.py": code("zork")})
    with KnowledgeBase.open(config=config) as kb:
        assert kb.plan()[0].described == 1


# models that do not do it


@pytest.mark.parametrize(
    ("said", "why"),
    [
        ("", "it answered nothing"),
        ("  \n ", "it answered nothing"),
        ("<think>What is this? I wonder.</think>", "it answered nothing"),
        ("<think>What is this? I won", "it answered nothing"),
    ],
)
def test_a_chunk_that_is_not_described_is_embedded_as_it_is_and_told(
    made: Made, light_runner: Runner, said: str, why: str
) -> None:
    def reply(request: dict[str, Any]) -> str:
        return said if "quux" in request["messages"][0]["content"] else meaning(request)

    config = made()
    light_runner.engine.reply = reply
    seen = walked(config)
    (told,) = [e for e in seen if isinstance(e, Shortened)]
    assert told.path == "src/quux.py"
    assert "not described by dmr/ai/smollm2" in told.reason
    assert why in told.reason
    assert len([e for e in seen if isinstance(e, Indexed)]) == 3
    assert any(text.endswith(code("quux").strip()) for text in embedded(light_runner))
    with KnowledgeBase.open(config=config) as kb:
        (status,) = kb.status()
    assert [record.path for record in status.shortened] == ["src/quux.py"]


def test_a_chunk_that_the_model_refuses_does_not_stop_the_others(
    made: Made, light_openai: OpenAIServer, light_runner: Runner
) -> None:
    config = made(more="max_embedding_concurrency: 1")
    text = config.read_text().replace(
        f"provider: dmr\n    model: ai/smollm2\n    base_url: {light_runner.url}",
        f"provider: openai\n    model: smollm2\n    base_url: {light_openai.base_url}",
    )
    config.write_text(text)
    light_openai.engine.reply = meaning
    refusal = faults.replies(400, '{"error": {"message": "filtered"}}', "application/json")
    light_openai.fail("*/chat/completions", [refusal, refusal])
    seen = walked(config)
    (told,) = [e for e in seen if isinstance(e, Shortened)]
    assert "filtered" in told.reason
    assert len([e for e in seen if isinstance(e, Indexed)]) == 3


def test_a_model_that_refuses_everything_ends_the_walk(made: Made, light_runner: Runner) -> None:
    refusal = faults.replies(400, '{"error": {"message": "no such luck"}}', "application/json")
    light_runner.fail("*/chat/completions", refusal, rate=1.0)
    with pytest.raises(ModelError, match="no such luck"):
        walked(made())


def test_thoughts_aloud_are_no_part_of_a_description(made: Made, light_runner: Runner) -> None:
    config = made({"zork.py": code("zork")})
    light_runner.engine.reply = lambda request: (
        "<think>\nThe garage?\nNo, birds.\n</think>\n\n" + meaning(request)
    )
    walked(config)
    assert any(text.endswith("\n\n" + MEANINGS["zork"]) for text in embedded(light_runner))
    assert not any("garage" in text for text in embedded(light_runner))


def test_a_chunk_too_long_for_the_model_is_embedded_as_it_is(
    made: Made, light_runner: Runner
) -> None:
    config = made(
        {"zork.py": code("zork"), "long.txt": "+ - * / = " * 1000}, "chunking: {size: 9000}"
    )
    seen = walked(config)
    (told,) = [e for e in seen if isinstance(e, Shortened)]
    assert told.path == "src/long.txt"
    assert "not described" in told.reason


# other settings, other places


@pytest.mark.parametrize(
    "change",
    [
        ("        limit: 20", "        limit: 20\n        semantic_prompt: 'Say: ${content}'"),
        ("        limit: 20", "        limit: 20\n        ast_context: true"),
        ("model: ai/smollm2", "model: ai/qwen3"),
        ("model: ai/smollm2", "model: ai/smollm2\n    temperature: 0.7"),
    ],
    ids=["prompt", "ast_context", "model", "temperature"],
)
def test_another_prompt_or_model_describes_all_anew_and_mixes_nothing(
    made: Made, light_runner: Runner, change: tuple[str, str]
) -> None:
    config = made()
    walked(config)
    config.write_text(config.read_text().replace(*change))
    with KnowledgeBase.open(config=config) as kb:
        assert not kb.indexes[0].store.is_complete
        kb.index()
        assert kb.indexes[0].store.is_complete
    assert len(questions(light_runner)) == 6


def test_a_change_back_asks_nothing(made: Made, light_runner: Runner) -> None:
    config = made()
    walked(config)
    before = config.read_text()
    config.write_text(before.replace("limit: 20", "limit: 20\n        ast_context: true"))
    walked(config)
    asked = len(questions(light_runner))
    config.write_text(before)
    walked(config)
    assert len(questions(light_runner)) == asked


def test_a_search_needs_no_chat_model(made: Made, light_runner: Runner) -> None:
    config = made()
    walked(config)
    light_runner.only("ai/embeddinggemma")
    assert first(config, "birds in winter")[0] == "src/zork.py"


def test_without_its_embedding_model_the_words_answer(made: Made, light_runner: Runner) -> None:
    config = made(more="\n      - {type: bm25, database: ./code.db, limit: 20}")
    walked(config)
    light_runner.down()
    with KnowledgeBase.open(config=config) as kb:
        answer = kb.answer("zork")
    assert answer.hits[0].chunk.path == "src/zork.py"
    assert [note.stage for note in answer.degraded] == ["semantic-embeddings"]


def test_a_model_that_is_not_there_names_the_command_that_pulls_it(
    made: Made, light_runner: Runner
) -> None:
    light_runner.only("ai/embeddinggemma")
    with pytest.raises(ModelError, match="ai/smollm2") as caught:
        walked(made())
    assert "docker model pull ai/smollm2" in caught.value.remedy


@pytest.mark.parametrize(
    ("model", "error", "words"),
    [
        ("embedded/static", ConfigError, "vectors, not words"),
        ("anthropic/claude", NotBuilt, "chat models of anthropic"),
    ],
)
def test_a_chat_model_that_cannot_be_is_refused_at_once(
    made: Made, model: str, error: type[ConfigError], words: str
) -> None:
    config = made()
    text = config.read_text().replace("chat_model: describer", f"chat_model: {model}")
    config.write_text(text)
    with pytest.raises(error, match=words):
        KnowledgeBase.open(config=config)


def test_a_key_that_is_not_set_is_missed_by_indexing_alone(
    made: Made, light_runner: Runner, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    config = made()
    config.write_text(config.read_text().replace("chat_model: describer", "chat_model: openai/x"))
    with KnowledgeBase.open(config=config) as kb, pytest.raises(ModelError, match="OPENAI_API_KEY"):
        kb.index()


def test_two_strategies_describe_side_by_side(made: Made, light_runner: Runner) -> None:
    second = """
      - type: semantic-embeddings
        name: second
        embedding_model: embedder
        chat_model: describer
        semantic_prompt: 'In a word: ${content}'
        database: ./code.db"""
    config = made(more=second)
    walked(config)
    assert len(questions(light_runner)) == 6
    with KnowledgeBase.open(config=config) as kb:
        (best, *_) = kb.search("birds in winter")
    assert {"semantic-embeddings", "second"} <= best.scores.keys()


# pieces


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        ("It counts.", "It counts."),
        ("<think>a</think> It counts.\n", "It counts."),
        ("<THINK>\na\n</THINK>\nIt counts.", "It counts."),
        ("a, so b.</think>It counts.", "It counts."),
        ("<thinking>a</thinking><think>b</think>It counts.", "It counts."),
        ("[THINK]a[/THINK]It counts.", "It counts."),
        ("<think>never ends", ""),
        ("if a < b: think", "if a < b: think"),
    ],
)
def test_what_is_spoken_is_what_follows_the_thought(answer: str, expected: str) -> None:
    assert spoken(answer) == expected


def test_a_text_is_cut_behind_a_sentence_or_else_a_word() -> None:
    assert clipped("One. Two three.", 100) == "One. Two three."
    assert clipped("One is here. Two thr", 100, ended=False) == "One is here."
    assert clipped("one two three", 9) == "one two…"
    assert clipped("鳥を数える。餌台も見る", 8) == "鳥を数える。"
    assert clipped("x" * 50, 10) == "x" * 10 + "…"


class Endless:
    """A chat model that does not stop by itself."""

    name = "endless"

    def __init__(self) -> None:
        self.said = 0
        self.closed = False

    def chat(
        self,
        messages: Sequence[Message],
        tools: Sequence[Tool] = (),
        *,
        schema: Mapping[str, object] | None = None,
    ) -> Iterator[Delta]:
        try:
            while True:
                self.said += 1
                yield Delta("It counts birds. ")
        finally:
            self.closed = True

    def close(self) -> None:
        """It holds nothing."""


def test_a_model_that_does_not_stop_is_stopped() -> None:
    chat = Endless()
    description = Describer(chat, prompt("${content}")).describe(b"key", "?")
    assert LONGEST / 2 < len(description.text) <= LONGEST
    assert description.text.endswith("birds.")
    assert chat.closed
    assert chat.said < LONGEST


class Cramped(Endless):
    """A chat model whose server has room for one question at a time."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 0
        self.refused = 0
        self.lock = threading.Lock()
        self.together = threading.Barrier(2)

    def chat(
        self,
        messages: Sequence[Message],
        tools: Sequence[Tool] = (),
        *,
        schema: Mapping[str, object] | None = None,
    ) -> Iterator[Delta]:
        with self.lock:
            self.now += 1
        with contextlib.suppress(threading.BrokenBarrierError):
            self.together.wait(0.05)  # so that those that may meet do
        crowded = self.now > 1
        with contextlib.suppress(threading.BrokenBarrierError):
            self.together.wait(0.05)
        with self.lock:
            self.now -= 1
            self.refused += crowded
        if crowded:
            raise InputTooLong("Context size has been exceeded.")
        yield Delta("It counts birds.", finish="stop")


def test_questions_that_have_no_room_together_are_asked_one_after_the_other() -> None:
    chat = Cramped()
    describer = Describer(chat, prompt("${content}"), concurrency=2)
    with ThreadPoolExecutor(6) as threads:
        keys = [bytes([n]) for n in range(6)]
        done = list(threads.map(describer.describe, keys, ["?"] * 6))
    assert [description.text for description in done] == ["It counts birds."] * 6
    assert chat.refused == 2, "one meeting was enough"


def test_prose_is_embedded_below_its_heading() -> None:
    chunk = Chunk("a.md", 0, "Text.", 0, 5, 1, 1, "Birds > Seeds")
    (told,) = facts([chunk], chunk.text)
    assert described_text(chunk, told, "It tells.") == "Inside: Birds > Seeds\n\nIt tells."
    plain = Chunk("a.txt", 0, "Text.", 0, 5, 1, 1)
    assert described_text(plain, facts([plain], plain.text)[0], "It tells.") == "It tells."


def test_the_marks_of_settings_differ() -> None:
    marks = {
        Describer(Endless(), prompt(text), identity=identity, ast_context=ast).mark
        for text in ("${content}", "Say ${content}")
        for identity in ("a", "b")
        for ast in (False, True)
    }
    assert len(marks) == 8
    assert all(re.fullmatch("[0-9a-f]{16}", mark) for mark in marks)


def test_events_tell_descriptions_apart_from_vectors(made: Made) -> None:
    seen = walked(made())
    kinds = [type(event) for event in seen]
    assert kinds.index(Described) < kinds.index(Embedding) < kinds.index(Indexed)
