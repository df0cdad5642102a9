"""What differs between the wire's words for schedules and the domain's; all else has equal names."""

from __future__ import annotations

from drillyard.feedback.v1 import schedule_pb2, scheduled_run_pb2

from services.chassis.wire import from_message, to_message
from services.feedback.convert.loops import spec_from_proto
from services.feedback.domain.schedules.schedule import ScheduleSpec
from services.feedback.domain.schedules.scheduled_run import ScheduledRun
from services.feedback.usecases.schedules import ScheduleStanding


def schedule_spec_from_proto(spec: schedule_pb2.ScheduleSpec) -> ScheduleSpec:
    """Return the spec with its defaults."""
    # A loop that is left out has the defaults of this release; read from a document, it would be one of an earlier one.
    has_loop = spec.HasField("loop") or spec.on_broken_goal == schedule_pb2.BROKEN_GOAL_ACTION_START_LOOP
    loop = spec_from_proto(spec.loop) if has_loop else None
    return from_message(ScheduleSpec, spec, loop=loop)


def schedule_to_proto(standing: ScheduleStanding) -> schedule_pb2.Schedule:
    """Return a schedule with its newest due time."""
    return to_message(
        standing.schedule,
        schedule_pb2.Schedule,
        last_run=run_to_proto(standing.last_run) if standing.last_run else None,
        spent=to_message(standing.spent, schedule_pb2.ScheduleSpent),
    )


def run_to_proto(run: ScheduledRun) -> scheduled_run_pb2.ScheduledRun:
    """Return a due time."""
    return to_message(run, scheduled_run_pb2.ScheduledRun)
