"""A training backend without processes: it tells a falling loss and leaves an adapter of zeros."""

import asyncio
import math
from pathlib import Path

from drillyard.trainer.v1 import attempt_pb2, checkpoint_pb2, trainer_service_pb2_grpc, training_job_pb2

from services.chassis.channel import open_channel
from services.trainer.domain.plan import AttemptPlan
from services.trainer.manifest import place_for, write_manifest
from tests.unit.registry.model_folders import write_adapter

NUM_STEPS, NUM_STEPS_HELD = 20, 13


class MadeUpTraining:
    """Ends at once after 20 steps, or stands still after 13 where it holds."""

    holds = False
    fetches_artifacts = False

    def wait_reason(self, training_job_id: str) -> str:
        return ""

    async def prepare(self, plan: AttemptPlan) -> AttemptPlan:
        return plan

    async def run(self, plan: AttemptPlan) -> None:
        report = attempt_pb2.ReportAttemptRequest(
            training_job_id=plan.training_job_id,
            attempt=plan.attempt,
            epoch=plan.epoch,
            phase="train",
            num_steps_done=NUM_STEPS_HELD if self.holds else NUM_STEPS,
            num_steps_total=NUM_STEPS,
        )
        for step in range(1, report.num_steps_done + 1):
            curves = {"loss": 1.9 * math.exp(-step / 4.5) + 0.09, "learning_rate": 1e-3 / step, "tokens": 512}
            for metric, value in curves.items():
                report.curve_points.add(metric=metric, step=step, value=value, attempt=plan.attempt)
        if not self.holds:
            report.checkpoints.append(_saved(plan))
            report.outcome = training_job_pb2.ATTEMPT_OUTCOME_SUCCEEDED
        async with open_channel(plan.report_address) as channel:
            await trainer_service_pb2_grpc.TrainerServiceStub(channel).ReportAttempt(report)
            await asyncio.Event().wait()

    async def clear(self, training_job_id: str) -> int:
        return 0

    remove = clear


def _saved(plan: AttemptPlan) -> checkpoint_pb2.Checkpoint:
    folder = place_for(Path(plan.checkpoint_folder), NUM_STEPS, plan.attempt)
    write_adapter(folder / "adapter")
    saved = write_manifest(folder, step=NUM_STEPS, attempt=plan.attempt, config_digest=plan.config_digest)
    return checkpoint_pb2.Checkpoint(
        step=saved.step,
        attempt=saved.attempt,
        uri=saved.uri,
        digest=saved.digest,
        size_bytes=saved.size_bytes,
        create_time=saved.create_time,
    )
