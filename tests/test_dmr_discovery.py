"""Finding the model runner, in worlds built for it."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import socket
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from ragkit.errors import ModelUnreachable
from ragkit.models.dmr import discovery
from ragkit.models.dmr.discovery import attempts, docker_status, find, is_runner
from ragkit.models.dmr.places import PREFIX, World, endpoint_of, is_contained, steps
from ragkit.models.http import Endpoint

MODEL = {"id": "docker.io/ai/x:latest", "object": "model", "owned_by": "docker"}
RUNNER = {
    "/engines/v1/models": (200, json.dumps({"object": "list", "data": [MODEL]})),
    "/engines/status": (200, '{"llama.cpp": "Running: llama.cpp b10068"}'),
    "/": (200, "Docker Model Runner is running"),
}
EMPTY = RUNNER | {"/engines/v1/models": (200, '{"object": "list", "data": []}')}
OLLAMA = {
    "/": (200, "Ollama is running"),
    "/v1/models": (200, '{"object": "list", "data": [{"id": "x", "owned_by": "library"}]}'),
}
LLAMA = {
    "/v1/models": (200, '{"object": "list", "data": [{"id": "x", "owned_by": "llamacpp"}]}'),
}
DOCKER = {"": (404, '{"message":"page not found"}')}
Answers = Mapping[str, tuple[int, str]]


@contextmanager
def serving(answers: Answers, path: Path | None = None) -> Iterator[str]:
    """A server over TCP, or at a Unix socket with Docker's prefix; its URL or the socket's path."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked = self.path.removeprefix(PREFIX) if path else self.path
            status, text = answers.get(asked, answers.get("", (404, "404 page not found")))
            self.send_response(status)
            self.send_header("Content-Length", str(len(text.encode())))
            self.end_headers()
            self.wfile.write(text.encode())

        def address_string(self) -> str:
            return "a client"

        def log_message(self, *_: object) -> None:
            pass

    class Server(ThreadingHTTPServer):
        address_family = socket.AF_UNIX if path else socket.AF_INET

        def server_bind(self) -> None:  # that of HTTPServer wants a host and a port
            self.socket.bind(self.server_address)
            self.server_address = self.socket.getsockname()

    server = Server(str(path) if path else ("127.0.0.1", 0), Handler)  # type: ignore[arg-type]
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    try:
        yield str(path) if path else f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()


@pytest.fixture
def folder() -> Iterator[Path]:
    """A short path: those of Unix sockets are bounded."""
    made = Path(tempfile.mkdtemp(prefix="dmr"))
    yield made
    shutil.rmtree(made)


@pytest.fixture
def world(folder: Path) -> Callable[..., World]:
    def build(ports: tuple[int, int] = (1, 2), **environment: str) -> World:
        home = folder / "home"
        home.mkdir(exist_ok=True)
        return World(environment, home, folder / "root", ports)

    return build


def placed(base_url: str | None, world: World) -> list[list[str]]:
    return [[str(place) for place in step.places] for step in steps(base_url, world)]


def port_of(url: str) -> int:
    return int(url.rsplit(":", 1)[1])


def write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def write_json(path: Path, value: object) -> None:
    write(path, json.dumps(value))


# -- where


def test_on_a_host_the_usual_port_comes_first_then_dockers_sockets_then_the_cloud(world):
    built = world(ports=(12434, 12435))
    sockets = [
        built.home / ".docker/run/docker.sock",
        built.home / ".docker/desktop/docker.sock",
        built.files / "var/run/docker.sock",
    ]
    assert placed(None, built) == [
        [
            "http://127.0.0.1:12434",
            *(f"http://localhost{PREFIX} (through {path})" for path in sockets),
            "http://127.0.0.1:12435",
        ]
    ]


