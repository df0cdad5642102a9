"""`drillyard test list`, `show` and `transcripts`: read what runs have brought."""

from __future__ import annotations

from typing import Annotated

import typer

from ui.cli.options import Common, command, listing
from ui.cli.output import connected, print_table, show
from ui.evaluations.commands import VerdictFilters, show_verdicts
from ui.test_runs.commands.group import RunId, app, newest_evaluation, show_result

TranscriptId = Annotated[str, typer.Argument(help="A transcript, as `transcripts` names it.")]


@listing(app)
@command(app, "list")
def list_runs(common: Common) -> None:
    """List the newest test runs."""
    with connected(common) as gateway:
        found = gateway.every("/test-runs", "test_runs", limit=50)
        rows = (
            (
                one["test_run_id"],
                one["spec"]["model_version_id"] or (one["spec"].get("endpoint") or {}).get("model", ""),
                one["spec"]["test_suite_version_id"],
                one["job"]["state"].removeprefix("JOB_STATE_").lower(),
                f"{one['num_transcripts']}/{one['num_transcripts_total']}",
            )
            for one in found
        )
        columns = ("run", "model", "suite", "state", "answers")
        none = "No test run yet. Start one with `drillyard test run MODEL`."
        show(found, as_json=common.as_json, table=lambda: print_table("Test runs", columns, rows, empty=none))


@command(app, "show")
def show_run(run_id: RunId, common: Common) -> None:
    """Show a run's rates by tool and its failures by cause."""
    show_result(run_id, common)


@command(app, "transcripts")
def transcripts(run_id: RunId, filters: VerdictFilters, common: Common) -> None:
    """List a run's answers with the verdict on each."""
    with connected(common) as gateway:
        evaluation = newest_evaluation(gateway, run_id)
        show_verdicts(gateway, run_id, evaluation["evaluation_id"], filters, as_json=common.as_json)


@command(app, "transcript")
def transcript(transcript_id: TranscriptId, common: Common) -> None:
    """Show one conversation, answer by answer."""
    with connected(common) as gateway:
        one = gateway.get(f"/transcripts/{transcript_id}")["transcript"]

        def table() -> None:
            for message in one["messages"]:
                print(f"── {message['role']}")
                print(message["content"])
                for call in message["tool_calls"]:
                    print(f"→ {call['name']} {call['arguments']}")
            ended = one["finish_reason"].removeprefix("FINISH_REASON_").lower()
            tokens = sum(turn["num_generated_tokens"] or len(turn["token_ids"]) for turn in one["turns"])
            tokens = tokens or len(one["token_ids"])
            print(f"── {ended}; {tokens} tokens in {len(one['turns']) or 1} answers")
            for detail in dict.fromkeys(turn["detail"] for turn in one["turns"] if turn["detail"]):
                print(f"── {detail}")

        show(one, as_json=common.as_json, table=table)
