"""An index under watch is the one that would be built from scratch, whatever happens to files."""

from __future__ import annotations

import errno
import os
import random
import shutil
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from ragkit import KnowledgeBase
from ragkit import watcher as watching
from ragkit.config.rag import Source
from ragkit.errors import ConfigError, ModelUnreachable
from ragkit.kb.places import default_source, sources
from ragkit.watcher import Standby, Swept, Told, Trouble, Watcher, Watching, Well, bell
from ragkit.watcher.bell import Bell


class Watch:
    """A watcher in a thread, and what it told."""

    def __init__(self, load: Callable[[], Any], **options: Any) -> None:
        self.told: list[Told] = []
        self.stop = threading.Event()
        self.failure: BaseException | None = None
        self.watcher = Watcher(load, self.told.append, **options)
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        try:
            self.watcher.run(self.stop)
        except BaseException as error:
            self.failure = error

    def until(self, true: Callable[[], bool], seconds: float = 20) -> None:
        """Wait for something; fail when it does not come."""
        ends = time.monotonic() + seconds
        while not true():
            assert self.failure is None, self.failure
            assert time.monotonic() < ends, self.told
            time.sleep(0.02)

    def heard(self, kind: type[Told]) -> list[Any]:
        return [one for one in self.told if isinstance(one, kind)]

    def ready(self) -> Watch:
        self.until(lambda: bool(self.heard(Watching)))
        return self

    def end(self) -> None:
        self.stop.set()
        self._thread.join(10)
        assert not self._thread.is_alive()
        assert self.failure is None, self.failure


@pytest.fixture
def watch(project: Path) -> Iterator[Callable[..., Watch]]:
    """Watch the project, or what `load` gives."""
    running: list[Watch] = []

    def begin(load: Callable[[], Any] | None = None, **options: Any) -> Watch:
        running.append(Watch(load or (lambda: (default_source(project),)), **options))
        return running[-1]

    yield begin
    for one in running:
        one.end()


Content = dict[tuple[str, int], tuple[str, int, int]]


def content(source: Source) -> Content:
    """All chunks of the index, as they are stored."""
    with KnowledgeBase(source, read_only=True) as kb:
        return stored(kb)


def stored(kb: KnowledgeBase) -> Content:
    (index,) = kb.indexes
    return {
        (chunk.path, chunk.index): (chunk.text, chunk.start_line, chunk.end_line)
        for path in index.store.records()
        for chunk in index.store.chunks(path)
    }


def from_scratch(source: Source, cache: Path) -> Content:
    """The same of an index that is built now."""
    os.environ["RAGKIT_CACHE_DIR"] = str(cache / "scratch")
    try:
        shutil.rmtree(cache / "scratch", ignore_errors=True)
        with KnowledgeBase(source) as kb:
            kb.index()
            return stored(kb)
    finally:
        os.environ["RAGKIT_CACHE_DIR"] = str(cache)


def found(source: Source, query: str) -> list[str]:
    with KnowledgeBase(source, read_only=True) as kb:
        return [hit.chunk.path for hit in kb.search(query, limit=5)]


def test_a_save_can_be_found_within_a_second_or_so(watch: Any, project: Path) -> None:
    one = watch().ready()
    source = default_source(project)
    (project / "new.md").write_text("# Woodpecker\n\nThe woodpecker drums in spring.\n")
    one.until(lambda: "new.md" in found(source, "woodpecker drums"), 5)
    (project / "new.md").write_text("# Nuthatch\n\nThe nuthatch climbs down head first.\n")
    one.until(lambda: "new.md" in found(source, "nuthatch climbs"), 5)
    assert {path for path, _ in content(source)} >= {"new.md", "README.md"}


