"""Chat over HTTP: what is asked, how the answer is put together, and what breaks it."""

from __future__ import annotations

import json
import threading
import traceback
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import pytest
from engine import chatter, faults
from engine.runner import Runner
from engine.serving import Pieces, Request, Response, Server

from ragkit.errors import InputTooLong, ModelBusy, ModelError, ModelNotFound, ModelUnreachable
from ragkit.models.answers import Garbled
from ragkit.models.chat import RemoteChat, Sampling
from ragkit.models.http import Client, Endpoint
from ragkit.models.listening import Interrupted, Unfinished, deltas
from ragkit.models.sending import Patience
from ragkit.models.speaking import format_of, messages_of, tools_of
from ragkit.types import Delta, Message, Tool, ToolCall, Usage

QUICK = Patience(pause=0.01)
ASK = [Message("user", "Where are birds counted?")]
SEARCH = Tool(
    "search_docs",
    "Search the documentation",
    {"type": "object", "properties": {"query": {"type": "string"}}, "required": ["query"]},
)
SAID = "".join(chatter.SCRIPT)

Made = Callable[..., RemoteChat]


@pytest.fixture
def made(light_runner: Runner) -> Iterator[Made]:
    """A chat model that the runner serves."""
    open_now: list[RemoteChat] = []

    def make(model: str = "ai/smollm2", *, url: str = light_runner.url, **options: Any) -> Any:
        client = Client(Endpoint(url))
        chat = RemoteChat(
            client, **{"model": model, "name": f"dmr/{model}", "patience": QUICK, **options}
        )
        open_now.append(chat)
        return chat

    yield make
    for chat in open_now:
        chat.close()


class Scripted:
    """A server that answers each request with the pieces it is told to."""

    def __init__(self) -> None:
        self.pieces: Sequence[bytes | threading.Event] = ()
        self.headers = {"Content-Type": "text/event-stream"}
        self.breaks = False
        self.requests: list[dict[str, Any]] = []
        self.left = threading.Event()
        self._server = Server(self._answer)
        self.url = f"http://127.0.0.1:{self._server.port}"

    def events(self, *values: object) -> None:
        """Answer with these: values as JSON, texts as they are."""
        lines = [each if isinstance(each, str) else f"data: {json.dumps(each)}" for each in values]
        self.pieces = [f"{line}\n\n".encode() for line in lines]

    def close(self) -> None:
        self._server.close()

    def _answer(self, request: Request) -> Response:
        self.requests.append(json.loads(request.body))
        if self.breaks:
            body = b"".join(piece for piece in self.pieces if isinstance(piece, bytes))
            return Response(200, body, self.headers, kept=0.999)
        return Response(
            200, Pieces(self._stream(request), self.left.set), self.headers, closes=True
        )

    def _stream(self, request: Request) -> Iterator[bytes]:
        for piece in self.pieces:
            if isinstance(piece, bytes):
                yield piece
                continue
            while not piece.wait(0.005):
                if request.gone():
                    return


@pytest.fixture
def scripted() -> Iterator[Scripted]:
    server = Scripted()
    yield server
    server.close()


def piece(delta: dict[str, Any] | None = None, finish: str | None = None, **more: Any) -> Any:
    return {"choices": [{"index": 0, "delta": delta or {}, "finish_reason": finish}], **more}


def call(index: int | None = 0, **parts: Any) -> Any:
    """A fragment of a tool call."""
    fragment: dict[str, Any] = {} if index is None else {"index": index}
    if "id" in parts:
        fragment["id"] = parts.pop("id")
    return piece({"tool_calls": [{**fragment, "function": parts}]})


def lines(*values: object) -> list[str]:
    return [f"data: {json.dumps(value)}" for value in values] + ["data: [DONE]"]


def calls_of(answer: Sequence[Delta]) -> tuple[ToolCall, ...]:
    return tuple(call for delta in answer for call in delta.calls)


def text(answer: Sequence[Delta]) -> str:
    return "".join(delta.content for delta in answer)


# an answer


def test_an_answer_comes_piece_by_piece(made: Made) -> None:
    answer = list(made().chat(ASK))
    assert text(answer) == SAID
    assert len([delta for delta in answer if delta.content]) == len(chatter.SCRIPT)
    assert [delta.finish for delta in answer if delta.finish] == ["stop"]


