"""`drillyard schedules`: watch what is served, and tell or start a loop when it misses a goal."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, TypeAlias

import typer
from drillyard.feedback.v1.schedule_pb2 import ScheduleSpec

from services.chassis.errors import InvalidArgument
from ui.cli.connection import Document
from ui.cli.fields import FieldOptions
from ui.cli.jobs import add_delete_command
from ui.cli.options import Common, command, listing
from ui.cli.output import connected, print_table, show
from ui.loops.goals import GOAL_HELP, goal_fields

app = typer.Typer(help="Run a suite again and again on what is served, and tell or start a loop when it misses a goal.")
ScheduleId = Annotated[str, typer.Argument(metavar="SCHEDULE", help="A schedule.")]
Settings: TypeAlias = Annotated[
    Document,
    FieldOptions(ScheduleSpec, ("model_version_id", "test_suite_version_id", "on_broken_goal", "loop")),
]
_NUM_RUNS = 50


@dataclass(frozen=True)
class Watch:
    """What must be reached, and what follows when it is not."""

    goal: Annotated[list[str] | None, typer.Option(help=f"{GOAL_HELP} Repeatable; else conforming_rate>=0.8.")] = None
    start_loop: Annotated[bool, typer.Option("--start-loop", help="Start a loop when a goal is missed.")] = False
    loop: Annotated[
        Path | None, typer.Option(help="A file with the loop to start, as JSON like the body of POST /loops.")
    ] = None

    def body(self) -> Document:
        """Return them as fields of a schedule's spec."""
        body: Document = {"goals": [goal_fields(text) for text in self.goal or ["conforming_rate>=0.8"]]}
        if self.start_loop or self.loop:
            body["on_broken_goal"] = "BROKEN_GOAL_ACTION_START_LOOP"
        return {**body, "loop": _loop_in(self.loop)} if self.loop else body


@command(app, "create")
def create(
    model: Annotated[str, typer.Argument(help="An alias such as smollm2:champion, a version, or a model.")],
    settings: Settings,
    common: Common,
    suite: Annotated[str, typer.Option(help="A suite version, or a suite for its newest at every due time.")],
    watch: Watch,
) -> None:
    """Watch an alias or a version, every so many hours or daily."""
    with connected(common) as gateway:
        body = {**settings, **watch.body(), "model_version_id": model, "test_suite_version_id": suite}
        schedule = gateway.post("/schedules", body)["schedule"]
        show(schedule, as_json=common.as_json, table=lambda: _print_schedule(schedule))


@listing(app)
@command(app, "list")
def list_schedules(common: Common) -> None:
    """List schedules, newest first."""
    with connected(common) as gateway:
        schedules = gateway.every("/schedules", "schedules")
        columns = ("schedule", "watches", "suite", "next", "newest due time")
        none = "Nothing is watched. Begin with `drillyard schedules create MODEL:ALIAS --suite SUITE --every-hours 24`."
        rows = map(_row, schedules)
        show(schedules, as_json=common.as_json, table=lambda: print_table("Schedules", columns, rows, empty=none))


@command(app, "show")
def show_schedule(schedule_id: ScheduleId, common: Common) -> None:
    """Show a schedule and its newest due times."""
    with connected(common) as gateway:
        schedule = gateway.get(f"/schedules/{schedule_id}")["schedule"]
        runs = gateway.get(f"/schedules/{schedule_id}/runs", page_size=_NUM_RUNS)["scheduled_runs"]

        def table() -> None:
            _print_schedule(schedule)
            columns = ("due", "outcome", "run", "reached")
            print_table("Due times", columns, map(_run_row, runs), empty="Nothing was due yet.")

        show({**schedule, "runs": runs}, as_json=common.as_json, table=table)


@command(app, "pause")
def pause(schedule_id: ScheduleId, common: Common) -> None:
    """Keep no due times from now on."""
    _steer(schedule_id, "pause", common)


@command(app, "resume")
def resume(schedule_id: ScheduleId, common: Common) -> None:
    """Keep due times again, from the next one."""
    _steer(schedule_id, "resume", common)


@command(app, "run")
def run(schedule_id: ScheduleId, common: Common) -> None:
    """Run a schedule now; its due times stay."""
    with connected(common) as gateway:
        begun = gateway.post(f"/schedules/{schedule_id}/run")["scheduled_run"]
        sentence = f"{begun['scheduled_run_id']} has begun. See it: drillyard schedules show {schedule_id}"
        show(begun, as_json=common.as_json, table=lambda: print(sentence))


@command(app, "cancel-run")
def cancel_run(
    scheduled_run_id: Annotated[str, typer.Argument(metavar="RUN", help="A run of a schedule.")], common: Common
) -> None:
    """Cancel a run of a schedule, and the job that it waits for."""
    with connected(common) as gateway:
        ended = gateway.post(f"/scheduled-runs/{scheduled_run_id}/cancel")["scheduled_run"]
        show(ended, as_json=common.as_json, table=lambda: print(f"{scheduled_run_id} is being cancelled."))


add_delete_command(app, "/schedules", "Delete a schedule with its history; what its runs made stays.")


def _steer(schedule_id: str, verb: str, common: Common) -> None:
    with connected(common) as gateway:
        schedule = gateway.post(f"/schedules/{schedule_id}/{verb}")["schedule"]
        show(schedule, as_json=common.as_json, table=lambda: _print_schedule(schedule))


def _loop_in(path: Path) -> Document:
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InvalidArgument(
            f"The file {path} cannot be read as JSON: {error}.",
            'Write the loop\'s fields, such as {"budget": {"max_rounds": 2}}.',
            field="loop",
        ) from error
    if not isinstance(document, dict):
        raise InvalidArgument(f"The file {path} holds no JSON object.", "Write the loop's fields.", field="loop")
    return document


def _print_schedule(schedule: Document) -> None:
    state = "is paused" if schedule["state"] == "SCHEDULE_STATE_PAUSED" else f"is next due {_time(schedule)}"
    spent = schedule["spent"]
    print(f"{schedule['schedule_id']} {state}. {schedule['sentence']}")
    print(
        f"Spent in {schedule['spec']['budget']['period_days'] or 30} days: runs {spent['num_runs']}, "
        f"loops {spent['num_loops']}, minutes {spent['minutes']:.1f}, money {spent['cost']:.2f}."
    )


def _row(schedule: Document) -> tuple[object, ...]:
    spec, last = schedule["spec"], schedule.get("last_run")
    newest = _outcome(last) if last else "none yet"
    return schedule["schedule_id"], spec["model_version_id"], spec["test_suite_version_id"], _time(schedule), newest


def _run_row(document: Document) -> tuple[object, ...]:
    missed = f" (and {document['num_missed']} missed)" if document["num_missed"] else ""
    when = document["due_time"][:16].replace("T", " ")
    return f"{when}{missed}", _outcome(document), document["scheduled_run_id"], document["sentence"]


def _outcome(document: Document) -> str:
    word = str(document["outcome"]).removeprefix("SCHEDULED_RUN_OUTCOME_").lower().replace("_", " ")
    return "goes on" if word == "unspecified" else word


def _time(schedule: Document) -> str:
    due = schedule.get("next_due_time")
    return f"{due[:16].replace('T', ' ')} UTC" if due else "paused"
