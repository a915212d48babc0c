"""One llama-server as a process of its own: GGML ends the whole process where it asserts.

    python llama_server.py MODEL.gguf '{"mode": "embedding", "context": 2048, ...}'

Prints its address and serves until its standard input closes, which also happens when its parent
dies. What it writes to standard error before it fails to load is what llama.cpp says.
"""

from __future__ import annotations

import json
import os
import sys
from typing import Any

# the engine's threads must not spin for work while others need the cores
os.environ.setdefault("OMP_WAIT_POLICY", "passive")


def parameters(path: str, wanted: dict[str, Any]) -> Any:
    """llama-server's own, as Docker Model Runner starts it."""
    import xllamacpp  # type: ignore[import-untyped]

    given = xllamacpp.CommonParams()
    given.model.path = path
    given.port = 0
    given.ui = False
    given.n_ctx = wanted["context"]
    given.n_batch = wanted["batch"]
    given.n_ubatch = wanted["ubatch"]
    given.n_parallel = wanted["parallel"]
    # llama-server's default is slots that share one cache; xllamacpp's is not
    given.kv_unified = True
    threads = wanted["threads"] or min(2, os.cpu_count() or 1)
    given.cpuparams.n_threads = threads
    given.cpuparams_batch.n_threads = threads
    given.embedding = wanted["mode"] in ("embedding", "reranking")
    pooling = xllamacpp.llama_pooling_type
    if wanted["mode"] == "reranking":
        given.pooling_type = pooling.LLAMA_POOLING_TYPE_RANK
    elif wanted["pooling"]:
        given.pooling_type = getattr(pooling, f"LLAMA_POOLING_TYPE_{wanted['pooling'].upper()}")
    return given


def main() -> None:
    import xllamacpp

    try:
        server = xllamacpp.Server(parameters(sys.argv[1], json.loads(sys.argv[2])))
    except RuntimeError:
        # llama.cpp has said why
        os._exit(1)
    print(server.listening_address, flush=True)
    sys.stdin.read()
    # subtle: to leave without tearing down is safe and takes no time
    os._exit(0)


if __name__ == "__main__":
    main()
