"""Ctrl-C stops within a second or so, says what is done and what is left, and loses nothing."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from test_cli import Ragkit

from ragkit import KnowledgeBase

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="signals of POSIX")


@pytest.fixture
def large(tmp_path: Path) -> Path:
    """Enough to work on for some seconds, with workers."""
    root = tmp_path / "large"
    root.mkdir()
    for i in range(1_500):
        lines = "".join(f"    value_{j} = compute({i}, {j})\n" for j in range(60))
        (root / f"m{i}.py").write_text(f"def f{i}():\n{lines}    return {i}\n")
    return root


def begun(*words: Any, cache: Path) -> subprocess.Popen[str]:
    """The command line in a process that hears Ctrl-C, however the tests were started."""
    line = (
        "import signal; signal.signal(signal.SIGINT, signal.default_int_handler); "
        "from ragkit.cli import main; main()"
    )
    return subprocess.Popen(
        [sys.executable, "-c", line, *map(str, words)],
        env={**os.environ, "RAGKIT_CACHE_DIR": str(cache)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def until_indexed(cache: Path, root: Path, count: int) -> None:
    """Wait until so many files are in the index."""
    ends = time.monotonic() + 60
    while time.monotonic() < ends:
        if any(cache.glob("*.db")):
            with KnowledgeBase.open(root, read_only=True) as kb:
                if len(kb.indexes[0].store.records()) >= count:
                    return
        time.sleep(0.05)
    raise AssertionError("nothing was indexed")


def test_ctrl_c_stops_indexing_soon_and_says_what_is_left(
    large: Path, cache: Path, ragkit: Ragkit
) -> None:
    process = begun("index", large, cache=cache)
    until_indexed(cache, large, 100)
    began = time.monotonic()
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=30)
    assert time.monotonic() - began < 5, "a second on a machine with nothing else to do"
    assert process.returncode == 130
    assert "of 1,500 files are indexed" in errors
    assert "are left; `ragkit index` goes on from here" in errors
    assert "Traceback" not in errors
    assert "leaked" not in errors
    with KnowledgeBase.open(large, read_only=True) as kb:
        store: Any = kb.indexes[0].store
        done = len(store.records())
        assert store.check() == []
    told = json.loads(ragkit("index", large, "--json").out)["summaries"][0]
    assert told["indexed"] == 1_500 - done


def test_ctrl_c_ends_a_watch_as_it_is_meant_to(project: Path, cache: Path) -> None:
    process = begun("watch", project, cache=cache)
    assert process.stdout
    while "watching in" not in (line := process.stdout.readline()):
        assert line, "it ended"
    process.send_signal(signal.SIGINT)
    output, errors = process.communicate(timeout=30)
    assert process.returncode == 0
    assert "stopped; 5 files were indexed" in output
    assert errors == ""


def test_a_terminated_watch_lets_go(project: Path, cache: Path) -> None:
    process = begun("watch", project, cache=cache)
    assert process.stdout
    while "watching in" not in process.stdout.readline():
        pass
    process.terminate()
    output, _ = process.communicate(timeout=30)
    assert "stopped" in output
    with KnowledgeBase.open(project) as kb:
        kb.index(wait=0)
