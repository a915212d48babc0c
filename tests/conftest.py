"""What the tests share: a cache folder of their own, a small project, the command line."""

from __future__ import annotations

import ctypes
import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import pytest
from hypothesis import settings

# before numpy is there: BLAS threads that spin for each other starve where others need the cores
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

# machines differ, and speed has its place in benchmarks/
settings.register_profile("ragkit", deadline=None)
settings.load_profile("ragkit")

pytest_plugins = ["engine.fixtures"]

PROJECT = {
    "README.md": """# Birdhouse

Counts birds at a feeder.

## Install

Run the installer, then plug in the camera.

## Ignore rules

Squirrels are never counted: they are filtered out by weight.
""",
    "src/feeder.py": '''"""The feeder and its scale."""


class Feeder:
    """A feeder with a scale below its perch."""

    def weigh(self, visitor):
        """Grams on the perch, averaged over a second."""
        return sum(self.samples) / len(self.samples)

    def is_squirrel(self, visitor):
        return self.weigh(visitor) > 250


def open_camera(port):
    """Connect to the camera on this port."""
    return Camera(port)
''',
    "src/storage.go": """package storage

// SaveCount writes the number of birds of one day.
func SaveCount(day string, birds int) error {
	return write(day, birds)
}
""",
    "notes/todo.txt": "Buy sunflower seeds.\nMend the roof before winter.\n",
    ".gitignore": "*.log\nbuild/\n",
    "debug.log": "should never be seen\n",
}


@pytest.fixture(autouse=True)
def cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Databases go to a folder of this test."""
    folder = tmp_path_factory.mktemp("cache")
    monkeypatch.setenv("RAGKIT_CACHE_DIR", str(folder))
    return folder


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A small project of a few languages, with an ignore file and a repository's top."""
    root = tmp_path / "birdhouse"
    (root / ".git").mkdir(parents=True)
    (root / ".git" / "HEAD").write_text("ref: refs/heads/main\n")
    for path, text in PROJECT.items():
        file = root / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text, encoding="utf-8")
    return root


@pytest.fixture
def permissions_bind() -> Iterator[None]:
    """Root obeys permissions as everybody does: it gives up the capabilities to override them."""
    if sys.platform == "win32":
        pytest.skip("there, files have no mode")
    if os.geteuid() != 0:
        yield
        return
    if not sys.platform.startswith("linux"):
        pytest.skip("root cannot be bound here")
    libc = ctypes.CDLL(None)
    thread = (ctypes.c_uint32 * 2)(0x20080522, 0)  # version 3, this thread
    sets = (ctypes.c_uint32 * 6)()  # effective, permitted, inheritable; twice
    assert libc.capget(thread, sets) == 0
    effective = sets[0]
    sets[0] = effective & ~(1 << 1 | 1 << 2)  # CAP_DAC_OVERRIDE, CAP_DAC_READ_SEARCH
    assert libc.capset(thread, sets) == 0
    yield
    sets[0] = effective
    assert libc.capset(thread, sets) == 0


class Result(NamedTuple):
    code: int
    out: str
    err: str


@pytest.fixture
def ragkit(capsys: pytest.CaptureFixture[str]) -> Callable[..., Result]:
    """The command line, in this process: exit code, stdout, stderr."""
    from ragkit.cli import main

    def run(*arguments: object) -> Result:
        capsys.readouterr()
        with pytest.raises(SystemExit) as ended:
            main([str(argument) for argument in arguments])
        out, err = capsys.readouterr()
        assert isinstance(ended.value.code, int)
        return Result(ended.value.code, out, err)

    return run


def pytest_report_header() -> str:
    """What breaks first when it changes."""
    import apsw

    return f"sqlite {apsw.sqlite_lib_version()}, apsw {apsw.apsw_version()}"
