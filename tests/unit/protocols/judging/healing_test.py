"""An answer that fails is mended with as little of a right answer as lets it conform."""

from __future__ import annotations

import json

from services.protocols.cases import Case
from services.protocols.judging.healing import healed
from services.protocols.profile import Profile, get_profile
from services.protocols.turn import Answer, Message, ToolCall


def case_of(profile: Profile, tool: str) -> Case:
    return next(case for case in profile.suites()[0].cases if case.tool == tool)


def mended(profile: Profile, case: Case, own: Message, right: Message) -> Message:
    def conforms(message: Message) -> bool:
        calls = [
            ToolCall(call["function"]["name"], call["function"]["arguments"]) for call in message.get("tool_calls", ())
        ]
        answer = Answer(message["content"], tuple(calls)) if calls else profile.read_answer(message["content"])
        return profile.judge(case, answer).conforming

    assert conforms(right) and not conforms(own)
    result = healed(own, right, conforms)
    assert conforms(result)
    return result


def test_what_the_client_does_not_mind_stays_and_what_fails_is_mended() -> None:
    profile = get_profile("roo_xml")
    case = case_of(profile, "list_files")
    right = profile.example(case, "compact")["messages"][-1]
    own: Message = {**right, "content": "I look there.\n" + right["content"].replace("<path>", "<path>no/")}
    assert mended(profile, case, own, right)["content"] == "I look there.\n" + right["content"]
    twice: Message = {**right, "content": 2 * right["content"]}
    assert mended(profile, case, twice, right) == right


def test_calls_beside_the_text_are_mended_where_they_are_of_the_same_functions() -> None:
    profile = get_profile("roo_native")
    case = case_of(profile, "switch_mode")
    right = profile.example(case, "full")["messages"][-1]
    (call,) = right["tool_calls"]
    arguments = {**json.loads(call["function"]["arguments"]), "mode_slug": "nowhere"}
    wrong = {**call["function"], "arguments": json.dumps(arguments)}
    own: Message = {**right, "content": "Another mode.", "tool_calls": [{**call, "function": wrong}]}  # type: ignore[typeddict-item]
    result = mended(profile, case, own, right)
    assert result["content"] == "Another mode."
    assert (
        json.loads(result["tool_calls"][0]["function"]["arguments"])["mode_slug"]
        == case.expected.due[0].arguments["mode_slug"]
    )
    other = {**call["function"], "name": "read_file"}
    assert mended(profile, case, {**own, "tool_calls": [{**call, "function": other}]}, right) == right  # type: ignore[typeddict-item]


def test_long_answers_are_not_compared() -> None:
    right: Message = {"role": "assistant", "content": "right"}
    long: Message = {"role": "assistant", "content": "wrong\n" * 450}
    assert healed(long, right, lambda _: True) == right
