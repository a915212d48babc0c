"""The stream of a pull, line by line."""

from __future__ import annotations

import html
import json
import time
from collections.abc import Callable, Iterator
from typing import Any

from .catalogue import Published
from .serving import Pieces, Request, Response, as_text

STEPS = 4
"""Lines of progress of each layer."""


def line(kind: str, message: str = "", **more: Any) -> str:
    value = {
        "type": kind,
        "message": message,
        "total": 0,
        "layer": {"size": 0, "current": 0},
        "mode": "pull",
        **more,
    }
    return json.dumps(value, separators=(",", ":")) + "\n"


def layers(model: Published) -> list[tuple[str, int]]:
    """Digest and bytes: the weights and a licence."""
    licence = 11_000
    return [(model.id, model.size - licence), ("sha256:" + "1c" * 32, licence)]


def progress(model: Published, ids: list[tuple[str, int]]) -> Iterator[str]:
    for digest, size in ids:
        for step in range(1, STEPS + 1):
            done = size * step // STEPS
            yield line(
                "progress",
                f"Downloaded: {done / 2**20:.2f} MB",
                total=model.size,
                layer={"id": digest, "size": size, "current": done},
            )


def steps(model: Published) -> Iterator[str]:
    """All but the last line."""
    if not model.huggingface:
        yield from progress(model, layers(model))
        return
    yield line("progress", "Fetching file list…")
    yield line("progress", f"Selected {model.quantization} quantization (default)")
    files = [(f"file-{size:x}", size) for _, size in layers(model)]
    yield from progress(model, files)
    yield line("progress", "Building model artifact…")
    # the same bytes a second time: blobs are copied into the store
    yield from progress(model, layers(model))


def lines(model: Published, *, cached: bool) -> Iterator[str]:
    """What a pull writes; what is wrong with it comes half-way, after a status of 200."""
    if cached:
        yield line("success", f"Using cached model: {model.size / 2**20:.2f} MiB")
        return
    written = list(steps(model))
    if model.trouble:
        written = written[: len(written) // 2]
    yield from written
    if model.trouble == "torn":
        reason = "writing image to store: unexpected EOF"
        yield line("error", f"Error: {reason}")
        yield f"error while pulling model: {reason}\n"
    elif not model.trouble:
        yield line("success", "Model pulled successfully")


def refusal(model: Published | None, reference: str, token: str | None) -> Response | None:
    """The answer where not a byte of progress comes; None: the pull goes on."""
    if not reference.strip() or any(sign.isspace() for sign in reference.strip()):
        return as_text("Invalid model reference", 400)
    if model is None:
        registry = reference.partition("/")[0]
        elsewhere = "." in registry and not registry.endswith("docker.io")
        # Docker Hub does not tell what does not exist from what one may not see
        return as_text("Model not found", 404) if elsewhere else as_text("Unauthorized", 401)
    if model.token is not None and token != model.token:
        return as_text("Unauthorized", 401)
    return None


def streamed(
    request: Request, written: Iterator[str], *, pause: float, ended: Callable[[], None]
) -> Response:
    """JSON lines for exactly `Accept: application/json`; the same with HTML entities otherwise."""
    exact = request.headers.get("accept") == "application/json"

    def pieces() -> Iterator[bytes]:
        for each in written:
            if pause:
                time.sleep(pause)
            yield (each if exact else escaped(each)).encode()

    headers = {"Content-Type": "application/json" if exact else "text/plain"}
    return Response(200, Pieces(pieces(), ended), headers)


def escaped(text: str) -> str:
    """As Go does it: it numbers the quotes."""
    return html.escape(text).replace("&quot;", "&#34;").replace("&#x27;", "&#39;")
