"""The Prometheus series of this service besides those that every service has."""

from collections.abc import Sequence

from services.chassis.telemetry import Telemetry
from services.evaluator.domain.verdict import NO_CAUSE, Verdict
from services.protocols.profile import BUILT_IN
from services.protocols.verdict import Fault


class EvaluatorTelemetry:
    """Counts verdicts by profile and cause, which are closed sets, and what graders were asked for."""

    def __init__(self, telemetry: Telemetry) -> None:
        self._verdicts = telemetry.counter(
            "drillyard_evaluator_verdicts", "Verdicts stored; cause none means conforming.", ("profile", "cause")
        )
        self._grades = telemetry.counter(
            "drillyard_evaluator_grades", "Answers that a grader was asked about, by what came of it.", ("outcome",)
        )
        # A series that begins with its first event hides that event from every rate.
        for cause in (NO_CAUSE, *Fault):
            for profile in BUILT_IN:
                self._verdicts.labels(profile, str(cause))
        self._given, self._missing = (self._grades.labels(outcome) for outcome in ("given", "missing"))

    def graded(self, num_given: int, num_missing: int) -> None:
        """Count the scores that a grader gave, and those that it owes."""
        self._given.inc(num_given)
        self._missing.inc(num_missing)

    def judged(self, profile_id: str, verdicts: Sequence[Verdict]) -> None:
        """Count verdicts that were stored, of answers under an installed profile."""
        for verdict in verdicts:
            self._verdicts.labels(profile_id, verdict.cause or NO_CAUSE).inc()
