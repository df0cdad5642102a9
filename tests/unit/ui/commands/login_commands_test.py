"""Commands about logins: `drillyard users create`, and `drillyard up` where everybody is asked for a key."""

import socket
from collections.abc import Iterator
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any

import pytest
from typer.testing import CliRunner

from ui.cli.__main__ import app

PASSWORD = "correct horse battery"


def test_a_password_is_asked_for_and_shown_nowhere(monkeypatch: pytest.MonkeyPatch) -> None:
    sent: list[Any] = []

    @contextmanager
    def connected(_common: Any) -> Iterator[Any]:
        yield SimpleNamespace(post=lambda _path, body: sent.append(body) or {"user": {}})

    monkeypatch.setattr("ui.gateway.access.commands.connected", connected)
    answer = CliRunner().invoke(app, ["users", "create", "ann"], input=f"{PASSWORD}\n{PASSWORD}\n")
    assert sent == [{"user_id": "ann", "role": "viewer", "password": PASSWORD, "workspace_id": "default"}], (
        answer.output
    )
    assert PASSWORD not in answer.output


def test_a_password_is_no_option_since_everybody_on_the_machine_can_read_those() -> None:
    assert CliRunner().invoke(app, ["users", "create", "ann", "--password", PASSWORD]).exit_code == 2


@pytest.mark.parametrize(("authentication", "problem"), [("off", "Add --authentication"), ("on", "cannot be used")])
def test_the_variable_of_the_gateway_stands_for_the_option_of_up(authentication: str, problem: str) -> None:
    with socket.create_server(("0.0.0.0", 0)) as taken:
        arguments = ["up", "--host", "0.0.0.0", "--port", str(taken.getsockname()[1])]
        answer = CliRunner().invoke(app, arguments, env={"GATEWAY_AUTHENTICATION": authentication})
    assert (answer.exit_code, problem in " ".join(answer.output.split())) == (1, True), answer.output
