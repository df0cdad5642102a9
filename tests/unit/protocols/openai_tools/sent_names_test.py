"""Names of functions beside the messages, and back."""

import json
import re
from dataclasses import replace

import pytest

from services.protocols.cases import Case, CaseError, Expected, Goal
from services.protocols.openai_tools.parse import written_call
from services.protocols.openai_tools.profile import PROFILE
from services.protocols.session import Session, call_key, judge_session
from services.protocols.turn import Answer, ToolCall

SCHEMA = {"type": "object", "properties": {"sku": {"type": "string"}}, "required": ["sku"]}


def tool(name: str) -> dict[str, object]:
    return {"type": "function", "function": {"name": name, "description": "x", "parameters": SCHEMA}}


CASE = Case(
    *("c", "k", "stock.reserve", "", "Please.", Expected("stock.reserve", {"sku": "S"}), "t"),
    reference=written_call("stock.reserve", {"sku": "S"}),
    tools=(tool("stock.find"), tool("stock.reserve"), tool("3d-view")),
)
SILENT = replace(CASE, tool="no_call", expected=Expected("no_call", no_call=True))


def call(name: str) -> ToolCall:
    return ToolCall(name, '{"sku": "S"}')


def names_beside(prompt_size: str) -> list[str]:
    return [str(one["function"]["name"]) for one in PROFILE.tools_for(CASE, prompt_size)]  # type: ignore[index]


def test_names_beside_the_messages_hold_only_what_servers_take() -> None:
    assert names_beside("bare") == names_beside("") == ["stock_find", "stock_reserve", "3d-view"]
    assert all(re.fullmatch("[A-Za-z0-9_-]{1,64}", name) for name in names_beside("bare"))
    assert CASE.tools[0]["function"]["name"] == "stock.find"  # type: ignore[index]
    assert names_beside("full") == []
    assert '"stock.find"' in PROFILE.messages(CASE, "full")[0]["content"]


@pytest.mark.parametrize("name", ["stock_reserve", "stock.reserve"])
def test_a_call_by_either_name_is_that_of_the_function(name: str) -> None:
    for answer in (Answer("", (call(name),)), PROFILE.read_answer(written_call(name, {"sku": "S"}))):
        verdict = PROFILE.judge(CASE, answer)
        assert (verdict.conforming, verdict.tool) == (True, "stock.reserve")
    assert not PROFILE.judge(CASE, Answer("", (call(name.replace("reserve", "find")),))).conforming
    assert PROFILE.judge(SILENT, Answer(f'{{"name": "{name}"')).cause == "needless_call"


@pytest.mark.parametrize("name", ["stock-reserve", "stockreserve", "Stock_reserve", "reserve", "stock__reserve"])
def test_other_names_are_unknown(name: str) -> None:
    assert PROFILE.judge(CASE, Answer("", (call(name),))).cause == "unknown_tool"


@pytest.mark.parametrize("name", ["stock_find", "stock.find"])
def test_a_session_answers_and_counts_the_call_as_the_functions_own(name: str) -> None:
    due = Expected("stock.find", {"sku": "S"})
    case = replace(
        CASE, max_turns=3, goal=Goal(calls=(due,)), results={call_key("stock.find", {"sku": "S"}): '{"free": 3}'}
    )
    session = Session(PROFILE, case, "bare")
    session.answer(Answer("", (call(name),)))
    assert session.messages[-1]["content"] == '{"free": 3}'
    session.answer(Answer("There are three."))
    assert judge_session(PROFILE, case, session.transcript()).conforming


def test_rows_and_earlier_turns_have_the_names_that_are_sent() -> None:
    example = PROFILE.example(CASE, "bare")
    assert example["messages"][-1]["tool_calls"][0]["function"]["name"] == "stock_reserve"
    assert example["tools"] == PROFILE.tools_for(CASE, "bare")
    earlier = replace(CASE, history=(Answer("", (call("stock.find"),)),))
    said = {size: json.dumps(PROFILE.messages(earlier, size)) for size in ("bare", "compact")}
    assert '"name": "stock_find"' in said["bare"] and "stock.find" not in said["bare"]
    assert "stock.find" in said["compact"] and "stock_find" not in said["compact"]


@pytest.mark.parametrize("other", ["stock_find", "stock.find"])
def test_two_names_that_become_one_are_refused(other: str) -> None:
    with pytest.raises(CaseError) as caught:
        PROFILE.check_case(replace(CASE, tools=(*CASE.tools, tool(other))))
    assert caught.value.field == "tools[3].function.name"
    assert "stock.find" in str(caught.value)