def test_tokens_are_told_last(made: Made, light_runner: Runner) -> None:
    answer = list(made().chat(ASK))
    assert isinstance(answer[-1].usage, Usage)
    assert answer[-1].usage.completion_tokens == len(chatter.SCRIPT) + 1
    assert answer[-1].usage.prompt_tokens > 5
    silent = list(made(track_usage=False).chat(ASK))
    assert all(delta.usage is None for delta in silent)
    assert "stream_options" not in light_runner.requests[-1].json


def test_thoughts_are_not_content(made: Made) -> None:
    answer = list(made("ai/qwen3").chat(ASK))
    assert "".join(delta.reasoning for delta in answer) == "".join(chatter.THOUGHT)
    assert text(answer) == SAID


def test_a_call_comes_whole_with_the_end(made: Made) -> None:
    answer = list(made().chat(ASK, [SEARCH]))
    (delta,) = [delta for delta in answer if delta.calls]
    assert delta.finish == "tool_calls"
    (made_call,) = delta.calls
    assert made_call.name == "search_docs"
    assert json.loads(made_call.arguments) == {"query": "how to parse json"}
    assert made_call.id == chatter.CALL_ID


def test_a_tool_is_answered_and_the_conversation_goes_on(made: Made, light_runner: Runner) -> None:
    chat = made()
    (asked,) = calls_of(list(chat.chat(ASK, [SEARCH])))
    turn = [*ASK, Message("assistant", calls=(asked,)), Message("tool", "two", call_id=asked.id)]
    assert text(list(chat.chat(turn, [SEARCH]))) == SAID
    sent = light_runner.requests[-1].json["messages"]
    assert sent[1]["tool_calls"][0]["function"]["name"] == "search_docs"
    assert sent[2] == {"role": "tool", "content": "two", "tool_call_id": chatter.CALL_ID}


def test_a_schema_is_kept_to(made: Made, light_runner: Runner) -> None:
    schema = {"type": "object", "properties": {"place": {"type": "string"}}}
    answer = text(list(made().chat(ASK, schema=schema)))
    assert json.loads(answer) == {"place": "how to parse json"}
    sent = light_runner.requests[-1].json["response_format"]
    assert sent["type"] == "json_schema"
    assert sent["json_schema"]["schema"] == schema


def test_an_answer_that_is_cut_by_max_tokens_says_so(made: Made) -> None:
    answer = list(made(sampling=Sampling(max_tokens=3)).chat(ASK))
    assert text(answer) == "Hello from a"
    assert [delta.finish for delta in answer if delta.finish] == ["length"]


def test_only_what_is_set_is_sent(made: Made, light_runner: Runner) -> None:
    list(made().chat(ASK))
    assert set(light_runner.requests[-1].json) == {"model", "messages", "stream", "stream_options"}
    sampling = Sampling(0.0, 100, 0.9, -1.0, 0.5)
    chat = made(sampling=sampling, parallel_tool_calls=False, extra_body={"top_k": 20})
    list(chat.chat(ASK, [SEARCH]))
    sent = light_runner.requests[-1].json
    assert sent["temperature"] == 0.0
    assert sent["max_tokens"] == 100
    assert (sent["frequency_penalty"], sent["presence_penalty"]) == (-1.0, 0.5)
    assert sent["top_k"] == 20
    assert sent["parallel_tool_calls"] is False


def test_parallel_calls_are_a_matter_of_tools(made: Made, light_runner: Runner) -> None:
    list(made(parallel_tool_calls=True).chat(ASK))
    assert "parallel_tool_calls" not in light_runner.requests[-1].json


def test_extra_options_do_not_change_what_is_asked(made: Made, light_runner: Runner) -> None:
    list(made(extra_body={"stream": False, "messages": [], "model": "x"}).chat(ASK))
    assert light_runner.requests[-1].json["model"] == "ai/smollm2"
    assert light_runner.requests[-1].json["stream"] is True


def test_a_server_that_does_not_stream_is_understood(made: Made, scripted: Scripted) -> None:
    scripted.headers = {"Content-Type": "application/json"}
    message = {"role": "assistant", "content": "Here.", "reasoning_content": "Hm."}
    usage = {"prompt_tokens": 5, "completion_tokens": 2}
    value = {"choices": [{"message": message, "finish_reason": "stop"}], "usage": usage}
    scripted.pieces = [json.dumps(value).encode()]
    assert list(made(url=scripted.url).chat(ASK)) == [
        Delta("Here.", "Hm.", finish="stop"),
        Delta(usage=Usage(5, 2)),
    ]


