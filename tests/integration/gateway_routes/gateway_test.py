"""The gateway as a real process in front of services with a made-up model: REST, pages, events, errors, limits."""

import http.client
import json
import os
import re
import socket
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil
import pytest

from services.protocols.profile import get_profile
from tests.fakes.system.services import BASE, SUITE
from tests.integration.processes import ROOT, ServiceProcess, start_service
from tests.integration.system_process import SystemProcess
from tests.machine import PATIENCE_SECONDS
from tests.unit.registry.model_folders import write_model
from ui.cli.connection import Gateway, GatewayError
from ui.cli.follow import PlainLines, follow
from ui.models.import_commands import import_progress, start_import
from ui.models.sending import send_model

_JSON = {"Content-Type": "application/json"}
GOAL = {"metric": "conforming_rate", "minimum": 0.8}
_CASES = get_profile("roo_xml").suites()[0].text.splitlines()


@dataclass(frozen=True)
class Running:
    process: ServiceProcess
    url: str
    api: Gateway
    system: SystemProcess = field(repr=False)


@pytest.fixture(scope="module")
def gateway(system: SystemProcess) -> Iterator[Running]:
    with start_service("gateway", system.folder, port=0, max_event_streams=3, **system.addresses) as one:
        yield Running(one, f"http://{one.address}", Gateway(one.address), system)


def _ask(
    url: str, path: str, *, method: str = "GET", body: bytes | None = None, **headers: str
) -> tuple[int, dict[str, Any], bytes]:
    connection = http.client.HTTPConnection(url.removeprefix("http://"), timeout=PATIENCE_SECONDS)
    try:
        connection.request(method, path, body, headers)
        response = connection.getresponse()
        return response.status, dict(response.getheaders()), response.read()
    finally:
        connection.close()


def test_it_is_ready_soon_and_small(gateway: Running) -> None:
    process = psutil.Process(gateway.process.process.pid)
    # The pages come when they are asked for.
    assert process.memory_info().rss < 120e6
    assert process.cpu_times().user + process.cpu_times().system < 6.0


def _paths(gateway: Running) -> list[tuple[str, str]]:
    document = json.loads(_ask(gateway.url, "/openapi.json")[2])
    named = [(verb.upper(), path) for path, verbs in document["paths"].items() for verb in verbs]
    pages = (
        "/",
        "/models",
        "/doctor",
        "/test-runs",
        "/training-jobs",
        "/loops",
        "/docs",
        "/openapi.json",
        "/config",
        "/theme.css",
        "/nowhere",
    )
    own = ("queue/join", "queue/data", "upload", "file=/etc/passwd", "heartbeat/x", "info", "app_id", "reset", "cancel")
    return [*named, *(("GET", page) for page in pages), *(("POST", f"/gradio_api/{one}") for one in own)]


def test_no_route_answers_another_host_or_another_site(gateway: Running) -> None:
    found = _paths(gateway)
    assert len(found) > 50
    for method, path in found:
        for headers in ({"Host": "example.org"}, {"Origin": "https://example.org"}):
            status, _, body = _ask(gateway.url, path, method=method, body=b"{}", **headers)
            document = json.loads(body)
            if path.startswith("/v1/messages"):
                code = {"permission_error": "PERMISSION_DENIED"}[document["error"]["type"]]
            else:
                code = document["error"]["code"] if path.startswith("/v1") else document["code"]
            assert (status, code.upper()) == (403, "PERMISSION_DENIED"), (method, path, headers)


def _refused(folder: Path, **settings: str) -> str:
    """Start a gateway that must not come up, and return what it says."""
    environment = {**os.environ, **settings, "GATEWAY_DATA_DIR": str(folder), "PYTHONPATH": f"{ROOT}:{ROOT}/proto/gen"}
    command = [sys.executable, "-m", "ui"]
    ended = subprocess.run(
        command, check=False, env=environment, cwd=ROOT, capture_output=True, text=True, timeout=PATIENCE_SECONDS
    )
    assert ended.returncode == 2, ended.stderr
    return ended.stderr


def test_it_listens_on_loopback_only_and_refuses_anything_else(gateway: Running, tmp_path: Path) -> None:
    listening = psutil.Process(gateway.process.process.pid).net_connections()
    assert {one.laddr.ip for one in listening if one.status == psutil.CONN_LISTEN} == {"127.0.0.1"}
    assert "loopback only" in _refused(tmp_path, GATEWAY_HOST="0.0.0.0")


