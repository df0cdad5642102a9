"""Files in the form of the Berkeley Function-Calling Leaderboard as cases of the profile `openai_tools`.

Each line is {"id", "question", "function"}; the possible answers are in a file of their own, {"id", "ground_truth"},
unless the line itself holds its `ground_truth`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

from services.protocols.cases import Case, Choice, Expected, case_to_document
from services.protocols.openai_tools.parse import written_call
from services.protocols.openai_tools.tools import NO_CALL
from services.registry.domain.jsonl import Line, LineError, read_lines, scan_lines
from services.registry.domain.suite_source import Conversion, Rows

_CATEGORY = re.compile(r"(.+?)_[0-9][0-9-]*")
_IRRELEVANT = "irrelevance"
_NO_CALL_ANSWER = "None of the functions does that."


def read_bfcl(content: Path, conversion: Conversion, answers: Path | None) -> Rows:
    """Yield a case per line, or what keeps it from becoming one.

    Raises:
        InvalidArgument: a line of the answers cannot be read.
    """
    truths = _truths(answers) if answers else {}
    with content.open("rb") as stream:
        for number, row in scan_lines(stream):
            yield number, row if isinstance(row, LineError) else _converted(row, truths)


def _truths(answers: Path) -> dict[str, Mapping[str, Any]]:
    with answers.open("rb") as stream:
        return {str(line.document.get("id")): line.document for line in read_lines(stream)}


def _converted(line: Line, truths: Mapping[str, Mapping[str, Any]]) -> Line | LineError:
    try:
        case = _case(line.document, truths)
        document = case_to_document(case)
    except LineError as fault:
        return fault
    return Line(line.number, json.dumps(document, ensure_ascii=False), document)


def _case(row: Mapping[str, Any], truths: Mapping[str, Mapping[str, Any]]) -> Case:
    case_id, functions = row.get("id"), row.get("function")
    task = _task(row["question"]) if "question" in row else ""
    if not task or not isinstance(case_id, str) or not isinstance(functions, list):
        raise LineError("is no task: id, question and function are needed")
    category = _category(case_id)
    if not functions and not category.endswith(_IRRELEVANT):
        raise LineError("is no task: function is empty")
    tools = tuple(tool_of(function, place) for place, function in enumerate(functions))
    due = _due(case_id, category, row if "ground_truth" in row else truths.get(case_id), tools)
    expected = Expected(due[0].tool, due[0].arguments, choices=due[0].choices, further=tuple(due[1:])) if due else None
    written = "\n".join(written_call(call.tool, dict(call.arguments)) for call in due)
    return Case(
        case_id=case_id,
        category=category,
        tool=due[0].tool if due else NO_CALL,
        mode="",
        task=task,
        expected=expected or Expected(NO_CALL, no_call=True),
        template=task,
        reference=written or _NO_CALL_ANSWER,
        tools=tools,
    )


def _category(case_id: str) -> str:
    match = _CATEGORY.fullmatch(case_id)
    return match[1] if match else "bfcl"


def _due(
    case_id: str, category: str, truth: Mapping[str, Any] | None, tools: tuple[Mapping[str, Any], ...]
) -> list[Expected]:
    if truth is not None:
        schemas = {tool["function"]["name"]: tool["function"]["parameters"] for tool in tools}
        return calls_of(truth.get("ground_truth"), schemas)
    if category.endswith(_IRRELEVANT):
        return []
    raise LineError(
        "has no possible answer: give the file of answers too; only the ids of irrelevance say that no call is due"
    )


def _task(question: object) -> str:
    """Return the text of the one turn; what a system message says stands before the user's words."""
    if isinstance(question, str):
        return question
    turns = question if isinstance(question, list) else []
    if turns and all(isinstance(message, Mapping) for message in turns):
        turns = [turns]
    if len(turns) != 1 or not isinstance(turns[0], list) or not turns[0]:
        raise LineError("asks in several turns, or in none; only tasks of one turn are read")
    texts: list[str] = []
    for message in turns[0]:
        if not isinstance(message, Mapping) or not isinstance(message.get("content"), str):
            raise LineError("has a question with a message without text")
        if message.get("role") not in ("system", "user"):
            raise LineError("has a question with answers in it; only tasks of one turn are read")
        texts.append(message["content"])
    return "\n\n".join(texts)


ABSENT = ""
"""Among the allowed values it says that the argument may be left out."""


