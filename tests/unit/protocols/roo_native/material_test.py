import json

import pytest

from services.protocols.cases import CaseError, case_from_document, case_to_document
from services.protocols.contract import UnknownPromptSize
from services.protocols.roo.modes import BUILT_IN_MODES
from services.protocols.roo_native.definitions import definitions, offered_tools, schema_of
from services.protocols.roo_native.profile import PROFILE
from services.protocols.roo_native.tools import DEFAULT_TOOLS, OPT_IN_EDIT_TOOLS, TOOLS
from services.protocols.roo_native.turn import replies
from services.protocols.turn import Answer, ClientState, ToolCall

CASES = [
    *PROFILE.suites()[0].cases,
    *PROFILE.draw(11, 65, categories=("single_call",)),
    *PROFILE.draw(2, 26, split="probe", categories=("single_call",)),
]


def test_every_reference_conforms() -> None:
    wrong = []
    for case in CASES:
        PROFILE.check_case(case)
        verdict = PROFILE.judge(case, PROFILE.read_answer(PROFILE.reference_answer(case)))
        if not (verdict.conforming and verdict.accepted and verdict.well_formed):
            wrong.append((case.case_id, verdict.sentence))
    assert wrong == []


def test_the_suite_and_the_pool_cover_every_drilled_tool() -> None:
    assert {case.tool for case in PROFILE.suites()[0].cases} == set(PROFILE.tools)
    assert {case.tool for case in PROFILE.draw(1, 26, categories=("single_call",))} == set(PROFILE.tools)


def test_cases_survive_their_document_form() -> None:
    for case in CASES[::7]:
        document = case_to_document(case)
        assert case_to_document(case_from_document(json.loads(json.dumps(document)))) == json.loads(
            json.dumps(document)
        )


def test_several_files_become_several_calls() -> None:
    both = [case for case in CASES if case.category in ("read_file.two", "single_call.read_file_two")]
    assert both and all(len(case.expected.due) == 2 for case in both)


def test_a_case_with_an_unknown_tool_or_mode_is_refused() -> None:
    case = CASES[0]
    document = case_to_document(case)
    for field, change in (
        ("mode", {"mode": "nowhere"}),
        ("expected.tool", {"tool": "zzz", "expected": {**document["expected"], "tool": "zzz"}}),
    ):  # type: ignore[dict-item]
        with pytest.raises(CaseError) as caught:
            PROFILE.check_case(case_from_document({**document, **change}))
        assert caught.value.field == field


def test_a_full_example_has_calls_and_tools_beside_the_text() -> None:
    case = next(case for case in CASES if case.tool == "use_mcp_tool")
    example = PROFILE.example(case, "full")
    assert [message["role"] for message in example["messages"]] == ["system", "user", "assistant"]
    call = example["messages"][2]["tool_calls"][0]["function"]
    assert call["name"] in [tool["function"]["name"] for tool in example["tools"]]  # type: ignore[index]
    assert case.task in example["messages"][1]["content"]


def test_a_compact_example_is_text_alone() -> None:
    case = next(case for case in CASES if case.tool == "use_mcp_tool")
    example = PROFILE.example(case, "compact")
    assert example["messages"][2] == {"role": "assistant", "content": case.reference}
    assert "tools" not in example and PROFILE.tools_for(case, "compact") == []
    assert "mcp--" in example["messages"][1]["content"]


def test_each_mode_is_offered_its_own_functions() -> None:
    code = ("read_file", "search_files", "list_files", "apply_diff", "write_to_file", "execute_command")
    assert set(code) <= set(offered_tools(BUILT_IN_MODES["code"]))
    assert len(offered_tools(BUILT_IN_MODES["code"])) == 13
    assert not {"apply_diff", "execute_command"} & set(offered_tools(BUILT_IN_MODES["ask"]))
    assert "read_file" not in offered_tools(BUILT_IN_MODES["orchestrator"])
    assert "edit" in offered_tools(BUILT_IN_MODES["code"], ("search_and_replace",))