def test_what_must_be_ready_is_made_so_once(made: Made) -> None:
    seen: list[int] = []
    chat = made(ready=lambda: seen.append(1))
    answer = chat.chat(ASK)
    assert not seen
    list(answer)
    list(chat.chat(ASK))
    assert seen == [1]


# fragments


@pytest.mark.parametrize(
    ("fragments", "expected"),
    [
        (
            [
                call(id="a", name="search", arguments=""),
                call(arguments='{"q'),
                call(arguments='": "x"}'),
            ],
            [("a", "search", '{"q": "x"}')],
        ),
        (
            [call(id="a"), call(name="sea"), call(name="rch"), call(arguments="{}")],
            [("a", "search", "{}")],
        ),
        (
            [
                call(id="a", name="one", arguments="{}"),
                call(1, id="b", name="two", arguments="{"),
                call(1, arguments="}"),
            ],
            [("a", "one", "{}"), ("b", "two", "{}")],
        ),
        (
            [
                call(1, id="b", name="two", arguments="{"),
                call(0, id="a", name="one"),
                call(1, arguments="}"),
                call(0, arguments="{}"),
            ],
            [("b", "two", "{}"), ("a", "one", "{}")],
        ),
        # all with the index 0
        (
            [call(id="a", name="one", arguments="{}"), call(id="b", name="one", arguments="{}")],
            [("a", "one", "{}"), ("b", "one", "{}")],
        ),
        # no index at all, no id
        (
            [
                call(None, name="one", arguments='{"n"'),
                call(None, arguments=":1}"),
                call(None, name="two", arguments="{}"),
            ],
            [("call_1", "one", '{"n":1}'), ("call_2", "two", "{}")],
        ),
        # id and name in every piece
        (
            [call(id="a", name="one", arguments="{"), call(id="a", name="one", arguments="}")],
            [("a", "one", "{}")],
        ),
        # a value in the place of its text, and no arguments
        ([call(id="a", name="one", arguments={"n": 1})], [("a", "one", '{"n": 1}')]),
        ([call(id="a", name="one")], [("a", "one", "{}")]),
        # as the model wrote it
        ([call(id="a", name="one", arguments="{oops")], [("a", "one", "{oops")]),
    ],
    ids=["split", "name split", "two", "mixed", "index 0", "no index", "repeated", "value",
         "none", "wrong"],
)  # fmt: skip
def test_calls_are_put_together(fragments: list[Any], expected: list[Any]) -> None:
    answer = list(deltas(lines(*fragments, piece(finish="tool_calls"))))
    assert [(made.id, made.name, made.arguments) for made in calls_of(answer)] == expected
    assert len(answer) == 1


def test_a_call_that_is_cut_by_max_tokens_is_not_made() -> None:
    fragments = [call(id="a", name="one", arguments='{"n": 1}')]
    fragments += [call(1, id="b", name="two", arguments='{"quer')]
    answer = list(deltas(lines(*fragments, piece(finish="length"))))
    assert answer == [Delta(calls=(ToolCall("a", "one", '{"n": 1}'),), finish="length")]
    answer = list(deltas(lines(call(id="a", name="one"), piece(finish="length"))))
    assert answer == [Delta(finish="length")]


def test_calls_count_where_the_server_says_stop() -> None:
    answer = list(deltas(lines(call(id="a", name="one"), piece(finish="stop"))))
    assert answer[0].finish == "tool_calls"
    assert answer[0].calls


def test_words_beside_a_call_are_kept() -> None:
    said = [piece({"content": "I look. "}), call(id="a", name="one")]
    answer = list(deltas(lines(*said, piece({"content": None}, "tool_calls"))))
    assert text(answer) == "I look. "
    assert len(calls_of(answer)) == 1


def test_usage_is_read_wherever_it_comes() -> None:
    usage = {"prompt_tokens": 7, "completion_tokens": 1}
    growing = [piece({"content": "a"}, usage={**usage, "completion_tokens": 0})]
    for values in (
        [piece({"content": "a"}), piece(finish="stop"), {"choices": [], "usage": usage}],
        [piece({"content": "a"}), piece(finish="stop", usage=usage)],
        [*growing, piece(finish="stop", usage=usage)],
        [piece({"content": "a"}), piece(finish="stop"), {"usage": usage, "choices": None}],
    ):
        answer = list(deltas(lines(*values)))
        assert [delta.usage for delta in answer if delta.usage] == [Usage(7, 1)]


