"""Packs: what one has embedded, others need not; no text is in them, no other model uses them."""

from __future__ import annotations

import json
import random
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from contracts.store import record
from hypothesis import given, settings
from hypothesis import strategies as st
from test_cli import Ragkit

from ragkit import KnowledgeBase, stores
from ragkit.errors import ConfigError, StoreError, StoreMismatch
from ragkit.stores import packing
from ragkit.types import Chunk, Entry


def filled(path: Path, count: int, dimensions: int = 32, **options: Any) -> Any:
    """A store with so many different vectors."""
    store = stores.open(path, "code", "a", dimensions, **options)
    chance = np.random.default_rng(1)
    rows = chance.standard_normal((count, dimensions)).astype(np.float32)
    for at in range(0, count, 500):
        entries = [
            Entry(Chunk(f"f{at}", i, "text", i, i + 4, 1, 1), None, row.tobytes()[:16], row)
            for i, row in enumerate(rows[at : at + 500])
        ]
        store.replace(record(f"f{at}"), entries)
    store.complete()
    return store


def known(store: Any, count: int = 10, dimensions: int = 32) -> Any:
    rows = np.random.default_rng(1).standard_normal((count, dimensions)).astype(np.float32)
    return store.known([row.tobytes()[:16] for row in rows])


@pytest.mark.parametrize("precision", ["int8", "float32"])
def test_what_is_packed_is_what_is_unpacked(tmp_path: Path, precision: Any) -> None:
    one = filled(tmp_path / "a.db", 9_000, precision=precision)
    manifest = one.pack(tmp_path / "pack", "model 1")
    assert manifest.embeddings == 9_000
    assert len(manifest.parts) == 64
    other = stores.open(tmp_path / "b.db", "code", "a", 32, precision=precision)
    assert other.unpack(tmp_path / "pack", "model 1") == (9_000, 9_000)
    assert other.unpack(tmp_path / "pack", "model 1") == (0, 9_000)
    theirs, ours = known(other, 9_000), known(one, 9_000)
    assert len(theirs) == 9_000
    assert all(np.array_equal(theirs[key], ours[key]) for key in ours)
    assert other.check() == []
    other.close()
    one.close()


def test_the_same_embeddings_are_the_same_files_and_few_changes_few_new_ones(
    tmp_path: Path,
) -> None:
    one = filled(tmp_path / "a.db", 20_000)
    first = one.pack(tmp_path / "one", "m")
    assert one.pack(tmp_path / "two", "m") == first
    changed = np.random.default_rng(9).standard_normal((3, 32)).astype(np.float32)
    entries = [
        Entry(Chunk("new", i, "text", i, i + 4, 1, 1), None, row.tobytes()[:16], row)
        for i, row in enumerate(changed)
    ]
    one.replace(record("new"), entries)
    second = one.pack(tmp_path / "one", "m")
    assert len({*second.parts} - {*first.parts}) <= 3
    assert {p.name for p in (tmp_path / "one").iterdir()} == {
        "manifest.json",
        *(name for name, _ in (*first.parts, *second.parts)),
    }
    one.pack(tmp_path / "one", "m")
    assert len(list((tmp_path / "one").iterdir())) == len(second.parts) + 1, "older parts go"
    one.close()


@given(count=st.integers(1, 60), part=st.integers(1, 20))
@settings(max_examples=20, deadline=None)
def test_any_number_of_embeddings_in_parts_of_any_size(
    tmp_path_factory: pytest.TempPathFactory, count: int, part: int
) -> None:
    folder = tmp_path_factory.mktemp("pack")
    before = packing.PART
    packing.PART = part
    try:
        one = filled(folder / "a.db", count)
        assert one.pack(folder / "pack", "m").embeddings == count
        other = stores.open(folder / "b.db", "code", "a", 32)
        assert other.unpack(folder / "pack", "m") == (count, count)
        other.close()
        one.close()
    finally:
        packing.PART = before


def test_vectors_of_both_precisions_are_packed_as_int8(tmp_path: Path) -> None:
    one = filled(tmp_path / "a.db", 100)
    finer = stores.open(tmp_path / "a.db", "code", "finer", 32, precision="float32")
    row = np.ones(32, np.float32)
    finer.replace(record("x"), [Entry(Chunk("x", 0, "t", 0, 1, 1, 1), None, b"k" * 16, row)])
    one.replace(record("both"), [Entry(Chunk("both", 0, "t", 0, 1, 1, 1), None, b"k" * 16, row)])
    manifest = one.pack(tmp_path / "pack", "m")
    other = stores.open(tmp_path / "b.db", "code", "a", 32)
    assert other.unpack(tmp_path / "pack", "m")[0] == manifest.embeddings == 101
    for store in (one, finer, other):
        store.close()


def test_a_pack_of_another_model_is_refused(tmp_path: Path) -> None:
    one = filled(tmp_path / "a.db", 10)
    one.pack(tmp_path / "pack", "model 1")
    with pytest.raises(StoreMismatch, match="made with another model: model 1 of 32"):
        one.unpack(tmp_path / "pack", "model 2")
    other = stores.open(tmp_path / "b.db", "code", "a", 64)
    with pytest.raises(StoreMismatch, match="with model 1 of 64"):
        other.unpack(tmp_path / "pack", "model 1")
    other.close()
    one.close()


