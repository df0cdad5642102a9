"""`drillyard loops plan`, `approve` and `decide`: what a loop would do, and what a person says to what it decided."""

from __future__ import annotations

from typing import Annotated, TypeAlias

import typer
from drillyard.feedback.v1.loop_answer_pb2 import DecisionChange

from ui.cli.connection import Document
from ui.cli.fields import FieldOptions
from ui.cli.options import Common, command
from ui.cli.output import connected, print_table, show
from ui.loops.commands import OF_THE_LOOP, TRAINING_NAMES, Goals, LoopId, Settings
from ui.shared.words import span_text

Changes: TypeAlias = Annotated[
    Document,
    FieldOptions(
        DecisionChange,
        tuple(f"training.{name}" for name in (*OF_THE_LOOP, "method")),
        {**TRAINING_NAMES, "num_examples": "examples", "training.max_steps": "steps"},
    ),
]
Number: TypeAlias = Annotated[
    int | None, typer.Option("--decision", min=1, help="Its number, as you saw it; else the one that waits is shown.")
]


def add_decision_commands(app: typer.Typer) -> None:
    """Add `plan`, `approve` and `decide` to the commands of loops."""
    command(app, "plan")(plan)
    command(app, "approve")(approve)
    command(app, "decide")(decide)


def plan(
    model: Annotated[str, typer.Argument(help="A model version, or a model for its newest.")],
    settings: Settings,
    common: Common,
    goals: Goals,
    suite: Annotated[str, typer.Option(help="A suite version, or a suite for its newest.")] = "roo_xml/core",
) -> None:
    """Say what a loop with these options would do, and on what its first decision depends; starts nothing."""
    with connected(common) as gateway:
        body = {**settings, **goals.body(), "model_version_id": model, "test_suite_version_id": suite}
        planned = gateway.post("/loops:plan", body)["plan"]
        show(planned, as_json=common.as_json, table=lambda: print_plan(planned))


def print_plan(planned: Document) -> None:
    """Print what would be done, how long that took before, and what decides."""
    steps = [("once", step) for step in planned["first_steps"]] + [
        ("each round", step) for step in planned["round_steps"]
    ]
    rows = [
        (when, step["step"], step["message"], span_text(step["seconds"]) if step["seconds"] else "")
        for when, step in steps
    ]
    print_table("It would do", ("when", "step", "on", "took before"), rows, empty="")
    decisions = [(each["condition"], decision_text(each["decision"])) for each in planned["decisions"]]
    print_table("Then it decides by its probe and its tests", ("where", "it would train"), decisions, empty="")
    print(planned["sentence"])
    if planned.get("stop"):
        print(planned["stop"]["next_step"])


def decision_text(decision: Document) -> str:
    """Return what a decision trains, such as "SFT, 400 rows"; of a search why it is made."""
    if decision["action"] == "DECISION_ACTION_SEARCH":
        return str(decision["reason"])
    method = decision["method"].removeprefix("TRAINING_METHOD_")
    return f"{method}, {decision['recipe']['num_examples']} rows"


def approve(loop_id: LoopId, common: Common, number: Number = None) -> None:
    """Let a loop that asked go on as it decided."""
    _answer(loop_id, number, {}, "approved", common)


def decide(loop_id: LoopId, changes: Changes, common: Common, number: Number = None) -> None:
    """Let a loop that asked go on in another way; what is not set stays as it decided."""
    _answer(loop_id, number, {"change": changes}, "changed", common)


def _answer(loop_id: str, number: int | None, body: Document, verb: str, common: Common) -> None:
    with connected(common) as gateway:
        waiting = None if number else gateway.get(f"/loops/{loop_id}/progress")["waiting"]
        if waiting:
            number = waiting["number"]
            if not common.as_json:
                print(f"Decision {number}, {waiting['title']}: {waiting['reason']}")
        loop = gateway.post(f"/loops/{loop_id}/decision", {**body, "number": number or 0})["loop"]
        sentence = f"Decision {number} is {verb}. Follow it: drillyard loops watch {loop_id}"
        show(loop, as_json=common.as_json, table=lambda: print(sentence))