def test_what_is_no_event_is_passed_over() -> None:
    noisy = [": keep-alive", "", "event: message", "id: 4", "retry: 100", "data:", *lines(
        piece({"role": "assistant", "content": None}), piece({"content": "a"}, "stop")
    )]  # fmt: skip
    assert list(deltas(noisy)) == [Delta("a", finish="stop")]


def test_an_event_needs_no_space_after_its_colon() -> None:
    value = json.dumps(piece({"content": "a"}, "stop"))
    assert list(deltas([f"data:{value}", "data:[DONE]"])) == [Delta("a", finish="stop")]


def test_a_list_of_parts_is_read() -> None:
    thought = {"type": "thinking", "thinking": [{"type": "text", "text": "Hm."}]}
    parts = [thought, {"type": "text", "text": "Here."}]
    answer = list(deltas(lines(piece({"content": parts}), piece({"reasoning": "So."}, "stop"))))
    assert answer == [Delta("Here.", "Hm."), Delta("", "So.", finish="stop")]


def test_an_end_without_its_mark_is_an_end() -> None:
    assert list(deltas(lines(piece({"content": "a"}, "stop"))[:-1])) == [Delta("a", finish="stop")]


def test_the_mark_without_a_reason_is_an_end() -> None:
    assert list(deltas(lines(piece({"content": "a"})))) == [Delta("a"), Delta(finish="stop")]


def test_neither_end_nor_mark_is_no_end() -> None:
    seen: list[Delta] = []
    with pytest.raises(Unfinished):
        seen.extend(deltas(lines(piece({"content": "a"}))[:-1]))


@pytest.mark.parametrize(
    "line",
    ["data: {oops", 'data: "text"', 'data: {"choices": [3]}', 'data: {"choices": [{"delta": 3}]}',
     'data: {"choices": [{"delta": {"tool_calls": [3]}}]}',
     'data: {"choices": [{"delta": {"tool_calls": [{"function": "f"}]}}]}'],
)  # fmt: skip
def test_what_is_no_answer_is_refused(line: str) -> None:
    with pytest.raises(Garbled):
        list(deltas([line]))


@pytest.mark.parametrize("line", ['data: {"error": {"message": "x"}}', 'error: {"message": "x"}'])
def test_an_error_inside_the_answer_is_noticed(line: str) -> None:
    with pytest.raises(Interrupted):
        list(deltas([line]))


# the request


def test_neighbours_of_one_speaker_are_one_message() -> None:
    messages = [
        Message("system", "a"), Message("system", "b"), Message("user", "c"), Message("user", "d"),
        Message("assistant", ""), Message("user", "e"), Message("assistant", "f"),
        Message("assistant", "g"),
    ]  # fmt: skip
    assert [(each["role"], each["content"]) for each in messages_of(messages)] == [
        ("system", "a\nb"), ("user", "c\nd\ne"), ("assistant", "f"), ("assistant", "g"),
    ]  # fmt: skip


def test_no_message_is_an_error_at_once(made: Made, light_runner: Runner) -> None:
    for messages in ([], [Message("assistant")]):
        with pytest.raises(ModelError, match="at least one message is required"):
            made().chat(messages)
    assert not light_runner.requests


def test_wrong_arguments_do_not_spoil_the_conversation() -> None:
    wrong = Message("assistant", calls=(ToolCall("a", "one", "{oops"), ToolCall("b", "two", "[]")))
    (message,) = messages_of([wrong])
    sent: Any = message["tool_calls"]
    assert [each["function"]["arguments"] for each in sent] == ["{}", "{}"]


def test_tools_are_described_without_what_servers_refuse() -> None:
    inner = {"type": "object", "additionalProperties": False, "properties": {}}
    named = {"additionalProperties": {"type": "string"}, "list": {"items": inner}}
    schema = {"type": "object", "additionalProperties": False, "properties": named}
    (tool,) = tools_of([Tool("look", " ", schema)])
    function: Any = tool["function"]
    assert function["description"] == "Function look"
    assert function["parameters"] == {
        "type": "object",
        "properties": {
            "additionalProperties": {"type": "string"},
            "list": {"items": {"type": "object", "properties": {}}},
        },
    }
    assert schema["additionalProperties"] is False