def test_atomic_saves_renames_and_deletions_are_followed(
    watch: Any, project: Path, cache: Path
) -> None:
    one = watch().ready()
    source = default_source(project)
    (project / ".new.md.swp").write_text("# Robin\n\nRobins sing at night.\n")
    (project / ".new.md.swp").rename(project / "new.md")
    (project / "src").rename(project / "lib")
    (project / "notes" / "todo.txt").unlink()
    (project / "deep" / "er").mkdir(parents=True)
    (project / "deep" / "er" / "x.py").write_text("def dive():\n    return 7\n")
    wanted = {"README.md", "new.md", "lib/feeder.py", "lib/storage.go", "deep/er/x.py"}
    one.until(lambda: {p for p, _ in content(source)} - {".gitignore"} == wanted)
    shutil.rmtree(project / "deep")
    one.until(lambda: not any(p.startswith("deep") for p, _ in content(source)))
    assert content(source) == from_scratch(source, cache)


def test_a_rename_embeds_nothing(watch: Any, project: Path) -> None:
    one = watch().ready()
    (project / "src").rename(project / "lib")
    one.until(lambda: any("lib/feeder.py" in str(s.events) for s in one.heard(Swept)))
    after = one.heard(Swept)[1:]  # the first built the index
    assert sum(summary.embedded for s in after for summary in s.summaries) == 0


def test_new_ignore_rules_hold_for_what_is_there(watch: Any, project: Path) -> None:
    one = watch().ready()
    source = default_source(project)
    (project / ".ragkitignore").write_text("notes/\n")
    one.until(lambda: not any(p.startswith("notes") for p, _ in content(source)))
    (project / ".ragkitignore").unlink()
    one.until(lambda: any(p.startswith("notes") for p, _ in content(source)))


def test_ignored_files_and_the_database_itself_cause_nothing(watch: Any, project: Path) -> None:
    source = default_source(project)
    own = Source(
        source.name,
        source.root,
        source.docs,
        tuple(
            strategy.__class__(
                **{
                    **{f: getattr(strategy, f) for f in strategy.__dataclass_fields__},
                    "database": "inside.db",
                }
            )
            for strategy in source.strategies
        ),
        results=source.results,
    )
    one = watch(lambda: (own,)).ready()
    walks = len(one.heard(Swept))
    (project / "debug.log").write_text("noise\n" * 100)
    (project / "build").mkdir()
    (project / "build" / "x.py").write_text("x = 1\n")
    (project / ".git" / "index.lock").write_text("")
    time.sleep(1.5)
    assert len(one.heard(Swept)) == walks
    assert not one.watcher.bell.heard(0), "nothing is left that it would look at"