def test_the_socket_of_the_environment_and_of_dockers_context_come_before_the_usual_ones(world):
    built = world(DOCKER_HOST="unix:///run/me/docker.sock", DOCKER_CONTEXT="colima")
    meta = hashlib.sha256(b"colima").hexdigest()
    write_json(
        built.docker / "contexts/meta" / meta / "meta.json",
        {"Name": "colima", "Endpoints": {"docker": {"Host": "unix:///run/colima.sock"}}},
    )
    [places] = steps(None, built)

    found = [place.endpoint.socket for place in places.places]
    assert found[:3] == [None, "/run/me/docker.sock", "/run/colima.sock"]


def test_the_current_context_of_docker_names_a_socket(world):
    built = world()
    meta = hashlib.sha256(b"desktop-linux").hexdigest()
    write_json(built.docker / "config.json", {"currentContext": "desktop-linux"})
    write_json(
        built.docker / "contexts/meta" / meta / "meta.json",
        {"Endpoints": {"docker": {"Host": "unix:///run/desktop.sock"}}},
    )
    [step] = steps(None, built)

    assert step.places[1].endpoint.socket == "/run/desktop.sock"


def test_a_docker_reached_over_the_network_names_no_socket(world):
    built = world(DOCKER_HOST="tcp://10.0.0.1:2375")
    [step] = steps(None, built)

    assert [bool(place.endpoint.socket) for place in step.places] == [False, 1, 1, 1, False]


@pytest.mark.parametrize("mark", [".dockerenv", "run/.containerenv", "proc/1/cgroup"])
def test_inside_a_container_the_host_comes_first(world, mark):
    built = world(ports=(12434, 12435))
    write(built.files / mark, "12:pids:/kubepods/burstable/pod1\n")
    write(
        built.files / "proc/net/route",
        "Iface\tDestination\tGateway\tFlags\neth0\t0000A8C0\t00000000\t0001\n"
        "eth0\t00000000\t010011AC\t0003\n",
    )
    outside, inside = placed(None, built)

    assert outside == [
        "http://model-runner.docker.internal",
        "http://model-runner.docker.internal:12434",
        "http://host.docker.internal:12434",
        "http://172.17.0.1:12434",
    ]
    assert inside[0] == "http://127.0.0.1:12434"


def test_another_gateway_comes_before_that_of_dockers_usual_network(world):
    built = world(ports=(12434, 12435))
    write(built.files / ".dockerenv", "")
    write(built.files / "proc/net/route", "Iface\tDest\tGw\neth0\t00000000\t0101A8C0\t3\n")

    assert placed(None, built)[0][3:] == ["http://192.168.1.1:12434", "http://172.17.0.1:12434"]


def test_a_host_is_no_container(world):
    built = world()
    write(built.files / "proc/1/cgroup", "0::/init.scope\n")

    assert not is_contained(built)


@pytest.mark.parametrize(
    ("pasted", "expected"),
    [
        ("http://a:12434", "http://a:12434"),
        (" http://a:12434/ ", "http://a:12434"),
        ("a:12434", "http://a:12434"),
        ("tcp://a:12434", "http://a:12434"),
        ("http://a/engines/v1/", "http://a"),
        ("http://a/engines/v1", "http://a"),
        ("http://a/engines/llama.cpp/v1", "http://a"),
        ("http://a/engines", "http://a"),
        ("http://a/v1", "http://a"),
        ("http://a/proxy/dmr/engines/v1", "http://a/proxy/dmr"),
        ("http://model-runner.docker.internal/engines/v1/", "http://model-runner.docker.internal"),
        ("http://[::1]:12434/v1", "http://[::1]:12434"),
        ("unix:///run/docker.sock", f"http://localhost{PREFIX} (through /run/docker.sock)"),
        ("unix:///run/model-runner.sock", "http://localhost (through /run/model-runner.sock)"),
        (
            f"http+unix:///run/x.sock{PREFIX}/engines/v1",
            f"http://localhost{PREFIX} (through /run/x.sock)",
        ),
        ("http+unix://%2Frun%2Fx.sock/", "http://localhost (through /run/x.sock)"),
    ],
)
def test_a_pasted_address_is_cut_to_its_root(pasted, expected):
    assert str(endpoint_of(pasted)) == expected