def test_a_tool_without_arguments_has_a_schema_all_the_same() -> None:
    (tool,) = tools_of([Tool("now", "Tells the time", {})])
    function: Any = tool["function"]
    assert function["parameters"] == {"type": "object", "properties": {}}


def test_only_a_closed_schema_is_strict() -> None:
    closed: Any = format_of({"type": "object", "additionalProperties": False})
    open_: Any = format_of({"type": "object"})
    assert closed["json_schema"]["strict"] is True
    assert "strict" not in open_["json_schema"]


# what goes wrong


def test_what_came_before_a_break_stays(made: Made, scripted: Scripted) -> None:
    scripted.events(piece({"content": "Hello"}), piece({"content": " there"}))
    seen: list[Delta] = []
    with pytest.raises(ModelError, match="the answer was cut off") as raised:
        seen.extend(made(url=scripted.url).chat(ASK))
    assert text(seen) == "Hello there"
    assert raised.value.remedy


def test_a_connection_that_breaks_in_the_answer_is_told(made: Made, scripted: Scripted) -> None:
    scripted.events(piece({"content": "Hello"}), piece({"content": " there"}))
    scripted.breaks = True
    with pytest.raises(ModelError, match="cut off"):
        list(made(url=scripted.url).chat(ASK))
    assert len(scripted.requests) == 1


def test_an_error_in_the_middle_is_told_in_its_words(made: Made, scripted: Scripted) -> None:
    error = {"error": {"code": 500, "message": "the GPU is gone", "type": "server_error"}}
    scripted.events(piece({"content": "Hello"}), error)
    with pytest.raises(ModelError, match="the GPU is gone"):
        list(made(url=scripted.url).chat(ASK))


def test_an_answer_that_outgrows_the_context_is_no_busy_server(
    made: Made, scripted: Scripted
) -> None:
    error = {"error": {"code": 500, "message": "Context size has been exceeded."}}
    scripted.events(piece({"content": "Hello"}), error)
    with pytest.raises(InputTooLong) as raised:
        list(made(url=scripted.url).chat(ASK))
    assert "conversation" in raised.value.remedy


def test_an_error_in_the_place_of_the_answer_is_told(made: Made, scripted: Scripted) -> None:
    scripted.headers = {"Content-Type": "application/json"}
    scripted.pieces = [b'{"error": {"code": 400, "message": "no such thing"}}']
    with pytest.raises(ModelError, match="no such thing"):
        list(made(url=scripted.url).chat(ASK))


def test_a_web_page_is_no_answer(made: Made, scripted: Scripted) -> None:
    scripted.headers = {"Content-Type": "text/html"}
    scripted.pieces = [b"<html>Welcome</html>"]
    with pytest.raises(ModelError, match="something else than JSON"):
        list(made(url=scripted.url).chat(ASK))


def test_a_conversation_that_is_too_long_is_told_with_numbers(made: Made) -> None:
    with pytest.raises(InputTooLong) as raised:
        list(made().chat([Message("user", "bird " * 5000)]))
    assert raised.value.limit == 4096
    assert (raised.value.tokens or 0) > 5000
    assert "shorten the conversation" in raised.value.remedy


def test_a_model_that_is_not_there_is_named(made: Made) -> None:
    with pytest.raises(ModelNotFound, match="ai/nowhere"):
        list(made("ai/nowhere").chat(ASK))


def test_an_embedding_model_does_not_answer(made: Made) -> None:
    with pytest.raises(ModelError, match="logits"):
        list(made("ai/all-minilm", patience=Patience(pause=0.001)).chat(ASK))


def test_nobody_listening_is_told_at_once(made: Made, light_runner: Runner) -> None:
    light_runner.down()
    with pytest.raises(ModelUnreachable, match="nothing listens"):
        list(made().chat(ASK))


@pytest.mark.parametrize(
    "fault",
    [faults.BAD_GATEWAY, faults.RESET, faults.LOADING, faults.too_many(0)],
    ids=lambda fault: fault.name,
)
def test_what_fails_before_the_answer_is_tried_again(
    made: Made, light_runner: Runner, fault: faults.Fault
) -> None:
    light_runner.fail("*/completions", fault)
    assert text(list(made().chat(ASK))) == SAID
    assert len(light_runner.requests) == 2


def test_patience_has_an_end(made: Made, light_runner: Runner) -> None:
    light_runner.fail("*/completions", faults.UNAVAILABLE, rate=1.0)
    with pytest.raises(ModelBusy):
        list(made(patience=Patience(deadline=0.1, pause=0.01)).chat(ASK))


