"""The teacher: all-MiniLM-L6-v2 as written by its authors, run by ONNX Runtime on one thread."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from places import MODEL, WORK

SHA256 = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"
"""Of model.safetensors as sentence-transformers/all-MiniLM-L6-v2 publishes it."""

LAYERS, HIDDEN, HEADS = 6, 384, 12


def weights() -> dict[str, NDArray[np.float32]]:
    from safetensors.numpy import load

    data = (MODEL / "model.safetensors").read_bytes()
    if hashlib.sha256(data).hexdigest() != SHA256:
        raise SystemExit(f"{MODEL} does not hold the weights that this recipe is for")
    return load(data)


def tokenizer(limit: int):  # type: ignore[no-untyped-def]
    from tokenizers import Tokenizer

    made = Tokenizer.from_file(str(MODEL / "tokenizer.json"))
    made.no_padding()
    made.enable_truncation(limit)
    return made


class Teacher:
    """Sentence vectors of token ids: mean of the last layer, unit length."""

    def __init__(self) -> None:
        import onnxruntime

        path = WORK / "minilm.onnx"
        if not path.exists():
            _write_graph(path)
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        self._session = onnxruntime.InferenceSession(
            str(path), options, providers=["CPUExecutionProvider"]
        )

    def embed_ids(self, batch: Sequence[Sequence[int]]) -> NDArray[np.float32]:
        length = max(map(len, batch))
        ids = np.zeros((len(batch), length), np.int64)
        mask = np.zeros_like(ids)
        for row, tokens in enumerate(batch):
            ids[row, : len(tokens)] = tokens
            mask[row, : len(tokens)] = 1
        return self._session.run(None, {"ids": ids, "mask": mask})[0]

    def embed(self, texts: Sequence[str], limit: int = 128) -> NDArray[np.float32]:
        encoded = [e.ids for e in tokenizer(limit).encode_batch(list(texts))]
        order = sorted(range(len(texts)), key=lambda i: len(encoded[i]))
        vectors = np.zeros((len(texts), HIDDEN), np.float32)
        for start in range(0, len(order), 16):  # of like length: padding costs as much as text
            chosen = order[start : start + 16]
            vectors[chosen] = self.embed_ids([encoded[i] for i in chosen])
            if start % 6400 == 0:
                print(f"teacher: {start} of {len(order)}", flush=True)
        return vectors


class _Graph:
    """Writes ONNX nodes one by one; a value is known by the name of its tensor."""

    def __init__(self) -> None:
        self.nodes: list[object] = []
        self.constants: list[object] = []

    def constant(self, value: object, kind: type = np.float32) -> str:
        from onnx import numpy_helper

        name = f"constant{len(self.constants)}"
        array = np.array(value, kind, order="C")
        self.constants.append(numpy_helper.from_array(array, name))
        return name

    def node(self, operator: str, *inputs: str, **attributes: object) -> str:
        from onnx import helper

        name = f"value{len(self.nodes)}"
        self.nodes.append(helper.make_node(operator, list(inputs), [name], **attributes))
        return name


def _write_graph(path: object) -> None:
    """BERT in standard operators; ids and mask are (n, length) int64, the result is (n, 384)."""
    import onnx
    from onnx import TensorProto, helper

    tensors = weights()
    g = _Graph()
    node, constant = g.node, g.constant

    def linear(x: str, key: str) -> str:
        product = node("MatMul", x, constant(tensors[key + ".weight"].T))
        return node("Add", product, constant(tensors[key + ".bias"]))

    def norm(x: str, key: str) -> str:
        scale, bias = (constant(tensors[f"{key}.LayerNorm.{w}"]) for w in ("weight", "bias"))
        return node("LayerNormalization", x, scale, bias, axis=-1, epsilon=1e-12)

    e = "embeddings."
    shape = node("Shape", "ids")
    length = node("Gather", shape, constant([1], np.int64))
    positions = node(
        "Slice",
        constant(tensors[e + "position_embeddings.weight"]),
        constant([0], np.int64),
        length,
        constant([0], np.int64),
    )
    x = node("Gather", constant(tensors[e + "word_embeddings.weight"]), "ids")
    x = node(
        "Add", node("Add", x, positions), constant(tensors[e + "token_type_embeddings.weight"][0])
    )
    x = norm(x, "embeddings")
    present = node("Cast", "mask", to=TensorProto.FLOAT)
    wide = node("Unsqueeze", present, constant([1, 2], np.int64))
    hidden = node("Mul", node("Sub", constant(1.0), wide), constant(-1e9))
    split, joined = (
        constant([0, 0, HEADS, HIDDEN // HEADS], np.int64),
        constant([0, 0, HIDDEN], np.int64),
    )

    def heads(y: str, order: list[int]) -> str:
        return node("Transpose", node("Reshape", y, split), perm=order)

    for i in range(LAYERS):
        layer = f"encoder.layer.{i}."
        attention = layer + "attention.self."
        query = heads(linear(x, attention + "query"), [0, 2, 1, 3])
        key = heads(linear(x, attention + "key"), [0, 2, 3, 1])
        value = heads(linear(x, attention + "value"), [0, 2, 1, 3])
        scores = node("Mul", node("MatMul", query, key), constant((HIDDEN / HEADS) ** -0.5))
        share = node("Softmax", node("Add", scores, hidden), axis=-1)
        mixed = node("Transpose", node("MatMul", share, value), perm=[0, 2, 1, 3])
        dense = linear(node("Reshape", mixed, joined), layer + "attention.output.dense")
        x = norm(node("Add", dense, x), layer + "attention.output")
        inner = node("Gelu", linear(x, layer + "intermediate.dense"))
        x = norm(node("Add", linear(inner, layer + "output.dense"), x), layer + "output")
    column = node("Unsqueeze", present, constant([2], np.int64))
    axis = constant([1], np.int64)
    total = node("ReduceSum", node("Mul", x, column), axis, keepdims=0)
    mean = node("Div", total, node("ReduceSum", column, axis, keepdims=0))
    unit = node("Div", mean, node("ReduceL2", mean, axis, keepdims=1))
    g.nodes.append(helper.make_node("Identity", [unit], ["vectors"]))
    inputs = [
        helper.make_tensor_value_info(n, TensorProto.INT64, ["n", "length"])
        for n in ("ids", "mask")
    ]
    output = helper.make_tensor_value_info("vectors", TensorProto.FLOAT, ["n", HIDDEN])
    graph = helper.make_graph(g.nodes, "minilm", inputs, [output], g.constants)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=9)
    onnx.save(model, str(path))