def test_many_files_at_once_are_few_walks(
    watch: Any, project: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = watch().ready()
    before = len(one.heard(Swept))
    for i in range(600):
        (project / f"f{i}.txt").write_text(f"file number {i} of a branch\n")
    source = default_source(project)
    one.until(lambda: sum(p.startswith("f") for p, _ in content(source)) == 600, 60)
    assert len(one.heard(Swept)) - before <= 3


def test_a_second_watcher_waits_and_takes_over(watch: Any, project: Path) -> None:
    first = watch().ready()
    second = watch()
    second.until(lambda: bool(second.heard(Standby)))
    assert f"process {os.getpid()}" in second.heard(Standby)[0].holder
    assert not second.heard(Watching)
    first.end()
    second.ready()
    (project / "new.md").write_text("# Wren\n\nWrens are loud.\n")
    second.until(lambda: "new.md" in found(default_source(project), "wrens"))


def test_a_root_that_goes_away_keeps_its_index_and_comes_back(watch: Any, project: Path) -> None:
    one = watch().ready()
    source = default_source(project)
    before = content(source)
    away = project.with_name("away")
    project.rename(away)
    one.until(lambda: any("no such folder" in t.what for t in one.heard(Trouble)))
    assert content(source) == before
    (away / "back.md").write_text("# Swift\n\nSwifts are back in May.\n")
    away.rename(project)
    one.until(lambda: "back.md" in found(source, "swifts"))
    assert one.heard(Well)
    (project / "again.md").write_text("# Dove\n\nDoves coo.\n")
    one.until(lambda: "again.md" in found(source, "doves coo"), 10)


def test_a_root_that_is_a_link_is_watched_where_it_leads(watch: Any, project: Path) -> None:
    link = project.with_name("link")
    link.symlink_to(project)
    one = watch(lambda: (default_source(link),)).ready()
    (project / "new.md").write_text("# Owl\n\nOwls hunt at night.\n")
    one.until(lambda: "new.md" in found(default_source(link), "owls hunt"))


CONFIG = """rag:
  birds:
    docs: [{docs}]
    strategies: [{{type: bm25, limit: 50}}]
"""


def test_an_edited_configuration_is_followed_and_a_broken_one_is_not(
    watch: Any, project: Path
) -> None:
    config = project / "ragkit.yaml"
    config.write_text(CONFIG.format(docs="./notes"))
    one = watch(lambda: sources(config=config)).ready()
    (source,) = sources(config=config)
    assert {path for path, _ in content(source)} == {"notes/todo.txt"}
    config.write_text("rag: [\n")
    one.until(lambda: bool(one.heard(Trouble)))
    assert "the last one stays" in one.heard(Trouble)[0].what
    (project / "notes" / "more.txt").write_text("The old one is still watched.\n")
    one.until(lambda: ("notes/more.txt", 0) in content(source))
    config.write_text(CONFIG.format(docs="./notes, ./src"))
    one.until(lambda: len(one.heard(Watching)) == 2)
    (changed,) = sources(config=config)
    assert {path for path, _ in content(changed)} >= {"notes/more.txt", "src/feeder.py"}


def test_a_named_file_and_a_folder_beside_it_are_both_watched(watch: Any, project: Path) -> None:
    config = project / "ragkit.yaml"
    config.write_text(CONFIG.format(docs="README.md, ./src, 'notes/*.txt'"))
    one = watch(lambda: sources(config=config)).ready()
    (source,) = sources(config=config)
    (project / "src" / "deep").mkdir()
    (project / "src" / "deep" / "x.py").write_text("def plunge(): pass\n")
    one.until(lambda: ("src/deep/x.py", 0) in content(source))
    (project / "README.md").write_text("# Gannets\n\nGannets plunge.\n")
    one.until(lambda: "Gannets" in content(source)["README.md", 0][0])
    (project / "notes" / "new.txt").write_text("A new note.\n")
    one.until(lambda: ("notes/new.txt", 0) in content(source))
    (project / "other.md").write_text("# Not asked for\n")
    time.sleep(1)
    assert ("other.md", 0) not in content(source)


def test_without_events_it_polls_and_says_how_to_get_them(
    watch: Any, project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*given: object) -> None:
        raise OSError(errno.ENOSPC, "inotify watch limit reached")

    monkeypatch.setattr(watching, "observer", refuse)
    one = watch().ready()
    (trouble,) = one.heard(Trouble)
    assert "max_user_watches" in trouble.remedy
    assert one.heard(Watching)[0].polls
    (project / "new.md").write_text("# Heron\n\nHerons stand still.\n")
    one.until(lambda: "new.md" in found(default_source(project), "herons"))


def test_polling_finds_what_events_would(watch: Any, project: Path) -> None:
    one = watch(poll=True).ready()
    (project / "notes" / "todo.txt").unlink()
    (project / "new.md").write_text("# Crane\n\nCranes dance.\n")
    source = default_source(project)
    one.until(lambda: {"new.md"} <= {p for p, _ in content(source)} - {"notes/todo.txt"})
    one.until(lambda: "notes/todo.txt" not in {p for p, _ in content(source)})


def test_trouble_is_told_once_and_tried_again(
    watch: Any, project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watching, "AGAIN", 0.3)
    broken = threading.Event()

    def sweep(kb: Any, listener: Any, part: Any) -> Any:
        if broken.is_set():
            raise ModelUnreachable("no model runner answers")
        return kb.index(listener, part=part)

    one = watch(sweep=sweep).ready()
    broken.set()
    (project / "new.md").write_text("# Stork\n\nStorks clatter.\n")
    one.until(lambda: bool(one.heard(Trouble)))
    time.sleep(1)
    assert len(one.heard(Trouble)) == 1
    broken.clear()
    one.until(lambda: "new.md" in found(default_source(project), "storks"))
    assert one.heard(Well)


def test_a_configuration_that_is_wrong_from_the_start_is_an_error(project: Path) -> None:
    (project / "ragkit.yaml").write_text("rag: [\n")
    with pytest.raises(ConfigError):
        Watcher(lambda: sources(config=project / "ragkit.yaml"), lambda told: None)


WORDS = ["squirrels", "are", "never", "counted", "they", "weigh", "much", "on", "the", "perch"]


def edit(chance: random.Random, root: Path) -> None:
    """One random thing that happens to a tree."""
    files = [p for p in root.rglob("*") if p.is_file() and ".git" not in p.parts]
    folders = [root, *(p for p in root.rglob("*") if p.is_dir() and ".git" not in p.parts)]
    new = chance.choice(folders) / f"{chance.choice('abcdefg')}{chance.randrange(30)}"
    some = chance.choice(files) if files else None
    match chance.randrange(10):
        case 0 | 1 | 2:
            words = " ".join(chance.choices(WORDS, k=30))
            with_suffix = new.with_suffix(chance.choice([".md", ".py", ".txt"]))
            if not with_suffix.exists():
                with_suffix.write_text(f"def f{chance.randrange(99)}():\n    '''{words}'''\n")
        case 3 | 4 if some:
            lines = some.read_text().splitlines() or [""]
            lines.insert(chance.randrange(len(lines) + 1), f"line {chance.randrange(10**6)}")
            if chance.random() < 0.5:
                some.write_text("\n".join(lines))
            else:
                beside = some.with_name(some.name + "~new")
                beside.write_text("\n".join(lines))
                beside.replace(some)
        case 5 if some and len(files) > 3:
            some.unlink()
        case 6 if some and not new.exists():
            some.rename(new.with_suffix(some.suffix))
        case 7:
            moved = chance.choice(folders)
            if moved != root and not new.exists() and moved not in new.parents:
                moved.rename(new)
        case 8:
            rule = chance.choice(["*.txt", "a*/", "!a1.txt", "b*", "*.py"])
            (root / chance.choice([".gitignore", ".ragkitignore"])).write_text(f"{rule}\n")
        case 9:
            if not new.exists():
                new.mkdir()
            if some:
                some.chmod(chance.choice([0o644, 0o600, 0o755]))


@pytest.mark.parametrize("seed", [1, 2])
def test_after_any_edits_the_index_is_that_of_a_scratch_build(
    watch: Any, project: Path, cache: Path, seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watching, "SWEEP", 10_000)  # what is right is right by events alone
    one = watch().ready()
    chance = random.Random(seed)
    source = default_source(project)
    for _ in range(4):
        for _ in range(25):
            edit(chance, project)
            time.sleep(chance.choice([0, 0, 0.01, 0.1]))
        wanted = from_scratch(source, cache)
        one.until(lambda wanted=wanted: content(source) == wanted, 15)


# ── the bell ──


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


def test_the_bell_waits_until_it_is_quiet_and_not_forever() -> None:
    clock = Clock()
    rung = Bell(clock)
    rung.ring("/a")
    assert rung._due() == pytest.approx(clock.now + bell.QUIET)
    for _ in range(20):
        clock.now += 0.1
        rung.ring("/a", "/b")
    assert rung._due() <= 100 + bell.SOON
    assert rung.heard(0) == {"/a", "/b"}
    assert rung.heard(0) == set()


def test_a_change_of_branch_is_waited_for() -> None:
    clock = Clock()
    rung = Bell(clock)
    for i in range(1_000):
        clock.now += 0.004
        rung.ring(f"/{i}")
    assert rung._due() == pytest.approx(clock.now + bell.QUIET)
    clock.now += 0.1
    rung.ring("/last")
    clock.now = 100 + bell.LATE
    assert len(rung.heard(0)) == 1_001
