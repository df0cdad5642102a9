"""JSON documents as cases; what is wrong is named by its place."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import get_args

from services.protocols.cases import fields as read
from services.protocols.cases.case import Case, Choice, Expected, FreeText, Goal
from services.protocols.cases.fields import CaseError, each, or_none, record
from services.protocols.cases.scoring import message_from_document, scoring_from_document
from services.protocols.turn import Answer, Effect, EffectKind, FinishReason, McpServer, ToolCall


def case_from_document(document: object) -> Case:
    """Return the case that `document` describes.

    Raises:
        CaseError: a field is missing, unknown, of the wrong type or nested too deep; the error names it.
    """
    for name, value in read.mapping(document, "").items():
        if read.depth_of(value, read.MAX_DEPTH) > read.MAX_DEPTH:
            raise CaseError(name, f"is nested deeper than {read.MAX_DEPTH} levels")
    case = _case(document, "")
    if case.tool != case.expected.tool:
        raise CaseError("expected.tool", f"{case.expected.tool!r} differs from the case's tool {case.tool!r}")
    return case


def answer_from_document(value: object, path: str = "") -> Answer:
    """Return the answer that a document describes; `path` is its place in a larger one.

    Raises:
        CaseError: a field is missing, unknown or of the wrong type; the error names it.
    """
    return _answer(value, path)


def _todo(value: object, path: str) -> tuple[str, str]:
    pair = read.strings(value, path)
    if len(pair) != 2 or pair[0] not in ("pending", "in_progress", "completed"):
        raise CaseError(path, "must be [status, text] with status pending, in_progress or completed")
    return pair[0], pair[1]


def _finish_reason(value: object, path: str) -> FinishReason:
    if value == "stop" or value == "length":
        return value
    raise CaseError(path, "must be stop or length")


def _effects(value: object, path: str) -> Mapping[str, Effect]:
    entries = read.mapping(value, path).items()
    return MappingProxyType({read.name(key, path): _effect(entry, f"{path}.{key}") for key, entry in entries})


def _effect_kind(value: object, path: str) -> EffectKind:
    kinds: tuple[EffectKind, ...] = get_args(EffectKind)
    if value not in kinds:
        raise CaseError(path, f"must be one of {', '.join(kinds)}")
    return kinds[kinds.index(value)]


def _final_files(value: object, path: str) -> Mapping[str, str | None]:
    text = or_none(read.text)
    return {read.name(key, path): text(entry, f"{path}.{key}") for key, entry in read.mapping(value, path).items()}


def _calls_due(value: object, path: str) -> tuple[Expected, ...]:
    return each(_expected)(value, path)


def _goal(value: object, path: str) -> Goal:
    goal = _unchecked_goal(value, path)
    for item, file in goal.todo_files.items():
        if file not in goal.files:
            raise CaseError(f"{path}.todo_files.{item}", f"{file!r} is not among the goal's files")
    return goal


_effect = record(Effect, kind=_effect_kind, arguments=read.texts)
_answer = record(
    Answer,
    text=read.text,
    calls=each(record(ToolCall, name=read.name, arguments=read.text, call_id=read.name)),
    finish_reason=_finish_reason,
)
_expected = record(
    Expected,
    "arguments",
    tool=read.name,
    arguments=read.mapping,
    files=read.texts,
    free_text=each(record(FreeText, argument=read.name, mentions=read.strings, question=read.boolean)),
    choices=each(
        record(
            Choice,
            argument=read.name,
            values=each(read.anything),
            optional=read.boolean,
            loose=read.boolean,
            nested=read.boolean,
        )
    ),
    further=_calls_due,
    no_call=read.boolean,
)
_unchecked_goal = record(
    Goal,
    files=_final_files,
    mentions=read.strings,
    tools=read.names,
    todos=or_none(each(_todo)),
    calls=or_none(_calls_due),
    todo_files=read.texts,
)
_case = record(
    Case,
    **dict.fromkeys(("case_id", "category", "tool", "mode", "template"), read.name),
    task=read.text,
    files=read.texts,
    open_tabs=read.names,
    workspace=read.names,
    mcp=each(record(McpServer, name=read.name, tools=read.names)),
    todos=each(_todo),
    custom_modes=each(read.mapping),
    tools=each(read.mapping),
    results=read.texts,
    **dict.fromkeys(("denied_tools", "included_tools", "excluded_tools"), read.names),
    needs_done_todos=read.boolean,
    effects=_effects,
    prompt=each(message_from_document),
    scoring=or_none(scoring_from_document),
    history=each(_answer),
    max_turns=read.count,
    goal=or_none(_goal),
    expected=_expected,
    reference=read.text,
    solution=each(_answer),
)
