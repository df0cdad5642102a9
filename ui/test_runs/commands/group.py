"""The group `drillyard test`, and what its commands share."""

from __future__ import annotations

from typing import Annotated

import typer

from ui.cli.connection import Document, Gateway, GatewayError
from ui.cli.follow import FINAL_STATES
from ui.cli.options import Common
from ui.cli.output import connected, show
from ui.cli.results import print_advice, print_result, result_of
from ui.models.commands import refuse_failed

app = typer.Typer(help="Run a model on a suite, read and compare the results.")
RunId = Annotated[str, typer.Argument(help="A test run.")]
ModelArgument = Annotated[str, typer.Argument(help="A model version, or a model for its newest.")]


def newest_evaluation(gateway: Gateway, run_id: str) -> Document:
    """Return the newest evaluation of a run.

    Raises:
        GatewayError: The run is unknown or not judged.
    """
    found = gateway.get("/evaluations", test_run_id=run_id, page_size=1)["evaluations"]
    if found:
        newest: Document = found[0]
        return newest
    gateway.get(f"/test-runs/{run_id}")
    next_step = f"Judge it with `drillyard evaluations start {run_id}`."
    raise GatewayError("FAILED_PRECONDITION", f"The test run {run_id!r} is not judged.", next_step)


def show_result(run_id: str, common: Common) -> None:
    """Print a run's rates by tool and its failures by cause; a run that failed ends the command."""
    with connected(common) as gateway:
        run = gateway.get(f"/test-runs/{run_id}")["test_run"]
        judged = gateway.get("/evaluations", test_run_id=run_id, page_size=1)["evaluations"]
        result = result_of(judged[0]) if judged else result_of({})
        spec = run["spec"]
        model = spec["model_version_id"] or (spec.get("endpoint") or {}).get("base_url", "")
        title = f"{run_id}: {model} on {spec['test_suite_version_id']}"
        if not result["num_cases"] and not common.as_json:
            refuse_failed(run["job"], as_json=False)
        body = {"test_run": run, "evaluation": judged[0] if judged else None}
        show(body, as_json=common.as_json, table=lambda: _print(title, run, result, judged))
        refuse_failed(run["job"], as_json=common.as_json)


def _print(title: str, run: Document, result: Document, judged: list[Document]) -> None:
    if result["num_cases"] or run["job"]["state"] in FINAL_STATES:
        print_result(title, result)
    else:
        print(title)
    for one in judged if result["num_cases"] else ():
        print_advice((one.get("metrics") or {}).get("advice", []))
        print(f"\nMore with `drillyard evaluations show {one['evaluation_id']}`.")
    if run["job"]["state"] not in FINAL_STATES:
        run_id, state = run["test_run_id"], run["job"]["state"].removeprefix("JOB_STATE_").lower()
        then = "Go on with `drillyard test resume" if state == "paused" else "Follow it with `drillyard test watch"
        print(
            f"It is {state}, with {run['num_transcripts']} of {run['num_transcripts_total']} answers stored. "
            f"{then} {run_id}`."
        )
