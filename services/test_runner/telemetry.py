"""The Prometheus series of this service besides those that every service has."""

from collections.abc import Sequence

from services.chassis.telemetry import Telemetry
from services.test_runner.domain.endpoint import TryOutcome
from services.test_runner.domain.transcript import FinishReason, Transcript

_LOAD_BUCKETS = (0.5, 1.0, 2.0, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0)


class TestRunnerTelemetry:
    """Counts transcripts, turns, tokens, windows that failed, tries at endpoints and generation workers."""

    def __init__(self, telemetry: Telemetry) -> None:
        self._transcripts = telemetry.counter(
            "drillyard_test_runner_transcripts", "Transcripts stored.", ("finish_reason",)
        )
        self._turns = telemetry.counter("drillyard_test_runner_turns", "Answers of stored transcripts.")
        self._endpoint_tries = telemetry.counter(
            "drillyard_test_runner_endpoint_tries", "Prompts sent to endpoints, by what came of it.", ("outcome",)
        )
        # A series that begins with its first event hides that event from every rate.
        for reason in FinishReason:
            self._transcripts.labels(reason.value)
        for outcome in TryOutcome:
            self._endpoint_tries.labels(outcome.value)
        self._tokens = telemetry.counter("drillyard_test_runner_generated_tokens", "Tokens of stored answers.")
        self._failed_windows = telemetry.counter(
            "drillyard_test_runner_failed_windows", "Tries of a window that the backend broke."
        )
        self._workers = telemetry.gauge("drillyard_test_runner_workers", "Generation workers that run.")
        self._load_seconds = telemetry.histogram(
            "drillyard_test_runner_worker_load_seconds", "Time until a worker was ready.", buckets=_LOAD_BUCKETS
        )

    def transcripts_stored(self, transcripts: Sequence[Transcript]) -> None:
        """Count a committed window."""
        for transcript in transcripts:
            self._transcripts.labels(transcript.finish_reason.value).inc()
            self._tokens.inc(transcript.num_generated_tokens)
            self._turns.inc(len(transcript.turns))

    def endpoint_tried(self, outcome: TryOutcome) -> None:
        """Count a prompt that was sent to an endpoint."""
        self._endpoint_tries.labels(outcome.value).inc()

    def window_failed(self) -> None:
        """Count a try of a window that the backend broke."""
        self._failed_windows.inc()

    def worker_ready(self, seconds: float) -> None:
        """Observe how long a worker took to load its model."""
        self._load_seconds.observe(seconds)

    def set_workers(self, count: int) -> None:
        """Show how many generation workers run."""
        self._workers.set(count)
