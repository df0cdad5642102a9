"""`drillyard evaluations`: judge runs, read verdicts and their intervals, compare, and export."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated, TypeAlias

import typer
from drillyard.evaluator.v1.evaluation_pb2 import ModelGrader
from drillyard.evaluator.v1.verdict_pb2 import ListVerdictsRequest

from ui.cli.connection import Document, Gateway, GatewayError
from ui.cli.fields import FieldOptions
from ui.cli.follow import Progress, display, follow, job_progress
from ui.cli.jobs import add_delete_command, add_job_commands, refuse_failed, state_of
from ui.cli.options import Common, Follow, command, listing
from ui.cli.output import connected, print_table, show
from ui.cli.results import (
    interval_text,
    print_advice,
    print_cases,
    print_change,
    print_measures,
    print_parity,
    print_result,
    result_of,
    verdict_text,
)

app = typer.Typer(help="Judge runs, read verdicts, compare and export.")
EvaluationId = Annotated[str, typer.Argument(help="An evaluation.")]
_MOST_VERDICTS = 10_000


VerdictFilters: TypeAlias = Annotated[
    Document, FieldOptions(ListVerdictsRequest, ("evaluation_id", "page_size", "page_token"), {"case_id": "case"})
]
Grader: TypeAlias = Annotated[
    Document,
    FieldOptions(
        ModelGrader,
        names={"base_url": "grader-url", "model": "grader-model", "api_key_secret": "grader-key-secret"},
    ),
]


class Format(StrEnum):
    """What an evaluation can be written as."""

    JSON = "json"
    CSV = "csv"
    INSPECT = "inspect"
    HTML = "html"
    PAIRS = "pairs"


@listing(app)
@command(app, "list")
def list_evaluations(common: Common) -> None:
    """List the newest evaluations."""
    with connected(common) as gateway:
        evaluations = gateway.every("/evaluations", "evaluations", limit=50)
        columns = ("evaluation", "run", "model", "suite", "state", "cases", "conforming", "95 %")
        none = "No evaluation yet. `drillyard test-runs start MODEL` makes one."
        show(
            evaluations,
            as_json=common.as_json,
            table=lambda: print_table("Evaluations", columns, map(_row, evaluations), empty=none),
        )


@command(app, "start")
def start(
    run_id: Annotated[str, typer.Argument(help="A test run; it may still be going.")],
    grader: Grader,
    common: Common,
    follow_it: Follow = True,
) -> None:
    """Judge a run, once more if it is judged already; with --grader-model also by a model's opinion."""
    with connected(common) as gateway, display(as_json=common.as_json) as on:
        if grader and "model" not in grader:
            problem = "An option of a grader is set, but no model that grades."
            raise GatewayError("INVALID_ARGUMENT", problem, "Name it with --grader-model.")
        body = {"test_run_id": run_id, **({"model_grader": grader} if grader else {})}
        evaluation = gateway.post("/evaluations", body)["evaluation"]
        evaluation_id = evaluation["evaluation_id"]
        if follow_it:
            follow(f"Judge {run_id}", lambda: _progress(gateway, evaluation_id), on)
            evaluation = gateway.get(f"/evaluations/{evaluation_id}")["evaluation"]
            refuse_failed(evaluation["job"], as_json=common.as_json)
        show(evaluation, as_json=common.as_json, table=lambda: _print(evaluation))


@command(app, "show")
def show_evaluation(evaluation_id: EvaluationId, common: Common) -> None:
    """Show rates with their intervals by tool, kind of task and layer, failures by cause, and what to do."""
    with connected(common) as gateway:
        evaluation = gateway.get(f"/evaluations/{evaluation_id}")["evaluation"]
        if not (evaluation.get("metrics") or {}).get("overall", {}).get("num_cases") and not common.as_json:
            refuse_failed(evaluation["job"], as_json=False)
        show(evaluation, as_json=common.as_json, table=lambda: _print(evaluation))


@command(app, "verdicts")
def verdicts(evaluation_id: EvaluationId, filters: VerdictFilters, common: Common) -> None:
    """List verdicts in the order of judging."""
    with connected(common) as gateway:
        show_verdicts(gateway, evaluation_id, evaluation_id, filters, as_json=common.as_json)


@command(app, "compare")
def compare(before: EvaluationId, after: EvaluationId, common: Common) -> None:
    """Compare two evaluations of one suite: gains and losses, and whether chance explains them."""
    with connected(common) as gateway:
        sides = [gateway.get(f"/evaluations/{item}")["evaluation"] for item in (before, after)]
        show_comparison(gateway, *sides, as_json=common.as_json)


