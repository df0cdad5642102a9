"""The RPCs of schedules and their due times."""

from __future__ import annotations

from operator import attrgetter
from typing import Any

from drillyard.feedback.v1 import schedule_pb2 as pb
from drillyard.feedback.v1 import scheduled_run_pb2 as run_pb

from services.chassis.jobs.convert import ResourceRpcs
from services.feedback.convert.schedules import run_to_proto, schedule_spec_from_proto, schedule_to_proto
from services.feedback.usecases.schedules import ScheduleUseCases

_schedules = ResourceRpcs(attrgetter("schedules"), schedule_to_proto)
_runs = ResourceRpcs(attrgetter("schedules"), run_to_proto)


class ScheduleRpcs:
    """Create, get, list, pause, resume, delete and run; get, cancel and list what was due."""

    schedules: ScheduleUseCases
    CreateSchedule = _schedules.create(
        pb.CreateScheduleResponse, schedule_spec_from_proto, attrgetter("schedules.create")
    )
    GetSchedule = _schedules.get(pb.GetScheduleResponse)
    ListSchedules = _schedules.list(pb.ListSchedulesResponse)
    PauseSchedule = _schedules.pause(pb.PauseScheduleResponse)
    ResumeSchedule = _schedules.resume(pb.ResumeScheduleResponse)
    DeleteSchedule = _schedules.delete(pb.DeleteScheduleResponse)
    GetScheduledRun = _runs.get(run_pb.GetScheduledRunResponse, "get_run")
    CancelScheduledRun = _runs.get(run_pb.CancelScheduledRunResponse, "cancel_run")

    async def RunSchedule(self, request: run_pb.RunScheduleRequest, context: Any) -> run_pb.RunScheduleResponse:
        """Run a schedule now."""
        run = await self.schedules.run_now(request.request_id, request.schedule_id)
        return run_pb.RunScheduleResponse(scheduled_run=run_to_proto(run))

    async def ListScheduledRuns(
        self, request: run_pb.ListScheduledRunsRequest, context: Any
    ) -> run_pb.ListScheduledRunsResponse:
        """List the due times of a schedule."""
        page, token = await self.schedules.list_runs(request.schedule_id, request.page_size, request.page_token)
        return run_pb.ListScheduledRunsResponse(scheduled_runs=map(run_to_proto, page), next_page_token=token)
