"""Rows of a dataset: one training example each."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from services.protocols.cases import CaseError, case_from_document
from services.protocols.profile import UnknownProfile, get_profile
from services.registry.domain.jsonl import Line, LineError, check_id

SPLITS = ("train", "validation")
_ROLES = ("system", "user", "assistant", "tool")
_NAME = re.compile(r"[a-z][a-z0-9_]{0,63}")


@dataclass(frozen=True)
class Example:
    """What the registry reads of a row."""

    example_id: str
    split: str


def example_of(line: Line) -> Example:
    """Read one row.

    Raises:
        LineError: A field is missing or wrong; it is named.
    """
    document = line.document
    example_id = check_id(document.get("example_id"), "example_id")
    split = document.get("split")
    if split not in SPLITS:
        raise LineError(f"has no split: use {' or '.join(SPLITS)}")
    for name in ("cause", "tool"):
        if not isinstance(document.get(name), str) or not _NAME.fullmatch(document[name]):
            raise LineError(f"has no {name}: a lower-case name is needed")
    _check_messages(document.get("messages"))
    _check_tools(document.get("tools"))
    _check_case(document)
    return Example(example_id, split)


def _check_messages(messages: object) -> None:
    if not isinstance(messages, list) or len(messages) < 2:
        raise LineError("has no messages: at least a prompt and an answer are needed")
    for place, message in enumerate(messages):
        if not isinstance(message, dict) or message.get("role") not in _ROLES:
            raise LineError(f"has no role in messages[{place}]: use {', '.join(_ROLES)}")
        calls = message.get("tool_calls") or []
        if not isinstance(calls, list) or not all(_is_call(call) for call in calls):
            raise LineError(f"has tool_calls in messages[{place}] whose name or arguments are no text")
        is_call = message["role"] == "assistant" and isinstance(message.get("tool_calls"), list)
        if not isinstance(message.get("content"), str) and not is_call:
            raise LineError(f"has no content in messages[{place}]")
    if messages[-1]["role"] != "assistant":
        raise LineError("does not end with a message of the assistant")


def _is_call(call: object) -> bool:
    function = call.get("function", {"name": "", "arguments": ""}) if isinstance(call, dict) else None
    return isinstance(function, dict) and all(isinstance(function.get(name), str) for name in ("name", "arguments"))


def _check_tools(tools: object) -> None:
    if tools is None:
        return
    if not isinstance(tools, list) or not all(_is_definition(tool) for tool in tools):
        raise LineError("has tools that are no list of function definitions in OpenAI's form")


def _is_definition(tool: object) -> bool:
    function = tool.get("function") if isinstance(tool, dict) else None
    return isinstance(function, dict) and isinstance(function.get("name"), str)


def _check_case(document: dict[str, Any]) -> None:
    try:
        get_profile(str(document.get("profile_id")))
        case_from_document(document.get("case"))
    except UnknownProfile as error:
        raise LineError("has no profile_id that this version knows") from error
    except CaseError as error:
        raise LineError(f"holds no case: {error}".rstrip(".")) from error
