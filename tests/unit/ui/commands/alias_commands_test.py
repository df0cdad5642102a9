"""Commands of aliases, deployments and doors: what they send, and the evidence that a rollback prints."""

from __future__ import annotations

import json
from contextlib import nullcontext
from typing import Any

import pytest
from typer.testing import CliRunner

from ui.cli.__main__ import app
from ui.cli.connection import GatewayError
from ui.shipping.deployments.routes import PromotionBody

CURRENT = {
    "model_version_id": "tiny@2",
    "rate": 0.6,
    "interval": [0.4, 0.8],
    "num_cases": 24,
    "test_suite_version_id": "roo_xml/smoke@1",
    "evaluation_id": "eval-2",
}
ALIAS = {"alias_id": "tiny:champion", "model_version_id": "tiny@2", "deployment_id": "", "revision": 4}
EVIDENCE = {**ALIAS, "previous_model_version_id": "tiny@1", "evidence": [CURRENT], "previous_evidence": None}
JOB = {"state": "JOB_STATE_RUNNING", "job_id": "job-1"}


class Gateway:
    """Answers from a table, and keeps what was sent."""

    def __init__(self) -> None:
        self.sent: list[tuple[str, dict[str, Any]]] = []
        self.states = ["DEPLOYMENT_STATE_READY"]

    def get(self, path: str) -> Any:
        noun, *rest = path.removeprefix("/").split("/")
        if rest[-1] == "evidence":
            return {"evidence": {"problem": "", **EVIDENCE}}
        if noun == "aliases":
            raise GatewayError("NOT_FOUND", "There is no alias.", "")
        if noun == "deployments":
            state = self.states.pop(0) if len(self.states) > 1 else self.states[0]
            return {"deployment": {"deployment_id": rest[0], "state": state, "reason": "no such file"}}
        return {noun: {"id": rest[0], "job": JOB}}

    def post(self, path: str, body: dict[str, Any]) -> Any:
        self.sent.append((path, body))
        if path.endswith("promotion"):
            sides = {"champion": None, "candidate": CURRENT}
            return {"step": "promoted", "sentence": "It is.", "comparison": "", "shadow": "", **sides}
        return {"alias": {**ALIAS, "model_version_id": "tiny@1", "revision": 5}}

    put = post


@pytest.fixture
def gateway(monkeypatch: pytest.MonkeyPatch) -> Gateway:
    gateway = Gateway()
    for module in ("ui.shipping.deployments.alias_commands", "ui.shipping.deployments.commands", "ui.cli.jobs"):
        monkeypatch.setattr(f"{module}.connected", lambda _: nullcontext(gateway))
    return gateway


def run(*arguments: str, exit_code: int = 0) -> str:
    done = CliRunner().invoke(app, arguments)
    assert done.exit_code == exit_code, done.output
    return " ".join(done.output.split())


def test_a_rollback_prints_what_was_measured_of_both_versions(gateway: Gateway) -> None:
    output = run("rollback", "tiny:champion")
    assert "left tiny@2 60 % 40 % to 80 % 24 roo_xml/smoke@1 eval-2" in output
    assert "now tiny@1 not measured" in output and "tiny:champion is tiny@1 (revision 5)." in output
    assert gateway.sent == [("/aliases/tiny:champion/rollback", {"expected_revision": 4})]
    assert "before tiny@1 not measured" in run("aliases", "show", "tiny:champion")
    assert json.loads(run("rollback", "tiny:champion", "--json"))["evidence"]["evidence"] == [CURRENT]


def test_an_alias_is_set_with_its_evidence_and_promoted_by_a_named_backend(gateway: Gateway) -> None:
    run("aliases", "set", "tiny:new", "tiny@2", "--evaluation", "eval-2", "--deployment", "d-1", "--shadow", "tiny@1")
    names = {"deployment_id": "d-1", "shadow_model_version_id": "tiny@1", "evaluation_ids": ["eval-2"]}
    assert gateway.sent == [("/aliases/tiny:new", {"model_version_id": "tiny@2", "expected_revision": 0, **names})]
    run("promote", "tiny@2", "--alias", "tiny:new", "--backend", "worker")
    assert set(gateway.sent[-1][1]) <= set(PromotionBody.model_fields), "what the route takes"
    assert gateway.sent[-1][1]["backend"] == "DEPLOYMENT_BACKEND_WORKER"
    wrong = CliRunner().invoke(app, ["promote", "tiny@2", "--alias", "tiny:new", "--without-test"])
    assert wrong.exit_code == 2, "a setting of a deployment alone"


def test_a_deployment_is_followed_to_its_end(gateway: Gateway) -> None:
    assert "d-1 is ready." in run("deployments", "watch", "d-1")
    gateway.states = ["DEPLOYMENT_STATE_FAILED"]
    assert "no such file" in run("deployments", "watch", "d-1", exit_code=1)


@pytest.mark.parametrize("noun", ["exports", "publications", "deployments"])
def test_each_door_has_a_command_that_shows_one(gateway: Gateway, noun: str) -> None:
    assert "id-7" in run(noun, "show", "id-7")
    assert "id-7" in run("models", "imports", "show", "id-7")
