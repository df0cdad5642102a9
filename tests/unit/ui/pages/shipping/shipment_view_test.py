"""How a shipment is shown: steps with what they found, on the page and in the terminal."""

from __future__ import annotations

import json
from typing import Any

import pytest
from drillyard.feedback.v1.shipment_pb2 import Shipment
from google.protobuf.json_format import ParseDict
from typer.testing import CliRunner

from ui.cli.__main__ import app
from ui.shared.documents import document
from ui.shared.environment import render
from ui.shipping.shipments.views import shipment_view

BODY: dict[str, Any] = {
    "shipment_id": "shipment-1",
    "spec": {
        "model_version_id": "small-roo@1",
        "test_suite_version_id": "roo_xml/smoke@1",
        "export": {"form": "EXPORT_FORM_GGUF", "number_type": "Q4_K_M"},
        "destinations": [{"ollama_name": "roo"}],
    },
    "results": [
        {"step": "GATE_STEP_EXPORT", "passed": True, "summary": "The form is small-roo-gguf@1."},
        {
            "step": "GATE_STEP_PROMPTS",
            "summary": "19 of 20 prompts are the same.",
            "differences": ["system injected: case: '' became 'Be <nice>' at character 3."],
        },
    ],
    "job": {
        "job_id": "shipment-1",
        "state": "JOB_STATE_FAILED",
        "error": {"code": "FAILED_PRECONDITION", "problem": "The form does not pass.", "next_step": "Mend it."},
    },
}
SHIPMENT = ParseDict(BODY, Shipment())


def test_the_page_shows_each_step_and_what_differs_by_class() -> None:
    view = shipment_view(SHIPMENT)
    assert [(step.title, step.state) for step in view.steps] == [
        ("Export", "done"),
        ("Prompts", "failed"),
        ("Log-probabilities", "waiting"),
        ("Suite", "waiting"),
        ("Publication", "waiting"),
    ]
    assert (view.form, view.destinations) == ("gguf:Q4_K_M", ("ollama:roo",))
    html = render("shipments/shipment", one=view)
    assert "<td>system injected</td>" in html and "Be &lt;nice&gt;" in html
    assert "The form does not pass." in html and "Mend it." in html
    assert "shipment-1" in render("shipments/shipments", shipments=[view], picked="")
    running = ParseDict({**BODY, "results": BODY["results"][:1], "job": {"state": "JOB_STATE_RUNNING"}}, Shipment())
    assert [step.state for step in shipment_view(running).steps[:3]] == ["done", "live", "waiting"]


class _Gateway:
    """Answers the commands; keeps what was posted."""

    def __init__(self) -> None:
        self.posted: list[tuple[str, dict[str, Any]]] = []

    def post(self, path: str, body: dict[str, Any]) -> dict[str, Any]:
        self.posted.append((path, body))
        return {"shipment": document(SHIPMENT)}

    def get(self, path: str) -> dict[str, Any]:
        if path.startswith("/loops/"):
            spec = {"test_suite_version_id": "roo_xml/core@2", "prompt_size": "full", "max_new_tokens": 64}
            return {"loop": {"best_model_version_id": "small-roo@3" * ("none" not in path), "spec": spec}}
        return {"shipment": document(SHIPMENT)}


@pytest.fixture
def gateway(monkeypatch: pytest.MonkeyPatch) -> _Gateway:
    from contextlib import nullcontext

    made = _Gateway()
    monkeypatch.setattr("ui.shipping.shipments.commands.connected", lambda _: nullcontext(made))
    return made


def test_publish_sends_form_places_and_margins_and_names_the_guilty_step(gateway: _Gateway) -> None:
    options = ["--as", "gguf:Q4_K_M", "--to", "ollama:roo", "--to", "hf:me/roo", "--suite", "roo_xml/smoke"]
    answer = CliRunner().invoke(app, ["publish", "small-roo", *options, "--max-rate-loss", "0.1", "--secret", "hub"])
    assert answer.exit_code != 0 and "✗ Prompts: 19 of 20" in answer.output and "Mend it." in answer.output
    ((path, body),) = gateway.posted
    assert path == "/shipments" and body["max_rate_loss"] == 0.1
    assert body["export"] == {"form": "EXPORT_FORM_GGUF", "number_type": "Q4_K_M"}
    assert [place.get("ollama_name") or place["hub_id"] for place in body["destinations"]] == ["roo", "me/roo"]


def test_ship_takes_the_best_version_and_the_suite_of_a_loop(gateway: _Gateway) -> None:
    CliRunner().invoke(app, ["ship", "loop-1", "--as", "ollama:Q8_0", "--no-follow"])
    ((_, body),) = gateway.posted
    chosen = {
        name: body[name] for name in ("model_version_id", "test_suite_version_id", "prompt_size", "max_new_tokens")
    }
    assert json.dumps(list(chosen.values())) == '["small-roo@3", "roo_xml/core@2", "full", 64]'
    answer = CliRunner().invoke(app, ["ship", "none", "--as", "merged"])
    assert answer.exit_code != 0 and "has tested no version yet" in answer.output


def test_a_form_that_there_is_not_is_told_before_anything_is_sent(gateway: _Gateway) -> None:
    answer = CliRunner().invoke(app, ["publish", "small-roo", "--as", "zip"])
    assert answer.exit_code != 0 and "is no form of a model" in answer.output and not gateway.posted
