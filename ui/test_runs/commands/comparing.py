"""`drillyard test compare` and `parity`: two runs, or two forms of one model, side by side."""

from __future__ import annotations

from typing import Annotated

import typer

from ui.cli.follow import display
from ui.cli.options import Common, command
from ui.cli.output import EXIT_FAILED, connected, show
from ui.cli.results import print_parity
from ui.evaluations.commands import show_comparison
from ui.test_runs.commands.group import ModelArgument, RunId, app, newest_evaluation
from ui.test_runs.commands.identity import show_identity
from ui.test_runs.commands.options import EndpointOptions, TestOptions
from ui.test_runs.commands.running import start_run

Transcripts = Annotated[bool, typer.Option("--transcripts", help="Compare token ids instead of verdicts.")]


@command(app, "compare")
def compare(before: RunId, after: RunId, common: Common, transcripts: Transcripts = False) -> None:
    """Compare two runs of one suite by their verdicts; with --transcripts say whether they are identical."""
    if transcripts:
        show_identity(before, after, common)
        return
    with connected(common) as gateway:
        sides = [newest_evaluation(gateway, run_id) for run_id in (before, after)]
        show_comparison(gateway, *sides, as_json=common.as_json)


@command(app, "parity")
def parity(
    model: ModelArgument,
    against: Annotated[str, typer.Option("--against", help="The server of the other form.")],
    options: TestOptions,
    served: EndpointOptions,
    common: Common,
    require: Annotated[float, typer.Option(help="Least share of equal answers.", min=0, max=1)] = 1.0,
) -> None:
    """Test a model here and at a server, and name the step that makes their answers differ."""
    with connected(common) as gateway, display(as_json=common.as_json) as on:
        own = options.body(model)
        bodies = {"Here": own, "At the server": {**own, "endpoint": served.body(against, model)}}
        runs = [start_run(gateway, body, on, title) for title, body in bodies.items()]
        first, second = (newest_evaluation(gateway, run_id)["evaluation_id"] for run_id in runs)
        found = gateway.get("/parity", before_evaluation_id=first, after_evaluation_id=second)["parity"]
        body = {**found, "before_test_run_id": runs[0], "after_test_run_id": runs[1]}
        show(body, as_json=common.as_json, table=lambda: print_parity(body))
        if found["equal_answers_rate"] < require:
            raise typer.Exit(EXIT_FAILED)