@pytest.mark.parametrize(
    "pasted",
    ["http://:0/engines/v1/", "http://", "ftp://a", "http://a:0", "http://a:x", "http://["],
)
def test_what_is_no_address_is_an_error_that_shows_one(pasted):
    with pytest.raises(ModelUnreachable, match="not the address") as caught:
        endpoint_of(pasted)
    assert "http://127.0.0.1:12434" in caught.value.remedy


def test_a_password_in_an_address_is_not_repeated():
    with pytest.raises(ModelUnreachable) as caught:
        endpoint_of("http://me:sesame@a:12434")
    assert "sesame" not in str(caught.value) + caught.value.remedy


def test_what_desktop_calls_its_address_is_dialled_through_the_socket(world):
    built = world()
    [step] = steps(f"http://localhost{PREFIX}/v1/", built)

    assert step.chosen
    assert [place.endpoint.socket for place in step.places][-1] == str(
        built.files / "var/run/docker.sock"
    )


@pytest.mark.parametrize(
    ("environment", "root", "verify"),
    [
        ({}, "http://a:1", True),
        ({"MODEL_RUNNER_TLS": "true"}, "https://a:1", True),
        ({"MODEL_RUNNER_TLS": "true", "MODEL_RUNNER_TLS_CA_CERT": "/ca"}, "https://a:1", "/ca"),
        (
            {"MODEL_RUNNER_TLS": "true", "MODEL_RUNNER_TLS_SKIP_VERIFY": "true"},
            "https://a:1",
            False,
        ),
    ],
)
def test_the_variables_decide_how_tls_is_spoken(world, environment, root, verify):
    [step] = steps(None, world(MODEL_RUNNER_HOST="http://a:1", **environment))

    assert [(one.endpoint.root, one.endpoint.verify) for one in step.places] == [(root, verify)]
    assert step.chosen


def test_with_tls_the_ports_of_this_machine_are_those_of_tls_and_its_own_certificate_counts(world):
    built = world(ports=(12434, 12435), MODEL_RUNNER_TLS="true")
    own = built.docker / "model-runner/certs/ca.crt"
    write(own, "x")
    [step] = steps(None, built)

    first, last = step.places[0].endpoint, step.places[-1].endpoint
    assert (first.root, first.verify) == ("https://127.0.0.1:12444", str(own))
    assert last.root == "https://127.0.0.1:12445"


def test_a_base_url_is_taken_before_everything_else(world):
    built = world(MODEL_RUNNER_HOST="http://b:1", MODEL_RUNNER_TLS="true")

    assert placed("http://a:1/engines/v1", built) == [["http://a:1 (base_url)"]]


def test_a_named_context_is_taken_and_the_environment_overrides_its_fields(world):
    tls = {"enabled": True, "skipVerify": True, "caCert": "/ca"}
    contexts = {"current": "lab", "contexts": {"lab": {"host": "http://c:1", "tls": tls}}}
    plain, overridden = world(), world(MODEL_RUNNER_TLS_SKIP_VERIFY="false")
    write_json(plain.docker / "model/contexts.json", contexts)

    [[place]] = (step.places for step in steps(None, plain))
    assert str(place) == "https://c:1 (context lab)"
    assert place.endpoint.verify is False
    [[place]] = (step.places for step in steps(None, overridden))
    assert place.endpoint.verify == "/ca"


@pytest.mark.parametrize("current", ["", "default"])
def test_the_default_context_names_nothing(world, current):
    built = world()
    write_json(built.docker / "model/contexts.json", {"version": 1, "current": current})

    assert placed(None, built)[0][0] == "http://127.0.0.1:1"