@command(app, "parity")
def parity(before: EvaluationId, after: EvaluationId, common: Common) -> None:
    """Set two forms of one model side by side: equal answers and verdicts, and the step that makes them differ."""
    with connected(common) as gateway:
        ids = {"before_evaluation_id": before, "after_evaluation_id": after}
        body = gateway.get("/parity", **ids)["parity"]
        show(body, as_json=common.as_json, table=lambda: print_parity(body))


@command(app, "export")
def export(
    evaluation_id: EvaluationId,
    common: Common,
    form: Annotated[Format, typer.Option("--format", help="What the file is for.")] = Format.JSON,
    out: Annotated[Path | None, typer.Option("--out", help="File or folder; by default the name it has.")] = None,
    before: Annotated[str, typer.Option(help="html and json: an earlier evaluation to set it against.")] = "",
) -> None:
    """Write an evaluation to a file."""
    with connected(common) as gateway:
        try:
            path = gateway.download(
                f"/evaluations/{evaluation_id}/export", out or Path(), format=form.value, before_evaluation_id=before
            )
        except OSError as error:
            problem = f"The export cannot be written to {out or Path()}: {error.strerror}."
            raise GatewayError("FAILED_PRECONDITION", problem, "Name another place with --out.") from None
        show({"path": str(path)}, as_json=common.as_json, table=lambda: print(f"The export is {path}"))


def show_verdicts(gateway: Gateway, title: str, evaluation_id: str, filters: VerdictFilters, *, as_json: bool) -> None:
    """Print the verdicts that the filters let through."""
    query = {"evaluation_id": evaluation_id, **filters}
    result = gateway.every("/verdicts", "verdicts", limit=_MOST_VERDICTS, **query)
    rows = [
        (item["transcript_id"], item["case_id"], item["tool"], item["cause"] or "conforms", item["sentence"])
        for item in result
    ]
    columns = ("transcript", "case", "tool", "verdict", "why")
    show(result, as_json=as_json, table=lambda: print_table(title, columns, rows, empty="No verdict fits."))


def show_comparison(gateway: Gateway, before: Document, after: Document, *, as_json: bool) -> None:
    """Print two evaluations side by side."""
    ids = {"before_evaluation_id": before["evaluation_id"], "after_evaluation_id": after["evaluation_id"]}
    body = gateway.get("/comparisons", **ids)["comparison"]

    def table() -> None:
        print_change(body["sentence"], result_of(before), result_of(after))
        change = body.get("conforming") or {}
        if interval := interval_text(change, "interval"):
            points = f"{100 * change['mean']:+.1f} points, 95 %: {interval}, p = {change['p_value']:.3g}"
            print(f"\nChange of the conforming rate: {points}.")
        print_cases("Lost cases", body["losses"], "cause_after")
        print_cases("Gained cases", body["gains"], "cause_before")
        print_advice(body["advice"])

    show(body, as_json=as_json, table=table)


def _progress(gateway: Gateway, evaluation_id: str) -> Progress:
    evaluation = gateway.get(f"/evaluations/{evaluation_id}")["evaluation"]
    return job_progress(evaluation["job"], verdict_text(evaluation))


add_job_commands(app, "/evaluations", _progress, {"cancel": "Cancel an evaluation; its verdicts are kept."})
add_delete_command(app, "/evaluations", "Delete an evaluation that has ended, with its verdicts.")


def _row(document: Document) -> tuple[object, ...]:
    overall = (document.get("metrics") or {}).get("overall") or {}
    rate = f"{100 * overall['conforming_rate']:.1f} %" if overall.get("num_cases") else ""
    return (
        document["evaluation_id"],
        document["test_run_id"],
        document["model_version_id"],
        document["test_suite_version_id"],
        state_of(document["job"]),
        overall.get("num_cases", 0),
        rate,
        interval_text(overall),
    )


def _print(document: Document) -> None:
    judged = document["model_version_id"] or document["test_run_id"]
    print_result(f"{document['evaluation_id']}: {judged} on {document['test_suite_version_id']}", result_of(document))
    metrics = document.get("metrics") or {}
    for title, field, name in (("By kind of task", "by_category", "category"), ("By layer", "by_layer", "layer")):
        rows = [_rate_row(each, name) for each in metrics.get(field, [])]
        if rows:
            print()
            print_table(title, (name.replace("category", "task"), "cases", "rate", "95 %"), rows, empty="")
    print_measures(metrics)
    scores = metrics.get("mean_scores") or {}
    if scores:
        print()
        print_table("Mean scores", ("score", "mean"), [(key, f"{scores[key]:.3f}") for key in sorted(scores)], empty="")
    print_advice(metrics.get("advice", []))


def _rate_row(each: Document, name: str) -> tuple[object, ...]:
    rates = each.get("rates")
    if rates:
        return each[name], rates["num_cases"], f"{100 * rates['conforming_rate']:.1f} %", interval_text(rates)
    return each[name], each["num_applicable"], f"{100 * each['rate']:.1f} %", interval_text(each, "interval")
