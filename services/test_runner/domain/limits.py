"""Bounds of values that callers send."""

from __future__ import annotations

import math

from services.chassis.errors import InvalidArgument

MAX_PAGE_SIZE = 1000
DEFAULT_PAGE_SIZE = 50
MAX_ID_LENGTH = 200


def checked_page_size(page_size: int) -> int:
    """Return the number of entries on a page, 50 when unset.

    Raises:
        InvalidArgument: It is negative or above 1000.
    """
    if not 0 <= page_size <= MAX_PAGE_SIZE:
        raise InvalidArgument(
            f"page_size is {page_size}.", f"Use 1 to {MAX_PAGE_SIZE}, or 0 for {DEFAULT_PAGE_SIZE}.", field="page_size"
        )
    return page_size or DEFAULT_PAGE_SIZE


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
