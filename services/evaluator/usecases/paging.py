"""Page sizes and tokens of this service's lists."""

from __future__ import annotations

from services.chassis.errors import InvalidArgument

MAX_PAGE_SIZE = 1000
DEFAULT_PAGE_SIZE = 50
_MAX_DIGITS = 18


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


def place_of(page_token: str) -> int | None:
    """Return the place that a token names, None for the first page.

    Raises:
        InvalidArgument: The token is not one that a list of this service gave out.
    """
    if not page_token:
        return None
    if not (page_token.isascii() and page_token.isdigit() and len(page_token) <= _MAX_DIGITS):
        raise InvalidArgument(
            "The page token is not one that this list gave out.", "Start again without a token.", field="page_token"
        )
    return int(page_token)
