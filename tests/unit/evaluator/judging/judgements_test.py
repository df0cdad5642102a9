"""Batches and streams of answers to judge."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from dataclasses import replace

import pytest

from services.chassis.errors import InvalidArgument
from services.evaluator.convert import judged_to_proto
from services.evaluator.usecases.judgements import MAX_BATCH_SIZE, AnswerToJudge
from services.protocols.cases import case_to_document
from tests.unit.evaluator.bench import CASES, PROFILE, Bench

RIGHT = AnswerToJudge(
    "roo_xml", json.dumps(case_to_document(CASES[0])), PROFILE.reference_answer(CASES[0]), key="right"
)
WRONG = replace(RIGHT, answer="no", key="wrong")
BAD = replace(RIGHT, case_document="{", key="bad")


async def test_a_bad_answer_does_not_spoil_the_others_of_its_batch() -> None:
    found = await Bench().judgements.judge_batch([RIGHT, BAD, WRONG])
    assert [one.key for one in found] == ["right", "bad", "wrong"]
    assert [one.verdict.conforming if one.verdict else None for one in found] == [True, None, False]
    assert found[1].problem == "case_document is not JSON. Send the case as one JSON object."
    assert not judged_to_proto(found[1]).HasField("verdict")


async def test_a_batch_that_is_too_large_is_refused() -> None:
    with pytest.raises(InvalidArgument, match="1001"):
        await Bench().judgements.judge_batch([RIGHT] * (MAX_BATCH_SIZE + 1))


async def test_a_stream_reads_the_next_answer_only_when_a_result_was_taken() -> None:
    read: list[str] = []

    async def asked() -> AsyncIterator[AnswerToJudge]:
        for one in (RIGHT, BAD, WRONG):
            read.append(one.key)
            yield one

    results = Bench().judgements.judge_stream(asked())
    assert ((await anext(results)).key, read) == ("right", ["right"])
    assert [one.key async for one in results] == ["bad", "wrong"]