@pytest.mark.parametrize("text", ["{", "[]", '{"current": "gone", "contexts": {}}'])
def test_a_broken_file_of_contexts_is_an_error_that_names_it(world, text):
    built = world()
    write(built.docker / "model/contexts.json", text)

    with pytest.raises(ModelUnreachable, match=r"contexts\.json") as caught:
        placed(None, built)
    assert caught.value.remedy


def test_dockers_settings_may_be_elsewhere(world, folder):
    built = world(DOCKER_CONFIG=str(folder / "docker"))
    contexts = {"current": "lab", "contexts": {"lab": {"host": "c:1"}}}
    write_json(folder / "docker/model/contexts.json", contexts)

    assert placed(None, built) == [["http://c:1 (context lab)"]]


# -- asking


def test_a_runner_is_known_by_what_it_says():
    with serving(RUNNER) as url:
        assert is_runner(Endpoint(url)) == (True, "Docker Model Runner")


def test_a_runner_without_models_is_one_too():
    with serving(EMPTY) as url:
        assert is_runner(Endpoint(url))[0]


@pytest.mark.parametrize(
    ("answers", "name"),
    [
        (OLLAMA, "Ollama answers there"),
        (LLAMA, "llama.cpp's own server answers there"),
        (DOCKER, "Docker answers there, without a model runner"),
        ({"": (200, "<html>")}, "something else"),
        ({"": (200, "{}")}, "something else"),
        ({"": (200, '{"error": "not found"}')}, "something else"),
        ({"": (502, "")}, r"something else \(status 502\)"),
    ],
)
def test_a_stranger_on_the_port_is_called_by_its_name(world, answers, name):
    with serving(answers) as url, pytest.raises(ModelUnreachable, match=name) as caught:
        find(url, world())
    assert caught.value.remedy


def test_ollama_is_met_with_the_provider_that_speaks_to_it(world):
    with serving(OLLAMA) as url, pytest.raises(ModelUnreachable) as caught:
        find(url, world())
    assert "provider: openai" in caught.value.remedy


def test_the_first_place_that_answers_is_taken_and_strangers_are_passed_by(world):
    with serving(OLLAMA) as stranger, serving(RUNNER) as url:
        built = world(ports=(port_of(stranger), port_of(url)))

        assert find(None, built) == Endpoint(url)
        assert [one.answered for one in attempts(None, built)] == [False] * 4 + [True]


def test_the_order_counts_when_several_answer(world):
    with serving(RUNNER) as first, serving(RUNNER) as second:
        assert find(None, world(ports=(port_of(first), port_of(second)))) == Endpoint(first)


def test_dockers_socket_leads_to_the_runner_behind_its_prefix(world):
    built = world()
    path = built.files / "var/run/docker.sock"
    path.parent.mkdir(parents=True)
    with serving(RUNNER, path):
        found = find(None, built)

    assert (found.root, found.socket) == (f"http://localhost{PREFIX}", str(path))


def test_a_socket_of_docker_without_a_runner_is_passed_by(world):
    built = world()
    path = built.files / "var/run/docker.sock"
    path.parent.mkdir(parents=True)
    with serving(DOCKER, path):
        found = attempts(None, built)

    assert "Docker answers there" in found[3].detail


def test_nothing_at_all_is_an_error_with_all_places_and_both_fixes(world):
    with pytest.raises(ModelUnreachable) as caught:
        find(None, world())

    error = caught.value
    assert "127.0.0.1:1: nothing listens there" in error.message
    assert "there is no such socket" in error.message
    assert "docker desktop enable model-runner --tcp 12434" in error.remedy
    assert "docker-model-plugin" in error.remedy


