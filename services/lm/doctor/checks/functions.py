"""Whether function definitions, calls and their results reach the model."""

import json
from collections.abc import Iterator, Mapping
from typing import Any

from services.lm.doctor.diagnosis import Finding, Tool, excerpt
from services.lm.doctor.subject import (
    ARGUMENTS,
    CALL,
    FUNCTION,
    FUNCTION_NAME,
    OTHER_RESULT,
    RESULT,
    TEXT_BESIDE_CALL,
    USER,
    Subject,
    calling,
    finding,
)

_TOOLS = (FUNCTION,)


def check_definitions(subject: Subject) -> Iterator[Finding]:
    """Definitions are left out, or lose names and parameters."""
    tools = next(each.tools for each in subject.all_conversations if each.tools)
    bare, offered = subject.render([USER]) or "", subject.render([USER], tools=tools)
    if offered is None or offered == bare:
        yield finding("no_tools_branch", excerpt(bare if offered else subject.refusal([USER], tools=tools)))
        return
    lost = [name for tool in tools for name in _names(tool) if offered.count(name) <= bare.count(name)]
    if lost:
        yield finding("tools_incomplete", excerpt(offered), count=len(lost), names=", ".join(lost[:5]))


def check_calls(subject: Subject) -> Iterator[Finding]:
    """Calls of earlier answers are left out, or their arguments change."""
    before, after = subject.render([USER], tools=_TOOLS), subject.render([USER, CALL], tools=_TOOLS)
    if before is None:
        return
    added = (after or "")[len(before) :] if after and after.startswith(before) else after or ""
    values = [str(value) for value in ARGUMENTS.values()]
    if FUNCTION_NAME not in added or not all(value in added for value in values):
        yield finding("tool_calls_dropped", excerpt(added or subject.refusal([USER, CALL], tools=_TOOLS)))
    elif reason := _garbled(added):
        yield finding("arguments_garbled", excerpt(added, added.find(FUNCTION_NAME)), form=reason)


def check_text_beside_calls(subject: Subject) -> Iterator[Finding]:
    """An answer's text is lost when it calls a function too."""
    text = subject.render([USER, calling("call00001", text=TEXT_BESIDE_CALL)], tools=_TOOLS)
    if text is not None and TEXT_BESIDE_CALL not in text:
        yield finding("text_beside_calls_dropped", excerpt(text[-200:]))


def check_tool_role(subject: Subject) -> Iterator[Finding]:
    """Results of calls are refused or left out."""
    turns = [USER, CALL, RESULT]
    if subject.render(turns[:2], tools=_TOOLS) is None:
        return
    text = subject.render(turns, tools=_TOOLS)
    if text is None or RESULT["content"] not in text:
        yield finding("no_tool_role", excerpt(text[-200:] if text else subject.refusal(turns, tools=_TOOLS)))


def check_several_calls(subject: Subject) -> Iterator[Finding]:
    """Two calls in one answer, or their two results, are refused or left out."""
    turns = [USER, calling("call00001", "call00002"), RESULT, OTHER_RESULT]
    text = subject.render(turns, tools=_TOOLS)
    if text is None or OTHER_RESULT["content"] not in text:
        yield finding("single_call_only", excerpt(text[-200:] if text else subject.refusal(turns, tools=_TOOLS)))


def _names(tool: Tool) -> list[str]:
    function: Mapping[str, Any] = tool["function"]
    return [str(function["name"]), *(function.get("parameters") or {}).get("properties", {})]


def _garbled(added: str) -> str:
    if any(_holds(value, ARGUMENTS) for value in _objects(added)):
        return ""
    if "'quokka_id'" in added:
        return "in Python's notation, which is not JSON"
    return "as JSON within a string" if '\\"quokka_id' in added else ""


def _objects(text: str) -> Iterator[object]:
    decoder = json.JSONDecoder()
    for place, character in enumerate(text):
        if character == "{":
            try:
                yield decoder.raw_decode(text, place)[0]
            except ValueError:
                continue


def _holds(value: object, expected: object) -> bool:
    if value == expected:
        return True
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return any(_holds(each, expected) for each in inner)
