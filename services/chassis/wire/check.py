"""Requests are checked by the rules at their fields before they reach an RPC."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, NoReturn, TypeAlias

from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import Message
from google.protobuf.timestamp_pb2 import Timestamp

from services.chassis.errors import InvalidArgument
from services.chassis.wire.fields import AnyField, default_of, enum_prefix, rules_of

# Takes a message's value of one field, the field's path and whether unset fields are refused.
_Check: TypeAlias = Callable[[Any, str, bool], None]

_NUMBERS = (
    FieldDescriptor.CPPTYPE_INT32,
    FieldDescriptor.CPPTYPE_INT64,
    FieldDescriptor.CPPTYPE_UINT32,
    FieldDescriptor.CPPTYPE_UINT64,
    FieldDescriptor.CPPTYPE_DOUBLE,
    FieldDescriptor.CPPTYPE_FLOAT,
)
_PLANS: dict[Any, tuple[tuple[AnyField, _Check], ...]] = {}


def check(message: Message, path: str = "", *, is_partial: bool = False) -> None:
    """Return when every field of a message, and of the messages in it, keeps its rules and every enum value is known.

    Args:
        message: The request.
        path: The names that lead to the message; they begin the name of a field in an error.
        is_partial: Whether fields that are required may be unset.

    Raises:
        InvalidArgument: A field does not; the error names it, its bounds and its default.
    """
    for field, check_value in _plan(message.DESCRIPTOR):
        if not field.has_presence or message.HasField(field.name):
            place = f"{path}.{field.name}" if path else field.name
            check_value(getattr(message, field.name), place, not is_partial)
        elif not is_partial and rules_of(field).required:
            _refuse_unset(f"{path}.{field.name}" if path else field.name)


def _plan(descriptor: Any) -> tuple[tuple[AnyField, _Check], ...]:
    plan = _PLANS.get(descriptor)
    if plan is None:
        # A message that holds itself has no rules of its own deeper down.
        _PLANS[descriptor] = ()
        checks = ((field, _check_of(field)) for field in descriptor.fields)
        plan = _PLANS[descriptor] = tuple((field, item) for field, item in checks if item)
    return plan


def _check_of(field: AnyField) -> _Check | None:
    check_item = _item_check(field)
    if check_item is None or not field.is_repeated:
        return check_item
    if field.message_type and field.message_type.GetOptions().map_entry:
        return None

    def check_items(values: Any, place: str, refuses_unset: bool) -> None:
        for index, value in enumerate(values):
            check_item(value, f"{place}[{index}]", refuses_unset)

    return check_items


def _item_check(field: AnyField) -> _Check | None:
    rules = rules_of(field)
    if field.message_type is Timestamp.DESCRIPTOR:
        return _check_time
    if field.message_type:
        if not (_plan(field.message_type) or rules.required):
            return None
        return lambda value, place, strict: check(value, place, is_partial=rules.partial or not strict)
    if field.enum_type:
        return _enum_check(field)
    if field.cpp_type in _NUMBERS and (rules.HasField("minimum") or rules.HasField("maximum") or rules.required):
        return _number_check(field)
    if field.cpp_type == FieldDescriptor.CPPTYPE_STRING and (rules.required or rules.max_length):
        return _text_check(field)
    return None


def _enum_check(field: AnyField) -> _Check:
    enum, required = field.enum_type, rules_of(field).required
    known = frozenset(enum.values_by_number)
    words = ", ".join(value.name.removeprefix(enum_prefix(enum)) for value in enum.values if value.number)

    def check_enum(value: int, place: str, refuses_unset: bool) -> None:
        if value not in known:
            raise InvalidArgument(
                f"The field {place} is {value}, which is no {enum.name} of this release.",
                f"Use one of {words}.",
                field=place,
            )
        if required and refuses_unset and not value:
            _refuse_unset(place)

    return check_enum


def _plain(number: float) -> str:
    """Return a number as people write it: a whole one with all of its digits, up to those that no double keeps."""
    return str(int(number)) if abs(number) < 2**53 and number == int(number) else f"{number:g}"


def _number_check(field: AnyField) -> _Check:
    rules, default = rules_of(field), default_of(field)
    least = rules.minimum if rules.HasField("minimum") else -math.inf
    most = rules.maximum if rules.HasField("maximum") else math.inf
    bounds = f"at least {_plain(least)}" if most == math.inf else f"between {_plain(least)} and {_plain(most)}"
    unit = f" {rules.unit}" if rules.unit else ""
    unset = ", or leave it out." if field.has_presence else f", or 0 for the default of {_plain(default)}."
    next_step = f"Give a value {bounds}{unit}" + ("." if rules.required else unset)

    def check_number(value: float, place: str, refuses_unset: bool) -> None:
        if value == 0 and not field.has_presence:
            if rules.required and refuses_unset:
                _refuse_unset(place)
        elif not (math.isfinite(value) and least <= value <= most):
            raise InvalidArgument(
                f"The field {place} is {_plain(value)}, which is not {bounds}.", next_step, field=place
            )

    return check_number


def _text_check(field: AnyField) -> _Check:
    rules = rules_of(field)

    def check_text(value: str, place: str, refuses_unset: bool) -> None:
        if not value:
            if rules.required and refuses_unset:
                _refuse_unset(place)
        elif rules.max_length and (len(value) > rules.max_length or not value.isprintable()):
            raise InvalidArgument(
                f"The field {place} is too long or not printable.",
                f"Give a text of at most {rules.max_length} characters.",
                field=place,
            )

    return check_text


def _check_time(value: Timestamp, place: str, _refuses_unset: bool) -> None:
    try:
        value.ToDatetime()
    except (ValueError, OverflowError) as error:
        raise InvalidArgument(
            f"The field {place} is no time.", "Give seconds of the years 1 to 9999, and nanoseconds.", field=place
        ) from error


def _refuse_unset(place: str) -> NoReturn:
    raise InvalidArgument(f"The field {place} is not set.", f"Give a value for {place}.", field=place)
