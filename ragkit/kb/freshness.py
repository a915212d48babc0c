"""Whether what is to be answered is still on the disk; lines of what has moved are put right."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import TypeAlias

from ragkit.errors import ReadError
from ragkit.evidence import Passage
from ragkit.indexer import is_stale
from ragkit.types import Document, File, Freshness, Hit, Index, Record

Found: TypeAlias = tuple[Freshness, int]
"""What has become of a text, and by how many characters it has moved."""


@dataclass(slots=True)
class Disk:
    """The files of an answer as they are now: one that changed since is read once."""

    root: str
    indexes: Sequence[Index]
    by_stamps: bool = True
    """Whether the store still remembers the files as they were when it was searched: then one whose
    stamp is the same need not be read."""
    _seen: dict[str, Freshness | Document] = field(default_factory=dict)

    def hits(self, hits: Iterable[Hit]) -> list[Hit]:
        """The hits, each with its freshness and the lines that it has now."""
        return [self._hit(hit) for hit in hits]

    def passages(self, passages: Iterable[Passage]) -> tuple[Passage, ...]:
        """The same of evidence."""
        return tuple(self._passage(passage) for passage in passages)

    def _hit(self, hit: Hit) -> Hit:
        chunk = hit.chunk
        freshness, moved = self._found(chunk.path, chunk.text, chunk.start)
        if moved:
            lines = self._lines(chunk.path, chunk.start, moved, chunk.start_line)
            chunk = replace(
                chunk,
                start=chunk.start + moved,
                end=chunk.end + moved,
                start_line=chunk.start_line + lines,
                end_line=chunk.end_line + lines,
            )
        same = freshness == hit.freshness and chunk is hit.chunk
        return hit if same else replace(hit, chunk=chunk, freshness=freshness)

    def _passage(self, passage: Passage) -> Passage:
        freshness, moved = self._found(passage.path, passage.text, passage.start)
        lines = self._lines(passage.path, passage.start, moved, passage.start_line) if moved else 0
        return replace(
            passage,
            freshness=freshness,
            start=passage.start + moved,
            end=passage.end + moved,
            start_line=passage.start_line + lines,
            end_line=passage.end_line + lines,
        )

    def _found(self, path: str, text: str, start: int) -> Found:
        """What has become of a text that was at `start`."""
        if path not in self._seen:
            self._seen[path] = self._looked(path)
        now = self._seen[path]
        if not isinstance(now, Document):
            return now, 0
        if now.text.startswith(text, start):
            return "fresh", 0
        after = now.text.find(text, start)
        before = now.text.rfind(text, 0, start + len(text))
        places = [place - start for place in (before, after) if place >= 0]
        # nothing to find says nothing about where it is
        return ("fresh", min(places, key=abs)) if places and text.strip() else ("changed", 0)

    def _lines(self, path: str, start: int, moved: int, line: int) -> int:
        """By how many lines a text has moved."""
        now = self._seen[path]
        assert isinstance(now, Document)
        return now.text.count("\n", 0, start + moved) + 1 - line

    def _looked(self, path: str) -> Freshness | Document:
        """`fresh` for a file that is as it was indexed, or the file as it is now."""
        location = os.path.join(self.root, path)
        index, record = self._record(path)
        try:
            status = os.stat(location)
        except (FileNotFoundError, NotADirectoryError):
            return "deleted"
        except OSError:
            return "changed"  # nobody can tell
        if index is None or record is None:
            return "changed"
        file = File(path, os.path.realpath(location), status.st_size, status.st_mtime_ns)
        if self.by_stamps and not is_stale(file, record):
            return "fresh"
        try:
            document = index.read(file)
        except ReadError:
            return "changed"
        if not isinstance(document, Document):
            return "changed"
        return "fresh" if self.by_stamps and document.digest == record.digest else document

    def _record(self, path: str) -> tuple[Index | None, Record | None]:
        for index in self.indexes:
            if record := index.store.records([path]).get(path):
                return index, record
        return None, None
