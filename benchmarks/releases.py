"""Releases of others' packages, fetched by name and version from where they are published.

pip, npm and apt-get fetch; the sha256 decides whether it is the release that was meant. Nothing is
installed. (pip asks a source distribution for its metadata, which runs its build definition.)
"""

from __future__ import annotations

import gzip
import hashlib
import io
import subprocess
import sys
import tarfile
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Literal


@dataclass(frozen=True, slots=True)
class Release:
    """One archive: a source distribution, an npm package or a Debian package."""

    source: Literal["pypi", "npm", "debian"]
    name: str
    version: str
    sha256: str

    def command(self, folder: Path) -> list[str]:
        """What downloads it into a folder, run there."""
        match self.source:
            case "pypi":
                pip = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps"]
                pip += ["--disable-pip-version-check", "--no-binary", self.name]
                return [*pip, "--dest", str(folder), f"{self.name}=={self.version}"]
            case "npm":
                return ["npm", "pack", "--silent", f"{self.name}@{self.version}"]
            case "debian":
                return ["apt-get", "download", "-q", f"{self.name}={self.version}"]


def fetch(release: Release, downloads: Path) -> Path:
    """The archive, in a folder of its own; one that is there already is used again.

    Raises SystemExit where its digest is another one, CalledProcessError where it cannot be had.
    """
    folder = downloads / f"{release.name.replace('/', '-')}-{release.version.replace(':', '-')}"
    if not (folder.is_dir() and any(folder.iterdir())):
        folder.mkdir(parents=True, exist_ok=True)
        subprocess.run(release.command(folder), check=True, cwd=folder, stdout=subprocess.DEVNULL)
    (archive,) = (path for path in folder.iterdir() if path.suffix in (".gz", ".tgz", ".deb"))
    found = hashlib.sha256(archive.read_bytes()).hexdigest()
    if found != release.sha256:
        raise SystemExit(f"{archive} is not the release that the judgements were made for: {found}")
    return archive


def members(archive: Path) -> Iterator[tuple[str, bytes]]:
    """Regular files of an archive: path and content, gzipped ones unpacked and named without .gz.

    Paths are those below the top folder of a source distribution or an npm package, and those
    below the root of a Debian package.
    """
    debian = archive.suffix == ".deb"
    with _opened(archive) as packed, tarfile.open(fileobj=packed, mode="r|*") as found:
        for member in found:
            path = member.name.removeprefix("./") if debian else member.name.partition("/")[2]
            content = found.extractfile(member) if member.isreg() and path else None
            if content is None or ".." in path.split("/"):
                continue
            data = content.read()
            if path.endswith((".gz", ".dz")):
                with suppress(OSError, EOFError):  # made to be broken, for somebody's tests
                    path, data = path[:-3], gzip.decompress(data)
            yield path, data


def _opened(archive: Path) -> IO[bytes]:
    if archive.suffix != ".deb":
        return archive.open("rb")
    command = ["dpkg-deb", "--fsys-tarfile", str(archive)]
    return io.BytesIO(subprocess.run(command, check=True, capture_output=True).stdout)
