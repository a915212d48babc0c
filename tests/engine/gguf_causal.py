"""GGUF files in llama.cpp's `llama` architecture whose weights are written by hand.

A token is a byte or one of a few words, and is embedded as a direction of its own. The output
matrix then holds how likely each token is to follow each other one: a bigram model, which speaks a
fixed text and needs no training. Two attention heads look for `<tools>` and `<tool_response>` in
what came before, so that it calls a tool when it has been given some, and answers once it has a
result.
"""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import gguf
import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float32]

CONTROL = ("<|endoftext|>", "<|im_start|>", "<|im_end|>")
MARKS = (
    *("<tool_call>", "</tool_call>", "<think>", "</think>"),
    *("<tool_response>", "</tool_response>", "<tools>", "</tools>"),
)
SCRIPT = (
    *("Hello", " from", " a", " tiny", " scripted", " model", ";"),
    *(" café", " 中文", " 🎉", " done", "."),
)
"""What it says."""
QUERY = ("how", " to", " parse", " json")
"""What it puts into a string argument that it may choose."""
THOUGHT = (" Let", " me", " think")

WIDTH = 320
HEADS = 4

TEMPLATE = """\
{%- if tools %}
    {{- '<|im_start|>system\\n' }}
    {%- if messages[0].role == 'system' %}{{- messages[0].content + '\\n\\n' }}{%- endif %}
    {{- "You may call functions, whose signatures are within <tools></tools>:\\n<tools>" }}
    {%- for tool in tools %}{{- "\\n" }}{{- tool | tojson }}{%- endfor %}
    {{- "\\n</tools>\\n\\nFor each call, return a JSON object within <tool_call></tool_call>:\\n" }}
    {{- '<tool_call>\\n{"name": <function-name>, "arguments": <args-json-object>}\\n' }}
    {{- "</tool_call><|im_end|>\\n" }}
{%- elif messages[0].role == 'system' %}
    {{- '<|im_start|>system\\n' + messages[0].content + '<|im_end|>\\n' }}
{%- endif %}
{%- for message in messages %}
    {%- if message.role == 'user' or (message.role == 'system' and not loop.first) %}
        {{- '<|im_start|>' + message.role + '\\n' + message.content + '<|im_end|>\\n' }}
    {%- elif message.role == 'assistant' %}
        {{- '<|im_start|>assistant\\n' }}
        {%- if message.reasoning_content %}
            {{- '<think>' + message.reasoning_content + '</think>' }}
        {%- endif %}
        {%- if message.content %}{{- message.content }}{%- endif %}
        {%- for tool_call in message.tool_calls or [] %}
            {%- if tool_call.function %}{%- set tool_call = tool_call.function %}{%- endif %}
            {{- '\\n<tool_call>\\n{"name": "' + tool_call.name + '", "arguments": ' }}
            {%- if tool_call.arguments is string %}
                {{- tool_call.arguments }}
            {%- else %}
                {{- tool_call.arguments | tojson }}
            {%- endif %}
            {{- '}\\n</tool_call>' }}
        {%- endfor %}
        {{- '<|im_end|>\\n' }}
    {%- elif message.role == 'tool' %}
        {{- '<|im_start|>user\\n<tool_response>\\n' + message.content }}
        {{- '\\n</tool_response><|im_end|>\\n' }}
    {%- endif %}
{%- endfor %}
{%- if add_generation_prompt %}{{- '<|im_start|>assistant\\n' }}{%- endif %}"""


