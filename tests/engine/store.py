"""Which models a runner has, and under which names."""

from __future__ import annotations

import re
import threading
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from .catalogue import Published

CREATED = 1757514000


class NotFound(Exception):
    """No such model."""


class Conflict(Exception):
    """The model has several tags."""


def canonical(reference: str) -> str:
    """Registry, name in lower case and tag: "docker.io/ai/x:latest"."""
    reference = reference.strip()
    if reference.startswith("hf.co/"):
        reference = "huggingface.co/" + reference.removeprefix("hf.co/")
    name, colon, tag = reference.rpartition(":")
    if not colon or "/" in tag:
        name, tag = reference, "latest"
    if "/" not in name:
        name = "ai/" + name
    name = name.lower()
    registry, _, rest = name.partition("/")
    if registry in ("index.docker.io", "registry-1.docker.io"):
        name = "docker.io/" + rest
    elif "." not in registry and ":" not in registry and registry != "localhost":
        name = "docker.io/" + name
    return f"{name}:{tag}"


@dataclass
class Kept:
    """A model in the store."""

    model: Published
    tags: list[str]
    """Canonical, in the order in which they were given."""


@dataclass
class Store:
    """Thread-safe. `old`: tags are shown as releases up to 1.0.10 stored them."""

    old: bool = False
    kept: list[Kept] = field(default_factory=list)
    lock: threading.RLock = field(default_factory=threading.RLock)

    def fill(self, models: Iterable[Published]) -> None:
        for model in models:
            self.add(model, model.reference)

    def add(self, model: Published, reference: str) -> None:
        """A tag moves to the model that is pulled under it."""
        tag = canonical(reference)
        with self.lock:
            for other in self.kept:
                if tag in other.tags and other.model.id != model.id:
                    other.tags.remove(tag)
            for other in self.kept:
                if other.model.id == model.id:
                    if tag not in other.tags:
                        other.tags.append(tag)
                    return
            self.kept.append(Kept(model, [tag]))

    def find(self, reference: str) -> Kept:
        """By id or by tag, as inference does it. Raises NotFound."""
        with self.lock:
            hexadecimal = reference.removeprefix("sha256:")
            if re.fullmatch("[0-9a-f]{12}|[0-9a-f]{64}", hexadecimal):
                for kept in self.kept:
                    if kept.model.id.removeprefix("sha256:").startswith(hexadecimal):
                        return kept
            tag = canonical(reference)
            for kept in self.kept:
                if reference and tag in kept.tags:
                    return kept
        raise NotFound(reference)

    def find_partly(self, reference: str) -> Kept:
        """Also by the bare last segment of any tag, as only `GET /models/{ref}` does it."""
        with self.lock:
            try:
                return self.find(reference)
            except NotFound:
                for kept in self.kept:
                    for tag in kept.tags:
                        if tag.rpartition(":")[0].rpartition("/")[2] == reference:
                            return kept
                raise

    def tag(self, reference: str, target: str) -> None:
        """Raises NotFound."""
        with self.lock:
            self.add(self.find(reference).model, target)

    def remove(self, reference: str, *, force: bool) -> list[dict[str, str]]:
        """What was untagged and deleted. Raises NotFound, Conflict."""
        with self.lock:
            kept = self.find(reference)
            tag = canonical(reference)
            if tag in kept.tags:
                kept.tags.remove(tag)
                done = [{"Untagged": self.spelled(tag)}]
            elif len(kept.tags) > 1 and not force:
                raise Conflict(reference)
            else:
                done = [{"Untagged": self.spelled(each)} for each in kept.tags]
                kept.tags.clear()
            if not kept.tags:
                self.kept.remove(kept)
                done.append({"Deleted": kept.model.id})
            return done

    def spelled(self, tag: str) -> str:
        """A canonical tag as this release shows it."""
        if not self.old:
            return tag
        return tag.removeprefix("docker.io/").replace("huggingface.co/", "hf.co/")

    def shown(self, kept: Kept) -> dict[str, Any]:
        """As `GET /models` shows it."""
        model = kept.model
        config: dict[str, Any] = {
            "format": "gguf",
            "quantization": model.quantization,
            "parameters": model.parameters,
            "architecture": model.architecture,
            "size": f"{model.size / 2**20:.2f}MiB",
            "gguf": model.metadata(),
        }
        if model.stored_context is not None:
            config["context_size"] = model.stored_context
        tags = [self.spelled(tag) for tag in kept.tags]
        return {"id": model.id, "tags": tags, "created": CREATED, "config": config}

    def listed(self, kept: Kept) -> dict[str, Any]:
        """As `GET /engines/v1/models` lists it."""
        model = kept.model
        shown: dict[str, Any] = {
            "id": self.spelled(kept.tags[0]) if kept.tags else model.id,
            "object": "model",
            "created": CREATED,
            "owned_by": "docker",
        }
        if not self.old:
            shown["dmr"] = {
                "context_window": model.stored_context or model.context,
                "architecture": model.architecture,
                "parameters": model.parameters,
                "quantization": model.quantization,
                "size": f"{model.size / 2**20:.2f}MiB",
            }
        return shown
