"""The RPCs of this service: wire in, use case, wire out."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any, TypeAlias

import grpc.aio
from drillyard.test_runner.v1 import test_run_pb2, test_runner_service_pb2_grpc, transcript_pb2

from services.chassis.jobs.convert import event_to_proto
from services.test_runner.convert import spec_from_proto, test_run_to_proto, transcript_to_proto
from services.test_runner.usecases import TestRunUseCases

SERVICE_NAME = "drillyard.test_runner.v1.TestRunnerService"

_Context: TypeAlias = grpc.aio.ServicerContext[Any, Any]


class TestRunnerServicer(test_runner_service_pb2_grpc.TestRunnerServiceServicer):
    """Answers `TestRunnerService`; the contract documents each method."""

    def __init__(self, usecases: TestRunUseCases) -> None:
        self._usecases = usecases

    async def CreateTestRun(
        self, request: test_run_pb2.CreateTestRunRequest, context: _Context
    ) -> test_run_pb2.CreateTestRunResponse:
        """Start a run."""
        run = await self._usecases.create(request.request_id, spec_from_proto(request.spec))
        return test_run_pb2.CreateTestRunResponse(test_run=test_run_to_proto(run))

    async def GetTestRun(
        self, request: test_run_pb2.GetTestRunRequest, context: _Context
    ) -> test_run_pb2.GetTestRunResponse:
        """Return a run."""
        run = await self._usecases.get(request.test_run_id)
        return test_run_pb2.GetTestRunResponse(test_run=test_run_to_proto(run))

    async def ListTestRuns(
        self, request: test_run_pb2.ListTestRunsRequest, context: _Context
    ) -> test_run_pb2.ListTestRunsResponse:
        """List runs, newest first."""
        runs, token = await self._usecases.list_runs(request.page_size, request.page_token)
        return test_run_pb2.ListTestRunsResponse(test_runs=map(test_run_to_proto, runs), next_page_token=token)

    async def CancelTestRun(
        self, request: test_run_pb2.CancelTestRunRequest, context: _Context
    ) -> test_run_pb2.CancelTestRunResponse:
        """Cancel a run."""
        run = await self._usecases.cancel(request.test_run_id)
        return test_run_pb2.CancelTestRunResponse(test_run=test_run_to_proto(run))

    async def PauseTestRun(
        self, request: test_run_pb2.PauseTestRunRequest, context: _Context
    ) -> test_run_pb2.PauseTestRunResponse:
        """Refuse; not built."""
        await self._usecases.pause(request.test_run_id)

    async def ResumeTestRun(
        self, request: test_run_pb2.ResumeTestRunRequest, context: _Context
    ) -> test_run_pb2.ResumeTestRunResponse:
        """Refuse; not built."""
        await self._usecases.pause(request.test_run_id)

    async def WatchTestRun(
        self, request: test_run_pb2.WatchTestRunRequest, context: _Context
    ) -> AsyncIterator[test_run_pb2.WatchTestRunResponse]:
        """Stream the events of a run."""
        async for event in self._usecases.watch(request.test_run_id, request.after_sequence):
            yield test_run_pb2.WatchTestRunResponse(event=event_to_proto(event))

    async def GetTranscript(
        self, request: transcript_pb2.GetTranscriptRequest, context: _Context
    ) -> transcript_pb2.GetTranscriptResponse:
        """Return a transcript."""
        transcript = await self._usecases.get_transcript(request.transcript_id)
        return transcript_pb2.GetTranscriptResponse(transcript=transcript_to_proto(transcript))

    async def ListTranscripts(
        self, request: transcript_pb2.ListTranscriptsRequest, context: _Context
    ) -> transcript_pb2.ListTranscriptsResponse:
        """List the transcripts of a run in their order."""
        page, token = await self._usecases.list_transcripts(
            request.test_run_id,
            page_size=request.page_size,
            page_token=request.page_token,
            after_sequence=request.after_sequence,
        )
        return transcript_pb2.ListTranscriptsResponse(transcripts=map(transcript_to_proto, page), next_page_token=token)

    async def Generate(
        self, request: transcript_pb2.GenerateRequest, context: _Context
    ) -> AsyncIterator[transcript_pb2.GenerateResponse]:
        """Refuse; not built."""
        async for text in self._usecases.generate():
            yield transcript_pb2.GenerateResponse(text_delta=text)
