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
from benchmarks.making import (
    documented,
    golang,
    javascript,
    pages,
    prose,
    python,
    questions,
    snippets,
)
from benchmarks.releases import Release

A_SET = 120
"""Queries of a set that is made, where the corpus has as many."""

DOCUMENTS = 1500
"""Short texts in a corpus of such."""

LARGEST_BYTES = 400_000
KEPT = re.compile(r"\.(py|pyx|pxd|rst|md|txt|toml|cfg|ini)$")
SOURCES = re.compile(r"\.(go|js|mjs|cjs|ts|md|txt|rst)$|(^|/)(README|go\.mod|package\.json)$")
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
    passed: re.Pattern[str] = re.compile(r"^$")
    """What is left out of it."""
    largest: int = LARGEST_BYTES


def functions(
    find: documented.Find, language: str, name: str, texts: making.Texts
) -> tuple[making.Texts, dict[str, list[Query]]]:
    """Docstring → function, and questions made of other functions' docstrings."""

    def question(of: documented.Documented) -> str:
        return questions.question(of.query, of.name, language)

    fit = documented.sample(documented.found_in(texts, find))
    asked = fit[:A_SET]
    questioned = [of for of in fit[A_SET:] if question(of)][:A_SET]
    texts, moved = documented.undocumented(texts, [*asked, *questioned])
    return texts, {
        f"docstrings-{name}": documented.queries(moved[: len(asked)]),
        f"web-{name}": documented.queries(moved[len(asked) :], question),
    }


def functions_alone(name: str, texts: making.Texts) -> tuple[making.Texts, dict[str, list[Query]]]:
    """Question → function, each a file."""
    files, asked = snippets.snippets(texts, A_SET)
    return files, {f"snippets-{name}": asked}


def pages_of(name: str, texts: making.Texts) -> tuple[making.Texts, dict[str, list[Query]]]:
    """Question → section."""
    texts, asked = pages.questions(texts, A_SET)
    return texts, {f"documentation-{name}": asked}


def long_texts(name: str, texts: making.Texts) -> tuple[making.Texts, dict[str, list[Query]]]:
    """Excerpt → place; a text that is too long for one file becomes several."""
    divided: dict[str, str] = {}
    for path, text in texts.items():
        small = len(text) < LARGEST_BYTES
        divided |= {path: text} if small else prose.parts(text, Path(path).stem, 60_000)
    return divided, {f"excerpts-{name}": prose.excerpts(divided, A_SET)}


def entries(name: str, texts: making.Texts) -> tuple[making.Texts, dict[str, list[Query]]]:
    """First sentence → entry of a dictionary."""
    (dictionary,) = texts.values()
    files, asked = prose.abstracts(dictionary, DOCUMENTS, A_SET)
    return files, {f"abstracts-{name}": asked}


def _pypi(name: str, version: str, sha256: str) -> Release:
    return Release("pypi", name, version, sha256)


def _npm(name: str, version: str, sha256: str) -> Release:
    return Release("npm", name, version, sha256)