def test_closing_the_iterator_cancels_the_request(made: Made, scripted: Scripted) -> None:
    scripted.events(piece({"content": "Hello"}))
    never = threading.Event()
    scripted.pieces = [*scripted.pieces, never]
    answer = made(url=scripted.url).chat(ASK)
    assert next(answer).content == "Hello"
    answer.close()  # type: ignore[attr-defined]
    assert scripted.left.wait(2)


def test_pieces_come_before_the_answer_has_ended(made: Made, scripted: Scripted) -> None:
    more = threading.Event()
    scripted.events(piece({"content": "Hello"}), piece({"content": "!"}, "stop"))
    scripted.pieces = [scripted.pieces[0], more, scripted.pieces[1]]
    answer = made(url=scripted.url).chat(ASK)
    assert next(answer).content == "Hello"
    more.set()
    assert text(list(answer)) == "!"


def test_a_connection_that_streamed_is_not_used_again(made: Made, light_runner: Runner) -> None:
    chat = made()
    for _ in range(30):
        assert text(list(chat.chat(ASK))) == SAID
    assert len(light_runner.requests) == 30


def test_answers_come_to_several_threads_at_once(made: Made) -> None:
    chat = made()
    said: list[str] = []
    threads = [
        threading.Thread(target=lambda: said.append(text(list(chat.chat(ASK))))) for _ in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10)
    assert said == [SAID] * 8


def test_a_key_is_in_no_error(light_runner: Runner) -> None:
    client = Client(Endpoint(light_runner.url, key="s3cret-key"))
    chat = RemoteChat(client, model="ai/smollm2", name="x", patience=QUICK)
    for fault in (faults.replies(401, "bad s3cret-key"), faults.replies(400, "bad s3cret-key")):
        light_runner.fail("*/completions", fault)
        with pytest.raises(ModelError) as raised:
            list(chat.chat(ASK))
        shown = "".join(traceback.format_exception(raised.value))
        assert "s3cret" not in shown + repr(chat) + raised.value.remedy
    assert light_runner.requests[-1].headers["authorization"] == "Bearer s3cret-key"
    chat.close()


# on a true llama.cpp


@pytest.fixture
def true(runner: Runner) -> Iterator[Made]:
    open_now: list[RemoteChat] = []

    def make(model: str = "ai/smollm2", **options: Any) -> RemoteChat:
        open_now.append(
            RemoteChat(Client(Endpoint(runner.url)), model=model, name=model, **options)
        )
        return open_now[-1]

    yield make
    for chat in open_now:
        chat.close()


@pytest.mark.engine
def test_a_true_model_answers_calls_and_thinks(true: Made) -> None:
    chat = true()
    assert "scripted model" in text(list(chat.chat(ASK)))
    (asked,) = calls_of(list(chat.chat(ASK, [SEARCH])))
    assert asked.name == "search_docs"
    assert set(json.loads(asked.arguments)) == {"query"}
    for arguments in (asked.arguments, "{oops"):
        made_call = ToolCall(asked.id, asked.name, arguments)
        turn = [*ASK, Message("assistant", calls=(made_call,)), Message("tool", "2", call_id="x")]
        assert "scripted model" in text(list(chat.chat(turn, [SEARCH])))
    thinking = list(true("ai/qwen3").chat(ASK))
    assert "think" in "".join(delta.reasoning for delta in thinking)
    assert "scripted model" in text(thinking)


@pytest.mark.engine
def test_a_true_model_that_is_cut_makes_no_call(true: Made) -> None:
    for tokens in (1, 6, 14):
        answer = list(true(sampling=Sampling(max_tokens=tokens)).chat(ASK, [SEARCH]))
        assert not calls_of(answer)
        assert [delta.finish for delta in answer if delta.finish] == ["length"]


@pytest.mark.engine
def test_a_true_server_refuses_what_is_too_long_and_survives_who_leaves(true: Made) -> None:
    chat = true()
    with pytest.raises(InputTooLong) as raised:
        list(chat.chat([Message("user", "bird " * 9000)]))
    assert raised.value.limit == 4096
    for _ in range(40):
        answer = chat.chat(ASK)
        next(answer)
        answer.close()  # type: ignore[attr-defined]
        assert "scripted model" in text(list(chat.chat(ASK)))
