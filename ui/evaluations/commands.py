"""`drillyard evaluations`: judge runs, read verdicts and their intervals, compare, and export."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from ui.cli.connection import Document, Gateway, GatewayError
from ui.cli.follow import Moment, display, follow, job_moment
from ui.cli.options import Common, Follow, command, listing
from ui.cli.output import connected, print_events, print_table, show
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
from ui.models.commands import refuse_failed

app = typer.Typer(help="Judge runs, read verdicts, compare and export.")
EvaluationId = Annotated[str, typer.Argument(help="An evaluation.")]
_MOST_VERDICTS = 10_000


@dataclass(frozen=True)
class VerdictFilters:
    """Which verdicts are wanted."""

    tool: Annotated[str, typer.Option(help="Only cases of this tool.")] = ""
    cause: Annotated[str, typer.Option(help='Only this cause; "none" for conforming ones.')] = ""
    category: Annotated[str, typer.Option(help="Only cases of this kind of task.")] = ""
    layer: Annotated[str, typer.Option(help="Only those whose first failing layer is this.")] = ""
    case_id: Annotated[str, typer.Option("--case", help="Only this case.")] = ""


@dataclass(frozen=True)
class GraderOptions:
    """A model that adds its opinion of each answer."""

    grader_url: Annotated[str, typer.Option(help="A server that grades answers, such as http://127.0.0.1:8080/v1.")] = (
        ""
    )
    grader_model: Annotated[str, typer.Option(help="Name of the model there; without a server, a version.")] = ""
    rubric: Annotated[str, typer.Option(help="What a good answer is, in plain words.")] = ""
    grader_key_secret: Annotated[str, typer.Option(help="Name of the secret that holds its key.")] = ""
    sample_rate: Annotated[float, typer.Option(help="Share of answers that are graded; 0 means all.")] = 0.0
    against_reference: Annotated[
        bool, typer.Option("--against-reference", help="Set each answer beside the case's reference.")
    ] = False

    def body(self) -> Document | None:
        """Return the grader, or None when none is named.

        Raises:
            GatewayError: There is no model that the other options could apply to.
        """
        if not self.grader_model:
            if self != GraderOptions():
                problem = "An option of a grader is set, but no model that grades."
                raise GatewayError("INVALID_ARGUMENT", problem, "Name it with --grader-model.")
            return None
        return {
            "base_url": self.grader_url,
            "model": self.grader_model,
            "rubric": self.rubric,
            "api_key_secret": self.grader_key_secret,
            "sample_rate": self.sample_rate,
            "against_reference": self.against_reference,
        }


class Format(StrEnum):
    """What an evaluation can be written as."""

    JSON = "json"
    CSV = "csv"
    INSPECT = "inspect"
    HTML = "html"


@listing(app)
@command(app, "list")
def list_evaluations(common: Common) -> None:
    """List the newest evaluations."""
    with connected(common) as gateway:
        found = gateway.every("/evaluations", "evaluations", limit=50)
        columns = ("evaluation", "run", "model", "suite", "state", "cases", "conforming", "95 %")
        none = "No evaluation yet. `drillyard test run MODEL` makes one."
        show(
            found,
            as_json=common.as_json,
            table=lambda: print_table("Evaluations", columns, map(_row, found), empty=none),
        )


@command(app, "start")
def start(
    run_id: Annotated[str, typer.Argument(help="A test run; it may still be going.")],
    grader: GraderOptions,
    common: Common,
    follow_it: Follow = True,
) -> None:
    """Judge a run, once more if it is judged already; with --grader-model also by a model's opinion."""
    with connected(common) as gateway, display(as_json=common.as_json) as on:
        body = {"test_run_id": run_id, "model_grader": grader.body()}
        one = gateway.post("/evaluations", body)["evaluation"]
        evaluation_id = one["evaluation_id"]
        if follow_it:
            follow(f"Judge {run_id}", lambda: _moment(gateway, evaluation_id), on)
            one = gateway.get(f"/evaluations/{evaluation_id}")["evaluation"]
            refuse_failed(one["job"], as_json=common.as_json)
        show(one, as_json=common.as_json, table=lambda: _print(one))


@command(app, "show")
def show_evaluation(evaluation_id: EvaluationId, common: Common) -> None:
    """Show rates with their intervals by tool, kind of task and layer, failures by cause, and what to do."""
    with connected(common) as gateway:
        one = gateway.get(f"/evaluations/{evaluation_id}")["evaluation"]
        if not (one.get("metrics") or {}).get("overall", {}).get("num_cases") and not common.as_json:
            refuse_failed(one["job"], as_json=False)
        show(one, as_json=common.as_json, table=lambda: _print(one))


@command(app, "verdicts")
def verdicts(evaluation_id: EvaluationId, filters: VerdictFilters, common: Common) -> None:
    """List verdicts in the order of judging."""
    with connected(common) as gateway:
        show_verdicts(gateway, evaluation_id, evaluation_id, filters, as_json=common.as_json)


@command(app, "compare")
def compare(before: EvaluationId, after: EvaluationId, common: Common) -> None:
    """Compare two evaluations of one suite: gains and losses, and whether chance explains them."""
    with connected(common) as gateway:
        sides = [gateway.get(f"/evaluations/{one}")["evaluation"] for one in (before, after)]
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


@command(app, "watch")
def watch(evaluation_id: EvaluationId, common: Common) -> None:
    """Follow an evaluation; with --json every event is a line."""
    with connected(common) as gateway, display(as_json=common.as_json) as on:
        if common.as_json:
            print_events(gateway, f"/evaluations/{evaluation_id}/events")
            return
        follow(evaluation_id, lambda: _moment(gateway, evaluation_id), on)


def show_verdicts(gateway: Gateway, title: str, evaluation_id: str, filters: VerdictFilters, *, as_json: bool) -> None:
    """Print the verdicts that the filters let through."""
    query = {"evaluation_id": evaluation_id, **asdict(filters)}
    found = gateway.every("/verdicts", "verdicts", limit=_MOST_VERDICTS, **query)
    rows = [
        (one["transcript_id"], one["case_id"], one["tool"], one["cause"] or "conforms", one["sentence"])
        for one in found
    ]
    columns = ("transcript", "case", "tool", "verdict", "why")
    show(found, as_json=as_json, table=lambda: print_table(title, columns, rows, empty="No verdict fits."))


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


def _moment(gateway: Gateway, evaluation_id: str) -> Moment:
    one = gateway.get(f"/evaluations/{evaluation_id}")["evaluation"]
    return job_moment(one["job"], verdict_text(one))


def _row(one: Document) -> tuple[object, ...]:
    overall = (one.get("metrics") or {}).get("overall") or {}
    rate = f"{100 * overall['conforming_rate']:.1f} %" if overall.get("num_cases") else ""
    return (
        one["evaluation_id"],
        one["test_run_id"],
        one["model_version_id"],
        one["test_suite_version_id"],
        one["job"]["state"].removeprefix("JOB_STATE_").lower(),
        overall.get("num_cases", 0),
        rate,
        interval_text(overall),
    )


def _print(one: Document) -> None:
    judged = one["model_version_id"] or one["test_run_id"]
    print_result(f"{one['evaluation_id']}: {judged} on {one['test_suite_version_id']}", result_of(one))
    metrics = one.get("metrics") or {}
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
