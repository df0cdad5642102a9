"""`drillyard up`: it starts everything, stops everything, and leaves nothing behind however it ends."""

import http.server
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil

from services.protocols.profile import get_profile
from tests.integration.processes import ROOT
from tests.machine import PATIENCE_SECONDS, command_of
from ui.cli.connection import Gateway, GatewayError

NAMES = {"registry", "test_runner", "trainer", "evaluator", "feedback", "gateway"}


@contextmanager
def _up(folder: Path, *options: str, **variables: str) -> Iterator[subprocess.Popen[str]]:
    command = [sys.executable, "-m", "ui.cli", "up", "--data", str(folder), "--json", *options]
    environment = {**os.environ, "PYTHONPATH": f"{ROOT}:{ROOT}/proto/gen", **variables}
    pipes: dict[str, Any] = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    with subprocess.Popen(command, cwd=ROOT, env=environment, start_new_session=True, **pipes) as process:
        try:
            yield process
        finally:
            process.kill()


def _ready(process: subprocess.Popen[str]) -> tuple[dict[str, Any], list[psutil.Process]]:
    assert process.stdout is not None
    lines = []
    for text in process.stdout:
        lines.append(json.loads(text))
        if lines[-1]["event"] == "ready":
            break
    assert {one["service"] for one in lines[:-1]} == NAMES
    children = psutil.Process(process.pid).children()
    assert len(children) == len(NAMES)
    return lines[-1], children


def _gone(children: list[psutil.Process], seconds: float = PATIENCE_SECONDS) -> bool:
    _, alive = psutil.wait_procs(children, timeout=seconds)
    return not alive


# They lead nowhere or cannot be read; between services and the gateway, at 127.0.0.1, nothing may ask one.
_DEAD = dict.fromkeys(("http_proxy", "https_proxy", "HTTP_PROXY", "grpc_proxy"), "http://127.0.0.1:9")
_PROXIES = {**_DEAD, "ALL_PROXY": "socks4://[::1", "no_proxy": "localhost", "NO_PROXY": "localhost"}


class Echo(http.server.BaseHTTPRequestHandler):
    """Refuses every request in words that hold the key and the prompt."""

    def do_POST(self) -> None:
        sent = self.rfile.read(int(self.headers["content-length"])).decode()
        body = json.dumps({"error": {"message": f"{self.headers['authorization']} {sent}"}}).encode()
        self.send_response(400)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_words: object) -> None:
        """Write nothing."""


@contextmanager
def _echoing() -> Iterator[str]:
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Echo) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://localhost:{server.server_address[1]}/v1"
        server.shutdown()


def test_it_is_small_keeps_keys_prompts_and_the_home_from_its_logs_and_ends_whole_by_a_signal(tmp_path: Path) -> None:
    key, home = "canary-of-a-key", tmp_path / "home" / "canary-of-a-name"
    home.mkdir(parents=True)
    (suite, *_) = get_profile("text").suites()
    prompts = [json.loads(line)["task"] for line in suite.text.splitlines()]
    with (
        _echoing() as base_url,
        _up(tmp_path / "data", "--port", "0", HOME=str(home), TEST_RUNNER_SECRET_LAB=key, **_PROXIES) as process,
    ):
        ready, children = _ready(process)
        gateway = Gateway(ready["url"])
        assert gateway.get("/test-suites")["test_suite_versions"]
        assert gateway.get("/loops")["loops"] == []
        # What processes share counts once.
        resident = [item.memory_full_info().pss for item in (psutil.Process(process.pid), *children)]
        assert sum(resident) < 600e6, [number >> 20 for number in resident]
        endpoint = {"base_url": base_url, "model": "theirs", "api_key_secret": "lab"}
        body = {"test_suite_version_id": f"{suite.suite_id}@{suite.version}", "endpoint": endpoint}
        run = gateway.post("/test-runs", body)["test_run"]
        place = f"/test-runs/{run['test_run_id']}"
        assert _soon(lambda: gateway.get(place)["test_run"]["job"]["state"] == "JOB_STATE_SUCCEEDED")
        answers = json.dumps(gateway.get("/transcripts", test_run_id=run["test_run_id"]))
        token = (tmp_path / "data" / "service-token").read_text().strip()
        process.send_signal(signal.SIGINT)
        assert process.wait(PATIENCE_SECONDS) == 0
        assert _gone(children, 1)
    logs = {file.name: file.read_text() for file in (tmp_path / "data" / "logs").iterdir()}
    assert len(logs) == len(NAMES)
    text = "".join(logs.values())
    assert prompts[0] in answers
    assert not [word for word in (*prompts, home.name) if word in text]
    assert not [secret for secret in (key, token) if secret in text + answers]


