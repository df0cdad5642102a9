"""What the test runner makes of versions in any form, over gRPC."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import grpc.aio
from drillyard.job.v1 import job_pb2
from drillyard.test_runner.v1 import score_pb2, test_run_pb2, test_runner_service_pb2_grpc, transcript_pb2
from google.protobuf.json_format import ParseDict

from services.chassis.waiting import patiently
from services.feedback.convert.messages import message_to_proto
from services.feedback.domain.work import Asked, CaseOfSuite, TestOrder
from services.feedback.gate.numbers import RowScore
from services.feedback.gate.prompts import RenderedPrompt
from services.feedback.gate.rows import GateRow

_PEER = "the test runner"
_PAGE_SIZE = 200
# A row takes seconds; a slow machine has this for all of them.
_SCORE_SECONDS = 3600.0


class GrpcForms:
    """Implements `ports.neighbours.Forms`; every call is patient."""

    def __init__(self, channel: grpc.aio.Channel) -> None:
        self._stub = test_runner_service_pb2_grpc.TestRunnerServiceStub(channel)

    async def render(self, model: Asked, row: GateRow) -> RenderedPrompt:
        """Return what the version, or what is served in its place, reads of a conversation."""
        request = transcript_pb2.RenderPromptRequest(
            **_target(model),
            messages=map(message_to_proto, row.messages),
            tools=map(json.dumps, row.tools),
        )
        response = await self._rendered(request)
        return RenderedPrompt(response.text, tuple(response.token_ids))

    async def score(
        self, model_version_id: str, rows: Sequence[GateRow | RowScore], *, max_tokens: int = 0
    ) -> list[RowScore]:
        """Return how likely a version finds the answers of rows, in their order."""
        request = score_pb2.ScoreAnswersRequest(
            model_version_id=model_version_id, rows=map(_answer_row, rows), max_tokens=max_tokens
        )

        async def scores() -> list[score_pb2.ScoreAnswersResponse]:
            return [score async for score in self._stub.ScoreAnswers(request, timeout=_SCORE_SECONDS)]

        return [_row_score(score) for score in sorted(await patiently(scores, _PEER), key=lambda score: score.row)]

    async def finished_run(self, order: TestOrder) -> str:
        """Return the newest run that did what is ordered and has an answer to every case; empty for none."""
        request = test_run_pb2.ListTestRunsRequest(page_size=_PAGE_SIZE)
        page = await patiently(lambda: self._stub.ListTestRuns(request), _PEER)
        return next((run.test_run_id for run in page.test_runs if _did(run, order)), "")

    async def text_answers(self, model: Asked, case: CaseOfSuite, max_new_tokens: int) -> list[str]:
        """Return the texts that it writes in the turns of a case, with simulated replies between them."""
        request = transcript_pb2.RenderPromptRequest(
            **_target(model),
            test_suite_version_id=case.test_suite_version_id,
            case_id=case.case_id,
            prompt_size=case.prompt_size,
        )
        while len(request.answers) < case.max_turns:
            prompt = await self._rendered(request)
            if prompt.stop:
                break
            text = await self._text_answer(model, prompt.text, max_new_tokens)
            request.answers.append(transcript_pb2.Message(role="assistant", content=text))
        return [answer.content for answer in request.answers]

    async def _rendered(self, request: transcript_pb2.RenderPromptRequest) -> transcript_pb2.RenderPromptResponse:
        return await patiently(lambda: self._stub.RenderPrompt(request, timeout=_SCORE_SECONDS), _PEER)

    async def _text_answer(self, model: Asked, prompt: str, max_new_tokens: int) -> str:
        request = transcript_pb2.GenerateRequest(
            **_target(model), prompt=prompt, sampling=test_run_pb2.Sampling(max_new_tokens=max_new_tokens)
        )

        async def text() -> str:
            pieces = self._stub.Generate(request, timeout=_SCORE_SECONDS)
            return "".join([piece.text_delta async for piece in pieces])

        return await patiently(text, _PEER)


def _target(model: Asked) -> dict[str, Any]:
    if model.endpoint is None:
        return {"model_version_id": model.model_version_id}
    return {"endpoint": ParseDict(dict(model.endpoint), test_run_pb2.Endpoint())}


def _did(run: test_run_pb2.TestRun, order: TestOrder) -> bool:
    spec = run.spec
    asked = (spec.model_version_id, spec.test_suite_version_id, spec.prompt_size or "compact")
    is_greedy = spec.sampling.temperature == 0 and spec.sampling.max_new_tokens == order.max_new_tokens
    is_whole = run.num_transcripts == run.num_transcripts_total and not run.num_unanswered
    return (
        asked == (order.model_version_id, order.test_suite_version_id, order.prompt_size)
        and is_greedy
        and is_whole
        and spec.num_repeats == 1
        and not spec.HasField("endpoint")
        and run.job.state == job_pb2.JOB_STATE_SUCCEEDED
    )


def _answer_row(row: GateRow | RowScore) -> score_pb2.AnswerRow:
    if isinstance(row, RowScore):
        return score_pb2.AnswerRow(token_ids=row.token_ids, num_prompt_tokens=row.num_prompt_tokens)
    return score_pb2.AnswerRow(
        messages=map(message_to_proto, row.messages),
        tools=map(json.dumps, row.tools),
        answer=message_to_proto(row.answer) if row.answer else None,
    )


def _row_score(score: score_pb2.ScoreAnswersResponse) -> RowScore:
    log_probs = tuple(token.log_prob if token.HasField("log_prob") else None for token in score.tokens)
    return RowScore(tuple(score.token_ids), score.num_prompt_tokens, log_probs, score.ends_turn)
