"""`drillyard test-runs list`, `show`, `transcripts` and `compare`: read what runs have brought."""

from __future__ import annotations

from typing import Annotated

import typer

from ui.cli.jobs import state_of
from ui.cli.options import Common, command, listing
from ui.cli.output import connected, print_table, show
from ui.evaluations.commands import VerdictFilters, show_comparison, show_verdicts
from ui.test_runs.commands.results import RunId, app, newest_evaluation, show_identity, show_result

Transcripts = Annotated[bool, typer.Option("--transcripts", help="Compare token ids instead of verdicts.")]
TranscriptId = Annotated[str, typer.Argument(help="A transcript, as `transcripts` names it.")]


@listing(app)
@command(app, "list")
def list_runs(common: Common) -> None:
    """List the newest test runs."""
    with connected(common) as gateway:
        test_runs = gateway.every("/test-runs", "test_runs", limit=50)
        rows = (
            (
                test_run["test_run_id"],
                test_run["spec"]["model_version_id"] or (test_run["spec"].get("endpoint") or {}).get("model", ""),
                test_run["spec"]["test_suite_version_id"],
                f"{state_of(test_run['job'])}{', incomplete' * test_run['is_incomplete']}",
                f"{test_run['num_transcripts']}/{test_run['num_transcripts_total']}",
            )
            for test_run in test_runs
        )
        columns = ("run", "model", "suite", "state", "answers")
        none = "No test run yet. Start one with `drillyard test-runs start MODEL`."
        show(test_runs, as_json=common.as_json, table=lambda: print_table("Test runs", columns, rows, empty=none))


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
        item = gateway.get(f"/transcripts/{transcript_id}")["transcript"]

        def table() -> None:
            for message in item["messages"]:
                print(f"── {message['role']}")
                print(message["content"])
                for call in message["tool_calls"]:
                    print(f"→ {call['name']} {call['arguments']}")
            ended = item["finish_reason"].removeprefix("FINISH_REASON_").lower()
            tokens = sum(turn["num_generated_tokens"] or len(turn["token_ids"]) for turn in item["turns"])
            tokens = tokens or len(item["token_ids"])
            print(f"── {ended}; {tokens} tokens in {len(item['turns']) or 1} answers")
            for detail in dict.fromkeys(turn["detail"] for turn in item["turns"] if turn["detail"]):
                print(f"── {detail}")

        show(item, as_json=common.as_json, table=table)


@command(app, "compare")
def compare(before: RunId, after: RunId, common: Common, transcripts: Transcripts = False) -> None:
    """Compare two runs of one suite by their verdicts; with --transcripts say whether they are identical."""
    if transcripts:
        show_identity(before, after, common)
        return
    with connected(common) as gateway:
        sides = [newest_evaluation(gateway, run_id) for run_id in (before, after)]
        show_comparison(gateway, *sides, as_json=common.as_json)
