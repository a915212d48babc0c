"""The store alone, on the standard library: build, size by part, searches cold and warm.

    python -m benchmarks.store_smoke

Chunks are runs of lines of about 800 characters; vectors are random and clustered, 256 dimensions,
as the store does not care where they come from. Queries are docstrings, cut to 10 and 30 words.
Times of this process's CPU, so that what else runs matters less.
"""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import apsw
import numpy as np

from benchmarks import library, results
from ragkit import lexical, stores
from ragkit.stores import connection, texts, vectors
from ragkit.stores.sqlite import SqliteStore
from ragkit.types import Chunk, Entry, Record

D = 256
SIZE = 800
PARTS = ("embeddings", "codes_1", "words_1", "texts_1", "chunks_1")


def chunks() -> Iterator[list[Chunk]]:
    """The chunks of each file."""
    for file in sorted(library.SOURCE.rglob("*.py")):
        path = file.relative_to(library.SOURCE).as_posix()
        if "site-packages" in path:
            continue
        found: list[Chunk] = []
        start, text = 0, file.read_bytes().decode("utf-8", "replace")
        while start < len(text):
            end = text.find("\n", start + SIZE) + 1 or len(text)
            found.append(Chunk(path, len(found), text[start:end], start, end, 1, 1))
            start = end
        yield found


def clustered(count: int) -> Any:
    """(count, D) unit rows around 400 centres."""
    chance = np.random.default_rng(0)
    centres = chance.standard_normal((400, D)).astype(np.float32)
    rows = centres[chance.integers(0, 400, count)]
    rows += chance.standard_normal((count, D)).astype(np.float32)
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def milliseconds(work: Callable[[], object]) -> float:
    """CPU time of one call in this thread."""
    began = time.thread_time()
    work()
    return 1000 * (time.thread_time() - began)


def build(store: SqliteStore, files: list[list[Chunk]]) -> list[float]:
    """Store all files; milliseconds of each."""
    rows = iter(clustered(sum(map(len, files))))
    taken = []
    for file in filter(None, files):
        entries = [
            Entry(
                c,
                " ".join(lexical.terms(c.text)),
                hashlib.sha256(c.text.encode()).digest(),
                next(rows),
            )
            for c in file
        ]
        record = Record(file[0].path, "0" * 64, file[-1].end, 0, "python")
        taken.append(milliseconds(lambda r=record, e=entries: store.replace(r, e)))  # type: ignore[misc]
    store.complete()
    return taken


def sizes(path: Path) -> dict[str, int]:
    """Bytes of the file by part."""
    connection = apsw.Connection(str(path))
    sql = "select name, sum(pgsize) from dbstat group by name"
    try:
        pages = dict(connection.execute(sql))
    except apsw.SQLError:  # SQLite was built without it
        return {"file": path.stat().st_size}
    by_part = {part: sum(size for name, size in pages.items() if part in name) for part in PARTS}
    return by_part | {"file": path.stat().st_size}


COLD = """
import sys, time
import numpy as np
from pathlib import Path
began = time.thread_time()
from ragkit import stores
store = stores.open(Path(sys.argv[1]), "code", "f", int(sys.argv[2]), read_only=True)
times = [time.thread_time() - began]
for search in (
    lambda: store.nearest(np.ones(int(sys.argv[2]), np.float32), 50),
    lambda: store.matching(sys.argv[3].split(), 50),
):
    began = time.thread_time()
    search()
    times.append(time.thread_time() - began)
print(*times)
"""


def cold(path: Path, query: list[str]) -> dict[str, dict[str, float]]:
    """Open, first nearest and first matching in five fresh processes; milliseconds."""
    runs = []
    for _ in range(5):
        command = [sys.executable, "-c", COLD, str(path), str(D), " ".join(query)]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        runs.append([1000 * float(value) for value in done.stdout.split()])
    names = ("open", "nearest", "matching")
    return {
        n: results.summary(list(v)) for n, v in zip(names, zip(*runs, strict=True), strict=True)
    }


def queries(words: int) -> list[list[str]]:
    """100 runs of words from docstrings, stop words included."""
    texts = (lexical.terms(f.query) for f in library.sample(3000))
    distinct = (list(dict.fromkeys(text)) for text in texts)
    return [text[:words] for text in distinct if len(text) >= words][:100]


def alternatives(path: Path, asked: Sequence[Any], ten: list[list[str]]) -> dict[str, object]:
    """What SQLite offers for the same searches: vec0's own scan, FTS5's own bm25()."""
    store = connection.reader(path, wait=1)
    other = apsw.Connection(":memory:")
    other.execute("create virtual table full using fts5(words, content='', tokenize=ascii)")
    rows = [
        (i, " ".join(lexical.terms(texts.unpacked(text))))
        for i, text in store.execute("select id, text from texts_1")
    ]
    build = milliseconds(
        lambda: other.executemany("insert into full(rowid, words) values(?, ?)", rows)
    )
    knn = "select id from codes_1 where code match vec_int8(?) and k = 232"
    bm25 = "select rowid from full where full match ? order by rank limit 50"
    return {
        "vec0 int8 scan": timed(
            lambda v: store.execute(knn, (vectors.quantised(v[None])[0].tobytes(),)).fetchall(),
            asked,
        ),
        "fts5 bm25, 10 words": timed(
            lambda q: other.execute(bm25, (" OR ".join(f'"{w}"' for w in q),)).fetchall(), ten
        ),
        "fts5 with positions, build": build,
    }


def timed(search: Callable[[Any], object], asked: Sequence[Any]) -> dict[str, float]:
    """Milliseconds of each search: median, least, most."""
    return results.summary([milliseconds(lambda q=q: search(q)) for q in asked])  # type: ignore[misc]


def main() -> None:
    """Measure, print, and write `results/store_smoke.json`."""
    files = list(chunks())
    ten, thirty = queries(10), queries(30)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "store.db")
        store = stores.open(path, "code", "f", D)
        taken = build(store, files)
        store.close()
        store = stores.open(path, "code", "f", D, read_only=True)
        asked = list(clustered(sum(map(len, files)))[::400])
        first = timed(lambda q: store.matching(q, 50), ten)
        measured = {
            "build": {"total": sum(taken), "most": max(taken), "bytes": sizes(path)},
            "cold": cold(path, ten[0]),
            "nearest": timed(lambda v: store.nearest(v, 50), asked),
            "matching, 10 words, first time": first,
            "matching, 10 words, again": timed(lambda q: store.matching(q, 50), ten),
            "matching, 30 words, first time": timed(lambda q: store.matching(q, 50), thirty),
            "matching, 30 words, again": timed(lambda q: store.matching(q, 50), thirty),
            "instead": alternatives(path, asked, ten),
        }
        store.close()
    parameters = {
        "files": len(files),
        "chunks": sum(map(len, files)),
        "dimensions": D,
        "limit": 50,
        "characters": sum(len(c.text) for file in files for c in file),
        "unit": "ms of CPU",
    }
    print(json.dumps(results.rounded(measured), indent=1))
    results.write("store_smoke", parameters, measured=measured)


if __name__ == "__main__":
    main()