def test_a_port_in_use_is_said_with_the_variable_that_changes_it(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        said = _refused(tmp_path, GATEWAY_PORT=port)
    assert port in said
    assert "GATEWAY_PORT" in said


@pytest.mark.parametrize("page", ["/", "/doctor", "/test-suites", "/test-runs", "/training-jobs", "/loops"])
def test_every_page_is_served_and_names_no_other_site(gateway: Running, page: str) -> None:
    status, headers, body = _ask(gateway.url, page)
    assert status == 200
    assert "default-src 'self'" in headers["content-security-policy"]
    loaded = re.findall(rb'<(?:script|link|img|iframe)[^>]+(?:src|href)="(https?://[^"]+)"', body)
    assert not loaded


@pytest.mark.parametrize(
    "path",
    [
        "/gradio_api/file=/etc/passwd",
        "/gradio_api/file=..%2f..%2fetc%2fpasswd",
        "/gradio_api/file=%2e%2e/%2e%2e/etc/passwd",
        f"/gradio_api/file={ROOT}/pyproject.toml",
        "/gradio_api/proxy=http://127.0.0.1:22/",
        "/static/../../../../etc/passwd",
    ],
)
def test_no_file_of_the_machine_is_served(gateway: Running, path: str) -> None:
    status, _, body = _ask(gateway.url, path)
    assert status in (400, 403, 404)
    assert b"root:" not in body
    assert b"[project]" not in body


def test_lists_are_paged(gateway: Running) -> None:
    asked = {"evaluation_id": gateway.system.names["EVALUATION-BEFORE"], "page_size": 100}
    first = gateway.api.get("/verdicts", **asked)
    second = gateway.api.get("/verdicts", **asked, page_token=first["next_page_token"])
    assert (len(first["verdicts"]), len(second["verdicts"])) == (100, 30)
    assert second["next_page_token"] == ""


@pytest.mark.parametrize("noun", ["models", "model-versions", "imports", "test-suites", "datasets", "test-runs"])
@pytest.mark.parametrize("size", ["0", "-1", "1001", "many"])
def test_a_wrong_page_size_is_named(gateway: Running, noun: str, size: str) -> None:
    with pytest.raises(GatewayError) as caught:
        gateway.api.get(f"/{noun}", page_size=size if size != "0" else "00")
    assert caught.value.code == "INVALID_ARGUMENT"
    assert "page_size" in caught.value.problem


@pytest.mark.parametrize(
    "path",
    [
        "/models/nosuch",
        "/model-versions/nosuch@7",
        "/imports/nosuch",
        "/test-suites/roo_xml/nosuch",
        "/test-suites/roo_xml/nosuch@3/cases",
        "/datasets/nosuch",
        "/test-runs/nosuch",
        "/test-runs/nosuch/events",
        "/transcripts/nosuch/1",
        "/evaluations/nosuch",
        "/training-jobs/nosuch",
        "/training-jobs/nosuch/curve-points",
        "/loops/nosuch",
        "/loops/nosuch/report",
        "/loops/%00%0a%1b[31m",
    ],
)
def test_an_unknown_id_is_not_found_and_says_what_to_do(gateway: Running, path: str) -> None:
    status, headers, body = _ask(gateway.url, f"/api/v1{path}")
    problem = json.loads(body)
    assert status == 404
    assert headers["content-type"] == "application/problem+json"
    assert set(problem) == {"code", "problem", "next_step"}
    assert problem["code"] == "NOT_FOUND"
    assert problem["next_step"]


def _bodies(gateway: Running) -> Iterator[tuple[str, dict[str, Any]]]:
    document = json.loads(_ask(gateway.url, "/openapi.json")[2])
    for path, verbs in document["paths"].items():
        content = verbs.get("post", {}).get("requestBody", {}).get("content", {}).get("application/json")
        # OpenAI's routes take fields that they do not know, as its clients expect.
        if content and path.startswith("/api/"):
            name = content["schema"]["$ref"].rpartition("/")[2]
            yield path, document["components"]["schemas"][name]["properties"]


def test_a_typo_or_a_wrong_type_in_any_field_is_refused_and_named(gateway: Running) -> None:
    checked = 0
    for path, properties in _bodies(gateway):
        for name in properties:
            for body in ({f"{name}_": 1}, {name: [{"not": "this"}]}):
                status, _, answer = _ask(
                    gateway.url,
                    path,
                    method="POST",
                    body=json.dumps(body).encode(),
                    **{"Content-Type": "application/json"},
                )
                problem = json.loads(answer)["problem"]
                if problem.startswith("This gateway asks nobody for a login"):
                    continue
                assert status == 400, (path, body, answer)
                assert next(iter(body)) in problem, (path, body)
                checked += 1
    assert checked > 60


def test_a_number_that_does_not_fit_is_refused(gateway: Running) -> None:
    body = {"model_version_id": BASE, "test_suite_version_id": SUITE, "num_repeats": 2**40}
    with pytest.raises(GatewayError) as caught:
        gateway.api.post("/test-runs", body)
    assert caught.value.code == "INVALID_ARGUMENT"
    assert "repeats" in caught.value.problem


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b"\xff\xfe", b'"text"', b"null"])
def test_a_body_that_is_no_object_is_refused(gateway: Running, body: bytes) -> None:
    status, _, answer = _ask(gateway.url, "/api/v1/loops", method="POST", body=body, **_JSON)
    assert status == 400
    assert json.loads(answer)["code"] == "INVALID_ARGUMENT"


