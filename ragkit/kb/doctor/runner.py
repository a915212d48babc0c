"""The model runner itself: is it reachable, which one is it, what has it."""

from __future__ import annotations

from collections.abc import Generator, Iterator
from typing import Final

from ragkit.errors import ModelError
from ragkit.kb.doctor.finding import Finding, State, timed
from ragkit.models.dmr import discovery
from ragkit.models.dmr.runner import Runner

SUBJECT: Final = "Docker Model Runner"

STEPS: Final = """\
see whether it runs: docker model status
Docker Desktop: enable it in Settings > AI, with "Enable host-side TCP support"; \
or: docker desktop enable model-runner --tcp 12434
Docker Engine: sudo apt-get install docker-model-plugin (or dnf install), then: docker model status
if it runs elsewhere: set MODEL_RUNNER_HOST, or give --host URL
if it runs and does not answer: docker model logs"""
"""What helps where nothing answers, one step a line."""


def examine(url: str | None, *, needed: bool = True) -> Generator[Finding, None, Runner | None]:
    """Findings about the runner at a URL, or about every place where one may be.

    Returns the one that is used, None where none answers; that is no failure unless it is `needed`.
    """
    subject = f"{SUBJECT} at {url}" if url else SUBJECT
    try:
        attempts = discovery.attempts(url)
    except ModelError as error:
        yield Finding("runner", subject, "failure", error.message, error.remedy)
        return None
    used = next((one for one in attempts if one.answered), None)
    for one in attempts:
        state: State = "ok" if one is used else "skipped"
        also = "; not used" if one.answered and one is not used else ""
        data = {"where": one.where, "answered": one.answered}
        yield Finding("runner.place", subject, state, f"{one.where}: {one.detail}{also}", data=data)
    if used is None:
        yield from _nothing(subject, needed)
        return None
    runner = Runner(used.endpoint)
    for check in (_version, _backends, _models, _disk):
        try:
            yield from check(runner, subject)
        except ModelError as error:
            yield Finding("runner", subject, "warning", error.message, error.remedy)
    return runner


def _nothing(subject: str, needed: bool) -> Iterator[Finding]:
    if not needed:
        words = "no model runner answers; the configuration needs none"
        yield Finding("runner", subject, "skipped", words)
        return
    docker = discovery.docker_status()
    said = docker.detail
    if "unknown flag" in said or "is not a docker command" in said:
        said = "Docker's plugin for models is not installed, or very old"
    if docker.running:
        said = f"docker model status says that it runs ({docker.kind or 'of unknown kind'})"
        said += f" at {docker.endpoint}" if docker.endpoint else ""
    elif not said:
        said = "docker model status says that it does not run"
    words = f"no model runner answers; {said}"
    remedy = STEPS
    if docker.running and docker.endpoint:
        remedy = f"ragkit doctor --host {docker.endpoint}\n{STEPS}"
    yield Finding("runner", subject, "failure", words, remedy, data={"docker": docker.running})


def _version(runner: Runner, subject: str) -> Iterator[Finding]:
    version, seconds = timed(runner.version)
    words = f"version {version}" if version else "it does not tell its version"
    data = {"version": version}
    yield Finding("runner.version", subject, "ok", words, seconds=seconds, data=data)


def _backends(runner: Runner, subject: str) -> Iterator[Finding]:
    for name, status in sorted(runner.backends().items()):
        word = status.partition(":")[0].strip().lower()
        # only llama.cpp is there from the beginning; the others are for those who install them
        usual = name == "llama.cpp"
        trouble = word == "error" or (usual and word == "not installed")
        state: State = "warning" if trouble else "skipped" if word == "not installed" else "ok"
        remedy = f"docker model install-runner --backend {name}\ndocker model logs"
        yield Finding(
            "runner.backend",
            subject,
            state,
            f"{name}: {status}",
            remedy if trouble else "",
            data={"backend": name, "status": status},
        )


def _models(runner: Runner, subject: str) -> Iterator[Finding]:
    count = len(runner.models())
    words = f"{count} model{'' if count == 1 else 's'} on its disk"
    remedy = "" if count else "docker model pull ai/embeddinggemma"
    state: State = "ok" if count else "warning"
    yield Finding("runner.models", subject, state, words, remedy, data={"models": count})


def _disk(runner: Runner, subject: str) -> Iterator[Finding]:
    models, engine = runner.disk()
    words = f"disk: {models / 1e9:.1f} GB for models, {engine / 1e9:.1f} GB for the engine"
    data = {"models_bytes": models, "engine_bytes": engine}
    yield Finding("runner.disk", subject, "ok", words, data=data)
