"""all-MiniLM-L6-v2 as a graph that ONNX Runtime can run, written byte by byte.

A graph in the ONNX format is a message of Protocol Buffers, a format simple enough to be written
without a library: fields, each a key and a number, or a key, a length and bytes. The weights are
not in it: each tensor names the place in `model.safetensors` where its bytes lie, so nothing is
converted and nothing is stored twice; ONNX Runtime maps that file.

One text at a time goes through the graph: a row for each token, no batch, no padding, no mask.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from ragkit.errors import ModelError

INPUT: Final = "ids"
"""int64 (tokens,)."""
OUTPUT: Final = "mean"
"""float32 (384,): the mean of the tokens' last hidden rows, not yet of unit length."""

DIMENSIONS: Final = 384
POSITIONS: Final = 512
"""Longest text, in tokens: so many rows has the table of positions."""
VERSION: Final = 1
"""Raised whenever some ids get another vector; a part of the model's fingerprint."""

_LAYERS, _HEADS = 6, 12
_EPSILON = 1e-12

_OPSET = 20  # the first with Gelu
_IR = 9
_FLOAT, _INT64 = 1, 7  # element types
_TYPES: Final = {"F32": _FLOAT, "I64": _INT64}


def graph(model: Path) -> bytes:
    """The graph for the weights in `model`, 20 kB; to be run beside that file.

    Raises ModelError where the file is not the one of this model.
    """
    try:
        return _Graph(_tensors(model), model.name).minilm()
    except OSError as error:
        raise ModelError(f"embedded/minilm: {model}: {error.strerror}") from error
    except (ValueError, KeyError, TypeError) as error:
        raise ModelError(f"embedded/minilm: {model} has not the tensors of MiniLM") from error


@dataclass(frozen=True, slots=True)
class _Tensor:
    """Where in the file a tensor lies."""

    shape: tuple[int, ...]
    type: int
    start: int
    length: int


def _tensors(model: Path) -> dict[str, _Tensor]:
    """The header of a safetensors file: its length in 8 bytes, then JSON, then the tensors."""
    with model.open("rb") as file:
        size = int.from_bytes(file.read(8), "little")
        header: dict[str, Any] = json.loads(file.read(min(size, 1 << 20)))
    header.pop("__metadata__", None)
    return {
        name: _Tensor(
            tuple(entry["shape"]),
            _TYPES[entry["dtype"]],
            8 + size + entry["data_offsets"][0],
            entry["data_offsets"][1] - entry["data_offsets"][0],
        )
        for name, entry in header.items()
    }