def test_a_test_and_its_evaluation_are_started_together(gateway: Running) -> None:
    started = gateway.api.post("/test-runs", {"model_version_id": BASE, "test_suite_version_id": SUITE})
    assert started["evaluation"]["test_run_id"] == started["test_run"]["test_run_id"]
    alone = gateway.api.post("/test-runs", {"model_version_id": BASE, "test_suite_version_id": SUITE}, evaluate="false")
    assert "evaluation" not in alone


def test_what_a_service_refuses_keeps_its_code_and_sentences(gateway: Running) -> None:
    body = {"model_version_id": BASE, "test_suite_version_id": SUITE, "budget": {"max_minutes": -1}}
    with pytest.raises(GatewayError) as caught:
        gateway.api.post("/loops", body)
    assert caught.value.code == "INVALID_ARGUMENT"
    assert "max_minutes" in caught.value.problem and caught.value.next_step


def test_an_upload_becomes_a_model(gateway: Running, tmp_path: Path) -> None:
    folder = write_model(tmp_path / "m")
    # Its check takes seconds and is not what is tested here.
    (folder / "tokenizer.json").unlink()
    artifact = send_model(gateway.api, folder, PlainLines(sys.stdout))
    started = start_import(gateway.api, "", "uploaded", artifact=artifact)
    progress = follow("Import", lambda: import_progress(gateway.api, started["import_id"]), PlainLines(sys.stdout))
    model_import = gateway.api.get(f"/imports/{started['import_id']}")["model_import"]
    assert model_import["model_version_id"] == "uploaded@1", progress.text


def test_a_name_that_no_hub_has_is_refused(gateway: Running) -> None:
    with pytest.raises(GatewayError) as caught:
        gateway.api.post("/imports", {"model_id": "m", "hub_id": "owner"})
    assert (caught.value.code, "owner/name" in caught.value.next_step) == ("INVALID_ARGUMENT", True)


def test_an_uploaded_suite_reaches_the_registry_by_digest(gateway: Running) -> None:
    content = f"{_CASES[0]}\n".encode()
    made = gateway.api.upload("/test-suites", content, test_suite_id="roo_xml/mine")["test_suite_version"]
    assert made["test_suite_version_id"] == "roo_xml/mine@1"
    assert made["artifact"]["size_bytes"] == str(len(content))
    path = Path(made["artifact"]["uri"].removeprefix("file://"))
    assert path.read_bytes() == content


def test_a_suite_is_validated_described_and_downloaded(gateway: Running) -> None:
    prompt = b'{"prompt": "2+2?", "answer": "4"}\n'
    found = gateway.api.upload("/test-suites/validate", prompt + b"{", test_suite_id="text/x", format="prompts")
    assert (found["num_cases"], [one["line"] for one in found["problems"]]) == (1, [2])
    origin = {"licence": "CC0-1.0", "source": "a friend"}
    made = gateway.api.upload("/test-suites", prompt, test_suite_id="text/described", format="prompts", **origin)
    known = made["test_suite_version"]["provenance"]
    assert (known["licence"], known["source"], known["seed"]) == ("CC0-1.0", "a friend", "")
    status, headers, body = _ask(gateway.url, f"/api/v1/test-suites/{SUITE}/export")
    assert (status, headers["content-disposition"]) == (200, 'attachment; filename="roo_xml-core-1.jsonl"')
    lines = body.decode().splitlines()
    assert lines == _CASES
    status, _, body = _ask(
        gateway.url, "/api/v1/test-suites?test_suite_id=text/x&format=fax", method="POST", body=b"{}"
    )
    assert (status, json.loads(body)["code"]) == (400, "INVALID_ARGUMENT")


