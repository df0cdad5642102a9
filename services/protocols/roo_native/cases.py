"""The built-in suite and the training pool: the XML protocol's cases, asked for in function calls."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import cache
from types import MappingProxyType
from typing import cast

from services.protocols.cases import Case, Choice, Expected
from services.protocols.profile import Split
from services.protocols.roo_native.parse.mcp_names import write_mcp_name
from services.protocols.roo_native.parse.text_form import text_of_call
from services.protocols.roo_native.parse.values import read_json, write_json
from services.protocols.roo_native.tools import DRILLED_TOOLS
from services.protocols.roo_xml import cases as xml
from services.protocols.roo_xml.parse import ToolBlock, parse
from services.protocols.roo_xml.tools import typed_arguments
from services.protocols.suites import Provenance, Suite, parse_suite, suite_text
from services.protocols.turn import Answer, ToolCall

CLOSED_TOOLS = frozenset(("skill",))
"""Tools whose arguments come from a short list that the prompt prints."""

_OWN_NAMES = {"fetch_instructions": "skill"}
_XML_NAMES = {name: xml_name for xml_name, name in _OWN_NAMES.items()}

Arguments = Mapping[str, object]
Call = tuple[str, Arguments]


@cache
def core_suite() -> Suite:
    """Return `roo_native/core` version 1."""
    text = suite_text(map(native_case, xml.core_suite().cases))
    suite = parse_suite(text, suite_id="roo_native/core", version=1, profile="roo_native")
    return replace(
        suite, provenance=Provenance("Apache-2.0", f"{__name__}.native_case of {xml.core_suite().suite_id}@1")
    )


def generate_pool(
    seed: int, count: int, *, tools: Collection[str] | None = None, split: Split = "train"
) -> Iterator[Case]:
    """Yield `count` pool cases of one split, the tools in turn; splits share no call, whatever the seed.

    Raises:
        ValueError: none of `tools` is a tool of the pool.
    """
    chosen = None if tools is None else {_XML_NAMES.get(tool, tool) for tool in tools if tool in DRILLED_TOOLS}
    if chosen is not None and not chosen:
        raise ValueError(f"none of {sorted(tools or ())} is a tool of the pool")
    yield from map(native_case, xml.generate_pool(seed, count, tools=chosen, split=split))


def native_case(case: Case) -> Case:
    """Return the case that asks for the same in function calls."""
    tool = _OWN_NAMES.get(case.tool, case.tool)
    expected = _expected(case.expected)
    calls = [(due.tool, due.arguments) for due in expected.due]
    return replace(
        case,
        tool=tool,
        category=case.category.replace(case.tool, tool, 1),
        expected=expected,
        reference="\n".join(_as_text(call) for call in calls),
        history=tuple(map(native_answer, case.history)),
        solution=tuple(map(native_answer, case.solution)),
    )


def native_answer(answer: Answer) -> Answer:
    """Return the answer with the call that its text holds as function calls."""
    for block in parse(answer.text):
        if isinstance(block, ToolBlock):
            calls = native_calls(block.name, typed_arguments(block.name, block.params))
            return replace(answer, text="", calls=tuple(map(_as_call, calls)))
    return answer


def _as_call(call: Call) -> ToolCall:
    name, arguments = _written(call)
    return ToolCall(name, write_json(arguments))


def _as_text(call: Call) -> str:
    return text_of_call(*_written(call))


def _written(call: Call) -> Call:
    name, arguments = call
    if name != "use_mcp_tool":
        return call
    function = write_mcp_name(str(arguments["server_name"]), str(arguments["tool_name"]))
    return function, cast(Arguments, arguments["arguments"])


def _expected(expected: Expected) -> Expected:
    dues = [one for due in (expected, *expected.further) for one in _dues(due)]
    return replace(dues[0], further=tuple(dues[1:]), no_call=expected.no_call)


def _dues(due: Expected) -> list[Expected]:
    calls = native_calls(due.tool, due.arguments)
    own = replace(due, further=(), choices=tuple(_choice(due.tool, choice) for choice in due.choices))
    return [replace(own, tool=tool, arguments=arguments) for tool, arguments in calls]


def _choice(tool: str, choice: Choice) -> Choice:
    values = [native_calls(tool, {choice.argument: value})[0][1].get(choice.argument) for value in choice.values]
    return replace(choice, values=tuple(values))


def native_calls(tool: str, arguments: Arguments) -> Sequence[Call]:
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


def _fetch_instructions(arguments: Arguments) -> Iterable[Call]:
    yield "skill", {"skill": str(arguments["task"]).replace("_", "-"), "args": None}


def _use_mcp_tool(arguments: Arguments) -> Iterable[Call]:
    inner = arguments.get("arguments")
    parsed = read_json(inner) if isinstance(inner, str) and inner else inner or {}
    yield "use_mcp_tool", {**arguments, "arguments": parsed}


def _ask(arguments: Arguments) -> Iterable[Call]:
    suggestions = cast(Sequence[Mapping[str, object]], arguments.get("follow_up", ()))
    follow_up = [{"text": entry.get("text", ""), "mode": entry.get("mode")} for entry in suggestions]
    yield "ask_followup_question", {**arguments, "follow_up": follow_up}


_CONVERSIONS: Mapping[str, Callable[[Arguments], Iterable[Call]]] = MappingProxyType(
    {
        "read_file": _read_file,
        "fetch_instructions": _fetch_instructions,
        "use_mcp_tool": _use_mcp_tool,
        "ask_followup_question": _ask,
        "search_files": lambda arguments: [("search_files", {"file_pattern": None, **arguments})],
        "execute_command": lambda arguments: [("execute_command", {"cwd": None, "timeout": None, **arguments})],
        "new_task": lambda arguments: [("new_task", {"todos": None, **arguments})],
    }
)
