"""The first configuration of a project, for `ragkit init`."""

from __future__ import annotations

import re
from collections.abc import Sequence

_TEXT = """\
# What `ragkit search`, `ragkit index` and `ragkit status` work on in this folder and below it.
# Keys in comments are optional: they show what holds without them, or an example where they say
# "unset". `ragkit check` validates this file, `ragkit config schema` makes editors know its keys.

rag:
  {name}:
    docs: {docs}  # files, folders and globs, relative to this file
    # respect_vcs: true  # leave out what .gitignore names; .ragkitignore counts either way

    strategies:
      - type: bm25  # finds words and identifiers
        limit: 200  # most candidates handed to fusion
        k1: 1.2  # how much a word counts that comes again
        b: 0.9  # how much long chunks are held back, from 0 to 1
        chunking: &chunking  # the same for both: then they share one index
          size: 2000  # longest chunk, in characters
          # overlap: 75  # characters that a chunk of plain text repeats from the one before
          # respect_word_boundaries: false  # cut plain text at spaces only
          # code_aware: true  # cut code at functions and classes, Markdown at headings

      - type: chunked-embeddings  # finds meanings
        embedding_model: embedded/static  # comes with ragkit and runs in this process
        limit: 200
        # threshold: 0.2  # least cosine of a candidate; unset: no bound
        # database: ./.ragkit/{file}.db  # where the index is kept; unset: the user's cache folder
        chunking: *chunking

    indexing_timeout: 0s  # longest run of indexing, such as 30m; 0s: no bound

    results:
      limit: 10  # most hits in an answer
      # deduplicate: true  # leave out hits whose text equals a better one's
      # return_full_content: false  # answer with whole files in place of chunks
      # fusion: {{strategy: rrf}}  # by ranks, or weighted, convex, max; unset: by the query's kind
      # ranking: {{noise: true}}  # a rule after fusion; also definitions, names, files, coherence
"""


def template(name: str, docs: Sequence[str] = (".",)) -> str:
    """A commented `ragkit.yaml` with one knowledge base that means what ragkit does without a file.

    `docs` are paths and globs relative to the folder of the file.
    """
    paths = ", ".join(_quoted(path) for path in docs)
    file = "".join(c if c.isalnum() or c in "-_" else "-" for c in name) or "index"
    plain = re.fullmatch(r"[A-Za-z][A-Za-z0-9_-]*", name)
    return _TEXT.format(name=name if plain else _quoted(name), docs=f"[{paths}]", file=file)


def _quoted(text: str) -> str:
    """A text in YAML's double quotes; whatever is in it, the same comes back."""
    text = text.encode("utf-8", "replace").decode()  # undecodable bytes of a file name
    shown = (c if c.isprintable() and c not in '"\\' else f"\\U{ord(c):08x}" for c in text)
    return f'"{"".join(shown)}"'
