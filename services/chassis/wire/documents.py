"""Domain objects as documents for storage, which hold what is not the default.

A field that a later release adds is absent from the documents before it, so an old document and a new one of the same
meaning are equal: a live job keeps its checkpoints, and a repeated request finds its job.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import fields as dataclass_fields
from dataclasses import is_dataclass
from datetime import datetime
from enum import Enum
from functools import cache
from importlib import import_module
from typing import Any, TypeVar, cast, get_type_hints

from google.protobuf.descriptor import Descriptor

from services.chassis.wire.fields import default_of, enum_prefix
from services.chassis.wire.mapping import inner_type

T = TypeVar("T")


def to_document(item: Any) -> dict[str, Any]:
    """Return a domain object, whose class names its message in `MESSAGE`, as plain JSON without defaults."""
    return _to_document(item, _descriptor(cast(Any, type(item))))


def from_document(cls: type[T], document: Mapping[str, Any]) -> T:
    """Return what `to_document` was called on, defaults filled in; names that the class lacks are left out."""
    return cast(T, _from_document(cls, document, _descriptor(cast(Any, cls))))


@cache
def _descriptor(cls: type) -> Descriptor:
    module, _, name = cast(Any, cls).MESSAGE.rpartition(".")
    return cast(Descriptor, getattr(import_module(module), name).DESCRIPTOR)


def _to_document(item: Any, descriptor: Descriptor | None) -> dict[str, Any]:
    document = {}
    for name, default, _, inner in _plan(cast(Any, type(item)), descriptor):
        value = getattr(item, name)
        if value == default:
            continue
        plain = _plain(value, inner)
        if plain != {} or default is None:
            document[name] = plain
    return document


def _plain(value: Any, descriptor: Descriptor | None) -> Any:
    if is_dataclass(value):
        return _to_document(value, descriptor)
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, tuple | list):
        return [_plain(item, descriptor) for item in value]
    return dict(value) if isinstance(value, Mapping) else value


def _from_document(cls: type, document: Mapping[str, Any], descriptor: Descriptor | None) -> Any:
    values = {}
    for name, default, read, inner in _plan(cls, descriptor):
        if default is not _NESTED:
            values[name] = read(document[name]) if name in document else default
        else:
            values[name] = read(document.get(name, {}) if inner else document[name])
    return cls(**values)


# Stands for the default of a field that holds another domain object: that object with all its own defaults.
_NESTED = object()


@cache
def _plan(
    cls: type, descriptor: Descriptor | None
) -> tuple[tuple[str, Any, Callable[[Any], Any], Descriptor | None], ...]:
    hints = get_type_hints(cls)
    return tuple(_field_plan(item.name, hints[item.name], descriptor) for item in dataclass_fields(cls))


def _field_plan(
    name: str, hint: Any, descriptor: Descriptor | None
) -> tuple[str, Any, Callable[[Any], Any], Descriptor | None]:
    field = descriptor.fields_by_name.get(name) if descriptor else None
    inner = field.message_type if field else None
    item_type, is_optional = inner_type(hint)
    is_many = bool(field and field.is_repeated)

    def read_item(value: Any) -> Any:
        if is_dataclass(item_type):
            return _from_document(cast(type, item_type), value, inner)
        if isinstance(item_type, type) and issubclass(item_type, Enum):
            return item_type(value)
        return datetime.fromisoformat(value) if item_type is datetime else value

    def read(value: Any) -> Any:
        if isinstance(value, list):
            return tuple(read_item(item) for item in value)
        return None if value is None else read_item(value)

    default: Any = None if is_optional else {} if inner and not is_dataclass(item_type) else _NESTED
    if field and not is_optional and (not inner or is_many):
        default = default_of(field)
        if field.enum_type and not is_many:
            value_name = field.enum_type.values_by_number[default].name.removeprefix(enum_prefix(field.enum_type))
            default = item_type.__members__.get(value_name)
    return name, default, read, inner
