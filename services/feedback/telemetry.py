"""The series of this service: steps by kind with their time, and loops by why they ended."""

from __future__ import annotations

from services.chassis.telemetry import Telemetry
from services.feedback.domain.rounds import Step, StopReason

_BUCKETS = (1.0, 5.0, 15.0, 60.0, 180.0, 600.0, 1800.0, 7200.0, 28_800.0)


class FeedbackTelemetry:
    """Implements `ports.Measures` with Prometheus; the label sets are closed."""

    def __init__(self, telemetry: Telemetry) -> None:
        self._steps = telemetry.histogram(
            "drillyard_loop_step_seconds", "Time per step of a loop.", ("step",), buckets=_BUCKETS
        )
        self._loops = telemetry.counter("drillyard_loops_ended", "Loops that ended by their rules.", ("reason",))

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
