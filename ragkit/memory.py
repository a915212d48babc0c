"""What a walk lets its strategies remember: a store, seen from where they work."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING

from ragkit.events import Described, Embedding, Listener

if TYPE_CHECKING:
    from ragkit.types import Memory, Shared, Store, Vector


@dataclass(frozen=True, slots=True)
class Forgetful:
    """Looks up and keeps nothing: for what is made in no time, beside its store or far from it."""

    store: Store

    def known(self, keys: Sequence[bytes]) -> Mapping[bytes, Vector]:
        return self.store.known(keys)

    def keep(self, embedded: Mapping[bytes, Vector]) -> None:
        """They need not be kept before their files are stored."""

    def descriptions(self, keys: Sequence[bytes]) -> Mapping[bytes, str]:
        return self.store.descriptions(keys)

    def keep_descriptions(self, described: Mapping[bytes, str]) -> None:
        """The same."""


@dataclass(frozen=True, slots=True)
class Handed:
    """Looks up in any thread, and has the store's own thread keep things as soon as they are there.

    What a server has answered is in the store even if it dies, or the walk does, right after.
    """

    store: Store
    index: str
    listener: Listener
    hand: Callable[[Callable[[], None]], object]
    """Has the store's thread call this soon."""

    def known(self, keys: Sequence[bytes]) -> Mapping[bytes, Vector]:
        return self.store.known(keys)

    def keep(self, embedded: Mapping[bytes, Vector]) -> None:
        self.hand(partial(self._keep, embedded))

    def descriptions(self, keys: Sequence[bytes]) -> Mapping[bytes, str]:
        return self.store.descriptions(keys)

    def keep_descriptions(self, described: Mapping[bytes, str]) -> None:
        self.hand(partial(self._keep_descriptions, described))

    def _keep(self, embedded: Mapping[bytes, Vector]) -> None:
        self.store.keep(embedded)
        self.listener(Embedding(self.index, len(embedded)))

    def _keep_descriptions(self, described: Mapping[bytes, str]) -> None:
        self.store.keep_descriptions(described)
        self.listener(Described(self.index, len(described)))


@dataclass(frozen=True, slots=True)
class Sharing:
    """Another memory, which takes from what databases share and gives to it."""

    memory: Memory
    shared: Shared
    dimensions: int

    def known(self, keys: Sequence[bytes]) -> Mapping[bytes, Vector]:
        have = self.memory.known(keys)
        missing = [key for key in keys if key not in have]
        if not missing or not (found := self.shared.known(missing, self.dimensions)):
            return have
        self.memory.keep(found)
        return {**have, **found}

    def keep(self, embedded: Mapping[bytes, Vector]) -> None:
        self.memory.keep(embedded)
        self.shared.keep(embedded)

    def descriptions(self, keys: Sequence[bytes]) -> Mapping[bytes, str]:
        return self.memory.descriptions(keys)

    def keep_descriptions(self, described: Mapping[bytes, str]) -> None:
        self.memory.keep_descriptions(described)


@dataclass(frozen=True, slots=True)
class Watched:
    """Another memory, and which vectors it was asked for in vain."""

    memory: Memory
    missing: set[bytes] = field(default_factory=set)

    def known(self, keys: Sequence[bytes]) -> Mapping[bytes, Vector]:
        have = self.memory.known(keys)
        self.missing.update(key for key in keys if key not in have)
        return have

    def keep(self, embedded: Mapping[bytes, Vector]) -> None:
        self.memory.keep(embedded)

    def descriptions(self, keys: Sequence[bytes]) -> Mapping[bytes, str]:
        return self.memory.descriptions(keys)

    def keep_descriptions(self, described: Mapping[bytes, str]) -> None:
        self.memory.keep_descriptions(described)
