"""The test runner over gRPC."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator

import grpc.aio
from drillyard.test_runner.v1 import comparison_pb2, test_run_pb2, test_runner_service_pb2_grpc, transcript_pb2

from services.chassis.errors import TooLarge
from services.chassis.jobs.convert import state_of
from services.chassis.waiting import follow
from services.chassis.wire import from_message
from services.evaluator.clients.transcript import to_transcript
from services.evaluator.domain.parity import AnswerDifference, RunDifference
from services.evaluator.domain.run import Endpoint, Provenance, Sampling, Subject
from services.evaluator.ports import RunStatus, Transcript

_PAGE_SIZE = 200
_NUM_DIFFERENCES = 50
# The test runner reads all transcripts of both runs.
_COMPARE_SECONDS = 120.0
_TOOL_MODES = {test_run_pb2.TOOL_MODE_NATIVE: "native", test_run_pb2.TOOL_MODE_PROMPT: "prompt"}


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
        state = state_of(run.job)
        return RunStatus(
            subject=_subject(run),
            state=state,
            is_final=state.is_final,
            num_transcripts=run.num_transcripts,
            last_sequence=run.job.last_sequence,
            problem=run.job.error.problem,
            provenance=from_message(Provenance, run.provenance),
        )

    async def list_transcripts(self, test_run_id: str, after_sequence: int) -> tuple[Transcript, ...]:
        """Return the next transcripts after a place in the run; empty when there are none yet."""
        size = _PAGE_SIZE
        while True:
            request = transcript_pb2.ListTranscriptsRequest(
                test_run_id=test_run_id, page_size=size, after_sequence=after_sequence
            )
            try:
                page = await self._stub.ListTranscripts(request)
            except TooLarge:
                # Long conversations: so many of them do not fit one message.
                if size == 1:
                    raise
                size = max(1, size // 4)
            else:
                return await asyncio.to_thread(_transcripts, page)

    async def changes(self, test_run_id: str, after_event: int) -> AsyncGenerator[int]:
        """Yield the number of each event of the run after one; ends with the run."""

        def watch(after_sequence: int) -> AsyncIterator[test_run_pb2.WatchTestRunResponse]:
            request = test_run_pb2.WatchTestRunRequest(test_run_id=test_run_id, after_sequence=after_sequence)
            return aiter(self._stub.WatchTestRun(request))

        async for response in follow(
            watch, lambda response: response.event.sequence, after_sequence=after_event, peer="the test runner"
        ):
            yield response.event.sequence

    async def compare(self, before_test_run_id: str, after_test_run_id: str) -> RunDifference:
        """Return how far the answers of two runs are the same, token by token where tokens are known.

        Raises:
            NotFound: One of them does not exist.
        """
        request = comparison_pb2.CompareTestRunsRequest(
            before_test_run_id=before_test_run_id, after_test_run_id=after_test_run_id, max_differences=_NUM_DIFFERENCES
        )
        found = await self._stub.CompareTestRuns(request, timeout=_COMPARE_SECONDS)
        return RunDifference(
            num_compared=found.num_compared,
            num_equal_answers=found.num_equal_answers,
            differences=tuple(from_message(AnswerDifference, item) for item in found.differences),
            provenance_differences=tuple(found.provenance_differences),
            num_unanswered=found.num_unanswered,
        )


def _transcripts(page: transcript_pb2.ListTranscriptsResponse) -> tuple[Transcript, ...]:
    return tuple(map(to_transcript, page.transcripts))


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
        sampling=from_message(Sampling, spec.sampling),
        num_repeats=spec.num_repeats,
        seed=spec.seed,
        num_transcripts_total=run.num_transcripts_total,
        endpoint=_endpoint(spec.endpoint) if spec.HasField("endpoint") else None,
        throughput=spec.throughput,
    )


def _endpoint(endpoint: test_run_pb2.Endpoint) -> Endpoint:
    return from_message(Endpoint, endpoint, tool_mode=_TOOL_MODES.get(endpoint.tool_mode, ""))
