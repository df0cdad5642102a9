"""`drillyard test-runs lm-eval`: lm-eval's tasks, to see that general ability did not suffer."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from services.chassis.machine.files import written_whole
from ui.cli.connection import Document, Gateway, GatewayError
from ui.cli.follow import display, follow
from ui.cli.guardrails.child import lm_eval_at_work
from ui.cli.guardrails.results import Change, changes
from ui.cli.options import Common, command
from ui.cli.output import EXIT_FAILED, connected, print_table, show
from ui.test_runs.commands.results import ModelArgument, app


@dataclass(frozen=True)
class LmEvalOptions:
    """Which tasks, and how they are asked."""

    tasks: Annotated[str, typer.Option(help="Names of lm-eval's tasks, with commas.")] = "drillyard_general"
    limit: Annotated[int, typer.Option(help="Most questions of each task; 0 for all.", min=0)] = 0
    num_fewshot: Annotated[int | None, typer.Option(help="Examples in the prompt; by default the task's own.")] = None
    chat: Annotated[bool, typer.Option("--chat", help="Ask as a conversation, by the model's template.")] = False
    concurrency: Annotated[int, typer.Option(help="Requests in flight at once.", min=1, max=64)] = 4
    timeout: Annotated[float, typer.Option(help="Most minutes.", min=0)] = 60.0

    def request(self, gateway: Gateway, model: str) -> Document:
        """Return what the process that runs lm-eval is asked."""
        return {
            "url": f"{gateway.url}/v1",
            "model": model,
            "tasks": [item.strip() for item in self.tasks.split(",") if item.strip()],
            "limit": self.limit,
            "num_fewshot": self.num_fewshot,
            "chat": self.chat,
            "concurrency": self.concurrency,
        }


@command(app, "lm-eval")
def lm_eval(
    model: ModelArgument,
    options: LmEvalOptions,
    common: Common,
    before: Annotated[Path | None, typer.Option(help="An earlier result, to set this one against.")] = None,
    out: Annotated[Path | None, typer.Option(help="File that gets the result.")] = None,
) -> None:
    """Run lm-eval's tasks on a model; with --before the exit status is 1 when one got worse beyond chance."""
    with connected(common) as gateway, display(as_json=common.as_json) as on:
        earlier = _read(before) if before else None
        version = gateway.get(f"/model-versions/{model}")["model_version"]["model_version_id"]
        request = options.request(gateway, version)
        with lm_eval_at_work(request, 60 * options.timeout) as child:
            follow(f"lm-eval {version}", child.progress, on, check=child.refuse_late)
            result = {"model_version_id": version, "request": request, **child.result()}
        if out:
            _write(out, result)
        outcome = changes(earlier, result) if earlier else []
        show(result, as_json=common.as_json, table=lambda: _print(result, outcome))
        if any(item.is_worse for item in outcome):
            raise typer.Exit(EXIT_FAILED)


def _print(result: Document, outcome: list[Change]) -> None:
    rows = [
        (
            task,
            item["num_samples"],
            metric,
            _value(facts),
            f"±{facts['stderr']:.3f}" if facts["stderr"] is not None else "",
        )
        for task, item in result["tasks"].items()
        for metric, facts in item["metrics"].items()
    ]
    columns = ("task", "questions", "metric", "value", "standard error")
    print_table(f"lm-eval {result['lm_eval_version']}: {result['model_version_id']}", columns, rows, empty="No result.")
    if outcome:
        print()
        changed = [
            (item.task, item.metric, f"{item.before:.3f}", f"{item.after:.3f}", _judgement(item)) for item in outcome
        ]
        print_table("Before and after", ("task", "metric", "before", "after", "change"), changed, empty="")


def _value(document: Document) -> str:
    return f"{document['value']:.3f}"


def _judgement(change: Change) -> str:
    return "worse" if change.is_worse else "better" if change.is_better else "within chance"


def _read(path: Path) -> Document:
    try:
        document: Document = json.loads(path.read_text(encoding="utf-8"))
        changes(document, document)
        return document
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        problem = f"{path} is no result of this command: {error}."
        raise GatewayError("INVALID_ARGUMENT", problem, "Name a file that --out has written.") from None


def _write(path: Path, result: Document) -> None:
    try:
        with written_whole(path) as file:
            file.write((json.dumps(result, indent=2) + "\n").encode())
    except OSError as error:
        problem = f"The result cannot be written to {path}: {error.strerror}."
        raise GatewayError("FAILED_PRECONDITION", problem, "Name another place with --out.") from None
