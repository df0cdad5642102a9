"""The pages are made at the first request for one, and again after what hindered it."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from fastapi import FastAPI

from tests.machine import PATIENCE_SECONDS
from ui.gateway.pages import Pages


async def test_pages_that_cannot_be_made_or_begun_tell_it_and_are_made_at_a_later_request(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    failures: list[str] = ["made", "begun"]
    sent: list[dict[str, Any]] = []

    @asynccontextmanager
    async def lifespan(_site: FastAPI) -> AsyncIterator[None]:
        if failures:
            raise OSError(f"cannot be {failures.pop(0)}")
        yield

    async def make(_gateway: FastAPI) -> FastAPI:
        if failures == ["made", "begun"]:
            raise OSError(f"cannot be {failures.pop(0)}")
        return FastAPI(lifespan=lifespan)

    async def receive() -> dict[str, Any]:
        return {"type": "http.request"}

    async def send(message: Any) -> None:
        sent.append(message)

    monkeypatch.setattr("ui.gateway.pages.make_site", make)
    pages = Pages(FastAPI())
    scope = {"type": "http", "method": "GET", "path": "/nowhere", "query_string": b"", "headers": []}
    async with asyncio.timeout(PATIENCE_SECONDS), pages.served():
        for reason in ("made", "begun"):
            with pytest.raises(OSError, match=reason):
                await pages(scope, receive, send)
        await pages(scope, receive, send)
    assert sent[0]["status"] == 404
