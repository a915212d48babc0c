"""The double as a process, for who wants to try the command line against it."""

from __future__ import annotations

import argparse
import signal
import threading

from .canned import CannedEngine, Engine
from .catalogue import CATALOGUE, generated
from .faults import USUAL
from .front import PREFIX
from .llama_engine import LlamaEngine, lacking
from .runner import Runner
from .store import canonical


def main() -> None:
    """Serve until a signal comes."""
    options = _options()
    engine: Engine = CannedEngine()
    catalogue = list(CATALOGUE)
    if not options.light:
        if reason := lacking():
            raise SystemExit(f"{reason}; --light does without")
        engine, catalogue = LlamaEngine(), [generated(model) for model in CATALOGUE]
    runner = Runner(engine, catalogue, port=options.port, socket=options.socket)
    # what has come in would only grow
    runner.keeps_requests = False
    if options.pulled is not None:
        unknown = [each for each in options.pulled if canonical(each) not in runner.registry]
        if unknown:
            raise SystemExit(f"no such model: {', '.join(unknown)}")
        runner.only(*options.pulled)
    runner.old = options.old
    runner.scheduler.load_seconds = options.load_seconds
    runner.pull_seconds = options.pull_seconds
    if options.failing:
        runner.fail("POST /engines/*", USUAL, rate=options.failing)
    _tell(runner)
    stopped = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stopped.set())
    stopped.wait()
    runner.close()
    if isinstance(engine, LlamaEngine):
        engine.close()


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.engine")
    parser.add_argument("--port", type=int, default=12434, help="0 takes a free one")
    parser.add_argument("--socket", help="path of a Unix socket to listen on besides")
    parser.add_argument(
        "--pulled", action="append", help="a model that is local; without it, most of them are"
    )
    parser.add_argument("--light", action="store_true", help="no llama.cpp: vectors out of hashes")
    parser.add_argument("--old", action="store_true", help="as a release before 1.0.10")
    parser.add_argument("--load-seconds", type=float, default=0.0, help="time a load takes more")
    parser.add_argument("--pull-seconds", type=float, default=0.1, help="time each line takes")
    parser.add_argument("--failing", type=float, default=0.0, help="share of requests that fail")
    return parser.parse_args()


def _tell(runner: Runner) -> None:
    print(f"MODEL_RUNNER_HOST={runner.url}")
    print(f"socket: {runner.socket} (below {PREFIX})")
    local = {kept.model.reference for kept in runner.store.kept}
    for model in runner.registry.values():
        where = "local" if model.reference in local else "to pull"
        print(f"  {where:8}{model.kind:12}{model.reference}")
    print(end="", flush=True)
