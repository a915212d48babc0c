"""The models that the registries of this world have."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from typing import Literal

Kind = Literal["encoder", "causal", "logits", "probability", "nothing", "chat", "broken"]
"""encoder: embeds with mean or CLS pooling; causal: embeds with the last token; logits,
probability, nothing (1e-20 for everything): rerankers by the scores they give."""

POOLINGS = {"encoder": 1, "broken": 1, "causal": 3, "logits": 4, "probability": 4, "nothing": 4}


@dataclass(frozen=True)
class Published:
    """One model, as its registry has it."""

    reference: str
    kind: Kind
    architecture: str
    dimensions: int
    context: int
    """Tokens that it was made for."""
    parameters: str
    quantization: str
    size: int
    """Bytes."""
    gguf: str = ""
    """Which file of `gguf_models` is its weights; "" where only the stand-in runs it."""
    local: bool = True
    """Whether a fresh runner has it in its store."""
    stored_context: int | None = None
    """What was packaged as context size."""
    token: str | None = None
    """Bearer token that a pull needs."""
    trouble: Literal["", "torn", "unfinished"] = ""
    """torn: the pull breaks half-way with an error; unfinished: it just ends."""
    revision: int = 1
    """Other weights below the same name."""

    @property
    def id(self) -> str:
        return "sha256:" + hashlib.sha256(f"{self.reference} {self.revision}".encode()).hexdigest()

    @property
    def huggingface(self) -> bool:
        return self.reference.startswith(("hf.co/", "huggingface.co/"))

    def again(self) -> Published:
        """The next one below this name."""
        return replace(self, revision=self.revision + 1)

    def metadata(self) -> dict[str, str]:
        """The GGUF's, as the runner shows it: all values are strings."""
        arch = self.architecture
        values = {
            "general.architecture": arch,
            f"{arch}.embedding_length": str(self.dimensions),
            f"{arch}.context_length": str(self.context),
        }
        values["tokenizer.ggml.model"] = "bert" if self.kind in ("encoder", "logits") else "gpt2"
        if self.kind in POOLINGS:
            values[f"{arch}.pooling_type"] = str(POOLINGS[self.kind])
        return values


MIB = 2**20

CATALOGUE = (
    Published(
        "ai/all-minilm", "encoder", "bert", 384, 512, "22.57M", "F16", 44 * MIB, gguf="minilm"
    ),
    Published(
        "ai/embeddinggemma",
        "encoder",
        "gemma-embedding",
        768,
        2048,
        "302.86M",
        "Q8_0",
        761 * MIB,
        gguf="long",
        stored_context=2048,
    ),
    Published(
        "ai/qwen3-embedding:0.6B-F16",
        "causal",
        "qwen3",
        1024,
        32768,
        "595.78M",
        "F16",
        1140 * MIB,
        gguf="causal",
        stored_context=2048,
    ),
    Published(
        "ai/nomic-embed-text-v1.5",
        "encoder",
        "nomic-bert",
        768,
        2048,
        "136.73M",
        "F16",
        260 * MIB,
        gguf="long",
        local=False,
    ),
    Published(
        "hf.co/ggml-org/Qwen3-Reranker-0.6B-Q8_0-GGUF",
        "probability",
        "qwen3",
        1024,
        40960,
        "595.78M",
        "Q8_0",
        610 * MIB,
        gguf="rank",
        stored_context=4096,
    ),
    Published(
        "hf.co/community/Qwen3-Reranker-0.6B-GGUF:Q4_K_M",
        "nothing",
        "qwen3",
        1024,
        40960,
        "595.78M",
        "Q4_K_M",
        380 * MIB,
        gguf="rank",
        stored_context=4096,
    ),
    Published(
        "ai/bge-reranker-v2-m3",
        "logits",
        "bert",
        384,
        512,
        "22.71M",
        "F16",
        44 * MIB,
        gguf="rank",
    ),
    Published(
        "ai/smollm2", "chat", "llama", 320, 4096, "361.82M", "Q4_K_M", 256 * MIB, gguf="chat"
    ),
    Published(
        "ai/qwen3", "chat", "qwen3", 320, 4096, "8.19B", "Q4_K_M", 4793 * MIB, gguf="thinking"
    ),
    Published("ai/broken", "broken", "bert", 384, 512, "22.57M", "F16", 90 * MIB, gguf="broken"),
    Published(
        "hf.co/ggml-org/embeddinggemma-300M-GGUF:Q8_0",
        "encoder",
        "gemma-embedding",
        768,
        2048,
        "302.86M",
        "Q8_0",
        313 * MIB,
        gguf="long",
        local=False,
    ),
    Published(
        "hf.co/acme/private-embedder",
        "encoder",
        "bert",
        384,
        512,
        "22.57M",
        "F16",
        44 * MIB,
        gguf="minilm",
        local=False,
        token="hf_right",
    ),
    Published(
        "registry.example.com:5000/team/embedder:v2",
        "encoder",
        "bert",
        384,
        512,
        "22.57M",
        "F16",
        44 * MIB,
        gguf="minilm",
        local=False,
    ),
    Published(
        "ai/torn",
        "encoder",
        "bert",
        384,
        512,
        "22.57M",
        "F16",
        44 * MIB,
        gguf="minilm",
        local=False,
        trouble="torn",
    ),
    Published(
        "ai/unfinished",
        "encoder",
        "bert",
        384,
        512,
        "22.57M",
        "F16",
        44 * MIB,
        gguf="minilm",
        local=False,
        trouble="unfinished",
    ),
)

GENERATED = {
    "minilm": (384, 512),
    "rank": (384, 512),
    "long": (768, 2048),
    "causal": (1024, 32768),
    "chat": (320, 4096),
    "thinking": (320, 4096),
    "broken": (384, 512),
}
"""Dimensions and context of the files that `gguf_models` makes."""


def generated(model: Published) -> Published:
    """This model as the file behind it is; the architecture is what its name promises."""
    dimensions, context = GENERATED[model.gguf]
    stored = None if model.stored_context is None else min(model.stored_context, context)
    return replace(
        model,
        dimensions=dimensions,
        context=context,
        stored_context=stored,
    )
