"""Models on the command line: what is listed, pulled, removed and configured, and what is asked."""

from __future__ import annotations

import io
import json
import os
import pty
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from engine import faults
from engine.runner import Runner

from ragkit.cli.pulling import Tally, ensure_pulled, other_quantization
from ragkit.cli.tables import age, bytes_in_words
from ragkit.errors import ModelError, ModelNotFound
from ragkit.models.dmr.discovery import find
from ragkit.models.dmr.records import PullProgress
from ragkit.models.dmr.runner import Runner as Client

Ragkit = Callable[..., Any]
ABSENT = "ai/nomic-embed-text-v1.5"
ABSENT_HF = "hf.co/ggml-org/embeddinggemma-300M-GGUF:Q8_0"


@pytest.fixture(autouse=True)
def at(light_runner: Runner, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The runner is where MODEL_RUNNER_HOST says; no configuration is around."""
    monkeypatch.setenv("MODEL_RUNNER_HOST", light_runner.url)
    monkeypatch.delenv("HF_TOKEN", raising=False)
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def client(light_runner: Runner) -> Iterator[Client]:
    runner = Client(find(light_runner.url), sleep=lambda seconds: None)
    yield runner
    runner.client.close()


def local(runner: Runner) -> set[str]:
    return {tag for kept in runner.store.kept for tag in kept.tags}


def answering(*answers: str) -> Callable[[str], str]:
    """Gives the answers one after another; keeps the questions in `answering.asked`."""
    left = list(answers)

    def ask(question: str) -> str:
        asked.append(question)
        return left.pop(0)

    asked: list[str] = []
    ask.asked = asked  # type: ignore[attr-defined]
    return ask


# -- list, inspect, ps, logs


def test_list_shows_what_docker_model_list_shows(ragkit: Ragkit) -> None:
    done = ragkit("models", "list")
    assert done.code == 0
    header, *rows = done.out.split("\n\n")[0].splitlines()
    assert header.split("  ")[0] == "MODEL NAME"
    assert header.endswith("SIZE")
    row = next(row for row in rows if row.startswith("embeddinggemma "))
    assert row.split()[1:4] == ["302.86M", "Q8_0", "gemma-embedding"]
    assert row.split()[-2:] == ["2048", "761.00MiB"]
    assert any(row.startswith("huggingface.co/ggml-org/qwen3-reranker") for row in rows)


def test_list_tells_whether_built_in_models_are_usable(ragkit: Ragkit) -> None:
    done = ragkit("models", "list", "--json")
    listed = json.loads(done.out)
    assert listed["version"] == 1
    static, minilm = listed["embedded"]
    assert (static["name"], static["usable"]) == ("embedded/static", True)
    assert minilm["name"] == "embedded/minilm"
    assert minilm["detail"]
    gemma = next(m for m in listed["models"] if "embeddinggemma" in m["tags"][0])
    assert (gemma["dimensions"], gemma["context"], gemma["pooling"]) == (768, 2048, 1)


def test_without_a_runner_list_tells_what_is_built_in_and_fails(
    ragkit: Ragkit, light_runner: Runner
) -> None:
    light_runner.down()
    done = ragkit("models", "list", "--host", light_runner.url)
    assert done.code == 2
    assert "embedded/static" in done.out
    assert done.err.startswith("error: ")
    assert "docker model status" in done.err
    listed = json.loads(ragkit("models", "list", "--json").out)
    assert (listed["runner"], listed["models"]) == (None, [])


def test_inspect_finds_a_model_under_each_of_its_names(ragkit: Ragkit) -> None:
    names = ("embeddinggemma", "ai/embeddinggemma", "docker.io/ai/embeddinggemma:latest")
    found = [json.loads(ragkit("models", "inspect", n, "--json").out) for n in names]
    found.append(json.loads(ragkit("models", "inspect", "dmr/ai/embeddinggemma", "--json").out))
    found.append(json.loads(ragkit("models", "inspect", found[0]["id"], "--json").out))
    assert len({one["id"] for one in found}) == 1
    assert found[0]["metadata"]["gemma-embedding.pooling_type"] == "1"


def test_inspect_of_a_model_that_is_not_there_names_the_pull(ragkit: Ragkit) -> None:
    done = ragkit("models", "inspect", ABSENT)
    assert done.code == 2
    assert f"ragkit models pull {ABSENT}" in done.err
    remote = ragkit("models", "inspect", ABSENT, "--remote")
    assert remote.code == 0
    assert "nomic-bert" in remote.out
    assert ragkit("models", "inspect", "ai/never-heard-of", "--remote").code == 2


def test_ps_and_unload_tell_what_is_loaded(ragkit: Ragkit, client: Client) -> None:
    body = {"model": "ai/embeddinggemma", "input": ["a text"]}
    assert client.client.send("POST", "/engines/v1/embeddings", body).status == 200
    assert "embeddinggemma" in ragkit("models", "ps").out
    running = json.loads(ragkit("models", "ps", "--json").out)["running"]
    assert [(one["mode"], one["in_use"]) for one in running] == [("embedding", False)]
    assert ragkit("models", "unload", "ai/embeddinggemma").out == "unloaded 1 process\n"
    assert json.loads(ragkit("models", "ps", "--json").out)["running"] == []
    assert ragkit("models", "unload", "ai/never-heard-of").code == 2


def test_logs_come_with_and_without_those_of_the_engines(ragkit: Ragkit, client: Client) -> None:
    body = {"model": "ai/embeddinggemma", "input": ["a text"]}
    client.client.send("POST", "/engines/v1/embeddings", body)
    assert "[inference.llama.cpp]" in ragkit("models", "logs").out
    assert "[inference.llama.cpp]" not in ragkit("models", "logs", "--no-engines").out


# -- pull and rm


def test_a_pull_is_told_by_tenths_where_nobody_watches(
    ragkit: Ragkit, light_runner: Runner
) -> None:
    done = ragkit("models", "pull", ABSENT)
    assert done.code == 0
    assert done.out == ""
    lines = done.err.splitlines()
    assert lines[0] == f"pulling {ABSENT}"
    assert f"{ABSENT}: downloading 40 % (129.99 MiB of 260.00 MiB)" in lines
    assert lines[-1] == f"pulled {ABSENT}: 136.73M parameters, F16, 260.00MiB"
    assert f"docker.io/{ABSENT}:latest" in local(light_runner)


def test_both_passes_of_a_pull_from_hugging_face_are_told(ragkit: Ragkit) -> None:
    lines = ragkit("models", "pull", ABSENT_HF).err
    assert "downloading 100 %" in lines
    assert "storing 100 %" in lines
    assert lines.index("downloading 100 %") < lines.index("storing 20 %")


def test_another_quantization_than_asked_for_is_told(ragkit: Ragkit, light_runner: Runner) -> None:
    published = light_runner.registry["huggingface.co/ggml-org/embeddinggemma-300m-gguf:Q8_0"]
    asked = "hf.co/ggml-org/embeddinggemma-300M-GGUF:Q4_K_M"
    name = "huggingface.co/ggml-org/embeddinggemma-300m-gguf:Q4_K_M"
    light_runner.registry[name] = published  # as the Hub does: the file that is there
    done = ragkit("models", "pull", asked)
    assert done.code == 0
    assert "its quantization is Q8_0" in done.err
    assert "quantization is" not in ragkit("models", "pull", ABSENT_HF).err


@pytest.mark.parametrize(
    ("reference", "got", "told"),
    [
        ("hf.co/o/n:Q4_K_M", "Q4_K_M", ""),
        ("hf.co/o/n:q4_k_m", "IQ2_XXS/Q4_K_M", ""),
        ("hf.co/o/n:F16", "MOSTLY_F16", ""),
        ("hf.co/o/n:Q4_K_M", "Q8_0", "Q8_0"),
        ("hf.co/o/n", "Q8_0", ""),
        ("hf.co/o/n:latest", "Q8_0", ""),
        ("ai/n:Q4_K_M", "Q8_0", ""),
        ("hf.co/o/n:Q8_0", "", ""),
    ],
)
def test_quantizations_are_compared_by_what_they_mean(reference: str, got: str, told: str) -> None:
    assert other_quantization(reference, got) == told


@pytest.mark.parametrize(
    ("reference", "words"),
    [
        ("ai/torn", "unexpected EOF"),
        ("ai/unfinished", "ended before it was done"),
        ("ai/never-heard-of", "not found or no access"),
        ("hf.co/acme/private-embedder", "HF_TOKEN"),
    ],
)
def test_a_pull_that_fails_says_why(
    ragkit: Ragkit, light_runner: Runner, reference: str, words: str
) -> None:
    before = local(light_runner)
    done = ragkit("models", "pull", reference)
    assert done.code == 2
    assert words in done.err
    assert "try: " in done.err
    assert local(light_runner) == before


def test_the_key_for_hugging_face_goes_there_only_and_is_never_shown(
    ragkit: Ragkit, light_runner: Runner, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_TOKEN", "hf_right")
    done = ragkit("models", "pull", "hf.co/acme/private-embedder", ABSENT)
    assert done.code == 0
    assert "hf_right" not in done.err + done.out
    private, public = (seen.json for seen in light_runner.seen("POST /models/create"))
    assert private["bearer-token"] == "hf_right"
    assert "bearer-token" not in public


def test_rm_says_what_went(ragkit: Ragkit, light_runner: Runner) -> None:
    done = ragkit("models", "rm", "ai/smollm2")
    assert done.code == 0
    assert done.out.startswith("Untagged: docker.io/ai/smollm2:latest\nDeleted: sha256:")
    again = ragkit("models", "rm", "ai/smollm2")
    assert again.code == 2
    assert "ragkit models list" in again.err


def test_a_model_with_several_tags_is_removed_by_its_id_with_force_only(
    ragkit: Ragkit, light_runner: Runner
) -> None:
    light_runner.store.tag("ai/smollm2", "ai/other:name")
    identity = light_runner.store.find("ai/smollm2").model.id
    refused = ragkit("models", "rm", identity)
    assert refused.code == 2
    assert "--force" in refused.err
    assert ragkit("models", "rm", identity, "--force").code == 0
    assert not {"docker.io/ai/smollm2:latest", "docker.io/ai/other:name"} & local(light_runner)


# -- configure


def sent(runner: Runner) -> list[dict[str, Any]]:
    return [seen.json for seen in runner.seen("POST /engines/_configure")]


def test_configure_sends_the_mode_that_the_model_is_made_for(
    ragkit: Ragkit, light_runner: Runner
) -> None:
    flags = ("--", "--ubatch-size", "2048", "-b", "2048")
    done = ragkit(
        "models", "configure", "ai/embeddinggemma", "--context-size", 2048, "--keep-alive", "30m",
        *flags,
    )  # fmt: skip
    assert done.code == 0
    (body,) = sent(light_runner)
    assert body["mode"] == "embedding"
    assert body["context-size"] == 2048
    assert body["keep_alive"] == "30m"
    assert body["runtime-flags"] == ["--ubatch-size", "2048", "-b", "2048"]
    for words in (("--show", "ai/embeddinggemma"), ("show", "ai/embeddinggemma")):
        assert "context 2048 tokens, kept for 30m" in ragkit("models", "configure", *words).out


def test_configure_tells_which_flags_it_rewrote(ragkit: Ragkit, light_runner: Runner) -> None:
    done = ragkit("models", "configure", "ai/smollm2", "--", "--ngl=33", "--threads=8")
    assert done.code == 0
    assert sent(light_runner)[0]["runtime-flags"] == ["-ngl", "33", "--threads", "8"]
    assert "note: runtime_flags: --ngl=33 is sent as -ngl 33" in done.err


def test_configure_sends_what_the_configuration_says_of_a_name(
    ragkit: Ragkit, light_runner: Runner, tmp_path: Path
) -> None:
    (tmp_path / "ragkit.yaml").write_text(CONFIG, encoding="utf-8")
    assert ragkit("models", "configure", "reader", "--keep-alive", "-1").code == 0
    (body,) = sent(light_runner)
    assert body["model"].startswith("hf.co/ggml-org/qwen3-reranker")
    assert (body["mode"], body["context-size"], body["keep_alive"]) == ("reranking", 4096, "-1")
    other = ragkit("models", "configure", "cloud", "--context-size", 1)
    assert other.code == 2
    assert "only models of dmr" in other.err
    unknown = ragkit("models", "configure", "readr", "--config", tmp_path / "ragkit.yaml")
    assert unknown.code == 2
    assert "known in `models`: reader, cloud" in unknown.err


CONFIG = """
models:
  reader:
    provider: dmr
    model: hf.co/ggml-org/qwen3-reranker-0.6b-q8_0-gguf
    provider_opts: {context_size: 4096}
  cloud: {provider: openai, model: m, base_url: "http://127.0.0.1:9/v1"}
rag:
  notes:
    docs: [.]
    strategies: [{type: bm25}]
    results:
      reranking: {model: reader}
"""


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ((ABSENT, "--context-size", "512"), "not found locally"),
        (("ai/smollm2",), "nothing to configure"),
        (("ai/smollm2", "--keep-alive", "soon"), "keep_alive: 'soon'"),
        (("ai/smollm2", "--", "--model", "/etc/passwd"), "refuses"),
    ],
)
def test_what_cannot_be_configured_is_an_error(
    ragkit: Ragkit, arguments: tuple[str, ...], words: str
) -> None:
    done = ragkit("models", "configure", *arguments)
    assert done.code == 2
    assert words in done.err


# -- the question


def test_all_questions_come_before_the_first_pull(client: Client, light_runner: Runner) -> None:
    ask = answering("y", "n")
    before = local(light_runner)
    with pytest.raises(ModelError, match="model pull declined by user") as declined:
        ensure_pulled(client, [ABSENT, ABSENT_HF], interactive=True, ask=ask)
    assert f"docker model pull {ABSENT_HF}" in declined.value.remedy
    assert local(light_runner) == before
    assert not light_runner.seen("POST /models/create")


@pytest.mark.parametrize("answer", ["y\n", " YES \n", "Yes"])
def test_yes_is_y_or_yes(
    client: Client, light_runner: Runner, answer: str, capsys: pytest.CaptureFixture[str]
) -> None:
    ask = answering(answer)
    done = ensure_pulled(client, ["ai/embeddinggemma", ABSENT, ABSENT], interactive=True, ask=ask)
    assert done == [ABSENT]
    assert ask.asked == [  # type: ignore[attr-defined]
        f"Model {ABSENT} not found locally. Do you want to pull it now? ([y]es/[n]o)"
    ]
    out, err = capsys.readouterr()
    assert out == ""
    assert f"{ABSENT}: 136.73M parameters, F16, 260.00MiB" in err, "its size, before the question"
    assert client.model(ABSENT) is not None


@pytest.mark.parametrize("answer", ["", "\n", "n\n", "no\n", "yep\n", "ja\n", "y e s\n"])
def test_everything_else_is_no(client: Client, light_runner: Runner, answer: str) -> None:
    with pytest.raises(ModelError, match="declined"):
        ensure_pulled(client, [ABSENT], interactive=True, ask=answering(answer))
    assert client.model(ABSENT) is None


def test_where_nobody_can_be_asked_the_error_names_both_ways(client: Client) -> None:
    for pull in (None, False):
        with pytest.raises(ModelNotFound) as missing:
            ensure_pulled(client, [ABSENT], pull=pull, interactive=False)
        assert ABSENT in missing.value.message
        assert f"docker model pull {ABSENT}" in missing.value.remedy
        assert "--pull" in missing.value.remedy


def test_pull_needs_no_answer(client: Client) -> None:
    assert ensure_pulled(client, [ABSENT], pull=True, interactive=False) == [ABSENT]
    assert ensure_pulled(client, [ABSENT], pull=True, interactive=False) == []


def test_a_registry_that_is_slow_holds_no_question_up(
    client: Client, light_runner: Runner, monkeypatch: pytest.MonkeyPatch
) -> None:
    from ragkit.cli import pulling

    monkeypatch.setattr(pulling, "PATIENCE", 0.1)
    light_runner.fail("GET /models/*", faults.HANG)
    begun = time.monotonic()
    with pytest.raises(ModelError, match="declined"):
        ensure_pulled(client, [ABSENT], interactive=True, ask=answering("n"))
    assert time.monotonic() - begun < 2


def test_the_question_is_asked_on_stderr(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from ragkit.cli.pulling import answer

    monkeypatch.setattr(sys, "stdin", io.StringIO("yes\n"))
    assert answer("Really?") == "yes\n"
    monkeypatch.setattr(sys, "stdin", io.StringIO(""))
    assert answer("Really?") == ""
    assert capsys.readouterr() == ("", "Really?: Really?: \n")


# -- on a terminal


class Terminal:
    """ragkit in a process of its own, its stdin and stderr a terminal, stdout a pipe."""

    def __init__(self, *arguments: str) -> None:
        self.leader, follower = pty.openpty()
        self.process = subprocess.Popen(
            [sys.executable, "-m", "ragkit", *arguments],
            stdin=follower,
            stdout=subprocess.PIPE,
            stderr=follower,
            env={**os.environ, "COLUMNS": "120", "TERM": "xterm"},
            start_new_session=True,
        )
        os.close(follower)
        self.seen = ""

    def until(self, words: str) -> None:
        """Read what is shown until these words are there, or until it ends."""
        while words not in self.seen and self._read():
            pass
        assert words in self.seen, self.seen

    def _read(self) -> bool:
        try:
            part = os.read(self.leader, 65536)
        except OSError:  # the other side is closed
            return False
        self.seen += part.decode("utf-8", "replace")
        return bool(part)

    def type(self, text: str) -> None:
        os.write(self.leader, text.encode())

    def end(self) -> tuple[int, str]:
        """Exit code and stdout."""
        while self._read():
            pass
        os.close(self.leader)
        assert self.process.stdout is not None
        out = self.process.stdout.read().decode()
        self.process.stdout.close()
        return self.process.wait(), out


def test_a_terminal_gets_a_bar_for_each_layer_and_for_all(light_runner: Runner) -> None:
    terminal = Terminal("models", "pull", ABSENT_HF)
    light_runner.pull_seconds = 0.02
    code, out = terminal.end()
    assert (code, out) == (0, "")
    for words in ("━", f"downloading {ABSENT_HF}", f"storing {ABSENT_HF}", "313.0/313.0 MiB"):
        assert words in terminal.seen
    identity = light_runner.store.find(ABSENT_HF).model.id.removeprefix("sha256:")
    assert f"  {identity[:12]} " in terminal.seen
    assert f"pulled {ABSENT_HF}" in terminal.seen


def test_ctrl_c_cancels_the_pull(light_runner: Runner) -> None:
    light_runner.pull_seconds = 0.1
    before = local(light_runner)
    terminal = Terminal("models", "pull", ABSENT)
    terminal.until("downloading")
    os.kill(terminal.process.pid, signal.SIGINT)
    code, _ = terminal.end()
    assert code == 130
    assert "interrupted" in terminal.seen
    assert "Traceback" not in terminal.seen
    # the runner has noticed: both of its places for pulls are free
    assert all(light_runner.pulls.acquire(timeout=2) for _ in range(2))
    light_runner.pulls.release(2)
    assert local(light_runner) == before


# -- figures


def steps(*layers: tuple[str, int, int], phase: Any = "downloading") -> Iterator[PullProgress]:
    for layer, current, size in layers:
        yield PullProgress(phase, "", layer, current, size, 100)


def test_a_tally_adds_layers_up_and_begins_anew_with_a_phase() -> None:
    tally = Tally()
    began = [tally.add(step) for step in steps(("a", 10, 60), ("b", 5, 40), ("a", 60, 60))]
    assert began == [True, False, False]
    assert (tally.current, tally.total) == (65, 100)
    (again,) = [tally.add(step) for step in steps(("a", 20, 60), phase="storing")]
    assert again
    assert (tally.current, tally.total) == (20, 100)


def test_a_tally_never_exceeds_its_total() -> None:
    tally = Tally()
    for step in steps(("a", 70, 60), ("b", 70, 60)):
        tally.add(step)
    assert (tally.current, tally.total) == (120, 120)


def test_sizes_and_ages_are_said_as_people_say_them() -> None:
    assert [bytes_in_words(n) for n in (0, 1023, 1024, 761 * 2**20, 3 * 2**40)] == [
        "0 B", "1023 B", "1.00 KiB", "761.00 MiB", "3.00 TiB",
    ]  # fmt: skip
    day = 86_400
    assert [age(1, now=1 + n) for n in (0, 59, 60, 2 * day, 8 * day, 61 * day, 800 * day)] == [
        "just now", "59 seconds ago", "1 minute ago", "2 days ago", "1 week ago", "2 months ago",
        "2 years ago",
    ]  # fmt: skip
    assert age(0) == ""
