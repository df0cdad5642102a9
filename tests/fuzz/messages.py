"""Protobuf messages drawn from their descriptors."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Any

from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.message import Message

from tests.fuzz.values import DOUBLES, INTEGERS, text

_MOST_DEPTH = 4
_FLOATS = (FieldDescriptor.CPPTYPE_DOUBLE, FieldDescriptor.CPPTYPE_FLOAT)
_BITS = {
    FieldDescriptor.CPPTYPE_INT32: (-(2**31), 2**31),
    FieldDescriptor.CPPTYPE_INT64: (-(2**63), 2**63),
    FieldDescriptor.CPPTYPE_UINT32: (0, 2**32),
    FieldDescriptor.CPPTYPE_UINT64: (0, 2**64),
}


def fill(chance: random.Random, message: Message, known: Sequence[str], depth: int = 0) -> None:
    """Set about half of a message's fields.

    Args:
        chance: What draws.
        message: An empty message.
        known: Texts that mean something to the service, such as ids.
        depth: How many messages it is in.
    """
    descriptor: Descriptor = message.DESCRIPTOR
    for field in descriptor.fields:
        if chance.random() < 0.5 or (field.message_type is not None and depth >= _MOST_DEPTH):
            continue
        if field.is_repeated:
            _fill_repeated(chance, message, field, known, depth)
        elif field.message_type is not None:
            child = getattr(message, field.name)
            child.SetInParent()
            fill(chance, child, known, depth + 1)
        else:
            setattr(message, field.name, _scalar(chance, field, known))


def _fill_repeated(
    chance: random.Random, message: Message, field: FieldDescriptor, known: Sequence[str], depth: int
) -> None:
    values = getattr(message, field.name)
    for _ in range(chance.choice((0, 1, 1, 2, 5))):
        if field.message_type is None:
            values.append(_scalar(chance, field, known))
        elif not field.message_type.GetOptions().map_entry:
            fill(chance, values.add(), known, depth + 1)
        else:
            _fill_entry(chance, values, field.message_type, known, depth)


def _fill_entry(chance: random.Random, values: Any, entry: Descriptor, known: Sequence[str], depth: int) -> None:
    key, value = entry.fields_by_name["key"], entry.fields_by_name["value"]
    if value.message_type is not None:
        fill(chance, values[_scalar(chance, key, known)], known, depth + 1)
    else:
        values[_scalar(chance, key, known)] = _scalar(chance, value, known)


def _scalar(chance: random.Random, field: FieldDescriptor, known: Sequence[str]) -> Any:
    kind = field.cpp_type
    if kind == FieldDescriptor.CPPTYPE_STRING:
        value = text(chance, known)
        return value.encode() if field.type == FieldDescriptor.TYPE_BYTES else value
    if kind == FieldDescriptor.CPPTYPE_BOOL:
        return chance.random() < 0.5
    if kind in _FLOATS:
        return chance.choice(DOUBLES)
    if field.enum_type is not None:
        return chance.choice((*(value.number for value in field.enum_type.values), 99, -1))
    low, high = _BITS[kind]
    return chance.choice([number for number in INTEGERS if low <= number < high])
