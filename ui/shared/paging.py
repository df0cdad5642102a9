"""Reading all pages of a list, within a bound."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

PAGE_SIZE = 500


async def every(call: Callable[[Any], Awaitable[Any]], request: Any, field: str, limit: int = 10_000) -> list[Any]:
    """Return the entries of all pages of a List RPC, at most `limit` of them.

    Args:
        call: The RPC.
        request: Its request; `page_size` and `page_token` are set here.
        field: The repeated field of the response.
        limit: Bound on the entries that are read.
    """
    found: list[Any] = []
    request.page_size = min(PAGE_SIZE, limit)
    while True:
        response = await call(request)
        found += getattr(response, field)
        if not response.next_page_token or len(found) >= limit:
            return found[:limit]
        request.page_token = response.next_page_token