class Vocabulary:
    """All bytes, the words, the marks and the control tokens, in this order."""

    def __init__(self, words: tuple[str, ...] = ()) -> None:
        self._letters = letters()
        encoded = [self._encoded(word) for word in words if len(word.encode()) > 1]
        self.tokens = [*self._letters, *encoded, *MARKS, *CONTROL]
        self.types = [gguf.TokenType.NORMAL] * (256 + len(encoded))
        self.types += [gguf.TokenType.USER_DEFINED] * len(MARKS)
        self.types += [gguf.TokenType.CONTROL] * len(CONTROL)
        self._ids = {token: place for place, token in enumerate(self.tokens)}

    def __len__(self) -> int:
        return len(self.tokens)

    def id(self, token: str) -> int:
        found = self._ids.get(token)
        return self._ids[self._encoded(token)] if found is None else found

    def _encoded(self, word: str) -> str:
        return "".join(self._letters[byte] for byte in word.encode())


def letters() -> list[str]:
    """A visible character for each byte, as GPT-2 has them."""
    visible = {*range(33, 127), *range(161, 173), *range(174, 256)}
    hidden = (byte for byte in range(256) if byte not in visible)
    moved = {byte: chr(256 + place) for place, byte in enumerate(hidden)}
    return [moved.get(byte, chr(byte)) for byte in range(256)]


def write_embedder(out: Path) -> None:
    """1024 dimensions, last-token pooling: the end of the text, which looks evenly at all of it."""
    vocabulary, width = Vocabulary(), 1024
    writer = _writer(out, "causal", vocabulary, width=width, heads=8, context=32768)
    writer.add_pooling_type(gguf.PoolingType.LAST)
    writer.add_add_eos_token(True)
    random = np.random.default_rng(5)
    directions = random.standard_normal((len(vocabulary), width)).astype(np.float32)
    # the end is much the same for all texts: let it say little by itself
    directions[vocabulary.id("<|endoftext|>")] *= 0.2
    pass_on = np.eye(width, dtype=np.float32)
    nothing = np.zeros((width, width), np.float32)
    _add_layer(
        writer,
        {"q": nothing, "k": nothing, "v": pass_on, "output": pass_on * 8},
        inner=np.zeros((64, width), np.float32),
    )
    _add(writer, "token_embd.weight", directions)
    _add(writer, "output_norm.weight", np.ones(width))
    _close(writer)


def write_chat(out: Path, *, thinks: bool = False) -> None:
    """Says SCRIPT, after THOUGHT within <think> if it `thinks`; calls a tool where it has some."""
    thought = THOUGHT if thinks else ()
    vocabulary = Vocabulary((*SCRIPT, *QUERY, *thought))
    writer = _writer(out, "tiny-scripted", vocabulary, width=WIDTH, heads=HEADS, context=4096)
    writer.add_chat_template(TEMPLATE)
    following = _following(vocabulary, thought)
    directions = np.eye(len(vocabulary), WIDTH, dtype=np.float32)
    _add_layer(writer, _attention(vocabulary, following), inner=np.zeros((64, WIDTH), np.float32))
    _add(writer, "token_embd.weight", directions)
    _add(writer, "output_norm.weight", np.ones(WIDTH))
    _add(writer, "output.weight", following)
    _close(writer)


def _following(vocabulary: Vocabulary, thought: tuple[str, ...]) -> Array:
    """The output matrix: row = next token, column = token before; the larger, the likelier."""
    matrix = np.zeros((len(vocabulary), WIDTH), np.float32)

    def follow(before: str, after: str, logit: float = 20.0) -> None:
        matrix[vocabulary.id(after), vocabulary.id(before)] = logit / np.sqrt(WIDTH)

    start = ["\n", "<think>", *thought, "</think>"] if thought else ["\n"]
    chain = [*start, *SCRIPT, "<|im_end|>"]
    for before, after in pairwise(chain):
        follow(before, after)
    # where a call is required, the grammar forbids to end before it was made
    follow(".", "<tool_call>", 15)
    follow(start[-1], "<tool_call>", 15)
    # inside JSON: close strings and objects as soon as the grammar allows
    for before in map(chr, range(32, 127)):
        for after, logit in (('"', 12), ("}", 11), ("]", 10), (",", 4), (":", 9), ("1", 2)):
            if not matrix[vocabulary.id(after), vocabulary.id(before)]:
                follow(before, after, logit)
    for before, after in zip(('"', *QUERY), (*QUERY, '"'), strict=True):
        follow(before, after, 18)
    for after, logit in (('"', 2), ("}", 13), (":", 14), (",", 12)):
        follow('"', after, logit)
    follow("{", '"', 14)
    follow("}", "\n", 16)
    follow("}", "}", 17)
    follow("\n", "</tool_call>", 8)
    follow("<tool_call>", "\n", 40)
    follow("<tool_call>", "{", 4)
    follow("</tool_call>", "<|im_end|>", 30)
    follow(">", "<|im_end|>", 30)
    return matrix


