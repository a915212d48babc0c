"""Which files are found, which are not, and the reason given for each."""

from __future__ import annotations

import inspect
import os
import socket
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from ragkit.files import enclosing_repository, find
from ragkit.types import File, Skip


@pytest.fixture(autouse=True)
def no_rules_of_the_user(tmp_path_factory, monkeypatch):
    home = tmp_path_factory.mktemp("home")
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(home / ".config"))
    monkeypatch.delenv("GIT_CONFIG_GLOBAL", raising=False)
    return home


def plant(root: Path, *paths: str) -> None:
    for path in paths:
        place = root / path
        place.parent.mkdir(parents=True, exist_ok=True)
        if path.endswith("/"):
            place.mkdir(exist_ok=True)
        else:
            place.write_text("text\n")


def write(root: Path, path: str, text: str) -> None:
    place = root / path
    place.parent.mkdir(parents=True, exist_ok=True)
    place.write_text(text)


def repository(root: Path) -> None:
    write(root, ".git/HEAD", "ref: refs/heads/main\n")


def found(root: Path, docs: Sequence[str] = (".",), **options: object) -> list[str]:
    return [item.path for item in find(root, docs, **options) if isinstance(item, File)]


def skipped(root: Path, docs: Sequence[str] = (".",), **options: object) -> dict[str, str]:
    items = find(root, docs, **options)
    return {item.path: f"{item.rule}: {item.detail}" for item in items if isinstance(item, Skip)}


def test_files_come_in_the_order_of_their_paths(tmp_path):
    plant(tmp_path, "b.py", "a/z.py", "a/b/c.py", "a.py", "B.py")
    assert found(tmp_path) == ["B.py", "a/b/c.py", "a/z.py", "a.py", "b.py"]


def test_a_file_says_where_it_is_and_its_stamp(tmp_path):
    plant(tmp_path, "a/b.py")
    (file,) = find(tmp_path)
    status = (tmp_path / "a/b.py").stat()
    assert file == File(
        "a/b.py", str(tmp_path.resolve() / "a/b.py"), status.st_size, status.st_mtime_ns
    )


def test_nothing_is_opened_but_ignore_files(tmp_path):
    plant(tmp_path, "secret.py")
    (tmp_path / "secret.py").chmod(0)
    assert found(tmp_path) == ["secret.py"]


