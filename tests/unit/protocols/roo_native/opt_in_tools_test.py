"""The editing tools that only a model's own settings bring in."""

import json
from dataclasses import replace
from typing import Any

import pytest

from services.protocols.cases import Case, CaseError, Expected, Goal, case_from_document, case_to_document
from services.protocols.profile import get_profile
from services.protocols.roo_native.profile import RooNative
from services.protocols.session import Session, judge_session
from services.protocols.turn import Answer, ToolCall
from services.protocols.verdict import Cause, Fault, LayerName, Verdict

PROFILE = RooNative()
USUAL = ("apply_diff", "write_to_file")
PATCH = "*** Begin Patch\n*** Update File: a.py\n@@\n-one\n+two\n*** End Patch"
CALLS: dict[str, dict[str, Any]] = {
    "edit": {"file_path": "a.py", "old_string": "one", "new_string": "two"},
    "search_replace": {"file_path": "a.py", "old_string": "one", "new_string": "two"},
    "edit_file": {"file_path": "a.py", "old_string": "one", "new_string": "two", "expected_replacements": 1},
    "apply_patch": {"patch": PATCH},
}


def case_of(tool: str, **fields: Any) -> Case:
    settings = {"mode": "code", "included_tools": (tool,), "excluded_tools": USUAL, **fields}
    return Case(
        case_id="c1",
        category="edit",
        tool=tool,
        task="Make one two.",
        expected=Expected(tool, CALLS[tool], {"a.py": "two\n"}),
        template="t",
        reference="r",
        files={"a.py": "one\n"},
        **settings,
    )


def judged(case: Case, tool: str, **arguments: Any) -> Verdict:
    return PROFILE.judge(case, Answer(calls=(ToolCall(tool, json.dumps(arguments)),)))


def names(case: Case) -> set[str]:
    functions = [tool["function"] for tool in PROFILE.tools_for(case, "full")]
    return {function["name"] for function in functions if isinstance(function, dict)}


@pytest.mark.parametrize("tool", CALLS)
def test_an_included_tool_is_offered_and_does_its_work(tool: str) -> None:
    case = case_of(tool)
    PROFILE.check_case(case)
    assert tool in names(case)
    assert not {*CALLS, *USUAL} & names(case) - {tool}
    verdict = judged(case, tool, **CALLS[tool])
    assert (verdict.conforming, verdict.accepted) == (True, True), verdict.sentence


@pytest.mark.parametrize("tool", CALLS)
def test_without_the_setting_it_is_neither_offered_nor_run(tool: str) -> None:
    case = case_of(tool, included_tools=(), excluded_tools=())
    assert set(USUAL) <= names(case)
    assert tool not in names(case)
    verdict = judged(case, tool, **CALLS[tool])
    assert (verdict.cause, verdict.accepted) == (Cause.FORBIDDEN_TOOL, False)


def test_an_excluded_tool_is_not_offered_though_the_client_would_run_it() -> None:
    verdict = judged(case_of("edit"), "write_to_file", path="a.py", content="two\n")
    assert (verdict.cause, verdict.accepted) == (Cause.FORBIDDEN_TOOL, True)


def test_an_alias_brings_in_the_tool_under_its_own_name() -> None:
    case = case_of("edit", included_tools=("search_and_replace",))
    PROFILE.check_case(case)
    assert judged(case, "edit", **CALLS["edit"]).conforming


@pytest.mark.parametrize("tool", CALLS)
def test_the_compact_prompt_shows_what_the_settings_change(tool: str) -> None:
    user = PROFILE.messages(case_of(tool), "compact")[-1]["content"]
    shown = user.partition("# Functions of This Model\n\n")[2]
    assert shown.startswith(f'{tool} {{"')
    assert "Not offered here: apply_diff, write_to_file\n\n<environment_details>" in shown
    assert "Functions of This Model" not in PROFILE.messages(case_of(tool), "full")[-1]["content"]
    plain = case_of(tool, included_tools=(), excluded_tools=())
    assert "Functions of This Model" not in PROFILE.messages(plain, "compact")[-1]["content"]


def test_the_compact_prompt_shows_additions_and_omissions_each_by_itself() -> None:
    added = PROFILE.messages(case_of("edit", excluded_tools=()), "compact")[-1]["content"]
    assert "# Functions of This Model\n\nedit {" in added
    assert "Not offered here" not in added
    missing = PROFILE.messages(case_of("edit", included_tools=()), "compact")[-1]["content"]
    assert "# Functions of This Model\n\nNot offered here: apply_diff, write_to_file\n\n<env" in missing


@pytest.mark.parametrize("tool", CALLS)
def test_the_form_that_the_compact_prompt_shows_is_valid(tool: str) -> None:
    user = PROFILE.messages(case_of(tool), "compact")[-1]["content"]
    form = next(line for line in user.split("\n") if line.startswith(f"{tool} {{"))
    assert judged(case_of(tool), tool, **json.loads(form.partition(" ")[2])).well_formed


