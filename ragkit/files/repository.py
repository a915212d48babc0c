"""What git says about a folder: the repository around it, and the ignore files that apply.

Reads git's files itself and never runs it.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path


def enclosing_repository(path: Path) -> Path | None:
    """The top of the git repository or worktree that `path` lies in; None outside of any."""
    here = Path(os.path.realpath(path))
    return next((folder for folder in (here, *here.parents) if git_folder(str(folder))), None)


def git_folder(top: str) -> str | None:
    """Where git keeps what the worktrees of the repository at `top` share; None if it is none."""
    dot = os.path.join(top, ".git")
    if os.path.isdir(dot):
        return dot if os.path.lexists(os.path.join(dot, "HEAD")) else None
    pointer = read_small(dot)  # a worktree or submodule has a file: `gitdir: ../.git/modules/x`
    if not pointer.startswith(b"gitdir:"):
        return None
    folder = os.path.join(top, os.fsdecode(pointer.removeprefix(b"gitdir:").strip()))
    shared = os.fsdecode(read_small(os.path.join(folder, "commondir")).strip())
    return os.path.join(folder, shared) if os.path.isdir(folder) else None


def exclude_files(git: str) -> Iterator[str]:
    """Ignore files of a repository besides its `.gitignore`; a later one overrules."""
    home = os.path.expanduser("~")
    xdg = os.environ.get("XDG_CONFIG_HOME") or os.path.join(home, ".config")
    configs = [
        os.path.join(git, "config"),
        *(
            [own]
            if (own := os.environ.get("GIT_CONFIG_GLOBAL"))
            else [os.path.join(home, ".gitconfig"), os.path.join(xdg, "git", "config")]
        ),
    ]
    named = next(filter(None, map(_excludes_file, configs)), None)
    yield os.path.expanduser(named) if named else os.path.join(xdg, "git", "ignore")
    yield os.path.join(git, "info", "exclude")


def _excludes_file(config: str) -> str | None:
    """The value of core.excludesFile in one of git's configuration files."""
    section = named = ""
    for line in read_small(config).decode("utf-8", "replace").splitlines():
        if header := re.match(r"\s*\[\s*([^\]]*?)\s*\]", line):
            section = header[1].lower()
        elif section == "core" and (pair := re.match(r"\s*excludesfile\s*=\s*(.*)", line, re.I)):
            value = pair[1].strip()
            quoted = re.match(r'"((?:[^"\\]|\\.)*)"', value)
            named = quoted[1].replace("\\\\", "\\") if quoted else re.split(r"\s*[#;]", value)[0]
    return named or None


def read_small(path: str, limit: int = 10_000_000) -> bytes:
    """The bytes of a regular file that may be absent or unreadable: then b""."""
    try:
        descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0))
        with open(descriptor, "rb") as file:
            return file.read(limit) or b""
    except (OSError, ValueError):  # absent, unreadable, a folder; no possible name
        return b""