class TestIgnoreFiles:
    def test_each_skip_names_the_line_that_decided(self, tmp_path):
        write(tmp_path, ".gitignore", "# logs\n\n*.log\n")
        write(tmp_path, "a/.gitignore", "/made/\n")
        plant(tmp_path, "x.log", "a/made/deep/y.py", "a/y.py")
        assert skipped(tmp_path) == {
            "x.log": "ignored: .gitignore:3: *.log",
            "a/made": "ignored: a/.gitignore:1: /made/",
        }

    def test_rules_above_the_root_count_up_to_the_top_of_the_repository(self, tmp_path):
        write(tmp_path, ".gitignore", "*.py\n")  # above the repository
        repository(tmp_path / "top")
        write(tmp_path, "top/.gitignore", "*.log\n/a/b/made\n")
        write(tmp_path, "top/a/.gitignore", "*.tmp\n")
        plant(tmp_path, "top/a/b/x.log", "top/a/b/x.tmp", "top/a/b/x.py", "top/a/b/made/y.py")
        assert found(tmp_path / "top/a/b") == ["x.py"]
        assert skipped(tmp_path / "top/a/b")["x.log"] == "ignored: ../../.gitignore:1: *.log"

    def test_outside_a_repository_they_count_from_the_root_down(self, tmp_path):
        write(tmp_path, ".gitignore", "*.py\n")
        write(tmp_path, "a/.gitignore", "*.log\n")
        plant(tmp_path, "a/x.py", "a/x.log")
        assert found(tmp_path / "a") == [".gitignore", "x.py"]

    def test_without_vcs_rules_only_our_own_count(self, tmp_path):
        repository(tmp_path)
        write(tmp_path, ".gitignore", "*.log\n")
        write(tmp_path, ".ragkitignore", "*.tmp\n")
        plant(tmp_path, "x.log", "x.tmp")
        hidden = [".gitignore", ".ragkitignore"]
        assert found(tmp_path, respect_vcs=False) == [*hidden, "x.log"]
        assert found(tmp_path) == hidden

    def test_our_own_rules_bring_back_what_git_or_we_leave_out(self, tmp_path):
        write(tmp_path, ".gitignore", "build/\n*.log\n")
        write(tmp_path, ".ragkitignore", "!build/\n!/node_modules/\n!yarn.lock\n!.git/\n")
        repository(tmp_path)
        plant(tmp_path, "build/x.py", "build/x.log", "node_modules/y.js", "yarn.lock")
        plant(tmp_path, "a/node_modules/y.js")
        assert found(tmp_path) == [
            *(".gitignore", ".ragkitignore", "build/x.py", "node_modules/y.js", "yarn.lock")
        ]

    def test_the_repositorys_and_the_users_own_excludes_count(self, tmp_path, no_rules_of_the_user):
        repository(tmp_path)
        write(tmp_path, ".git/info/exclude", "*.one\n")
        write(no_rules_of_the_user, ".config/git/ignore", "*.two\n")
        plant(tmp_path, "x.one", "x.two", "x.three")
        assert found(tmp_path) == ["x.three"]
        write(no_rules_of_the_user, ".gitconfig", "[core]\n\texcludesFile = ~/mine # here\n")
        write(no_rules_of_the_user, "mine", "*.three\n")
        assert found(tmp_path) == ["x.two"]

    def test_a_worktree_has_the_excludes_of_its_repository(self, tmp_path):
        repository(tmp_path / "main")
        write(tmp_path, "main/.git/info/exclude", "*.log\n")
        write(tmp_path, "main/.git/worktrees/w/commondir", "../..\n")
        write(tmp_path, "w/.git", f"gitdir: {tmp_path}/main/.git/worktrees/w\n")
        plant(tmp_path, "w/x.log", "w/x.py")
        assert found(tmp_path / "w") == ["x.py"]

    def test_a_repository_inside_has_rules_of_its_own(self, tmp_path):
        repository(tmp_path)
        repository(tmp_path / "inner")
        write(tmp_path, ".gitignore", "*.log\n/away/\n")
        write(tmp_path, ".ragkitignore", "*.tmp\n")
        write(tmp_path, "inner/.gitignore", "*.py\n")
        repository(tmp_path / "away")
        plant(tmp_path, "x.log", "inner/x.log", "inner/x.py", "inner/x.tmp", "away/x.py")
        assert found(tmp_path) == [".gitignore", ".ragkitignore", "inner/.gitignore", "inner/x.log"]

    def test_generated_and_vendored_files_are_left_out(self, tmp_path):
        lines = "*.pb.py linguist-generated\nlib/** linguist-vendored=true -diff\n"
        write(tmp_path, ".gitattributes", lines + "lib/ours.py -linguist-vendored\n* text=auto\n")
        plant(tmp_path, "x.pb.py", "lib/theirs.py", "lib/ours.py", "x.py")
        assert found(tmp_path) == [".gitattributes", "lib/ours.py", "x.py"]
        assert skipped(tmp_path)["lib/theirs.py"] == (
            "generated: .gitattributes:2: lib/** linguist-vendored=true -diff"
        )

    def test_an_unreadable_or_binary_ignore_file_stops_nothing(self, tmp_path):
        (tmp_path / ".gitignore").write_bytes(b"\xff\xfe\x00*\n[\n")
        (tmp_path / ".ragkitignore").mkdir()
        plant(tmp_path, "x.py")
        assert "x.py" in found(tmp_path)


