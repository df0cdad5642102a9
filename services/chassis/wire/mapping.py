"""Messages and domain classes that have the same names: one becomes the other."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields as dataclass_fields
from dataclasses import is_dataclass
from datetime import UTC, datetime
from enum import Enum
from functools import cache
from types import NoneType, UnionType
from typing import Any, TypeVar, Union, cast, get_args, get_origin, get_type_hints

from google.protobuf.json_format import MessageToDict, ParseDict
from google.protobuf.message import Message
from google.protobuf.timestamp_pb2 import Timestamp

from services.chassis.errors import InvalidArgument
from services.chassis.wire.fields import AnyField, default_of, enum_prefix, rules_of

T = TypeVar("T")
M = TypeVar("M", bound=Message)

_TIMESTAMP = Timestamp.DESCRIPTOR.full_name
_CONVERTERS: dict[str, Callable[[Any], Message]] = {}


def timestamp(time: datetime) -> Timestamp:
    """Return an aware time as a protobuf timestamp."""
    stamp = Timestamp()
    stamp.FromDatetime(time)
    return stamp


def convert_by(message_type: type[Message], convert: Callable[[Any], Message]) -> None:
    """Let `convert` make messages of a type whose names are not those of the domain, wherever they are held."""
    _CONVERTERS[message_type.DESCRIPTOR.full_name] = convert


convert_by(Timestamp, timestamp)


def from_message(cls: type[T], message: Message, *, fill: bool = True, **values: Any) -> T:
    """Return the domain object of a message, each unset field as the default that the contract gives it.

    Args:
        cls: A dataclass; its fields have the names of the message's.
        message: A message that was checked.
        fill: Whether an unset field becomes its default; else it stays empty or 0.
        values: Fields that the message does not have, or that are to be other than it says.

    Raises:
        InvalidArgument: An enum has a value that the class does not know; the error names the field.
    """
    readers = _readers(message.DESCRIPTOR, cast(Any, cls), fill, frozenset(values))
    return cls(**{name: read(message) for name, read in readers}, **values)


def to_message(item: Any, message_type: type[M], **values: Any) -> M:
    """Return the message of a domain object, by the attributes that have the names of the message's fields.

    Args:
        item: The domain object; an attribute that is None leaves its field unset.
        message_type: The message.
        values: Fields that the object does not have, or that are to be other than it says.
    """
    known = {}
    for field in message_type.DESCRIPTOR.fields:
        if field.name not in values:
            value = to_value(field, getattr(item, field.name))
            if value is not None:
                known[field.name] = value
    return message_type(**known, **values)


def to_value(field: AnyField, value: Any) -> Any:
    """Return what a field of a message takes for a value of the domain."""
    if value is None or (not field.enum_type and not field.message_type):
        return value
    if field.message_type and field.message_type.GetOptions().map_entry:
        item = field.message_type.fields_by_name["value"]
        return {key: to_value(item, each) for key, each in value.items()}
    return [_to_item(field, each) for each in value] if field.is_repeated else _to_item(field, value)


def _to_item(field: AnyField, value: Any) -> Any:
    if field.enum_type:
        return field.enum_type.values_by_name[enum_prefix(field.enum_type) + value.name].number
    message_type: type[Message] = field.message_type._concrete_class
    convert = _CONVERTERS.get(field.message_type.full_name)
    if convert:
        return convert(value)
    return ParseDict(dict(value), message_type()) if isinstance(value, Mapping) else to_message(value, message_type)


@cache
def _readers(
    descriptor: Any, cls: Any, fill: bool, but: frozenset[str]
) -> tuple[tuple[str, Callable[[Any], Any]], ...]:
    hints = get_type_hints(cls)
    shared = set(descriptor.fields_by_name) - but
    names = [item.name for item in dataclass_fields(cls) if item.name in shared]
    return tuple((name, _reader(descriptor.fields_by_name[name], hints[name], fill)) for name in names)


def _reader(field: AnyField, hint: Any, fill: bool) -> Callable[[Any], Any]:
    name = field.name
    item_type, is_optional = inner_type(hint)
    if field.message_type and field.message_type.GetOptions().map_entry:
        return lambda message: dict(getattr(message, name))
    if field.is_repeated:
        read_item = _item_reader(field, item_type, fill)
        return lambda message: tuple(read_item(item) for item in getattr(message, name))
    if is_optional and field.has_presence:
        read_item = _item_reader(field, item_type, fill)
        default = default_of(field) if fill and rules_of(field).default else None
        return lambda message: read_item(getattr(message, name)) if message.HasField(name) else default
    if field.message_type:
        read_item = _item_reader(field, item_type, fill)
        return lambda message: read_item(getattr(message, name))
    default = default_of(field) if fill else field.default_value
    if field.enum_type:
        read_enum = _enum_reader(field, item_type)
        unset = read_enum(default) if default else item_type.__members__.get("UNSPECIFIED")
        return lambda message: read_enum(getattr(message, name)) if getattr(message, name) else unset
    if field.has_presence:
        return lambda message: getattr(message, name) if message.HasField(name) else default
    return lambda message: getattr(message, name) or default


def _item_reader(field: AnyField, item_type: Any, fill: bool) -> Callable[[Any], Any]:
    if field.enum_type:
        return _enum_reader(field, item_type)
    if not field.message_type:
        return lambda value: value
    if field.message_type.full_name == _TIMESTAMP:
        return lambda value: value.ToDatetime(tzinfo=UTC)
    if is_dataclass(item_type):
        cls = cast(type[Any], item_type)
        return lambda value: from_message(cls, value, fill=fill)
    return lambda value: MessageToDict(value, preserving_proto_field_name=True)


def _enum_reader(field: AnyField, cls: type[Enum]) -> Callable[[int], Enum]:
    prefix = enum_prefix(field.enum_type)
    members = {
        value.number: cls[value.name.removeprefix(prefix)]
        for value in field.enum_type.values
        if value.name.removeprefix(prefix) in cls.__members__
    }

    def read_enum(number: int) -> Enum:
        if number not in members:
            raise InvalidArgument(
                f"The field {field.name} is {number}, which is no {field.enum_type.name} of this release.",
                f"Use one of {', '.join(member.name for member in members.values())}.",
                field=field.name,
            )
        return members[number]

    return read_enum


def inner_type(hint: Any) -> tuple[Any, bool]:
    """Return the type of a hint's items, or of its value, and whether the value may be None."""
    arguments = [argument for argument in get_args(hint) if argument is not NoneType]
    if get_origin(hint) in (Union, UnionType):
        return inner_type(arguments[0])[0], True
    if get_origin(hint) is not None and issubclass(get_origin(hint), Sequence):
        return arguments[0], False
    return hint, False
