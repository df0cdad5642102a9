"""Bounds of values that callers send."""

from __future__ import annotations

import math

from services.chassis.errors import InvalidArgument

MAX_ID_LENGTH = 200


def check_number(field: str, value: float, least: float, most: float) -> None:
    """Return when `value` is from `least` to `most`.

    Raises:
        InvalidArgument: It is not; the error names the field.
    """
    if math.isnan(value) or not least <= value <= most:
        raise InvalidArgument(f"{field} is {value}, which is out of range.", f"Use {least} to {most}.", field=field)


def check_id(field: str, value: str) -> None:
    """Return when `value` may be an id of the registry.

    Raises:
        InvalidArgument: It is empty or longer than 200 characters; the error names the field.
    """
    if not value:
        raise InvalidArgument(f"{field} is empty.", "Name a version that the registry lists.", field=field)
    if len(value) > MAX_ID_LENGTH:
        raise InvalidArgument(
            f"{field} is longer than {MAX_ID_LENGTH} characters.",
            "Name a version that the registry lists.",
            field=field,
        )
