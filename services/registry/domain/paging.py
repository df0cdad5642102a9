"""Pages of a list."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Generic, TypeVar

from services.chassis.wire.paging import DEFAULT_PAGE_SIZE, checked_page_size

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
        InvalidArgument: The size is out of bounds.
    """
    return PageRequest(checked_page_size(page_size), page_token)
