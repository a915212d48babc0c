"""Names of models: many spellings, one model.

    embeddinggemma   ai/embeddinggemma   docker.io/ai/embeddinggemma:latest       the same
    hf.co/Org/Repo:Q8_0                  huggingface.co/org/repo:Q8_0             the same
    5c7a1b2c3d4e     sha256:5c7a1b2c3d4e…                                         ids

The rules are those of Docker Model Runner itself: the name in lower case, the tag as written,
`ai/` before a name without a slash, `:latest` after one without a tag.
"""

from __future__ import annotations

import re
from typing import Final

_ID: Final = re.compile(r"(?:sha256:)?([0-9a-f]{64})|([0-9a-f]{12})")
_DOCKER_HUB: Final = ("docker.io/", "index.docker.io/", "registry-1.docker.io/")
_HUGGING_FACE: Final = "huggingface.co/"
_SHORT_HUGGING_FACE: Final = "hf.co/"


def canonical(reference: str) -> str:
    """The one spelling of all that mean the same model; "" for an empty one.

    An id is `sha256:` and 64 digits; one of 12 digits stays, as only a server can complete it.
    """
    text = reference.strip()
    if found := _ID.fullmatch(text):
        return f"sha256:{found[1]}" if found[1] else text
    name, tag = _parted(text)
    while (bare := _without(name, _DOCKER_HUB)) != name:
        name = bare.strip()
    if name.startswith(_SHORT_HUGGING_FACE):
        name = _HUGGING_FACE + name.removeprefix(_SHORT_HUGGING_FACE)
    if not name.strip():
        return ""
    if "/" not in name:
        name = f"ai/{name}"
    return f"{name}:{tag}"


def same(reference: str, other: str) -> bool:
    """Whether two references mean the same model, as far as their spelling tells."""
    return canonical(reference) == canonical(other)


def asked(reference: str) -> str:
    """The spelling to send: every version of the server takes it, and none completes it.

    It has its organisation and its tag, so that no look-up by half a name answers with another
    model, and no action (`/models/purge`, `/models/x/export`) can be spelt with a name. Servers
    before 1.0.13 know Hugging Face as `hf.co` only; later ones understand that too.
    """
    name = canonical(reference)
    if name.startswith(_HUGGING_FACE):
        return _SHORT_HUGGING_FACE + name.removeprefix(_HUGGING_FACE)
    return name


def short(tag: str) -> str:
    """As `docker model list` shows it: no `docker.io/`, no `ai/`, no `:latest`; ids of 12 digits.

    What is shown means the same model as the tag.
    """
    name = canonical(tag)
    if is_id(name):
        return name.removeprefix("sha256:")[:12]
    bare = name.removesuffix(":latest")
    shown = bare.removeprefix("ai/")
    # a name that looks like an id would be taken for one
    return shown if canonical(shown) == name else bare if canonical(bare) == name else name


def name_of(reference: str) -> str:
    """The last part of the name, in lower case and without a tag: `embeddinggemma`."""
    name, _ = _parted(reference.strip())
    return name.rsplit("/", 1)[-1]


def is_id(reference: str) -> bool:
    """Whether it is a model's id and not a name."""
    return _ID.fullmatch(reference.strip()) is not None


def is_on_hugging_face(reference: str) -> bool:
    """Whether it is pulled from Hugging Face: only there may its token be sent."""
    return canonical(reference).startswith(_HUGGING_FACE)


def _parted(text: str) -> tuple[str, str]:
    """The name in lower case, and the tag: what follows the last colon after the last slash."""
    name, tag = text, ""
    if text.rfind(":") > text.rfind("/"):
        name, _, tag = text.rpartition(":")
    return name.lower(), tag or "latest"


def _without(name: str, prefixes: tuple[str, ...]) -> str:
    for prefix in prefixes:
        if name.startswith(prefix):
            return name.removeprefix(prefix)
    return name
