"""Reading schedules with their due times."""

from __future__ import annotations

from drillyard.feedback.v1.schedule_pb2 import GetScheduleRequest, ListSchedulesRequest
from drillyard.feedback.v1.scheduled_run_pb2 import ListScheduledRunsRequest
from drillyard.registry.v1.deployment_pb2 import ListAliasesRequest

from ui.gateway.clients import Clients
from ui.loops.schedules.views import ScheduleView, schedule_view

_NUM_RUNS = 30


async def read_schedule(clients: Clients, schedule_id: str) -> ScheduleView:
    """Return a schedule with its newest due times.

    Raises:
        NotFound: There is no such schedule.
    """
    schedule = (await clients.feedback.GetSchedule(GetScheduleRequest(schedule_id=schedule_id))).schedule
    request = ListScheduledRunsRequest(schedule_id=schedule_id, page_size=_NUM_RUNS)
    return schedule_view(schedule, tuple((await clients.feedback.ListScheduledRuns(request)).scheduled_runs))


async def read_schedules(clients: Clients) -> list[ScheduleView]:
    """Return the newest schedules without their due times."""
    response = await clients.feedback.ListSchedules(ListSchedulesRequest())
    return [schedule_view(schedule) for schedule in response.schedules]


async def read_alias_ids(clients: Clients) -> list[str]:
    """Return what can be watched by a name that moves."""
    return [alias.alias_id for alias in (await clients.registry.ListAliases(ListAliasesRequest())).aliases]
