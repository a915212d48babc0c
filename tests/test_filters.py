"""Filters: what they let through, how they are written, and what is said where nothing does."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ragkit import Filter, KnowledgeBase
from ragkit.chunkers.languages import LANGUAGES
from ragkit.cli.filters import NAMES, from_root
from ragkit.config.loading import load
from ragkit.errors import ConfigError, QueryError
from ragkit.filters import DOCS, moment, paths_test, test_of, type_of
from ragkit.kb import filtering
from ragkit.kb.filtering import filter_of, languages_named
from ragkit.kb.nearest import nearest_globs, unmatched
from ragkit.types import ANYTHING

test_of.__test__ = False  # type: ignore[attr-defined]  # a function of ragkit, not a test

Ragkit = Callable[..., Any]
NOW = 1_800_000_000.0


# ── what comes through ──


@pytest.mark.parametrize(
    ("globs", "path", "matches"),
    [
        (["*.md"], "README.md", True),
        (["*.md"], "docs/deep/a.md", True),
        (["*.md"], "a.mdx", False),
        (["docs"], "docs/deep/a.md", True),
        (["docs"], "packages/x/docs/a.md", True),
        (["docs"], "mydocs/a.md", False),
        (["docs"], "docs", True),
        (["docs/"], "docs/a.md", True),
        (["docs/"], "docs", False),
        (["/docs"], "docs/a.md", True),
        (["/docs"], "packages/docs/a.md", False),
        (["./docs"], "docs/a.md", True),
        (["./docs"], "packages/docs/a.md", False),
        (["./docs/a.md"], "docs/a.md", True),
        (["src/*.py"], "src/a.py", True),
        (["src/*.py"], "src/deep/a.py", False),
        (["src/*.py"], "lib/src/a.py", False),
        (["src/**/*.py"], "src/a.py", True),
        (["src/**/*.py"], "src/very/deep/a.py", True),
        (["src/**"], "src/a", True),
        (["src/*"], "src/deep/a.py", True),
        (["**/test_*.py"], "test_a.py", True),
        (["*.{md,rst}"], "docs/a.rst", True),
        (["{src,lib}/**/*.py"], "lib/x/a.py", True),
        (["src/[ab].py"], "src/b.py", True),
        (["src/?.py"], "src/ü.py", True),
        (["*.PY"], "a.py", False),
        (["a.py", "b.py"], "b.py", True),
        (["!tests"], "src/a.py", True),
        (["!tests"], "src/tests/a.py", False),
        (["*.py", "!tests/**"], "tests/a.py", False),
        (["!tests/**", "*.py"], "tests/a.py", False),
        (["*.py", "!tests/**"], "a.md", False),
        ([r"\!odd"], "!odd", True),
        ([r"a\*"], "a*", True),
        ([r"a\*"], "ab", False),
        (["."], "any/thing", True),
        (["/"], "any/thing", True),
        (["../sibling/*.py"], "../sibling/a.py", True),
        (["a b"], "a b/c\nd", True),
    ],
)
def test_a_glob_means_what_a_line_of_gitignore_means(
    globs: list[str], path: str, matches: bool
) -> None:
    assert paths_test(globs)(path) is matches


@pytest.mark.parametrize("glob", ["", "!", "[", "a[b", "a\\", "x/[[:what:]]", "{a,[}", "//"])
def test_a_glob_that_can_match_nothing_is_refused(glob: str) -> None:
    with pytest.raises(QueryError, match="match") as raised:
        paths_test(["fine", glob])
    assert "src/**/*.py" in raised.value.remedy


def test_braces_cannot_take_all_memory() -> None:
    with pytest.raises(QueryError, match="braces"):
        paths_test(["{a,b}" * 40])


@given(st.lists(st.text(), max_size=3), st.text())
def test_any_text_is_a_glob_or_refused(globs: list[str], path: str) -> None:
    try:
        matches = paths_test(globs)
    except QueryError:
        return
    assert matches(path) in (True, False)


NAME = st.text(alphabet="ab[]*?{}!\\ .-é", min_size=1, max_size=4).filter(
    lambda name: name not in (".", "..")
)


@given(st.lists(NAME, min_size=1, max_size=3).map("/".join))
def test_every_path_can_be_named_with_backslashes(path: str) -> None:
    # braces are taken apart first, so they cannot be named; a bracket stands for any of them
    escaped = "".join(f"\\{c}" if c in "[]*?!\\" else "?" if c in "{}" else c for c in path)
    assert paths_test([f"/{escaped}"])(path)
    assert paths_test([f"/{escaped}"])(f"{path}/inside")
    assert not paths_test([f"!/{escaped}"])(path)


def test_all_parts_of_a_filter_must_hold() -> None:
    lets_through = test_of(
        Filter(("src",), ("python", "go"), ("code",), modified_after=5.0) & Filter(("*.py",))
    )
    assert lets_through("src/a.py", "python", 5 * 10**9)
    assert not lets_through("src/a.py", "python", 4 * 10**9)
    assert not lets_through("src/a.py", "rust", 5 * 10**9)
    assert not lets_through("lib/a.py", "python", 5 * 10**9)
    assert not lets_through("src/a.go", "go", 5 * 10**9)


def test_filters_together_let_through_what_each_does() -> None:
    one, other = Filter(("a",)), Filter(("b",))
    assert ANYTHING & one == one & ANYTHING == one & one == one
    assert (ANYTHING & ANYTHING).is_open
    assert not (one & other).is_open
    assert not test_of(one & other)("a", None, 0)
    assert test_of(one & other)("a/b", None, 0)
    assert test_of(one & (other & Filter(("c",))))("a/b/c", None, 0)


def test_a_filter_takes_lists_and_single_names() -> None:
    of_lists: Any = {"paths": ["a", "b"], "languages": "go", "types": "code"}
    where = Filter(**of_lists)
    assert where == Filter(("a", "b"), ("go",), ("code",))
    assert hash(where)


def test_every_language_is_code_or_docs() -> None:
    docs = {language for language in LANGUAGES if type_of("x", language) == "docs"}
    assert docs == DOCS - {"pdf"}
    for path in ("notes.txt", "LICENSE", "docs/a.TEX", "a.b/README"):
        assert type_of(path, None) == "docs"
    for path in (".gitignore", "data.csv", "old.pas", "src/.hidden"):
        assert type_of(path, None) == "code"


# ── how they are written ──


@pytest.mark.parametrize(
    ("name", "languages"),
    [
        ("python", ("python",)),
        ("Python", ("python",)),
        ("py", ("python",)),
        ("js", ("javascript",)),
        ("ts", ("typescript", "tsx")),
        ("tsx", ("tsx",)),
        ("c++", ("cpp",)),
        ("C#", ("csharp",)),
        ("rs", ("rust",)),
        ("golang", ("go",)),
        ("sh", ("bash",)),
        ("yml", ("yaml",)),
        ("md", ("markdown",)),
        ("makefile", ("make",)),
        ("txt", ("text",)),
        (" go ", ("go",)),
    ],
)
def test_a_language_has_many_names(name: str, languages: tuple[str, ...]) -> None:
    assert languages_named(name) == languages


def test_every_language_and_alias_is_known_by_its_own_name() -> None:
    for name in LANGUAGES:
        assert name in languages_named(name)
    for alias, language in filtering._ALIASES.items():
        assert languages_named(alias) == languages_named(language)


def test_an_unknown_language_names_the_nearest() -> None:
    with pytest.raises(QueryError, match="no language 'pyton'") as raised:
        filter_of(languages=["pyton"])
    assert "python" in raised.value.remedy
    with pytest.raises(QueryError) as raised:
        filter_of(languages=["klingon9"])
    assert "go, " in raised.value.remedy, "where none is near, all of them"


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("30m", NOW - 1800),
        ("12h", NOW - 43_200),
        ("7d", NOW - 604_800),
        ("2w", NOW - 1_209_600),
        ("1d12h", NOW - 129_600),
        ("0.5h", NOW - 1800),
        (" 90s ", NOW - 90),
        ("2026-01-31", datetime(2026, 1, 31).timestamp()),
        ("2026-01-31T09:30", datetime(2026, 1, 31, 9, 30).timestamp()),
        ("2026-01-31 09:30:05", datetime(2026, 1, 31, 9, 30, 5).timestamp()),
        ("2026-01-31T09:30:00Z", 1769851800.0),
        ("2026-01-31T09:30:00+02:00", 1769844600.0),
    ],
)
def test_a_time_is_a_duration_or_an_iso_date(text: str, seconds: float) -> None:
    assert moment(text, NOW) == seconds


@pytest.mark.parametrize("text", ["", "7", "d", "7y", "-7d", "7d ago", "yesterday", "2026-13-01"])
def test_another_time_is_refused(text: str) -> None:
    with pytest.raises(QueryError, match="neither a duration nor a date") as raised:
        moment(text, NOW)
    assert "7d" in raised.value.remedy


@given(st.text(max_size=12))
def test_any_text_is_a_time_or_refused(text: str) -> None:
    with suppress(QueryError):
        assert isinstance(moment(text, NOW), float)


def test_paths_from_here_become_paths_from_the_root(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = tmp_path.resolve()
    (root / "sub").mkdir()
    monkeypatch.chdir(root / "sub")
    for glob, meant in [
        ("./x.py", "/sub/x.py"),
        ("./deep/", "/sub/deep/"),
        ("../*.md", "/*.md"),
        ("..", "/"),
        (".", "/sub"),
        ("!./x.py", "!/sub/x.py"),
        (f"{root}/sub/*.py", "/sub/*.py"),
        (f"{root}", "/"),
        ("x.py", "x.py"),
        ("/x.py", "/x.py"),
        ("sub/**", "sub/**"),
    ]:
        assert from_root(glob, str(root)) == meant


# ── through the whole of it ──


@pytest.fixture
def kb(project: Path) -> Any:
    os.utime(project / "README.md", (NOW, NOW))
    with KnowledgeBase.open(project) as kb:
        kb.index()
        yield kb


def found(kb: KnowledgeBase, query: str, where: Filter = ANYTHING) -> set[str]:
    return {hit.chunk.path for hit in kb.search(query, 50, where)}


def test_both_searches_look_at_what_the_filter_lets_through(kb: KnowledgeBase) -> None:
    query = "squirrel birds weight day seeds"
    assert {*found(kb, query)} >= {"README.md", "src/feeder.py", "src/storage.go"}
    assert found(kb, query, Filter(languages=("go",))) == {"src/storage.go"}
    assert found(kb, query, Filter(languages=("golang",))) == {"src/storage.go"}
    with pytest.raises(QueryError, match="no language 'pyton'"):
        kb.search(query, where=Filter() & Filter(languages=("pyton",)))
    assert found(kb, query, Filter(types=("docs",))) == {"README.md", "notes/todo.txt"}
    assert found(kb, query, Filter(("src",))) == {"src/feeder.py", "src/storage.go"}
    assert found(kb, query, Filter(("!src", "!notes", "!.*"))) == {"README.md"}
    assert found(kb, query, Filter(modified_after=NOW)) == {"README.md"}
    assert found(kb, query, Filter(("nothing",))) == set()


def test_the_answer_is_as_long_as_without_a_filter_where_enough_comes_through(
    tmp_path: Path,
) -> None:
    for i in range(300):
        (tmp_path / f"a{i}.md").write_text(f"# Nest {i}\n\nOwl owl owl, an owl's nest.\n")
    for i in range(12):
        (tmp_path / f"b{i}.txt").write_text(f"Paragraph {i} of a long text that has one owl.\n")
    with KnowledgeBase.open(tmp_path) as kb:
        kb.index()
        hits = kb.search("owl nest", 10, Filter(("b*",)))
    assert len(hits) == 10
    assert all(hit.chunk.path.startswith("b") for hit in hits)


def configuration(folder: Path, filters: str) -> Path:
    file = folder / "ragkit.yaml"
    file.write_text(
        "rag:\n  all:\n    docs: ['.']\n    strategies: [{type: bm25, limit: 50}]\n"
        f"    results:\n      filters: {filters}\n"
    )
    return file


def test_filters_of_the_configuration_always_hold(project: Path) -> None:
    file = configuration(project, "{paths: [src, '*.md'], languages: [py, md]}")
    with KnowledgeBase.open(config=file) as kb:
        kb.index()
        query = "squirrel birds weight day seeds rag"
        assert found(kb, query) == {"src/feeder.py", "README.md"}
        assert found(kb, query, Filter(types=("code",))) == {"src/feeder.py"}
        assert found(kb, query, Filter(("*.go",))) == set()
        missed = unmatched(kb, Filter(("*.go",)), NAMES)
    assert str(missed) == (
        "no indexed file matches all of results.filters.paths 'src' or '*.md' and "
        "results.filters.languages python or markdown and --path '*.go'; nearest: "
        "without results.filters.languages python or markdown (1 file), "
        "without --path '*.go' (2 files)"
    )


def test_a_wrong_filter_of_the_configuration_is_named_with_its_line(project: Path) -> None:
    with pytest.raises(ConfigError) as raised:
        load(configuration(project, "{paths: ['[']}"))
    assert "ragkit.yaml:6: rag.all.results.filters.paths[0]: no path can" in str(raised.value)
    with pytest.raises(ConfigError) as raised:
        load(configuration(project, "{newer_than: soon}"))
    assert "filters.newer_than: newer than 'soon': neither" in str(raised.value)
    with pytest.raises(ConfigError) as raised:
        KnowledgeBase.open(config=configuration(project, "{languages: [pyton]}"))
    assert "rag.all.results.filters: no language 'pyton'" in str(raised.value)


def test_newer_than_counts_from_each_search(project: Path) -> None:
    long_ago = time.time() - 10 * 86_400
    for path in project.rglob("*"):
        os.utime(path, (long_ago, long_ago))
    os.utime(project / "src/feeder.py")
    file = configuration(project, "{newer_than: 7d, type: code, paths: ['!*.yaml']}")
    with KnowledgeBase.open(config=file) as kb:
        kb.index()
        assert found(kb, "squirrel birds weight day seeds") == {"src/feeder.py"}


# ── nothing comes through ──


def missed(kb: KnowledgeBase, **parts: Any) -> str:
    return str(unmatched(kb, filter_of(**parts), NAMES))


def test_a_filter_that_lets_nothing_through_names_the_nearest_that_would(
    kb: KnowledgeBase,
) -> None:
    assert missed(kb, paths=["scr/*.py"]) == (
        "no indexed file matches --path 'scr/*.py'; nearest: src/*.py (1 file)"
    )
    assert "nearest: src/feeder.py (1 file)" in missed(kb, paths=["feedr.py"])
    assert "; nearest: src/ (2 files), src/*.go (1 file)" in missed(
        kb, paths=["src/*.rs", "SRC/*.go"]
    )
    assert missed(kb, languages=["rust"]) == (
        "no indexed file matches --lang rust; nearest: text (2 files), markdown (1 file), "
        "python (1 file), go (1 file)"
    )
    later = missed(kb, newer_than="2040-01-01")
    assert later.startswith("no indexed file matches --newer-than 2040-01-01 00:00; nearest: ")
    assert "(changed 20" in later
    together = missed(kb, languages=["go"], type="docs")
    assert together == (
        "no indexed file matches all of --lang go and --type docs; nearest: "
        "without --lang go (2 files), without --type docs (1 file)"
    )


def test_a_filter_that_lets_something_through_is_not_to_blame(kb: KnowledgeBase) -> None:
    assert unmatched(kb, ANYTHING) is None
    assert unmatched(kb, Filter(("src",))) is None


def test_an_empty_index_is_not_the_filters_fault(tmp_path: Path) -> None:
    with KnowledgeBase.open(tmp_path) as kb:
        kb.index()
        assert unmatched(kb, Filter(("src",))) is None


@given(st.text(max_size=8), st.lists(st.text(alphabet="ab/.", min_size=1, max_size=6), max_size=4))
def test_any_glob_has_nearest_ones(glob: str, paths: list[str]) -> None:
    near = nearest_globs(glob, paths)
    assert bool(near) == bool(paths)
    assert len(near) <= 5


# ── on the command line ──


def test_the_command_line_filters(ragkit: Ragkit, project: Path) -> None:
    def paths(*options: str) -> set[str]:
        done = ragkit("search", "squirrel birds weight seeds", project, "--files", *options)
        assert done.code == 0, done.err
        return set(done.out.split())

    assert paths("--path", "src") == {"src/feeder.py", "src/storage.go"}
    assert paths("--path", "*.go", "--path", "*.md") == {"src/storage.go", "README.md"}
    assert paths("--path", "!src", "--type", "docs") == {"README.md", "notes/todo.txt"}
    assert paths("--lang", "py,go") == {"src/feeder.py", "src/storage.go"}
    assert paths("--lang", "md", "--lang", "text") == {
        ".gitignore",
        "README.md",
        "notes/todo.txt",
    }
    assert paths("--newer-than", "1h", "--lang", "go") == {"src/storage.go"}


def test_the_command_line_says_what_would_match(ragkit: Ragkit, project: Path) -> None:
    done = ragkit("search", "squirrel", project, "--path", "scr/*.py")
    assert (done.code, done.out) == (1, "")
    assert done.err == "no indexed file matches --path 'scr/*.py'; nearest: src/*.py (1 file)\n"
    done = ragkit("search", "squirrel", project, "--path", "scr/*.py", "--json")
    assert done.code == 1
    assert json.loads(done.out)["unmatched"] == {
        "message": "no indexed file matches --path 'scr/*.py'",
        "nearest": ["src/*.py (1 file)"],
    }
    fine = ragkit("search", "squirrel", project, "--path", "src", "--json")
    assert "unmatched" not in json.loads(fine.out)


def test_why_not_takes_the_same_filters(ragkit: Ragkit, project: Path) -> None:
    done = ragkit("why-not", "squirrel", "src/feeder.py", project, "--lang", "go", "--json")
    assert done.code == 1, done.err
    assert json.loads(done.out)["verdict"] == "filter"
    assert ragkit("why-not", "squirrel", "src/feeder.py", project, "--lang", "py").code == 0


def test_why_not_knows_the_filters_of_the_configuration(ragkit: Ragkit, project: Path) -> None:
    file = configuration(project, "{type: docs}")
    done = ragkit("why-not", "squirrel", "src/feeder.py", "--config", file, "--json")
    assert json.loads(done.out)["verdict"] == "filter"


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--path", "["), "no path can match '['"),
        (("--path", ""), "empty path"),
        (("--lang", "pyton"), "one of: python"),
        (("--newer-than", "soon"), "neither a duration nor a date"),
        (("--newer-than", ""), "neither a duration nor a date"),
        (("--type", "prose"), "'code', 'docs'"),
    ],
)
def test_a_wrong_option_is_a_usage_error(
    ragkit: Ragkit, project: Path, options: tuple[str, str], words: str
) -> None:
    done = ragkit("search", "squirrel", project, *options)
    assert (done.code, done.out) == (2, "")
    assert words in done.err
    assert "Traceback" not in done.err