class TestDefaults:
    @pytest.mark.parametrize(
        "path",
        [
            *(".git/config", ".hg/x", "node_modules/x.js", "a/node_modules/x.js", ".venv/x.py"),
            *("__pycache__/x.py", ".mypy_cache/x.json", ".idea/x.xml", "x.egg-info/PKG-INFO"),
            *(".DS_Store", "package-lock.json", "a/uv.lock", "x.min.js", "x.css.map"),
            *("x.png", "X.JPG", "x.pyc", "x.sqlite3", "x.tar.gz"),
        ],
    )
    def test_is_left_out(self, tmp_path, path):
        plant(tmp_path, path)
        assert found(tmp_path) == []
        assert len(skipped(tmp_path)) == 1

    @pytest.mark.parametrize(
        "path",
        [
            *("build/x.py", "dist/x.py", "output/x.py", "target/x.rs", "vendor/x.go", "env/x.py"),
            *(".github/workflows/ci.yml", ".config.py", "cache/x.py", "lock.py", "Makefile"),
            *("venv/x.py", "bin/run", "png", "a.b/x.py"),
        ],
    )
    def test_is_not_left_out(self, tmp_path, path):
        plant(tmp_path, path)
        assert found(tmp_path) == [path]

    def test_environments_and_caches_are_known_by_what_they_hold(self, tmp_path):
        plant(tmp_path, "env/pyvenv.cfg", "env/x.py", "conda/conda-meta/", "conda/x.py")
        write(tmp_path, "made/CACHEDIR.TAG", "Signature: 8a477f597d28d172789f06886806bc55\n")
        write(tmp_path, "real/CACHEDIR.TAG", "not one\n")
        plant(tmp_path, "made/x.py", "real/x.py")
        assert found(tmp_path) == ["real/CACHEDIR.TAG", "real/x.py"]
        assert skipped(tmp_path)["env"] == "default: a virtual environment (pyvenv.cfg)"

    def test_an_environment_that_is_asked_for_is_searched(self, tmp_path):
        plant(tmp_path, "env/pyvenv.cfg", "env/x.py")
        assert found(tmp_path / "env") == ["pyvenv.cfg", "x.py"]

    def test_our_own_databases_are_left_out_whatever_their_names(self, tmp_path):
        plant(tmp_path, "index", "index-wal", "index-shm", "index.py")
        link = tmp_path.parent / f"{tmp_path.name}-link"
        link.symlink_to(tmp_path)
        assert found(tmp_path, own=(link / "index",)) == ["index.py"]


