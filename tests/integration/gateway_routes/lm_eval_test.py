"""lm-eval's tasks through the gateway, in front of a made-up model."""

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from tests.fakes.system.services import BASE
from tests.integration.gateway_routes.conftest import Front
from ui.cli.__main__ import app
from ui.cli.guardrails.tasks import FOLDER

pytest.importorskip("lm_eval", reason="needs lm-eval: pip install 'drillyard[lm-eval]'")


def _run(front: Front, *arguments: str) -> Result:
    return CliRunner().invoke(app, ["test-runs", "lm-eval", BASE, *arguments, "--url", front.url])


def _expected(front: Front, limit: int) -> float:
    """Return the share of questions whose right choice has the highest sum of made-up log-probabilities."""
    from tests.fakes.system.model import log_prob, tokens_of

    right = 0
    for line in (FOLDER / "general.jsonl").read_text().splitlines()[:limit]:
        one: dict[str, Any] = json.loads(line)
        sums = [sum(map(log_prob, tokens_of(f" {choice}"))) for choice in one["choices"]]
        right += sums.index(max(sums)) == one["answer"]
    return right / limit


@pytest.fixture
def hub_is_far(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hf"))
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")


@pytest.mark.usefixtures("hub_is_far")
def test_the_small_task_runs_offline_and_is_set_against_an_earlier_result(front: Front, tmp_path: Path) -> None:
    out = tmp_path / "before.json"
    said = _run(front, "--limit", "12", "--out", str(out), "--json")
    assert said.exit_code == 0, said.stderr
    result = json.loads(said.stdout)
    assert json.loads(out.read_text()) == result
    choice = result["tasks"]["drillyard_general_choice"]
    assert choice["num_samples"] == 12
    assert choice["metrics"]["acc"]["value"] == pytest.approx(_expected(front, 12))
    assert choice["metrics"]["acc"]["stderr"] > 0
    assert result["tasks"]["drillyard_general_answer"]["metrics"]["exact_match"]["value"] == 0

    choice["metrics"]["acc"]["value"] = 1.0
    out.write_text(json.dumps(result))
    worse = _run(front, "--limit", "12", "--tasks", "drillyard_general_choice", "--before", str(out))
    assert worse.exit_code == 1, worse.stderr
    assert "worse" in worse.stdout


@pytest.mark.usefixtures("hub_is_far")
@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--chat", "--limit", "1"), "leave --chat out"),
        (("--timeout", "0"), "more with --timeout"),
        (("--before", "/no/such"), "/no/such"),
    ],
)
def test_what_cannot_be_done_is_one_sentence(front: Front, arguments: tuple[str, ...], said: str) -> None:
    refused = _run(front, *arguments)
    assert refused.exit_code in (1, 2)
    assert said in refused.stderr
    assert len(refused.stderr.strip().splitlines()) == 1
