"""`drillyard loop`: improve a model until goals are met."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

import typer

from ui.cli.connection import Document, Gateway
from ui.cli.follow import Display, Moment, display, follow, job_moment
from ui.cli.options import Common, Follow, command, listing
from ui.cli.output import connected, print_events, print_table, show
from ui.models.commands import refuse_failed

app = typer.Typer(help="Improve a model until goals are met.")
LoopId = Annotated[str, typer.Argument(help="A loop.")]
_FINAL = ("succeeded", "failed", "cancelled")


@dataclass(frozen=True)
class LoopOptions:
    """What decides, and when to give up."""

    suite: Annotated[str, typer.Option(help="A suite version, or a suite for its newest.")] = "roo_xml/core"
    prompt_size: Annotated[str, typer.Option(help="A size that the protocol has, such as full; else compact.")] = ""
    goal: Annotated[list[str] | None, typer.Option(help="METRIC=RATE, else conforming_rate=0.8; repeatable.")] = None
    rounds: Annotated[int, typer.Option(help="Most rounds of training.")] = 1
    minutes: Annotated[float, typer.Option(help="Most minutes in all; 0 means no bound.")] = 0.0
    examples: Annotated[int, typer.Option(help="Train examples per round.")] = 400
    seed: Annotated[int, typer.Option(help="Changes pool, probe, order and initialisation.")] = 1
    max_tokens_per_pack: Annotated[int, typer.Option(help="Longest row in tokens; 0 means 6144.")] = 0

    def body(self, model: str) -> Document:
        """Return the request that improves `model`."""
        return {
            "model_version_id": model,
            "test_suite_version_id": self.suite,
            "prompt_size": self.prompt_size,
            "goals": [_goal(one) for one in self.goal or ["conforming_rate=0.8"]],
            "budget": {"max_rounds": self.rounds, "max_minutes": self.minutes},
            "num_examples": self.examples,
            "seed": self.seed,
            "training": {"max_tokens_per_pack": self.max_tokens_per_pack},
        }


@command(app, "start")
def start(
    model: Annotated[str, typer.Argument(help="A model version, or a model for its newest.")],
    options: LoopOptions,
    common: Common,
    follow_it: Follow = True,
) -> None:
    """Test, train on what fails, and test again."""
    with connected(common) as gateway, display(as_json=common.as_json) as on:
        one = gateway.post("/loops", options.body(model))["loop"]
        if follow_it:
            one = follow_loop(gateway, one["loop_id"], on)
            refuse_failed(one["job"], as_json=common.as_json)
        show(one, as_json=common.as_json, table=lambda: on.say(_end_sentence(one)))


@listing(app)
@command(app, "list")
def list_loops(common: Common) -> None:
    """List the newest loops."""
    with connected(common) as gateway:
        found = gateway.every("/loops", "loops", limit=50)
        columns = ("loop", "model", "suite", "state", "best version", "conforming")
        none = "No loop yet. Start one with `drillyard loop start MODEL`."
        show(found, as_json=common.as_json, table=lambda: print_table("Loops", columns, map(_row, found), empty=none))


@command(app, "show")
def show_loop(loop_id: LoopId, common: Common) -> None:
    """Show every step of a loop."""
    with connected(common) as gateway:
        if common.as_json:
            show(gateway.get(f"/loops/{loop_id}")["loop"], as_json=True, table=lambda: None)
            return
        progress = gateway.get(f"/loops/{loop_id}/progress")
        rows = [(one["round"], one["title"], one["state"], one["resource_id"]) for one in progress["steps"]]
        print_table(loop_id, ("round", "step", "state", "made"), rows, empty="It has not begun.")
        print(progress["stop_sentence"])


@command(app, "watch")
def watch(loop_id: LoopId, common: Common) -> None:
    """Follow a loop; with --json every event is a line."""
    with connected(common) as gateway, display(as_json=common.as_json) as on:
        if common.as_json:
            print_events(gateway, f"/loops/{loop_id}/events")
            return
        on.say(_end_sentence(follow_loop(gateway, loop_id, on)))


@command(app, "cancel")
def cancel(loop_id: LoopId, common: Common) -> None:
    """Cancel a loop and the job that it waits for; what is registered is kept."""
    with connected(common) as gateway:
        one = gateway.post(f"/loops/{loop_id}/cancel")["loop"]
        show(one, as_json=common.as_json, table=lambda: print(f"{loop_id} is {job_moment(one['job']).text}."))


def follow_loop(gateway: Gateway, loop_id: str, on: Display, steps: StepLog | None = None) -> Document:
    """Show a loop's steps until it ends, and return its document."""
    log = steps or StepLog(gateway, loop_id, on)
    follow("Loop", log.read, on)
    one: Document = gateway.get(f"/loops/{loop_id}")["loop"]
    return one


class StepLog:
    """Reads how far a loop has come; says a line that stays for each step that ended."""

    def __init__(self, gateway: Gateway, loop_id: str, on: Display) -> None:
        self._gateway = gateway
        self._loop_id = loop_id
        self._on = on
        self._told: set[tuple[int, str]] = set()
        self.live_title = ""

    def read(self) -> Moment:
        """Return how far the loop has come."""
        progress = self._gateway.get(f"/loops/{self._loop_id}/progress")
        for one in progress["steps"]:
            self._tell(one)
        is_final = progress["job"]["state"] in _FINAL
        live = next((one for one in progress["steps"] if one["state"] == "live"), None)
        if is_final or live is None:
            return Moment(progress["job"]["state"], None, is_final)
        fraction = live["percent"] / 100 if live["percent"] is not None else None
        text = " · ".join(part for part in (live["title"].lower(), live["sentence"]) if part)
        return Moment(text, fraction, False)

    def _tell(self, one: Document) -> None:
        key = (one["round"], one["step"])
        if one["state"] not in ("done", "failed") or key in self._told:
            return
        self._told.add(key)
        took = f" in {one['seconds']:.0f} s" if one["seconds"] else ""
        sign = "✓" if one["state"] == "done" else "✗"
        self._on.say(f"{sign} {one['title']}{took}  {one['resource_id']}")


def _goal(text: str) -> Document:
    metric, _, bound = text.partition("=")
    try:
        return {"metric": metric.strip(), "minimum": float(bound)}
    except ValueError:
        raise typer.BadParameter(f"{text!r} is not like conforming_rate=0.8.", param_hint="--goal") from None


def _row(one: Document) -> tuple[object, ...]:
    rates = [f"{100 * step['conforming_rate']:.1f} %" for step in one["rounds"] if step["evaluated"]]
    state = one["job"]["state"].removeprefix("JOB_STATE_").lower()
    spec = one["spec"]
    best = one["best_model_version_id"]
    return one["loop_id"], spec["model_version_id"], spec["test_suite_version_id"], state, best, " → ".join(rates)


def _end_sentence(one: Document) -> str:
    ended = one["stop_sentence"] or f"The loop {one['loop_id']} is {job_moment(one['job']).text}."
    return f"{ended} Report: drillyard report {one['loop_id']} --out report"