@pytest.mark.parametrize("tool", CALLS)
def test_a_mode_that_may_not_edit_the_path_refuses_an_included_tool(tool: str) -> None:
    verdict = judged(case_of(tool, mode="architect"), tool, **CALLS[tool])
    assert (verdict.cause, verdict.accepted) == (Cause.FORBIDDEN_TOOL, False)
    assert next(layer.fault for layer in verdict.layers if layer.fault) is Fault.FILE_PATTERN
    assert verdict.sentence == "The mode architect may not edit a.py."


@pytest.mark.parametrize(
    ("tool", "changed", "layer", "fault"),
    [
        ("edit", {"old_string": "o"}, LayerName.EFFECT, Fault.SEVERAL_MATCHES),
        ("edit_file", {"old_string": "o"}, LayerName.EFFECT, Fault.COUNT_MISMATCH),
        ("edit_file", {"old_string": ""}, LayerName.EFFECT, Fault.FILE_EXISTS),
        ("apply_patch", {"patch": PATCH.removesuffix("*** End Patch")}, LayerName.VALID_VALUES, Fault.DIFF_FORM),
    ],
)
def test_a_wrong_answer_after_a_history_is_blamed_on_its_own_layer(
    tool: str, changed: dict[str, str], layer: LayerName, fault: Fault
) -> None:
    read = Answer(calls=(ToolCall("read_file", '{"path": "a.py"}'),))
    files = {"a.py": "one, o\n"}
    expected = Expected(tool, CALLS[tool])
    case = replace(case_of(tool), files=files, expected=expected, history=(read,))
    verdict = judged(case, tool, **{**CALLS[tool], **changed})
    found = {layer.name: layer.fault for layer in verdict.layers if layer.fault}
    assert found.get(layer) is fault, found


HALF = PATCH.replace("*** End Patch", "*** Add File: b.py\n+x\n*** End Patch")


def test_a_patch_that_is_done_in_part_does_not_conform_though_its_first_operation_did() -> None:
    files = {"a.py": "one\n", "b.py": ""}
    verdict = judged(replace(case_of("apply_patch"), files=files), "apply_patch", patch=HALF)
    found = {layer.name: layer.fault for layer in verdict.layers if layer.fault}
    assert (verdict.conforming, verdict.accepted, found[LayerName.EFFECT]) == (False, True, Fault.SOME_PARTS_FAILED)
    assert judged(case_of("apply_patch"), "apply_patch", patch=HALF).conforming


@pytest.mark.parametrize(("files", "is_done"), [({"a.py": "one\n", "b.py": ""}, False), ({"a.py": "one\n"}, True)])
def test_a_session_blames_a_patch_that_is_done_in_part(files: dict[str, str], is_done: bool) -> None:
    goal = Goal(files={"a.py": "two\n"}, calls=(Expected("apply_patch", {"patch": HALF}),))
    case = replace(case_of("apply_patch"), files=files, expected=Expected("apply_patch"), max_turns=3, goal=goal)
    session = Session(PROFILE, case, "compact")
    for name, arguments in (("apply_patch", {"patch": HALF}), ("attempt_completion", {"result": "Done."})):
        session.answer(Answer(calls=(ToolCall(name, json.dumps(arguments), "c1"),)))
    layers = {layer.name: layer.fault for layer in judge_session(PROFILE, case, session.transcript()).layers}
    assert layers[LayerName.EFFECT] is (None if is_done else Fault.SOME_PARTS_FAILED)
    assert layers[LayerName.RIGHT_TOOL] is (None if is_done else Fault.WRONG_TOOL)


def test_the_settings_survive_the_document_and_default_to_nothing() -> None:
    case = case_of("edit")
    assert case_from_document(case_to_document(case)) == case
    plain = case_to_document(case_of("edit", included_tools=(), excluded_tools=()))
    assert not {"included_tools", "excluded_tools"} & set(plain)


@pytest.mark.parametrize(
    ("fields", "place"),
    [
        ({"included_tools": ("edit", "apply_diff")}, r"included_tools\[1\]: 'apply_diff' is no opt-in tool"),
        ({"included_tools": ("write_file",)}, r"included_tools\[0\]"),
        ({"excluded_tools": ("paint",)}, r"excluded_tools\[0\]: the protocol has no tool 'paint'"),
    ],
)
def test_settings_that_the_client_does_not_have_are_refused(fields: dict[str, Any], place: str) -> None:
    with pytest.raises(CaseError, match=place):
        PROFILE.check_case(case_of("edit", **fields))


@pytest.mark.parametrize("name", ["included_tools", "excluded_tools"])
def test_the_xml_profile_has_no_such_settings(name: str) -> None:
    xml = get_profile("roo_xml")
    case = next(iter(xml.draw(0, 1, categories=("single_call",))))
    xml.check_case(case)
    with pytest.raises(CaseError, match=f"{name}: the protocol offers the same tools"):
        xml.check_case(replace(case, **{name: ("apply_diff",)}))  # type: ignore[arg-type]


def test_generated_edits_use_each_opt_in_tool() -> None:
    for stock in ("suite", "pool"):
        cases = list(PROFILE.draw(1, 60, categories=("edit_by_diff", "whole_file"), stock=stock))
        assert {case.tool for case in cases} == {*CALLS, *USUAL}
        assert {case.included_tools for case in cases if case.tool in CALLS} == {(tool,) for tool in CALLS}
