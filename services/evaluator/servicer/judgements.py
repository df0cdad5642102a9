"""The RPCs that judge answers without storing anything."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import aclosing

from drillyard.evaluator.v1 import verdict_pb2

from services.chassis.calls import Context
from services.evaluator.convert.verdict import answer_from_proto, judged_to_proto, verdict_to_proto
from services.evaluator.usecases.judgements import JudgedAnswer, JudgementUseCases


class JudgementRpcs:
    """Judge single answers, batches and streams."""

    judgements: JudgementUseCases

    async def Judge(self, request: verdict_pb2.JudgeRequest, context: Context) -> verdict_pb2.JudgeResponse:
        """Judge one answer."""
        verdict = await self.judgements.judge(answer_from_proto(request))
        return verdict_pb2.JudgeResponse(verdict=verdict_to_proto(verdict))

    async def JudgeBatch(
        self, request: verdict_pb2.JudgeBatchRequest, context: Context
    ) -> verdict_pb2.JudgeBatchResponse:
        """Judge many answers; a bad one does not spoil the others."""
        # A thousand answers are a tenth of a second of conversion, which is too long for the event loop.
        answers = await asyncio.to_thread(list, map(answer_from_proto, request.requests))
        results = await self.judgements.judge_batch(answers)
        return await asyncio.to_thread(_batch_response, results)

    async def JudgeStream(
        self, request_iterator: AsyncIterator[verdict_pb2.JudgeStreamRequest], context: Context
    ) -> AsyncIterator[verdict_pb2.JudgeStreamResponse]:
        """Judge answers as they come, in their order."""
        asked = (answer_from_proto(one.request) async for one in request_iterator)
        async with aclosing(self.judgements.judge_stream(asked)) as results:
            async for result in results:
                yield verdict_pb2.JudgeStreamResponse(result=judged_to_proto(result))


def _batch_response(results: Sequence[JudgedAnswer]) -> verdict_pb2.JudgeBatchResponse:
    return verdict_pb2.JudgeBatchResponse(results=map(judged_to_proto, results))