class TestKinds:
    def test_too_large_says_both_sizes(self, tmp_path):
        plant(tmp_path, "small.txt")
        with open(tmp_path / "large.txt", "wb") as file:
            file.truncate(2_100_000_000)
        assert skipped(tmp_path) == {"large.txt": "too-large: 2.1 GB, limit 1 MB"}
        assert skipped(tmp_path, max_bytes=4)["small.txt"] == "too-large: 5 B, limit 4 B"

    def test_a_notebook_may_be_larger(self, tmp_path):
        write(tmp_path, "a.ipynb", "x" * 2_000_000)
        assert found(tmp_path) == ["a.ipynb"]

    def test_an_empty_file_has_nothing_to_find(self, tmp_path):
        (tmp_path / "a.py").touch()
        assert skipped(tmp_path) == {"a.py": "empty: 0 bytes"}

    def test_what_is_no_file_is_not_opened(self, tmp_path, monkeypatch):
        os.mkfifo(tmp_path / "fifo")
        monkeypatch.chdir(tmp_path)  # a socket's path must be short
        with socket.socket(socket.AF_UNIX) as server:
            server.bind("socket")
            assert skipped(tmp_path) == {"fifo": "special: a FIFO", "socket": "special: a socket"}

    def test_links_are_not_followed(self, tmp_path):
        root = tmp_path / "root"
        plant(root, "a/x.py")
        plant(tmp_path, "outside/y.py")
        (root / "file").symlink_to("a/x.py")
        (root / "loop").symlink_to(".")
        (root / "self").symlink_to("self")
        (root / "gone").symlink_to("nowhere")
        (root / "out").symlink_to(tmp_path / "outside")
        assert found(root) == ["a/x.py"]
        reasons = skipped(root)
        assert reasons["file"] == "symlink: → a/x.py: found under its own name"
        assert reasons["loop"] == "symlink: → .: found under its own name"
        assert reasons["self"] == "symlink: → self: links in a circle"
        assert reasons["gone"] == "symlink: → nowhere: nothing is there"
        assert reasons["out"].endswith("outside; name it in docs to index it")

    def test_an_unreadable_folder_does_not_stop_the_walk(self, tmp_path, permissions_bind):
        plant(tmp_path, "a/x.py", "b/x.py")
        (tmp_path / "a").chmod(0)
        try:
            assert found(tmp_path) == ["b/x.py"]
            assert skipped(tmp_path) == {"a": "unreadable: permission denied"}
        finally:
            (tmp_path / "a").chmod(0o700)

    def test_a_folder_that_cannot_be_listed_does_not_stop_the_walk(self, tmp_path, monkeypatch):
        plant(tmp_path, "a/x.py", "b/x.py")
        scandir = os.scandir

        def failing(path):
            if str(path).endswith("/a"):
                raise PermissionError(13, "Permission denied", path)
            return scandir(path)

        monkeypatch.setattr(os, "scandir", failing)
        assert found(tmp_path) == ["b/x.py"]
        assert skipped(tmp_path) == {"a": "unreadable: permission denied"}

    def test_a_name_that_is_not_utf8_is_reported(self, tmp_path):
        try:
            (tmp_path / os.fsdecode(b"caf\xe9.py")).write_text("x")
        except OSError:
            pytest.skip("this file system has UTF-8 names only")
        plant(tmp_path, "café.py")
        assert found(tmp_path) == ["café.py"]
        assert skipped(tmp_path) == {"caf\\udce9.py": "unreadable: its name is not UTF-8"}

    def test_a_tree_deeper_than_the_limit_of_calls_is_walked(self, tmp_path):
        plant(tmp_path, "d/" * 150 + "x.py")
        limit = sys.getrecursionlimit()
        sys.setrecursionlimit(len(inspect.stack()) + 100)
        try:
            assert found(tmp_path) == ["d/" * 150 + "x.py"]
        finally:
            sys.setrecursionlimit(limit)


