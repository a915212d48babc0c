"""A walk over a part finds what the whole walk finds there."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ragkit import files
from ragkit.part import Part
from ragkit.types import File


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("tree")
    for path in ("a/b/c.py", "a/b/d.txt", "a/e.md", "ab/f.py", "g.py", "build/h.py", "a/x.log"):
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_text(f"# {path}\n")
    (root / ".git").mkdir()
    (root / ".git" / "HEAD").write_text("ref: refs/heads/main\n")
    (root / ".gitignore").write_text("build/\n*.log\n")
    (root / "a" / ".ragkitignore").write_text("!x.log\n")
    return root


PLACES = ["", "a", "a/b", "a/b/c.py", "ab", "ab/f.py", "g.py", "build", "build/h.py", "none/x"]


@given(
    places=st.sets(st.sampled_from(PLACES)),
    docs=st.sampled_from([(".",), ("a",), ("**/*.py",), ("a/b", "g.py"), ("a/e.md", "ab")]),
)
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
def test_a_part_of_a_walk_is_what_the_walk_finds_there(
    tree: Path, places: set[str], docs: tuple[str, ...]
) -> None:
    part = Part(tree, [str(tree / place) if place else str(tree) for place in places])
    whole = [item for item in files.find(tree, docs) if isinstance(item, File)]
    some = [item for item in files.find(tree, docs, part=part) if isinstance(item, File)]
    assert some == [file for file in whole if part.includes(file.path)]


def test_only_folders_on_the_way_are_listed(tree: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import os

    listed = []
    scandir = os.scandir

    def counted(path: str) -> object:
        listed.append(Path(path).relative_to(tree).as_posix())
        return scandir(path)

    monkeypatch.setattr(os, "scandir", counted)
    list(files.find(tree, part=Part(tree, [str(tree / "a" / "b" / "c.py")])))
    assert listed == [".", "a", "a/b"]


def test_a_name_that_begins_like_another_is_not_in_it(tree: Path) -> None:
    part = Part(tree, [str(tree / "a")])
    assert part.includes("a/b/c.py")
    assert part.includes("a")
    assert not part.includes("ab/f.py")
    assert part.holds(str(tree))
    assert not part.holds(str(tree / "ab"))


def test_places_are_known_by_their_paths_unless_they_are_around_everything(tree: Path) -> None:
    assert Part(tree, [str(tree / "a" / "b")]).paths == ["a/b"]
    assert Part(tree, [str(tree.parent / "beside")]).paths == ["../beside"]
    assert Part(tree, [str(tree / "a"), str(tree)]).paths is None
    assert Part(tree, [str(tree.parent)]).paths is None
