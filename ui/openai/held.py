"""The JSON schema that an answer is held to: that of its form, or that of the calls which it must be."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from ui.openai.errors import OpenAIError
from ui.openai.schemas import ChatBody, NamedTool, ToolBody, plain

_MOST_CALLS = 8


def schema_of(body: ChatBody) -> str:
    """Return the schema as JSON text; empty where the answer is free."""
    if isinstance(body.tool_choice, NamedTool):
        named = [tool for tool in body.offered if tool.function.name == body.tool_choice.function.name]
        return json.dumps(_calls(named, several=False))
    if body.tool_choice == "required":
        return json.dumps(_calls(body.offered, several=body.parallel_tool_calls))
    if not body.is_json or body.response_format is None:
        return ""
    form = body.response_format.json_schema
    return json.dumps(form.json_schema if form else {"type": "object"})


def _calls(tools: list[ToolBody], *, several: bool) -> dict[str, Any]:
    """Return the schema of a call of one of these functions, or of a list of such calls."""
    definitions = {f"arguments_{place}": _arguments(tool, place) for place, tool in enumerate(tools)}
    calls = [
        {
            "type": "object",
            "properties": {
                "name": {"const": tool.function.name},
                "arguments": {"$ref": f"#/$defs/arguments_{place}"},
            },
            "required": ["name", "arguments"],
            "additionalProperties": False,
        }
        for place, tool in enumerate(tools)
    ]
    definitions["call"] = {"anyOf": calls}
    call = {"$ref": "#/$defs/call"}
    listed = {"type": "array", "items": call, "minItems": 1, "maxItems": _MOST_CALLS}
    return {"anyOf": [call, listed] if several else [call], "$defs": definitions}


def _arguments(tool: ToolBody, place: int) -> Any:
    parameters = plain(tool)["function"].get("parameters") or {"type": "object"}
    # Some clients leave the type out, and arguments are an object in any case.
    # By an id of their own, references to themselves would be looked for elsewhere.
    own = {"type": "object", **{name: value for name, value in parameters.items() if name != "$id"}}
    path = f"#/$defs/arguments_{place}"
    return _moved(own, path, dict(_anchors(own, path)))


def _anchors(schema: Any, path: str) -> Iterator[tuple[str, str]]:
    """Yield the names that parts of a schema have, each with the path of its part."""
    if isinstance(schema, dict) and isinstance(schema.get("$anchor"), str):
        yield schema["$anchor"], path
    parts = schema.items() if isinstance(schema, dict) else enumerate(schema) if isinstance(schema, list) else ()
    for name, part in parts:
        yield from _anchors(part, f"{path}/{str(name).replace('~', '~0').replace('/', '~1')}")


def _moved(schema: Any, path: str, anchors: Mapping[str, str]) -> Any:
    """Return a schema whose references to itself are right at its new place.

    Raises:
        OpenAIError: A reference names a part that is not there.
    """
    if isinstance(schema, list):
        return [_moved(item, path, anchors) for item in schema]
    if not isinstance(schema, dict):
        return schema
    # Those of several functions in one schema could have the same name.
    moved = {
        name: _moved(value, path, anchors)
        for name, value in schema.items()
        if name != "$anchor" or not isinstance(value, str)
    }
    reference = schema.get("$ref")
    if not isinstance(reference, str) or not reference.startswith("#"):
        return moved
    name = reference[1:]
    if name and not name.startswith("/") and name not in anchors:
        problem = f"The parameters of a function refer to {reference[:80]!r}, but no part of them has that as $anchor."
        raise OpenAIError(f"{problem} Name one, or refer to its path, as in #/$defs/….", param="tools")
    return {**moved, "$ref": anchors.get(name, path + name)}