class TestDocs:
    def test_files_and_folders_are_taken_once(self, tmp_path):
        plant(tmp_path, "a/x.py", "a/y.py", "b/x.py", "c.md")
        assert found(tmp_path, ["c.md", "./a", "a/x.py", "a/"]) == ["a/x.py", "a/y.py", "c.md"]

    def test_places_outside_the_root_are_named_from_it(self, tmp_path, no_rules_of_the_user):
        plant(tmp_path, "root/x.py", "other/y.py", "other/sub/z.py")
        root = tmp_path / "root"
        assert found(root, ["../other"]) == ["../other/sub/z.py", "../other/y.py"]
        assert found(root, [str(tmp_path / "other/y.py"), "."]) == ["../other/y.py", "x.py"]
        assert found(root, ["../other/*.py"]) == ["../other/y.py"]
        plant(no_rules_of_the_user, "notes/n.md")
        assert found(no_rules_of_the_user, ["~/notes"]) == ["notes/n.md"]

    @pytest.mark.parametrize(
        ("glob", "expected"),
        [
            ("*.py", ["x.py"]),
            ("**/*.py", ["a/b/x.py", "a/x.py", "x.py"]),
            ("a/*.py", ["a/x.py"]),
            ("a/**", ["a/b/x.md", "a/b/x.py", "a/x.py"]),
            ("a/*", ["a/b/x.md", "a/b/x.py", "a/x.py"]),
            ("*/b", None),
            ("*/b*", ["a/b/x.md", "a/b/x.py"]),
            ("**/x.{md,py}", ["a/b/x.md", "a/b/x.py", "a/x.py", "x.py"]),
            ("?.p[xy]", ["x.py"]),
            ("[!x]*/**/*.md", ["a/b/x.md"]),
        ],
    )
    def test_globs(self, tmp_path, glob, expected):
        plant(tmp_path, "x.py", "a/x.py", "a/b/x.py", "a/b/x.md")
        assert found(tmp_path, [glob]) == (expected or ["a/b/x.md", "a/b/x.py"])

    def test_a_name_that_looks_like_a_glob_is_a_name_if_it_is_there(self, tmp_path):
        plant(tmp_path, "[id].tsx", "i.tsx")
        assert found(tmp_path, ["[id].tsx"]) == ["[id].tsx"]
        assert found(tmp_path, ["[i].tsx"]) == ["i.tsx"]

    def test_a_folder_out_of_a_globs_reach_is_not_listed(self, tmp_path, monkeypatch):
        plant(tmp_path, "a/x.py", "b/deep/x.py")
        listed = []
        scandir = os.scandir
        monkeypatch.setattr(os, "scandir", lambda path: listed.append(path) or scandir(path))
        assert found(tmp_path, ["a*/*.py"]) == ["a/x.py"]
        assert [os.path.basename(path) for path in listed] == [tmp_path.name, "a"]

    @pytest.mark.parametrize("entry", ["nothing", "nothing/*.py", "*.rs", "x.py/y", "a\0b"])
    def test_what_is_not_there_is_missing(self, tmp_path, entry):
        plant(tmp_path, "x.py")
        assert skipped(tmp_path, [entry])[entry].startswith("missing: ")

    def test_a_root_that_is_not_there_is_missing(self, tmp_path):
        assert skipped(tmp_path / "nothing") == {".": "missing: no such file or folder"}

    def test_what_is_named_is_taken_though_it_is_ignored(self, tmp_path):
        repository(tmp_path)
        write(tmp_path, ".gitignore", "made/\n*.txt\n")
        plant(tmp_path, "made/x.py", "made/x.txt", "made/node_modules/x.js", "notes.txt")
        assert found(tmp_path, ["made", "notes.txt"]) == ["made/x.py", "notes.txt"]
        assert found(tmp_path, ["made/*.py"]) == ["made/x.py"]
        assert found(tmp_path, ["*.txt"]) == []
        assert found(tmp_path / "made") == ["x.py"]

    def test_a_named_link_is_followed(self, tmp_path):
        plant(tmp_path, "root/x.py", "outside/y.py")
        (tmp_path / "root/link").symlink_to(tmp_path / "outside")
        assert found(tmp_path / "root", ["link"]) == ["../outside/y.py"]
        (tmp_path / "root/again").symlink_to("x.py")
        assert found(tmp_path / "root", [".", "again"]) == ["x.py"]

    def test_a_named_file_must_still_be_a_text(self, tmp_path):
        plant(tmp_path, "x.png", "index.db")
        os.mkfifo(tmp_path / "fifo")
        reasons = skipped(tmp_path, ["x.png", "fifo", "index"], own=[tmp_path / "index"])
        assert reasons["x.png"] == "binary: *.png"
        assert reasons["fifo"] == "special: a FIFO"


def test_the_enclosing_repository_is_found_from_anywhere_in_it(tmp_path):
    repository(tmp_path / "top")
    plant(tmp_path, "top/a/b/x.py", "top/a/.git/", "alone/x.py")
    top = (tmp_path / "top").resolve()
    for path in ("top", "top/a", "top/a/b/x.py", "top/not/there"):
        assert enclosing_repository(tmp_path / path) == top
    assert enclosing_repository(tmp_path / "alone") is None
