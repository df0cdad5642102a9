"""The series of this service: steps with their time, goals, spending and ends of loops, and how schedules stand."""

from __future__ import annotations

import structlog

from services.chassis.errors import ServiceError
from services.chassis.telemetry import Telemetry
from services.feedback.domain.goals import METRICS
from services.feedback.domain.rounds import Step, StopReason
from services.feedback.domain.schedules.scheduled_run import ScheduledRunOutcome
from services.feedback.domain.spending import Spent
from services.feedback.ports.stores import ScheduleStore

_BUCKETS = (1.0, 5.0, 15.0, 60.0, 180.0, 600.0, 1800.0, 7200.0, 28_800.0)
_log = structlog.get_logger()


class FeedbackTelemetry:
    """What the service shows to Prometheus; the label sets are closed."""

    def __init__(self, telemetry: Telemetry) -> None:
        self._steps = telemetry.histogram(
            "drillyard_loop_step_seconds", "Time per step of a loop.", ("step",), buckets=_BUCKETS
        )
        self._loops = telemetry.counter("drillyard_loops_ended", "Loops that ended by their rules.", ("reason",))
        self._goals = telemetry.counter(
            "drillyard_loop_goals", "Goals of evaluated rounds, met and missed.", ("metric", "outcome")
        )
        self._machine_seconds = telemetry.counter(
            "drillyard_loop_machine_seconds", "Time of the runs and trainings that loops asked for."
        )
        self._tokens = telemetry.counter("drillyard_loop_tokens", "Tokens that loops' budgets count.", ("kind",))
        self._cost = telemetry.counter("drillyard_loop_cost", "Cost of that time, in the money of the loops' prices.")
        self._schedules = telemetry.gauge(
            "drillyard_schedules", "Schedules whose due times are kept, by how the newest one ended.", ("outcome",)
        )

        # A series that begins with its first event hides that event from every rate.
        for step in Step:
            self._steps.labels(str(step))
        for reason in StopReason:
            self._loops.labels(str(reason))
        for metric in METRICS:
            for outcome in ("met", "missed"):
                self._goals.labels(metric, outcome)
        for kind in ("generated", "trained"):
            self._tokens.labels(kind)

    def step_ended(self, step: Step, seconds: float) -> None:
        """Count a step that has finished and its time in this process."""
        self._steps.labels(str(step)).observe(seconds)

    def loop_ended(self, reason: StopReason) -> None:
        """Count a loop that has ended by its rules."""
        self._loops.labels(str(reason)).inc()

    def goal_read(self, metric: str, is_met: bool) -> None:
        """Count a goal that a round was evaluated for."""
        self._goals.labels(metric, "met" if is_met else "missed").inc()

    def spent(self, before: Spent, after: Spent) -> None:
        """Count what a loop has cost since it had cost `before`; what a round corrected downwards stays counted."""
        self._machine_seconds.inc(max(after.machine_seconds - before.machine_seconds, 0))
        self._tokens.labels("generated").inc(max(after.num_generated_tokens - before.num_generated_tokens, 0))
        self._tokens.labels("trained").inc(max(after.num_trained_tokens - before.num_trained_tokens, 0))
        self._cost.inc(max(after.cost - before.cost, 0))

    async def count_schedules(self, schedules: ScheduleStore) -> None:
        """Show how the newest due times of schedules ended; called before each scrape."""
        try:
            counts = await schedules.count_outcomes()
        except ServiceError as error:
            _log.warning("schedules_not_counted", reason=str(error))
            return
        for outcome in ScheduledRunOutcome:
            self._schedules.labels(outcome.lower()).set(counts.get(outcome, 0))
