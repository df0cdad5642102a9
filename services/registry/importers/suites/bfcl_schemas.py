"""Function definitions of the Berkeley Function-Calling Leaderboard as JSON schemas."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from services.registry.domain.jsonl import LineError

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
