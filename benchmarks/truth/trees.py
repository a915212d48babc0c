"""Trees of small files, and what happens to them."""

from __future__ import annotations

import os
import random
import shutil
from pathlib import Path

_WORDS = """anchor barley canal dawn ember ferry gravel harbour island juniper kettle lantern meadow
needle orchard pebble quarry ribbon saddle timber umbrella valley willow yarn zinc amber bridge
copper drift engine falcon garden hammer iron jacket kernel ladder marble north ocean pilot quartz
river signal tunnel upland violet window"""
WORDS = tuple(_WORDS.split())
SUFFIXES = (".py", ".md", ".txt")
RULES = ("*.txt", "sub*/", "new1*.py", "!file1*.txt", "new*/", "# nothing")
QUERIES = (
    "harbour lantern",
    "where does the falcon cross the river?",
    "def kernel_signal",
    "copper ladder meadow pilot",
    "line 17 of the quarry",
)
MASS = 200
"""Files that a change of branch writes at once."""


def sentence(chance: random.Random) -> str:
    """Ten words or so, with a number that hardly comes twice."""
    some = chance.choices(WORDS, k=chance.randint(6, 12))
    return f"{' '.join(some)} {chance.randrange(10**9)}"


def body(chance: random.Random, suffix: str, paragraphs: int) -> str:
    """The text of a file: code, or paragraphs of about 100 characters."""
    if suffix == ".py":
        return "\n\n".join(
            f"def {chance.choice(WORDS)}_{chance.choice(WORDS)}({chance.choice(WORDS)}):\n"
            f'    """{sentence(chance)}"""\n    return {chance.randrange(10**6)}\n'
            for _ in range(paragraphs)
        )
    mark = "# " if suffix == ".md" else ""
    return "\n".join(f"{mark}{sentence(chance)}\n\n{sentence(chance)}\n" for _ in range(paragraphs))


def grow(root: Path, count: int, chance: random.Random, paragraphs: tuple[int, int]) -> None:
    """A tree of so many files with so many paragraphs, in folders two deep, with a `.git`."""
    (root / ".git").mkdir(parents=True, exist_ok=True)
    for number in range(count):
        suffix = SUFFIXES[number % len(SUFFIXES)]
        path = root / f"top{number % 4}" / f"sub{number % 7}" / f"file{number}{suffix}"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(body(chance, suffix, chance.randint(*paragraphs)), encoding="utf-8")


def spread_out(root: Path, count: int) -> None:
    """A tree of so many files of 300 bytes or so, a hundred in a folder, three folders deep."""
    chance = random.Random(1)
    (root / ".git").mkdir(parents=True)
    for number in range(count):
        path = spread_path(root, number)
        if number % 100 == 0:
            path.parent.mkdir(parents=True)
        path.write_text(body(chance, ".py", 2), encoding="utf-8")


def spread_path(root: Path, number: int) -> Path:
    """The nth file of such a tree."""
    folder = root / f"a{number // 10_000}" / f"b{number // 1_000 % 10}" / f"c{number // 100}"
    return folder / f"f{number}.py"


def files(root: Path) -> list[Path]:
    """All files but git's, in order."""
    return sorted(p for p in root.rglob("*") if p.is_file() and ".git" not in p.parts)


def _folders(root: Path) -> list[Path]:
    found = sorted(p for p in root.rglob("*") if p.is_dir() and ".git" not in p.parts)
    return [root, *found]


def changed(path: Path, chance: random.Random) -> str:
    """The text of a file with one more line somewhere."""
    lines = path.read_text(encoding="utf-8").split("\n")
    lines.insert(chance.randrange(len(lines) + 1), f"# line {sentence(chance)}")
    return "\n".join(lines)


def edit(root: Path, chance: random.Random, number: int) -> str:
    """The nth random thing that happens to a tree; what it was."""
    kinds = ("write", "append", "insert", "atomic", "rename", "move", "delete", "chmod", "rules")
    weights = (20, 12, 16, 16, 10, 4, 8, 8, 5)
    kind = "branch" if chance.random() < 0.01 else chance.choices(kinds, weights)[0]
    there = files(root)
    some = chance.choice(there) if there else None
    new = chance.choice(_folders(root)) / f"new{number}{chance.choice(SUFFIXES)}"
    if kind == "write" or some is None:
        new.write_text(body(chance, new.suffix, chance.randint(1, 30)), encoding="utf-8")
        return "write"
    match kind:
        case "append":
            with open(some, "a", encoding="utf-8") as file:
                file.write(f"# at the end {sentence(chance)}\n")
        case "insert":
            some.write_text(changed(some, chance), encoding="utf-8")
        case "atomic":
            save(some, changed(some, chance))
        case "rename":
            some.rename(new.with_suffix(some.suffix))
        case "move":
            _move(root, chance, number)
        case "delete":
            some.unlink()
        case "chmod":
            some.chmod(chance.choice((0o644, 0o600, 0o755)))
        case "rules":
            name = chance.choice((".gitignore", ".ragkitignore"))
            (chance.choice(_folders(root)) / name).write_text(f"{chance.choice(RULES)}\n")
        case "branch":
            branch(root, chance, MASS)
    return kind


def save(path: Path, text: str) -> None:
    """Put a file in the place of another, as editors do."""
    beside = path.with_name(f".{path.name}.swp")
    beside.write_text(text, encoding="utf-8")
    os.replace(beside, path)


def branch(root: Path, chance: random.Random, count: int) -> None:
    """Change many files at once: most are written anew, some go, some come; all rules go."""
    for path in files(root):
        if path.name in (".gitignore", ".ragkitignore"):
            path.unlink()
    there = files(root)
    for path in chance.sample(there, min(count, len(there))):
        if chance.random() < 0.1:
            path.unlink()
        else:
            path.write_text(changed(path, chance), encoding="utf-8")
    if len(there) < count:
        grow(root, count, chance, (1, 30))


def _move(root: Path, chance: random.Random, number: int) -> None:
    """Move a folder into another one, or rename it."""
    folders = _folders(root)
    moved, into = chance.choice(folders), chance.choice(folders)
    if moved != root and moved != into and moved not in into.parents:
        shutil.move(moved, into / f"sub{number}")
