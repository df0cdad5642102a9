"""The RPCs of schedules and their due times."""

from __future__ import annotations

from typing import Any

from drillyard.feedback.v1 import schedule_pb2 as pb
from drillyard.feedback.v1 import scheduled_run_pb2 as run_pb

from services.feedback.convert.schedules import run_to_proto, schedule_spec_from_proto, schedule_to_proto
from services.feedback.usecases.schedules import ScheduleUseCases


class ScheduleRpcs:
    """Create, get, list, pause, resume, delete and run."""

    schedules: ScheduleUseCases

    async def CreateSchedule(self, request: pb.CreateScheduleRequest, context: Any) -> pb.CreateScheduleResponse:
        """Start to watch."""
        standing = await self.schedules.create(request.request_id, schedule_spec_from_proto(request.spec))
        return pb.CreateScheduleResponse(schedule=schedule_to_proto(standing))

    async def GetSchedule(self, request: pb.GetScheduleRequest, context: Any) -> pb.GetScheduleResponse:
        """Return one schedule."""
        return pb.GetScheduleResponse(schedule=schedule_to_proto(await self.schedules.get(request.schedule_id)))

    async def ListSchedules(self, request: pb.ListSchedulesRequest, context: Any) -> pb.ListSchedulesResponse:
        """List schedules."""
        page, token = await self.schedules.list_schedules(request.page_size, request.page_token)
        return pb.ListSchedulesResponse(schedules=map(schedule_to_proto, page), next_page_token=token)

    async def PauseSchedule(self, request: pb.PauseScheduleRequest, context: Any) -> pb.PauseScheduleResponse:
        """Keep no due times from now on."""
        return pb.PauseScheduleResponse(schedule=schedule_to_proto(await self.schedules.pause(request.schedule_id)))

    async def ResumeSchedule(self, request: pb.ResumeScheduleRequest, context: Any) -> pb.ResumeScheduleResponse:
        """Keep due times again."""
        return pb.ResumeScheduleResponse(schedule=schedule_to_proto(await self.schedules.resume(request.schedule_id)))

    async def DeleteSchedule(self, request: pb.DeleteScheduleRequest, context: Any) -> pb.DeleteScheduleResponse:
        """Delete a schedule with its history."""
        await self.schedules.delete(request.schedule_id)
        return pb.DeleteScheduleResponse()


class ScheduledRunRpcs:
    """Run by hand, get, cancel and list."""

    schedules: ScheduleUseCases

    async def RunSchedule(self, request: run_pb.RunScheduleRequest, context: Any) -> run_pb.RunScheduleResponse:
        """Run a schedule now."""
        run = await self.schedules.run_now(request.request_id, request.schedule_id)
        return run_pb.RunScheduleResponse(scheduled_run=run_to_proto(run))

    async def GetScheduledRun(
        self, request: run_pb.GetScheduledRunRequest, context: Any
    ) -> run_pb.GetScheduledRunResponse:
        """Return one due time."""
        run = await self.schedules.get_run(request.scheduled_run_id)
        return run_pb.GetScheduledRunResponse(scheduled_run=run_to_proto(run))

    async def CancelScheduledRun(
        self, request: run_pb.CancelScheduledRunRequest, context: Any
    ) -> run_pb.CancelScheduledRunResponse:
        """Cancel a run."""
        run = await self.schedules.cancel_run(request.scheduled_run_id)
        return run_pb.CancelScheduledRunResponse(scheduled_run=run_to_proto(run))

    async def ListScheduledRuns(
        self, request: run_pb.ListScheduledRunsRequest, context: Any
    ) -> run_pb.ListScheduledRunsResponse:
        """List the due times of a schedule."""
        page, token = await self.schedules.list_runs(request.schedule_id, request.page_size, request.page_token)
        return run_pb.ListScheduledRunsResponse(scheduled_runs=map(run_to_proto, page), next_page_token=token)
