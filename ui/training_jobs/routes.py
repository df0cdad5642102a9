"""REST routes of training jobs, their checkpoints and curves."""

from __future__ import annotations

from ui.shared.dependants import deleting
from ui.shared.rpc import RpcRouter
from ui.training_jobs.actions import LOOK_SECONDS

router = RpcRouter(tags=["training jobs"])
router.rpc("POST /training-jobs", "trainer.CreateTrainingJob", "Start a training job.")
router.rpc(
    "POST /training-jobs/preflight",
    "trainer.PreflightTrainingJob",
    "Look at a training job that does not exist yet: rows, tokens and what of them is trained, sharing, memory, disk "
    "and time. It starts nothing. Of a long dataset it answers with what it has seen; ask again until "
    "`num_checked_rows` is `num_rows`.",
    timeout=LOOK_SECONDS,
)
router.rpc("GET /training-jobs", "trainer.ListTrainingJobs", "List training jobs, newest first.")
router.rpc(
    "GET /training-jobs/{training_job_id}", "trainer.GetTrainingJob", "Return one training job with its attempts."
)
router.rpc(
    "DELETE /training-jobs/{training_job_id}",
    "trainer.DeleteTrainingJob",
    "Delete a training job that has ended, with its checkpoints; the version that it made stays. "
    "Refused while a loop refers to it.",
    action=deleting(lambda clients: clients.trainer.DeleteTrainingJob),
)
router.rpc(
    "POST /training-jobs/{training_job_id}/cancel",
    "trainer.CancelTrainingJob",
    "Cancel a training job; its checkpoints are kept.",
)
router.rpc(
    "POST /training-jobs/{training_job_id}/pause",
    "trainer.PauseTrainingJob",
    "Pause a training job after its step: it saves, verifies what it saved, and frees memory and processes.",
)
router.rpc(
    "POST /training-jobs/{training_job_id}/resume",
    "trainer.ResumeTrainingJob",
    "Let a paused training job go on; it ends as it would have without the pause.",
)
router.events(
    "/training-jobs/{training_job_id}/events",
    "trainer.WatchTrainingJob",
    "trainer.GetTrainingJob",
    "Stream the events of a training job, curve points and checkpoints among them.",
)
router.rpc(
    "GET /training-jobs/{training_job_id}/checkpoints",
    "trainer.ListCheckpoints",
    "List the checkpoints of a job, newest first.",
)
router.rpc(
    "GET /training-jobs/{training_job_id}/checkpoints/{step}",
    "trainer.GetCheckpoint",
    "Return one checkpoint with its files.",
)
router.rpc(
    "DELETE /training-jobs/{training_job_id}/checkpoints/{step}",
    "trainer.DeleteCheckpoint",
    "Delete one checkpoint.",
)
router.rpc(
    "GET /training-jobs/{training_job_id}/curve-points", "trainer.ListCurvePoints", "List measured values by step."
)
