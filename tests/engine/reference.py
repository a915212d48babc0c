"""all-MiniLM-L6-v2 in numpy, float32: what the engine's vectors and scores are measured against."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ragkit.models.embedded.bert import read
from ragkit.models.embedded.weights import Weights

Array = NDArray[np.float32]

HEADS = 12
EPSILON = 1e-12


def tensors(path: Path) -> dict[str, Array]:
    """A safetensors file: 8 bytes with the length of a JSON header, the header, the numbers."""
    blob = path.read_bytes()
    length = int.from_bytes(blob[:8], "little")
    header: dict[str, Any] = json.loads(blob[8 : 8 + length])
    header.pop("__metadata__", None)
    found = {}
    for name, entry in header.items():
        if entry["dtype"] == "F32":
            first, last = (8 + length + at for at in entry["data_offsets"])
            found[name] = np.frombuffer(blob[first:last], "<f4").reshape(entry["shape"])
    return found


class MiniLM:
    def __init__(self, weights: Weights) -> None:
        self._tokeniser = read(weights.tokenizer)
        self._tensors = tensors(weights.model)

    def vector(self, text: str, limit: int = 512) -> Array:
        """Mean of the last layer, unit length."""
        ids, _ = self._tokeniser.encode(text, limit)
        mean = self._hidden(ids).mean(axis=0)
        return np.asarray(mean / np.linalg.norm(mean), np.float32)

    def pooled(self, query: str, document: str) -> Array:
        """What a cross-encoder's classifier sees of a pair."""
        asked, ids = self._tokeniser.encode(query, 512)[0], self._tokeniser.ids(document)
        first = self._hidden([*asked, *ids, asked[-1]])[0]
        return np.asarray(np.tanh(self._dense("pooler.dense", first)), np.float32)

    def _hidden(self, ids: list[int]) -> Array:
        """Of the last layer, a row each token. All tokens are of type 0, as llama.cpp has it."""
        rows = self._tensors["embeddings.word_embeddings.weight"][ids]
        rows = rows + self._tensors["embeddings.position_embeddings.weight"][: len(ids)]
        rows = rows + self._tensors["embeddings.token_type_embeddings.weight"][0]
        rows = self._normalised("embeddings.LayerNorm", rows)
        for layer in range(6):
            name = f"encoder.layer.{layer}."
            attended = self._dense(f"{name}attention.output.dense", self._attention(name, rows))
            rows = self._normalised(f"{name}attention.output.LayerNorm", rows + attended)
            inner = gelu(self._dense(f"{name}intermediate.dense", rows))
            outer = self._dense(f"{name}output.dense", inner)
            rows = self._normalised(f"{name}output.LayerNorm", rows + outer)
        return rows

    def _attention(self, name: str, rows: Array) -> Array:
        query, key, value = (
            self._dense(f"{name}attention.self.{part}", rows)
            .reshape(len(rows), HEADS, -1)
            .swapaxes(0, 1)
            for part in ("query", "key", "value")
        )
        scores = query @ key.swapaxes(1, 2) / np.sqrt(np.float32(query.shape[-1]))
        shares = np.exp(scores - scores.max(axis=-1, keepdims=True))
        shares /= shares.sum(axis=-1, keepdims=True)
        return np.asarray((shares @ value).swapaxes(0, 1).reshape(len(rows), -1), np.float32)

    def _dense(self, name: str, rows: Array) -> Array:
        return rows @ self._tensors[f"{name}.weight"].T + self._tensors[f"{name}.bias"]

    def _normalised(self, name: str, rows: Array) -> Array:
        centred = rows - rows.mean(axis=-1, keepdims=True)
        spread = np.sqrt((centred**2).mean(axis=-1, keepdims=True) + EPSILON)
        scaled = centred / spread * self._tensors[f"{name}.weight"] + self._tensors[f"{name}.bias"]
        return np.asarray(scaled, np.float32)


def gelu(x: Array) -> Array:
    """With the error function by Abramowitz and Stegun, 7.1.26: right to 1.5e-7."""
    z = np.abs(x) / np.sqrt(np.float32(2))
    t = 1 / (1 + 0.3275911 * z)
    series = t * (0.254829592 + t * (-0.284496736 + t * (1.421413741 + t * -1.453152027)))
    tail = (series + t**5 * 1.061405429) * np.exp(-(z**2))
    return np.asarray(x * np.where(x < 0, tail, 2 - tail) / 2, np.float32)
