"""Judging answers without storing anything."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from drillyard.evaluator.v1 import verdict_pb2

from services.chassis.errors import TooLarge
from ui.gateway.clients import Clients

_BATCH_SECONDS = 120.0
# A quarter of what one message holds, since verdicts take room in the answer.
_PART_BYTES = 4 * 1024 * 1024


async def judge_batch(clients: Clients, requests: Sequence[verdict_pb2.JudgeRequest]) -> verdict_pb2.JudgeBatchResponse:
    """Judge answers in their order, in as many messages as they need; one that no message holds has a problem."""
    results = [result for part in _parts(requests) for result in await _judged(clients, part)]
    return verdict_pb2.JudgeBatchResponse(results=results)


def _parts(requests: Sequence[verdict_pb2.JudgeRequest]) -> Iterator[list[verdict_pb2.JudgeRequest]]:
    part: list[verdict_pb2.JudgeRequest] = []
    num_bytes = 0
    for request in requests:
        size = request.ByteSize()
        if part and num_bytes + size > _PART_BYTES:
            yield part
            part, num_bytes = [], 0
        part.append(request)
        num_bytes += size
    if part:
        yield part


async def _judged(clients: Clients, part: Sequence[verdict_pb2.JudgeRequest]) -> Sequence[verdict_pb2.JudgedAnswer]:
    try:
        request = verdict_pb2.JudgeBatchRequest(requests=part)
        return (await clients.evaluator.JudgeBatch(request, timeout=_BATCH_SECONDS)).results
    except TooLarge as error:
        if len(part) == 1:
            return [verdict_pb2.JudgedAnswer(key=part[0].key, problem=str(error))]
    middle = len(part) // 2
    return [*await _judged(clients, part[:middle]), *await _judged(clients, part[middle:])]
