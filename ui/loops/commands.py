"""`drillyard loops`: improve a model until goals are met."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, TypeAlias

import typer
from drillyard.feedback.v1.loop_pb2 import LoopSpec

from ui.cli.connection import Document, Gateway
from ui.cli.fields import FieldOptions
from ui.cli.follow import Display, Progress, display, follow, job_progress
from ui.cli.jobs import add_delete_command, add_job_commands, refuse_failed, state_of
from ui.cli.options import Common, Follow, command, listing
from ui.cli.output import connected, print_events, print_table, show
from ui.loops.goals import GOAL_HELP, GUARDRAIL_HELP, goal_fields, guardrail_fields
from ui.loops.outcomes import Outcome, outcome_of
from ui.models.exports.forms import form_fields
from ui.shared.jobs import FINAL_STATES

app = typer.Typer(help="Improve a model until goals are met.")
LoopId = Annotated[str, typer.Argument(help="A loop.")]
# What the loop itself sets of each training, and settings of what it does not do.
OF_THE_LOOP = (
    *("model_version_id", "dataset_version_id", "output_model_id", "trained_weights", "seed"),
    *("scratch", "fork"),
)
TRAINING_NAMES = {
    "training.lora.r": "rank",
    **{f"training.{method}.beta": f"{method}-beta" for method in ("dpo", "grpo")},
    **{f"training.grpo.{name}": f"grpo-{name.replace('_', '-')}" for name in ("temperature", "max_new_tokens")},
}


Settings: TypeAlias = Annotated[
    Document,
    FieldOptions(
        LoopSpec,
        (
            "model_version_id",
            "test_suite_version_id",
            "goal_form",
            *(f"training.{name}" for name in OF_THE_LOOP),
        ),
        {
            "budget.max_rounds": "rounds",
            "budget.max_minutes": "minutes",
            "search.max_minutes": "search-minutes",
            **TRAINING_NAMES,
        },
    ),
]


@dataclass(frozen=True)
class Goals:
    """What ends a loop."""

    goal: Annotated[list[str] | None, typer.Option(help=f"{GOAL_HELP} Repeatable; else conforming_rate>=0.8.")] = None
    guardrail: Annotated[list[str] | None, typer.Option(help=f"{GUARDRAIL_HELP} Repeatable.")] = None
    goal_form: Annotated[
        str, typer.Option(help="The form that has to meet them, such as gguf:Q4_K_M; else the version itself.")
    ] = ""

    def body(self) -> Document:
        """Return them as fields of a loop's spec."""
        form = {"goal_form": form_fields(self.goal_form)} if self.goal_form else {}
        goals = [goal_fields(text) for text in self.goal or ["conforming_rate>=0.8"]]
        return {"goals": goals, "guardrails": [guardrail_fields(text) for text in self.guardrail or ()], **form}


@command(app, "start")
def start(
    model: Annotated[str, typer.Argument(help="A model version, or a model for its newest.")],
    settings: Settings,
    common: Common,
    goals: Goals,
    suite: Annotated[str, typer.Option(help="A suite version, or a suite for its newest.")] = "roo_xml/core",
    follow_it: Follow = True,
) -> None:
    """Test, train on what fails, and test again."""
    with connected(common) as gateway, display(as_json=common.as_json) as on:
        body = {**settings, **goals.body(), "model_version_id": model, "test_suite_version_id": suite}
        loop = gateway.post("/loops", body)["loop"]
        if follow_it:
            follow("Loop", StepLog(gateway, loop["loop_id"], on).read, on)
            loop = gateway.get(f"/loops/{loop['loop_id']}")["loop"]
            refuse_failed(loop["job"], as_json=common.as_json)
    show(loop, as_json=common.as_json, table=lambda: print_end(loop))


@listing(app)
@command(app, "list")
def list_loops(common: Common) -> None:
    """List the newest loops."""
    with connected(common) as gateway:
        loops = gateway.every("/loops", "loops", limit=50)
        columns = ("loop", "model", "suite", "state", "best version", "conforming")
        none = "No loop yet. Start one with `drillyard loops start MODEL`."
        show(loops, as_json=common.as_json, table=lambda: print_table("Loops", columns, map(_row, loops), empty=none))


