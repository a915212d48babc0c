"""all-MiniLM-L6-v2, a small transformer, in this process: by ONNX Runtime, without a server.

Some hundred times slower than the static table, and better where words are not enough: it reads
them in their order. Texts go through it one at a time: on a CPU a batch would gain nothing, and
would need padding and memory.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from ragkit.errors import MissingExtra, ModelError
from ragkit.models.embedded import bert, onnx, weights
from ragkit.types import Embedded, Kind

if TYPE_CHECKING:
    from ragkit.types import Vector, Vectors

LIMIT: Final = onnx.POSITIONS
"""Tokens of a text that are read, the first and last that BERT adds among them: all that the model
has positions for. Its card says 256, which finds no better and would leave half of most chunks
unread (docs/decisions/minilm.md)."""

THREADS: Final = "RAGKIT_THREADS"
"""Environment variable: how many threads compute; where it is unset, one for each core."""

_BLOCK: Final = 16
"""Texts of one block of a stream: a second of work, which is what a killed run loses."""


class MiniLMEmbedder:
    """Embeds by all-MiniLM-L6-v2. Thread-safe, can be pickled.

    Making one does nothing. When the first text comes, the model's files are looked for, and
    downloaded if this machine does not have them (see `weights.find`).
    """

    def __init__(self, *, cache: Path | None = None, notice: weights.Notice | None = None) -> None:
        """`cache`: where the files are kept, the user's cache folder if None; `notice` is told
        before they are downloaded."""
        self._cache = cache
        self._notice = notice
        self._opening = threading.Lock()
        self._opened: _Opened | None = None

    def __reduce__(self) -> tuple[Any, ...]:
        return _again, (self._cache,)

    @property
    def name(self) -> str:
        return "embedded/minilm"

    @property
    def fingerprint(self) -> str:
        """The weights, the tokeniser, the graph and how much of a text is read."""
        versions = f"{bert.VERSION}.{onnx.VERSION}"
        return f"embedded/minilm:{weights.MODEL.sha256}:{versions}:{LIMIT}"

    @property
    def dimensions(self) -> int:
        return onnx.DIMENSIONS

    def embed(self, texts: Sequence[str], kind: Kind) -> Vectors:
        """(n, 384) float32 of unit rows, in order; zeros for a text without any word.

        A text's vector depends neither on the other texts nor on `kind`. Of a long text only the
        beginning is read. Raises ModelError, and MissingExtra without ONNX Runtime.
        """
        import numpy as np

        vectors = np.zeros((len(texts), self.dimensions), np.float32)
        for block in self.stream(texts, kind):
            vectors[list(block.positions)] = block.vectors
        return vectors

    def stream(self, texts: Sequence[str], kind: Kind) -> Iterator[Embedded]:
        """Small blocks of the texts, in order, with what was cut; none ever fails.

        Raises ModelError, and MissingExtra without ONNX Runtime.
        """
        if not texts:
            return
        import numpy as np

        opened = self._open()
        for start in range(0, len(texts), _BLOCK):
            positions = tuple(range(start, min(start + _BLOCK, len(texts))))
            vectors = np.zeros((len(positions), self.dimensions), np.float32)
            cut: dict[int, str] = {}
            for vector, position in zip(vectors, positions, strict=True):
                text = texts[position]
                read = opened.put(text, vector)
                if read < len(text):
                    cut[position] = (
                        f"only the first {read:,} of {len(text):,} characters were embedded "
                        f"(limit {LIMIT} tokens)"
                    )
            yield Embedded(positions, vectors, cut)

    def close(self) -> None:
        """Let memory and threads go; embedding again takes them anew."""
        with self._opening:
            self._opened = None

    def _open(self) -> _Opened:
        with self._opening:
            if self._opened is None:
                self._opened = _open(self._cache, self._notice)
            return self._opened


def _again(cache: Path | None) -> MiniLMEmbedder:
    """In another process nobody is there to be told anything."""
    return MiniLMEmbedder(cache=cache)


@dataclass(frozen=True, slots=True)
class _Opened:
    """The model, loaded."""

    tokeniser: bert.Tokeniser
    session: Any

    def put(self, text: str, vector: Vector) -> int:
        """Write the unit vector of `text` to `vector`, or leave its zeros where it has no word;
        how many of its characters were read. Raises ModelError."""
        import numpy as np

        ids, read = self.tokeniser.encode(text, LIMIT)
        if len(ids) > 2:  # else there is but the frame
            try:
                (mean,) = self.session.run([onnx.OUTPUT], {onnx.INPUT: np.array(ids, np.int64)})
            except Exception as error:  # those of ONNX Runtime have no class of their own
                raise ModelError(f"embedded/minilm: ONNX Runtime failed: {error}") from error
            np.divide(mean, np.linalg.norm(mean), out=vector)
        return read


def _open(cache: Path | None, notice: weights.Notice | None) -> _Opened:
    runtime, threads = _runtime(), _threads()
    files = weights.find(cache, notice)
    options = runtime.SessionOptions()
    options.intra_op_num_threads = threads
    # idle threads sleep: a fiftieth slower alone, a fifth faster beside other busy processes
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.log_severity_level = 3  # errors: they are raised, warnings would go to stderr
    options.add_session_config_entry(
        "session.model_external_initializers_file_folder_path", str(files.folder)
    )
    try:
        session = runtime.InferenceSession(
            onnx.graph(files.model), options, providers=["CPUExecutionProvider"]
        )
    except ModelError:
        raise
    except Exception as error:  # those of ONNX Runtime have no class of their own
        raise ModelError(
            f"embedded/minilm: ONNX Runtime {runtime.__version__} cannot load the model: {error}",
            "pip install --upgrade 'ragkit[local]'",
        ) from error
    return _Opened(bert.read(files.tokenizer), session)


def _runtime() -> Any:
    """The package onnxruntime. Raises MissingExtra, and ModelError where it cannot be loaded."""
    try:
        import onnxruntime
    except ModuleNotFoundError:
        raise MissingExtra(
            "embedded/minilm needs onnxruntime", "pip install 'ragkit[local]'"
        ) from None
    except ImportError as error:
        raise ModelError(f"embedded/minilm: onnxruntime cannot be loaded: {error}") from error
    onnxruntime.disable_telemetry_events()  # its builds for Windows would send some
    return onnxruntime


def _threads() -> int:
    """How many threads compute; 0 lets ONNX Runtime choose. Raises ModelError."""
    wanted = os.environ.get(THREADS, "0")
    if not wanted.isdecimal():
        raise ModelError(
            f"{THREADS}: {wanted!r} is not a number of threads", f"set {THREADS}=1, or unset it"
        )
    return int(wanted)
