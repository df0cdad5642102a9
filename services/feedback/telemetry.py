"""The series of this service: steps by kind with their time, loops by why they ended, and how schedules stand."""

from __future__ import annotations

import structlog

from services.chassis.errors import ServiceError
from services.chassis.telemetry import Telemetry
from services.feedback.domain.rounds import Step, StopReason
from services.feedback.domain.schedules.scheduled_run import ScheduledRunOutcome
from services.feedback.ports.schedules import ScheduleStore

_BUCKETS = (1.0, 5.0, 15.0, 60.0, 180.0, 600.0, 1800.0, 7200.0, 28_800.0)
_log = structlog.get_logger()


class FeedbackTelemetry:
    """Implements `ports.Measures` with Prometheus; the label sets are closed."""

    def __init__(self, telemetry: Telemetry) -> None:
        self._steps = telemetry.histogram(
            "drillyard_loop_step_seconds", "Time per step of a loop.", ("step",), buckets=_BUCKETS
        )
        self._loops = telemetry.counter("drillyard_loops_ended", "Loops that ended by their rules.", ("reason",))

        self._schedules = telemetry.gauge(
            "drillyard_schedules", "Schedules whose due times are kept, by how the newest one ended.", ("outcome",)
        )

        # A series that begins with its first event hides that event from every rate.
        for step in Step:
            self._steps.labels(str(step))
        for reason in StopReason:
            self._loops.labels(str(reason))

    def step_ended(self, step: Step, seconds: float) -> None:
        """Count a step that has finished and its time in this process."""
        self._steps.labels(str(step)).observe(seconds)

    def loop_ended(self, reason: StopReason) -> None:
        """Count a loop that has ended by its rules."""
        self._loops.labels(str(reason)).inc()

    async def count_schedules(self, schedules: ScheduleStore) -> None:
        """Show how the newest due times of schedules ended; called before each scrape."""
        try:
            counts = await schedules.count_outcomes()
        except ServiceError as error:
            _log.warning("schedules_not_counted", reason=str(error))
            return
        for outcome in ScheduledRunOutcome:
            self._schedules.labels(outcome.lower()).set(counts.get(outcome, 0))
