"""The test runner over gRPC."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator

import grpc.aio
from drillyard.job.v1 import job_pb2
from drillyard.test_runner.v1 import test_run_pb2, test_runner_service_pb2_grpc, transcript_pb2

from services.chassis.channel import follow
from services.evaluator.domain.evaluation import Sampling, Subject
from services.evaluator.ports import AnswerEnd, RunStatus, Transcript

_PAGE_SIZE = 100
_PATIENCE_SECONDS = 600.0
_FINAL_STATES = frozenset({job_pb2.JOB_STATE_CANCELLED, job_pb2.JOB_STATE_FAILED, job_pb2.JOB_STATE_SUCCEEDED})
_ENDS = {
    transcript_pb2.FINISH_REASON_STOP: AnswerEnd.STOP,
    transcript_pb2.FINISH_REASON_LENGTH: AnswerEnd.LENGTH,
    transcript_pb2.FINISH_REASON_CONTEXT_OVERFLOW: AnswerEnd.CONTEXT_OVERFLOW,
    transcript_pb2.FINISH_REASON_BACKEND_FAULT: AnswerEnd.BACKEND_FAULT,
}


class TestRunnerClient:
    """Answers the port `TestRuns` from a test-runner service."""

    def __init__(self, channel: grpc.aio.Channel) -> None:
        self._stub = test_runner_service_pb2_grpc.TestRunnerServiceStub(channel)

    async def get_run(self, test_run_id: str) -> RunStatus:
        """Return a run.

        Raises:
            NotFound: There is none.
        """
        request = test_run_pb2.GetTestRunRequest(test_run_id=test_run_id)
        run = (await self._stub.GetTestRun(request)).test_run
        return RunStatus(
            subject=_subject(run),
            state=job_pb2.JobState.Name(run.job.state).removeprefix("JOB_STATE_"),
            is_final=run.job.state in _FINAL_STATES,
            num_transcripts=run.num_transcripts,
            last_sequence=run.job.last_sequence,
            problem=run.job.error.problem,
        )

    async def list_transcripts(self, test_run_id: str, after_sequence: int) -> tuple[Transcript, ...]:
        """Return the next transcripts after a place in the run; empty when there are none yet."""
        request = transcript_pb2.ListTranscriptsRequest(
            test_run_id=test_run_id, page_size=_PAGE_SIZE, after_sequence=after_sequence
        )
        page = await self._stub.ListTranscripts(request)
        return tuple(_transcript(message) for message in page.transcripts)

    async def changes(self, test_run_id: str, after_event: int) -> AsyncGenerator[None]:
        """Yield each time that something happened in the run after an event; ends with the run.

        Raises:
            Unavailable: The test runner stayed away for ten minutes.
        """

        def watch(after_sequence: int) -> AsyncIterator[test_run_pb2.WatchTestRunResponse]:
            request = test_run_pb2.WatchTestRunRequest(test_run_id=test_run_id, after_sequence=after_sequence)
            return aiter(self._stub.WatchTestRun(request))

        async for _ in follow(
            watch,
            lambda response: response.event.sequence,
            after_sequence=after_event,
            patience_seconds=_PATIENCE_SECONDS,
        ):
            yield None


def _subject(run: test_run_pb2.TestRun) -> Subject:
    spec = run.spec
    return Subject(
        test_run_id=run.test_run_id,
        model_version_id=spec.model_version_id,
        test_suite_version_id=spec.test_suite_version_id,
        test_suite_digest=run.provenance.test_suite_digest,
        profile_id=run.provenance.profile_id,
        profile_digest=run.provenance.profile_digest,
        prompt_size=spec.prompt_size,
        sampling=Sampling(
            temperature=spec.sampling.temperature,
            top_p=spec.sampling.top_p,
            top_k=spec.sampling.top_k,
            max_new_tokens=spec.sampling.max_new_tokens,
        ),
        num_repeats=spec.num_repeats,
        seed=spec.seed,
        num_transcripts_total=run.num_transcripts_total,
    )


def _transcript(message: transcript_pb2.Transcript) -> Transcript:
    return Transcript(
        sequence=message.sequence,
        transcript_id=message.transcript_id,
        case_id=message.case_id,
        repeat=message.repeat,
        answer=message.messages[-1].content,
        end=_ENDS[message.finish_reason],
        num_prompt_tokens=message.num_prompt_tokens,
    )
