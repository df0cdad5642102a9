"""Transcripts of several turns: judged as the simulated client judges them in process."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import cache

import pytest
from drillyard.evaluator.v1 import verdict_pb2
from drillyard.test_runner.v1.transcript_pb2 import Message, ToolCall

from services.chassis.errors import InvalidArgument
from services.evaluator.convert import answer_from_proto
from services.evaluator.domain.verdict import Verdict
from services.evaluator.judging.answers import Judge
from services.evaluator.ports import AnswerEnd, GivenAnswer, Transcript
from services.evaluator.usecases.judgements import AnswerToJudge
from services.protocols.cases import Case, case_to_document
from services.protocols.openai_tools.parse import as_functions
from services.protocols.profile import BUILT_IN, Profile, get_profile
from services.protocols.session import Session, judge_session
from services.protocols.turn import Answer
from services.protocols.verdict import LayerStatus
from services.protocols.verdict import Verdict as ProtocolVerdict
from tests.unit.evaluator.bench import Bench

ROO_XML, ROO_NATIVE = get_profile("roo_xml"), get_profile("roo_native")


@cache
def cases(profile_id: str) -> tuple[Case, ...]:
    """Cases of several turns."""
    found = get_profile(profile_id).draw(3, 60)
    return tuple(case for case in found if case.max_turns > 1)[:6]


def recovery() -> Case:
    return next(case for case in ROO_XML.draw(3, 60, categories=["recovery"]) if case.max_turns == 1)


def given(answers: Sequence[Answer]) -> tuple[GivenAnswer, ...]:
    return tuple(GivenAnswer(one.text, AnswerEnd(one.finish_reason), one.calls) for one in answers)


def judged(profile: Profile, case: Case, answers: Sequence[GivenAnswer]) -> Verdict:
    return Judge(profile, profile.prompt_sizes[0]).judge(case, Transcript(1, "t-1", case.case_id, 0, tuple(answers)))


def in_process(profile: Profile, case: Case, answers: Sequence[Answer]) -> ProtocolVerdict:
    session = Session(profile, case, profile.prompt_sizes[0])
    for answer in answers:
        if session.stop:
            break
        session.answer(answer)
    return judge_session(profile, case, session.transcript())


def spoiled(answers: Sequence[Answer]) -> dict[str, list[Answer]]:
    plain = Answer("I would rather talk.")
    return {
        "as it should be": [*answers],
        "one answer short": [*answers[:-1]],
        "talks first": [plain, *answers],
        "talks till it is stopped": [plain] * 9,
        "the same again and again": [answers[0]] * 6,
        "cut at the end": [*answers[:-1], replace(answers[-1], finish_reason="length")],
    }


@pytest.mark.parametrize("profile", [ROO_XML, ROO_NATIVE], ids=lambda profile: profile.id)
def test_a_transcript_of_several_turns_is_judged_as_the_client_in_process_judges_it(profile: Profile) -> None:
    for case in cases(profile.id):
        for answers in spoiled(case.solution).values():
            found, expected = judged(profile, case, given(answers)), in_process(profile, case, answers)
            assert (found.conforming, found.accepted, found.well_formed) == (
                *(expected.conforming, expected.accepted, expected.well_formed),
            )
            assert (found.cause, found.sentence) == (expected.cause or "", expected.sentence)
            assert [(one.name, one.status, one.turn) for one in found.layers] == [
                (one.name, one.status, one.turn) for one in expected.layers
            ]


def test_solutions_conform_and_count_their_turns() -> None:
    case = cases("roo_xml")[0]
    found = judged(ROO_XML, case, given(case.solution))
    assert (found.conforming, found.num_turns, found.scores["done"]) == (True, len(case.solution), 1.0)


def test_native_calls_beside_the_text_are_judged_as_calls() -> None:
    case = cases("roo_native")[0]
    assert any(answer.calls for answer in case.solution)
    assert judged(ROO_NATIVE, case, given(case.solution)).conforming
    lost = [replace(one, calls=()) for one in given(case.solution)]
    assert not judged(ROO_NATIVE, case, lost).conforming


@pytest.mark.parametrize(
    ("end", "cause"),
    [
        (AnswerEnd.CONTEXT_OVERFLOW, "truncated_by_limit"),
        (AnswerEnd.BACKEND_FAULT, "backend_fault"),
        (AnswerEnd.TEMPLATE_FAULT, "template_fault"),
    ],
)
def test_a_fault_in_a_later_turn_names_that_turn(end: AnswerEnd, cause: str) -> None:
    case = cases("roo_xml")[0]
    broken = GivenAnswer("", end, num_prompt_tokens=9000, detail="It says 9000 and 96 of 8192.")
    found = judged(ROO_XML, case, [*given(case.solution[:1]), broken])
    failed = next(layer for layer in found.layers if layer.status is LayerStatus.FAILED)
    assert (found.cause, failed.turn, found.num_turns) == (cause, 1, 1)
    assert "It says 9000 and 96 of 8192." in found.sentence


def test_a_prompt_that_is_too_long_is_told_with_its_number_when_nothing_more_is_known() -> None:
    case = cases("roo_xml")[0]
    found = judged(ROO_XML, case, [GivenAnswer("", AnswerEnd.CONTEXT_OVERFLOW, num_prompt_tokens=9000)])
    assert "The prompt of 9000 tokens and its answer do not fit" in found.sentence


def test_an_error_that_a_later_answer_has_to_mend_is_noted() -> None:
    case = cases("roo_xml")[0]
    plain = Answer("I would rather talk.")
    assert not judged(ROO_XML, case, given(case.solution)).had_client_error
    assert judged(ROO_XML, case, given([plain, *case.solution])).had_client_error


def test_an_error_in_a_cases_history_is_one_to_recover_from() -> None:
    case = recovery()
    assert case.history
    found = judged(ROO_XML, case, [GivenAnswer(ROO_XML.reference_answer(case))])
    assert (found.conforming, found.had_client_error) == (True, True)


@pytest.mark.parametrize(
    ("spoil", "expected"),
    [
        (lambda answer: answer, {"format": 1.0, "tool": 1.0, "arguments": 1.0}),
        (lambda answer: "no", {"format": 0.0, "tool": 0.0, "arguments": 0.0}),
        (lambda answer: f"{answer}\nDone.", {"format": 6 / 7, "tool": 1.0, "arguments": 1.0}),
    ],
)
def test_reward_components_are_kept_apart(spoil: Callable[[str], str], expected: dict[str, float]) -> None:
    case = next(one for one in ROO_XML.draw(1, 13, categories=("single_call",)) if one.tool == "read_file")
    found = judged(ROO_XML, case, [GivenAnswer(spoil(ROO_XML.reference_answer(case)))])
    assert found.scores == pytest.approx(expected)


def test_plain_text_has_the_score_of_its_scorer() -> None:
    text = get_profile("text")
    [*cases_of_text] = text.suites()[0].cases
    case = next(one for one in cases_of_text if one.scoring and one.scoring.scorer != "none")
    assert case.scoring is not None
    right = judged(text, case, [GivenAnswer(text.reference_answer(case))])
    wrong = judged(text, case, [GivenAnswer("zxq")])
    assert (right.conforming, dict(right.scores)) == (True, {case.scoring.scorer: 1.0})
    assert wrong.scores[case.scoring.scorer] < 1 and not wrong.conforming


def test_only_an_answer_with_nothing_else_wrong_is_said_to_be_curable() -> None:
    case = next(one for one in ROO_XML.draw(1, 13, categories=("single_call",)) if one.tool == "read_file")
    right = ROO_XML.reference_answer(case)
    curable = judged(ROO_XML, case, [GivenAnswer(f"{right}\nDone.")])
    assert (curable.fault, curable.layer, curable.is_sole) == ("text_after", "one_and_last", True)
    wrong = judged(ROO_XML, case, [GivenAnswer(f"{right.replace('<path>', '<path>x')}\nDone.")])
    assert (wrong.fault, wrong.is_sole) == ("text_after", False)
    assert not judged(ROO_XML, case, [GivenAnswer("no")]).is_sole


async def test_the_judge_takes_the_answers_of_several_turns() -> None:
    case = cases("roo_xml")[0]
    texts = [answer.text for answer in case.solution]
    asked = AnswerToJudge("roo_xml", json.dumps(case_to_document(case)), texts[0], "", tuple(texts[1:]))
    assert (await Bench().judgements.judge(asked)).conforming
    with pytest.raises(InvalidArgument) as caught:
        await Bench().judgements.judge(replace(asked, further_answers=("more",) * case.max_turns))
    assert caught.value.fields["field"] == "further_answers"


def drawn(profile_id: str) -> tuple[tuple[Case, tuple[Answer, ...]], ...]:
    """Cases of one turn and of several, with the answers that solve them."""
    profile = get_profile(profile_id)
    categories = profile.categories
    cases = list(profile.draw(5, 2 * len(categories))) if categories else list(profile.suites()[0].cases[:8])
    return tuple((case, case.solution or (profile.read_answer(profile.reference_answer(case)),)) for case in cases)


@pytest.mark.parametrize("profile_id", BUILT_IN)
async def test_messages_with_calls_are_judged_as_the_library_judges_them_in_process(profile_id: str) -> None:
    profile, judgements = get_profile(profile_id), Bench().judgements
    for case, solution in drawn(profile_id):
        beside = tuple(map(as_functions, solution))
        for answers in (solution, beside, (Answer("I would rather talk."), *solution[1:])):
            document = json.dumps(case_to_document(case))
            request = verdict_pb2.JudgeRequest(profile_id=profile_id, case_document=document)
            request.messages.extend(map(message_of, answers))
            judgement = await judgements.judge(answer_from_proto(request))
            is_single = case.max_turns == 1 and case.goal is None
            # Calls in the text and calls beside it are the same answer.
            same = solution if answers == beside else answers
            library = profile.judge(case, same[0]) if is_single else in_process(profile, case, same)
            assert (judgement.conforming, judgement.sentence) == (library.conforming, library.sentence)
            layers = [(layer.name, layer.status, layer.turn) for layer in judgement.layers]
            assert layers == [(layer.name, layer.status, layer.turn) for layer in library.layers]
            if not any(map(native, answers)):
                texts = [answer.text for answer in answers]
                asked = AnswerToJudge(profile_id, document, texts[0], "", tuple(texts[1:]))
                assert await judgements.judge(asked) == judgement


def native(answer: Answer) -> bool:
    return any(call.span is None for call in answer.calls)


def message_of(answer: Answer) -> Message:
    calls = [
        ToolCall(tool_call_id=call.call_id, name=call.name, arguments=call.arguments)
        for call in answer.calls
        if call.span is None
    ]
    return Message(role="assistant", content=answer.text, tool_calls=calls)


async def test_what_is_no_answer_of_the_model_is_refused_naming_the_message() -> None:
    document = json.dumps(case_to_document(recovery()))
    request = verdict_pb2.JudgeRequest(profile_id="roo_xml", case_document=document)
    request.messages.add(role="assistant", content="x")
    for change, field in ((Message(role="user", content="y"), "messages[1].role"), (request.messages[0], "messages")):
        refused = verdict_pb2.JudgeRequest()
        refused.CopyFrom(request)
        refused.messages.append(change)
        with pytest.raises(InvalidArgument) as caught:
            await Bench().judgements.judge(answer_from_proto(refused))
        assert caught.value.fields["field"] == field
    request.answer = "x"
    with pytest.raises(InvalidArgument, match="both as texts and as messages"):
        await Bench().judgements.judge(answer_from_proto(request))


def test_broken_rules_of_style_are_noted_and_change_nothing_else() -> None:
    case = next(ROO_XML.draw(1, 1, categories=("single_call",)))
    plain, chatty = (
        judged(ROO_XML, case, [GivenAnswer(f"{opening}{case.reference}", AnswerEnd.STOP)])
        for opening in ("", "Great, that is clear.\n")
    )
    assert plain.style_notes == ()
    assert len(chatty.style_notes) == 1
    assert replace(chatty, style_notes=(), layers=()) == replace(plain, layers=())