def _events(url: str, path: str, **headers: str) -> list[tuple[str, str]]:
    request = urllib.request.Request(
        f"{url}/api/v1{path}", headers={k.replace("_", "-"): v for k, v in headers.items()}
    )
    with urllib.request.urlopen(request, timeout=PATIENCE_SECONDS) as response:
        text = response.read().decode()
    return re.findall(r"id: (\d+)\r?\nevent: (\w+)", text)


def test_events_come_in_order_to_the_end_and_continue_after_the_last_one_read(gateway: Running) -> None:
    path = f"/training-jobs/{gateway.system.names['TRAINING-JOB']}/events"
    events = _events(gateway.url, path)
    assert [int(sequence) for sequence, _ in events] == list(range(1, len(events) + 1))
    assert {events[0][1], events[-1][1]} == {"state"} and "progress" in dict(map(reversed, events))
    assert _events(gateway.url, f"{path}?after_sequence=1") == events[1:]
    assert _events(gateway.url, path, Last_Event_ID=str(len(events) - 1)) == events[-1:]


def test_event_streams_are_bounded_and_others_are_served_meanwhile(gateway: Running) -> None:
    path = f"{gateway.url}/api/v1/training-jobs/{gateway.system.live_training_job_id}/events"
    held = [urllib.request.urlopen(path, timeout=PATIENCE_SECONDS) for _ in range(3)]
    try:
        for one in held:
            one.readline()
        with pytest.raises(urllib.error.HTTPError) as caught:
            urllib.request.urlopen(path, timeout=PATIENCE_SECONDS)
        assert (caught.value.code, caught.value.headers["Retry-After"]) == (429, "5")
        caught.value.close()
        assert gateway.api.get("/models")["models"]
    finally:
        for one in held:
            one.close()


def test_the_report_has_both_sides_and_what_they_were_made_with(gateway: Running) -> None:
    report = gateway.api.get(f"/loops/{gateway.system.loop.loop_id}/report")
    assert (report["suite"], report["suite_version"], report["model"], report["seed"]) == (
        "roo_xml/core",
        1,
        BASE,
        1,
    )
    for side in (report["before"], report["after"]):
        assert set(side) >= {"conforming_rate", "accepted_rate", "well_formed_rate", "num_cases", "by_tool", "by_cause"}
        assert side["num_cases"] == sum(one["num_cases"] for one in side["by_tool"].values()) == 130
    assert report["before"]["conforming_rate"] == 0
    assert report["after"]["conforming_rate"] > 0.7
    assert len(report["gained_case_ids"]) == round(130 * report["after"]["conforming_rate"])


def test_a_report_before_the_first_evaluation_says_to_wait(gateway: Running) -> None:
    body = {"model_version_id": BASE, "test_suite_version_id": SUITE, "goals": [GOAL]}
    loop_id = gateway.api.post("/loops", body)["loop"]["loop_id"]
    with pytest.raises(GatewayError, match="has not finished its first test"):
        gateway.api.get(f"/loops/{loop_id}/report")


def test_metrics_count_requests(gateway: Running) -> None:
    gateway.api.get("/models")
    with urllib.request.urlopen(
        f"http://{gateway.process.metrics_address}/metrics", timeout=PATIENCE_SECONDS
    ) as response:
        text = response.read().decode()
    assert re.search(r'drillyard_http_requests_total\{method="GET",route="/api/v1/models",status="200"\} [1-9]', text)


def test_a_service_that_is_away_is_said_and_does_not_end_the_gateway(tmp_path: Path) -> None:
    with start_service("gateway", tmp_path, port=0, registry_address="127.0.0.1:1") as one:
        with pytest.raises(GatewayError) as caught:
            Gateway(one.address).get("/models")
        assert caught.value.code == "UNAVAILABLE"
        assert one.process.poll() is None
        assert one.stop() == 0
