"""Read the texts of downloaded packages without unpacking them to the disk, and their licences."""

from __future__ import annotations

import json
import re
import tarfile
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from email.parser import HeaderParser
from pathlib import Path, PurePosixPath

_PERMISSIVE = re.compile(
    r"\b(MIT|BSD|Apache|ISC|0BSD|Unlicense|PSF|Python-2\.0|Zlib|HPND|CC0|BSL-1\.0)\b|"
    r"Python Software Foundation|Public Domain",
    re.IGNORECASE,
)
_NOT_PERMISSIVE = re.compile(
    r"\b(A?L?GPL|MPL|EPL|CDDL|EUPL|SSPL|BUSL|CC-BY-NC|Mozilla|Commons Clause|Proprietary)|"
    r"General Public|Business Source|Elastic License|Apache modified",
    re.IGNORECASE,
)
_CODE = {".py", ".js", ".mjs", ".cjs", ".ts", ".tsx", ".jsx"}
_PROSE = {".md", ".rst"}
_LARGEST = 400_000


@dataclass(frozen=True, slots=True)
class Package:
    """One archive: what it is and under which licence it comes."""

    archive: Path
    name: str
    version: str
    licence: str

    @property
    def permissive(self) -> bool:
        return bool(_PERMISSIVE.search(self.licence)) and not _NOT_PERMISSIVE.search(self.licence)


def package(archive: Path) -> Package:
    """Name, version and licence of an archive, by its own metadata."""
    for path, data in _members(archive):
        depth = len(path.parts)
        if path.name == "package.json" and depth == 2:
            about = json.loads(data)
            licence = about.get("license", "")
            name = about["name"].lstrip("@").replace("/", "-").replace(".", "-")
            return Package(archive, name.lower(), about["version"], str(licence))
        if (path.name == "METADATA" and path.parts[0].endswith(".dist-info")) or (
            path.name == "PKG-INFO" and depth == 2
        ):
            return _python_package(archive, data.decode("utf-8", "replace"))
    return Package(archive, archive.name, "", "unknown")


def published_name(archive: Path) -> str:
    """The name to download it by; `package` has a plain form of npm's (`@babel/core`)."""
    for path, data in _members(archive):
        if path.name == "package.json" and len(path.parts) == 2:
            return str(json.loads(data)["name"])
        if path.name in ("METADATA", "PKG-INFO"):
            break
    return package(archive).name


def texts(archive: Path) -> Iterator[tuple[PurePosixPath, str]]:
    """Code and prose of an archive, in order of their paths; a wheel's description as README.md."""
    for path, data in _members(archive):
        if path.name == "METADATA" and path.parts[0].endswith(".dist-info"):
            message = HeaderParser().parsestr(data.decode("utf-8", "replace"))
            suffix = ".rst" if "rst" in message.get("Description-Content-Type", "rst") else ".md"
            yield PurePosixPath("README" + suffix), message.get_payload()
        elif path.suffix in _CODE | _PROSE and len(data) <= _LARGEST:
            try:
                yield path, data.decode("utf-8")
            except UnicodeDecodeError:
                continue


def _python_package(archive: Path, metadata: str) -> Package:
    about = HeaderParser().parsestr(metadata)
    classifiers = [
        c.rpartition(" :: ")[2]
        for c in about.get_all("Classifier", [])
        if c.startswith("License ::")
    ]
    stated = about.get("License-Expression") or about.get("License", "")
    # a licence pasted as a whole mentions others; its first line names it
    licence = "; ".join([stated.strip().split("\n")[0][:100], *classifiers]).strip("; ")
    name = re.sub(r"[-_.]+", "-", about["Name"]).lower()
    return Package(archive, name, about["Version"], licence or "unknown")


def _members(archive: Path) -> Iterator[tuple[PurePosixPath, bytes]]:
    if zipfile.is_zipfile(archive):
        with zipfile.ZipFile(archive) as opened:
            for info in sorted(opened.infolist(), key=lambda info: info.filename):
                path = PurePosixPath(info.filename)
                if _wanted(path, info.file_size):
                    yield path, opened.read(info)
        return
    with tarfile.open(archive) as opened:
        for member in opened:  # in the order of the archive: seeking in gzip would read it anew
            path = PurePosixPath(member.name)
            if member.isfile() and _wanted(path, member.size):
                file = opened.extractfile(member)
                if file is not None:
                    yield path, file.read()


def _wanted(path: PurePosixPath, size: int) -> bool:
    if path.name in ("METADATA", "PKG-INFO", "package.json"):
        return len(path.parts) == 2
    return path.suffix in _CODE | _PROSE and size <= _LARGEST