def calls_of(ground_truth: object, schemas: Mapping[str, Mapping[str, Any]]) -> list[Expected]:
    """Return the calls that are due.

    Args:
        ground_truth: a list of {function: {argument: [allowed values]}}.
        schemas: JSON schema of each function's parameters.

    Raises:
        LineError: it has another form.
    """
    if not isinstance(ground_truth, list) or not ground_truth:
        raise LineError("has a ground_truth that is no list of calls")
    return [_call(call, schemas) for call in ground_truth]


def _call(call: object, schemas: Mapping[str, Mapping[str, Any]]) -> Expected:
    if not isinstance(call, Mapping) or len(call) != 1:
        raise LineError("has a ground_truth whose calls are not objects with the name of one function")
    ((name, allowed),) = call.items()
    if not isinstance(allowed, Mapping):
        raise LineError(f"has a ground_truth without the arguments of {name}")
    schema = schemas.get(name, {})
    arguments: dict[str, object] = {}
    choices: list[Choice] = []
    for argument, values in allowed.items():
        if not isinstance(values, list) or not values:
            raise LineError(f"has a ground_truth whose {argument} is no list of allowed values")
        optional = ABSENT in values
        right = [value for value in values if value != ABSENT]
        kind = schema.get("properties", {}).get(argument, {}).get("type")
        # The leaderboard's checker takes these for leaving the argument out as well.
        if optional and (kind in (None, "string") or any(isinstance(value, str) for value in right)):
            right.append(ABSENT)
        elif optional and kind == "array":
            right.append([])
        if right and (not optional or argument in schema.get("required", ())):
            arguments[argument] = _example(right[0])
        choices.append(Choice(argument, tuple(right), optional=optional, loose=True, nested=True))
    return Expected(name, arguments, choices=tuple(choices))


def _example(value: object) -> object:
    """Return one of the values that an allowed one stands for: an object's entries are lists of allowed values."""
    if isinstance(value, Mapping):
        listed = {key: entry if isinstance(entry, list) and entry else [entry] for key, entry in value.items()}
        return {key: _example(entries[0]) for key, entries in listed.items() if ABSENT not in entries}
    return [_example(entry) for entry in value] if isinstance(value, list) else value


_TYPES: Mapping[str, str] = MappingProxyType(
    {
        **dict.fromkeys(("dict", "object", "hashmap", "hashtable"), "object"),
        **dict.fromkeys(("list", "array", "tuple", "set", "arraylist", "queue", "stack"), "array"),
        **dict.fromkeys(("float", "double", "number"), "number"),
        **dict.fromkeys(("int", "integer", "long", "short", "byte", "bigint"), "integer"),
        **dict.fromkeys(("str", "string", "char"), "string"),
        **dict.fromkeys(("bool", "boolean"), "boolean"),
        **dict.fromkeys(("null", "nulltype"), "null"),
    }
)
"""Names of types in Python, Java and JavaScript; any other, such as `any`, allows every value."""

_KEPT = ("description", "default", "minimum", "maximum", "minItems", "maxItems", "minLength", "maxLength", "format")


def tool_of(function: object, place: int) -> dict[str, Any]:
    """Return a function definition in OpenAI's form; LineError when it has no name or no parameters."""
    if not isinstance(function, Mapping) or not isinstance(function.get("name"), str):
        raise LineError(f"has a function[{place}] without a name")
    parameters = schema_of(function.get("parameters", {}))
    definition = {"name": function["name"], "parameters": {**parameters, "type": "object"}}
    if isinstance(function.get("description"), str):
        definition["description"] = function["description"]
    return {"type": "function", "function": definition}


def schema_of(foreign: object) -> dict[str, Any]:
    """Return the JSON schema that a description of a value stands for; what JSON schema does not know is left out."""
    if not isinstance(foreign, Mapping):
        return {}
    schema = {name: foreign[name] for name in _KEPT if name in foreign}
    if type_name := _TYPES.get(str(foreign.get("type", "")).lower()):
        schema["type"] = type_name
    if isinstance(foreign.get("enum"), list) and foreign["enum"]:
        schema["enum"] = foreign["enum"]
    if isinstance(foreign.get("items"), Mapping):
        schema["items"] = schema_of(foreign["items"])
    if isinstance(foreign.get("properties"), Mapping):
        schema["properties"] = {name: schema_of(entry) for name, entry in foreign["properties"].items()}
        required = foreign.get("required")
        if isinstance(required, list):
            schema["required"] = [name for name in dict.fromkeys(required) if name in schema["properties"]]
    return schema
