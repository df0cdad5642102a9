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


def schema_of(found: object) -> dict[str, Any]:
    """Return the JSON schema that a description of a value stands for; what JSON schema does not know is left out."""
    if not isinstance(found, Mapping):
        return {}
    schema = {name: found[name] for name in _KEPT if name in found}
    if known := _TYPES.get(str(found.get("type", "")).lower()):
        schema["type"] = known
    if isinstance(found.get("enum"), list) and found["enum"]:
        schema["enum"] = found["enum"]
    if isinstance(found.get("items"), Mapping):
        schema["items"] = schema_of(found["items"])
    if isinstance(found.get("properties"), Mapping):
        schema["properties"] = {name: schema_of(one) for name, one in found["properties"].items()}
        required = found.get("required")
        if isinstance(required, list):
            schema["required"] = [name for name in dict.fromkeys(required) if name in schema["properties"]]
    return schema
