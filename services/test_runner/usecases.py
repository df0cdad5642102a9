"""What callers may do with test runs and transcripts."""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import NoReturn

from services.chassis.errors import InvalidArgument, NotFound, Unimplemented
from services.chassis.jobs import Job, JobEvent, JobStore, watch
from services.test_runner.domain import KIND, RunRecord, TestRunSpec, Transcript, checked_page_size
from services.test_runner.ports import Registry, RunStore
from services.test_runner.resolution import resolve_inputs

_CHUNK = 50
_MAX_PAGE_BYTES = 8 * 1024 * 1024


@dataclass(frozen=True)
class TestRun:
    """A run as callers see it; `record` is None while its inputs are being resolved."""

    job: Job
    spec: TestRunSpec
    record: RunRecord | None


class TestRunUseCases:
    """One method per RPC, in the terms of the domain."""

    def __init__(self, *, jobs: JobStore, store: RunStore, registry: Registry, window_size: int) -> None:
        self._jobs = jobs
        self._store = store
        self._registry = registry
        self._window_size = window_size

    async def create(self, request_id: str, spec: TestRunSpec) -> TestRun:
        """Store a run; the same request_id gives the same run.

        Raises:
            InvalidArgument: A value of the spec is out of bounds.
            NotFound: The model version or the suite version does not exist.
            AlreadyExists: The request_id was used with another spec.
        """
        spec.check()
        inputs = await resolve_inputs(self._registry, spec, window_size=self._window_size)
        job = await self._jobs.create(KIND, request_id, spec.to_document(), job_id=f"run-{uuid.uuid4().hex[:16]}")
        return _test_run(job, await self._store.add_run(RunRecord(job.job_id, inputs)))

    async def get(self, test_run_id: str) -> TestRun:
        """Return a run.

        Raises:
            NotFound: There is none.
        """
        job = await self._job(test_run_id)
        return _test_run(job, await self._store.get_run(test_run_id))

    async def list_runs(self, page_size: int, page_token: str) -> tuple[list[TestRun], str]:
        """Return runs, newest first, and the token of the next page."""
        jobs, token = await self._jobs.list(KIND, checked_page_size(page_size), page_token)
        records = await self._store.get_runs([job.job_id for job in jobs])
        return [_test_run(job, records.get(job.job_id)) for job in jobs], token

    async def cancel(self, test_run_id: str) -> TestRun:
        """Ask a run to end; its transcripts are kept.

        Raises:
            FailedPrecondition: The run has ended.
        """
        await self._job(test_run_id)
        return _test_run(await self._jobs.request_cancel(test_run_id), await self._store.get_run(test_run_id))

    async def pause(self, test_run_id: str) -> NoReturn:
        """Refuse: not built.

        Raises:
            Unimplemented: Always, for a run that exists.
        """
        await self._job(test_run_id)
        raise Unimplemented(
            "Pausing a test run is not built in this version.",
            "Cancel the run; its transcripts are kept, and a new run takes a few minutes.",
        )

    async def watch(self, test_run_id: str, after_sequence: int) -> AsyncIterator[JobEvent]:
        """Yield the events of a run, ending after the final one."""
        await self._job(test_run_id)
        async for event in watch(self._jobs, test_run_id, after_sequence):
            yield event

    async def get_transcript(self, transcript_id: str) -> Transcript:
        """Return a transcript.

        Raises:
            NotFound: There is none.
        """
        found = await self._store.get_transcript(transcript_id)
        if found is None:
            raise NotFound(
                f"There is no transcript {transcript_id[:100]!r}.", "List the run's transcripts to see their ids."
            )
        return found

    async def list_transcripts(
        self, test_run_id: str, *, page_size: int, page_token: str, after_sequence: int
    ) -> tuple[list[Transcript], str]:
        """Return transcripts in their order, and the token of the next page, empty when there is none yet.

        A page ends early where it would grow above 8 MiB.
        """
        wanted = checked_page_size(page_size)
        after = _after(page_token, after_sequence)
        await self._job(test_run_id)
        page: list[Transcript] = []
        size = 0
        while True:
            chunk = await self._store.list_transcripts(test_run_id, after, min(_CHUNK, wanted - len(page) + 1))
            for item in chunk:
                if len(page) == wanted or (page and size + item.size_bytes > _MAX_PAGE_BYTES):
                    return page, str(after)
                page.append(item)
                size, after = size + item.size_bytes, item.sequence
            if not chunk:
                return page, ""

    def generate(self) -> AsyncIterator[str]:
        """Refuse: not built.

        Raises:
            Unimplemented: Always.
        """
        raise Unimplemented(
            "Answering a single conversation is not built in this version.",
            "Start a test run on a suite with that case.",
        )

    async def _job(self, test_run_id: str) -> Job:
        try:
            job = await self._jobs.get(test_run_id)
        except NotFound:
            job = None
        if job is None or job.kind != KIND:
            raise NotFound(f"There is no test run {test_run_id[:100]!r}.", "List the test runs to see their ids.")
        return job


def _test_run(job: Job, record: RunRecord | None) -> TestRun:
    spec = TestRunSpec.from_document(job.spec)
    return TestRun(job, record.resolved(spec) if record else spec, record)


def _after(page_token: str, after_sequence: int) -> int:
    if after_sequence < 0:
        raise InvalidArgument(
            "after_sequence is negative.", "Use the sequence of a transcript, or 0.", field="after_sequence"
        )
    if not page_token:
        return after_sequence
    if not (page_token.isascii() and page_token.isdigit() and len(page_token) < 12):
        raise InvalidArgument(
            "The page token is not one that this list gave out.", "Start again without a token.", field="page_token"
        )
    return max(int(page_token), after_sequence)
