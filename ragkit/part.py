"""A part of the files: some places, and all that is below them."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator


class Part:
    """Files and folders that something was heard of. Places are absolute, without links."""

    def __init__(self, root: str | os.PathLike[str], places: Iterable[str]) -> None:
        """`root` is what the paths of an index are relative to."""
        self._root = os.path.realpath(root)
        self.places = frozenset(places)
        self._above = {folder for place in self.places for folder in _folders(place)}

    def covers(self, location: str) -> bool:
        """Whether a place, or a folder that it lies in, is one of them."""
        return location in self.places or any(f in self.places for f in _folders(location))

    def holds(self, location: str) -> bool:
        """Whether one of them lies below."""
        return location in self._above

    @property
    def paths(self) -> list[str] | None:
        """Its places as an index has them; None where one of them is around everything."""
        found = [os.path.relpath(place, self._root).replace(os.sep, "/") for place in self.places]
        around = any(path == "." or set(path.split("/")) == {".."} for path in found)
        return None if around else found

    def includes(self, path: str) -> bool:
        """Whether it covers what has this path in an index."""
        return self.covers(os.path.normpath(os.path.join(self._root, path)))


def _folders(location: str) -> Iterator[str]:
    """Those that it lies in, the innermost first."""
    while (above := os.path.dirname(location)) != location:
        yield above
        location = above
