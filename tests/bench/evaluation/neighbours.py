"""A registry and a test runner that hold one suite and one finished run, and answer as the real ones do."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass

import grpc.aio
from drillyard.job.v1 import job_pb2
from drillyard.registry.v1 import registry_service_pb2_grpc, test_suite_pb2
from drillyard.test_runner.v1 import provenance_pb2, test_run_pb2, test_runner_service_pb2_grpc, transcript_pb2

RUN_ID = "run-bench"
SUITE_ID = "bench/suite@1"


@dataclass
class Registry(registry_service_pb2_grpc.RegistryServiceServicer):
    """Serves the cases of one suite."""

    documents: Sequence[tuple[str, str]]

    async def ListTestCases(
        self, request: test_suite_pb2.ListTestCasesRequest, context: object
    ) -> test_suite_pb2.ListTestCasesResponse:
        start = int(request.page_token or 0)
        end = start + request.page_size
        page = [test_suite_pb2.TestCase(case_id=name, document=text) for name, text in self.documents[start:end]]
        token = str(end) if end < len(self.documents) else ""
        return test_suite_pb2.ListTestCasesResponse(test_cases=page, next_page_token=token)


@dataclass
class TestRunner(test_runner_service_pb2_grpc.TestRunnerServiceServicer):
    """Serves the transcripts of one finished run; counts the bytes that it sends."""

    transcripts: Sequence[transcript_pb2.Transcript]
    run: test_run_pb2.TestRun
    num_sent_bytes: int = 0

    async def GetTestRun(
        self, request: test_run_pb2.GetTestRunRequest, context: object
    ) -> test_run_pb2.GetTestRunResponse:
        return test_run_pb2.GetTestRunResponse(test_run=self.run)

    async def ListTranscripts(
        self, request: transcript_pb2.ListTranscriptsRequest, context: object
    ) -> transcript_pb2.ListTranscriptsResponse:
        page = self.transcripts[request.after_sequence : request.after_sequence + request.page_size]
        response = transcript_pb2.ListTranscriptsResponse(transcripts=page)
        self.num_sent_bytes += response.ByteSize()
        return response


def finished_run(
    profile_id: str, profile_digest: str, *, num_transcripts: int, num_repeats: int
) -> test_run_pb2.TestRun:
    """Return a run that has succeeded."""
    return test_run_pb2.TestRun(
        test_run_id=RUN_ID,
        spec=test_run_pb2.TestRunSpec(
            model_version_id="bench@1",
            test_suite_version_id=SUITE_ID,
            prompt_size="compact",
            num_repeats=num_repeats,
            sampling=test_run_pb2.Sampling(temperature=0.8, top_p=1.0, max_new_tokens=192),
        ),
        job=job_pb2.Job(job_id=RUN_ID, state=job_pb2.JOB_STATE_SUCCEEDED, last_sequence=1),
        provenance=provenance_pb2.Provenance(profile_id=profile_id, profile_digest=profile_digest),
        num_transcripts_total=num_transcripts,
        num_transcripts=num_transcripts,
    )


@asynccontextmanager
async def serving(registry: Registry, test_runner: TestRunner) -> AsyncIterator[str]:
    """Serve both on one address for the length of a block."""
    server = grpc.aio.server(options=[("grpc.max_send_message_length", 16 << 20)])
    registry_service_pb2_grpc.add_RegistryServiceServicer_to_server(registry, server)
    test_runner_service_pb2_grpc.add_TestRunnerServiceServicer_to_server(test_runner, server)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    try:
        yield f"127.0.0.1:{port}"
    finally:
        await server.stop(0)
