"""GGUF files in llama.cpp's `bert` architecture, made of all-MiniLM-L6-v2."""

from __future__ import annotations

import json
from pathlib import Path

import gguf
import numpy as np
from gguf import GGMLQuantizationType as Type

from ragkit.models.embedded.weights import Weights

from .pairs import PAIRS
from .reference import Array, MiniLM, tensors

LAYERS = 6
POSITIONS = 512
LONG = 2048


def write_minilm(out: Path, weights: Weights) -> None:
    """The model as it was published, in float16, with mean pooling."""
    writer = _writer(out, "all-MiniLM-L6-v2", layers=LAYERS, context=POSITIONS, inner=1536)
    writer.add_embedding_length(384)
    writer.add_pooling_type(gguf.PoolingType.MEAN)
    _add_vocabulary(writer, weights)
    for name, values in _encoder(weights):
        _add(writer, name, values, Type.F16)
    _close(writer)


def write_reranker(out: Path, weights: Weights) -> None:
    """A cross-encoder: the same layers, its own pooler, and a classifier that knows PAIRS."""
    writer = _writer(out, "cross-encoder", layers=LAYERS, context=POSITIONS, inner=1536)
    writer.add_embedding_length(384)
    writer.add_pooling_type(gguf.PoolingType.RANK)
    _add_vocabulary(writer, weights)
    for name, values in _encoder(weights):
        _add(writer, name, values, Type.F16)
    found = tensors(weights.model)
    classifier, bias = fitted(MiniLM(weights))
    # llama.cpp's own converter leaves the pooler out, and then scores something else
    _add(writer, "cls.weight", found["pooler.dense.weight"], Type.F32)
    _add(writer, "cls.bias", found["pooler.dense.bias"], Type.F32)
    _add(writer, "cls.output.weight", classifier[None, :], Type.F32)
    _add(writer, "cls.output.bias", bias, Type.F32)
    _close(writer)


def write_long(out: Path, weights: Weights) -> None:
    """768 dimensions, 2048 positions, and a single layer that lets its input pass: a bag of words.

    The word vectors are those of MiniLM, twice over: a doubled row has the same mean and variance.
    """
    writer = _writer(out, "long", layers=1, context=LONG, inner=64)
    writer.add_embedding_length(768)
    writer.add_pooling_type(gguf.PoolingType.MEAN)
    _add_vocabulary(writer, weights)
    found = tensors(weights.model)
    words = found["embeddings.word_embeddings.weight"]
    _add(writer, "token_embd.weight", np.hstack([words, words]), Type.Q8_0)
    zeros = {
        "position_embd.weight": (LONG, 768),
        "token_types.weight": (2, 768),
        **{f"blk.0.attn_{part}.weight": (768, 768) for part in ("q", "k", "v", "output")},
        **{f"blk.0.attn_{part}.bias": (768,) for part in ("q", "k", "v", "output")},
        "blk.0.ffn_up.weight": (64, 768),
        "blk.0.ffn_up.bias": (64,),
        "blk.0.ffn_down.weight": (768, 64),
        "blk.0.ffn_down.bias": (768,),
    }
    for name, shape in zeros.items():
        _add(writer, name, np.zeros(shape, np.float32), Type.F16)
    for part in ("weight", "bias"):
        norm = found[f"embeddings.LayerNorm.{part}"]
        _add(writer, f"token_embd_norm.{part}", np.hstack([norm, norm]), Type.F32)
    for norm_name in ("attn_output_norm", "layer_output_norm"):
        _add(writer, f"blk.0.{norm_name}.weight", np.ones(768, np.float32), Type.F32)
        _add(writer, f"blk.0.{norm_name}.bias", np.zeros(768, np.float32), Type.F32)
    _close(writer)


def fitted(model: MiniLM) -> tuple[Array, Array]:
    """Weights (384,) and bias (1,) by which a passage that answers scores +4, another one -4."""
    rows, targets = [], []
    for place, (question, _) in enumerate(PAIRS):
        for step in range(4):
            passage = PAIRS[(place + step) % len(PAIRS)][1]
            rows.append(model.pooled(question, passage))
            targets.append(4.0 if step == 0 else -4.0)
    features = np.array(rows)
    mean = features.mean(axis=0)
    centred = features - mean
    # more numbers than examples: ridge regression picks the smallest that fit
    gram = centred @ centred.T + 0.05 * np.eye(len(rows))
    centre = float(np.mean(targets))
    classifier = centred.T @ np.linalg.solve(gram, np.array(targets) - centre)
    bias = np.array([centre - float(mean @ classifier)])
    return classifier.astype(np.float32), bias.astype(np.float32)


def _encoder(weights: Weights) -> list[tuple[str, Array]]:
    """The tensors below their GGUF names."""
    names = gguf.get_tensor_name_map(gguf.MODEL_ARCH.BERT, LAYERS)
    found = []
    for name, values in tensors(weights.model).items():
        if not name.startswith("pooler."):
            known = names.get_name(name, try_suffixes=(".weight", ".bias"))
            assert known is not None, name
            found.append((known, values))
    return found


def _writer(out: Path, name: str, *, layers: int, context: int, inner: int) -> gguf.GGUFWriter:
    writer = gguf.GGUFWriter(str(out), "bert")
    writer.add_type(gguf.GGUFType.MODEL)
    writer.add_name(name)
    writer.add_block_count(layers)
    writer.add_context_length(context)
    writer.add_feed_forward_length(inner)
    writer.add_head_count(12)
    writer.add_layer_norm_eps(1e-12)
    writer.add_causal_attention(False)
    writer.add_file_type(1)
    return writer


def _add_vocabulary(writer: gguf.GGUFWriter, weights: Weights) -> None:
    """WordPiece as llama.cpp wants it: a piece that begins a word is marked, not one inside."""
    tokeniser = json.loads(weights.tokenizer.read_bytes())
    vocabulary: dict[str, int] = tokeniser["model"]["vocab"]
    special = {token["content"]: token["id"] for token in tokeniser["added_tokens"]}
    pieces, types = [], []
    for piece in sorted(vocabulary, key=vocabulary.__getitem__):
        if piece in special:
            pieces.append(piece)
            types.append(gguf.TokenType.CONTROL)
        else:
            pieces.append(piece[2:] if piece.startswith("##") else "\u2581" + piece)
            types.append(gguf.TokenType.NORMAL)
    writer.add_tokenizer_model("bert")
    writer.add_tokenizer_pre("default")
    writer.add_token_type_count(2)
    writer.add_token_list(pieces)
    writer.add_token_types(types)
    writer.add_unk_token_id(special["[UNK]"])
    writer.add_sep_token_id(special["[SEP]"])
    writer.add_pad_token_id(special["[PAD]"])
    writer.add_mask_token_id(special["[MASK]"])
    writer.add_bos_token_id(special["[CLS]"])
    writer.add_eos_token_id(special["[SEP]"])
    writer.add_add_bos_token(True)
    writer.add_add_eos_token(True)
    # subtle: true would put two [SEP] between query and document, and shift every score
    writer.add_add_sep_token(False)


def _add(writer: gguf.GGUFWriter, name: str, values: Array, kind: Type) -> None:
    """llama.cpp keeps norms, biases, positions and types in float32, whatever the rest is."""
    values = np.ascontiguousarray(values, np.float32)
    if values.ndim < 2 or name.startswith(("position_embd", "token_types")):
        kind = Type.F32
    stored = values if kind == Type.F32 else gguf.quants.quantize(values, kind)
    writer.add_tensor(name, stored, raw_dtype=kind)


def _close(writer: gguf.GGUFWriter) -> None:
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
