"""`drillyard test watch`, `pause`, `resume` and `cancel`."""

from __future__ import annotations

from ui.cli.follow import display, follow
from ui.cli.options import Common, command
from ui.cli.output import connected, print_events, show
from ui.test_runs.commands.group import RunId, app
from ui.test_runs.commands.progress import test_moment


@command(app, "watch")
def watch(run_id: RunId, common: Common) -> None:
    """Follow a run; with --json every event is a line."""
    with connected(common) as gateway, display(as_json=common.as_json) as on:
        if common.as_json:
            print_events(gateway, f"/test-runs/{run_id}/events")
            return
        judged = gateway.get("/evaluations", test_run_id=run_id, page_size=1)["evaluations"]
        evaluation_id = judged[0]["evaluation_id"] if judged else ""
        follow(run_id, lambda: test_moment(gateway, run_id, evaluation_id), on)


@command(app, "pause")
def pause(run_id: RunId, common: Common) -> None:
    """Pause a run after the cases that it is at."""
    _steer(run_id, "pause", common)


@command(app, "resume")
def resume(run_id: RunId, common: Common) -> None:
    """Resume a paused run; it ends as it would have without the pause."""
    _steer(run_id, "resume", common)


@command(app, "cancel")
def cancel(run_id: RunId, common: Common) -> None:
    """Cancel a run; its answers are kept."""
    _steer(run_id, "cancel", common)


def _steer(run_id: str, verb: str, common: Common) -> None:
    with connected(common) as gateway:
        one = gateway.post(f"/test-runs/{run_id}/{verb}")["test_run"]
        state = one["job"]["state"].removeprefix("JOB_STATE_").lower()
        show(one, as_json=common.as_json, table=lambda: print(f"{run_id} is {state}."))
