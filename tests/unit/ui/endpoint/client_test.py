"""The Python client and a gateway that is away, busy, or breaks off."""

from __future__ import annotations

import asyncio
import inspect
import itertools
import json
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib.resources import files
from pathlib import Path
from typing import Any, get_type_hints

import pytest
from drillyard import AsyncClient, Client, GatewayError
from drillyard.job.v1.job_pb2 import JOB_STATE_SUCCEEDED

from ui.cli.connection import Gateway
from ui.gateway.access.rules import ROUTES, rules_of

AWAY = {"code": "UNAVAILABLE", "problem": "The trainer is away.", "next_step": "Wait."}
RUN = {"test_run": {"test_run_id": "r1", "spec": {"seed": "7"}, "job": {"state": "JOB_STATE_SUCCEEDED"}}}


class Script(ThreadingHTTPServer):
    """Answers with what was laid down for it, one answer after the other."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.answers: list[Callable[[BaseHTTPRequestHandler], None]] = []
        self.requests: list[tuple[str, str, Any]] = []
        self.url = f"http://127.0.0.1:{self.server_port}"


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Script

    def _answer(self) -> None:
        content = self.rfile.read(int(self.headers.get("content-length", 0)))
        self.server.requests.append((self.command, self.path, json.loads(content) if content else None))
        self.server.answers.pop(0)(self)

    do_GET = do_POST = _answer  # noqa: N815

    def log_message(self, format: str, *args: Any) -> None:
        pass


@pytest.fixture
def script() -> Iterator[Script]:
    with Script() as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def says(status: int, body: Any, **headers: str) -> Callable[[BaseHTTPRequestHandler], None]:
    def answer(handler: BaseHTTPRequestHandler) -> None:
        content = json.dumps(body).encode()
        handler.send_response(status)
        for name, value in {"content-length": str(len(content)), **headers}.items():
            handler.send_header(name.replace("_", "-"), value)
        handler.end_headers()
        handler.wfile.write(content)

    return answer


def tells_half(handler: BaseHTTPRequestHandler) -> None:
    """Begin an event, and break off in the middle of it."""
    handler.send_response(200)
    handler.send_header("transfer-encoding", "chunked")
    handler.end_headers()
    text = 'event: state\r\ndata: {"job_id": "r1",\r\n'
    handler.wfile.write(f"{len(text):x}\r\n{text}\r\n".encode())
    handler.close_connection = True


def tells(*sequences: int, state: str = "JOB_STATE_RUNNING", breaks: bool = False) -> Any:
    """Tell the events of these numbers, and end in good order or not."""

    def answer(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(200)
        handler.send_header("transfer-encoding", "chunked")
        handler.end_headers()
        for sequence in sequences:
            event = {"job_id": "r1", "sequence": str(sequence), "type": "state", "state": {"state": state}}
            text = f": ping\r\n\r\nid: {sequence}\r\nevent: state\r\ndata: {json.dumps(event)}\r\n\r\n"
            handler.wfile.write(f"{len(text):x}\r\n{text}\r\n".encode())
        handler.wfile.write(b"" if breaks else b"0\r\n\r\n")
        handler.close_connection = True

    return answer


def both(url: str, use: Callable[[Any], Any]) -> Iterator[Any]:
    """Yield what `use` makes of the blocking client and of the other one, one after the other."""
    with Client(url, "", retry_seconds=60) as blocking:
        yield use(blocking)

    async def awaited() -> Any:
        async with AsyncClient(url, "", retry_seconds=60) as other:
            result = use(other)
            return await result if inspect.isawaitable(result) else [item async for item in result]

    yield asyncio.run(awaited())


def test_what_is_safe_to_repeat_is_repeated_until_the_gateway_is_back(script: Script) -> None:
    busy = says(429, {**AWAY, "code": "RESOURCE_EXHAUSTED"}, retry_after="0.01")
    script.answers = [says(503, AWAY), busy, says(200, RUN)] * 2
    for run in both(script.url, lambda one: one.test_runs.get("r1")):
        assert (run.test_run_id, run.spec.seed, run.job.state) == ("r1", 7, JOB_STATE_SUCCEEDED)
    assert script.requests == [("GET", "/api/v1/test-runs/r1", None)] * 6


def test_a_create_is_repeated_by_its_request_id_and_nothing_else_is(script: Script) -> None:
    script.answers = [says(503, AWAY), says(200, RUN)] * 2
    for run in both(script.url, lambda one: one.test_runs.create(model_version_id="m", seed=7, evaluate=False)):
        assert run.test_run_id == "r1"
    bodies = [body for _, _, body in script.requests]
    assert bodies[0] == bodies[1] and bodies[2] == bodies[3] and bodies[0]["request_id"] != bodies[2]["request_id"]
    assert bodies[0] | {"request_id": ""} == {"request_id": "", "model_version_id": "m", "seed": 7}
    assert {path for _, path, _ in script.requests} == {"/api/v1/test-runs?evaluate=false"}
    script.answers = [says(503, AWAY)]
    with Client(script.url) as one, pytest.raises(GatewayError, match="The trainer is away") as caught:
        one.training_jobs.cancel("t1")
    assert (caught.value.status, caught.value.code, caught.value.next_step) == (503, "UNAVAILABLE", "Wait.")


def test_a_used_up_quota_and_a_redirect_are_told_at_once(script: Script, tmp_path: Path) -> None:
    script.answers = [says(429, {**AWAY, "code": "RESOURCE_EXHAUSTED", "problem": "All of 1 jobs are used."})] * 2
    with pytest.raises(GatewayError, match="All of 1 jobs are used"):
        next(both(script.url, lambda one: one.test_runs.create(model_version_id="m")))
    assert len(script.requests) == 1
    script.answers = [says(301, {}, location="https://lab.example/api/v1/test-runs/r1")] * 3
    uses: list[Callable[[Any], Any]] = [
        lambda gateway: gateway.get("/test-runs/r1"),
        lambda gateway: list(gateway.events("/test-runs/r1/events")),
        lambda gateway: gateway.download("/test-runs/r1", tmp_path / "out"),
    ]
    with Gateway(script.url, "") as gateway:
        for use in uses:
            with pytest.raises(GatewayError, match="redirect to https:") as caught:
                use(gateway)
            assert caught.value.code == "FAILED_PRECONDITION"
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("key", ["dk_\n_secret", "dk_é_secret"])
def test_no_error_holds_a_key_or_a_password(key: str) -> None:
    with pytest.raises(GatewayError, match="characters that none has") as caught:
        Client("http://127.0.0.1:9", key)
    assert "secret" not in str(caught.value)
    with pytest.raises(GatewayError, match="is not an HTTP address") as caught:
        Client("http://ann:secret@127.0.0.1:9", "")
    assert "secret" not in str(caught.value)


def test_a_watch_goes_on_where_the_line_broke_and_ends_with_the_job(script: Script) -> None:
    ended = tells(3, state="JOB_STATE_SUCCEEDED")
    script.answers = [tells(1, 2, breaks=True), says(503, AWAY), ended]
    script.answers += [tells(1), tells(2, breaks=True), tells_half, ended]
    expected = [[1, 2, 3]] * 2
    watched = both(script.url, lambda one: one.test_runs.watch("r1"))
    assert [[told.event.sequence for told in events] for events in watched] == expected
    places = [path.rpartition("=")[2] for _, path, _ in script.requests]
    assert places == ["0", "2", "2", "0", "1", "2", "2"]


def test_a_list_goes_over_its_pages(script: Script) -> None:
    pages = [{"models": [{"model_id": "a"}], "next_page_token": "t"}, {"models": [{"model_id": "b"}]}]
    script.answers = [says(200, page) for page in pages] * 2
    for models in both(script.url, lambda one: one.models.list(page_size=1)):
        assert [model.model_id for model in models] == ["a", "b"]
    assert [path for _, path, _ in script.requests][:2] == [
        "/api/v1/models?page_size=1",
        "/api/v1/models?page_size=1&page_token=t",
    ]


def test_address_and_key_are_those_of_the_environment(script: Script, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DRILLYARD_URL", f"{script.url}/behind/")
    monkeypatch.setenv("DRILLYARD_API_KEY", "dk-1")
    keys: list[str | None] = []
    script.answers = [lambda handler: (keys.append(handler.headers["authorization"]), says(200, {})(handler))[1]]
    with Client() as one:
        assert one.caller.get() == {}
    assert (keys, script.requests[0][1]) == (["Bearer dk-1"], "/behind/api/v1/caller")


def test_every_route_is_a_method_of_both_clients_whose_types_are_there() -> None:
    table = json.loads((files("drillyard") / "routes.json").read_text(encoding="utf-8"))
    methods = {(entry["noun"], entry["name"]) for entry in table}
    assert len(methods) == len(table)
    for (noun, name), owner in itertools.product(methods, (Client, AsyncClient)):
        kind = get_type_hints(vars(owner)[noun].func)["return"]
        assert "return" in get_type_hints(getattr(kind, name))
    ruled = {(rule.method, rule.path.removeprefix("/api/v1")) for rule in rules_of(ROUTES) if "/api/v1" in rule.path}
    # Bytes are sent in parts by `client.send`.
    others = {("PUT", "/uploads/{upload_id}/files/{name:path}")}
    assert ruled - others == {tuple(entry["route"].split()) for entry in table}