@command(app, "show")
def show_loop(loop_id: LoopId, common: Common) -> None:
    """Show every step of a loop."""
    with connected(common) as gateway:
        if common.as_json:
            show(gateway.get(f"/loops/{loop_id}")["loop"], as_json=True, table=lambda: None)
            return
        progress = gateway.get(f"/loops/{loop_id}/progress")
        rows = [(step["round"], step["title"], step["state"], step["resource_id"]) for step in progress["steps"]]
        print_table(loop_id, ("round", "step", "state", "made"), rows, empty="It has not begun.")
        readings = [(item["round"], item["sentence"], "✓" if item["is_kept"] else "✗") for item in progress["readings"]]
        if readings:
            print_table("Goals and guardrails", ("round", "reached", "kept"), readings, empty="")
        decisions = [
            (item["number"], decision["number"], decision["title"], decision["state"], decision["reason"])
            for item in progress["rounds"]
            for decision in item["decisions"]
        ]
        print_table(
            "Decisions", ("round", "decision", "what", "state", "why"), decisions, empty="Nothing was decided yet."
        )
        trials = [
            (item["number"], trial["label"], trial["sentence"])
            for item in progress["rounds"]
            for trial in item["trials"]
        ]
        if trials:
            print_table("Trials of searches", ("round", "trial", "result"), trials, empty="")
        print_end(gateway.get(f"/loops/{loop_id}")["loop"])


@command(app, "watch")
def watch(loop_id: LoopId, common: Common) -> None:
    """Follow a loop; with --json every event is a line."""
    with connected(common) as gateway, display(as_json=common.as_json) as on:
        if common.as_json:
            print_events(gateway, f"/loops/{loop_id}/events")
            return
        follow("Loop", StepLog(gateway, loop_id, on).read, on)
        loop = gateway.get(f"/loops/{loop_id}")["loop"]
    print_end(loop)


add_job_commands(
    app, "/loops", None, {"cancel": "Cancel a loop and the job that it waits for; what is registered is kept."}
)
add_delete_command(app, "/loops", "Delete a loop that has ended; what it made stays.")


class StepLog:
    """Reads how far a loop has come; says a line that stays for each step that ended."""

    def __init__(self, gateway: Gateway, loop_id: str, on: Display) -> None:
        self._gateway = gateway
        self._loop_id = loop_id
        self._on = on
        self._told: set[tuple[int, str]] = set()

    def read(self) -> Progress:
        """Return how far the loop has come."""
        progress = self._gateway.get(f"/loops/{self._loop_id}/progress")
        for step in progress["steps"]:
            self._tell(step)
        is_final = progress["job"]["is_final"]
        if progress["waiting"]:
            waiting = progress["waiting"]
            command = f"drillyard loops approve {self._loop_id} --decision {waiting['number']}"
            return Progress(f"waiting for a person: {waiting['reason']} · {command}", None, is_final)
        live = next((step for step in progress["steps"] if step["state"] == "live"), None)
        if is_final or live is None:
            return Progress(progress["outcome"]["state"], None, is_final)
        fraction = live["percent"] / 100 if live["percent"] is not None else None
        text = " · ".join(part for part in (live["title"].lower(), live["sentence"]) if part)
        return Progress(text, fraction, False)

    def _tell(self, document: Document) -> None:
        key = (document["round"], document["step"])
        if document["state"] not in ("done", "failed") or key in self._told:
            return
        self._told.add(key)
        took = f" in {document['seconds']:.0f} s" if document["seconds"] else ""
        sign = "✓" if document["state"] == "done" else "✗"
        self._on.say(f"{sign} {document['title']}{took}  {document['resource_id']}")


def _row(document: Document) -> tuple[object, ...]:
    rates = [f"{100 * step['conforming_rate']:.1f} %" for step in document["rounds"] if step["evaluated"]]
    spec = document["spec"]
    best = document["best_model_version_id"]
    state = _outcome(document).state
    return document["loop_id"], spec["model_version_id"], spec["test_suite_version_id"], state, best, " → ".join(rates)


def print_end(loop: Document) -> None:
    """Print how a loop stands, and when it has ended where its report is."""
    if loop["job"]["state"] not in FINAL_STATES:
        print(f"The loop {loop['loop_id']} is {job_progress(loop['job']).text}.")
        print(loop["status_sentence"])
        return
    outcome = _outcome(loop)
    print_goal({**loop, "outcome": outcome.state})
    if error := loop["job"].get("error"):
        print(f"{error['problem']} {error['next_step']}")
    print(f"Report: drillyard report {loop['loop_id']} --out report", flush=True)


def print_goal(loop: Document) -> None:
    """Print why a loop ended; one that missed its goal says so in the warning colour, and what to try next."""
    is_missed = loop["outcome"] == "goal not reached"
    typer.secho(f"{loop['outcome'].capitalize()}.", fg=typer.colors.YELLOW if is_missed else None, bold=is_missed)
    names = {"": "stop_sentence", "Best version: ": "best_model_version_id", "Try next: ": "next_step"}
    names["Where it stands: "] = "status_sentence"
    print("\n".join(f"{name}{loop[field]}" for name, field in names.items() if loop[field]))


def _outcome(loop: Document) -> Outcome:
    reason = loop["stop_reason"].removeprefix("STOP_REASON_").lower()
    return outcome_of(reason, state_of(loop["job"]))
