"""The fields of messages with the options of `drillyard/field/v1/field.proto`."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any, TypeAlias

from drillyard.field.v1 import field_pb2
from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import Message

# Protobuf's own stubs give every field all that any kind of field may lack.
AnyField: TypeAlias = Any
AnyEnum: TypeAlias = Any

_KINDS = {
    FieldDescriptor.CPPTYPE_DOUBLE: "float",
    FieldDescriptor.CPPTYPE_FLOAT: "float",
    FieldDescriptor.CPPTYPE_BOOL: "bool",
    FieldDescriptor.CPPTYPE_STRING: "text",
    FieldDescriptor.CPPTYPE_ENUM: "enum",
    FieldDescriptor.CPPTYPE_MESSAGE: "message",
}


@dataclass(frozen=True)
class Field:
    """One field of a message, as a form, a command line option or a REST body shows it.

    Attributes:
        path: Names from the message down, such as "lora.r".
        kind: "int", "float", "bool", "text", "enum" or "message".
        default: What an unset field means; for an enum the name of a value.
        choices: Names and labels of an enum's values, the unset one apart.
        prefix: What the names begin with.
        unset_label: What people see for an enum that is not set.
        help: The field's comment in the contract.
    """

    path: str
    kind: str
    is_repeated: bool
    default: Any
    minimum: float | None
    maximum: float | None
    unit: str
    label: str
    help: str
    choices: tuple[tuple[str, str], ...] = ()
    prefix: str = ""
    unset_label: str = ""

    @property
    def name(self) -> str:
        """The last name of the path."""
        return self.path.rpartition(".")[2]

    @property
    def words(self) -> dict[str, str]:
        """The names of an enum's values by their ends, such as "sft" for "TRAINING_METHOD_SFT"."""
        return {name.removeprefix(self.prefix).lower(): name for name, _ in self.choices}


def fields_of(message_type: type[Message]) -> tuple[Field, ...]:
    """Return the fields of a message and of the messages in it, in the contract's order.

    A repeated message is one field of kind "message"; its own fields are not listed.
    """
    return tuple(_fields(message_type.DESCRIPTOR, ""))


def _fields(descriptor: Any, prefix: str) -> list[Field]:
    fields: list[Field] = []
    for field in descriptor.fields:
        if field.message_type and not field.is_repeated:
            fields += _fields(field.message_type, f"{prefix}{field.name}.")
        else:
            fields.append(field_of(field, prefix))
    return fields


def field_of(field: AnyField, prefix: str = "") -> Field:
    """Return what the contract says of one field; `prefix` begins its path."""
    rules = rules_of(field)
    values = field.enum_type.values if field.enum_type else ()
    return Field(
        path=f"{prefix}{field.name}",
        kind=_KINDS.get(field.cpp_type, "int"),
        is_repeated=field.is_repeated,
        default=default_of(field) if not field.enum_type else rules.default,
        minimum=rules.minimum if rules.HasField("minimum") else None,
        maximum=rules.maximum if rules.HasField("maximum") else None,
        unit=rules.unit,
        label=rules.label or field.name.replace("_", " ").capitalize(),
        help=_comments().get(field.full_name, ""),
        choices=tuple((value.name, label_of(field.enum_type, value.number)) for value in values if value.number),
        prefix=enum_prefix(field.enum_type) if field.enum_type else "",
        unset_label=label_of(field.enum_type, 0) if field.enum_type else "",
    )


def rules_of(field: AnyField) -> field_pb2.FieldRules:
    """Return the rules that stand at a field; empty ones when none do."""
    rules: field_pb2.FieldRules = field.GetOptions().Extensions[field_pb2.rules]
    return rules


def default_of(field: AnyField) -> Any:
    """Return what an unset field means: the default of its rules, else protobuf's own."""
    text = rules_of(field).default
    if field.is_repeated:
        return ()
    if not text:
        return None if field.message_type else field.default_value
    if field.enum_type:
        return field.enum_type.values_by_name[text].number
    return type(field.default_value)(float(text)) if _KINDS.get(field.cpp_type) in (None, "float") else text


def enum_prefix(enum: AnyEnum) -> str:
    """Return what the names of an enum's values begin with, such as "TRAINING_METHOD_"."""
    return str(enum.values_by_number[0].name).removesuffix("UNSPECIFIED")


def label_of(enum: AnyEnum, number: int) -> str:
    """Return the words that people see for a value of an enum."""
    value = enum.values_by_number[number]
    words: str = value.GetOptions().Extensions[field_pb2.label]
    return words or value.name.removeprefix(enum_prefix(enum)).lower().replace("_", " ")


@cache
def _comments() -> dict[str, str]:
    comments: dict[str, str] = json.loads((files("drillyard") / "comments.json").read_text(encoding="utf-8"))
    return comments