@pytest.mark.parametrize("name", ["base_url", "MODEL_RUNNER_HOST", "context lab"])
def test_a_named_place_that_does_not_answer_is_never_passed_by(world, name):
    with serving(RUNNER) as url:
        ports, nowhere = (port_of(url), 2), "http://127.0.0.1:1"
        environment = {"MODEL_RUNNER_HOST": nowhere} if name == "MODEL_RUNNER_HOST" else {}
        built = world(ports=ports, **environment)
        if name == "context lab":
            contexts = {"current": "lab", "contexts": {"lab": {"host": nowhere}}}
            write_json(built.docker / "model/contexts.json", contexts)
        with pytest.raises(ModelUnreachable) as caught:
            find(nowhere if name == "base_url" else None, built)

    assert name in caught.value.message
    assert "nothing listens there" in caught.value.message


def test_a_certificate_that_cannot_be_read_is_told_with_its_variable(world):
    built = world(
        MODEL_RUNNER_HOST="https://127.0.0.1:1", MODEL_RUNNER_TLS_CA_CERT="/nowhere/ca.crt"
    )
    with pytest.raises(ModelUnreachable, match=r"/nowhere/ca\.crt") as caught:
        find(None, built)
    assert "MODEL_RUNNER_TLS_CA_CERT" in caught.value.remedy


def test_a_place_that_never_answers_costs_no_more_than_its_share(world, monkeypatch):
    monkeypatch.setattr(discovery, "PATIENCE", 0.15)
    with socket.create_server(("127.0.0.1", 0)) as silent, serving(RUNNER) as url:
        built = world(ports=(silent.getsockname()[1], port_of(url)))
        begun = time.monotonic()
        found = attempts(None, built)

        assert time.monotonic() - begun < 1.5
        assert found[0].detail == "no answer within 0.15 s"
        assert found[-1].answered


def test_a_runner_is_looked_for_once_in_a_process(monkeypatch, folder):
    seen = []
    monkeypatch.setenv("HOME", str(folder))
    monkeypatch.setattr(discovery, "_find", lambda *_: seen.append(1) or Endpoint("http://a"))
    threads = [threading.Thread(target=find, args=("http://once:1",)) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert len(seen) == 1
    monkeypatch.setenv("MODEL_RUNNER_HOST", "http://another:1")
    find("http://once:1")
    assert len(seen) == 2


# -- Docker's own word


def docker(folder: Path, script: str) -> World:
    command = folder / "docker"
    command.write_text(f"#!/bin/sh\n{script}\n")
    command.chmod(0o755)
    path = f"{folder}:{os.environ['PATH']}"
    return World({"PATH": path}, folder)


def test_dockers_status_is_read_and_nothing_is_installed(folder):
    status = {
        "running": True,
        "kind": "Docker Engine",
        "endpoint": "http://172.17.0.1:12434/v1/",
        "endpointHost": "http://127.0.0.1:12434/v1/",
    }
    built = docker(folder, f"test $MODEL_RUNNER_NO_AUTO_INSTALL = 1 && echo '{json.dumps(status)}'")
    found = docker_status(built)

    assert found.running
    assert (found.kind, found.endpoint) == ("Docker Engine", "http://127.0.0.1:12434")


def test_the_address_without_a_port_of_old_versions_is_none(folder):
    built = docker(folder, """echo '{"running":true,"endpoint":"http://:0/engines/v1/"}'""")

    assert docker_status(built).endpoint == ""


@pytest.mark.parametrize(
    ("script", "words"),
    [
        ("""echo "docker: 'model' is not a docker command" >&2; exit 1""", "not a docker command"),
        ("echo Docker Model Runner is not running; exit 1", "is not running"),
        ("exit 3", "exit code 3"),
    ],
)
def test_what_docker_says_instead_is_passed_on(folder, script, words):
    found = docker_status(docker(folder, script))

    assert not found.running
    assert words in found.detail


def test_docker_that_hangs_is_ended_with_all_it_started(folder):
    built = docker(folder, "sleep 60 & sleep 60")
    begun = time.monotonic()

    assert "no answer within" in docker_status(built, timeout=0.1).detail
    assert time.monotonic() - begun < 5


def test_without_docker_there_is_nothing_to_ask(folder):
    assert "not installed" in docker_status(World({"PATH": str(folder)}, folder)).detail
