"""From a scenario to a case of this protocol: calls as function calls."""

from __future__ import annotations

from dataclasses import replace
from types import MappingProxyType

from services.protocols.cases import Case, Choice, Expected, Goal
from services.protocols.roo.scenarios.nouns import Call, Said, Scenario, Slip, Step
from services.protocols.roo_native.cases import Arguments, native_calls
from services.protocols.roo_native.parse.mcp_names import write_mcp_name
from services.protocols.roo_native.parse.text_form import text_of_call
from services.protocols.roo_native.parse.values import write_json
from services.protocols.roo_xml.authoring.draft import render_call
from services.protocols.roo_xml.authoring.scenario_case import parameters_of
from services.protocols.turn import Answer, ToolCall

_MCP_TOOL = "use_mcp_tool"
_OWN_NAMES = MappingProxyType({"fetch_instructions": "skill"})


def case_of(scenario: Scenario) -> Case:
    """Return the case that `scenario` amounts to."""
    draft = scenario.draft
    expected = _expected(draft.steps[0])
    return Case(
        case_id=scenario.scenario_id,
        category=scenario.category,
        tool=expected.tool,
        mode=draft.mode,
        task=scenario.task,
        expected=expected,
        template=scenario.template,
        reference="\n".join(text_of_call(*call) for call in functions_of(draft.steps[0].call)),
        files=draft.files,
        open_tabs=draft.open_tabs,
        mcp=draft.mcp,
        todos=draft.todos,
        custom_modes=draft.custom_modes,
        workspace=draft.workspace,
        max_turns=scenario.max_turns,
        history=tuple(map(_said, draft.history)),
        solution=tuple(_said(Said((step.call,))) for step in draft.steps) if len(draft.steps) > 1 else (),
        goal=_goal(draft.goal, draft.steps) if draft.goal else None,
        results={_OWN_NAMES.get(tool, tool): text for tool, text in draft.results.items()},
        denied_tools=draft.denied_tools,
        included_tools=draft.included_tools,
        excluded_tools=draft.excluded_tools,
        needs_done_todos=draft.needs_done_todos,
    )


def functions_of(call: Call) -> list[tuple[str, Arguments]]:
    """Return the function calls that do what `call` does: name and arguments as written."""
    return [_written(name, arguments) for name, arguments in native_calls(call.tool, call.arguments)]


def _written(name: str, arguments: Arguments) -> tuple[str, Arguments]:
    if name != _MCP_TOOL:
        return name, arguments
    inner = arguments["arguments"]
    assert isinstance(inner, dict)
    return write_mcp_name(str(arguments["server_name"]), str(arguments["tool_name"])), inner


def _expected(step: Step) -> Expected:
    dues = [
        Expected(name, arguments, step.files, step.free_text, tuple(_choice(name, one) for one in step.choices))
        for name, arguments in native_calls(step.call.tool, step.call.arguments)
    ]
    return replace(dues[0], further=tuple(dues[1:]))


def _choice(tool: str, choice: Choice) -> Choice:
    values = [native_calls(tool, {choice.argument: value})[0][1].get(choice.argument) for value in choice.values]
    return replace(choice, values=tuple(values))


def _goal(goal: Goal, steps: tuple[Step, ...]) -> Goal:
    """Return the goal with tools under the names that the answers call them by."""
    servers = [name for step in steps if step.call.tool == _MCP_TOOL for name, _ in functions_of(step.call)]
    names = [servers if tool == _MCP_TOOL else [_OWN_NAMES.get(tool, tool)] for tool in goal.tools]
    return replace(goal, tools=tuple(dict.fromkeys(name for several in names for name in several)))


def _said(said: Said) -> Answer:
    if said.slip.kind == "foreign":
        return Answer("\n".join(render_call(call.tool, parameters_of(call)) for call in said.calls))
    calls = [_function(name, arguments, said.slip) for call in said.calls for name, arguments in functions_of(call)]
    return Answer(said.text, tuple(calls))


def _function(name: str, arguments: Arguments, slip: Slip) -> ToolCall:
    given: object = arguments
    if slip.kind == "drop":
        given = {key: value for key, value in arguments.items() if key != slip.name}
    elif slip.kind == "raw":
        given = {**arguments, slip.name: slip.value}
    elif slip.kind == "list":
        given = [arguments]
    raw = write_json(given)
    return ToolCall(
        str(slip.value) if slip.kind == "rename" else name,
        raw[: len(raw) * 2 // 3] if slip.kind == "cut" else raw,
    )
