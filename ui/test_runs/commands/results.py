"""The group `drillyard test-runs`, and what its commands print of a run."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

import typer

from ui.cli.connection import Document, Gateway, GatewayError
from ui.cli.follow import Progress, job_progress
from ui.cli.jobs import refuse_failed, state_of
from ui.cli.options import Common
from ui.cli.output import EXIT_FAILED, connected, show
from ui.cli.results import print_advice, print_differences, print_result, result_of, verdict_text
from ui.shared.jobs import FINAL_STATES

app = typer.Typer(help="Run a model on a suite, read and compare the results.")
RunId = Annotated[str, typer.Argument(help="A test run.")]
ModelArgument = Annotated[str, typer.Argument(help="A model version, or a model for its newest.")]


def newest_evaluation(gateway: Gateway, run_id: str) -> Document:
    """Return the newest evaluation of a run.

    Raises:
        GatewayError: The run is unknown or not judged.
    """
    evaluations = gateway.get("/evaluations", test_run_id=run_id, page_size=1)["evaluations"]
    if evaluations:
        newest: Document = evaluations[0]
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
    for item in judged if result["num_cases"] else ():
        print_advice((item.get("metrics") or {}).get("advice", []))
        print(f"\nMore with `drillyard evaluations show {item['evaluation_id']}`.")
    if run["is_incomplete"]:
        missing = run["num_transcripts_total"] - run["num_transcripts"] + run["num_unanswered"]
        print(
            f"INCOMPLETE: {missing} of {run['num_transcripts_total']} cases have no answer, so its rates decide "
            f"nothing. Ask those cases with `drillyard test-runs finish {run['test_run_id']}`."
        )
    if run["job"]["state"] not in FINAL_STATES:
        run_id, state = run["test_run_id"], state_of(run["job"])
        verb, then = ("resume", "Go on") if state == "paused" else ("watch", "Follow it")
        print(
            f"It is {state}, with {run['num_transcripts']} of {run['num_transcripts_total']} answers stored. "
            f"{then} with `drillyard test-runs {verb} {run_id}`."
        )


def show_identity(before: str, after: str, common: Common) -> None:
    """Print whether two runs are identical; the command's status is 1 when they are not."""
    with connected(common) as gateway:
        document = gateway.get("/test-run-comparisons", before_test_run_id=before, after_test_run_id=after)
        body = {"before_test_run_id": before, "after_test_run_id": after, **document}
        show(body, as_json=common.as_json, table=lambda: _print_identity(body))
        if not document["identical"]:
            raise typer.Exit(EXIT_FAILED)


def _print_identity(body: Document) -> None:
    before, after, compared = body["before_test_run_id"], body["after_test_run_id"], body["num_compared"]
    if body["identical"]:
        print(f"{after} is identical to {before}: all {compared} transcripts have the same messages and token ids.")
    else:
        print(
            f"{after} differs from {before}: {body['num_identical']} of {compared} transcripts are identical, "
            f"{body['num_equal_answers']} have answers of the same text."
        )
    for sentence in body["provenance_differences"]:
        print(f"  {sentence}")
    print_differences(body["differences"])


def run_progress(gateway: Gateway, run_id: str) -> Progress:
    """Return how far a run has come: cases, tokens per second, time that is left, and verdicts so far."""
    run = gateway.get(f"/test-runs/{run_id}")["test_run"]
    progress = job_progress(run["job"], speed_text(run))
    parts, is_final = [progress.text], progress.is_final
    for evaluation in gateway.get("/evaluations", test_run_id=run_id, page_size=1)["evaluations"]:
        parts.append(verdict_text(evaluation))
        is_final = is_final and evaluation["job"]["state"] in FINAL_STATES
    return Progress(" · ".join(part for part in parts if part), progress.fraction, is_final)


def speed_text(run: Document) -> str:
    """Return the tokens per second of a run that is over; one that is going says more of itself as it comes along."""
    job, tokens = run["job"], int(run["num_generated_tokens"])
    if not (job.get("start_time") and job.get("end_time") and tokens):
        return ""
    # Its times hold its pauses too; of a run of an earlier release they are all that is known.
    seconds = job.get("worked_seconds") or _seconds(job["end_time"]) - _seconds(job["start_time"])
    return f"{tokens / seconds:.0f} tokens/s" if seconds > 0 else ""


def _seconds(when: str) -> float:
    return datetime.fromisoformat(when).timestamp()
