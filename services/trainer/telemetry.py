"""The Prometheus series of this service besides those that every service has."""

from __future__ import annotations

from services.chassis.telemetry import Telemetry
from services.trainer.domain.attempt import Attempt, AttemptOutcome, AttemptReport


class TrainerTelemetry:
    """Counts attempts, checkpoints and measured points."""

    def __init__(self, telemetry: Telemetry) -> None:
        self._attempts = telemetry.counter("drillyard_trainer_attempts", "Attempts ended.", ("outcome",))
        # A series that begins with its first event hides that event from every rate.
        for outcome in AttemptOutcome:
            self._attempts.labels(str(outcome))
        self._checkpoints = telemetry.counter("drillyard_trainer_checkpoints", "Checkpoints reported.")
        self._quarantined = telemetry.counter(
            "drillyard_trainer_quarantined_checkpoints", "Checkpoints set aside since a byte was wrong."
        )
        self._points = telemetry.counter("drillyard_trainer_curve_points", "Curve points stored.")

    def attempt_ended(self, attempt: Attempt) -> None:
        """Count an attempt that ended."""
        self._attempts.labels(str(attempt.outcome)).inc()

    def reported(self, news: AttemptReport) -> None:
        """Count what a report brought."""
        self._points.inc(len(news.curve_points))
        self._checkpoints.inc(len(news.checkpoints))

    def checkpoint_quarantined(self) -> None:
        """Count a checkpoint that did not verify."""
        self._quarantined.inc()
