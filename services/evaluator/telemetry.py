"""The Prometheus series of this service besides those that every service has."""

from __future__ import annotations

from collections.abc import Sequence

from services.chassis.telemetry import Telemetry
from services.evaluator.domain.verdict import NO_CAUSE, Verdict


class EvaluatorTelemetry:
    """Counts verdicts by cause, which is a closed set."""

    def __init__(self, telemetry: Telemetry) -> None:
        self._verdicts = telemetry.counter(
            "drillyard_evaluator_verdicts", "Verdicts stored; cause none means conforming.", ("cause",)
        )

    def judged(self, verdicts: Sequence[Verdict]) -> None:
        """Count verdicts that were stored."""
        for verdict in verdicts:
            self._verdicts.labels(verdict.cause or NO_CAUSE).inc()