class _Graph:
    """Nodes and tensors as they are put together; each operation returns the name of its result."""

    def __init__(self, tensors: Mapping[str, _Tensor], file: str) -> None:
        self._tensors = tensors
        self._file = file
        self._nodes: list[bytes] = []
        self._initializers: dict[str, bytes] = {}

    def minilm(self) -> bytes:
        """BERT with six layers of twelve heads (Devlin et al. 2018), then the mean of its rows."""
        hidden = self._embeddings()
        for layer in range(_LAYERS):
            hidden = self._layer(f"encoder.layer.{layer}.", hidden)
        self._run("ReduceMean", hidden, self._numbers([0]), output=OUTPUT, keepdims=0)
        return self._model()

    def _embeddings(self) -> str:
        """The sum of what a token is, where it stands, and that it is in the first sentence."""
        first, rows = self._numbers([0]), self._numbers([0])
        words = self._run("Gather", self._weight("embeddings.word_embeddings.weight"), INPUT)
        positions = self._weight("embeddings.position_embeddings.weight")
        length = self._run("Shape", INPUT)
        places = self._run("Slice", positions, first, length, rows)
        kinds = self._weight("embeddings.token_type_embeddings.weight")
        kind = self._run("Gather", kinds, first)
        total = self._run("Add", self._run("Add", words, kind), places)
        return self._normalised("embeddings.LayerNorm", total)

    def _layer(self, layer: str, hidden: str) -> str:
        attended = self._attention(f"{layer}attention.self.", hidden)
        attended = self._dense(f"{layer}attention.output.dense", attended)
        hidden = self._normalised(
            f"{layer}attention.output.LayerNorm", self._run("Add", attended, hidden)
        )
        inner = self._run("Gelu", self._dense(f"{layer}intermediate.dense", hidden))
        inner = self._dense(f"{layer}output.dense", inner)
        return self._normalised(f"{layer}output.LayerNorm", self._run("Add", inner, hidden))

    def _attention(self, names: str, hidden: str) -> str:
        """Each token's mean of all values, weighed by how its query meets their keys."""
        queries = self._heads(f"{names}query", hidden, 1, 0, 2)
        keys = self._heads(f"{names}key", hidden, 1, 2, 0)
        values = self._heads(f"{names}value", hidden, 1, 0, 2)
        scale = self._scalar((DIMENSIONS / _HEADS) ** -0.5)
        met = self._run("MatMul", self._run("Mul", queries, scale), keys)
        mixed = self._run("MatMul", self._run("Softmax", met, axis=-1), values)
        together = self._run("Transpose", mixed, perm=[1, 0, 2])
        return self._run("Reshape", together, self._numbers([-1, DIMENSIONS]))

    def _heads(self, name: str, hidden: str, *order: int) -> str:
        """(tokens, heads, 32), its axes put in `order`."""
        split = self._numbers([-1, _HEADS, DIMENSIONS // _HEADS])
        rows = self._run("Reshape", self._dense(name, hidden), split)
        return self._run("Transpose", rows, perm=list(order))

    def _dense(self, name: str, rows: str) -> str:
        """rows · weightᵀ + bias: safetensors has (out, in)."""
        weight, bias = self._weight(f"{name}.weight"), self._weight(f"{name}.bias")
        return self._run("Gemm", rows, weight, bias, transB=1)

    def _normalised(self, name: str, rows: str) -> str:
        weight, bias = self._weight(f"{name}.weight"), self._weight(f"{name}.bias")
        return self._run("LayerNormalization", rows, weight, bias, axis=-1, epsilon=_EPSILON)

    def _run(self, operation: str, *inputs: str, output: str = "", **attributes: Any) -> str:
        """Append a node (NodeProto)."""
        result = output or f"{operation}{len(self._nodes)}"
        self._nodes.append(
            b"".join(
                [
                    *(_text(1, name) for name in inputs),
                    _text(2, result),
                    _text(4, operation),
                    *(_bytes(5, _attribute(name, value)) for name, value in attributes.items()),
                ]
            )
        )
        return result

    def _weight(self, name: str) -> str:
        """A tensor that lies in the file (TensorProto)."""
        tensor = self._tensors[name]
        place = {"location": self._file, "offset": tensor.start, "length": tensor.length}
        self._initializers[name] = b"".join(
            [
                *(_number(1, size) for size in tensor.shape),
                _number(2, tensor.type),
                _text(8, name),
                *(_bytes(13, _text(1, key) + _text(2, str(place[key]))) for key in place),
                _number(14, 1),  # data_location: EXTERNAL
            ]
        )
        return name

    def _numbers(self, values: Sequence[int]) -> str:
        """A vector of whole numbers."""
        name = f"numbers {values}"
        raw = struct.pack(f"<{len(values)}q", *values)
        self._initializers[name] = (
            _number(1, len(values)) + _number(2, _INT64) + _text(8, name) + _bytes(9, raw)
        )
        return name

    def _scalar(self, value: float) -> str:
        name = f"scalar {value}"
        self._initializers[name] = (
            _number(2, _FLOAT) + _text(8, name) + _bytes(9, struct.pack("<f", value))
        )
        return name

    def _model(self) -> bytes:
        """ModelProto around GraphProto."""
        graph = b"".join(
            [
                *(_bytes(1, node) for node in self._nodes),
                _text(2, "all-MiniLM-L6-v2"),
                *(_bytes(5, tensor) for tensor in self._initializers.values()),
                _bytes(11, _declared(INPUT, _INT64, "tokens")),
                _bytes(12, _declared(OUTPUT, _FLOAT, DIMENSIONS)),
            ]
        )
        return _number(1, _IR) + _bytes(8, _text(1, "") + _number(2, _OPSET)) + _bytes(7, graph)


def _attribute(name: str, value: int | float | list[int]) -> bytes:
    """AttributeProto."""
    if isinstance(value, float):
        return _text(1, name) + _key(2, 5) + struct.pack("<f", value) + _number(20, 1)
    if isinstance(value, int):
        return _text(1, name) + _number(3, value) + _number(20, 2)
    return _text(1, name) + b"".join(_number(8, item) for item in value) + _number(20, 7)


def _declared(name: str, type: int, size: int | str) -> bytes:
    """A vector that goes in or comes out (ValueInfoProto); a `size` with a name varies."""
    dimension = _text(2, size) if isinstance(size, str) else _number(1, size)
    tensor = _number(1, type) + _bytes(2, _bytes(1, dimension))
    return _text(1, name) + _bytes(2, _bytes(1, tensor))


def _number(field: int, value: int) -> bytes:
    return _key(field, 0) + _varint(value)


def _text(field: int, value: str) -> bytes:
    return _bytes(field, value.encode())


def _bytes(field: int, value: bytes) -> bytes:
    return _key(field, 2) + _varint(len(value)) + value


def _key(field: int, kind: int) -> bytes:
    return _varint(field << 3 | kind)


def _varint(value: int) -> bytes:
    """Seven bits a byte, lowest first; negative numbers as 64 bits of two's complement."""
    value &= (1 << 64) - 1
    coded = bytearray()
    while value > 0x7F:
        coded.append(value & 0x7F | 0x80)
        value >>= 7
    coded.append(value)
    return bytes(coded)
