"""The template doctor in REST, on the command line and on its page."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from types import SimpleNamespace
from typing import Any

import gradio as gr
import pytest
from drillyard.test_runner.v1 import diagnosis_pb2
from fastapi import FastAPI
from starlette.testclient import TestClient
from typer.testing import CliRunner

from ui.cli.__main__ import app
from ui.diagnoses.page import _Page, build
from ui.diagnoses.routes import router
from ui.diagnoses.views import diagnosis_view, sentence_of
from ui.shared.cache import ServiceCache
from ui.shared.environment import render
from ui.shared.parts import prompt_sizes

HOSTILE = "<script>alert(1)</script>{{ x }}\x1b[31m"


def response(
    *severities: diagnosis_pb2.Severity.ValueType, evidence: str = "shown"
) -> diagnosis_pb2.DiagnoseModelResponse:
    findings = [
        diagnosis_pb2.Finding(
            code=f"code_{place}", severity=one, problem="It is so.", fix="Mend it.", evidence=evidence
        )
        for place, one in enumerate(severities)
    ]
    return diagnosis_pb2.DiagnoseModelResponse(
        findings=findings, checks=["template", "edges"], num_prompt_tokens=900, num_context_tokens=8192
    )


class FakeTestRunner:
    """Answers every diagnosis with one error."""

    def __init__(self) -> None:
        self.asked: list[tuple[diagnosis_pb2.DiagnoseModelRequest, float]] = []

    async def DiagnoseModel(
        self, request: diagnosis_pb2.DiagnoseModelRequest, **options: float
    ) -> diagnosis_pb2.DiagnoseModelResponse:
        self.asked.append((request, options["timeout"]))
        return response(diagnosis_pb2.SEVERITY_ERROR)


async def test_the_page_offers_the_prompt_sizes_of_the_chosen_protocol() -> None:
    offered = {profile_id: prompt_sizes(profile_id, "full") for profile_id in ("openai_tools", "roo_xml", "text")}
    assert offered["openai_tools"].choices == [(size, size) for size in ("bare", "compact", "full")]
    assert [radio.value for radio in offered.values()] == ["full", "full", "compact"]
    with gr.Blocks() as site:
        build(ServiceCache(FastAPI()))
    assert prompt_sizes in [event.fn for event in site.fns.values()]


def test_the_route_hands_the_body_to_the_test_runner_and_shows_what_it_finds() -> None:
    runner, api = FakeTestRunner(), FastAPI()
    api.include_router(router)
    api.state.clients = SimpleNamespace(test_runner=runner)
    body = {"profile_id": "roo_xml", "endpoint": {"base_url": "http://127.0.0.1:8080/v1", "model": "m"}}
    with TestClient(api) as client:
        found = client.post("/models/small@1/diagnosis", json=body).json()
    (asked, seconds) = runner.asked[0]
    assert (asked.model_version_id, asked.profile_id, asked.endpoint.model) == ("small@1", "roo_xml", "m")
    assert seconds > 60
    assert found["findings"][0]["severity"] == "SEVERITY_ERROR"
    assert found["num_context_tokens"] == 8192


@contextmanager
def gateway(body: dict[str, Any]) -> Iterator[tuple[str, list[tuple[str, Any]]]]:
    asked: list[tuple[str, Any]] = []

    class Answering(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            length = int(self.headers["Content-Length"])
            asked.append((self.path, json.loads(self.rfile.read(length))))
            self.send_response(200)
            self.end_headers()
            self.wfile.write(json.dumps(body).encode())

        def log_message(self, format: str, *args: Any) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Answering) as server:
        threading.Thread(target=server.handle_request, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}", asked


def found(severity: str) -> dict[str, Any]:
    finding = {"code": "no_tool_role", "severity": severity, "problem": "It is so.", "fix": "Mend it.", "evidence": ""}
    return {"findings": [finding], "checks": ["tool_role"], "num_prompt_tokens": 9, "num_context_tokens": 0}


@pytest.mark.parametrize(("severity", "status"), [("SEVERITY_ERROR", 1), ("SEVERITY_WARNING", 0)])
def test_the_command_prints_what_was_found_and_fails_on_an_error(severity: str, status: int) -> None:
    with gateway(found(severity)) as (url, asked):
        options = ["--profile", "roo_native", "--size", "full", "--url", url]
        result = CliRunner().invoke(app, ["doctor", "small@1", *options, "--endpoint", "http://h/v1"])
    assert result.exit_code == status
    assert "no_tool_role" in result.output and "Mend it." in result.output
    path, body = asked[0]
    assert path == "/api/v1/models/small@1/diagnosis"
    assert (body["profile_id"], body["prompt_size"], body["endpoint"]["base_url"]) == (
        "roo_native",
        "full",
        "http://h/v1",
    )


def test_the_command_prints_json_for_programs_and_still_fails() -> None:
    with gateway(found("SEVERITY_ERROR")) as (url, asked):
        result = CliRunner().invoke(app, ["doctor", "small", "--json", "--url", url])
    assert (result.exit_code, json.loads(result.output)) == (1, found("SEVERITY_ERROR"))
    assert "endpoint" not in asked[0][1]


@pytest.mark.parametrize(
    ("severities", "sentence"),
    [
        ([], "The template and the settings carry the protocol."),
        (["note"], "The template and the settings carry the protocol."),
        (["warning", "note"], "The protocol can work, but results suffer: 1 warning."),
        (["error", "warning", "warning"], "The protocol cannot work yet: 1 error, 2 warnings."),
    ],
)
def test_findings_are_summed_up_in_one_sentence(severities: list[str], sentence: str) -> None:
    assert sentence_of(severities) == sentence


def test_what_a_template_writes_is_shown_as_text() -> None:
    request = diagnosis_pb2.DiagnoseModelRequest(model_version_id=HOSTILE, profile_id="roo_xml")
    view = diagnosis_view(request, response(diagnosis_pb2.SEVERITY_WARNING, evidence=HOSTILE))
    html = render("diagnoses/diagnosis", diagnosis=view)
    assert view.tone == "warn"
    assert "<script" not in html and "{{" not in html and "\x1b" not in html
    assert "It is so." in html and "900" in html and "8192" in html


async def test_the_page_shows_a_diagnosis_and_asks_for_a_model_when_there_is_none() -> None:
    runner = FakeTestRunner()
    cache: Any = SimpleNamespace(clients=SimpleNamespace(test_runner=runner))
    html = await _Page(cache).examine("small@1", "roo_xml", "compact", " http://h/v1 ", "m")
    assert "code_0" in html
    assert runner.asked[0][0].endpoint.base_url == "http://h/v1"
    assert "There is no model." in await _Page(cache).examine(None, "roo_xml", "compact", "", "")
