"""The job of a test run: window after window of cases, each asked to its end and committed as a whole."""

import asyncio
import time
from collections import deque
from collections.abc import Awaitable

from services.chassis.errors import DeadlineExceeded, FailedPrecondition
from services.chassis.jobs import JobContext, JobPaused, Json
from services.chassis.waiting import patiently
from services.chassis.wire import from_document
from services.protocols.cases import Case
from services.test_runner.domain.test_run import KIND, Hold, Item, RunInputs, RunRecord, TestRunSpec
from services.test_runner.jobs.invitations import Invitations, Likeness, Sharing
from services.test_runner.jobs.run_attempt import RunAttempt
from services.test_runner.jobs.windows import SharedRun, WholeRun, Windows, num_total_of
from services.test_runner.ports.generation import GenerationBackend
from services.test_runner.ports.registry import Registry
from services.test_runner.ports.store import RunStore
from services.test_runner.resolution import new_record, resolve_inputs
from services.test_runner.telemetry import TestRunnerTelemetry

_REGISTRY = "the registry"


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
        sharing: Sharing | None = None,
    ) -> None:
        """With `sharing` the service may have other processes, which may take shares of a run."""
        self._store, self._registry = store, registry
        self._backend, self._telemetry = backend, telemetry
        self._window_size, self._sharing = window_size, sharing

    async def __call__(self, context: JobContext) -> Json:
        """Store a transcript for every case and repeat, and return their number."""
        spec = from_document(TestRunSpec, context.job.spec)
        record = await self._record(context.job.job_id, spec)
        clock = _RunClock(context, spec.run_timeout_seconds)
        attempt = RunAttempt(
            context,
            spec,
            self._windows(context, record, spec),
            store=self._store,
            backend=self._backend,
            telemetry=self._telemetry,
        )
        record = await clock.limit(attempt.run(clock.save))
        if record.num_transcripts < num_total_of(record, spec):
            # Nobody works on the run any more, as was asked for.
            await context.wait_for_request()
            raise JobPaused
        return {"num_transcripts": record.num_transcripts, "num_generated_tokens": record.num_generated_tokens}

    def _windows(self, context: JobContext, record: RunRecord, spec: TestRunSpec) -> Windows:
        case_of = CaseReader(self._registry, record.inputs).case_of
        is_whole = num_total_of(record, spec) <= record.inputs.window_size
        sharing = self._sharing
        # In the throughput mode nothing goes in windows.
        if sharing is None or is_whole or spec.throughput:
            return WholeRun(self._store, record, spec, epoch=context.epoch, case_of=case_of)
        hold = Hold(record.test_run_id, context.epoch)
        # Whoever held the run before may have shared it: others may have stored windows ahead, and may be at work.
        invitations = Invitations(
            sharing.jobs,
            record.test_run_id,
            epoch=context.epoch,
            likeness=Likeness.here(),
            is_wanted=sharing.covers(spec),
        )
        return SharedRun(self._store, record, spec, hold=hold, invitations=invitations, case_of=case_of)

    async def _record(self, test_run_id: str, spec: TestRunSpec) -> RunRecord:
        # The process may have died after it stored the job and before it stored the inputs.
        record = await self._store.get_run(test_run_id)
        if record is not None:
            return record
        repeated = await self._store.get_run(spec.repeat_of_test_run_id) if spec.repeat_of_test_run_id else None
        inputs = await patiently(
            lambda: resolve_inputs(self._registry, spec, window_size=self._window_size, repeated=repeated), _REGISTRY
        )
        return await self._store.add_run(new_record(test_run_id, spec, inputs, repeated))


class CaseReader:
    """Gives the case of each item, for items in the order of the plan; holds no more than a page."""

    def __init__(self, registry: Registry, inputs: RunInputs) -> None:
        self._registry, self._inputs = registry, inputs
        self._rewind()

    async def case_of(self, item: Item) -> Case:
        """Return the item's case; the item must come after those that were asked for before.

        Raises:
            FailedPrecondition: The suite has not the cases that it had when the run was created.
        """
        if item.case_index < self._next_index:
            self._rewind()
        while True:
            while not self._page:
                await self._read_page()
            case = self._page.popleft()
            self._next_index += 1
            if self._next_index > item.case_index:
                return case

    def _rewind(self) -> None:
        self._page: deque[Case] = deque()
        self._token: str | None = ""
        self._next_index = 0

    async def _read_page(self) -> None:
        token, suite = self._token, self._inputs.test_suite_version_id
        if token is None:
            raise FailedPrecondition(
                f"The suite {suite} has {self._next_index} cases instead of {self._inputs.num_cases}.",
                "Check the registry's data; suite versions never change.",
            )
        page = await patiently(lambda: self._registry.list_cases(suite, token), _REGISTRY)
        self._page.extend(page.cases)
        self._token = page.next_token or None


class _RunClock:
    """Counts the time that a run has worked, over its attempts and without its pauses."""

    def __init__(self, context: JobContext, limit_seconds: float) -> None:
        self._context = context
        self._limit_seconds = limit_seconds
        self._before = float((context.saved or {}).get("seconds", 0.0))
        self._start = time.monotonic()

    async def limit(self, work: Awaitable[RunRecord]) -> RunRecord:
        """Let the run work while it has time.

        Raises:
            DeadlineExceeded: It has no more.
        """
        seconds = max(self._limit_seconds - self._before, 0.0) if self._limit_seconds else None
        try:
            async with asyncio.timeout(seconds) as timeout:
                return await work
        except TimeoutError as error:
            if not timeout.expired():
                raise
            raise DeadlineExceeded(
                f"The run took longer than {self._limit_seconds:g} s.",
                "Its transcripts are kept; start a run with a longer limit for all of them.",
            ) from error

    async def save(self) -> None:
        """Remember the time so far."""
        if self._limit_seconds:
            await self._context.checkpoint({"seconds": self._before + time.monotonic() - self._start})
