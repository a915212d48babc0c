"""Fetch the corpora of the evaluation sets: `python -m benchmarks.corpora FOLDER [NAME …]`.

Each is made of a release, fetched by name and version and checked by its sha256, reduced to text
files; where the set is made by a script, its queries are written beside it and what they were made
of is taken out. The folder must lie outside this repository, whose ignore rules would hold for it
too. What is fetched stays there, in `.downloads`.
"""

from __future__ import annotations

import argparse
import re
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from benchmarks import judgements, making, releases, sets
from benchmarks.judgements import Query
from benchmarks.making import documented, python
from benchmarks.releases import Release

LARGEST_BYTES = 400_000
KEPT = re.compile(r"\.(py|pyx|pxd|rst|md|txt|toml|cfg|ini)$")
LEFT_OUT = re.compile(
    # change logs would give the answers away
    r"\.egg-info/|(^|/)(changes?|changelog|history)(/.*|[^/]*)\.(rst|md|txt)$|^setup\.cfg$",
    re.IGNORECASE,
)

Make = Callable[[making.Texts], tuple[making.Texts, Mapping[str, list[Query]]]]
"""Texts of a release in; the corpus, and queries by the name of their set, out."""


@dataclass(frozen=True, slots=True)
class Corpus:
    """A folder of texts: the release that they are of, and how its sets are made."""

    name: str
    release: Release
    make: Make | None = None
    """None: its queries are in this repository."""
    kept: re.Pattern[str] = KEPT
    below: str = ""
    """The folder of the archive that is taken, as a prefix of paths."""
    largest: int = LARGEST_BYTES


def functions(
    find: documented.Find, name: str, count: int, texts: making.Texts
) -> tuple[making.Texts, dict[str, list[Query]]]:
    """Docstring → function."""
    asked = documented.sample(documented.found_in(texts, find), count)
    texts, moved = documented.undocumented(texts, asked)
    return texts, {f"docstrings-{name}": documented.queries(moved)}


def _pypi(name: str, version: str, sha256: str) -> Release:
    return Release("pypi", name, version, sha256)


CORPORA = (
    Corpus(
        "celery",
        _pypi(
            "celery", "5.3.0", "1eaba5ee14d8c8c0bed8f6063e5e10dabdbcf23503a861cf0e10b7221d99cb0d"
        ),
    ),
    Corpus(
        "sqlfluff",
        _pypi(
            "sqlfluff", "2.3.0", "bd9d3667db9eaf349665ba1d1cba90b3cbadc106a96f1740d0a1dbb776b4e380"
        ),
    ),
    Corpus(
        "sqlalchemy",
        _pypi(
            "sqlalchemy",
            "2.0.20",
            "ca8a5ff2aa7f3ade6c498aaafce25b1eaeabe4e42b73e25519183e4566a16fc6",
        ),
    ),
    Corpus(
        "dulwich",
        _pypi(
            "dulwich", "1.2.21", "5d3939f64883e6799614cab708ef4ee9ef415dd6dcad47527cdbb0eea43bf3a2"
        ),
        partial(functions, python.documented, "dulwich", 150),
    ),
    Corpus(
        "networkx",
        _pypi(
            "networkx", "3.6.1", "26b7c357accc0c8cde558ad486283728b65b6a95d85ee1cd66bafab4c8168509"
        ),
        partial(functions, python.documented, "networkx", 150),
    ),
)


def texts_of(corpus: Corpus, archive: Path) -> dict[str, str]:
    """The corpus's texts by path, as they are in the archive."""
    found = {}
    for whole, data in releases.members(archive):
        path = whole.removeprefix(corpus.below)
        if whole.startswith(corpus.below) and _belongs(corpus, path, data):
            found[path] = data.decode("utf-8")
    return found


def write(texts: Mapping[str, str], folder: Path) -> None:
    """Write a corpus, in place of what was there."""
    shutil.rmtree(folder, ignore_errors=True)
    for path, text in texts.items():
        target = folder / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(text.encode("utf-8"))


def verify(found: sets.Set) -> None:
    """Raise SystemExit unless every judged file is there and every span lies inside its file."""
    for query in found.queries:
        for path in query.relevant:
            if not (found.root / path).is_file():
                raise SystemExit(f"{found.name}: {path} is judged and missing")
        for path, span in query.spans:
            lines = (found.root / path).read_text(encoding="utf-8").count("\n") + 1
            if not 1 <= span.first <= span.last <= lines:
                raise SystemExit(f"{found.name}: {path} has no lines {span.first}-{span.last}")


def prepare(corpus: Corpus, folder: Path) -> list[sets.Set]:
    """Fetch a corpus, make its sets, check them."""
    texts: making.Texts = texts_of(corpus, releases.fetch(corpus.release, folder / ".downloads"))
    made: Mapping[str, list[Query]] = {}
    if corpus.make:
        texts, made = corpus.make(texts)
    write(texts, folder / corpus.name)
    for name, queries in made.items():
        sets.write(name, corpus.name, queries, folder)
    names = [corpus.name] if corpus.name in judgements.SETS else list(made)
    found = [sets.load(name, folder) for name in names]
    for each in found:
        verify(each)
    return found


def _belongs(corpus: Corpus, path: str, data: bytes) -> bool:
    return (
        not re.search(r"\s", path)
        and bool(corpus.kept.search(path))
        and not LEFT_OUT.search(path)
        and len(data) < corpus.largest
        and _is_text(data)
    )


def _is_text(data: bytes) -> bool:
    try:
        return bool(data.decode().strip()) and b"\0" not in data
    except UnicodeDecodeError:
        return False


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path, help="where to; outside this repository")
    parser.add_argument("names", nargs="*", help="these corpora alone")
    options = parser.parse_args()
    folder: Path = options.folder.resolve()
    if folder.is_relative_to(Path(__file__).resolve().parents[1]):
        raise SystemExit("the folder must lie outside this repository: its ignore rules hold there")
    for corpus in CORPORA:
        if options.names and corpus.name not in options.names:
            continue
        for found in prepare(corpus, folder):
            queries = f"{len(found.tuning)} queries to tune on, {len(found.held)} held"
            print(f"{found.name}: {queries}; {found.root}")


if __name__ == "__main__":
    main()
