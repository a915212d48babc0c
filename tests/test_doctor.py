"""What the doctor finds, and what it says to do about it."""

from __future__ import annotations

import json
import socket
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
from engine import faults
from engine.plain import OpenAIServer
from engine.runner import Runner

from ragkit.config import load
from ragkit.kb.doctor import Finding, State, embedded, examine
from ragkit.models.dmr import discovery
from ragkit.models.dmr.places import World

Ragkit = Callable[..., Any]


@pytest.fixture(autouse=True)
def at(light_runner: Runner, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The runner is where MODEL_RUNNER_HOST says; no configuration is around."""
    monkeypatch.setenv("MODEL_RUNNER_HOST", light_runner.url)
    monkeypatch.setenv("RAGKIT_MINILM", str(tmp_path / "no-weights"))
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def nowhere(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No runner is anywhere, nor is docker's command."""
    world = World({"PATH": str(tmp_path)}, tmp_path, tmp_path, (1, 2))
    monkeypatch.setattr(discovery, "here", lambda: world)


def rag(embedding: str = "dmr/ai/embeddinggemma", *, more: str = "", **strategy: object) -> str:
    """A configuration of one knowledge base, as YAML."""
    settings = {"type": "chunked-embeddings", "embedding_model": embedding, **strategy}
    lines = ["rag:", "  notes:", "    docs: [./docs]", "    strategies:"]
    lines.append(f"      - {json.dumps(settings)}")
    return "\n".join(lines) + "\n" + more


def reranked(model: str) -> str:
    return rag(more=f"    results:\n      reranking: {{model: '{model}'}}\n")


def examined(yaml: str | None, **options: Any) -> list[Finding]:
    """Findings about a configuration that is written to this folder."""
    if yaml is None:
        return list(examine(None, **options))
    file = Path("ragkit.yaml")
    file.write_text(yaml, encoding="utf-8")
    return list(examine(load(file), **options))


def of(findings: list[Finding], check: str, subject: str = "") -> list[Finding]:
    return [one for one in findings if one.check == check and subject in one.subject]


def one(findings: list[Finding], check: str, subject: str = "") -> Finding:
    (found,) = of(findings, check, subject)
    return found


def failures(findings: list[Finding]) -> list[str]:
    return [f"{one.check}: {one.detail}" for one in findings if one.state == "failure"]


# -- the runner


def test_a_healthy_runner_is_described(light_runner: Runner) -> None:
    found = examined(None)
    assert failures(found) == []
    place = one(found, "runner.place")
    assert place.state == "ok"
    assert light_runner.url in place.detail
    assert one(found, "runner.version").data["version"] == "v1.2.6"
    states = {str(each.data["backend"]): each.state for each in of(found, "runner.backend")}
    assert states == {"llama.cpp": "ok", "vllm": "skipped", "mlx": "skipped"}
    assert one(found, "runner.disk").data["models_bytes"]
    assert one(found, "runner.models").data["models"] == len(light_runner.store.kept)


def test_every_place_that_does_not_answer_says_why(nowhere: None) -> None:
    found = examined(None)
    places = of(found, "runner.place")
    assert len(places) >= 4
    assert all(place.state == "skipped" for place in places)
    assert "http://127.0.0.1:1: nothing listens there" in [place.detail for place in places]
    assert any("there is no such socket" in place.detail for place in places)
    (failure,) = of(found, "runner")
    assert failure.state == "failure"
    for step in (
        "docker model status", "docker model logs", "Settings > AI",
        "sudo apt-get install docker-model-plugin", "MODEL_RUNNER_HOST",
    ):  # fmt: skip
        assert step in failure.remedy


def test_a_stranger_on_the_port_is_called_by_its_name(light_openai: OpenAIServer) -> None:
    found = examined(None, host=light_openai.url)
    assert "llama.cpp's own server answers there" in one(found, "runner.place").detail
    assert one(found, "runner").state == "failure"


def test_an_address_that_is_none_is_a_finding() -> None:
    (failure,) = of(examined(None, host="http://:0"), "runner")
    assert failure.state == "failure"
    assert "http://HOST:PORT" in failure.remedy


def test_no_runner_is_no_failure_where_none_is_needed(nowhere: None) -> None:
    found = examined(rag("embedded/static"))
    assert failures(found) == []
    assert "needs none" in one(found, "runner").detail


def test_models_are_not_looked_at_without_a_runner(nowhere: None) -> None:
    found = examined(rag())
    assert one(found, "model").state == "skipped"
    assert one(found, "runner").state == "failure"


def test_an_empty_store_is_a_warning(light_runner: Runner) -> None:
    light_runner.only()
    models = one(examined(None), "runner.models")
    assert (models.state, models.remedy) == ("warning", "docker model pull ai/embeddinggemma")


# -- a model of the runner


def test_a_healthy_embedding_model_passes_every_check(light_runner: Runner) -> None:
    found = examined(rag())
    assert failures(found) == []
    assert not [each for each in found if each.state == "warning"]
    model = one(found, "model")
    assert model.data["dimensions"] == 768
    assert model.data["tags"] == ["docker.io/ai/embeddinggemma:latest"]
    assert str(model.data["id"]).startswith("sha256:")
    figures = one(found, "model.embedding").data
    assert figures["dimensions"] == 768
    assert figures["norm"] == pytest.approx(1.0, abs=1e-3)
    assert figures["first_seconds"]
    assert figures["second_seconds"]
    assert one(found, "model.similarity").state == "ok"
    assert one(found, "model.loading").seconds is not None


def test_nothing_is_pulled_and_only_what_indexing_would_configure_is_configured(
    light_runner: Runner,
) -> None:
    examined(rag("dmr/ai/nomic-embed-text-v1.5"))
    examined(rag())
    configured = [seen.json for seen in light_runner.seen("POST /engines/_configure")]
    assert [(body["model"], body["mode"]) for body in configured] == [
        ("ai/embeddinggemma:latest", "embedding")
    ]
    assert not light_runner.seen("POST /models/create")
    assert not light_runner.seen("POST /engines/unload")
    assert not light_runner.seen("DELETE *")


def test_a_missing_model_names_the_pull_and_who_needs_it() -> None:
    missing = one(examined(rag("dmr/ai/nomic-embed-text-v1.5")), "model")
    assert missing.state == "failure"
    assert "rag.notes" in missing.detail
    assert missing.remedy == "docker model pull ai/nomic-embed-text-v1.5"


def test_each_model_is_examined_once_for_each_task() -> None:
    yaml = rag(more="models:\n  e: {provider: dmr, model: ai/embeddinggemma}\n")
    yaml += "agents:\n  root: {model: 'dmr/ai/smollm2, dmr/ai/smollm2', instruction: x}\n"
    found = of(examined(yaml), "model")
    assert [each.subject for each in found] == ["dmr/ai/embeddinggemma", "dmr/ai/smollm2"]


def test_a_reranker_is_no_embedding_model() -> None:
    found = examined(rag("dmr/ai/bge-reranker-v2-m3"))
    task = one(found, "model.task")
    assert task.state == "failure"
    assert "it is a reranker" in task.detail
    assert not of(found, "model.embedding")


def test_a_chat_model_does_not_embed() -> None:
    assert failures(examined(rag("dmr/ai/smollm2")))


def test_a_broken_file_is_told_with_what_the_engine_said() -> None:
    loading = one(examined(rag("dmr/ai/broken")), "model.loading")
    assert loading.state == "failure"
    assert "failed to load model" in loading.detail


@pytest.mark.parametrize(
    ("value", "words"), [(None, "no numbers (NaN)"), (0.0, "all zeros")], ids=["nan", "zeros"]
)
def test_vectors_that_mean_nothing_are_a_failure(
    light_runner: Runner, value: float | None, words: str
) -> None:
    def spoil(answer: Any) -> Any:
        for item in answer["data"]:
            item["embedding"] = [value] * 768
        return answer

    light_runner.fail("*/embeddings", faults.changes(spoil), rate=1.0)
    found = examined(rag())
    vectors = one(found, "model.embedding")
    assert vectors.state == "failure"
    assert words in vectors.detail
    assert not of(found, "model.long_input")


def test_a_model_that_cannot_tell_texts_apart_is_a_warning(light_runner: Runner) -> None:
    def swap(answer: Any) -> Any:
        items = answer["data"]
        if len(items) == 3:
            items[1]["embedding"], items[2]["embedding"] = (
                items[2]["embedding"],
                items[1]["embedding"],
            )
        return answer

    light_runner.fail("*/embeddings", faults.changes(swap), rate=1.0)
    assert one(examined(rag()), "model.similarity").state == "warning"


def test_dimensions_are_compared_with_the_configuration() -> None:
    kept = one(examined(rag(vector_dimensions=256)), "model.dimensions")
    assert kept.state == "ok", "embeddinggemma was trained to be cut"
    wrong = one(examined(rag("dmr/ai/all-minilm", vector_dimensions=256)), "model.dimensions")
    assert wrong.state == "failure"
    assert "write 384" in wrong.remedy


def test_dimensions_are_compared_with_the_index(ragkit: Ragkit) -> None:
    Path("docs").mkdir()
    Path("docs/a.md").write_text("Birds are counted at the feeder.\n", encoding="utf-8")
    assert one(examined(rag(database="./i.db")), "model.index").state == "skipped"
    assert ragkit("index").code == 0
    assert one(examined(rag(database="./i.db")), "model.index").state == "ok"
    other = one(examined(rag("dmr/ai/all-minilm", database="./i.db")), "model.index")
    assert other.state == "warning"
    assert "768" in other.detail
    assert "384" in other.detail


# -- the 512-token trap


def test_a_configured_runner_takes_long_texts() -> None:
    passes = one(examined(rag()), "model.long_input")
    assert passes.state == "ok"
    assert isinstance(tokens := passes.data["tokens"], int)
    assert tokens >= 700


def test_a_runner_that_refuses_its_configuration_cuts_at_512(light_runner: Runner) -> None:
    refusal = faults.replies(500, "it does not like it")
    light_runner.fail("POST /engines/_configure", refusal, rate=1.0)
    found = examined(rag(chunking={"size": 4000}))
    cut = one(found, "model.long_input")
    assert cut.state == "warning"
    assert cut.data["limit"] == 512
    raised, smaller = cut.remedy.splitlines()
    assert "ragkit models configure ai/embeddinggemma --mode embedding" in raised
    assert "--ubatch-size 2048" in raised
    assert "chunking.size: 1,536" in smaller
    assert of(found, "model.configuration")[0].state == "warning"


def test_a_limit_above_the_chunks_is_none(light_runner: Runner) -> None:
    light_runner.fail("POST /engines/_configure", faults.replies(500, "no"), rate=1.0)
    assert one(examined(rag(chunking={"size": 1000})), "model.long_input").state == "ok"


def test_a_limit_of_the_model_itself_has_no_remedy_on_the_server() -> None:
    cut = one(examined(rag("dmr/ai/all-minilm", chunking={"size": 4000})), "model.long_input")
    assert "all that the model takes" in cut.detail
    assert cut.remedy == "make chunks smaller: chunking.size: 1,536"


def test_a_server_that_cuts_without_a_word_is_found_out(light_openai: OpenAIServer) -> None:
    def count(answer: Any) -> Any:
        answer["usage"]["prompt_tokens"] = 512
        return answer

    light_openai.fail("*/embeddings", faults.changes(count), rate=1.0)
    found = examined(served(light_openai, "qwen3-embedding:0.6B-F16", chunking={"size": 4000}))
    cut = one(found, "model.long_input")
    assert (cut.state, cut.data["limit"]) == ("warning", 512)


# -- rerankers


@pytest.mark.parametrize(
    ("model", "state", "words"),
    [
        ("dmr/hf.co/ggml-org/qwen3-reranker-0.6b-q8_0-gguf", "ok", "probabilities"),
        ("dmr/ai/bge-reranker-v2-m3", "ok", "logits"),
        ("dmr/hf.co/community/Qwen3-Reranker-0.6B-GGUF:Q4_K_M", "failure", "next to nothing"),
    ],
)
def test_a_reranker_is_judged_by_its_scores(model: str, state: State, words: str) -> None:
    found = one(examined(reranked(model)), "model.reranking")
    assert found.state == state
    assert words in found.detail
    assert isinstance(found.data["scores"], list)
    assert found.data["seconds_per_pair"]
    assert bool(found.remedy) == (state == "failure")


def scored(*scores: float) -> Callable[[Any], Any]:
    """Gives the passages these scores, in their order."""

    def change(answer: Any) -> Any:
        for result in answer["results"]:
            result["relevance_score"] = scores[result["index"]]
        return answer

    return change


@pytest.mark.parametrize(
    ("scores", "state"),
    [
        ((0.9, 0.1, 0.1), "failure"),
        ((0.4, 0.5, 0.1), "warning"),
        ((-3.0, -2.0, -9.0), "warning"),
        ((-9.0, 3.0, -9.0), "ok"),
        ((0.0, 1.0, 0.0), "ok"),
    ],
    ids=["order", "close", "close logits", "logits", "probabilities"],
)
def test_scores_need_an_order_and_a_distance(
    light_runner: Runner, scores: tuple[float, ...], state: State
) -> None:
    light_runner.fail("*/rerank", faults.changes(scored(*scores)), rate=1.0)
    assert one(examined(reranked("dmr/ai/bge-reranker-v2-m3")), "model.reranking").state == state


def test_an_embedding_model_is_no_reranker() -> None:
    task = one(examined(reranked("dmr/ai/all-minilm")), "model.task")
    assert task.state == "failure"
    assert "not a reranker" in task.detail


def test_a_chat_model_that_reranks_is_examined_as_one() -> None:
    found = examined(reranked("dmr/ai/smollm2"), chat=True)
    assert not failures(found)
    assert one(found, "model", "smollm2").data["task"] == "completion"
    assert one(found, "model.chat", "smollm2").state == "ok"


def test_a_server_without_reranking_is_not_broken_for_that(light_openai: OpenAIServer) -> None:
    light_openai.reranks = False
    models = (
        f"models:\n  judge:\n    provider: openai\n    model: smollm2\n"
        f"    base_url: {light_openai.base_url}\n"
    )
    found = one(examined(reranked("judge") + models), "model.reranking")
    assert found.state == "skipped"
    assert "chat model" in found.detail


# -- options, chat


def test_options_that_are_rewritten_are_told() -> None:
    yaml = rag("fast")
    yaml += (
        "models:\n  fast:\n    provider: dmr\n    model: ai/embeddinggemma\n"
        '    provider_opts: {runtime_flags: ["--ngl=33", "--threads=8"]}\n'
    )
    found = examined(yaml)
    assert [each.detail for each in of(found, "model.options")] == [
        "runtime_flags: --ngl=33 is sent as -ngl 33",
        "runtime_flags: --threads=8 is sent as --threads 8",
    ]
    assert "-ngl 33 --threads 8" in one(found, "model.configuration").detail


def test_a_missing_draft_model_is_told() -> None:
    yaml = rag()
    yaml += (
        "models:\n  fast:\n    provider: dmr\n    model: ai/qwen3\n"
        "    provider_opts: {speculative_draft_model: ai/qwen3:0.6B-Q4_K_M}\n"
        "agents:\n  root: {model: fast, instruction: x}\n"
    )
    draft = one(examined(yaml), "model.draft")
    assert draft.state == "failure"
    assert draft.remedy == "docker model pull ai/qwen3:0.6B-Q4_K_M"


def test_chat_models_are_asked_with_chat_only(light_runner: Runner) -> None:
    yaml = rag() + "agents:\n  root: {model: dmr/ai/smollm2, instruction: x}\n"
    assert one(examined(yaml), "model.chat").state == "skipped"
    assert not [seen for seen in light_runner.seen("*/chat/completions")]
    answer = one(examined(yaml, chat=True), "model.chat")
    assert answer.state == "ok"
    assert answer.data["first_seconds"] is not None


# -- servers of OpenAI's interface


def served(server: OpenAIServer, model: str, *, key: str = "", **strategy: object) -> str:
    yaml = f"models:\n  m:\n    provider: openai\n    model: {model}\n"
    yaml += f"    base_url: {server.base_url}\n" + (f"    token_key: {key}\n" if key else "")
    return yaml + rag("m", **strategy)


def test_a_server_of_openai_s_interface_is_examined_too(light_openai: OpenAIServer) -> None:
    found = examined(served(light_openai, "all-minilm"))
    assert failures(found) == []
    assert one(found, "endpoint").state == "ok"
    assert one(found, "model.embedding").data["dimensions"] == 384


def test_a_key_is_wanted_and_never_shown(
    light_openai: OpenAIServer, monkeypatch: pytest.MonkeyPatch, ragkit: Ragkit
) -> None:
    light_openai.key = "sk-right"
    yaml = served(light_openai, "all-minilm", key="LAB_KEY")
    monkeypatch.delenv("LAB_KEY", raising=False)
    missing = one(examined(yaml), "endpoint.key")
    assert "LAB_KEY" in missing.detail
    assert missing.state == "failure"
    for key, code in (("sk-wrong", 2), ("sk-right", 0)):
        monkeypatch.setenv("LAB_KEY", key)
        done = ragkit("doctor")
        assert done.code == code, done.out
        assert key not in done.out + done.err + ragkit("doctor", "--json").out


def test_a_model_that_the_server_lacks_is_told_with_those_it_has(
    light_openai: OpenAIServer,
) -> None:
    found = examined(served(light_openai, "text-embedding-9"))
    assert "all-minilm" in one(found, "endpoint.model").detail
    assert one(found, "model.embedding").state == "failure"


def test_a_server_that_is_away_is_a_failure() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{free.getsockname()[1]}/v1"
    yaml = f"models:\n  m: {{provider: openai, model: x, base_url: '{url}'}}\n" + rag("m")
    found = one(examined(yaml), "endpoint")
    assert found.state == "failure"
    assert "nothing listens there" in found.detail


def test_reranking_and_chat_of_such_a_server_are_tried(light_openai: OpenAIServer) -> None:
    place = f"provider: openai, base_url: '{light_openai.base_url}'"
    yaml = (
        f"models:\n  r: {{{place}, model: bge-reranker-v2-m3}}\n  c: {{{place}, model: smollm2}}\n"
        "agents:\n  root: {model: c, instruction: x}\n"
    )
    found = examined(yaml + reranked("r"), chat=True)
    assert one(found, "model.reranking", "openai").state == "ok"
    assert one(found, "model.chat").state == "ok"


# -- built-in models


def test_the_built_in_table_is_tried() -> None:
    static, minilm = embedded()
    assert static.state == "ok"
    assert static.data["usable"] is True
    assert minilm.state == "skipped", "nothing uses it"


def test_a_built_in_model_without_its_files_fails_where_it_is_used() -> None:
    _, minilm = embedded({"embedded/minilm"})
    assert minilm.state == "failure"
    assert minilm.remedy


# -- the command


def test_the_command_prints_marks_and_what_to_try(ragkit: Ragkit) -> None:
    Path("ragkit.yaml").write_text(rag("dmr/ai/nomic-embed-text-v1.5"), encoding="utf-8")
    done = ragkit("doctor")
    assert done.code == 2
    lines = done.out.splitlines()
    assert lines[0] == "Docker Model Runner"
    assert "  ✓ version v1.2.6" in lines
    place = lines.index("dmr/ai/nomic-embed-text-v1.5")
    assert lines[place + 1].startswith("  ✗ not found locally")
    assert lines[place + 2] == "    try: docker model pull ai/nomic-embed-text-v1.5"
    assert lines[-1].endswith("1 failure")


def test_warnings_leave_the_exit_code_at_0(ragkit: Ragkit, light_runner: Runner) -> None:
    light_runner.only()
    done = ragkit("doctor")
    assert done.code == 0
    assert "  ! 0 models on its disk" in done.out
    assert done.out.rstrip().endswith("1 warning")


def test_json_has_every_finding_in_one_shape(ragkit: Ragkit) -> None:
    Path("ragkit.yaml").write_text(rag(), encoding="utf-8")
    done = ragkit("doctor", "--json")
    assert done.code == 0
    report: Mapping[str, Any] = json.loads(done.out)
    assert set(report) == {"version", "configuration", "findings"}
    for each in report["findings"]:
        assert set(each) == {"check", "subject", "state", "detail", "remedy", "seconds", "data"}
        assert each["state"] in ("ok", "warning", "failure", "skipped")
        assert isinstance(each["remedy"], list)


def test_a_wrong_configuration_is_an_error(ragkit: Ragkit) -> None:
    Path("ragkit.yaml").write_text("rag: [", encoding="utf-8")
    done = ragkit("doctor")
    assert done.code == 2
    assert done.err.startswith("error: ")
