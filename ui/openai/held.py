"""The JSON schema that an answer is held to: that of its form, or that of the calls which it must be."""

from __future__ import annotations

import json
from typing import Any

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
    own = {name: value for name, value in parameters.items() if name != "$id"}
    # By an id of their own, references to themselves would be looked for elsewhere.
    return _moved({"type": "object", **own}, f"#/$defs/arguments_{place}")


def _moved(schema: Any, place: str) -> Any:
    """Return a schema whose references to itself are right at its new place."""
    if isinstance(schema, list):
        return [_moved(item, place) for item in schema]
    if not isinstance(schema, dict):
        return schema
    is_own = isinstance(schema.get("$ref"), str) and schema["$ref"].startswith("#")
    moved = {name: _moved(value, place) for name, value in schema.items()}
    return moved | ({"$ref": place + schema["$ref"][1:]} if is_own else {})
