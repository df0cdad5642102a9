"""RPCs of checkpoints and curves."""

from __future__ import annotations

from drillyard.trainer.v1 import checkpoint_pb2

from services.chassis.calls import Context
from services.chassis.wire import to_message
from services.trainer.usecases import TrainingUseCases


class CheckpointRpcs:
    """Get, list and delete."""

    usecases: TrainingUseCases

    async def ListCheckpoints(
        self, request: checkpoint_pb2.ListCheckpointsRequest, context: Context
    ) -> checkpoint_pb2.ListCheckpointsResponse:
        """List the checkpoints of a job, newest first."""
        checkpoints, token = await self.usecases.list_checkpoints(
            request.training_job_id, request.page_size, request.page_token
        )
        return checkpoint_pb2.ListCheckpointsResponse(
            checkpoints=[to_message(item, checkpoint_pb2.Checkpoint) for item in checkpoints], next_page_token=token
        )

    async def GetCheckpoint(
        self, request: checkpoint_pb2.GetCheckpointRequest, context: Context
    ) -> checkpoint_pb2.GetCheckpointResponse:
        """Return a checkpoint with its files."""
        checkpoint, files = await self.usecases.get_checkpoint(request.training_job_id, request.step)
        return checkpoint_pb2.GetCheckpointResponse(
            checkpoint=to_message(checkpoint, checkpoint_pb2.Checkpoint),
            files=[to_message(item, checkpoint_pb2.CheckpointFile) for item in files],
        )

    async def DeleteCheckpoint(
        self, request: checkpoint_pb2.DeleteCheckpointRequest, context: Context
    ) -> checkpoint_pb2.DeleteCheckpointResponse:
        """Delete a checkpoint."""
        await self.usecases.delete_checkpoint(request.training_job_id, request.step)
        return checkpoint_pb2.DeleteCheckpointResponse()

    async def ListCurvePoints(
        self, request: checkpoint_pb2.ListCurvePointsRequest, context: Context
    ) -> checkpoint_pb2.ListCurvePointsResponse:
        """List measured values by step."""
        points, token = await self.usecases.list_curve_points(
            request.training_job_id, request.metric, page_size=request.page_size, page_token=request.page_token
        )
        return checkpoint_pb2.ListCurvePointsResponse(
            curve_points=[to_message(point, checkpoint_pb2.CurvePoint) for point in points], next_page_token=token
        )
