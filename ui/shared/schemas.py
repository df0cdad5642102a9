"""OpenAPI schemas and examples of responses, made from the wire contracts so that they cannot drift."""

from __future__ import annotations

from typing import Any, cast

from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.message import Message

Schema = dict[str, Any]
_DIGEST = "sha256:" + "6b" * 32
_TEXT_EXAMPLES: dict[str, str] = {
    "model_id": "smollm2-135m-instruct",
    "model_version_id": "smollm2-135m-instruct@2",
    "base_model_version_id": "smollm2-135m-instruct@1",
    "best_model_version_id": "smollm2-135m-instruct@2",
    "test_suite_id": "roo_xml/core",
    "test_suite_version_id": "roo_xml/core@1",
    "dataset_id": "loop-4f1c",
    "dataset_version_id": "loop-4f1c@1",
    "profile_id": "roo_xml",
    "prompt_size": "compact",
    "digest": _DIGEST,
    "uri": "file:///data/registry/artifacts/6b/6b6b",
    "tool": "read_file",
    "cause": "no_call",
    "metric": "conforming_rate",
    "problem": "",
    "next_step": "",
    "next_page_token": "",
    "unit": "cases",
    "phase": "generate",
}
_NUMBER_EXAMPLES: dict[str, float] = {"num_cases": 130, "conforming_rate": 0.78, "version": 1, "learning_rate": 0.001}
_INT64 = (FieldDescriptor.CPPTYPE_INT64, FieldDescriptor.CPPTYPE_UINT64)
_NUMBERS = (
    FieldDescriptor.CPPTYPE_INT32,
    FieldDescriptor.CPPTYPE_UINT32,
    FieldDescriptor.CPPTYPE_DOUBLE,
    FieldDescriptor.CPPTYPE_FLOAT,
)
_INTEGERS = (FieldDescriptor.CPPTYPE_INT32, FieldDescriptor.CPPTYPE_UINT32)
_WELL_KNOWN: dict[str, Schema] = {
    "google.protobuf.Timestamp": {"type": "string", "format": "date-time", "example": "2026-11-22T15:04:05Z"},
    "google.protobuf.Struct": {"type": "object", "additionalProperties": True, "example": {}},
}


def shows(kind: type[Message], summary: str = "The resource.") -> dict[int | str, dict[str, Any]]:
    """Return FastAPI's `responses` for a route that answers with `kind`."""
    descriptor = cast("Descriptor", kind.DESCRIPTOR)
    content = {"schema": schema_of(descriptor), "example": example_of(descriptor)}
    return {200: {"description": summary, "content": {"application/json": content}}}


def schema_of(kind: Descriptor) -> Schema:
    """Return the JSON schema of protobuf's JSON form of a message."""
    properties = {field.name: _field(field) for field in kind.fields}
    return {"type": "object", "title": kind.name, "properties": properties}


def example_of(kind: Descriptor) -> Any:
    """Return an example document of a message."""
    if kind.full_name in _WELL_KNOWN:
        return _WELL_KNOWN[kind.full_name]["example"]
    fields = [field for field in kind.fields if not field.containing_oneof or field is field.containing_oneof.fields[0]]
    return {field.name: _repeated(field, _example(field)) for field in fields}


def _field(field: FieldDescriptor) -> Schema:
    if field.message_type and field.message_type.GetOptions().map_entry:
        return {"type": "object", "additionalProperties": _single(field.message_type.fields_by_name["value"])}
    return {"type": "array", "items": _single(field)} if field.is_repeated else _single(field)


def _single(field: FieldDescriptor) -> Schema:
    if field.message_type:
        return _WELL_KNOWN.get(field.message_type.full_name) or schema_of(field.message_type)
    if field.enum_type:
        return {"type": "string", "enum": [value.name for value in field.enum_type.values]}
    if field.cpp_type in _INT64:
        return {"type": "string", "format": "int64"}
    if field.cpp_type in _NUMBERS:
        return {"type": "integer" if field.cpp_type in _INTEGERS else "number"}
    return {"type": "boolean" if field.cpp_type == FieldDescriptor.CPPTYPE_BOOL else "string"}


def _repeated(field: FieldDescriptor, example: Any) -> Any:
    if field.message_type and field.message_type.GetOptions().map_entry:
        return {}
    return [example] if field.is_repeated else example


def _example(field: FieldDescriptor) -> Any:
    if field.message_type:
        return example_of(field.message_type)
    if field.enum_type:
        return field.enum_type.values[1].name
    if field.cpp_type in _INT64:
        return "1"
    if field.cpp_type in _NUMBERS:
        return _NUMBER_EXAMPLES.get(field.name, 1)
    if field.cpp_type == FieldDescriptor.CPPTYPE_BOOL:
        return True
    return _TEXT_EXAMPLES.get(field.name, f"{field.name.removesuffix('_id')}-1" if field.name.endswith("_id") else "")
