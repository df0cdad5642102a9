"""`drillyard test-runs start`, `parity` and `preview`: ask a model, here or at a server."""

from __future__ import annotations

from typing import Annotated, TypeAlias

import typer
from drillyard.test_runner.v1.test_run_pb2 import TestRunSpec

from ui.cli.connection import Document, Gateway, GatewayError
from ui.cli.fields import FieldOptions
from ui.cli.follow import Display, display, follow
from ui.cli.jobs import add_delete_command, add_job_commands
from ui.cli.options import Common, Follow, command
from ui.cli.output import EXIT_FAILED, connected, show
from ui.cli.results import print_parity
from ui.test_runs.commands.results import (
    ModelArgument,
    RunId,
    app,
    newest_evaluation,
    run_progress,
    show_identity,
    show_result,
)

_NAMES = {
    "test_suite_version_id": "suite",
    "repeat_of_test_run_id": "repeat-of",
    "endpoint.base_url": "endpoint",
    "endpoint.model": "endpoint-model",
    "endpoint.num_ctx": "num-ctx",
    "endpoint.tool_mode": "tools",
    "endpoint.max_concurrency": "concurrency",
}
_DEFAULT_SUITE = {"test_suite_version_id": "roo_xml/core"}
Settings: TypeAlias = Annotated[Document, FieldOptions(TestRunSpec, ("model_version_id", "keep_answers"), _NAMES)]
ParitySettings: TypeAlias = Annotated[
    Document,
    FieldOptions(
        TestRunSpec, ("model_version_id", "repeat_of_test_run_id", "keep_answers", "endpoint.base_url"), _NAMES
    ),
]


@command(app, "start")
def start(
    settings: Settings,
    common: Common,
    model: Annotated[str, typer.Argument(help="A model version, or a model for its newest.")] = "",
    follow_it: Follow = True,
) -> None:
    """Run a model on a suite and judge its answers; --repeat-of says whether they come out the same."""
    with connected(common) as gateway, display(as_json=common.as_json) as on:
        repeated = settings.get("repeat_of_test_run_id", "")
        body = _repeat(model, settings) if repeated else _request(model, settings)
        title = f"Test {model or settings.get('endpoint', {}).get('base_url', repeated)}"
        run_id = start_run(gateway, body, on, title, follow_it=follow_it)
    if repeated and follow_it:
        show_identity(repeated, run_id, common)
    else:
        show_result(run_id, common)


@command(app, "finish")
def finish(run_id: RunId, common: Common, follow_it: Follow = True) -> None:
    """Ask the cases of a run that have no answer, in a new run that takes over all other answers."""
    with connected(common) as gateway, display(as_json=common.as_json) as on:
        body = {"repeat_of_test_run_id": run_id, "keep_answers": True}
        finishing_id = start_run(gateway, body, on, f"Finish {run_id}", follow_it=follow_it)
    show_result(finishing_id, common)


# The command's earlier name, which scripts may use.
add_job_commands(
    app,
    "/test-runs",
    run_progress,
    {
        "pause": "Pause a run after the cases that it is at.",
        "resume": "Resume a paused run; it ends as it would have without the pause.",
        "cancel": "Cancel a run; its answers are kept.",
    },
)
add_delete_command(app, "/test-runs", "Delete a run that has ended, with its answers and evaluations.")


def start_run(gateway: Gateway, body: Document, on: Display, title: str, *, follow_it: bool = True) -> str:
    """Start a run with the evaluation that follows it, show both to their end, and return the run's id."""
    run_id: str = gateway.post("/test-runs", body)["test_run"]["test_run_id"]
    if follow_it:
        follow(title, lambda: run_progress(gateway, run_id), on)
    return run_id


def _request(model: str, settings: Document) -> Document:
    endpoint = settings.get("endpoint", {})
    if endpoint and not endpoint.get("base_url"):
        problem = "An option of an endpoint is set, but no endpoint."
        raise GatewayError("INVALID_ARGUMENT", problem, "Name the server with --endpoint URL.")
    if not model and not endpoint.get("model"):
        problem = "There is no model to test."
        raise GatewayError("INVALID_ARGUMENT", problem, "Name one, or --endpoint with --endpoint-model.")
    body = {**_DEFAULT_SUITE, **settings, "model_version_id": model}
    # Without a name of its own the server's model is called as ours.
    return {**body, "endpoint": {"model": model.partition("@")[0], **endpoint}} if endpoint else body


def _repeat(model: str, settings: Document) -> Document:
    if model or len(settings) > 1:
        problem = "--repeat-of takes everything from the run that it repeats."
        raise GatewayError("INVALID_ARGUMENT", problem, "Leave the model and the other options out.")
    return settings


@command(app, "parity")
def parity(
    model: ModelArgument,
    against: Annotated[str, typer.Option("--against", help="The server of the other form.")],
    settings: ParitySettings,
    common: Common,
    require: Annotated[float, typer.Option(help="Least share of equal answers.", min=0, max=1)] = 1.0,
) -> None:
    """Test a model here and at a server, and name the step that makes their answers differ."""
    with connected(common) as gateway, display(as_json=common.as_json) as on:
        endpoint = {**settings.pop("endpoint", {}), "base_url": against}
        bodies = {"Here": settings, "At the server": {**settings, "endpoint": endpoint}}
        runs = [start_run(gateway, _request(model, body), on, title) for title, body in bodies.items()]
        first, second = (newest_evaluation(gateway, run_id)["evaluation_id"] for run_id in runs)
        agreement = gateway.get("/parity", before_evaluation_id=first, after_evaluation_id=second)["parity"]
        body = {**agreement, "before_test_run_id": runs[0], "after_test_run_id": runs[1]}
        show(body, as_json=common.as_json, table=lambda: print_parity(body))
        if agreement["equal_answers_rate"] < require:
            raise typer.Exit(EXIT_FAILED)


@command(app, "preview")
def preview(
    model: ModelArgument,
    case: Annotated[str, typer.Option(help="A case of the suite.")],
    common: Common,
    suite: Annotated[str, typer.Option(help="A suite version, or a suite for its newest.")] = "roo_xml/core",
    prompt_size: Annotated[str, typer.Option(help="A size that the protocol has, such as full.")] = "compact",
) -> None:
    """Show what a model reads for a case: the text as its template renders it, and the token ids."""
    with connected(common) as gateway:
        version = gateway.get(f"/test-suites/{suite}")["test_suite_version"]["test_suite_version_id"]
        request = {
            "model_version_id": model,
            "test_suite_version_id": version,
            "case_id": case,
            "prompt_size": prompt_size,
        }
        body = gateway.post("/prompts/render", request)
        show(body, as_json=common.as_json, table=lambda: _print_prompt(body))


def _print_prompt(body: Document) -> None:
    print(body["text"])
    print(f"── {len(body['token_ids'])} tokens")
    print(" ".join(str(token_id) for token_id in body["token_ids"]))
    if body["tools"]:
        print(f"── {len(body['tools'])} function definitions went beside the text")
