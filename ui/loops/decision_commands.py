"""`drillyard loops approve` and `decide`: what a person says to the decision that a loop waits with."""

from __future__ import annotations

from typing import Annotated, TypeAlias

import typer
from drillyard.feedback.v1.loop_answer_pb2 import DecisionChange

from ui.cli.connection import Document
from ui.cli.fields import FieldOptions
from ui.cli.options import Common, command
from ui.cli.output import connected, show
from ui.loops.commands import OF_THE_LOOP, LoopId

Changes: TypeAlias = Annotated[
    Document,
    FieldOptions(
        DecisionChange,
        tuple(f"training.{name}" for name in (*OF_THE_LOOP, "method")),
        {"training.lora.r": "rank", "num_examples": "examples", "training.max_steps": "steps"},
    ),
]


def add_decision_commands(app: typer.Typer) -> None:
    """Add `approve` and `decide` to the commands of loops."""
    command(app, "approve")(approve)
    command(app, "decide")(decide)


def approve(loop_id: LoopId, common: Common) -> None:
    """Let a loop that asked go on as it decided."""
    _answer(loop_id, {}, "approved", common)


def decide(loop_id: LoopId, changes: Changes, common: Common) -> None:
    """Let a loop that asked go on in another way; what is not set stays as it decided."""
    _answer(loop_id, {"change": changes}, "changed", common)


def _answer(loop_id: str, body: Document, verb: str, common: Common) -> None:
    with connected(common) as gateway:
        loop = gateway.post(f"/loops/{loop_id}/decision", body)["loop"]
        sentence = f"The decision is {verb}. Follow it: drillyard loops watch {loop_id}"
        show(loop, as_json=common.as_json, table=lambda: print(sentence))
