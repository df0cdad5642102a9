"""A test runner over a world of rows; its model writes what `answer` says."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

from drillyard.job.v1 import job_pb2
from drillyard.test_runner.v1 import test_run_pb2, test_runner_service_pb2_grpc, transcript_pb2

from services.chassis.errors import FailedPrecondition, InvalidArgument
from tests.fakes.system import rows
from tests.fakes.system.answering import FINAL, cancelled, events, find, page
from tests.fakes.system.generation import generate, tokens_of
from tests.fakes.system.rows import RUNNING, World


class TestRunner(test_runner_service_pb2_grpc.TestRunnerServiceServicer):
    def __init__(self, world: World) -> None:
        self.world = world

    def _run(self, run_id: str) -> Any:
        return find(self.world.runs, "test_run_id", run_id, "test run")

    async def CreateTestRun(self, request: Any, context: Any) -> Any:
        if request.spec.repeat_of_test_run_id:
            repeated = self._run(request.spec.repeat_of_test_run_id)
            request.spec.CopyFrom(repeated.spec)
            request.spec.repeat_of_test_run_id = repeated.test_run_id
        if request.spec.model_version_id or not request.spec.endpoint.base_url:
            find(self.world.model_versions, "model_version_id", request.spec.model_version_id, "model version")
        find(self.world.suites, "test_suite_version_id", request.spec.test_suite_version_id, "test suite version")
        if request.spec.num_repeats < 0:
            raise InvalidArgument("num_repeats is -1.", "Give 1 or more.", field="spec.num_repeats")
        run_id = f"test_run-{len(self.world.runs)}"
        one = test_run_pb2.TestRun(test_run_id=run_id, spec=request.spec, num_transcripts_total=130)
        one.job.CopyFrom(rows.job(run_id, RUNNING, phase="load_model", total=130, unit="cases", age=2))
        self.world.runs.insert(0, one)
        self.world.transcripts[run_id] = []
        if self.world.ends_at_once:
            one.job.state, one.num_transcripts = rows.SUCCEEDED, one.num_transcripts_total
            self.world.transcripts[run_id] = self.world.transcripts["test_run-b01"]
        return test_run_pb2.CreateTestRunResponse(test_run=one)

    async def GetTestRun(self, request: Any, context: Any) -> Any:
        return test_run_pb2.GetTestRunResponse(test_run=self._run(request.test_run_id))

    async def ListTestRuns(self, request: Any, context: Any) -> Any:
        listed, token = page(self.world.runs, request)
        return test_run_pb2.ListTestRunsResponse(test_runs=listed, next_page_token=token)

    async def CancelTestRun(self, request: Any, context: Any) -> Any:
        one = self._run(request.test_run_id)
        cancelled(one.job)
        return test_run_pb2.CancelTestRunResponse(test_run=one)

    async def WatchTestRun(self, request: Any, context: Any) -> AsyncIterator[Any]:
        job = self._run(request.test_run_id).job
        async for response in events(job, request.after_sequence, test_run_pb2.WatchTestRunResponse):
            yield response

    async def GetTranscript(self, request: Any, context: Any) -> Any:
        listed = [one for found in self.world.transcripts.values() for one in found]
        return transcript_pb2.GetTranscriptResponse(
            transcript=find(listed, "transcript_id", request.transcript_id, "transcript")
        )

    async def ListTranscripts(self, request: Any, context: Any) -> Any:
        self._run(request.test_run_id)
        listed, token = page(self.world.transcripts[request.test_run_id], request)
        return transcript_pb2.ListTranscriptsResponse(transcripts=listed, next_page_token=token)

    async def PauseTestRun(self, request: Any, context: Any) -> Any:
        one = self._run(request.test_run_id)
        if one.job.state in FINAL:
            raise FailedPrecondition(f"The run {one.test_run_id} has ended.", "Start another.")
        one.job.state = job_pb2.JOB_STATE_PAUSED
        return test_run_pb2.PauseTestRunResponse(test_run=one)

    async def ResumeTestRun(self, request: Any, context: Any) -> Any:
        one = self._run(request.test_run_id)
        if one.job.state != job_pb2.JOB_STATE_PAUSED:
            raise FailedPrecondition(f"The run {one.test_run_id} is not paused.", "Pause it first.")
        one.job.state = RUNNING
        return test_run_pb2.ResumeTestRunResponse(test_run=one)

    async def CompareTestRuns(self, request: Any, context: Any) -> Any:
        before, after = (self._run(one) for one in (request.before_test_run_id, request.after_test_run_id))
        same = before.test_run_id == after.test_run_id
        first, second = (self.world.transcripts[one.test_run_id] for one in (before, after))
        differing = [] if same else [(one, two) for one, two in zip(first, second, strict=False)]
        shown = [
            test_run_pb2.TranscriptDifference(
                case_id=one.case_id,
                field="token_ids",
                token_index=3,
                before=one.messages[-1].content[:20],
                after=two.messages[-1].content[:20],
            )
            for one, two in differing[: request.max_differences or 50]
        ]
        return test_run_pb2.CompareTestRunsResponse(
            identical=same,
            num_compared=len(first),
            num_identical=len(first) - len(differing),
            num_equal_answers=len(first) - len(differing),
            differences=shown,
            provenance_differences=[] if same else ["The model's digest differs."],
        )

    async def Generate(self, request: Any, context: Any) -> AsyncIterator[Any]:
        find(self.world.model_versions, "model_version_id", request.model_version_id, "model version")
        self.world.generations.append(request)
        is_over = False
        try:
            async for response in generate(request):
                yield response
            is_over = True
        finally:
            self.world.num_broken_off += not is_over

    async def RenderPrompt(self, request: Any, context: Any) -> Any:
        find(self.world.model_versions, "model_version_id", request.model_version_id, "model version")
        messages = list(request.messages)
        if request.case_id:
            find(self.world.cases, "case_id", request.case_id, "test case")
            messages = [transcript_pb2.Message(role="user", content=f"Do {request.case_id}.")]
        text = "".join(f"<|im_start|>{one.role}\n{one.content}<|im_end|>\n" for one in messages)
        tokens = tokens_of(text)
        return transcript_pb2.RenderPromptResponse(
            text=text, token_ids=range(len(tokens)), tokens=tokens, messages=messages, tools=request.tools
        )