def test_servers_functions_come_last_and_only_where_the_mode_has_them() -> None:
    case = next(case for case in CASES if case.mcp)
    names = [tool["function"]["name"] for tool in definitions(BUILT_IN_MODES["code"], case.mcp)]  # type: ignore[index]
    assert names[-1].startswith(f"mcp--{case.mcp[-1].name}--")
    assert len(definitions(BUILT_IN_MODES["orchestrator"], case.mcp)) == len(
        offered_tools(BUILT_IN_MODES["orchestrator"])
    )


@pytest.mark.parametrize("mode", BUILT_IN_MODES)
def test_the_prompts_have_the_length_of_the_real_ones(mode: str) -> None:
    case = case_from_document({**case_to_document(CASES[0]), "mode": mode})
    system = PROFILE.messages(case, "full")[0]["content"]
    assert 11_000 < len(system) < 18_000
    assert len(json.dumps(PROFILE.tools_for(case))) < 24_000
    assert len(PROFILE.messages(case, "compact")[0]["content"]) < 3_000


def test_definitions_are_json_schemas_of_which_the_strict_ones_close_every_object() -> None:
    for tool in definitions(BUILT_IN_MODES["code"], ()):
        function = tool["function"]
        assert function["strict"] is True and function["description"]  # type: ignore[index]
        parameters = function["parameters"]  # type: ignore[index]
        assert parameters["additionalProperties"] is False
        assert set(parameters["required"]) <= set(parameters["properties"])


@pytest.mark.parametrize("tool", [*DEFAULT_TOOLS, *OPT_IN_EDIT_TOOLS, "codebase_search", "access_mcp_resource"])
def test_a_tool_is_described_with_the_arguments_that_the_client_reads(tool: str) -> None:
    schema, arguments = schema_of(tool), TOOLS[tool].arguments
    assert list(schema.properties) == list(arguments)
    assert {name for name, argument in arguments.items() if argument.need} <= {*schema.required}


def test_an_unknown_prompt_size_is_refused() -> None:
    with pytest.raises(UnknownPromptSize, match="compact, full"):
        PROFILE.messages(CASES[0], "huge")
    with pytest.raises(UnknownPromptSize):
        PROFILE.tools_for(CASES[0], "huge")


def test_each_call_gets_a_result_and_the_user_the_environment() -> None:
    state = ClientState(files={"a": "x"})
    outcome = PROFILE.take_turn(
        state,
        Answer(
            "", (ToolCall("update_todo_list", '{"todos": "[-] a"}', "i1"), ToolCall("read_file", '{"path": "a"}', "i2"))
        ),
    )
    found = replies(state, outcome)
    assert [(message["role"], message.get("tool_call_id")) for message in found] == [
        ("tool", "i1"),
        ("tool", "i2"),
        ("user", None),
    ]
    assert found[1]["content"] == "File: a\n1 | x"
    assert "| 1 | a | In Progress |" in found[2]["content"] and "<slug>code</slug>" in found[2]["content"]


def test_an_answer_without_a_call_is_told_so_and_guided_at_the_limit() -> None:
    state = ClientState(mistakes=2, turns_without_tool=1)
    (message,) = replies(state, PROFILE.take_turn(state, Answer("Hello.")))
    assert message["role"] == "user" and "called no function" in message["content"]
    assert state.mistakes == 3 and "The user says" in message["content"]
    assert replies(state, PROFILE.take_turn(state, Answer(""))) == []


def test_a_result_that_says_nothing_is_said_to_be_none() -> None:
    state = ClientState()
    outcome = PROFILE.take_turn(state, Answer("", (ToolCall("attempt_completion", '{"result": "r"}', "i"),)))
    assert replies(state, outcome)[0]["content"] == "(The tool returned nothing.)"
