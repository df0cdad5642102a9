"""The job of a test run: window after window of cases, each played to its end and committed as a whole."""

from __future__ import annotations

import asyncio
import time

from services.chassis.errors import DeadlineExceeded
from services.chassis.jobs import JobContext, Json
from services.chassis.waiting import patiently
from services.test_runner.domain import KIND, RunRecord, TestRunSpec
from services.test_runner.jobs.cases import PATIENCE_SECONDS, CaseReader
from services.test_runner.jobs.performance import Performance, Stage
from services.test_runner.ports import GenerationBackend, Registry, RunStore
from services.test_runner.resolution import resolve_inputs
from services.test_runner.telemetry import TestRunnerTelemetry


class TestRunJob:
    """Answers every case of a run. A run whose process died goes on with the first window that is not stored."""

    kind = KIND

    def __init__(
        self,
        *,
        store: RunStore,
        registry: Registry,
        backend: GenerationBackend,
        telemetry: TestRunnerTelemetry,
        window_size: int,
    ) -> None:
        self._stage = Stage(store, backend, telemetry)
        self._store = store
        self._registry = registry
        self._window_size = window_size

    async def __call__(self, context: JobContext) -> Json:
        """Store a transcript for every case and repeat, and return their number."""
        spec = TestRunSpec.from_document(context.job.spec)
        record = await self._record(context.job.job_id, spec)
        clock = _Clock(context, spec.run_timeout_seconds)
        performance = Performance(
            self._stage,
            context,
            spec=spec,
            record=record,
            cases=CaseReader(self._registry, record.inputs),
            after_commit=clock.save,
        )
        record = await clock.limit(performance)
        return {"num_transcripts": record.num_transcripts, "num_generated_tokens": record.num_generated_tokens}

    async def _record(self, test_run_id: str, spec: TestRunSpec) -> RunRecord:
        # The process may have died after it stored the job and before it stored the inputs.
        known = await self._store.get_run(test_run_id)
        if known is not None:
            return known
        repeated = await self._store.get_run(spec.repeat_of_test_run_id) if spec.repeat_of_test_run_id else None
        inputs = await patiently(
            lambda: resolve_inputs(self._registry, spec, window_size=self._window_size, repeated=repeated),
            PATIENCE_SECONDS,
        )
        return await self._store.add_run(RunRecord(test_run_id, inputs))


class _Clock:
    """Counts the time that a run has worked, over its attempts and without its pauses."""

    def __init__(self, context: JobContext, limit_seconds: float) -> None:
        self._context = context
        self._limit_seconds = limit_seconds
        self._before = float((context.saved or {}).get("seconds", 0.0))
        self._start = time.monotonic()

    async def save(self) -> None:
        """Remember the time so far."""
        if self._limit_seconds:
            await self._context.checkpoint({"seconds": self._before + time.monotonic() - self._start})

    async def limit(self, performance: Performance) -> RunRecord:
        """Let the run work while it has time.

        Raises:
            DeadlineExceeded: It has no more.
        """
        seconds = max(self._limit_seconds - self._before, 0.0) if self._limit_seconds else None
        try:
            async with asyncio.timeout(seconds) as timeout:
                return await performance.play()
        except TimeoutError as error:
            if not timeout.expired():
                raise
            raise DeadlineExceeded(
                f"The run took longer than {self._limit_seconds:g} s.",
                "Its transcripts are kept; start a run with a longer limit for all of them.",
            ) from error
