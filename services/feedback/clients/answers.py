"""What feedback items look up in other services, over gRPC; callers wait, so no call is patient, but imports are."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence

import grpc.aio
from drillyard.evaluator.v1 import evaluator_service_pb2_grpc, verdict_pb2
from drillyard.registry.v1 import registry_service_pb2_grpc, test_suite_pb2
from drillyard.test_runner.v1 import test_run_pb2, test_runner_service_pb2_grpc, transcript_pb2

from services.chassis.errors import NotFound
from services.chassis.waiting import listed
from services.chassis.wire import from_message
from services.feedback.convert.messages import message_from_proto, message_to_proto
from services.feedback.domain.item import AnsweredCase, AnswersToJudge, Outcome, Subject

_PAGE_SIZE = 1000
_BATCH = 500
_BATCH_SECONDS = 120.0
_NUM_SUITES = 4


class GrpcTranscripts:
    """Implements `ports.neighbours.Transcripts`."""

    def __init__(self, channel: grpc.aio.Channel) -> None:
        self._stub = test_runner_service_pb2_grpc.TestRunnerServiceStub(channel)

    async def answered_case(self, transcript_id: str) -> AnsweredCase:
        """Return a transcript.

        Raises:
            NotFound: There is none.
        """
        request = transcript_pb2.GetTranscriptRequest(transcript_id=transcript_id)
        transcript = (await self._stub.GetTranscript(request)).transcript
        of_run = test_run_pb2.GetTestRunRequest(test_run_id=transcript.test_run_id)
        run = (await self._stub.GetTestRun(of_run)).test_run
        subject = Subject(
            transcript_id=transcript_id,
            test_run_id=transcript.test_run_id,
            case_id=transcript.case_id,
            repeat=transcript.repeat,
            model_version_id=run.spec.model_version_id or run.spec.endpoint.model,
            test_suite_version_id=run.spec.test_suite_version_id,
            profile_id=run.spec.test_suite_version_id.partition("/")[0],
            prompt_size=run.spec.prompt_size,
        )
        last = len(transcript.messages) - 1
        turns = transcript.turns or [transcript_pb2.AnswerTurn(message_index=last)]
        indexes = [turn.message_index for turn in turns if 0 <= turn.message_index <= last]
        answers = [message_from_proto(transcript.messages[index]) for index in indexes]
        is_cut = transcript.finish_reason == transcript_pb2.FINISH_REASON_LENGTH
        return AnsweredCase(subject, tuple(answer for answer in answers if answer["role"] == "assistant"), is_cut)


class GrpcCaseDocuments:
    """Implements `ports.neighbours.CaseDocuments`; keeps the last suites, since versions never change."""

    def __init__(self, channel: grpc.aio.Channel) -> None:
        self._stub = registry_service_pb2_grpc.RegistryServiceStub(channel)
        self._suites: OrderedDict[str, dict[str, str]] = OrderedDict()

    async def case_document(self, test_suite_version_id: str, case_id: str) -> str:
        """Return a case as JSON text.

        Raises:
            NotFound: There is no such suite, or no such case in it.
        """
        cases = self._suites.get(test_suite_version_id)
        if cases is None:
            cases = self._suites[test_suite_version_id] = await self._read(test_suite_version_id)
        self._suites.move_to_end(test_suite_version_id)
        if len(self._suites) > _NUM_SUITES:
            self._suites.popitem(last=False)
        if case_id not in cases:
            raise NotFound(
                f"The suite {test_suite_version_id} has no case {case_id[:100]!r}.", "Look at the suite's cases."
            )
        return cases[case_id]

    async def _read(self, test_suite_version_id: str) -> dict[str, str]:
        request = test_suite_pb2.ListTestCasesRequest(test_suite_version_id=test_suite_version_id, page_size=_PAGE_SIZE)
        return {case.case_id: case.document async for case in listed(self._stub.ListTestCases, request)}


class GrpcJudge:
    """Implements `ports.neighbours.Judge`."""

    def __init__(self, channel: grpc.aio.Channel) -> None:
        self._stub = evaluator_service_pb2_grpc.EvaluatorServiceStub(channel)

    async def judge(self, answers: Sequence[AnswersToJudge]) -> list[Outcome | str]:
        """Return what the judge says of each, in their order, or the sentence why it can say nothing."""
        outcomes: list[Outcome | str] = []
        for start in range(0, len(answers), _BATCH):
            requests = [_request(order) for order in answers[start : start + _BATCH]]
            batch = verdict_pb2.JudgeBatchRequest(requests=requests)
            response = await self._stub.JudgeBatch(batch, timeout=_BATCH_SECONDS)
            outcomes += [result.problem or from_message(Outcome, result.verdict) for result in response.results]
        return outcomes


def _request(order: AnswersToJudge) -> verdict_pb2.JudgeRequest:
    return verdict_pb2.JudgeRequest(
        profile_id=order.profile_id,
        case_document=order.case_document,
        messages=map(message_to_proto, order.answers),
        finish_reason="length" if order.is_cut else "stop",
    )
