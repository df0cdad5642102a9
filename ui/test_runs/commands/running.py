"""`drillyard test run`: start a run, or repeat one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

import typer

from ui.cli.connection import Document, Gateway, GatewayError
from ui.cli.follow import Display, display, follow
from ui.cli.options import Common, Follow, command, grouped
from ui.cli.output import connected
from ui.test_runs.commands.group import app, show_result
from ui.test_runs.commands.identity import show_identity
from ui.test_runs.commands.options import EndpointOptions, TestOptions
from ui.test_runs.commands.progress import test_moment


@dataclass(frozen=True)
class Origin:
    """Where answers come from, unless from the registry's weights."""

    endpoint: Annotated[str, typer.Option(help="A server of the model, such as http://127.0.0.1:8080/v1.")] = ""
    repeat_of: Annotated[str, typer.Option(help="A run to repeat, instead of a model and options.")] = ""


@command(app, "run")
def run(
    options: TestOptions,
    served: EndpointOptions,
    origin: Origin,
    common: Common,
    model: Annotated[str, typer.Argument(help="A model version, or a model for its newest.")] = "",
    follow_it: Follow = True,
) -> None:
    """Run a model on a suite and judge its answers; --repeat-of says whether they come out the same."""
    with connected(common) as gateway, display(as_json=common.as_json) as on:
        repeated = origin.repeat_of
        body = _repeat(model, options, repeated) if repeated else _body(model, options, served, origin.endpoint)
        title = f"Test {model or origin.endpoint or repeated}"
        run_id = start_run(gateway, body, on, title, follow_it=follow_it)
    if repeated and follow_it:
        show_identity(repeated, run_id, common)
    else:
        show_result(run_id, common)


# The command's earlier name, which scripts may use.
app.command("start", hidden=True)(grouped(run))


def start_run(gateway: Gateway, body: Document, on: Display, title: str, *, follow_it: bool = True) -> str:
    """Start a run with the evaluation that follows it, show both to their end, and return the run's id."""
    started = gateway.post("/test-runs", body)
    run_id, evaluation_id = started["test_run"]["test_run_id"], started["evaluation"]["evaluation_id"]
    if follow_it:
        follow(title, lambda: test_moment(gateway, run_id, evaluation_id), on)
    return str(run_id)


def _body(model: str, options: TestOptions, served: EndpointOptions, endpoint: str) -> Document:
    if not model and not (endpoint and served.endpoint_model):
        problem = "There is no model to test."
        raise GatewayError("INVALID_ARGUMENT", problem, "Name one, or --endpoint with --endpoint-model.")
    if not endpoint:
        served.refuse_without_endpoint()
        return options.body(model)
    return {**options.body(model), "endpoint": served.body(endpoint, model)}


def _repeat(model: str, options: TestOptions, repeat_of: str) -> Document:
    if model or options != TestOptions():
        problem = "--repeat-of takes everything from the run that it repeats."
        raise GatewayError("INVALID_ARGUMENT", problem, "Leave the model and the other options out.")
    return {"repeat_of_test_run_id": repeat_of}