def test_nothing_outlives_a_launcher_that_is_killed(tmp_path: Path) -> None:
    with _up(tmp_path, "--port", "0") as process:
        _, children = _ready(process)
        # Meanwhile nobody else can use the folder.
        assert "The registry did not start (exit status 2). registry: Another process" in _refused(
            tmp_path, "--port", "0"
        )
        process.kill()
        assert _gone(children)


def _kill(process: subprocess.Popen[str], name: str) -> None:
    module = "ui" if name == "gateway" else f"services.{name}"
    next(child for child in psutil.Process(process.pid).children() if command_of(child).endswith(f"-m {module}")).kill()


def _next_event(process: subprocess.Popen[str]) -> dict[str, Any]:
    assert process.stdout is not None
    return dict(json.loads(process.stdout.readline()))


def _answers(gateway: Gateway) -> bool:
    try:
        gateway.get("/evaluations", page_size=1)
    except GatewayError:
        return False
    return True


def test_a_process_that_ends_is_started_again_at_its_address_and_one_that_ends_again_and_again_ends_all(
    tmp_path: Path,
) -> None:
    with _up(tmp_path, "--port", "0") as process:
        ready, _ = _ready(process)
        gateway = Gateway(ready["url"])
        for name in ("evaluator", "gateway"):
            _kill(process, name)
            assert f"The {name} ended unexpectedly (was killed by SIGKILL)." in _next_event(process)["problem"]
            serving = _next_event(process)
            assert (serving["event"], serving["service"]) == ("serving", name)
            assert _soon(lambda: _answers(gateway))
        assert f"http://{serving['address']}" == ready["url"]

        for _ in range(5):
            _kill(process, "feedback")
            assert [_next_event(process)["event"] for _ in range(2)] == ["restart", "serving"]
        children = psutil.Process(process.pid).children()
        _kill(process, "feedback")
        _, said = process.communicate(timeout=PATIENCE_SECONDS)
        assert process.returncode == 1
        assert "It was started again 5 times" in json.loads(said)["problem"]
        assert _gone(children, 1)


def _refused(folder: Path, *options: str) -> str:
    with _up(folder, *options) as process:
        _, said = process.communicate(timeout=PATIENCE_SECONDS)
        assert process.returncode == 1, said
        assert not psutil.pid_exists(process.pid)
    return str(json.loads(said)["problem"])


def test_a_port_in_use_is_said_before_anything_is_started(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        assert f"Port {port}" in _refused(tmp_path / "data", "--port", str(port))
    assert not (tmp_path / "data").exists()


def test_a_data_folder_that_cannot_be_used_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    assert str(tmp_path / "file") in _refused(tmp_path / "file", "--port", "0")


def _soon(holds: Callable[[], bool]) -> bool:
    end = time.monotonic() + PATIENCE_SECONDS
    while not holds() and time.monotonic() < end:
        time.sleep(0.05)
    return holds()


def test_a_signal_while_services_start_leaves_none_behind(tmp_path: Path) -> None:
    with _up(tmp_path, "--port", "0") as process:
        launcher = psutil.Process(process.pid)
        assert _soon(lambda: bool(launcher.children()))
        children = launcher.children()
        process.send_signal(signal.SIGTERM)
        process.wait(PATIENCE_SECONDS)
        assert _gone(children, 1)