def _debian(name: str, version: str, sha256: str) -> Release:
    return Release("debian", name, version, sha256)


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
        partial(functions, python.documented, "python", "dulwich"),
    ),
    Corpus(
        "networkx",
        _pypi(
            "networkx", "3.6.1", "26b7c357accc0c8cde558ad486283728b65b6a95d85ee1cd66bafab4c8168509"
        ),
        partial(functions, python.documented, "python", "networkx"),
    ),
    Corpus(
        "go-git",
        _debian(
            "golang-github-go-git-go-git-dev",
            "5.4.2-3",
            "a2d87579f6ee3ae85322c035d914722d411d17fcb5da68044809490913ea04a1",
        ),
        partial(functions, golang.documented, "golang", "go-git"),
        kept=SOURCES,
        below="usr/share/gocode/src/github.com/go-git/go-git/",
    ),
    Corpus(
        "go-net",
        _debian(
            "golang-golang-x-net-dev",
            "1:0.7.0+dfsg-1",
            "ddfa0ab08e6caf68eb51c96f9b8ba7c3ab6c93aada7147c3a20a187e38a9d259",
        ),
        partial(functions, golang.documented, "golang", "go-net"),
        kept=SOURCES,
        below="usr/share/gocode/src/golang.org/x/net/",
    ),
    Corpus(
        "forge",
        _npm(
            "node-forge",
            "1.4.3",
            "0a872d932911012524495ab07dbf49351bd8ac23f12ea4766dc400f29ffc3356",
        ),
        partial(functions, javascript.documented, "javascript", "forge"),
        kept=SOURCES,
        below="lib/",
    ),
    Corpus(
        "closure",
        _npm(
            "google-closure-library",
            "20230802.0.0",
            "24ab95383fa3c58fe30b0ac57c3111575bc4d129f0bc9f891c1b56813829bc24",
        ),
        partial(functions, javascript.documented, "javascript", "closure"),
        kept=SOURCES,
        below="closure/goog/",
        passed=re.compile(r"^(i18n|locale|proto2|demos|testing|cssom|soy)/|_test\."),
    ),
    Corpus(
        "xarray",
        _pypi(
            "xarray",
            "2026.9.0",
            "6abc69694c22fa1f0fb2f357ff4e41d88beb4477ed71091f944b7dbf67ed54fe",
        ),
        partial(functions_alone, "xarray"),
    ),
    Corpus(
        "node",
        _debian(
            "nodejs-doc",
            "18.20.4+dfsg-1~deb12u2",
            "9f674d3536be94923bb8720c48ec17bc92b8de62f2954c3172b59a3ada1de65f",
        ),
        partial(pages_of, "node"),
        kept=re.compile(r"\.md$"),
        below="usr/share/doc/nodejs/api/",
    ),
    Corpus(
        "buildbot",
        _pypi(
            "buildbot", "4.3.0", "cbf46a15004bb1229712285e4f2b98163a169868ea00783e5e0d7cf8d5e8d962"
        ),
        partial(pages_of, "buildbot"),
    ),
    Corpus(
        "python",
        _debian(
            "python3.11-doc",
            "3.11.2-6+deb12u8",
            "50eb63e7f636c4281e9ce1b8f10386f1def42159eddce34fc1f41c46261df71b",
        ),
        partial(pages_of, "python"),
        kept=re.compile(r"\.rst$"),
        passed=re.compile(r"^(whatsnew|c-api|distutils)/"),
        below="usr/share/doc/python3.11/html/_sources/",
    ),
    Corpus(
        "anarchism",
        _debian(
            "anarchism",
            "15.3-3",
            "cf21c10948b00e923c62eb31c39a3390413fa26c5ee0e3b925feb0ec7fe42948",
        ),
        partial(long_texts, "anarchism"),
        kept=re.compile(r"\.md$"),
        below="usr/share/doc/anarchism/markdown/",
    ),
    Corpus(
        "jargon",
        _debian(
            "jargon-text",
            "4.4.7-4.1",
            "17d05997e30eb3d5d6713929b8e2f81b63a5f50073858ad2a06701c71f54dcdb",
        ),
        partial(long_texts, "jargon"),
        kept=re.compile(r"\.txt$"),
        below="usr/share/doc/jargon-text/",
        largest=10_000_000,
    ),
    Corpus(
        "foldoc",
        _debian(
            "dict-foldoc",
            "20230119-1",
            "745cbedb55c2da609cc88ee0284e9d11a67a11ae3709daf7bad0e895ac3294c3",
        ),
        partial(entries, "foldoc"),
        kept=re.compile(r"\.dict$"),
        below="usr/share/dictd/",
        largest=10_000_000,
    ),
)


def texts_of(corpus: Corpus, archive: Path) -> dict[str, str]:
    """The corpus's texts by path, as they are in the archive."""
    found = {}
    for whole, data in releases.members(archive):
        path = whole.removeprefix(corpus.below).replace(".rst.txt", ".rst")
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
        and not corpus.passed.search(path)
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