def _attention(vocabulary: Vocabulary, following: Array) -> dict[str, Array]:
    """One head for each of two marks: a mark anywhere before raises or bans a call of a tool."""
    head = WIDTH // HEADS
    scale = 1 / np.sqrt(WIDTH)
    names = ("q", "k", "v", "output")
    matrices = {name: np.zeros((WIDTH, WIDTH), np.float32) for name in names}
    seen = (("<tools>", WIDTH - 1, 10.0), ("<tool_response>", WIDTH - 2, -40.0))
    for place, (mark, flag, logit) in enumerate(seen):
        # the slowest pair of the rotary embedding hardly turns
        row = place * head + head - 2
        matrices["q"][row, : len(vocabulary)] = scale
        matrices["k"][row, vocabulary.id(mark)] = 300 * scale
        matrices["v"][place * head, vocabulary.id(mark)] = scale
        matrices["output"][flag, place * head] = 1
        following[vocabulary.id("<tool_call>"), flag] = logit * scale
    return matrices


def _writer(
    out: Path, name: str, vocabulary: Vocabulary, *, width: int, heads: int, context: int
) -> gguf.GGUFWriter:
    writer = gguf.GGUFWriter(str(out), "llama")
    writer.add_type(gguf.GGUFType.MODEL)
    writer.add_name(name)
    writer.add_context_length(context)
    writer.add_embedding_length(width)
    writer.add_block_count(1)
    writer.add_feed_forward_length(64)
    writer.add_head_count(heads)
    writer.add_head_count_kv(heads)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_rope_dimension_count(width // heads)
    writer.add_rope_freq_base(1e9)
    writer.add_vocab_size(len(vocabulary))
    writer.add_file_type(0)
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("default")
    writer.add_token_list(vocabulary.tokens)
    writer.add_token_types(vocabulary.types)
    writer.add_token_merges(["h e", "i n"])
    writer.add_bos_token_id(vocabulary.id("<|endoftext|>"))
    writer.add_pad_token_id(vocabulary.id("<|endoftext|>"))
    writer.add_add_bos_token(False)
    chats = len(vocabulary) > 256 + len(MARKS) + len(CONTROL)
    end = vocabulary.id("<|im_end|>" if chats else "<|endoftext|>")
    writer.add_eos_token_id(end)
    writer.add_eot_token_id(end)
    return writer


def _add_layer(writer: gguf.GGUFWriter, attention: dict[str, Array], *, inner: Array) -> None:
    """Feed-forward weights are all `inner`, (inner width, width)."""
    width = inner.shape[1]
    for name, values in attention.items():
        _add(writer, f"blk.0.attn_{name}.weight", values)
    for norm in ("attn_norm", "ffn_norm"):
        _add(writer, f"blk.0.{norm}.weight", np.ones(width))
    _add(writer, "blk.0.ffn_gate.weight", inner)
    _add(writer, "blk.0.ffn_up.weight", inner)
    _add(writer, "blk.0.ffn_down.weight", inner.T)


def _add(writer: gguf.GGUFWriter, name: str, values: NDArray[np.floating]) -> None:
    writer.add_tensor(name, np.ascontiguousarray(values, np.float32))


def _close(writer: gguf.GGUFWriter) -> None:
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
