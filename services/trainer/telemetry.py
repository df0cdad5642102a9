"""The Prometheus series of this service besides those that every service has."""

from __future__ import annotations

import time
from collections.abc import Iterable

from services.chassis.telemetry import Telemetry
from services.trainer.domain.attempt import Attempt, AttemptOutcome, AttemptReport
from services.trainer.live_attempts import LiveAttempt


class TrainerTelemetry:
    """Counts attempts, checkpoints, measured points and tokens, and shows the attempts that go on.

    An attempt is shown under its slot, a small number that another has after it, until it ends.
    """

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
        self._tokens = telemetry.counter("drillyard_trainer_trained_tokens", "Tokens of the steps that were stored.")
        self._speed = telemetry.gauge(
            "drillyard_trainer_attempt_tokens_per_second", "Tokens per second of an attempt's last step.", ("slot",)
        )
        self._memory = telemetry.gauge(
            "drillyard_trainer_attempt_memory_bytes", "Memory of an attempt's first worker.", ("slot", "device")
        )
        self._checkpoint_age = telemetry.gauge(
            "drillyard_trainer_attempt_checkpoint_age_seconds",
            "Time since an attempt's last checkpoint, or its first step.",
            ("slot",),
        )

    def attempt_ended(self, attempt: Attempt) -> None:
        """Count an attempt that ended."""
        self._attempts.labels(str(attempt.outcome)).inc()

    def reported(self, news: AttemptReport) -> None:
        """Count what a report brought."""
        self._points.inc(len(news.curve_points))
        self._checkpoints.inc(len(news.checkpoints))
        self._tokens.inc(sum(point.value for point in news.curve_points if point.metric == "tokens"))

    def checkpoint_quarantined(self) -> None:
        """Count a checkpoint that did not verify."""
        self._quarantined.inc()

    async def show(self, attempts: Iterable[LiveAttempt]) -> None:
        """Show the attempts that have begun to train; called before each scrape."""
        for gauge in (self._speed, self._memory, self._checkpoint_age):
            gauge.clear()
        now = time.monotonic()
        for live in attempts:
            if not live.is_preparing:
                slot = str(live.slot)
                self._speed.labels(slot).set(live.tokens_per_second)
                self._memory.labels(slot, "cpu").set(live.host_memory_bytes)
                self._memory.labels(slot, "gpu").set(live.gpu_memory_bytes)
                self._checkpoint_age.labels(slot).set(now - live.kept)
