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


def test_workspaces_are_shown_with_what_they_use_of_their_quotas(monkeypatch: pytest.MonkeyPatch) -> None:
    sent: list[Any] = []
    use = {"num_jobs": 3, "num_tokens": 1500, "num_bytes": 2_000_000}
    lab = {"workspace_id": "lab", "max_jobs": 8, "max_tokens": 0, "max_bytes": 1_000_000_000, "use": use}

    @contextmanager
    def connected(_common: Any) -> Iterator[Any]:
        yield SimpleNamespace(
            get=lambda _path: {"workspaces": [lab]},
            put=lambda path, body: sent.append((path, body)) or {"workspace": lab},
        )

    monkeypatch.setattr("ui.gateway.access.workspaces.commands.connected", connected)
    shown = CliRunner().invoke(app, ["workspaces", "list"]).output
    assert "3 of 8" in shown and "1,500 " in shown and "2.00 MB of 1.00 GB" in shown
    told = CliRunner().invoke(app, ["workspaces", "set", "lab", "--max-jobs", "8"]).output
    assert sent == [("/workspaces/lab", {"max_jobs": 8, "max_tokens": 0, "max_bytes": 0})]
    assert told == "lab: max_jobs 8, max_tokens no limit, max_bytes no limit.\n"
