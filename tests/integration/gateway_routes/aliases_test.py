"""Aliases as OpenAI's client sees them, and the commands that move them."""

import json
import time
from typing import Any

import openai
import pytest
from typer.testing import CliRunner

from tests.fakes.system.services import BASE, TUNED
from tests.integration.gateway_routes.conftest import Front
from tests.machine import PATIENCE_SECONDS
from ui.cli.__main__ import app

ALIAS = "smollm2-135m-instruct:champion"


def _run(front: Front, *arguments: str, exit_code: int = 0) -> Any:
    done = CliRunner().invoke(app, [*arguments, "--json", "--url", front.url])
    assert done.exit_code == exit_code, done.output
    return json.loads(done.stdout or done.stderr)


def _answers(front: Front) -> str:
    messages: list[Any] = [{"role": "user", "content": "hi"}]
    return front.openai.chat.completions.create(model=ALIAS, messages=messages).model


def _pairs(front: Front, count: int = 1) -> Any:
    end = time.monotonic() + PATIENCE_SECONDS
    while len(pairs := _run(front, "aliases", "shadow-answers", ALIAS)) < count:
        assert time.monotonic() < end, "the answers were not kept"
        time.sleep(0.05)
    return pairs


def test_an_alias_answers_by_its_version_and_moves_within_a_second(front: Front) -> None:
    alias = _run(front, "aliases", "set", ALIAS, BASE, "--shadow", TUNED)
    assert (alias["revision"], alias["shadow_model_version_id"]) == (1, TUNED)
    num_before = len(front.system.model.generations)
    assert _answers(front) == BASE
    end = time.monotonic() + PATIENCE_SECONDS
    while [workload.adapter is not None for workload in front.system.model.generations[num_before:]] != [False, True]:
        assert time.monotonic() < end, "the shadow was not asked"
        time.sleep(0.05)
    (pair,) = _pairs(front)
    assert (pair["shadow_model_version_id"], pair["messages"]) == (TUNED, [{"role": "user", "content": "hi"}])
    assert pair["answer"]["role"] == pair["shadow_answer"]["role"] == "assistant"
    assert pair["outcome"] == ("same" if pair["answer"] == pair["shadow_answer"] else "different")
    assert "verdict" not in pair
    messages: list[Any] = [{"role": "user", "content": "call"}]
    tool: Any = {"type": "function", "function": {"name": "get_weather", "parameters": {"required": ["day"]}}}
    front.openai.chat.completions.create(model=ALIAS, messages=messages, tools=[tool])
    judged = _pairs(front, 2)[0]
    assert judged["verdict"] == judged["shadow_verdict"]
    assert judged["verdict"]["cause"] == "missing_parameter" and not judged["verdict"]["conforming"]
    assert front.openai.completions.create(model=ALIAS, prompt="one").model == BASE
    assert next(iter(front.openai.models.list())).id == ALIAS
    assert front.openai.models.retrieve(ALIAS).id == ALIAS
    _run(front, "aliases", "set", ALIAS, TUNED)
    time.sleep(1.0)
    assert _answers(front) == TUNED
    stale = ("rollback", ALIAS, "--expected-revision", "1")
    assert _run(front, *stale, exit_code=1)["code"] == "ABORTED"
    assert _run(front, "rollback", ALIAS)["model_version_id"] == BASE
    time.sleep(1.0)
    assert _answers(front) == BASE
    assert CliRunner().invoke(app, ["models", "delete", BASE, "--url", front.url]).exit_code == 1
    _run(front, "aliases", "delete", ALIAS)
    time.sleep(1.0)
    with pytest.raises(openai.NotFoundError, match="no alias"):
        _answers(front)


def test_a_deployment_that_is_not_ready_says_so(front: Front) -> None:
    deployment = _run(front, "deployments", "create", TUNED, "--no-follow")
    name = deployment["deployment_id"]
    assert name not in [model.id for model in front.openai.models.list()]
    with pytest.raises(openai.InternalServerError, match="is starting"):
        front.openai.chat.completions.create(model=name, messages=[{"role": "user", "content": "hi"}])
    assert [entry["deployment_id"] for entry in _run(front, "deployments", "list")] == [name]
    assert (
        _run(front, "aliases", "set", ALIAS, TUNED, "--deployment", name, exit_code=1)["code"] == "FAILED_PRECONDITION"
    )
    _run(front, "deployments", "delete", name)
