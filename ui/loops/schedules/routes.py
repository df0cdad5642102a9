"""REST routes of schedules and their due times."""

from __future__ import annotations

from ui.shared.rpc import RpcRouter

router = RpcRouter(tags=["schedules"])
router.rpc(
    "POST /schedules",
    "feedback.CreateSchedule",
    "Watch an alias or a version: run a suite on it again and again, and tell or start a loop when a goal is missed.",
)
router.rpc("GET /schedules", "feedback.ListSchedules", "List schedules, newest first, each with its newest due time.")
router.rpc("GET /schedules/{schedule_id}", "feedback.GetSchedule", "Return one schedule and what it has spent.")
router.rpc(
    "DELETE /schedules/{schedule_id}",
    "feedback.DeleteSchedule",
    "Delete a schedule with its history; what its runs made stays.",
)
router.rpc("POST /schedules/{schedule_id}/pause", "feedback.PauseSchedule", "Keep no due times from now on.")
router.rpc(
    "POST /schedules/{schedule_id}/resume", "feedback.ResumeSchedule", "Keep due times again, from the next one."
)
router.rpc("POST /schedules/{schedule_id}/run", "feedback.RunSchedule", "Run a schedule now; its due times stay.")
router.rpc(
    "GET /schedules/{schedule_id}/runs",
    "feedback.ListScheduledRuns",
    "List the due times of a schedule, newest first: what was reached, whether it drifted, which loop was started.",
)
router.rpc("GET /scheduled-runs/{scheduled_run_id}", "feedback.GetScheduledRun", "Return one due time.")
router.rpc(
    "POST /scheduled-runs/{scheduled_run_id}/cancel",
    "feedback.CancelScheduledRun",
    "Cancel a run and the job that it waits for.",
)
