"""Pages of lists: their sizes and tokens, the same for every list of every service, and their bytes on the wire."""

from __future__ import annotations

import base64
import json
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, TypeAlias, TypeVar, cast

from google.protobuf.message import Message

from services.chassis.errors import InvalidArgument

T = TypeVar("T")
Place: TypeAlias = int | str | tuple[Any, ...]

DEFAULT_PAGE_SIZE = 50
MAX_PAGE_SIZE = 1000
# Behind every entry of a list that is counted down.
LAST_PLACE = 2**63 - 1
# Below the limit of a message, and above that of lists which end a page by bytes before they read them all.
MAX_PAGE_BYTES = 12 * 1024 * 1024
_MAX_TOKEN = 400


def checked_page_size(page_size: int) -> int:
    """Return the number of entries on a page, 50 when it is 0.

    Raises:
        InvalidArgument: It is not 0 to 1000.
    """
    if not 0 <= page_size <= MAX_PAGE_SIZE:
        raise InvalidArgument(
            f"The page size is {page_size}, which is not between 1 and {MAX_PAGE_SIZE}.",
            f"Give a page size within these bounds, or 0 for the default of {DEFAULT_PAGE_SIZE}.",
            field="page_size",
        )
    return page_size or DEFAULT_PAGE_SIZE


def page_of(items: Sequence[T], page_size: int, place: Callable[[T], Place]) -> tuple[list[T], str]:
    """Return the first `page_size` of `items` and the token of the page behind them, empty when there is none.

    Args:
        items: What a store found, one more than fits on the page where there is more.
        page_size: Entries on a page.
        place: Returns where an item stands in the list; `place_of` gives it back to the next request.
    """
    page = list(items[:page_size])
    return page, token_of(place(page[-1])) if len(items) > page_size else ""


async def serialized_page(
    request: Any, answer: Callable[[Any], Awaitable[Message]], serialize: Callable[[Message], bytes]
) -> bytes:
    """Return the response of a List, with fewer entries than were asked for where all of them were above 12 MiB.

    Args:
        request: The request; its `page_size` is lowered where the page is too large.
        answer: The method; it is called again for a smaller page.
        serialize: Turns its response into bytes.
    """
    while True:
        response = await answer(request)
        page = serialize(response)
        num_entries = max((len(value) for field, value in response.ListFields() if field.is_repeated), default=0)
        if len(page) <= MAX_PAGE_BYTES or num_entries <= 1:
            return page
        request.page_size = max(1, num_entries * MAX_PAGE_BYTES // len(page))


def token_of(place: Place) -> str:
    """Return the token of the page that begins behind a place."""
    text = json.dumps(place, separators=(",", ":"))
    return base64.urlsafe_b64encode(text.encode()).decode("ascii")


def place_of(page_token: str, first: T) -> T:
    """Return the place behind which a page begins, `first` for the first page.

    Raises:
        InvalidArgument: The token is not one that the list gave out.
    """
    if not page_token:
        return first
    try:
        place = json.loads(base64.b64decode(page_token[:_MAX_TOKEN], altchars=b"-_", validate=True))
    except (ValueError, RecursionError):
        place = None
    place = tuple(place) if isinstance(place, list) else place
    if not _is_like(place, first):
        raise wrong_token()
    return cast(T, place)


def wrong_token() -> InvalidArgument:
    """Return the error for a token that the list did not give out."""
    return InvalidArgument(
        "The page token is not one that this list gave out.", "Start again without a token.", field="page_token"
    )


def _is_like(place: Any, first: Any) -> bool:
    if isinstance(first, tuple):
        is_tuple = isinstance(place, tuple) and len(place) == len(first)
        return is_tuple and all(_is_like(item, like) for item, like in zip(place, first, strict=True))
    return type(place) is type(first) and not (isinstance(place, int) and not 0 <= place <= LAST_PLACE)
