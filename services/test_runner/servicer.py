"""The RPCs of this service: wire in, use case, wire out; the contract documents each."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import aclosing
from dataclasses import dataclass
from operator import attrgetter

from drillyard.test_runner.v1 import comparison_pb2, diagnosis_pb2, score_pb2, test_run_pb2, transcript_pb2
from drillyard.test_runner.v1.test_runner_service_pb2_grpc import TestRunnerServiceServicer

from services.chassis.calls import Context, caller_of
from services.chassis.jobs.convert import ResourceRpcs
from services.chassis.wire import from_message, to_message
from services.test_runner.convert import (
    diagnosis_to_proto,
    piece_to_proto,
    rendered_to_proto,
    score_to_proto,
    scoring_order_from_proto,
    spec_from_proto,
    test_run_to_proto,
    transcript_to_proto,
)
from services.test_runner.domain.diagnosis import DiagnosisSpec
from services.test_runner.domain.generation import GenerationOrder, parse_tools
from services.test_runner.usecases.comparison import ComparisonUseCases
from services.test_runner.usecases.diagnosis import DiagnosisUseCases
from services.test_runner.usecases.generation import GenerationUseCases
from services.test_runner.usecases.rendering import RenderingUseCases, RenderOrder
from services.test_runner.usecases.scoring import ScoringUseCases
from services.test_runner.usecases.test_run import TestRunUseCases
from services.test_runner.usecases.transcript import TranscriptUseCases

SERVICE_NAME = "drillyard.test_runner.v1.TestRunnerService"
_rpcs = ResourceRpcs(attrgetter("runs.resource"), test_run_to_proto)


class _JobRpcs:
    """What every kind of job has."""

    GetTestRun = _rpcs.get(test_run_pb2.GetTestRunResponse)
    ListTestRuns = _rpcs.list(test_run_pb2.ListTestRunsResponse)
    DeleteTestRun = _rpcs.delete(test_run_pb2.DeleteTestRunResponse)
    CancelTestRun = _rpcs.cancel(test_run_pb2.CancelTestRunResponse)
    PauseTestRun = _rpcs.pause(test_run_pb2.PauseTestRunResponse)
    ResumeTestRun = _rpcs.resume(test_run_pb2.ResumeTestRunResponse)
    WatchTestRun = _rpcs.watch(test_run_pb2.WatchTestRunResponse)


@dataclass(frozen=True)
class TestRunnerServicer(_JobRpcs, TestRunnerServiceServicer):
    """Answers `TestRunnerService`."""

    runs: TestRunUseCases
    transcripts: TranscriptUseCases
    comparisons: ComparisonUseCases
    generation: GenerationUseCases
    rendering: RenderingUseCases
    scoring: ScoringUseCases
    diagnoses: DiagnosisUseCases

    async def CreateTestRun(
        self, request: test_run_pb2.CreateTestRunRequest, context: Context
    ) -> test_run_pb2.CreateTestRunResponse:
        """Start a run."""
        run = await self.runs.create(request.request_id, spec_from_proto(request.spec))
        return test_run_pb2.CreateTestRunResponse(test_run=test_run_to_proto(run))

    async def CompareTestRuns(
        self, request: comparison_pb2.CompareTestRunsRequest, context: Context
    ) -> comparison_pb2.CompareTestRunsResponse:
        """Say whether two runs have the same transcripts, and where not."""
        comparison = await self.comparisons.compare(
            request.before_test_run_id, request.after_test_run_id, request.max_differences
        )
        return to_message(comparison, comparison_pb2.CompareTestRunsResponse, identical=comparison.is_identical)

    async def GetTranscript(
        self, request: transcript_pb2.GetTranscriptRequest, context: Context
    ) -> transcript_pb2.GetTranscriptResponse:
        """Return a transcript."""
        transcript = await self.transcripts.get_transcript(request.transcript_id)
        return transcript_pb2.GetTranscriptResponse(transcript=transcript_to_proto(transcript))

    async def ListTranscripts(
        self, request: transcript_pb2.ListTranscriptsRequest, context: Context
    ) -> transcript_pb2.ListTranscriptsResponse:
        """List the transcripts of a run in their order."""
        page, token = await self.transcripts.list_transcripts(
            request.test_run_id,
            page_size=request.page_size,
            page_token=request.page_token,
            after_sequence=request.after_sequence,
        )
        return await asyncio.to_thread(
            lambda: transcript_pb2.ListTranscriptsResponse(
                transcripts=map(transcript_to_proto, page), next_page_token=token
            )
        )

    async def Generate(
        self, request: transcript_pb2.GenerateRequest, context: Context
    ) -> AsyncIterator[transcript_pb2.GenerateResponse]:
        """Stream the answer to one conversation, or the continuation of a text."""
        order = from_message(GenerationOrder, request, tools=parse_tools(request.tools))
        async with aclosing(self.generation.generate(order, caller_of(context))) as pieces:
            async for piece in pieces:
                yield piece_to_proto(piece)

    async def RenderPrompt(
        self, request: transcript_pb2.RenderPromptRequest, context: Context
    ) -> transcript_pb2.RenderPromptResponse:
        """Return the exact text and token ids that a model reads."""
        order = from_message(RenderOrder, request, tools=parse_tools(request.tools))
        return rendered_to_proto(await self.rendering.render(order))

    async def ScoreAnswers(
        self, request: score_pb2.ScoreAnswersRequest, context: Context
    ) -> AsyncIterator[score_pb2.ScoreAnswersResponse]:
        """Stream how likely a version finds given answers."""
        async with aclosing(self.scoring.score(scoring_order_from_proto(request))) as scores:
            async for score in scores:
                yield score_to_proto(score)

    async def DiagnoseModel(
        self, request: diagnosis_pb2.DiagnoseModelRequest, context: Context
    ) -> diagnosis_pb2.DiagnoseModelResponse:
        """Check a model's template and settings against a profile."""
        return diagnosis_to_proto(await self.diagnoses.diagnose(from_message(DiagnosisSpec, request)))
