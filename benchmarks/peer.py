"""A peer that does the comparable job, so that a figure of ours has something to stand beside.

semble (PyPI) indexes code for search by words and by static embeddings and keeps the index on the
disk, as ragkit does. It is installed into a virtual environment of its own and is no dependency of
ragkit. Its embedding model comes from a model hub; so that the comparison runs without one, it gets
a stand-in: random vectors of 256 dimensions for the 29,000 most frequent words of the corpus and
all characters. That takes about the time that a real model of this kind takes, and says nothing
about what is found.
"""

from __future__ import annotations

import re
import subprocess
import sys
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from benchmarks import processes

PACKAGE = "semble==0.7.0"

MAKE_MODEL = """
import sys
import numpy as np
from model2vec import StaticModel
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers
words = open(sys.argv[1], encoding="utf-8").read().splitlines()
vocabulary = {word: number for number, word in enumerate(words)}
tokenizer = Tokenizer(models.WordPiece(vocabulary, unk_token="[UNK]"))
tokenizer.normalizer = normalizers.BertNormalizer()
tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
vectors = np.random.default_rng(0).standard_normal((len(words), 256), dtype=np.float32)
StaticModel(vectors, tokenizer).save_pretrained(sys.argv[2])
"""


@dataclass(frozen=True, slots=True)
class Peer:
    """An installed peer."""

    name: str
    python: Path
    model: Path

    def search(self, query: str, root: Path, cache: Path) -> processes.Run:
        """Bring its index of a folder up to date and answer one query."""
        cache.mkdir(parents=True, exist_ok=True)
        environment = {
            "SEMBLE_CACHE_LOCATION": str(cache),
            "SEMBLE_MODEL_NAME": str(self.model),
            "HF_HUB_OFFLINE": "1",
        }
        program = self.python.with_name("semble")
        command = [str(program), "search", query, str(root), "--content", "all", "-k", "10"]
        return processes.run(command, environment)


def vocabulary(corpus: Path) -> list[str]:
    """Word pieces: the frequent words of the corpus's Python files, and characters for the rest."""
    counts: Counter[str] = Counter()
    for path in sorted(corpus.rglob("*.py")):
        counts.update(re.findall(r"[a-z]+", path.read_text("utf-8", errors="replace").lower()))
    characters = [chr(code) for code in range(33, 127)]
    frequent = [word for word, _ in counts.most_common(29_000) if len(word) > 1]
    return ["[PAD]", "[UNK]", *characters, *(f"##{c}" for c in characters), *frequent]


def install(folder: Path, corpus: Path) -> Peer | None:
    """Install the peer below a folder; None, with a note, where that cannot be done."""
    environment, words, model = folder / "venv", folder / "words.txt", folder / "model"
    python = environment / "bin" / "python"
    words.parent.mkdir(parents=True, exist_ok=True)
    words.write_text("\n".join(vocabulary(corpus)), encoding="utf-8")
    steps = (
        [sys.executable, "-m", "venv", str(environment)],
        [str(python), "-m", "pip", "install", "--quiet", PACKAGE],
        [str(python), "-c", MAKE_MODEL, str(words), str(model)],
    )
    for step in steps:
        done = subprocess.run(step, capture_output=True, text=True)
        if done.returncode:
            reason = (done.stderr.strip() or "no reason given").splitlines()[-1]
            print(f"peer skipped: {PACKAGE} cannot be installed here: {reason}")
            return None
    return Peer(PACKAGE, python, model)
