"""Texts come out of the store as they went in, and take less room there."""

from __future__ import annotations

from pathlib import Path

import apsw
import pytest
from contracts.store import D, chunk, record
from hypothesis import example, given
from hypothesis import strategies as st

from ragkit import stores
from ragkit.errors import StoreError
from ragkit.stores.texts import MARK, packed, unpacked
from ragkit.types import Entry

ODD = st.text(st.characters(exclude_categories=()))
"""Anything that Python calls a string: NUL, half surrogate pairs."""


@given(ODD | st.builds(lambda text, times: text * times, ODD, st.integers(0, 50)))
@example("\ud800" * 100)
@example("\ud800")
@example("x\x9c" * 50)
def test_a_text_comes_back_as_it_was(text: str) -> None:
    stored = packed(text)
    assert unpacked(stored) == text
    size = len(stored if isinstance(stored, bytes) else stored.encode())
    assert size <= len(text.encode("utf-8", "surrogatepass")), "never larger than it was"


@given(ODD)
def test_what_an_older_ragkit_stored_plain_is_read(text: str) -> None:
    plain = text.encode("utf-8", "surrogatepass")
    assert unpacked(plain) == text
    assert not plain.startswith(MARK)


def test_code_takes_less_than_half() -> None:
    text = "".join(f"def get_{i}(self):\n    return self.things[{i}]\n" for i in range(20))
    stored = packed(text)
    assert isinstance(stored, bytes)
    assert stored.startswith(MARK)
    assert len(stored) < len(text) / 2


def test_a_text_that_the_disk_has_damaged_is_an_error_that_says_so(tmp_path: Path) -> None:
    store = stores.open(tmp_path / "x.db", "code", "a", D)
    store.replace(record("a"), [Entry(chunk("a", 0, "one two three " * 20))])
    assert store.chunks("a")[0].text == "one two three " * 20
    other = apsw.Connection(str(tmp_path / "x.db"))
    other.execute("update texts_1 set text = substr(text, 1, 20)")
    other.close()
    with pytest.raises(StoreError, match="damaged"):
        store.chunks("a")
    store.close()