def damage(folder: Path, how: str) -> None:
    part = next(p for p in folder.iterdir() if len(p.name) == 64)
    manifest = folder / "manifest.json"
    told = json.loads(manifest.read_text())
    match how:
        case "flipped":
            content = bytearray(part.read_bytes())
            content[len(content) // 2] ^= 1
            part.write_bytes(content)
        case "short":
            part.write_bytes(part.read_bytes()[:-5])
        case "missing":
            part.unlink()
        case "no manifest":
            manifest.unlink()
        case "no JSON":
            manifest.write_text("{")
        case "newer":
            manifest.write_text(json.dumps({**told, "ragkit_pack": 99}))
        case "elsewhere":
            told["parts"][0]["sha256"] = "../../etc/passwd"
            manifest.write_text(json.dumps(told))
        case "nothing":
            manifest.write_text(json.dumps({**told, "parts": [{"sha256": "0" * 64}]}))


@pytest.mark.parametrize(
    "how",
    ["flipped", "short", "missing", "no manifest", "no JSON", "newer", "elsewhere", "nothing"],
)
def test_a_damaged_pack_is_refused_and_what_was_sound_stays(tmp_path: Path, how: str) -> None:
    one = filled(tmp_path / "a.db", 9_000)
    one.pack(tmp_path / "pack", "m")
    damage(tmp_path / "pack", how)
    other = stores.open(tmp_path / "b.db", "code", "a", 32)
    with pytest.raises(StoreError) as caught:
        other.unpack(tmp_path / "pack", "m")
    assert caught.value.remedy
    assert other.check() == []
    other.close()
    one.close()


def test_values_that_no_model_makes_are_refused(tmp_path: Path) -> None:
    import hashlib

    row = bytes(32) + np.float32("nan").tobytes()
    content = b"k" * 16 + row
    name = hashlib.sha256(content).hexdigest()
    (tmp_path / name).write_bytes(content)
    told = {"ragkit_pack": 1, "model": "m", "dimensions": 32, "embeddings": 1}
    parts = [{"sha256": name, "embeddings": 1}]
    (tmp_path / "manifest.json").write_text(json.dumps({**told, "parts": parts}))
    store = stores.open(tmp_path / "b.db", "code", "a", 32)
    with pytest.raises(StoreError, match="cannot be vectors"):
        store.unpack(tmp_path, "m")
    store.close()


# ── as users have them ──


def test_a_clone_that_unpacks_embeds_only_what_is_new(
    ragkit: Ragkit, project: Path, tmp_path: Path
) -> None:
    ragkit("index", project)
    done = ragkit("pack", tmp_path / "pack", project)
    assert done.code == 0
    assert "embeddings of" in done.out
    clone = tmp_path / "clone"
    shutil.copytree(project, clone)
    (clone / "new.md").write_text("# Jackdaw\n\nJackdaws like chimneys.\n")
    done = ragkit("unpack", tmp_path / "pack", clone)
    assert done.code == 0
    assert " were new" in done.out
    told = json.loads(ragkit("index", clone, "--json").out)
    assert told["summaries"][0]["embedded"] == 1
    again = json.loads(ragkit("unpack", tmp_path / "pack", clone, "--json").out)
    assert again["packs"][0]["new"] == 0


def test_no_text_and_no_path_is_in_a_pack(ragkit: Ragkit, project: Path, tmp_path: Path) -> None:
    ragkit("index", project)
    ragkit("pack", tmp_path / "pack", project)
    for path in (tmp_path / "pack").rglob("*"):
        if path.is_file():
            content = path.read_bytes().lower()
            for word in (b"squirrel", b"feeder", b"sunflower", b"birdhouse", b"storage.go"):
                assert word not in content


def test_what_cannot_be_packed_or_unpacked_is_said(
    ragkit: Ragkit, project: Path, tmp_path: Path
) -> None:
    done = ragkit("pack", tmp_path / "pack", project)
    assert done.code == 2
    assert "ragkit index" in done.err
    done = ragkit("unpack", tmp_path / "nowhere", project)
    assert done.code == 2
    assert "there is no pack of" in done.err
    (tmp_path / "a file").write_text("")
    ragkit("index", project)
    done = ragkit("pack", tmp_path / "a file", project)
    assert done.code == 2
    assert "cannot be written" in done.err
    config = project / "ragkit.yaml"
    config.write_text("rag: {words: {docs: [.], strategies: [{type: bm25, limit: 5}]}}\n")
    with KnowledgeBase.open(project) as kb, pytest.raises(ConfigError, match="by words alone"):
        kb.pack_embeddings(tmp_path / "pack")


def test_a_clone_fifty_commits_away_finds_most_of_its_chunks(
    project: Path, tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    chance = random.Random(3)
    words = "birds seeds perch weight camera roof winter count feeder scale port day".split()  # noqa: SIM905

    def function(i: int) -> str:
        body = "".join(f"    x{j} = '{' '.join(chance.choices(words, k=8))}'\n" for j in range(30))
        return f"def f{i}():\n{body}    return x0\n\n\n"

    functions = {i: [function(n) for n in range(i, i + 5)] for i in range(0, 1_000, 5)}

    def written() -> None:
        for i, some in functions.items():
            (project / f"m{i}.py").write_text("".join(some))

    written()
    with KnowledgeBase.open(project) as kb:
        kb.index()
        kb.pack_embeddings(tmp_path / "pack")
    for commit in range(50):  # each changes, adds or removes a function
        some = functions[chance.choice(list(functions))]
        match commit % 3:
            case 0:
                some[chance.randrange(len(some))] = function(1_000 + commit)
            case 1:
                some.append(function(1_000 + commit))
            case _:
                some.pop(chance.randrange(len(some)))
    written()
    monkeypatch.setenv("RAGKIT_CACHE_DIR", str(cache / "other"))
    with KnowledgeBase.open(project) as kb:
        kb.unpack_embeddings(tmp_path / "pack")
        (summary,) = kb.index()
    assert summary.embedded <= 0.05 * summary.chunks
