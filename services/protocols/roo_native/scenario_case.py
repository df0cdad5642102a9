"""From a scenario to a case of this protocol: calls as function calls."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from types import MappingProxyType
from typing import cast

from services.protocols.cases import Case, Choice, Expected, Goal
from services.protocols.material.scenario import Said, Scenario, Slip, Step
from services.protocols.roo_native.parse.mcp_names import write_mcp_name
from services.protocols.roo_native.parse.text_form import text_of_call
from services.protocols.roo_native.parse.values import write_json
from services.protocols.roo_xml.scenario_case import SPARE_TURNS, parameters_of, written_call
from services.protocols.turn import Answer, ToolCall

Arguments = Mapping[str, object]
Call = tuple[str, Arguments]

OWN_NAMES = MappingProxyType({"fetch_instructions": "skill"})
"""This client's name of a tool that the XML client calls otherwise."""

_MCP_TOOL = "use_mcp_tool"


def case_of(scenario: Scenario) -> Case:
    """Return the case that `scenario` amounts to."""
    draft = scenario.draft
    reference = "\n".join(text_of_call(*call) for call in _function_calls(draft.steps[0]))
    case = scenario.to_case(
        _expected(draft.steps[0]),
        reference,
        history=[said if isinstance(said, Answer) else _answer(said) for said in draft.history],
        solution=[_answer(Said((step,))) for step in draft.steps] if len(draft.steps) > 1 else (),
        spare_turns=SPARE_TURNS,
    )
    results = {OWN_NAMES.get(tool, tool): text for tool, text in draft.results.items()}
    return replace(case, goal=_goal(draft.goal, draft.steps) if draft.goal else None, results=results)


def _function_calls(step: Step) -> list[Call]:
    return [_written(name, arguments) for name, arguments in _native_calls(step.tool, step.arguments)]


def _written(name: str, arguments: Arguments) -> Call:
    if name != _MCP_TOOL:
        return name, arguments
    inner = cast(Arguments, arguments["arguments"])
    return write_mcp_name(str(arguments["server_name"]), str(arguments["tool_name"])), inner


def _expected(step: Step) -> Expected:
    first, *further = (
        Expected(name, arguments, step.files, step.free_text, tuple(_choice(name, choice) for choice in step.choices))
        for name, arguments in _native_calls(step.tool, step.arguments)
    )
    return replace(first, further=tuple(further))


def _choice(tool: str, choice: Choice) -> Choice:
    values = [_native_calls(tool, {choice.argument: value})[0][1].get(choice.argument) for value in choice.values]
    return replace(choice, values=tuple(values))


def _goal(goal: Goal, steps: Sequence[Step]) -> Goal:
    servers = [name for step in steps if step.tool == _MCP_TOOL for name, _ in _function_calls(step)]
    names = [servers if tool == _MCP_TOOL else [OWN_NAMES.get(tool, tool)] for tool in goal.tools]
    return replace(goal, tools=tuple(dict.fromkeys(name for several in names for name in several)))


def _answer(said: Said) -> Answer:
    if said.slip.kind == "foreign":
        return Answer("\n".join(written_call(step.tool, parameters_of(step)) for step in said.calls))
    calls = [_tool_call(name, arguments, said.slip) for step in said.calls for name, arguments in _function_calls(step)]
    return Answer(said.text, tuple(calls))


def _tool_call(name: str, arguments: Arguments, slip: Slip) -> ToolCall:
    value: object = arguments
    if slip.kind == "drop":
        value = {key: entry for key, entry in arguments.items() if key != slip.name}
    elif slip.kind == "raw":
        value = {**arguments, slip.name: slip.value}
    elif slip.kind == "list":
        value = [arguments]
    raw = write_json(value)
    return ToolCall(
        str(slip.value) if slip.kind == "rename" else name, raw[: len(raw) * 2 // 3] if slip.kind == "cut" else raw
    )


def _native_calls(tool: str, arguments: Arguments) -> Sequence[Call]:
    """Return the function calls that do what a call of the XML protocol does; the absent is left null.

    A call that reads several files or ranges becomes one call for each.
    """
    convert = _CONVERSIONS.get(tool)
    return list(convert(arguments)) if convert else [(tool, arguments)]


def _read_file(arguments: Arguments) -> Iterable[Call]:
    for file in cast(Sequence[Mapping[str, object]], arguments.get("files", ())):
        ranges = cast(Sequence[Sequence[int]], file["line_ranges"])
        for first, last in ranges:
            yield "read_file", {"path": file["path"], "offset": first, "limit": last - first + 1}
        if not ranges:
            yield "read_file", {"path": file["path"]}


def _ask(arguments: Arguments) -> Iterable[Call]:
    suggestions = cast(Sequence[Mapping[str, object]], arguments.get("follow_up", ()))
    follow_up = [{"text": entry.get("text", ""), "mode": entry.get("mode")} for entry in suggestions]
    yield "ask_followup_question", {**arguments, "follow_up": follow_up}


_CONVERSIONS: Mapping[str, Callable[[Arguments], Iterable[Call]]] = MappingProxyType(
    {
        "read_file": _read_file,
        "fetch_instructions": lambda arguments: [
            ("skill", {"skill": str(arguments["task"]).replace("_", "-"), "args": None})
        ],
        "ask_followup_question": _ask,
        "search_files": lambda arguments: [("search_files", {"file_pattern": None, **arguments})],
        "execute_command": lambda arguments: [("execute_command", {"cwd": None, "timeout": None, **arguments})],
        "new_task": lambda arguments: [("new_task", {"todos": None, **arguments})],
    }
)
