"""Ignore rules, compared with git's own answers."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ragkit.files import find
from ragkit.globs import wildmatch
from ragkit.types import File

pytestmark = pytest.mark.skipif(shutil.which("git") is None, reason="needs git")

NAMES = [
    "a",
    "b",
    "ab",
    "abc",
    "foo",
    "bar",
    "a b",
    "[a]",
    "é",
    "x.log",
    "a*",
    "!n",
    "#h",
    "A",
    "z ",
]
PATTERNS = [
    *("*", "a", "/foo", "foo/", "**/a", "a/**", "!a", "!foo/", "*.log", "!x.log", "foo/*", "/*"),
    *("!foo/bar", "/**/b", "a/**/b", "foo**/bar", "!/a", "a b", "\\#h", "\\!n", "z\\ ", "z ", "#h"),
    *(
        "[[]a[]]",
        "?",
        "??",
        "*a",
        "*/a",
        "a/*/b",
        "a*b*",
        "**",
        "**/",
        "/",
        "!",
        "a//",
        "b/ ",
        "**b",
    ),
    *("[ab]", "[!a]*", "[^b]", "[a-c]", "[c-a]", "[]a]", "[a", "[[:alpha:]]", "[[:foo:]]", "[[:a]"),
    *(
        "[a-]",
        "[-b]",
        "[\\]a]",
        "[a/b]",
        "[!/]",
        "\\",
        "a\\",
        "\\a",
        "a\\/b",
        "a/**/",
        "***",
        "a/***/b",
    ),
    *("*[!o]", "*o*o*", "é", "[[:upper:]]", "a/b/**", "**/foo/**", "!**/foo/**/a"),
]


@pytest.fixture(scope="module")
def environment(tmp_path_factory):
    home = tmp_path_factory.mktemp("home")
    patch = pytest.MonkeyPatch()
    patch.setenv("HOME", str(home))
    patch.setenv("XDG_CONFIG_HOME", str(home / ".config"))
    patch.setenv("GIT_CONFIG_NOSYSTEM", "1")
    patch.delenv("GIT_CONFIG_GLOBAL", raising=False)
    yield
    patch.undo()


@pytest.fixture(scope="module")
def repository(tmp_path_factory, environment):
    """One tree in which every name is a file or a folder on three levels."""
    top = tmp_path_factory.mktemp("git")
    subprocess.run(["git", "init", "-q", str(top)], check=True)
    folders = [Path(name) for name in ("a", "b", "foo", "ab", "a b", "é", "[a]")]
    folders += [Path(one, other) for one in ("a", "foo", "é") for other in ("a", "b", "foo", "bar")]
    for folder in (Path(), *folders):
        (top / folder).mkdir(exist_ok=True)
    for folder in (Path(), *folders):
        for name in NAMES:
            if not (top / folder / name).exists():
                (top / folder / name).write_text("x")
    return top


def listed_by_git(top: Path) -> set[str]:
    listing = subprocess.run(
        ["git", "-C", str(top), "ls-files", "-coz", "--exclude-standard"],
        capture_output=True,
        check=True,
    )
    return {os.fsdecode(name) for name in listing.stdout.split(b"\0") if name}


def found(top: Path) -> set[str]:
    return {item.path for item in find(top) if isinstance(item, File)}


lines = st.lists(st.sampled_from(PATTERNS), max_size=5)
pieces = ["a", "b", "o", "*", "**", "?", "/", "[ab]", "[!a]", "\\*", "\\", "[", "]", "-", "!", "é"]
made_up = st.lists(st.sampled_from(pieces), min_size=1, max_size=6).map("".join)


@settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    ignore_files=st.dictionaries(
        st.sampled_from(["", "a", "foo", "é", "a/b", "foo/bar", ".git/info"]),
        st.one_of(lines, st.lists(made_up, max_size=4)),
        max_size=4,
    ),
    ending=st.sampled_from(["\n", "\r\n"]),
)
def test_the_same_files_are_listed_as_by_git(repository, ignore_files, ending):
    written = []
    try:
        for folder, patterns in ignore_files.items():
            name = "exclude" if folder == ".git/info" else ".gitignore"
            written.append(repository / folder / name)
            written[-1].write_bytes(ending.join([*patterns, "#"]).encode())
        assert found(repository) == listed_by_git(repository)
    finally:
        for path in written:
            path.write_bytes(b"") if path.name == "exclude" else path.unlink()


@pytest.mark.parametrize("pattern", PATTERNS)
def test_each_pattern_decides_as_in_git(repository, pattern):
    path = repository / ".gitignore"
    try:
        path.write_bytes(f"\ufeff{pattern}\n".encode())
        assert found(repository) == listed_by_git(repository)
    finally:
        path.unlink()


def test_a_pattern_full_of_stars_takes_no_time():
    regex = wildmatch("*a" * 30 + "b")
    assert regex is not None
    assert not re.fullmatch(regex, "a" * 250)
