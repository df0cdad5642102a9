"""`drillyard test`: run a model on a suite, read and compare the results."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Annotated

import typer

from ui.cli.commands.models import refuse_failed
from ui.cli.connection import Document, Gateway, GatewayError
from ui.cli.follow import FINAL_STATES, Moment, display, follow, job_moment
from ui.cli.options import Common, Follow, command, listing
from ui.cli.output import connected, print_table, show
from ui.cli.results import print_change, print_result, result_of

app = typer.Typer(help="Run a model on a suite, read and compare the results.")
RunId = Annotated[str, typer.Argument(help="A test run.")]


@dataclass(frozen=True)
class TestOptions:
    """What to test on, and how answers are made."""

    suite: Annotated[str, typer.Option(help="A suite version, or a suite for its newest.")] = "roo_xml/core"
    prompt_size: Annotated[str, typer.Option(help="compact or full.")] = "compact"
    repeats: Annotated[int, typer.Option(help="Answers per case.")] = 1
    temperature: Annotated[float, typer.Option(help="0 is greedy.")] = 0.0
    max_new_tokens: Annotated[int, typer.Option(help="Longest answer in tokens.")] = 192
    seed: Annotated[int, typer.Option(help="Seed of sampled answers.")] = 0

    def body(self, model: str) -> Document:
        """Return the request that tests `model`."""
        return {
            "model_version_id": model,
            "test_suite_version_id": self.suite,
            "prompt_size": self.prompt_size,
            "num_repeats": self.repeats,
            "seed": self.seed,
            "sampling": {"temperature": self.temperature, "max_new_tokens": self.max_new_tokens},
        }


@command(app, "start")
def start(
    model: Annotated[str, typer.Argument(help="A model version, or a model for its newest.")],
    options: TestOptions,
    common: Common,
    follow_it: Follow = True,
) -> None:
    """Run a model on a suite and judge its answers."""
    with connected(common) as gateway, display(as_json=common.as_json) as on:
        started = gateway.post("/test-runs", options.body(model))
        run_id, evaluation_id = started["test_run"]["test_run_id"], started["evaluation"]["evaluation_id"]
        if follow_it:
            follow(f"Test {model}", lambda: test_moment(gateway, run_id, evaluation_id), on)
    _show_run(run_id, common)


@listing(app)
@command(app, "list")
def list_runs(common: Common) -> None:
    """List the newest test runs."""
    with connected(common) as gateway:
        found = gateway.every("/test-runs", "test_runs", limit=50)
        rows = (
            (
                one["test_run_id"],
                one["spec"]["model_version_id"],
                one["spec"]["test_suite_version_id"],
                one["job"]["state"].removeprefix("JOB_STATE_").lower(),
                f"{one['num_transcripts']}/{one['num_transcripts_total']}",
            )
            for one in found
        )
        columns = ("run", "model", "suite", "state", "answers")
        none = "No test run yet. Start one with `drillyard test start MODEL`."
        show(found, as_json=common.as_json, table=lambda: print_table("Test runs", columns, rows, empty=none))


@command(app, "show")
def show_run(run_id: RunId, common: Common) -> None:
    """Show a run's rates by tool and its failures by cause."""
    _show_run(run_id, common)


@command(app, "transcripts")
def transcripts(
    run_id: RunId,
    common: Common,
    tool: Annotated[str, typer.Option(help="Only cases of this tool.")] = "",
    cause: Annotated[str, typer.Option(help='Only this cause; "none" for conforming ones.')] = "",
) -> None:
    """List a run's answers with the verdict on each."""
    with connected(common) as gateway:
        evaluation = newest_evaluation(gateway, run_id)
        found = gateway.every(
            "/verdicts", "verdicts", limit=10_000, evaluation_id=evaluation["evaluation_id"], tool=tool, cause=cause
        )
        rows = [(one["case_id"], one["tool"], one["cause"] or "conforms", one["sentence"]) for one in found]
        columns = ("case", "tool", "verdict", "why")
        show(found, as_json=common.as_json, table=lambda: print_table(run_id, columns, rows, empty="No verdict fits."))


@command(app, "compare")
def compare(before: RunId, after: RunId, common: Common) -> None:
    """Compare two runs of one suite."""
    with connected(common) as gateway:
        sides = [newest_evaluation(gateway, run_id) for run_id in (before, after)]
        ids = [one["evaluation_id"] for one in sides]
        body = gateway.get("/comparisons", before_evaluation_id=ids[0], after_evaluation_id=ids[1])["comparison"]
        first, second = (result_of(one) for one in sides)
        show(body, as_json=common.as_json, table=lambda: print_change(body["sentence"], first, second))


@command(app, "watch")
def watch(run_id: RunId, common: Common) -> None:
    """Follow a run; with --json every event is a line."""
    with connected(common) as gateway, display(as_json=common.as_json) as on:
        if common.as_json:
            print_events(gateway, f"/test-runs/{run_id}/events")
            return
        follow(run_id, lambda: test_moment(gateway, run_id, ""), on)


@command(app, "cancel")
def cancel(run_id: RunId, common: Common) -> None:
    """Cancel a run; its answers are kept."""
    with connected(common) as gateway:
        one = gateway.post(f"/test-runs/{run_id}/cancel")["test_run"]
        show(one, as_json=common.as_json, table=lambda: print(f"{run_id} is {job_moment(one['job']).text}."))


def test_moment(gateway: Gateway, run_id: str, evaluation_id: str) -> Moment:
    """Return how far a run, and the evaluation that follows it, have come."""
    run = gateway.get(f"/test-runs/{run_id}")["test_run"]
    moment = job_moment(run["job"])
    if not evaluation_id:
        return moment
    evaluation = gateway.get(f"/evaluations/{evaluation_id}")["evaluation"]
    overall = (evaluation.get("metrics") or {}).get("overall")
    note = f"{100 * overall['conforming_rate']:.0f} % of {overall['num_cases']} judged conform" if overall else ""
    is_final = moment.is_final and evaluation["job"]["state"] in FINAL_STATES
    return Moment(" · ".join(part for part in (moment.text, note) if part), moment.fraction, is_final)


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
    raise GatewayError("FAILED_PRECONDITION", f"The test run {run_id!r} is not judged.", "Judge it first.")


def print_events(gateway: Gateway, path: str) -> None:
    """Print each event of a stream as one line of JSON, as it comes."""
    for event in gateway.events(path):
        if event.type == "problem":
            raise GatewayError(event.body["code"], event.body["problem"], event.body["next_step"])
        if event.type != "ping":
            print(json.dumps(event.body), flush=True)


def _show_run(run_id: str, common: Common) -> None:
    with connected(common) as gateway:
        run = gateway.get(f"/test-runs/{run_id}")["test_run"]
        judged = gateway.get("/evaluations", test_run_id=run_id, page_size=1)["evaluations"]
        result = result_of(judged[0]) if judged else result_of({})
        title = f"{run_id}: {run['spec']['model_version_id']} on {run['spec']['test_suite_version_id']}"
        body = {"test_run": run, "evaluation": judged[0] if judged else None}
        show(body, as_json=common.as_json, table=lambda: print_result(title, result))
        refuse_failed(run["job"], as_json=common.as_json)
