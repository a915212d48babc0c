"""One process at a time works on a database, and everybody else can say which."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from ragkit.claims import Claim, Holder, claimed
from ragkit.errors import StoreBusy

HOLD = """
import sys, time
from pathlib import Path
from ragkit.claims import Claim
claim = Claim(Path(sys.argv[1]), "index")
assert claim.take()
print("taken", flush=True)
time.sleep(60)
"""


def holding(database: Path) -> subprocess.Popen[str]:
    """A process that has the claim."""
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(database)], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout
    assert process.stdout.readline() == "taken\n"
    return process


def ended(process: subprocess.Popen[str]) -> None:
    process.kill()
    process.communicate()


def test_a_claim_that_another_process_has_names_it(tmp_path: Path) -> None:
    database = tmp_path / "x.db"
    process = holding(database)
    try:
        with (
            pytest.raises(StoreBusy, match=rf"process {process.pid} \(python\), since ..:..:.."),
            claimed([database], "index", wait=0),
        ):
            pass
        with claimed([database], "watch", wait=0):
            pass  # another claim
    finally:
        ended(process)


@pytest.mark.skipif(sys.platform == "win32", reason="no SIGKILL there")
def test_what_a_killed_process_had_is_free(tmp_path: Path) -> None:
    database = tmp_path / "x.db"
    process = holding(database)
    os.kill(process.pid, signal.SIGKILL)
    process.communicate()
    with claimed([database], "index", wait=2):
        assert Claim(database, "index").holder().process == os.getpid()


def test_a_claim_is_waited_for_and_said_once(tmp_path: Path) -> None:
    database = tmp_path / "x.db"
    told: list[Holder] = []
    first = Claim(database, "index")
    assert first.take()
    timer = threading.Timer(0.5, first.release)
    timer.start()
    began = time.monotonic()
    with claimed([database], "index", waiting=lambda path, holder: told.append(holder)):
        assert time.monotonic() - began >= 0.4
    assert [holder.process for holder in told] == [os.getpid()]
    timer.join()


def test_several_databases_are_claimed_together_or_not_at_all(tmp_path: Path) -> None:
    one, two = tmp_path / "a.db", tmp_path / "b.db"
    other = Claim(two, "index")
    assert other.take()
    with pytest.raises(StoreBusy, match=r"b\.db"), claimed([two, one], "index", wait=0):
        pass
    assert Claim(one, "index").take(), "the first was let go"
    other.release()


def test_a_lock_file_that_is_deleted_keeps_nobody_out_for_long(tmp_path: Path) -> None:
    database = tmp_path / "x.db"
    first = Claim(database, "index")
    assert first.take()
    first.path.unlink()
    second = Claim(database, "index")
    assert second.take()  # nothing can be done about that
    assert not Claim(database, "index").take()
    second.release()
    first.release()


@pytest.mark.parametrize("told", ["", "{", "[1]", '{"process": "x"}', "null"])
def test_a_holder_that_cannot_be_read_is_another_process(tmp_path: Path, told: str) -> None:
    claim = Claim(tmp_path / "x.db", "watch")
    claim.path.write_text(told)
    assert str(claim.holder()) == "another process"


def test_where_no_file_can_be_made_nothing_is_claimed(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    claim = Claim(tmp_path / "file" / "x.db", "index")
    assert claim.take()
    claim.release()


def test_arguments_stay_private(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.argv", ["/usr/bin/ragkit", "search", "my secret"])
    claim = Claim(tmp_path / "x.db", "index")
    assert claim.take()
    told = json.loads(claim.path.read_text())
    claim.release()
    assert told["command"] == "ragkit search"
