"""What callers may do with test runs."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from dataclasses import dataclass, replace

from services.chassis.errors import FailedPrecondition, InvalidArgument
from services.chassis.jobs import Job, JobResource, JobStore
from services.chassis.wire import from_document, to_document
from services.protocols.verdict import is_incomplete
from services.test_runner.domain.test_run import KIND, RunRecord, TestRunSpec
from services.test_runner.ports.generation import EndpointPolicy
from services.test_runner.ports.registry import Registry
from services.test_runner.ports.store import RunStore
from services.test_runner.resolution import new_record, resolve_inputs


@dataclass(frozen=True)
class TestRun:
    """A run as callers see it; `record` is None while its inputs are being resolved."""

    job: Job
    spec: TestRunSpec
    record: RunRecord | None

    @property
    def num_transcripts_total(self) -> int:
        """Transcripts that it will have; 0 while its inputs are being resolved."""
        return self.record.inputs.num_cases * self.spec.num_repeats if self.record else 0

    @property
    def num_answered(self) -> int:
        """Transcripts that are stored and have an answer."""
        return self.record.num_transcripts - self.record.num_unanswered if self.record else 0

    @property
    def is_incomplete(self) -> bool:
        """Whether it has ended with so many cases unanswered or missing that its rates decide nothing."""
        return self.job.state.is_final and is_incomplete(self.num_answered, self.num_transcripts_total)


class TestRunUseCases:
    """One method per RPC, in the terms of the domain."""

    def __init__(
        self, *, jobs: JobStore, store: RunStore, registry: Registry, policy: EndpointPolicy, window_size: int
    ) -> None:
        self.resource = test_runs(jobs, store)
        self._jobs = jobs
        self._store = store
        self._registry = registry
        self._policy = policy
        self._window_size = window_size

    async def create(self, request_id: str, spec: TestRunSpec) -> TestRun:
        """Store a run; the same request_id gives the same run. What is unset is as in the run that it repeats.

        Raises:
            InvalidArgument: A value of the spec cannot be used.
            NotFound: The model version, the suite version or the run that is to be repeated does not exist.
            PermissionDenied: The operator does not allow the endpoint's host.
            FailedPrecondition: What the repeated run read is gone, or the endpoint's secret is not there.
            AlreadyExists: The request_id was used with another spec.
        """
        repeated = await self._repeated(spec)
        spec = spec.filled(repeated.spec if repeated else from_document(TestRunSpec, {}))
        spec.check()
        if spec.keep_answers:
            _check_keeping(spec, repeated)
        if spec.endpoint is not None:
            self._policy.check(spec.endpoint)
        record = repeated.record if repeated else None
        inputs = await resolve_inputs(self._registry, spec, window_size=self._window_size, repeated=record)
        job = await self._jobs.create(
            KIND,
            request_id,
            to_document(spec),
            job_id=f"run-{uuid.uuid4().hex[:16]}",
            rewrite=lambda document: to_document(from_document(TestRunSpec, document)),
        )
        return test_run(job, await self._store.add_run(new_record(job.job_id, spec, inputs, record)))

    async def _repeated(self, spec: TestRunSpec) -> _Repeated | None:
        test_run_id = spec.repeat_of_test_run_id
        if not test_run_id:
            return None
        run = await self.resource.get(test_run_id)
        if run.record is None:
            raise FailedPrecondition(f"The run {test_run_id} has not begun yet.", "Repeat it once it has begun.")
        if spec.keep_answers and not run.job.state.is_final:
            raise FailedPrecondition(f"The run {test_run_id} is still going.", "Finish it once it has ended.")
        if spec.keep_answers and run.num_answered == run.num_transcripts_total:
            raise FailedPrecondition(f"The run {test_run_id} has an answer to every case.", "Judge it as it is.")
        # What was left to the machine is part of what is repeated.
        dtype = run.spec.dtype or run.record.environment.dtype
        return _Repeated(replace(run.spec, dtype=dtype, repeat_of_test_run_id="", keep_answers=False), run.record)


@dataclass(frozen=True)
class _Repeated:
    spec: TestRunSpec
    record: RunRecord


def _check_keeping(spec: TestRunSpec, repeated: _Repeated | None) -> None:
    if repeated is None:
        raise InvalidArgument(
            "spec.keep_answers is set, but no run whose answers could be kept.",
            "Name the run in spec.repeat_of_test_run_id.",
            field="spec.repeat_of_test_run_id",
        )
    # More time is what a slow machine may need; all else would make other answers than those that are kept.
    limits = {name: getattr(repeated.spec, name) for name in ("case_timeout_seconds", "run_timeout_seconds")}
    if replace(spec, repeat_of_test_run_id="", keep_answers=False, **limits) != repeated.spec:
        raise InvalidArgument(
            "A run that keeps answers is as the run that it repeats, but for its limits of time.",
            "Leave the other settings unset.",
            field="spec.keep_answers",
        )


def test_runs(jobs: JobStore, store: RunStore) -> JobResource[TestRun]:
    """Return the runs as callers see them, each with what the store keeps beside its job."""

    async def load(loaded: Sequence[Job]) -> list[TestRun]:
        records = await store.get_runs([job.job_id for job in loaded])
        return [test_run(job, records.get(job.job_id)) for job in loaded]

    return JobResource(jobs, KIND, "test run", load, forget=store.delete_run)


def test_run(job: Job, record: RunRecord | None) -> TestRun:
    """Return the run of a job, its ids resolved where they are known, and the time of all who worked on it."""
    spec = from_document(TestRunSpec, job.spec)
    if record and record.helped_seconds:
        job = replace(job, worked_seconds=(job.worked_seconds or 0.0) + record.helped_seconds)
    return TestRun(job, record.resolved(spec) if record else spec, record)
