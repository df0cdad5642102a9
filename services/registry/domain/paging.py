"""Pages of a list."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Generic, TypeVar

from services.chassis.errors import InvalidArgument

DEFAULT_PAGE_SIZE = 50
MAX_PAGE_SIZE = 1000
_MAX_TOKEN = 200

ItemT = TypeVar("ItemT")


@dataclass(frozen=True)
class PageRequest:
    """Which page is asked for; `token` is what the page before gave, empty for the first."""

    size: int = DEFAULT_PAGE_SIZE
    token: str = ""


@dataclass(frozen=True)
class Page(Generic[ItemT]):
    """One page; `next_token` is empty when it is the last."""

    items: tuple[ItemT, ...]
    next_token: str = ""


def page_request(page_size: int, page_token: str) -> PageRequest:
    """Return the page that a caller asks for, with the default size for 0.

    Raises:
        InvalidArgument: The size is out of bounds or the token too long to be one of ours.
    """
    if not 0 <= page_size <= MAX_PAGE_SIZE:
        raise InvalidArgument(
            f"page_size is {page_size}.", f"Use 1 to {MAX_PAGE_SIZE}, or 0 for {DEFAULT_PAGE_SIZE}.", field="page_size"
        )
    if len(page_token) > _MAX_TOKEN:
        raise bad_token()
    return PageRequest(page_size or DEFAULT_PAGE_SIZE, page_token)


def number_of(token: str) -> int | None:
    """Return the number that a token carries, or None for the first page.

    Raises:
        InvalidArgument: The token is not one that a page gave.
    """
    if not token:
        return None
    if not (token.isascii() and token.isdigit() and len(token) <= len(str(2**62))):
        raise bad_token()
    return int(token)


def bad_token() -> InvalidArgument:
    """Return the error for a page token that no page gave."""
    return InvalidArgument(
        "page_token is not one that this list gave.", "Leave it empty to begin at the first page.", field="page_token"
    )
