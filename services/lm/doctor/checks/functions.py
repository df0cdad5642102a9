"""Whether function definitions, calls and their results reach the model."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from services.lm.doctor.checks.probes import (
    ARGUMENTS,
    CALL,
    FUNCTION,
    FUNCTION_NAME,
    OTHER_RESULT,
    RESULT,
    TEXT_BESIDE_CALL,
    USER,
    calling,
)
from services.lm.doctor.nouns import Finding, Tool, excerpt
from services.lm.doctor.subject import Subject

_TOOLS = (FUNCTION,)
_WRITES_TOOLS = "Add a block to the template that writes `tools` as JSON into the system turn, as the model's kin do."


def check_definitions(subject: Subject) -> Iterator[Finding]:
    """Definitions are left out, or lose names and parameters."""
    tools = next(each.tools for each in (*subject.conversations, *(one for one, _ in subject.refused)) if each.tools)
    bare, offered = subject.render([USER]) or "", subject.render([USER], tools=tools)
    if offered is None or offered == bare:
        yield Finding(
            "no_tools_branch",
            "error",
            "The chat template leaves the function definitions out, so that the model never sees them.",
            f"{_WRITES_TOOLS} Or use a protocol whose tools stand in the prompt.",
            excerpt(bare if offered else subject.refusal([USER], tools=tools)),
        )
        return
    lost = [name for tool in tools for name in _names(tool) if offered.count(name) <= bare.count(name)]
    if lost:
        yield Finding(
            "tools_incomplete",
            "error",
            f"The chat template loses {len(lost)} names of functions and parameters: {', '.join(lost[:5])}.",
            "Write each definition whole, `{{ tool | tojson }}`.",
            excerpt(offered),
        )


def check_calls(subject: Subject) -> Iterator[Finding]:
    """Calls of earlier answers are left out, or their arguments change."""
    before, after = subject.render([USER], tools=_TOOLS), subject.render([USER, CALL], tools=_TOOLS)
    if before is None:
        return
    added = (after or "")[len(before) :] if after and after.startswith(before) else after or ""
    values = [str(value) for value in ARGUMENTS.values()]
    if FUNCTION_NAME not in added or not all(value in added for value in values):
        yield Finding(
            "tool_calls_dropped",
            "error",
            "The chat template leaves out the function calls of earlier answers, or their arguments.",
            "Add a branch for `message.tool_calls` that writes each call's name and arguments.",
            excerpt(added or subject.refusal([USER, CALL], tools=_TOOLS)),
        )
    elif reason := _garbled(added):
        yield Finding(
            "arguments_garbled",
            "error",
            f"The chat template writes the arguments of a call {reason}.",
            "Write them as `{{ tool_call.function.arguments | tojson }}`.",
            excerpt(added, added.find(FUNCTION_NAME)),
        )


def check_text_beside_calls(subject: Subject) -> Iterator[Finding]:
    """An answer's text is lost when it calls a function too."""
    text = subject.render([USER, calling("call00001", text=TEXT_BESIDE_CALL)], tools=_TOOLS)
    if text is not None and TEXT_BESIDE_CALL not in text:
        yield Finding(
            "text_beside_calls_dropped",
            "warning",
            "The chat template leaves out an answer's text when the answer calls a function too.",
            "Write `message.content` before the calls.",
            excerpt(text[-200:]),
        )


def check_tool_role(subject: Subject) -> Iterator[Finding]:
    """Results of calls are refused or left out."""
    turns = [USER, CALL, RESULT]
    if subject.render(turns[:2], tools=_TOOLS) is None:
        return
    text = subject.render(turns, tools=_TOOLS)
    if text is None or RESULT["content"] not in text:
        yield Finding(
            "no_tool_role",
            "error",
            "The chat template refuses or leaves out messages of the role tool, in which the results of calls stand.",
            "Add a branch for the role tool that writes `message.content`.",
            excerpt(text[-200:] if text else subject.refusal(turns, tools=_TOOLS)),
        )


def check_several_calls(subject: Subject) -> Iterator[Finding]:
    """Two calls in one answer, or their two results, are refused or left out."""
    turns = [USER, calling("call00001", "call00002"), RESULT, OTHER_RESULT]
    text = subject.render(turns, tools=_TOOLS)
    if text is None or OTHER_RESULT["content"] not in text:
        yield Finding(
            "single_call_only",
            "warning",
            "The chat template does not render two calls in one answer with their two results.",
            "Loop over `message.tool_calls`, and take several messages of the role tool in a row.",
            excerpt(text[-200:] if text else subject.refusal(turns, tools=_TOOLS)),
        )


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


def _holds(value: object, wanted: object) -> bool:
    if value == wanted:
        return True
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return any(_holds(each, wanted) for each in inner)
