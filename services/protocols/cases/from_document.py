"""JSON documents as cases; what is wrong is named by its place."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import get_args

from services.protocols.cases import fields as read
from services.protocols.cases.case import Case, Choice, Expected, FreeText, Goal
from services.protocols.cases.fields import CaseError, Fields, each
from services.protocols.cases.scoring import message_from_document, scoring_from_document
from services.protocols.turn import Answer, Effect, EffectKind, FinishReason, McpServer, ToolCall

_NO_FILES: Mapping[str, str] = MappingProxyType({})
_CASE_NAMES = ("case_id", "category", "tool", "mode", "template")


def case_from_document(document: object) -> Case:
    """Return the case that `document` describes.

    Raises:
        CaseError: a field is missing, unknown, of the wrong type or nested too deep; the error names it.
    """
    fields = Fields(document, "")
    for name, value in read.mapping(document, "").items():
        if read.depth_of(value, read.MAX_DEPTH) > read.MAX_DEPTH:
            raise CaseError(name, f"is nested deeper than {read.MAX_DEPTH} levels")
    case = Case(
        **{name: fields.take(name, read.name) for name in _CASE_NAMES},
        task=fields.take("task", read.text),
        files=fields.take("files", read.texts, _NO_FILES),
        open_tabs=fields.take("open_tabs", read.names, ()),
        workspace=fields.take("workspace", read.names, ()),
        mcp=fields.take("mcp", each(_server), ()),
        todos=fields.take("todos", each(_todo), ()),
        custom_modes=fields.take("custom_modes", each(read.mapping), ()),
        tools=fields.take("tools", each(read.mapping), ()),
        results=fields.take("results", read.texts, _NO_FILES),
        denied_tools=fields.take("denied_tools", read.names, ()),
        included_tools=fields.take("included_tools", read.names, ()),
        excluded_tools=fields.take("excluded_tools", read.names, ()),
        needs_done_todos=fields.take("needs_done_todos", read.boolean, False),
        effects=fields.take("effects", _effects, MappingProxyType({})),
        prompt=fields.take("prompt", each(message_from_document), ()),
        scoring=fields.take_if_there("scoring", scoring_from_document),
        history=fields.take("history", each(answer_from_document), ()),
        max_turns=fields.take("max_turns", read.count, 1),
        goal=fields.take_if_there("goal", _goal),
        expected=fields.take("expected", _expected),
        reference=fields.take("reference", read.text),
        solution=fields.take("solution", each(answer_from_document), ()),
    )
    fields.finish()
    if case.tool != case.expected.tool:
        raise CaseError("expected.tool", f"{case.expected.tool!r} differs from the case's tool {case.tool!r}")
    return case


def _server(value: object, path: str) -> McpServer:
    fields = Fields(value, path)
    server = McpServer(fields.take("name", read.name), fields.take("tools", read.names))
    fields.finish()
    return server


def _todo(value: object, path: str) -> tuple[str, str]:
    pair = read.strings(value, path)
    if len(pair) != 2 or pair[0] not in ("pending", "in_progress", "completed"):
        raise CaseError(path, "must be [status, text] with status pending, in_progress or completed")
    return pair[0], pair[1]


def answer_from_document(value: object, path: str = "") -> Answer:
    """Return the answer that a document describes; `path` is its place in a larger one.

    Raises:
        CaseError: a field is missing, unknown or of the wrong type; the error names it.
    """
    fields = Fields(value, path)
    answer = Answer(
        fields.take("text", read.text, ""),
        fields.take("calls", each(_call), ()),
        fields.take("finish_reason", _finish_reason, "stop"),
    )
    fields.finish()
    return answer


def _call(value: object, path: str) -> ToolCall:
    fields = Fields(value, path)
    call = ToolCall(
        fields.take("name", read.name), fields.take("arguments", read.text, ""), fields.take("call_id", read.name, "")
    )
    fields.finish()
    return call


def _finish_reason(value: object, path: str) -> FinishReason:
    if value == "stop" or value == "length":
        return value
    raise CaseError(path, "must be stop or length")


def _goal(value: object, path: str) -> Goal:
    fields = Fields(value, path)
    goal = Goal(
        fields.take("files", _final_files, MappingProxyType({})),
        fields.take("mentions", read.strings, ()),
        fields.take("tools", read.names, ()),
        fields.take_if_there("todos", each(_todo)),
        fields.take_if_there("calls", each(_expected)),
        fields.take("todo_files", read.texts, _NO_FILES),
    )
    fields.finish()
    for item, file in goal.todo_files.items():
        if file not in goal.files:
            raise CaseError(f"{path}.todo_files.{item}", f"{file!r} is not among the goal's files")
    return goal


def _effects(value: object, path: str) -> Mapping[str, Effect]:
    entries = read.mapping(value, path).items()
    return MappingProxyType({read.name(key, path): _effect(entry, f"{path}.{key}") for key, entry in entries})


def _effect(value: object, path: str) -> Effect:
    fields = Fields(value, path)
    effect = Effect(fields.take("kind", _effect_kind), fields.take("arguments", read.texts))
    fields.finish()
    return effect


def _effect_kind(value: object, path: str) -> EffectKind:
    found: EffectKind | None = next((kind for kind in get_args(EffectKind) if kind == value), None)
    if found is None:
        raise CaseError(path, f"must be one of {', '.join(get_args(EffectKind))}")
    return found


def _final_files(value: object, path: str) -> Mapping[str, str | None]:
    entries = read.mapping(value, path).items()
    return {
        read.name(key, path): (None if entry is None else read.text(entry, f"{path}.{key}")) for key, entry in entries
    }


def _free_text(value: object, path: str) -> FreeText:
    fields = Fields(value, path)
    rule = FreeText(
        fields.take("argument", read.name),
        fields.take("mentions", read.strings, ()),
        fields.take("question", read.boolean, False),
    )
    fields.finish()
    return rule


def _choice(value: object, path: str) -> Choice:
    fields = Fields(value, path)
    choice = Choice(
        fields.take("argument", read.name),
        fields.take("values", each(read.anything), ()),
        fields.take("optional", read.boolean, False),
        fields.take("loose", read.boolean, False),
        fields.take("nested", read.boolean, False),
    )
    fields.finish()
    return choice


def _expected(value: object, path: str) -> Expected:
    fields = Fields(value, path)
    expected = Expected(
        fields.take("tool", read.name),
        fields.take("arguments", read.mapping),
        fields.take("files", read.texts, _NO_FILES),
        fields.take("free_text", each(_free_text), ()),
        fields.take("choices", each(_choice), ()),
        fields.take("further", each(_expected), ()),
        fields.take("no_call", read.boolean, False),
    )
    fields.finish()
    return expected
