"""Fetch the corpora of the three code-localisation sets: `python -m benchmarks.corpora FOLDER`.

Each is the source distribution of a release, fetched by pip by name and version and checked by its
sha256, reduced to the text files that the judgements were made for. pip asks a source distribution
for its metadata, which runs the build definition of the package; nothing is compiled or installed.
The folder must lie outside this repository, whose ignore rules would hold for it too.
"""

from __future__ import annotations

import argparse
import hashlib
import re
import shutil
import subprocess
import sys
import tarfile
from dataclasses import dataclass
from pathlib import Path

from benchmarks import judgements

LARGEST_BYTES = 400_000
KEPT = re.compile(r"\.(py|pyx|pxd|rst|md|txt|toml|cfg|ini)$")
LEFT_OUT = re.compile(
    # change logs would give the answers away
    r"\.egg-info/|(^|/)(changes?|changelog|history)(/.*|[^/]*)\.(rst|md|txt)$|^setup\.cfg$",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True)
class Release:
    """A source distribution: the set's name, the package, its version and its digest."""

    name: str
    version: str
    sha256: str

    @property
    def file_name(self) -> str:
        """In lower case: projects have changed how they write theirs."""
        return f"{self.name}-{self.version}.tar.gz"


RELEASES = (
    Release("celery", "5.3.0", "1eaba5ee14d8c8c0bed8f6063e5e10dabdbcf23503a861cf0e10b7221d99cb0d"),
    Release(
        "sqlfluff", "2.3.0", "bd9d3667db9eaf349665ba1d1cba90b3cbadc106a96f1740d0a1dbb776b4e380"
    ),
    Release(
        "sqlalchemy", "2.0.20", "ca8a5ff2aa7f3ade6c498aaafce25b1eaeabe4e42b73e25519183e4566a16fc6"
    ),
)


def fetch(release: Release, folder: Path) -> Path:
    """The downloaded archive, its digest verified. Raises SystemExit where it is another one."""
    wanted = f"{release.name}=={release.version}"
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check"]
    command += ["--no-deps", "--no-binary", release.name, "--dest", str(folder), wanted]
    subprocess.run(command, check=True)
    archive = next(p for p in folder.iterdir() if p.name.lower() == release.file_name)
    if hashlib.sha256(archive.read_bytes()).hexdigest() != release.sha256:
        raise SystemExit(f"{archive.name} is not the release that the judgements were made for")
    return archive


def unpack(archive: Path, folder: Path) -> int:
    """Write the corpus's files below the folder, in place of what was there; how many."""
    shutil.rmtree(folder, ignore_errors=True)
    written = 0
    with tarfile.open(archive) as members:
        for member in members:
            path = member.name.partition("/")[2]
            content = members.extractfile(member) if _belongs(member, path) else None
            data = content.read() if content else b""
            if not _is_text(data):
                continue
            target = folder / path
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(data)
            written += 1
    return written


def verify(name: str, folder: Path) -> None:
    """Raise SystemExit unless every judged file is there and every span lies inside its file."""
    judged = judgements.load(name)
    for query in judged:
        for path in query.relevant:
            if not (folder / path).is_file():
                raise SystemExit(f"{name}: {path} is judged and missing")
        for path, span in query.spans:
            lines = (folder / path).read_text(encoding="utf-8").count("\n") + 1
            if not 1 <= span.first <= span.last <= lines:
                raise SystemExit(f"{name}: {path} has no lines {span.first}-{span.last}")


def _belongs(member: tarfile.TarInfo, path: str) -> bool:
    return (
        member.isreg()
        and bool(path)
        and ".." not in path.split("/")
        and not re.search(r"\s", path)
        and bool(KEPT.search(path))
        and not LEFT_OUT.search(path)
        and member.size < LARGEST_BYTES
    )


def _is_text(data: bytes) -> bool:
    try:
        return bool(data.decode().strip()) and b"\0" not in data
    except UnicodeDecodeError:
        return False


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path, help="where to; outside this repository")
    folder: Path = parser.parse_args().folder.resolve()
    if folder.is_relative_to(Path(__file__).resolve().parents[1]):
        raise SystemExit("the folder must lie outside this repository: its ignore rules hold there")
    downloads = folder / ".sdist"
    downloads.mkdir(parents=True, exist_ok=True)
    for release in RELEASES:
        files = unpack(fetch(release, downloads), folder / release.name)
        verify(release.name, folder / release.name)
        print(f"{release.name}: {files} files in {folder / release.name}")


if __name__ == "__main__":
    main()
