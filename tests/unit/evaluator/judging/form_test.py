"""The form of answers to what clients really asked, judged without a case."""

from __future__ import annotations

import json

import pytest

from services.chassis.errors import InvalidArgument
from services.evaluator.domain.verdict import Verdict
from services.evaluator.usecases.judgements import AnswerToJudge, JudgementUseCases
from services.protocols.profile import get_profile

TOOL = json.dumps(
    {
        "type": "function",
        "function": {"name": "look", "parameters": {"properties": {"at": {"type": "string"}}, "required": ["at"]}},
    }
)


async def verdict_on(profile_id: str, answer: str, tools: tuple[str, ...] = (), finish_reason: str = "stop") -> Verdict:
    asked = AnswerToJudge(profile_id, "", answer, finish_reason=finish_reason, tools=tools)
    return await JudgementUseCases().judge(asked)


@pytest.mark.parametrize("profile_id", ["roo_xml", "roo_native"])
async def test_a_right_answer_to_any_task_has_the_right_form(profile_id: str) -> None:
    profile = get_profile(profile_id)
    for case in profile.draw(3, 40, tools=profile.tools):
        if not case.mcp and not case.custom_modes:
            verdict = await verdict_on(profile_id, profile.reference_answer(case))
            assert (verdict.conforming, verdict.cause) == (True, ""), (case.case_id, verdict.sentence)


@pytest.mark.parametrize(
    ("answer", "cause"),
    [
        ('<tool_call>{"name": "look", "arguments": {"at": "x"}}</tool_call>', ""),
        ("There is nothing to look at.", ""),
        ('<tool_call>{"name": "look", "arguments": {}}</tool_call>', "missing_parameter"),
        ('<tool_call>{"name": "look", "arguments": {"at": 3}}</tool_call>', "bad_value"),
        ('<tool_call>{"name": "listen", "arguments": {}}</tool_call>', "unknown_tool"),
        ('<tool_call>{"name": "look", "argum', "wrong_format"),
    ],
)
async def test_a_call_has_the_form_of_the_functions_that_were_offered(answer: str, cause: str) -> None:
    verdict = await verdict_on("openai_tools", answer, (TOOL,))
    assert (verdict.conforming, verdict.cause) == (not cause, cause), verdict.sentence


async def test_roo_asks_for_a_call_in_each_answer() -> None:
    verdict = await verdict_on("roo_xml", "It is done.")
    assert (verdict.conforming, verdict.cause) == (False, "no_call")


@pytest.mark.parametrize(("profile_id", "tools"), [("text", ()), ("openai_tools", ("{}",)), ("openai_tools", ("[",))])
async def test_what_has_no_form_of_calls_is_refused(profile_id: str, tools: tuple[str, ...]) -> None:
    with pytest.raises(InvalidArgument, match="Without a case"):
        await verdict_on(profile_id, "<tool_call>{}</tool_call>", tools)
