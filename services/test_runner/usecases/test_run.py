"""What callers may do with test runs."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from dataclasses import dataclass, replace

from services.chassis.errors import FailedPrecondition
from services.chassis.jobs import Job, JobResource, JobStore
from services.chassis.wire import from_document, to_document
from services.test_runner.domain import KIND, RunRecord, TestRunSpec
from services.test_runner.ports import EndpointPolicy, Registry, RunStore
from services.test_runner.resolution import resolve_inputs


@dataclass(frozen=True)
class TestRun:
    """A run as callers see it; `record` is None while its inputs are being resolved."""

    job: Job
    spec: TestRunSpec
    record: RunRecord | None


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
        repeated = await self._repeated(spec.repeat_of_test_run_id)
        spec = spec.filled(repeated.spec if repeated else from_document(TestRunSpec, {}))
        spec.check()
        if spec.endpoint is not None:
            self._policy.check(spec.endpoint)
        inputs = await resolve_inputs(
            self._registry, spec, window_size=self._window_size, repeated=repeated.record if repeated else None
        )
        job = await self._jobs.create(
            KIND,
            request_id,
            to_document(spec),
            job_id=f"run-{uuid.uuid4().hex[:16]}",
            rewrite=lambda document: to_document(from_document(TestRunSpec, document)),
        )
        return test_run(job, await self._store.add_run(RunRecord(job.job_id, inputs)))

    async def _repeated(self, test_run_id: str) -> _Repeated | None:
        if not test_run_id:
            return None
        found = await self.resource.get(test_run_id)
        if found.record is None:
            raise FailedPrecondition(f"The run {test_run_id} has not begun yet.", "Repeat it once it has begun.")
        # What was left to the machine is part of what is repeated.
        dtype = found.spec.dtype or found.record.environment.dtype
        return _Repeated(replace(found.spec, dtype=dtype, repeat_of_test_run_id=""), found.record)


@dataclass(frozen=True)
class _Repeated:
    spec: TestRunSpec
    record: RunRecord


def test_runs(jobs: JobStore, store: RunStore) -> JobResource[TestRun]:
    """Return the runs as callers see them, each with what the store keeps beside its job."""

    async def load(loaded: Sequence[Job]) -> list[TestRun]:
        records = await store.get_runs([job.job_id for job in loaded])
        return [test_run(job, records.get(job.job_id)) for job in loaded]

    return JobResource(jobs, KIND, "test run", load)


def test_run(job: Job, record: RunRecord | None) -> TestRun:
    """Return the run of a job, its ids resolved where they are known."""
    spec = from_document(TestRunSpec, job.spec)
    return TestRun(job, record.resolved(spec) if record else spec, record)
