"""Settings of a job as a person sees them, named as in its contract."""

from __future__ import annotations

from typing import Any

from google.protobuf.message import Message

from services.chassis.wire import fields_of


def settings_of(
    spec: Message, *, leaving_out: tuple[str, ...] = (), changed_only: bool = False
) -> list[tuple[str, str]]:
    """Return labels and values of a spec's fields; an unset field has its default.

    Args:
        spec: A spec, such as that of a training job.
        leaving_out: Paths that are shown elsewhere; a path stands for all below it.
        changed_only: Return only what differs from the default.
    """
    pairs = []
    for field in fields_of(type(spec)):
        value = _value(spec, field.path)
        if field.kind == "message" or any(f"{field.path}.".startswith(f"{path}.") for path in leaving_out):
            continue
        if not value or value == field.default:
            value = None if changed_only else field.default
        if value in (None, "", ()):
            continue
        text = dict(field.choices).get(value, _text(value)) if field.kind == "enum" else _text(value)
        pairs.append((field.label, f"{text} {field.unit}".rstrip()))
    return pairs


def _value(message: Any, path: str) -> Any:
    *owners, name = path.split(".")
    for owner in owners:
        message = getattr(message, owner)
    value = getattr(message, name)
    enum = message.DESCRIPTOR.fields_by_name[name].enum_type
    return enum.values_by_number[value].name if enum and value else value


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:g}"
    return value if isinstance(value, str) else str(value) if isinstance(value, int) else " ".join(map(repr, value))
