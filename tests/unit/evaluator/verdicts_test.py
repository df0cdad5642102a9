"""Lists of verdicts, and judging single answers."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from services.chassis.errors import InvalidArgument, NotFound
from services.evaluator.convert import verdict_to_proto
from services.evaluator.domain.tallies import Totals
from services.evaluator.domain.verdict import Layer, Verdict, VerdictFilter
from services.evaluator.metrics.reduction import reduce_tallies
from services.evaluator.usecases.judgements import AnswerToJudge
from services.protocols.cases import case_to_document
from services.protocols.verdict import LayerStatus
from tests.unit.evaluator.bench import CASES, PROFILE, Bench, subject

CASE = CASES[0]
DOCUMENT = json.dumps(case_to_document(CASE))


async def judged(answer: str = "", finish_reason: str = "", **changes: Any) -> Verdict:
    asked = AnswerToJudge("roo_xml", DOCUMENT, answer, finish_reason)
    return await Bench().judgements.judge(replace(asked, **changes))


async def test_a_right_answer_conforms() -> None:
    verdict = await judged(PROFILE.reference_answer(CASE), "")
    assert (verdict.conforming, verdict.cause, verdict.tool) == (True, "", CASE.tool)
    assert {layer.status for layer in verdict.layers} <= {LayerStatus.PASSED, LayerStatus.NOT_APPLICABLE}


async def test_a_wrong_answer_names_cause_layer_and_span() -> None:
    answer = f"{PROFILE.reference_answer(CASE)}\n\nAnything else?"
    verdict = await judged(answer, "stop")
    failed = next(layer for layer in verdict.layers if layer.status is LayerStatus.FAILED)
    assert verdict.cause == "text_after"
    assert failed.span is not None
    assert "Anything else?" in answer[slice(*failed.span)]


async def test_the_fault_and_whether_it_is_the_only_one_reach_the_wire() -> None:
    reference = PROFILE.reference_answer(CASE)
    conforming, chatty, cut = [
        verdict_to_proto(await judged(answer, "stop")) for answer in (reference, f"{reference}\nMore?", reference[:-8])
    ]
    assert (conforming.fault, conforming.is_sole) == ("", False)
    assert (chatty.fault, chatty.is_sole) == ("text_after", True)
    assert cut.fault == "unclosed"


async def test_an_answer_that_the_limit_cut_is_told_from_one_that_was_left_open() -> None:
    answer = PROFILE.reference_answer(CASE)[:-8]
    cut = await judged(answer, "length")
    left = await judged(answer, "stop")
    assert (cut.cause, left.cause) == ("truncated_by_limit", "unclosed")


async def test_the_judge_rpc_and_an_evaluation_agree_with_the_library() -> None:
    bench = Bench()
    evaluation_id = await bench.evaluated(subject(), wrong=(1, 4))
    stored, _, _ = await bench.verdicts.list_verdicts(evaluation_id, VerdictFilter(), page_size=0, page_token="")
    for transcript, verdict, case in zip(bench.runs.transcripts["run-1"], stored, CASES, strict=True):
        library = PROFILE.judge(case, PROFILE.read_answer(transcript.answers[0].text))
        direct = await judged(transcript.answers[0].text, case_document=json.dumps(case_to_document(case)))
        assert direct.layers == verdict.layers
        assert (library.conforming, library.cause or "") == (verdict.conforming, verdict.cause)
        assert library.sentence == verdict.sentence == direct.sentence


@pytest.mark.parametrize(
    ("field", "changes"),
    [
        ("profile_id", {"profile_id": "klingon"}),
        ("finish_reason", {"finish_reason": "tired"}),
        ("case_document", {"case_document": "{"}),
        ("case_document", {"case_document": "[" * 100_000}),
        ("case_document", {"case_document": "[]"}),
        ("case_document", {"case_document": " " * (1 << 20) + "{}"}),
        (
            "case_document.expected.tool",
            {"case_document": DOCUMENT.replace('"expected": {"tool": "', '"expected": {"tool": "un')},
        ),
        ("answer", {"answer": "x" * ((2 << 20) + 1)}),
    ],
)
async def test_what_cannot_be_judged_is_refused_naming_the_field(field: str, changes: dict[str, str]) -> None:
    with pytest.raises(InvalidArgument) as caught:
        await judged(**changes)
    assert caught.value.fields["field"] == field


async def test_pages_hold_every_wanted_verdict_once() -> None:
    bench = Bench()
    evaluation_id = await bench.evaluated(subject(), wrong=(2, 3, 7, 11))
    token, found = "", []
    while True:
        page, token, total = await bench.verdicts.list_verdicts(
            evaluation_id, VerdictFilter(cause="no_call"), page_size=2, page_token=token
        )
        found += [item.sequence for item in page]
        assert total == 4
        if not token:
            break
    assert found == [2, 3, 7, 11]
    whole = await bench.verdicts.list_verdicts(
        evaluation_id, VerdictFilter(cause="no_call"), page_size=10, page_token=""
    )
    assert ([item.sequence for item in whole[0]], *whole[1:]) == (found, "", 4)


async def test_a_cause_that_does_not_exist_is_refused() -> None:
    bench = Bench()
    evaluation_id = await bench.evaluated(subject())
    with pytest.raises(InvalidArgument, match="no_call"):
        await bench.verdicts.list_verdicts(evaluation_id, VerdictFilter(cause="magic"), page_size=0, page_token="")


@pytest.mark.parametrize(("size", "token"), [(-1, ""), (1001, ""), (0, "x"), (0, "9" * 30)])
async def test_pages_that_no_list_has_are_refused(size: int, token: str) -> None:
    bench = Bench()
    evaluation_id = await bench.evaluated(subject())
    with pytest.raises(InvalidArgument):
        await bench.verdicts.list_verdicts(evaluation_id, VerdictFilter(), page_size=size, page_token=token)


async def test_verdicts_of_an_unknown_evaluation_are_not_found() -> None:
    with pytest.raises(NotFound):
        await Bench().verdicts.list_verdicts("eval-0", VerdictFilter(), page_size=0, page_token="")


def test_no_verdicts_have_rates_of_zero() -> None:
    metrics = reduce_tallies([], Totals())
    assert (metrics.overall.num_cases, metrics.overall.conforming_rate) == (0, 0)
    assert (metrics.by_tool, metrics.by_cause) == ({}, {})


async def test_a_case_that_asks_for_what_the_profile_does_not_have_is_refused() -> None:
    document = json.dumps(case_to_document(replace(CASE, mode="asleep")))
    with pytest.raises(InvalidArgument, match="there is no mode 'asleep'") as caught:
        await judged(case_document=document)
    assert caught.value.fields["field"] == "case_document.mode"


def test_layers_that_were_stored_without_a_score_are_still_read() -> None:
    old = {"name": "effect", "status": "failed", "detail": "no", "span": [3, 9]}
    assert Layer.from_document(old) == Layer("effect", LayerStatus.FAILED, "no", (3, 9))
    layer = Layer("effect", LayerStatus.FAILED, "no", (3, 9), 0.25, 2)
    assert Layer.from_document(json.loads(json.dumps(layer.to_document()))) == layer


async def test_scores_travel_to_the_wire_and_are_absent_where_a_layer_does_not_apply() -> None:
    verdict = await judged(PROFILE.reference_answer(CASE), "")
    for layer, message in zip(verdict.layers, verdict_to_proto(verdict).layers, strict=True):
        assert message.HasField("score") is (layer.status is not LayerStatus.NOT_APPLICABLE)
        assert message.turn == 0
        assert not message.HasField("score") or message.score == layer.score == 1.0


@pytest.mark.parametrize("wanted", [VerdictFilter(tool="raed_file"), VerdictFilter(category="klingon")])
async def test_a_tool_or_kind_that_no_verdict_has_is_refused_with_those_there_are(wanted: VerdictFilter) -> None:
    bench = Bench()
    evaluation_id = await bench.evaluated(subject())
    with pytest.raises(InvalidArgument, match="read_file"):
        await bench.verdicts.list_verdicts(evaluation_id, wanted, page_size=0, page_token="")


async def test_names_that_no_verdict_has_together_are_an_empty_list() -> None:
    bench = Bench()
    evaluation_id = await bench.evaluated(subject(), wrong=(1,))
    wanted = VerdictFilter(tool=CASES[1].tool, cause="no_call")
    assert CASES[1].tool != CASES[0].tool
    assert (await bench.verdicts.list_verdicts(evaluation_id, wanted, page_size=0, page_token=""))[0] == []
